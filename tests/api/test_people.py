"""A person's rights through the API (features RGPD-01): what is shown, put right, erased, taken along, refused."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign
from daemon.engine.commands import LeadsChanged
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]
NUMBER, WRITTEN = "+33612345678", "06 12 34 56 78"
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)


async def post(client: Client, world: World, path: str, body: dict[str, Any], status: int = 200) -> Any:
    async with client.post(f"/api/v1{path}", headers=world.auth("manager"), json=body) as response:
        assert response.status == status, await response.text()
        return await response.json() if response.content_type.endswith("json") else await response.text()


async def held(client: Client, world: World) -> Any:
    return await post(client, world, "/people/access", {"number": WRITTEN})


async def a_past(world: World, calls: int = 2) -> int:
    """A lead called before, with a name, a note and a field of its own."""
    rows = world.rows
    draft = LeadDraft(e164=NUMBER, last_name="Durand", consent_at=AGREED, fields={"contrat": "=1+1"})
    [lead_id] = await world.store.add_leads(rows["list"].id, [draft])
    for _ in range(calls):
        attempt, facts = await in_call(world, lead_id)
        await facts.apply(facts.ended(attempt, Outcome.NO_ANSWER, lead_id))
        await facts.apply(facts.disposed(attempt, lead_id, "NRP", notes="voisine bavarde"))
        world.clock.advance(86_400)
    return lead_id


async def in_call(world: World, lead_id: int) -> tuple[Any, Facts]:
    rows = world.rows
    lease = await world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
    return await facts.place(NUMBER, lead_id, site="main", attempts_max=0), facts


async def audit_of(world: World, right: str) -> list[dict[str, Any]]:
    return [row for row in await world.store.report("audit") if row["what"] == f"person.{right}"]


@pytest.mark.feature("RGPD-01", clause="access: everything held of a number, of one group only")
async def test_access_shows_all_and_only_to_the_group(client: Client, world: World) -> None:
    lead_id = await a_past(world)
    await post(client, world, "/dnc", {"client_id": world.rows["client"].id, "number": WRITTEN, "reason": "lettre"})
    found = await held(client, world)
    assert found["number"] == NUMBER and found["leads"][0]["last_name"] == "Durand"
    assert [row["notes"] for row in found["attempts"]] == ["voisine bavarde"] * 2
    assert found["red_list"][0]["source"] == "lettre"
    async with client.post(
        "/api/v1/people/access", headers=world.auth("other_admin"), json={"number": NUMBER}
    ) as response:
        assert (await response.json())["leads"] == []
    async with client.post(
        "/api/v1/people/access", headers=world.auth("supervisor"), json={"number": NUMBER}
    ) as response:
        assert response.status == 403
    [row, *_] = await audit_of(world, "access")
    assert row["by"] == "other_admin" or row["target"] == f"leads:{lead_id}"
    assert NUMBER not in str(await world.store.report("audit"))


@pytest.mark.feature("RGPD-01", clause="rectify: put right in every list, and the dialler is told")
async def test_rectification_reaches_every_list(client: Client, world: World) -> None:
    first = await a_past(world, 0)
    other = await world.store.create(type(world.rows["list"])(group_id=world.rows["group"].id, name="Deux"))
    [second] = await world.store.add_leads(other.id, [LeadDraft(e164=NUMBER, last_name="Durant")])
    changes = {"last_name": "Durand-Ré", "postal_code": "97400", "fields": {}}
    done = await post(client, world, "/people/rectify", {"number": WRITTEN, "changes": changes})
    assert done == {"leads": 2}
    leads = (await held(client, world))["leads"]
    assert {(row["id"], row["last_name"], row["postal_code"]) for row in leads} == {
        (first, "Durand-Ré", "97400"),
        (second, "Durand-Ré", "97400"),
    }
    assert all("Indian/Reunion" in row["tz_group"] for row in leads)
    assert world.door.of(LeadsChanged)[-1].lead_ids == (first, second)
    await post(client, world, "/people/rectify", {"number": WRITTEN, "changes": {}}, status=400)


@pytest.mark.feature("RGPD-01", clause="erase: names and notes gone; counted attempts bind when the number is back")
async def test_erased_and_back(client: Client, world: World) -> None:
    lead_id = await a_past(world, 4)
    done = await post(client, world, "/people/erase", {"number": WRITTEN, "reason": "courrier du 3"})
    assert (done["rows"]["leads"], done["rows"]["attempts"]) == (1, 4)
    assert world.door.of(LeadsChanged)[-1].lead_ids == (lead_id,)
    found = await held(client, world)
    assert not any(found[name] for name in ("leads", "attempts", "consents", "red_list"))
    assert found["erased"]["attempts"] == 4
    for path in (f"/leads/{lead_id}", f"/leads/{lead_id}/history", "/leads", "/calls"):
        async with client.get(f"/api/v1{path}", headers=world.auth("manager")) as response:
            text = await response.text()
        assert response.status == 200
        for trace in ("Durand", "bavarde", "612345678", "1+1"):
            assert trace not in text, (path, trace)
    body = {"campaign_id": world.rows["campaign"].id, "lead_id": lead_id}
    assert not (await post(client, world, "/compliance/check", body))["allowed"]
    lead = {"list_id": world.rows["list"].id, "phone": WRITTEN, "last_name": "Durand",
            "consent": {"collected_at": AGREED.isoformat(), "source": "site"}}  # fmt: skip
    back = await post(client, world, "/leads", lead, status=201)
    verdict = await post(client, world, "/compliance/check", {**body, "lead_id": back["id"]})
    assert verdict["rule"] == "attempts", "four calls within thirty days still weigh"
    [row] = await audit_of(world, "erase")
    assert row["by"] == "manager" and row["detail"]["reason"] == "courrier du 3" and row["detail"]["attempts"] == 4
    assert "612345678" not in str(row)


@pytest.mark.feature("RGPD-01", clause="erase: not in the middle of a call; the number is not dialled meanwhile")
async def test_an_erasure_waits_for_the_call(client: Client, world: World) -> None:
    lead_id = await a_past(world, 0)
    attempt, facts = await in_call(world, lead_id)
    problem = await post(client, world, "/people/erase", {"number": WRITTEN}, status=409)
    assert problem["code"] == "person_in_call"
    await facts.apply(facts.ended(attempt, Outcome.NO_ANSWER, lead_id))
    assert (await held(client, world))["leads"][0]["blocked_by"] == "erased"
    await post(client, world, "/people/erase", {"number": WRITTEN})


@pytest.mark.feature("RGPD-01", clause="portability: JSON and CSV, without formulas")
async def test_what_a_person_takes_along(client: Client, world: World) -> None:
    await a_past(world)
    found = await post(client, world, "/people/export", {"number": WRITTEN})
    assert found["leads"][0]["fields"] == {"contrat": "=1+1"} and "attempts" not in found
    text = await post(client, world, "/people/export", {"number": WRITTEN, "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff")), delimiter=";"))
    values = {row["field"]: row["value"] for row in rows if row["table"] == "leads"}
    assert values["last_name"] == "Durand" and values["fields.contrat"] == "'=1+1"


@pytest.mark.feature("RGPD-01", clause="objection: red-listed for every client of the group, at once")
async def test_an_objection_holds_for_every_client(client: Client, world: World) -> None:
    lead_id = await a_past(world, 0)
    second = await world.store.create(type(world.rows["client"])(group_id=world.rows["group"].id, name="Mutuelle"))
    done = await post(client, world, "/people/object", {"number": WRITTEN})
    assert done == {"clients": 2, "leads": 1}
    assert {row["client_id"] for row in (await held(client, world))["red_list"]} == {
        world.rows["client"].id,
        second.id,
    }
    assert world.door.of(LeadsChanged)[-1].e164s == (NUMBER,)
    body = {"campaign_id": world.rows["campaign"].id, "lead_id": lead_id}
    assert (await post(client, world, "/compliance/check", body))["rule"] == "dnc"
    other = world.rows["other_client"].id
    await post(client, world, "/people/object", {"number": WRITTEN, "client_id": other}, status=404)


async def test_a_token_of_some_campaigns_has_no_say_over_people(client: Client, world: World) -> None:
    campaign = world.rows["campaign"]
    assert isinstance(campaign, Campaign)
    await world.token("narrow", world.rows["group"].id, role="manager", campaign_ids=[campaign.id])
    async with client.post("/api/v1/people/access", headers=world.auth("narrow"), json={"number": NUMBER}) as response:
        assert response.status == 403
