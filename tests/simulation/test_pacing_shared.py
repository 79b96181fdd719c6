"""Pacing where agents, lines and leads are not one campaign's alone: nobody overshoots, in the whole daemon."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, CampaignMode, HoursWindow, LeadList
from daemon.dialer.events import PacingSnapshot
from daemon.dialer.explain import sentence_of
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import customers, dialled, most_at_once, open_office, utc_of

pytestmark = pytest.mark.timeout(300)

HALF_ANSWER = people.People(
    answer_chance=0.5, talk_mean_s=30.0, ring_mean_s=5.0, machine_share=0.0, patience_mean_s=15.0, speaks=False
)
EVERYBODY = people.People(
    answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0, patience_mean_s=60.0, speaks=False
)
PREDICTIVE: dict[str, Any] = {"mode": CampaignMode.PREDICTIVE, "level": 3, "speed": 10}


async def beside(world: World, campaign: Campaign, leads: int, **fields: Any) -> Campaign:
    """Another campaign on the same lines and agents, with people of its own."""
    store = world.store
    assert store is not None
    name = f"Another {len(world.live.campaigns)}"
    found = await store.create(LeadList(group_id=campaign.group_id, name=name))
    await store.add_leads(found.id, [LeadDraft(e164=f"+3319901{n:04d}", last_name=f"Q{n}") for n in range(leads)])
    rest = {name: getattr(campaign, name) for name in ("group_id", "client_id", "site", "line_ids", "rule_set")}
    rest |= {"calls_per_second": 20.0, "ring_timeout_s": 15.0, "gap_min_s": 0.0, "wrap_up_max_s": 60.0}
    second = await store.create(Campaign(name=name, list_ids=[found.id], **(rest | fields)))
    await world.submit(c.ConfigChanged(table="Campaign", ids=(second.id,)))
    return second


async def both_at_work(world: World, *campaigns: Campaign) -> None:
    """Every agent works for all of them, and all run."""
    ids = tuple(campaign.id for campaign in campaigns)
    for agent in world.agents:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=ids, ready=True))
    world._tasks.append(asyncio.create_task(world._work(), name="agents"))
    await asyncio.sleep(3.0)
    for id in ids:
        await world.submit(c.StartCampaign(campaign_id=id))


def lawful(world: World) -> None:
    """3 % and a call in every clock hour of every campaign that is over."""
    assert world.store is not None
    hour = utc_of(world, world.loop.time()).replace(minute=0, second=0, microsecond=0)
    past = {key: sums for key, sums in world.store.tables.ledger.items() if key[1] < hour}
    assert past
    for live, abandoned, connected, _ in past.values():
        assert abandoned <= 0.03 * live + 1
        assert live == abandoned + connected


async def to_the_next_hour(world: World) -> None:
    """Until a minute past the full hour."""
    now = utc_of(world, world.loop.time())
    await asyncio.sleep(3660.0 - 60.0 * now.minute - now.second)


def test_two_campaigns_at_speed_zero_place_one_call_an_agent_together() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, first = await open_office(
            loop, HALF_ANSWER, agents=6, at_work=False, leads=200, lines=(60,), mode=CampaignMode.PREDICTIVE, speed=0
        )
        second = await beside(world, first, 200, mode=CampaignMode.PREDICTIVE, speed=0)
        world.habits.wrap_up_s = 5.0
        await both_at_work(world, first, second)
        since = loop.time()
        await asyncio.sleep(240.0)
        assert 4 <= most_at_once(world, since, loop.time()) <= 6
        assert {number[:6] for number in dialled(world)} == {"019900", "019901"}, "both have dialled"
        assert sum(live.outcomes["abandoned"] for live in world.live.campaigns.values()) == 0
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="two predictive campaigns on the same agents and lines stay under the ceiling")
@pytest.mark.feature("CAMP-11", clause="a trunk that two campaigns share is never over its capacity")
def test_two_predictive_campaigns_on_the_same_agents_and_lines() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, first = await open_office(
            loop, HALF_ANSWER, agents=10, at_work=False, calm=True, leads=900, lines=(22,), **PREDICTIVE
        )
        second = await beside(world, first, 900, **PREDICTIVE)
        world.habits.wrap_up_s = 6.0
        await both_at_work(world, first, second)
        since = loop.time()
        await to_the_next_hour(world)
        lawful(world)
        sums = world.live.campaigns
        assert min(sums[each.id].outcomes["connected"] for each in (first, second)) > 60
        assert most_at_once(world, since, loop.time()) <= 22
        await world.stop()

    run(main, seed=2)


@pytest.mark.feature("CAMP-09", clause="a ledger pooled over campaigns: what one spent, the other has not")
def test_a_pooled_ledger_counts_both_campaigns() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, first = await open_office(
            loop, HALF_ANSWER, agents=6, at_work=False, leads=300, lines=(40,), pool_ledger=True, **PREDICTIVE
        )
        assert world.store is not None
        hour = utc_of(world, loop.time()).replace(minute=0, second=0, microsecond=0)
        second = await beside(world, first, 10, pool_ledger=True, mode=CampaignMode.MANUAL)
        alone = await beside(world, first, 10, pool_ledger=False, mode=CampaignMode.MANUAL)
        world.kill()
        world.store.tables.ledger[second.id, hour, "main"] = [400, 40, 360, 0.0]
        await asyncio.sleep(8.0)
        await world.start()
        world.habits.wrap_up_s = 5.0
        await both_at_work(world, first)
        since = loop.time()
        await asyncio.sleep(240.0)
        assert 1 < most_at_once(world, since, loop.time()) <= 6, "no room: one call an agent"
        view = world.app.hub.view()["campaigns"]
        connected = world.live.campaigns[first.id].outcomes["connected"]
        windows = {each.name: each for each in view[str(first.id)].windows}
        assert windows["hour"].abandoned == 40 and windows["hour"].live >= 400 + connected > 410
        others = {each.name: each for each in view[str(second.id)].windows}
        assert others["hour"].live == windows["hour"].live, "and the other way round, live"
        assert all(each.live == 0 for each in view[str(alone.id)].windows)
        await world.stop()

    run(main, seed=1)


def test_who_was_abandoned_is_called_back_only_with_an_agent_kept() -> None:
    """Predictive, full speed, ten people who were abandoned once and answer now: each call has its agent from the
    start, so that two agents never have more than two of them."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, EVERYBODY, agents=2, at_work=False, leads=10, lines=(40,), **PREDICTIVE
        )
        assert world.store is not None
        for lead in world.store.tables.leads.values():
            lead.abandoned_at = utc_of(world, loop.time()) - timedelta(days=9)
        world.habits.wrap_up_s = 3.0
        await both_at_work(world, campaign)
        since = loop.time()
        await world.until(lambda: len(dialled(world)) == 10, 900.0, 1.0)
        assert most_at_once(world, since, loop.time()) == 2
        await asyncio.sleep(60.0)
        rows = list(world.store.tables.attempts.values())
        assert {row.outcome for row in rows} == {"connected"}
        for row in rows:
            reserved = [each for each in _intervals(world) if each.attempt_id == row.id and each.state == "reserved"]
            placed_at = next(step["at"] for step in world.store.tables.events[row.id] if step["kind"] == "placed")
            assert reserved and reserved[0].started_at <= placed_at
        await world.stop()

    run(main, seed=1)


