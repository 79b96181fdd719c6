"""What holds leads back: each count has the list of its leads, in order of release, page by page, on both stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.calls import facts as f
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList
from tests.store.world import PARIS, World

HOUR = timedelta(hours=1)


async def crowd(world: World) -> LeadList:
    """Two lists: ready, fallen due, waiting for two reasons and none, held for good, claimed; one list is off."""
    store, now = world.store, world.clock.utcnow()
    off = await store.create(LeadList(group_id=world.group.id, name="off", active=False))
    await store.update(Campaign, world.campaign.id, {"list_ids": [world.listed.id, off.id]}, None)
    ids = await world.leads(*(f"+336123456{n:02}" for n in range(14)))
    await world.store.update_lead(ids[0], {"tz_group": "America/Martinique"})
    held = [(3, "recycling", 2), (4, "recycling", 1), (5, "callback", 3), (6, "", 1), (7, "consent", 0),
            (8, "consent", 0), (9, "consent", 4), (10, "recycling", 1)]  # fmt: skip
    for index, reason, hours in held:
        changes = {"blocked_by": reason, "eligible_at": now + hours * HOUR if hours else None}
        await store.update_lead(ids[index], changes)
    await store.update_lead(ids[11], {"blocked_by": "recycling", "eligible_at": now - HOUR})
    there = await store.add_leads(off.id, [LeadDraft(e164=f"+336999999{n:02}", city="Brest") for n in range(3)])
    await store.update_lead(there[1], {"blocked_by": "callback", "eligible_at": now + HOUR})
    await store.update_lead(there[2], {"blocked_by": "final"})
    assert len(await world.claim(2, [PARIS])) == 2
    return off


async def pages(world: World, lists: list[int], reason: str, size: int = 2) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page = await world.store.held_leads(lists, reason, world.clock.utcnow(), size, after)
        rows += page.rows
        assert len(page.rows) <= size
        if page.next_after is None:
            return rows
        after = page.next_after


async def test_each_count_has_the_list_of_its_leads(world: World) -> None:
    off = await crowd(world)
    lists, now = [world.listed.id, off.id], world.clock.utcnow()
    counts = await world.store.callable_counts(world.campaign.id, now)
    by_list = await world.store.list_counts(world.group.id, now)
    assert counts["due"] > 1 and len(counts) == 8
    everybody: list[int] = []
    for reason, n in counts.items():
        rows = await pages(world, lists, reason)
        assert len(rows) == n, reason
        assert n == sum(each.get(reason, 0) for each in by_list.values())
        for each in lists:
            assert len(await pages(world, [each], reason)) == by_list[each].get(reason, 0), (each, reason)
        everybody += [row["id"] for row in rows]
    assert len(everybody) == len(set(everybody)) == 17, "due and held are all leads, each once"


async def test_held_leads_come_by_their_release_and_those_never_freed_last(world: World) -> None:
    off = await crowd(world)
    lists, now = [world.listed.id, off.id], world.clock.utcnow()
    instants = [row["eligible_at"] for row in await pages(world, lists, "recycling")]
    assert instants == [now + HOUR, now + HOUR, now + 2 * HOUR]
    assert [row["eligible_at"] for row in await pages(world, lists, "consent")] == [now + 4 * HOUR, None, None]
    [off_first, off_second] = await pages(world, lists, "list_off")
    assert (off_first["eligible_at"], off_second["eligible_at"]) == (None, now + HOUR)
    assert off_first["city"] == "Brest"
    await world.later(3600)
    assert [row["eligible_at"] for row in await pages(world, lists, "recycling")] == [now + 2 * HOUR]
    assert await pages(world, lists, "waiting") == []


async def test_when_the_next_lead_falls_due_is_told_where_none_is(world: World) -> None:
    await world.leads("+33612345678", "+33612345679")
    now = world.clock.utcnow()
    found = await world.store.lead_counts(world.campaign.id, now)
    assert (found.by_reason, found.next_at) == ({"due": 2}, None)
    first, second = await world.claim(2)
    await world.apply(
        f.LeadReleased(at=now, lead_id=first.id, campaign_id=world.campaign.id, eligible_at=now + 3 * HOUR),
        f.LeadReleased(at=now, lead_id=second.id, campaign_id=world.campaign.id, eligible_at=now + HOUR),
    )
    found = await world.store.lead_counts(world.campaign.id, now)
    assert (found.by_reason, found.next_at) == ({"due": 0, "waiting": 2}, now + HOUR)
    await world.store.update(LeadList, world.listed.id, {"active": False}, None)
    assert (await world.store.lead_counts(world.campaign.id, now)).next_at is None


@pytest.mark.parametrize("after", ["2.0.0", "1.0", "1.0.0.0", "x", "1.-1.0", "1.0.99999999999999999999", "3.0.1"])
async def test_a_place_where_no_page_ended_is_refused(world: World, after: str) -> None:
    with pytest.raises(ValueError):
        await world.store.held_leads([world.listed.id], "due", world.clock.utcnow(), 10, after)
