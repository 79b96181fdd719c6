"""The compliance panel's figures and the lists behind each count, through the API (features LEGL-05)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList
from tests.api.fakes import World
from tests.api.test_law_account import at, get

Client = TestClient[Any, Any]
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)
MORNING = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


async def people(world: World, *numbers: str, **fields: Any) -> list[int]:
    drafts = [LeadDraft(e164=e164, last_name="Durand", **fields) for e164 in numbers]
    return await world.store.add_leads(world.rows["list"].id, drafts)


async def test_legal_hours_stand_by_place_with_their_next_change(client: Client, world: World) -> None:
    await people(world, "+596696123456", tz_group="America/Martinique+972")
    world.clock.utc = MORNING
    [found] = (await get(client, world, "/compliance/hours"))["rule_sets"]
    assert (found["rule_set"], found["clause"]) == ("fr-b2c-2026", "C. conso. D. 223-9")
    assert [(w["from"], w["to"]) for w in found["windows"]] == [("10:00", "13:00"), ("14:00", "20:00")]
    places = {row["zone"]: row for row in found["places"]}
    paris, there = places["Europe/Paris"], places["America/Martinique"]
    assert (paris["local"], paris["open"], paris["until_local"]) == ("10:30", True, "13:00")
    assert (there["local"], there["open"], there["until_local"]) == ("05:30", False, "10:00")
    assert datetime.fromisoformat(there["until"]) == datetime(2026, 11, 24, 14, tzinfo=UTC)
    world.clock.utc = datetime(2026, 11, 11, 10, tzinfo=UTC)
    [found] = (await get(client, world, "/compliance/hours"))["rule_sets"]
    [paris] = [row for row in found["places"] if row["zone"] == "Europe/Paris"]
    assert (paris["open"], paris["holiday"], paris["until_local"], paris["until_day"]) == (
        False,
        True,
        "10:00",
        "12/11",
    )


@pytest.mark.feature(
    "LEGL-05", clause="each blocked attempt is listed behind the day's count, with its rule and article"
)
async def test_each_refusal_counted_is_listed(client: Client, world: World) -> None:
    first, second = await people(world, "+33612345678", "+33612345679")
    facts = await at(world, "2026-11-24T10:30:00+01:00")
    for lead_id, rule in ((first, "hours"), (first, "hours"), (second, "hours"), (second, "min_gap")):
        fact = f.RefusalFact(
            at=world.clock.utc, lead_id=lead_id, campaign_id=world.rows["campaign"].id, client_id=1, rule=rule,
            clause="", rule_set="fr-b2c-2026",
        )  # fmt: skip
        await facts.apply(fact)
    day = await get(client, world, "/compliance/day")
    counts = {row["rule"]: (row["refusals"], row["people"]) for row in day["refused"]}
    assert counts == {"hours": (3, 2), "min_gap": (1, 1)}
    articles = (await get(client, world, "/compliance/articles"))["fr-b2c-2026"]
    for rule, (refusals, concerned) in counts.items():
        rows: list[dict[str, Any]] = []
        after = ""
        while after is not None:
            page = await get(
                client, world, "/compliance/refusals", rule=rule, limit="2", **({"after": after} if after else {})
            )
            rows, after = rows + page["rows"], page["next_after"]
        assert (len(rows), len({row["lead_id"] for row in rows})) == (refusals, concerned)
        assert {row["article"] for row in rows} == {articles.get(rule, "")}
    assert (articles["hours"], "min_gap" in articles) == ("C. conso. D. 223-9", False)
    assert "••" in rows[0]["e164"], "a supervisor sees no whole number"
    for wrong in ("x", "2026-11-24|main|1|1", "2026-11-24T10:00:00Z|main|-1|1"):
        headers = world.auth("supervisor")
        async with client.get("/api/v1/compliance/refusals", headers=headers, params={"after": wrong}) as response:
            assert (response.status, (await response.json())["details"]["field"]) == (400, "after")


async def test_the_register_counts_red_lists_and_consents(client: Client, world: World) -> None:
    world.clock.utc = MORNING
    await people(world, "+33612345678", "+33612345679", consent_at=AGREED)
    await people(world, "+33612345670", consent_at=AGREED - timedelta(days=365))
    client_id = world.rows["client"].id
    await world.store.revoke_consent(client_id, "+33612345679", MORNING)
    await world.store.set_dnc(client_id, "+33612345678", True, "anna", "page")
    found = await get(client, world, "/compliance/register")
    assert found["red_lists"] == [{"client_id": client_id, "size": 1, "added": 1, "removed": 0}]
    assert (found["rule_set"], found["valid_days"]) == ("fr-b2c-2026", 365)
    by_kind = {row.pop("kind"): row for row in found["consents"]}
    assert by_kind == {
        "leads": {"valid": 1, "expired": 1, "withdrawn": 1}, "register": {"valid": 0, "expired": 0, "withdrawn": 1},
    }  # fmt: skip
    assert found["red_lists"] == await world.store.report("red_list_by_client", group_id=1, start=MORNING)
    await world.store.revoke_consent(client_id, "+33612345678", MORNING)
    kept = await get(client, world, "/compliance/register")
    assert kept["consents_at"] == found["consents_at"], "counted once a minute at most, and said so"
    world.clock.utc += timedelta(seconds=60)
    later = await get(client, world, "/compliance/register")
    assert [row["withdrawn"] for row in later["consents"]] == [2, 2]


async def test_due_and_held_are_all_leads_and_each_count_opens(client: Client, world: World) -> None:
    world.clock.utc = MORNING
    ids = await people(world, *(f"+336123456{n:02}" for n in range(7)), city="Brest")
    for id, hours in zip(ids[:3], (2, 1, 3), strict=True):
        changes = {"blocked_by": "recycling", "eligible_at": MORNING + timedelta(hours=hours)}
        await world.store.update_lead(id, changes)
    await world.store.update_lead(ids[3], {"blocked_by": "final"})
    other = await world.store.create(LeadList(group_id=world.rows["group"].id, name="Autre"))
    changes = {"list_ids": [world.rows["list"].id, other.id]}
    await world.store.update(Campaign, world.rows["campaign"].id, changes, None)
    await world.store.add_leads(other.id, [LeadDraft(e164="+33612340000", last_name="Zo")])
    counts = {row.pop("list_id"): row for row in (await get(client, world, "/lead-counts"))["lists"]}
    mine = counts[world.rows["list"].id]
    assert mine == {"total": 7, "due": 3, "held": 4, "by_reason": {"recycling": 3, "final": 1}}
    assert counts[other.id] == {"total": 1, "due": 1, "held": 0, "by_reason": {}}
    campaign = str(world.rows["campaign"].id)
    page = await get(client, world, "/held-leads", campaign_id=campaign, reason="recycling", limit="2")
    rest = await get(client, world, "/held-leads", campaign_id=campaign, reason="recycling", after=page["next_after"])
    assert [row["id"] for row in page["rows"] + rest["rows"]] == [ids[1], ids[0], ids[2]] and rest["next_after"] is None
    assert page["rows"][0]["eligible_at"] == "2026-11-24T10:30:00Z" and page["rows"][0]["city"] == "Brest"
    assert "••" in page["rows"][0]["e164"]
    due = await get(client, world, "/held-leads", campaign_id=campaign)
    assert len(due["rows"]) == 4
    assert (await get(client, world, "/held-leads"))["rows"] == due["rows"], "without a list, all of the group's"
    query = {"list_id": str(other.id), "after": "9"}
    async with client.get("/api/v1/held-leads", headers=world.auth("supervisor"), params=query) as response:
        assert (response.status, (await response.json())["details"]["field"]) == (400, "after")