def _intervals(world: World) -> list[Any]:
    assert world.store is not None
    return [row for history in world.store.tables.intervals.values() for row in history]


@pytest.mark.parametrize(("hours", "called"), [(71, 0), (73, 3)])
def test_nobody_abandoned_is_called_back_before_the_rule_set_lets(hours: int, called: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, EVERYBODY, agents=2, at_work=False, leads=3, lines=(40,), rule_set="uk-ofcom", **PREDICTIVE
        )
        assert world.store is not None
        for lead in world.store.tables.leads.values():
            lead.abandoned_at = utc_of(world, loop.time()) - timedelta(hours=hours)
        await both_at_work(world, campaign)
        await asyncio.sleep(120.0)
        assert len(dialled(world)) == called
        await world.stop()

    run(main, seed=1)


def test_room_ends_with_the_hours_the_list_and_nobody_is_counted_who_goes() -> None:
    """What pacing is asked with, in a running daemon: calling left until the campaign's own hours close, leads left,
    and no agent who has asked for a pause."""

    async def main(loop: VirtualLoop) -> None:
        hours = [HoursWindow(days=[2], start="10:00", end="10:50"), HoursWindow(days=[2], start="14:00", end="15:30")]
        world, campaign = await open_office(
            loop, EVERYBODY, agents=4, at_work=False, leads=120, lines=(40,), hours=hours, **PREDICTIVE
        )
        policy = world.live.campaigns[campaign.id].policy
        asked: list[PacingSnapshot] = []
        decide = policy.decide
        policy.decide = lambda snapshot, now: asked.append(snapshot) or decide(snapshot, now)
        await both_at_work(world, campaign)
        await asyncio.sleep(60.0)
        local = utc_of(world, loop.time())
        assert (local.hour, local.minute) == (9, 31), "10:31 in Paris"
        left = (50 - 31) * 60 - local.second
        assert asked[-1].hour_left_s == pytest.approx(left, abs=2.0)
        assert asked[-1].day_left_s == pytest.approx(left + 5400.0, abs=2.0)
        untouched = 120 - len(customers(world))
        assert 0 <= asked[-1].leads_left - untouched <= 40, "as counted a few seconds ago"
        await world.until(lambda: world.live.campaigns[campaign.id].agents["on_call"] >= 2, 60.0, 0.1)
        talking = [desk for desk in world.live.desks.values() if desk.state == "on_call"]
        assert not policy.traffic.leaving().any()
        await world.submit(c.SetPaused(agent_id=talking[0].id, code="PAUSE"))
        assert int(policy.traffic.leaving().sum()) == 1
        await world.submit(c.SetReady(agent_id=talking[0].id))
        assert not policy.traffic.leaving().any()
        await world.stop()

    run(main, seed=1)


