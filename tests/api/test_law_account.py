"""The law's account through the API (features LEGL-05): a day by rule, and why each call to a person was allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]
NUMBER = "+33612345678"
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)


async def at(world: World, when: str) -> Facts:
    rows = world.rows
    world.clock.utc = datetime.fromisoformat(when).astimezone(UTC)
    world.clock.at += 10
    lease = await world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    return Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]


async def call(world: World, lead_id: int, when: str, **more: Any) -> None:
    facts = await at(world, when)
    attempt = await facts.place(NUMBER, lead_id, site="main", attempts_max=0)
    await facts.apply(facts.ended(attempt, Outcome.NO_ANSWER, lead_id, counted=True), *more.get("then", ()))


async def get(client: Client, world: World, path: str, key: str = "supervisor", **query: str) -> Any:
    async with client.get(f"/api/v1{path}", headers=world.auth(key), params=query) as response:
        assert response.status == 200, await response.text()
        return await response.json()


@pytest.mark.feature("LEGL-05", clause="the daily report: calls held back by rule, calls made by rule set")
async def test_the_days_account(client: Client, world: World) -> None:
    [lead_id] = await world.store.add_leads(world.rows["list"].id, [LeadDraft(e164=NUMBER, consent_at=AGREED)])
    facts = await at(world, "2026-11-23T23:30:00+01:00")
    for rule, when in (("hours", 0), ("hours", 60), ("consent", 120), ("hours", 3600)):
        fact = f.RefusalFact(
            at=world.clock.utc + timedelta(seconds=when), lead_id=lead_id, campaign_id=world.rows["campaign"].id,
            client_id=world.rows["client"].id, rule=rule, clause="", rule_set="fr-b2c-2026",
        )  # fmt: skip
        await facts.apply(fact)
    await call(world, lead_id, "2026-11-23T10:00:00+01:00")
    await call(world, lead_id, "2026-11-24T10:00:00+01:00")
    found = await get(client, world, "/compliance/day", day="2026-11-23")
    assert {row["rule"]: (row["refusals"], row["people"]) for row in found["refused"]} == {
        "hours": (2, 1), "consent": (1, 1),
    }  # fmt: skip
    assert [(row["rule_set"], row["calls"]) for row in found["made"]] == [("fr-b2c-2026", 1)]
    assert found["start"] == "2026-11-23T00:00:00+01:00"
    assert (await get(client, world, "/compliance/day"))["day"] == "2026-11-24", "today, as the clock has it"
    assert (await get(client, world, "/compliance/day", "other_admin", day="2026-11-23"))["refused"] == []
    async with client.get(
        "/api/v1/compliance/day", headers=world.auth("supervisor"), params={"day": "2026-02-30"}
    ) as response:
        assert response.status == 400


@pytest.mark.feature("LEGL-05", clause="per lead: why each call made was allowed, from what was known then")
async def test_why_each_call_was_allowed(client: Client, world: World) -> None:
    [lead_id] = await world.store.add_leads(world.rows["list"].id, [LeadDraft(e164=NUMBER, consent_at=AGREED)])
    await call(world, lead_id, "2026-11-23T10:30:00+01:00")
    await call(world, lead_id, "2026-11-24T18:00:00+01:00")
    await call(world, lead_id, "2026-11-24T21:00:00+01:00")  # a call that should not have been: it must show
    world.clock.advance(60)
    await world.store.set_dnc(world.rows["client"].id, NUMBER, True, "anna", "letter")
    await world.store.revoke_consent(world.rows["client"].id, NUMBER, world.clock.utcnow())
    late, second, first = await get(client, world, f"/leads/{lead_id}/lawfulness")
    assert (first["allowed"], second["allowed"], late["allowed"]) == (True, True, False)
    said = {row["rule"]: row for row in second["evidence"]}
    assert said["attempts"]["known"] == "1 of 4 attempts in the 30 days before"
    assert "Tuesday 18:00:00 in Europe/Paris" in said["hours"]["known"] and "D. 223-9" in said["hours"]["clause"]
    assert said["consent"]["known"].startswith("given 2026-09-01") and said["consent"]["known"].endswith("valid then")
    assert said["attempts"]["known_fr"] == "1 tentative(s) sur 4 dans les 30 jours d’avant"
    assert "mardi 18:00:00" in said["hours"]["known_fr"] and said["consent"]["known_fr"].startswith(
        "donné le 01/09/2026"
    )
    assert said["dnc"]["known"] == "on no red list", "what came later does not count against it"
    assert [row["rule"] for row in late["evidence"] if not row["allowed"]] == ["hours"]
    async with client.get(f"/api/v1/leads/{lead_id}/lawfulness", headers=world.auth("other_admin")) as response:
        assert response.status == 404
