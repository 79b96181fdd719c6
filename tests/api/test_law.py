"""The law through its public door: what the API answers when asked whether a person may be called (features LEGL)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList
from daemon.engine.commands import LeadsChanged
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]
MOBILE = "+33612345678"
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)


async def person(world: World, e164: str = MOBILE, **fields: Any) -> int:
    draft = LeadDraft(e164=e164, last_name="Durand", **{"consent_at": AGREED, **fields})
    [lead_id] = await world.store.add_leads(world.rows["list"].id, [draft])
    return lead_id


async def asked(client: Client, world: World, lead_id: int, at: str = "", campaign: str = "campaign") -> dict[str, Any]:
    """The verdict at an instant (ISO, with offset); now if none is given."""
    if at:
        world.clock.utc = datetime.fromisoformat(at).astimezone(UTC)
    body = {"campaign_id": world.rows[campaign].id, "lead_id": lead_id}
    path = "/api/v1/compliance/check"
    async with client.post(path, headers=world.auth("supervisor"), json=body) as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def post(client: Client, world: World, path: str, body: dict[str, Any]) -> None:
    async with client.post(f"/api/v1{path}", headers=world.auth("manager"), json=body) as response:
        assert response.status == 200, await response.text()


async def attempts(world: World, campaign: Campaign, lead_id: int, *days_ago: float) -> None:
    """Calls that rang, of this campaign's client, so many days before now."""
    lease = await world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    rows = world.rows
    facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], campaign, lease)  # type: ignore[arg-type]
    now = world.clock.utc
    for days in days_ago:
        world.clock.utc = now - timedelta(days=days)
        attempt = await facts.place(MOBILE, lead_id, site="main", attempts_max=0)
        await facts.apply(facts.ended(attempt, Outcome.NO_ANSWER, lead_id))
    world.clock.utc = now


@pytest.mark.feature("LEGL-01", clause="5th attempt in 30 days blocked from another campaign and list of the client")
async def test_four_attempts_a_client_whatever_the_campaign(client: Client, world: World) -> None:
    group, advertiser = world.rows["group"], world.rows["client"]
    other = await world.store.create(
        Campaign(group_id=group.id, client_id=advertiser.id, name="Autre campagne", site="main")
    )
    elsewhere = await world.store.create(LeadList(group_id=group.id, name="Autre liste"))
    [same_person] = await world.store.add_leads(elsewhere.id, [LeadDraft(e164=MOBILE, consent_at=AGREED)])
    await attempts(world, other, same_person, 20, 10, 5, 2)
    lead_id = await person(world)
    verdict = await asked(client, world, lead_id)
    assert (verdict["allowed"], verdict["rule"]) == (False, "attempts")
    assert datetime.fromisoformat(verdict["until"]) == world.clock.utc + timedelta(days=10)
    verdict = await asked(client, world, lead_id, (world.clock.utc + timedelta(days=10)).isoformat())
    assert verdict["allowed"]


@pytest.mark.feature("LEGL-02", clause="the least gap is kept")
async def test_four_hours_between_attempts(client: Client, world: World) -> None:
    lead_id = await person(world)
    await attempts(world, world.rows["campaign"], lead_id, 3 / 24)
    assert (await asked(client, world, lead_id))["rule"] == "min_gap"
    world.clock.advance(3600)
    assert (await asked(client, world, lead_id))["allowed"]


@pytest.mark.feature("LEGL-03", clause="hours, days and holidays on the called person's clock, clock changes included")
@pytest.mark.parametrize(
    ("e164", "at", "rule"),
    [
        (MOBILE, "2026-11-23T12:59:59+01:00", "allowed"), (MOBILE, "2026-11-23T13:00:00+01:00", "hours"),
        (MOBILE, "2026-11-23T14:00:00+01:00", "allowed"), (MOBILE, "2026-11-21T11:00:00+01:00", "hours"),
        (MOBILE, "2026-11-11T11:00:00+01:00", "holiday"), (MOBILE, "2026-10-26T08:59:59+00:00", "hours"),
        (MOBILE, "2026-10-26T09:00:00+00:00", "allowed"), (MOBILE, "2026-10-23T08:00:00+00:00", "allowed"),
        ("+596696123456", "2026-11-23T10:30:00+01:00", "hours"),
        ("+596696123456", "2026-11-23T10:30:00-04:00", "allowed"),
        ("+33388123456", "2027-03-26T11:00:00+01:00", "holiday"), (MOBILE, "2027-03-26T11:00:00+01:00", "allowed"),
    ],
)  # fmt: skip
async def test_legal_hours(client: Client, world: World, e164: str, at: str, rule: str) -> None:
    assert (await asked(client, world, await person(world, e164), at))["rule"] == rule


