"""Agents' states, pauses, wrap-up and callbacks on simulated time, with restarts of the daemon in the middle."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from daemon.calls.records import Campaign, PauseMode
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import customers, dialled, open_office

pytestmark = pytest.mark.timeout(300)

EVERYBODY = people.People(answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=3.0, machine_share=0.0)
NOBODY = people.People(answer_chance=0.0, busy_share=0.0, unallocated_share=0.0, congestion_share=0.0)


async def _by_hand(
    loop: VirtualLoop, crowd: people.People, *, agents: int = 1, **fields: Any
) -> tuple[World, Campaign]:
    """An office whose agents do nothing by themselves."""
    world, campaign = await open_office(loop, crowd, agents=agents, at_work=False, **fields)
    for agent in world.agents:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
    return world, campaign


async def _refused(world: World, command: c.AnyCommand) -> str:
    with pytest.raises(CommandError) as caught:
        await world.submit(command)
    return caught.value.code


async def _restart(world: World) -> None:
    world.kill()
    await asyncio.sleep(8.0)
    await world.start()


@pytest.mark.feature(
    "STAT-05", clause="wrap-up until the disposition, or its time is over: default status, logged as such"
)
def test_no_next_call_before_the_disposition() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await _by_hand(loop, EVERYBODY, leads=5, wrap_up_max_s=40.0)
        (agent,) = world.agents
        desk = world.live.desks[agent.id]
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: desk.state == "wrap_up", 200.0)
        first = desk.last_call.attempt_id
        assert await _refused(world, c.SetReady(agent_id=agent.id)) == "disposition_required"
        await asyncio.sleep(38.0)
        assert desk.state == "wrap_up" and len(dialled(world)) == 1
        await asyncio.sleep(3.0)
        assert len(dialled(world)) == 2
        await world.until(lambda: desk.state == "wrap_up" and desk.last_call.attempt_id != first, 200.0)
        second = desk.last_call.attempt_id
        await world.submit(c.Dispose(agent_id=agent.id, attempt_id=second, code="VENTE"))
        await asyncio.sleep(1.0)
        assert len(dialled(world)) == 3, "disposed of: the next one at once"
        assert world.store is not None
        rows = world.store.tables.attempts
        assert (rows[first].disposition, rows[first].disposition_by_default) == ("INJOIGN", True)
        assert (rows[second].disposition, rows[second].disposition_by_default) == ("VENTE", False)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature(
    "PAUS-01", clause="required: not without a code; off: no code; optional: either; unknown ones never"
)
def test_pause_codes_by_the_campaign_s_mode() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await _by_hand(loop, NOBODY)
        (agent,) = world.agents
        assert world.store is not None

        async def mode(value: PauseMode) -> None:
            await world.store.update(Campaign, campaign.id, {"pause_mode": value}, None)  # type: ignore[union-attr]
            await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
            await world.submit(c.SetReady(agent_id=agent.id))

        plain, coded = c.SetPaused(agent_id=agent.id), c.SetPaused(agent_id=agent.id, code="PAUSE")
        desk = world.live.desks[agent.id]
        await mode(PauseMode.REQUIRED)
        assert await _refused(world, plain) == "pause_code_required"
        assert await _refused(world, msgspec.structs.replace(coded, code="SIESTE")) == "pause_code_unknown"
        assert desk.state == "ready"
        await world.submit(coded)
        assert (desk.state, desk.code) == ("paused", "PAUSE")
        await mode(PauseMode.OFF)
        assert await _refused(world, coded) == "pause_code_refused"
        await world.submit(plain)
        assert (desk.state, desk.code) == ("paused", "")
        await mode(PauseMode.OPTIONAL)
        await world.submit(plain)
        await mode(PauseMode.OPTIONAL)
        await world.submit(coded)
        assert (desk.state, desk.code) == ("paused", "PAUSE")
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("PAUS-02", clause="an over-run is flagged to the supervisor when it happens, over a restart too")
def test_a_pause_over_its_time_is_flagged() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await _by_hand(loop, NOBODY, agents=1, calm=True)
        (agent,) = world.agents

        def flagged() -> bool:
            view: Any = world.app.hub.view()["agents"][str(agent.id)]
            return bool(view.over_run)

        await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        await asyncio.sleep(899.0)
        assert not flagged()
        await asyncio.sleep(2.0)
        assert flagged()
        await world.submit(c.SetReady(agent_id=agent.id))
        await asyncio.sleep(1.0)
        assert not flagged()
        await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        await asyncio.sleep(600.0)
        await _restart(world)
        assert not flagged()
        await asyncio.sleep(300.0)
        assert flagged()
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature(
    "PAUS-03", clause="durations add up to the time signed in, within 1 s, over a restart of the daemon"
)
@pytest.mark.feature(
    "AGNT-01", clause="states persist over a restart: pause and its code, ready, conversation, wrap-up"
)
def test_a_day_s_states_add_up_over_a_restart() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(
            loop, EVERYBODY, agents=5, at_work=False, calm=True, leads=200, wrap_up_max_s=30.0
        )
        assert world.store is not None
        world.habits.wrap_up_s = 10.0
        await world.staff(campaign)
        signed_in_at = world.clock.utcnow()
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(120.0)
        paused = world.agents[0]
        await world.submit(c.SetPaused(agent_id=paused.id, code="PAUSE"))
        await world.until(lambda: world.live.desks[paused.id].state == "paused", 120.0)
        await world.until(lambda: sum(d.state == "on_call" for d in world.live.desks.values()) >= 2, 120.0)
        before = {id: (desk.state, desk.code) for id, desk in world.live.desks.items()}
        talking = {id: desk.call.attempt_id for id, desk in world.live.desks.items() if desk.state == "on_call"}
        await _restart(world)
        after = world.live.desks
        assert (after[paused.id].state, after[paused.id].code) == ("paused", "PAUSE")
        for id, attempt in talking.items():
            row = world.store.tables.attempts[attempt]
            still = after[id].call is not None and after[id].call.attempt_id == attempt
            assert still or row.ended_at is not None, "the same conversation goes on, or ended meanwhile"
        assert all(desk.state != "signed_out" for desk in after.values()), before
        await asyncio.sleep(120.0)
        assert after[paused.id].state == "paused"
        await world.submit(c.StopCampaign(campaign_id=campaign.id, hang_up_ringing=True))
        await asyncio.sleep(150.0)
        for agent in world.agents:
            await world.submit(c.SignOut(agent_id=agent.id))
        signed_out_at = world.clock.utcnow()
        await asyncio.sleep(5.0)
        for agent in world.agents:
            rows = [row for row in world.store.tables.intervals[agent.id] if row.state != "signed_out"]
            total = sum((row.ended_at - row.started_at for row in rows if row.ended_at), timedelta())
            assert abs((total - (signed_out_at - signed_in_at)).total_seconds()) <= 1.0, rows
            assert len(rows) > 5 or agent is paused
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("AGNT-01", clause="a wrap-up goes on over a restart, and ends with a disposition")
def test_a_wrap_up_survives_a_restart() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await _by_hand(loop, EVERYBODY, leads=1, wrap_up_max_s=60.0)
        (agent,) = world.agents
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: world.live.desks[agent.id].state == "wrap_up", 200.0)
        attempt = world.live.desks[agent.id].last_call.attempt_id
        await asyncio.sleep(2.0)
        await _restart(world)
        assert world.live.desks[agent.id].state == "wrap_up"
        await world.submit(c.Dispose(agent_id=agent.id, attempt_id=attempt, code="VENTE"))
        await asyncio.sleep(1.0)
        assert world.store is not None
        assert world.store.tables.attempts[attempt].disposition == "VENTE"
        (lead,) = world.store.tables.leads.values()
        assert lead.blocked_by == "final"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CALB-01", clause="a due callback goes to its owner first, after the grace to the pool")
@pytest.mark.parametrize("owner_works", [True, False])
def test_a_callback_is_its_owner_s_first_then_everybody_s(owner_works: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await _by_hand(loop, EVERYBODY, agents=3, leads=1)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        desks = world.live.desks
        await world.until(lambda: any(desk.state == "wrap_up" for desk in desks.values()), 200.0)
        owner = next(desk for desk in desks.values() if desk.state == "wrap_up")
        due = world.clock.utcnow() + timedelta(seconds=600.0)
        await world.submit(
            c.Dispose(
                agent_id=owner.id, attempt_id=owner.last_call.attempt_id, code="RAPPEL", callback_at=due, then="paused"
            )
        )
        await asyncio.sleep(595.0)
        assert len(dialled(world)) == 1
        if owner_works:
            await asyncio.sleep(65.0)
            assert len(dialled(world)) == 1, "the others wait: it is the owner's"
            await world.submit(c.SetReady(agent_id=owner.id))
            await world.until(lambda: owner.state == "on_call", 90.0)
        else:
            await asyncio.sleep(300.0)
            assert len(dialled(world)) == 1
            await world.until(lambda: any(desk.state == "on_call" for desk in desks.values()), 90.0)
            assert owner.state == "paused"
        assert dialled(world)[1:] == dialled(world)[:1]
        late = customers(world)[1].made_at - (loop.time() - (world.clock.utcnow() - due).total_seconds())
        assert late < 400.0
        await world.stop()

    run(main, seed=1)


@pytest.mark.parametrize("extend_s", [25.0, 0.0])
def test_a_wrap_up_is_extended_once_if_the_campaign_allows_it(extend_s: float) -> None:
    """WCAG 2.2.1: who types slowly asks for more time; the clock still ends it."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await _by_hand(loop, EVERYBODY, leads=5, wrap_up_max_s=20.0, extend_s=extend_s)
        (agent,) = world.agents
        desk = world.live.desks[agent.id]
        more = c.ExtendTime(agent_id=agent.id)
        assert await _refused(world, more) == "no_more_time", "nothing runs out yet"
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: desk.state == "wrap_up", 200.0)
        if extend_s:
            await world.submit(more)
        assert await _refused(world, more) == "no_more_time"
        await asyncio.sleep(19.0)
        assert desk.state == "wrap_up"
        await asyncio.sleep(2.0)
        assert (desk.state == "wrap_up") is bool(extend_s)
        await asyncio.sleep(extend_s)
        assert desk.state != "wrap_up" and desk.disposed, "over all the same"
        if extend_s:
            await world.until(lambda: desk.state == "wrap_up", 200.0)
            await world.submit(more)  # the next one has its own
        await world.stop()

    run(main, seed=1)