def test_a_list_that_ends_within_the_hour_leaves_the_hour_legal() -> None:
    """Room is not borrowed from answers that the list can't bring."""

    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(
            loop, HALF_ANSWER, seed=7, agents=8, calm=True, leads=260, lines=(60,), **PREDICTIVE
        )
        world.habits.wrap_up_s = 5.0
        began = loop.time()
        await world.until(lambda: len(dialled(world)) >= 260 and not world.live.calls, 3000.0, 1.0)
        assert loop.time() - began < 1700.0, "within one clock hour"
        await to_the_next_hour(world)
        lawful(world)
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("AMD-04", clause="people that detection takes for machines are estimated, in the report and live")
def test_people_taken_for_machines_are_estimated() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.9, talk_mean_s=10.0, ring_mean_s=2.0, machine_share=0.3)
        world, campaign = await open_office(loop, crowd, agents=4, leads=40, lines=(20,), amd=True)
        world.habits.wrap_up_s = 2.0
        await world.until(lambda: len(dialled(world)) == 40 and not world.live.calls, 1500.0, 1.0)
        assert world.store is not None
        await asyncio.sleep(5.0)
        rows = await world.store.report("abandonment")
        connected = sum(row["connected"] for row in rows)
        assert connected > 10
        assert sum(row["false_positives"] for row in rows) == pytest.approx(connected * 0.03 / 0.97)
        shown = world.app.hub.view()["campaigns"][str(campaign.id)].pacing["false_positives"]
        assert shown == pytest.approx(connected * 0.03 / 0.97, abs=0.06)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="each decision's inputs, count and reason are live, and stored while dialling")
def test_decisions_are_shown_live_and_stored() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, HALF_ANSWER, agents=6, leads=300, lines=(60,), **PREDICTIVE)
        world.habits.wrap_up_s = 5.0
        assert world.store is not None
        await world.until(lambda: "abandoned of" in _sentence(world, campaign), 600.0, 0.5)
        await asyncio.sleep(60.0)
        view = world.app.hub.view()["campaigns"][str(campaign.id)]
        figures = view.pacing
        assert figures["sentence"].startswith(f"placing {figures['count']}: {figures['ready']} ready, ")
        assert f"{figures['abandoned']} abandoned of {figures['allowed']} allowed" in figures["sentence"]
        assert "permis" in figures["sentence_fr"]
        rows = await world.store.report("pacing", campaign_id=campaign.id)
        assert sum(row["count"] for row in rows) > 20
        told = sentence_of(rows[-1]["count"], rows[-1]["limit"], rows[-1]["figures"])
        assert told.startswith(f"placing {rows[-1]['count']}: ")
        spans = [(b["at"] - a["at"]).total_seconds() for a, b in pairwise(rows)]
        assert min(spans) >= 0.99 and max(spans) <= 6.0, "sampled: at most once a second, at least every few"
        await world.stop()

    run(main, seed=1)


def _sentence(world: World, campaign: Campaign) -> str:
    view = world.app.hub.view()["campaigns"].get(str(campaign.id))
    return str(view.pacing.get("sentence", "")) if view else ""