@pytest.mark.feature("LEGL-04", clause="campaign hours narrow the legal ones, never widen them")
async def test_campaign_hours_only_narrow(client: Client, world: World) -> None:
    lead_id, campaign = await person(world), world.rows["campaign"]
    wide = [{"days": [1, 2, 3, 4, 5, 6, 7], "start": "08:00", "end": "22:00"}]
    narrow = [{"days": [1], "start": "16:00", "end": "17:00"}]
    for hours, at, rule in (
        (wide, "2026-11-23T13:30:00+01:00", "hours"), (wide, "2026-11-22T11:00:00+01:00", "hours"),
        (narrow, "2026-11-23T15:00:00+01:00", "campaign_hours"), (narrow, "2026-11-23T16:30:00+01:00", "allowed"),
    ):  # fmt: skip
        path = f"/api/v1/campaigns/{campaign.id}"
        async with client.get(path, headers=world.auth("manager")) as response:
            etag = response.headers["ETag"]
        headers = {**world.auth("manager"), "If-Match": etag}
        async with client.patch(path, headers=headers, json={"hours": hours}) as response:
            assert response.status == 200, await response.text()
        assert (await asked(client, world, lead_id, at))["rule"] == rule


@pytest.mark.feature("LEGL-07", clause="a request not to be called holds at once, and the dialler is told")
async def test_the_red_list_holds_at_once(client: Client, world: World) -> None:
    lead_id = await person(world)
    assert (await asked(client, world, lead_id))["allowed"]
    body = {"client_id": world.rows["client"].id, "number": "06 12 34 56 78"}
    await post(client, world, "/dnc", body)
    assert (await asked(client, world, lead_id))["rule"] == "dnc"
    assert world.door.of(LeadsChanged)[-1].e164s == (MOBILE,)
    await post(client, world, "/dnc", {**body, "on": False, "reason": "asked in writing"})
    assert (await asked(client, world, lead_id))["allowed"]


@pytest.mark.feature("LEGL-08", clause="no consent, not dialled; valid a year; revocation wins; running contract")
async def test_consent(client: Client, world: World) -> None:
    lead_id = await person(world, consent_at=None)
    verdict = await asked(client, world, lead_id)
    assert (verdict["rule"], verdict["until"]) == ("consent", None)
    number = {"client_id": world.rows["client"].id, "number": MOBILE}
    proof = {"collected_at": "2026-11-24T10:00:00Z", "source": "site", "text_version": "v3", "ip": "192.0.2.7"}
    await post(client, world, "/consents", {**number, "consent": proof})
    assert (await asked(client, world, lead_id))["allowed"]
    assert (await asked(client, world, lead_id, "2027-11-24T09:59:59Z"))["rule"] != "consent"
    assert (await asked(client, world, lead_id, "2027-11-24T10:00:00Z"))["rule"] == "consent"
    world.clock.utc = datetime(2026, 11, 25, 10, tzinfo=UTC)
    await post(client, world, "/consents/revoke", number)
    verdict = await asked(client, world, lead_id)
    assert verdict["rule"] == "consent" and "revoked" in verdict["clause"]
    contract = await person(world, "+33612345679", consent_at=None, running_contract=True)
    assert (await asked(client, world, contract))["rule"] == "consent"
    changes = {"running_contract": True}
    world.rows["campaign"] = await world.store.update(Campaign, world.rows["campaign"].id, changes, None)
    assert (await asked(client, world, contract))["allowed"]


async def test_the_clause_and_the_rule_set_are_named(client: Client, world: World) -> None:
    verdict = await asked(client, world, await person(world), "2026-11-23T13:00:00+01:00")
    assert verdict["rule_set"] == "fr-b2c-2026" and "D. 223-9" in verdict["clause"]
    assert datetime.fromisoformat(verdict["until"]) == datetime(2026, 11, 23, 13, tzinfo=UTC)


async def test_a_verdict_comes_with_its_proof(client: Client, world: World) -> None:
    """What is known, rule by rule; of a number that no lead has as well."""
    lead_id = await person(world)
    verdict = await asked(client, world, lead_id, "2026-11-24T11:00:00+01:00")
    said = {row["rule"]: (row["allowed"], row["known"]) for row in verdict["evidence"]}
    assert verdict["allowed"] and verdict["article"] == "" and verdict["lead_id"] == lead_id
    assert said["consent"] == (True, "given 2026-09-01 10:00 UTC: valid then")
    path, number = "/api/v1/compliance/check", "+33612345670"
    await post(client, world, "/dnc", {"client_id": world.rows["client"].id, "number": number})
    for asked_of, rule, article in ((number, "dnc", ""), ("+33612345671", "consent", "C. conso. L. 223-1")):
        body = {"campaign_id": world.rows["campaign"].id, "number": asked_of}
        async with client.post(path, headers=world.auth("supervisor"), json=body) as response:
            found = await response.json()
        assert (found["allowed"], found["rule"], found["article"], found["lead_id"]) == (False, rule, article, 0)
        assert [row["rule"] for row in found["evidence"] if not row["allowed"]] == [rule]


