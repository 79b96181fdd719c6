"""Callers and agents whose phones ring for each call: reception does not need phones that stay connected (CAMP-05)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls.records import Agent
from daemon.engine import commands as c
from fake_asterisk import Behaviour
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from tests.voice.test_inbound import Reception

MODES = ("asyncagi", "dialplan", "ari")
DEAF = Behaviour(answer_after_s=None)


async def on_demand(
    loop: VirtualLoop, mode: str, agents: int, *, deaf: tuple[str, ...] = (), **inbound: Any
) -> Reception:
    """A reception at work whose agents' phones ring call by call; those named are never picked up."""
    desk = Reception(loop, mode, agents)
    config = desk.world.fake.config
    before = config.behaviour_of
    config.behaviour_of = lambda endpoint, number, rng: DEAF if endpoint in deaf else before(endpoint, number, rng)
    await desk.open(**inbound)
    world = desk.world
    assert world.store is not None
    for agent in world.agents:
        await world.store.update(Agent, agent.id, {"nailed": False}, None)
    await world.submit(c.ConfigChanged(table="Agent", ids=tuple(agent.id for agent in world.agents)))
    await desk.staff()
    return desk


def phones(desk: Reception) -> list[Any]:
    legs = [leg for leg in desk.world.fake.ledger.legs.values() if AGENT.match(leg.uniqueid)]
    return sorted(legs, key=lambda leg: leg.made_at)


@pytest.mark.feature("CAMP-05", clause="a ready agent whose phone must ring first is rung for a caller, and connected")
@pytest.mark.parametrize("mode", MODES)
def test_callers_one_after_the_other(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, mode, 1)
        channels = []
        for n in range(3):
            channels.append(desk.caller(f"061200000{n}", talk_s=10.0))
            await asyncio.sleep(0.5)
        await asyncio.sleep(90.0)
        rows = desk.rows()
        assert [row.outcome for row in rows] == ["connected"] * 3 and desk.missed == []
        assert [row.connected_at for row in rows] == sorted(row.connected_at for row in rows), "in their order"
        rung = phones(desk)
        assert len(rung) == 3 and all(leg.answered_at and leg.ended_at for leg in rung), "once for each"
        assert all(channel.dead for channel in channels)
        (agent,) = desk.world.live.desks.values()
        assert agent.state == "ready" and agent.leg == ""
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("CAMP-05", clause="a phone nobody picks up: its agent is paused, the caller goes to the next")
@pytest.mark.parametrize("mode", MODES)
def test_a_phone_that_nobody_picks_up(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, mode, 2, deaf=("1001",))
        desks = {agent.record.extension: agent for agent in desk.world.live.desks.values()}
        channel = desk.caller(talk_s=10.0)
        await desk.world.until(lambda: channel.bridge is not None, 60.0)
        assert (desks["1001"].state, desks["1002"].state) == ("paused", "on_call")
        await asyncio.sleep(30.0)
        assert [row.outcome for row in desk.rows()] == ["connected"] and len(phones(desk)) == 2
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature(
    "AGNT-01", clause="asked for while the phone rings in vain: signed out, or in that pause, after it"
)
@pytest.mark.parametrize("wanted", ["signed_out", "paused"])
def test_leaving_while_the_phone_rings_for_a_caller(wanted: str) -> None:
    """She had signed out and gone; the board showed her in a pause for the rest of the day."""

    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, "asyncagi", 2, deaf=("1001",))
        world = desk.world
        (agent,) = [agent for agent in world.live.desks.values() if agent.record.extension == "1001"]
        channel = desk.caller(talk_s=10.0)
        await world.until(lambda: agent.state == "reserved" and bool(phones(desk)), 10.0)
        if wanted == "paused":
            await world.submit(c.SetPaused(agent_id=agent.id, code="PAUSE"))
        else:
            await world.submit(c.SignOut(agent_id=agent.id))
        await world.until(lambda: channel.bridge is not None, 60.0)
        assert (agent.state, agent.code) == (wanted, "PAUSE" if wanted == "paused" else "")
        assert agent.next_state is None
        await world.stop()

    run(main, seed=7)


@pytest.mark.parametrize("mode", MODES)
def test_a_caller_who_leaves_while_the_phone_rings(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, mode, 1, deaf=("1001",))
        desk.caller(hangup_after_s=4.0)
        await asyncio.sleep(10.0)
        (leg,) = phones(desk)
        assert leg.ended_at is not None and leg.ended_at - leg.made_at < 6.0, "it does not ring on for nobody"
        (agent,) = desk.world.live.desks.values()
        assert agent.state == "ready" and len(desk.missed) == 1
        desk.world.fake.config.behaviour_of = lambda *_: Behaviour(answer_after_s=1.0, media_s=1e9)
        channel = desk.caller(talk_s=5.0)
        await desk.world.until(lambda: channel.bridge is not None, 20.0)
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_that_ends_while_the_phone_rings(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, mode, 1, deaf=("1001",), wait_max_s=6.0, overflow="box@voicemail")
        channel = desk.caller()
        await asyncio.sleep(8.0)
        (leg,) = phones(desk)
        assert channel.context == "voicemail" and leg.ended_at is not None
        (agent,) = desk.world.live.desks.values()
        assert agent.state == "ready" and agent.call is None
        await asyncio.sleep(30.0)
        assert [row.outcome for row in desk.rows()] == ["missed"]
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.parametrize("mode", MODES)
def test_a_restart_while_the_phone_rings(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await on_demand(loop, mode, 1)
        world = desk.world
        world.fake.config.behaviour_of = lambda *_: Behaviour(answer_after_s=6.0, media_s=1e9)
        channel = desk.caller(talk_s=15.0)
        await world.until(lambda: bool(phones(desk)), 10.0)
        await asyncio.sleep(1.0)
        world.kill()
        await asyncio.sleep(1.0)
        await world.start()
        await world.until(lambda: channel.bridge is not None and len(channel.bridge.channels) > 1, 60.0)
        await asyncio.sleep(60.0)
        (row,) = desk.rows()
        assert row.outcome == "connected" and not world.live.calls
        (agent,) = world.live.desks.values()
        assert agent.call is None and agent.state in ("ready", "wrap_up", "paused")
        assert all(leg.ended_at is not None for leg in phones(desk))
        await world.stop()

    run(main, seed=7)
