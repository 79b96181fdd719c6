"""Modes, levels, speed, order and limits of campaigns, through the whole daemon, as the PBX gets to see them."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import CampaignMode, LeadList, LeadOrder, RecyclingRule
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.checkers import ABANDONED
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import customers, dialled, most_at_once, open_office, tune

pytestmark = pytest.mark.timeout(300)

HALF_ANSWER = people.People(answer_chance=0.5, talk_mean_s=30.0, ring_mean_s=5.0, machine_share=0.0)
NOBODY = people.People(answer_chance=0.0, busy_share=0.0, unallocated_share=0.0, congestion_share=0.0)

TALKATIVE = people.People(answer_chance=1.0, talk_mean_s=3000.0, ring_mean_s=3.0, machine_share=0.0)


@pytest.mark.feature("CAMP-04", clause="abandonment within the cap over an hour of the most aggressive level")
def test_an_hour_of_the_most_aggressive_level_keeps_the_ceiling() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.5, talk_mean_s=40.0, ring_mean_s=7.0, machine_share=0.0)
        world, campaign = await open_office(
            loop, crowd, seed=5, agents=6, calm=True, leads=900, lines=(40,), mode=CampaignMode.PREDICTIVE, level=3,
            speed=10,
        )  # fmt: skip
        world.habits.wrap_up_s = 8.0
        await asyncio.sleep(3600.0)
        assert world.store is not None
        outcomes = [row.outcome for row in world.store.tables.attempts.values()]
        abandoned, connected = outcomes.count("abandoned"), outcomes.count("connected")
        assert connected > 200
        assert 0 < abandoned <= 0.03 * (abandoned + connected) + 1
        assert abandoned == sum(sums[ABANDONED] for sums in world.store.tables.ledger.values())
        assert world.live.campaigns[campaign.id].outcomes["abandoned"] == abandoned
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature("CAMP-07", clause="speed 0 behaves as progressive; a change applies without restart")
def test_speed_zero_is_one_call_an_agent_and_changes_live() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, HALF_ANSWER, agents=6, leads=600, lines=(60,), mode=CampaignMode.PREDICTIVE, level=3, speed=0
        )
        world.habits.wrap_up_s = 5.0
        since = loop.time()
        await asyncio.sleep(400.0)
        assert 1 < most_at_once(world, since, loop.time()) <= 6
        assert world.live.campaigns[campaign.id].outcomes["abandoned"] == 0
        await tune(world, campaign, speed=10)
        since = loop.time()
        await world.until(lambda: len([x for x in customers(world) if x.ended_at is None]) > 6, 600.0)
        await tune(world, campaign, speed=0)
        await asyncio.sleep(60.0)
        since = loop.time()
        await asyncio.sleep(120.0)
        assert most_at_once(world, since, loop.time()) <= 6
        for wrong in (-1, 11):
            with pytest.raises(CommandError) as caught:
                await tune(world, campaign, speed=wrong)
            assert caught.value.code == "field_invalid" and caught.value.details["allowed"] == "0 to 10"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="at the cap the pacer drops to 1:1 until below")
def test_at_the_cap_there_is_one_call_an_agent() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, HALF_ANSWER, agents=6, leads=900, lines=(60,), mode=CampaignMode.PREDICTIVE, level=3, speed=10
        )
        world.habits.wrap_up_s = 5.0
        await world.until(lambda: len([x for x in customers(world) if x.ended_at is None]) > 6, 900.0)
        hour = world.live.campaigns[campaign.id].policy._hour
        world.live.campaigns[campaign.id].policy.ledger.count(hour, abandoned=12)
        await asyncio.sleep(60.0)
        since = loop.time()
        await asyncio.sleep(180.0)
        assert 1 < most_at_once(world, since, loop.time()) <= 6
        assert world.live.campaigns[campaign.id].limit in ("abandonment_room", "one_to_one", "agents", "lines")
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-06", clause="lead reserved, dialled on accept; skip returns it; the reservation expires")
def test_preview_reserves_dials_on_accept_skips_and_expires() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(
            loop, TALKATIVE, agents=2, leads=8, mode=CampaignMode.PREVIEW, preview_timeout_s=30.0
        )
        one, other = world.agents
        desks = world.live.desks
        await world.until(lambda: all(desks[a.id].preview is not None for a in world.agents), 10.0)
        assert desks[one.id].preview.e164 != desks[other.id].preview.e164
        await asyncio.sleep(10.0)
        assert dialled(world) == [], "nothing is dialled before somebody accepts"
        accepted, skipped = desks[one.id].preview, desks[other.id].preview
        await world.submit(c.PreviewDial(agent_id=one.id))
        await world.until(lambda: desks[one.id].state == "on_call", 19.0)
        await world.submit(c.PreviewSkip(agent_id=other.id, reason="unclear"))
        assert dialled(world) == ["0" + accepted.e164[3:]]
        await world.until(lambda: desks[other.id].preview is not None, 10.0)
        shown = desks[other.id].preview
        assert shown.id not in (accepted.id, skipped.id)
        await asyncio.sleep(29.0)
        assert desks[other.id].preview.id == shown.id
        await world.submit(c.ExtendTime(agent_id=other.id))
        await asyncio.sleep(29.0)
        assert desks[other.id].preview.id == shown.id, "kept for longer, as asked"
        await asyncio.sleep(3.0)
        assert desks[other.id].preview is None or desks[other.id].preview.id != shown.id
        with pytest.raises(CommandError) as caught:
            await world.submit(c.PreviewSkip(agent_id=one.id))
        assert caught.value.code == "preview_gone"
        seen = set()

        def back() -> bool:
            preview = desks[other.id].preview
            if preview is not None:
                seen.add(preview.id)
            return {skipped.id, shown.id} <= seen

        await world.until(back, 400.0, 1.0)
        assert dialled(world) == ["0" + accepted.e164[3:]]
        await world.stop()

    run(main, seed=1)


async def _ordered(loop: VirtualLoop, order: LeadOrder, seed: int = 1) -> list[str]:
    """Last four digits of ten leads in the order they are dialled, by one agent whom nobody answers."""
    world = World(loop, seed=seed, mode="dialplan")
    campaign = await world.furnish(agents=1, leads=0, order=order, ring_timeout_s=15.0)
    assert world.store is not None
    late = await world.store.create(LeadList(group_id=campaign.group_id, name="Ranked first", rank=9))
    campaign = await world.store.update(type(campaign), campaign.id, {"list_ids": [world.list.id, late.id]}, None)

    def drafts(start: int) -> list[LeadDraft]:
        return [LeadDraft(e164=f"+3319900{n:04d}", priority=n % 5) for n in range(start, start + 5)]

    await world.store.add_leads(world.list.id, drafts(0))
    await asyncio.sleep(1.0)
    await world.store.add_leads(late.id, drafts(5))
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(3.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: len(dialled(world)) == 10, 600.0, 1.0)
    found = [number[-4:] for number in dialled(world)]
    await world.stop()
    return found


FIRST, LAST = [f"{n:04d}" for n in range(5)], [f"{n:04d}" for n in range(5, 10)]


@pytest.mark.feature("CAMP-10", clause="oldest, newest, priority, list rank, random; deterministic under seed")
@pytest.mark.parametrize("order", [LeadOrder.OLDEST, LeadOrder.NEWEST, LeadOrder.PRIORITY, LeadOrder.LIST_RANK])
def test_leads_are_dialled_in_the_campaign_s_order(order: LeadOrder) -> None:
    async def main(loop: VirtualLoop) -> None:
        found = await _ordered(loop, order)
        if order is LeadOrder.OLDEST:
            assert found == FIRST + LAST
        elif order is LeadOrder.NEWEST:
            assert found == (FIRST + LAST)[::-1]
        elif order is LeadOrder.PRIORITY:
            assert [int(n) % 5 for n in found] == sorted((int(n) % 5 for n in found), reverse=True) or [
                int(n) % 5 for n in found
            ] == sorted(int(n) % 5 for n in found)
        else:
            assert set(found[:5]) in (set(FIRST), set(LAST))

    run(main, seed=1)


@pytest.mark.feature("CAMP-10", clause="oldest, newest, priority, list rank, random; deterministic under seed")
def test_random_order_is_one_order_a_seed() -> None:
    runs: list[list[str]] = []

    async def main(loop: VirtualLoop) -> None:
        runs.append(await _ordered(loop, LeadOrder.RANDOM, seed=7))

    run(main, seed=7)
    run(main, seed=7)
    assert runs[0] == runs[1]
    assert sorted(runs[0]) == FIRST + LAST
    assert runs[0] not in (FIRST + LAST, (FIRST + LAST)[::-1])


@pytest.mark.feature("CAMP-10", clause="attempts ascending: who was tried least comes first")
def test_order_by_attempts_ascending() -> None:
    async def main(loop: VirtualLoop) -> None:
        again = [RecyclingRule(on="no_answer", delay_s=1.0, max_count=10)]
        world, _ = await open_office(loop, NOBODY, agents=1, leads=4, order=LeadOrder.ATTEMPTS, recycling=again)
        await world.until(lambda: len(dialled(world)) >= 5, 300.0, 1.0)
        assert world.store is not None
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199001234")])
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        await world.until(lambda: len(dialled(world)) >= 7, 300.0, 1.0)
        found = dialled(world)
        assert sorted(found[:4]) == [f"019900{n:04d}" for n in range(4)], "each once before any twice"
        assert "0199001234" in found[5:7], "the new one goes before those already tried"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-11", clause="limits per trunk and campaign never exceeded, legs being set up included")
@pytest.mark.parametrize(("lines", "channels", "most"), [((4, 2), 0, 6), ((20,), 5, 5)])
def test_channel_limits_hold(lines: tuple[int, ...], channels: int, most: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(
            loop, HALF_ANSWER, agents=10, leads=300, lines=lines, max_channels=channels, mode=CampaignMode.PREDICTIVE,
            level=3, speed=10,
        )  # fmt: skip
        since = loop.time()
        await asyncio.sleep(200.0)
        assert most_at_once(world, since, loop.time()) == most
        in_use = [line.in_use for line in world.live.pool.lines.values()]
        assert all(used <= capacity for used, capacity in zip(in_use, lines, strict=True))
        await world.stop()

    run(main, seed=1)