async def test_failures_on_our_side_rest_a_number(client: Client, world: World) -> None:
    """They weigh in no law, but ten in a day, over all lists, must not become a hundred."""
    lead_id = await person(world)
    lease = await world.store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    rows = world.rows
    facts = Facts(world.store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
    first = world.clock.utc = datetime(2026, 11, 24, 9, tzinfo=UTC)
    for failures in range(10):
        assert (await asked(client, world, lead_id))["allowed"], failures
        attempt = await facts.place(MOBILE, site="main", attempts_max=0)
        await facts.apply(facts.ended(attempt, Outcome.CONGESTION, counted=False))
        world.clock.utc += timedelta(minutes=10)
    verdict = await asked(client, world, lead_id)
    assert (verdict["allowed"], verdict["rule"]) == (False, "technical")
    assert datetime.fromisoformat(verdict["until"]) == first + timedelta(days=1)


async def typed(client: Client, world: World, number: str, at: str, lead_id: int = 0) -> str:
    """The rule that forbids an agent's typed call; "" if the engine was asked for it."""
    world.clock.utc = datetime.fromisoformat(at).astimezone(UTC)
    body = {"number": number, "campaign_id": world.rows["campaign"].id, "lead_id": lead_id}
    path = f"/api/v1/agents/{world.rows['agent'].id}/dial"
    async with client.post(path, headers=world.auth("agent"), json=body) as response:
        answer = await response.json()
        assert response.status in (202, 403), answer
        return "" if response.status == 202 else str(answer["details"]["rule"])


@pytest.mark.feature("LEGL-07", clause="a number typed by an agent is held too, also after its erasure")
async def test_the_law_holds_for_typed_numbers(client: Client, world: World) -> None:
    noon, later = "2026-11-24T11:30:00+01:00", "2026-11-24T17:00:00+01:00"
    assert await typed(client, world, MOBILE, noon) == ""
    assert await typed(client, world, MOBILE, "2026-11-24T13:30:00+01:00") == "hours"
    world.clock.utc = datetime.fromisoformat(noon).astimezone(UTC)
    lead_id = await person(world)
    await attempts(world, world.rows["campaign"], lead_id, 20, 10, 5, 2)
    assert await typed(client, world, MOBILE, later) == "attempts"
    await post(client, world, "/people/erase", {"number": MOBILE})
    assert await typed(client, world, MOBILE, later) == "attempts", "the counters outlive the erasure"
    other = "+33612345679"
    await post(client, world, "/dnc", {"client_id": world.rows["client"].id, "number": other})
    assert await typed(client, world, other, later) == "dnc"
    await post(client, world, "/people/erase", {"number": other})
    assert await typed(client, world, other, later) == "dnc", "and so does the red list"


@pytest.mark.feature("LEGL-08", clause="a lead dialled by hand needs its consent as well")
async def test_a_lead_dialled_by_hand_needs_its_own_consent(client: Client, world: World) -> None:
    noon = "2026-11-24T11:30:00+01:00"
    agreed, silent = await person(world), await person(world, "+33612345679", consent_at=None)
    assert await typed(client, world, MOBILE, noon, agreed) == ""
    assert await typed(client, world, "+33612345679", noon, silent) == "consent"
    body = {"number": MOBILE, "campaign_id": world.rows["campaign"].id, "lead_id": silent}
    path = f"/api/v1/agents/{world.rows['agent'].id}/dial"
    async with client.post(path, headers=world.auth("agent"), json=body) as response:
        assert response.status == 400 and (await response.json())["details"]["field"] == "lead_id"


@pytest.mark.feature("LEGL-03", clause="the older, wider hours: for companies, or people who agreed to them, alone")
async def test_wider_hours_need_a_company_or_an_agreement(client: Client, world: World) -> None:
    group, advertiser = world.rows["group"], world.rows["client"]
    names: dict[str, dict[str, Any]] = {"plain": {}, "companies": {"business": True}}
    for name, fields in names.items():
        body = {"name": name, "client_id": advertiser.id, "site": "main", "rule_set": "fr-clicsipx-legacy", **fields}
        async with client.post("/api/v1/campaigns", headers=world.auth("manager"), json=body) as response:
            assert response.status == 201, await response.text()
            made = await response.json()
        found = await world.store.get(Campaign, made["id"])
        assert found is not None and found.group_id == group.id
        world.rows[name] = found
    anybody = await person(world)
    agreed = await person(world, "+33612345679", consent_out_of_hours=True)
    stranger = await person(world, "+33612345670", consent_at=None)
    saturday = "2026-11-28T11:00:00+01:00"
    rules = {
        (campaign, lead_id): (await asked(client, world, lead_id, saturday, campaign))["rule"]
        for campaign in names
        for lead_id in (anybody, agreed, stranger)
    }
    assert rules == {
        ("plain", anybody): "out_of_hours",
        ("plain", agreed): "allowed",
        ("plain", stranger): "consent",
        ("companies", anybody): "allowed",
        ("companies", agreed): "allowed",
        ("companies", stranger): "allowed",
    }
    sunday = (await asked(client, world, anybody, "2026-11-29T11:00:00+01:00", "companies"))["rule"]
    assert sunday == "hours"
