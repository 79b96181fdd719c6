"""A restart, a kill -9 and a failover at noon: the morning's figures are still there, each call in them once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from daemon.calls.records import Agent, Campaign
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import open_office

CROWD = people.People(answer_chance=0.6, busy_share=0.3, talk_mean_s=20.0, ring_mean_s=3.0, machine_share=0.0)
AGENTS = 3


async def restart(world: World) -> None:
    """As systemd does it: ended in order, and begun anew."""
    world._daemon_task.cancel()
    await asyncio.gather(world._daemon_task, return_exceptions=True)
    await world.start()


async def kill(world: World) -> None:
    world.kill()
    await asyncio.sleep(3.0)
    await world.start()


async def other_machine(world: World) -> None:
    await world.kill_and_start_other()


def view(world: World, table: str, id: int) -> Any:
    return world.app.hub.view()[table][str(id)]


def shown(world: World, campaign: Campaign) -> dict[str, Any]:
    """What a supervisor reads."""
    seen = view(world, "campaigns", campaign.id)
    return {
        "outcomes": dict(seen.outcomes),
        "answer_rate": seen.answer_rate,
        "occupancy": seen.occupancy,
        "agents": {agent.id: dict(view(world, "agents", agent.id).today) for agent in world.agents},
    }


def kept(world: World) -> dict[str, Any]:
    """The same from the rows: every call, every interval of the agents that is over."""
    assert world.store is not None
    rows = list(world.store.tables.attempts.values())
    agents: dict[int, Counter[str]] = {agent.id: Counter() for agent in world.agents}
    for row in rows:
        agents.get(row.agent_id, Counter())["sales"] += row.sale
    for id, history in world.store.tables.intervals.items():
        agents[id]["calls"] = len({part.attempt_id for part in history if part.state == "on_call"})
        for part in history:
            if part.ended_at is not None:
                spent = (part.ended_at - part.started_at).total_seconds()
                agents[id]["ready_s"] += spent * (part.state == "ready")
                agents[id]["talk_s"] += spent * (part.state in ("on_call", "on_hold"))
                agents[id]["handling_s"] += spent * (part.state in ("on_call", "on_hold", "wrap_up"))
    handling, ready = (sum(agent[name] for agent in agents.values()) for name in ("handling_s", "ready_s"))
    placed = [row for row in rows if row.placed_at is not None]
    return {
        "outcomes": dict(Counter(row.outcome for row in rows)),
        "answer_rate": sum(row.answered_at is not None for row in rows) / len(placed),
        "occupancy": handling / (handling + ready),
        "agents": agents,
    }


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["outcomes"] == wanted["outcomes"]
    assert found["answer_rate"] == pytest.approx(wanted["answer_rate"])
    assert found["occupancy"] == pytest.approx(wanted["occupancy"], abs=0.002)
    for id, figures in wanted["agents"].items():
        for name in ("calls", "sales", "ready_s", "talk_s", "handling_s"):
            assert found["agents"][id][name] == pytest.approx(figures[name], abs=1.0), (id, name)


async def quiet(world: World, campaign: Campaign) -> None:
    """Nothing in progress, every fact in the store, and nobody's interval much longer than the view knows."""
    await world.submit(c.PauseCampaign(campaign_id=campaign.id))
    await world.until(lambda: not world.live.calls and not world.runner.pending, 200.0)
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 200.0)
    for agent in world.agents:
        await world.submit(c.SetPaused(agent_id=agent.id))
    await world.until(lambda: not world.runner.pending, 10.0)


async def a_morning(loop: VirtualLoop) -> tuple[World, Campaign]:
    world, campaign = await open_office(loop, CROWD, agents=AGENTS, leads=300, pause_mode="off")
    await asyncio.sleep(300.0)
    return world, campaign


@pytest.mark.feature("DASH-01", clause="a restart, a kill or a failover forgets no figure of the day")
@pytest.mark.parametrize("begin_anew", [restart, kill, other_machine])
def test_nothing_of_the_morning_is_gone(begin_anew: Callable[[World], Awaitable[None]]) -> None:
    """At rest: what is read before is what is read after."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await a_morning(loop)
        await quiet(world, campaign)
        before = shown(world, campaign)
        assert before["outcomes"]["connected"] > 5
        await begin_anew(world)
        await asyncio.sleep(1.0)
        assert_same(shown(world, campaign), before)
        assert_same(before, kept(world))
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature("DASH-01", clause="calls in progress at a restart are in the day's figures once")
@pytest.mark.parametrize("begin_anew", [restart, kill, other_machine])
def test_calls_in_progress_count_once(begin_anew: Callable[[World], Awaitable[None]]) -> None:
    """At work, several times over: the figures are those of the rows."""

    async def main(loop: VirtualLoop) -> None:
        world, campaign = await a_morning(loop)
        for _ in range(3):
            await world.until(lambda: any(call.state == "talking" for call in world.live.calls.values()), 60.0)
            await begin_anew(world)
            await world.submit(c.StartCampaign(campaign_id=campaign.id))
            await asyncio.sleep(100.0)
        await quiet(world, campaign)
        assert_same(shown(world, campaign), kept(world))
        await world.stop()

    run(main, seed=5)


class _SlowSums:
    """A database that takes its time over sums, and nothing else."""

    async def before(self, op: str) -> None:
        if op == "report":
            await asyncio.sleep(60.0)

    async def after(self, op: str) -> None:
        return


@pytest.mark.feature("DASH-01", clause="the day's figures are read while calls are placed; none of those is left out")
def test_slow_sums_hold_nobody_up() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await a_morning(loop)
        assert world.store is not None
        quick, world.store.faults = world.store.faults, _SlowSums()
        world.kill()
        before = len(world.store.tables.attempts)
        await world.start()
        await asyncio.sleep(45.0)
        assert len(world.store.tables.attempts) > before, "it dials"
        early = sum(shown(world, campaign)["outcomes"].values())
        await asyncio.sleep(100.0)
        assert sum(shown(world, campaign)["outcomes"].values()) > early + before / 2
        world.store.faults = quick
        await quiet(world, campaign)
        assert_same(shown(world, campaign), kept(world))
        await world.stop()

    run(main, seed=5)


@pytest.mark.feature("DASH-01", clause="a campaign and an agent that leave a site and come back keep their day")
def test_who_comes_back_has_had_a_morning() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await a_morning(loop)
        assert world.store is not None
        await quiet(world, campaign)
        before, agent = shown(world, campaign), world.agents[0]
        await world.submit(c.SignOut(agent_id=agent.id))
        for site in ("elsewhere", "main"):
            await world.store.update(Agent, agent.id, {"site": site}, None)
            await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))
            await world.store.update(Campaign, campaign.id, {"site": site}, None)
            await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
            await asyncio.sleep(1.0)
            assert (str(campaign.id) in world.app.hub.view()["campaigns"]) is (site == "main")
        await asyncio.sleep(5.0)
        assert_same(shown(world, campaign), before)
        await world.stop()

    run(main, seed=5)
