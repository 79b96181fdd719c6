"""The dialler's path on both stores: lease, claims, intents, what an attempt's end does to its lead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList, LeadOrder
from daemon.ports import Store
from tests.store.world import LEASE_S, PARIS, SITE, FixedClock, World, make_world


def numbers(count: int) -> list[str]:
    return [f"+3361234{i:04d}" for i in range(count)]


# -- lease -------------------------------------------------------------------------------------------------------------


async def test_a_held_lease_is_refused_to_others_and_each_new_holding_has_a_higher_fence(store: Store) -> None:
    first = await store.acquire_lease(SITE, "a", 30.0)
    assert first is not None
    assert await store.acquire_lease(SITE, "b", 30.0) is None
    assert await store.renew_lease(first)
    await store.release_lease(first)
    second = await store.acquire_lease(SITE, "b", 30.0)
    assert second is not None
    assert second.fence > first.fence
    assert not await store.renew_lease(first)
    await store.release_lease(first)  # a loser's late word changes nothing
    assert await store.renew_lease(second)


async def test_the_same_holder_gets_its_site_back_with_a_new_fence(store: Store) -> None:
    first = await store.acquire_lease(SITE, "a", 30.0)
    again = await store.acquire_lease(SITE, "a", 30.0)
    assert first is not None
    assert again is not None
    assert again.fence == first.fence + 1
    assert first.silent_s == 0.0
    assert 0.0 <= again.silent_s < 30.0, "heard of a moment ago, not a lease's time"


async def test_sites_have_leases_of_their_own(store: Store) -> None:
    assert await store.acquire_lease("s1", "a", 30.0) is not None
    assert await store.acquire_lease("s2", "b", 30.0) is not None


# -- claims ------------------------------------------------------------------------------------------------------------


async def test_claimed_leads_are_not_claimed_again(world: World) -> None:
    ids = await world.leads(*numbers(5))
    first = await world.claim(3)
    second = await world.claim(3)
    assert [lead.id for lead in first + second] == ids
    assert await world.claim(3) == []


async def test_a_claim_carries_the_lead_and_its_campaign(world: World) -> None:
    await world.leads("+33612345678", first_name="Zoé", fields={"contract": "B12"}, running_contract=True)
    [lead] = await world.claim()
    assert (lead.e164, lead.first_name, lead.fields) == ("+33612345678", "Zoé", {"contract": "B12"})
    assert (lead.campaign_id, lead.client_id, lead.group_id) == (world.campaign.id, world.client.id, world.group.id)
    assert lead.running_contract


async def test_only_open_zones_are_claimed(world: World) -> None:
    await world.leads("+596696123456", tz_group="America/Martinique")
    [paris] = await world.leads("+33612345678")
    assert [lead.id for lead in await world.claim()] == [paris]
    assert await world.claim() == []
    assert len(await world.claim(zones=[PARIS, "America/Martinique"])) == 1
    assert await world.store.tz_groups(world.campaign.id) == ["America/Martinique", PARIS]


async def test_a_list_switched_off_stops_at_once(world: World) -> None:
    await world.leads(*numbers(2))
    await world.store.update(LeadList, world.listed.id, {"active": False}, None)
    assert await world.claim() == []
    assert await world.store.callable_counts(world.campaign.id, world.clock.utcnow()) == {"due": 0, "list_off": 2}
    await world.store.update(LeadList, world.listed.id, {"active": True}, None)
    assert len(await world.claim()) == 2


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (LeadOrder.OLDEST, [0, 1, 2, 3]),
        (LeadOrder.NEWEST, [3, 2, 1, 0]),
        (LeadOrder.PRIORITY, [2, 0, 3, 1]),
        (LeadOrder.LIST_RANK, [0, 1, 2, 3]),
    ],
)
async def test_order_of_calling(
    make_store: Callable[[], Store], clock: FixedClock, order: LeadOrder, expected: list[int]
) -> None:
    store = make_store()
    await store.open()
    world = await make_world(store, clock, order)
    drafts = [LeadDraft(e164=e164, priority=p) for e164, p in zip(numbers(4), [5, 1, 7, 5], strict=True)]
    ids = await store.add_leads(world.listed.id, drafts)
    assert [ids.index(lead.id) for lead in await world.claim()] == expected
    await store.close()


async def test_random_order_is_neither_old_nor_new_first_and_the_same_each_time(
    make_store: Callable[[], Store], clock: FixedClock
) -> None:
    store = make_store()
    await store.open()
    world = await make_world(store, clock, LeadOrder.RANDOM)
    ids = await world.leads(*numbers(40))
    first = [lead.id for lead in await world.claim(40)]
    assert sorted(first) == ids
    assert first not in (ids, ids[::-1])
    assert await store.release_claims(SITE) == 40
    assert [lead.id for lead in await world.claim(40)] == first
    await store.close()


async def test_list_rank_goes_by_the_rank_of_the_lists(make_store: Callable[[], Store], clock: FixedClock) -> None:
    store = make_store()
    await store.open()
    world = await make_world(store, clock, LeadOrder.LIST_RANK)
    late = await world.leads(*numbers(2))
    early_list = await store.create(LeadList(group_id=world.group.id, name="First", rank=-1))
    early = await store.add_leads(early_list.id, [LeadDraft(e164="+33698765432")])
    await store.update(Campaign, world.campaign.id, {"list_ids": [world.listed.id, early_list.id]}, None)
    assert [lead.id for lead in await world.claim()] == early + late
    await store.close()


async def test_a_hot_lead_goes_before_older_ones_and_a_due_callback_before_both(world: World) -> None:
    old = await world.leads(*numbers(2))
    [hot] = await world.leads("+33611111111", priority=9)
    attempt = await world.place(lead_id=old[1])
    due = world.clock.utcnow() + timedelta(hours=1)
    await world.apply(
        world.ended(attempt, Outcome.CONNECTED, old[1], agent_id=4),
        world.disposed(attempt, old[1], "RAPPEL", callback_at=due, callback_agent_id=4, lead_eligible_at=due),
    )
    assert [lead.id for lead in await world.claim(1)] == [hot]
    world.clock.forward(3601)
    [callback] = await world.claim(1)
    assert (callback.id, callback.callback_at, callback.callback_agent_id) == (old[1], due, 4)
    assert [lead.id for lead in await world.claim(5)] == [old[0]]


async def test_recycled_leads_take_the_place_their_rule_gives(world: World) -> None:
    ids = await world.leads(*numbers(3))
    for lead, place in zip(await world.claim(2), ["low", "high"], strict=True):
        attempt = await world.place(lead.e164, lead.id)
        soon = world.clock.utcnow() + timedelta(minutes=1)
        await world.apply(
            world.ended(
                attempt,
                Outcome.NO_ANSWER,
                lead.id,
                lead_eligible_at=soon,
                lead_recycled=True,
                lead_recycle_priority=place,
            )
        )
    world.clock.forward(61)
    assert [lead.id for lead in await world.claim()] == [ids[1], ids[2], ids[0]]


async def test_claims_of_a_dead_daemon_are_given_back_but_not_calls_in_progress(world: World) -> None:
    ids = await world.leads(*numbers(3))
    claimed = await world.claim()
    await world.place(claimed[0].e164, claimed[0].id)
    assert await world.store.release_claims(SITE) == 2
    assert [lead.id for lead in await world.claim()] == ids[1:]
    assert [row.lead_id for row in await world.store.open_attempts(SITE)] == ids[:1]


async def test_a_released_lead_waits_for_its_instant(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    await world.claim()
    until = world.clock.utcnow() + timedelta(minutes=10)
    fact = f.LeadReleased(
        at=world.clock.utcnow(), lead_id=lead_id, campaign_id=world.campaign.id, eligible_at=until, blocked_by="hours"
    )
    await world.apply(fact)
    assert await world.claim() == []
    assert await world.store.callable_counts(world.campaign.id, world.clock.utcnow()) == {"due": 0, "hours": 1}
    world.clock.forward(600)
    assert await world.store.callable_counts(world.campaign.id, world.clock.utcnow()) == {"due": 1}
    assert [lead.id for lead in await world.claim()] == [lead_id]


async def test_a_stale_release_does_not_free_another_holders_lead(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    old = world.lease.fence
    world.lease = await world.store.acquire_lease(SITE, "daemon-a", LEASE_S)  # type: ignore[assignment]
    assert len(await world.claim()) == 1
    fact = f.LeadReleased(at=world.clock.utcnow(), lead_id=lead_id, campaign_id=world.campaign.id)
    await world.apply(fact, fence=old)
    assert await world.claim() == []


async def test_due_and_held_add_up_to_all_leads(world: World) -> None:
    ids = await world.leads(*numbers(6))
    await world.store.update_lead(ids[5], {"blocked_by": "final"})
    await world.store.set_dnc(world.client.id, numbers(6)[4], True, "anna", "page")
    claimed = await world.claim(2)
    refusal = f.RefusalFact(
        at=world.clock.utcnow(),
        lead_id=claimed[0].id,
        campaign_id=world.campaign.id,
        client_id=world.client.id,
        rule="consent",
        clause="no consent",
        rule_set="fr-b2c-2026",
    )
    await world.apply(refusal)
    counts = await world.store.callable_counts(world.campaign.id, world.clock.utcnow())
    assert counts == {"due": 2, "in_progress": 1, "consent": 1, "dnc": 1, "final": 1}


# -- intents -----------------------------------------------------------------------------------------------------------


async def test_intents_get_rising_numbers(world: World) -> None:
    intents = [world.intent(e164) for e164 in numbers(3)]
    result = await world.store.commit_intents(intents, world.lease)
    assert list(result) == [intent.attempt_id for intent in intents]
    assert sorted(result.values()) == list(result.values())
    rows = await world.store.open_attempts(SITE)
    assert [row.number for row in rows] == list(result.values())
    assert rows[0].e164 == numbers(3)[0]


async def test_one_live_attempt_a_person(world: World) -> None:
    first, second, third = world.intent(), world.intent(campaign_id=99), world.intent(client_id=world.client.id + 1)
    assert list(await world.store.commit_intents([first, second], world.lease)) == [first.attempt_id]
    assert await world.store.commit_intents([second], world.lease) == {}
    assert list(await world.store.commit_intents([third], world.lease)) == [third.attempt_id]
    await world.apply(world.ended(first.attempt_id, Outcome.BUSY))
    assert list(await world.store.commit_intents([second], world.lease)) == [second.attempt_id]


async def test_a_repeated_intent_is_refused(world: World) -> None:
    intent = world.intent()
    assert len(await world.store.commit_intents([intent], world.lease)) == 1
    assert await world.store.commit_intents([intent], world.lease) == {}


async def test_a_lost_lease_commits_nothing(world: World) -> None:
    successor = await world.store.acquire_lease(SITE, world.lease.holder, LEASE_S)
    assert await world.store.commit_intents([world.intent()], world.lease) == {}
    assert successor is not None
    assert len(await world.store.commit_intents([world.intent()], successor)) == 1


async def test_a_lease_about_to_end_commits_nothing(world: World) -> None:
    short = await world.store.acquire_lease(SITE, world.lease.holder, 0.9)
    assert short is not None
    assert await world.store.commit_intents([world.intent()], short) == {}


async def test_the_legal_limit_holds_across_campaigns_and_days(world: World) -> None:
    for _ in range(4):
        attempt = await world.place(campaign_id=world.rng.randrange(1, 9))
        await world.apply(world.ended(attempt, Outcome.NO_ANSWER))
        await world.later(86_400)
    assert await world.store.commit_intents([world.intent()], world.lease) == {}
    assert len(await world.store.commit_intents([world.intent(attempts_max=5)], world.lease)) == 1


async def test_attempts_that_do_not_count_in_law_leave_room(world: World) -> None:
    for outcome in (Outcome.CONGESTION, Outcome.NOT_PLACED, Outcome.FAILED, Outcome.UNALLOCATED):
        attempt = await world.place(attempts_max=1)
        await world.apply(world.ended(attempt, outcome, counted=False))
    attempt = await world.place(attempts_max=1)
    await world.apply(world.ended(attempt, Outcome.UNKNOWN))
    assert await world.store.commit_intents([world.intent(attempts_max=1)], world.lease) == {}


async def test_the_legal_window_moves_on(world: World) -> None:
    attempt = await world.place(attempts_max=1)
    await world.apply(world.ended(attempt, Outcome.BUSY))
    await world.later(30 * 86_400 - 1)
    assert await world.store.commit_intents([world.intent(attempts_max=1)], world.lease) == {}
    world.clock.forward(2)
    assert len(await world.store.commit_intents([world.intent(attempts_max=1)], world.lease)) == 1


async def test_no_limit_where_none_is_set(world: World) -> None:
    for _ in range(6):
        attempt = await world.place(attempts_max=0, attempts_days=0)
        await world.apply(world.ended(attempt, Outcome.BUSY))


async def test_an_attempt_closed_before_its_row_was_seen_never_comes_alive(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    [lead] = await world.claim()
    intent = world.intent(lead.e164, lead_id)
    await world.apply(world.ended(intent.attempt_id, Outcome.NOT_PLACED, lead_id, counted=False))
    assert await world.store.commit_intents([intent], world.lease) == {}
    assert [again.id for again in await world.claim()] == [lead_id]


async def test_failures_on_our_side_are_facts_of_the_person(world: World) -> None:
    """Claims and single looks both say when; what never left for the number is none."""
    ends = {
        Outcome.CONGESTION: False, Outcome.FAILED: False, Outcome.NOT_PLACED: False, Outcome.AGENT_NO_ANSWER: False,
        Outcome.NO_ANSWER: True,
    }  # fmt: skip
    failed = []
    for outcome, counted in ends.items():
        attempt = await world.place("+33612345678")
        if outcome in (Outcome.CONGESTION, Outcome.FAILED):
            failed.append(world.clock.utcnow())
        await world.apply(world.ended(attempt, outcome, counted=counted))
        await world.later(60)
    [lead_id] = await world.leads("+33612345678")
    [claimed] = await world.claim()
    looked_at = await world.store.lead_facts(lead_id)
    assert looked_at is not None
    assert claimed.technical_times == looked_at.technical_times == failed
    await world.later(32 * 86_400)
    later = await world.store.lead_facts(lead_id)
    assert later is not None and later.technical_times == []
