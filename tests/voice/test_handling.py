"""What agents and supervisors do with a call, on simulated time, in both control modes that can; the fake PBX's ledger
is the witness: nobody is left on the line alone, every call has one outcome, every agent is free again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from daemon.engine import commands as c
from daemon.engine.publish import agent_view
from daemon.engine.views import for_the_agent
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

pytestmark = pytest.mark.timeout(120)
PATIENT = people.People(answer_chance=1.0, talk_mean_s=9e6, ring_mean_s=2.0, machine_share=0.0)
MODES = ("asyncagi", "dialplan")
ASKED = "1003"


async def conversation(loop: VirtualLoop, mode: str, **fields: Any) -> tuple[World, Any, Any]:
    """A world with two agents at work, one of whom talks: world, that desk, the call."""
    world = World(loop, seed=5, mode=mode, pbx_config=pbx(6, PATIENT))
    campaign = await world.furnish(agents=2, leads=1, **fields)
    await world.start()
    for agent in world.agents:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: any(desk.state == "on_call" for desk in world.live.desks.values()), 60.0)
    desk = next(desk for desk in world.live.desks.values() if desk.state == "on_call")
    return world, desk, desk.call


def channel_of(world: World, leg: str) -> Any:
    return world.fake.channels.get(leg)


def together(world: World, *legs: str) -> bool:
    """Whether these legs, and no others, share a bridge."""
    channels = [channel_of(world, leg) for leg in legs]
    bridges = {channel.bridge for channel in channels if channel is not None}
    (bridge,) = bridges if len(bridges) == 1 else (None,)
    return bridge is not None and {ch.uniqueid for ch in bridge.channels} == set(legs)


def far_end_leaves(world: World, leg: str) -> None:
    channel = channel_of(world, leg)
    if channel is not None and channel.far_end is not None:
        channel.far_end.say_goodbye()


def side(world: World) -> Any:
    return next(iter(world.live.sides.values()), None)


async def finished(world: World, call: Any) -> str:
    """Everything is over: one outcome, no leg of the call left, agents free. The outcome."""
    await world.until(lambda: call.state == "ended", 60.0)
    await asyncio.sleep(12.0)
    assert not world.live.sides and not world.live.calls
    agents = {desk.leg for desk in world.live.desks.values()}
    left = [uid for uid in world.fake.channels if uid not in agents]
    assert not left, left
    for desk in world.live.desks.values():
        assert desk.call is None and desk.state in ("ready", "wrap_up", "paused"), (desk.state, desk.leg_state)
        assert not desk.leg or channel_of(world, desk.leg).bridge is None
    assert world.store is not None
    row = world.store.tables.attempts[call.attempt_id]
    assert row.ended_at is not None
    return str(row.outcome)


def plays(main: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    run(main, seed=5)


@pytest.mark.parametrize("mode", MODES)
def test_hold_and_back(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.HoldCall(agent_id=desk.id))
        await world.until(lambda: call.parked, 5.0)
        assert desk.state == "on_hold" and channel_of(world, call.leg).music == "default"
        await asyncio.sleep(30.0)
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, call.leg), 5.0)
        assert (desk.state, call.state) == ("on_call", "talking")
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        assert world.store.tables.attempts[call.attempt_id].talk_s > 30.0  # type: ignore[union-attr]
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_attended_transfer(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, extension=ASKED))
        await world.until(lambda: together(world, desk.leg, side(world).leg), 20.0)
        assert channel_of(world, call.leg).music == "default"
        await world.submit(c.CompleteTransfer(agent_id=desk.id))
        await world.until(lambda: together(world, side(world).leg, call.leg), 5.0)
        assert desk.state == "wrap_up" and desk.call is None
        await asyncio.sleep(20.0)
        assert together(world, side(world).leg, call.leg)
        far_end_leaves(world, side(world).leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_asked_and_taken_back(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, extension=ASKED))
        await world.until(lambda: together(world, desk.leg, side(world).leg), 20.0)
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, call.leg), 5.0)
        assert desk.state == "on_call"
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answers", [True, False])
def test_blind_transfer_never_loses_the_customer(mode: str, answers: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        if not answers:
            world.fake.config.endpoints[ASKED].registered = False
        await world.submit(c.TransferCall(agent_id=desk.id, extension=ASKED))
        await asyncio.sleep(0.5)
        if answers:
            assert desk.state == "wrap_up", "free at once"
            await world.until(lambda: together(world, side(world).leg, call.leg), 20.0)
        else:
            await world.until(lambda: call.state == "talking", 20.0)
            assert call.desk is not None and together(world, call.desk.leg, call.leg)
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_conference_and_the_agent_leaves(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, extension=ASKED))
        await world.until(lambda: together(world, desk.leg, side(world).leg), 20.0)
        await world.submit(c.Conference(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, side(world).leg, call.leg), 5.0)
        await asyncio.sleep(1.0)
        assert desk.state == "on_call" and call.state == "talking"
        await world.submit(c.LeaveConference(agent_id=desk.id))
        await world.until(lambda: together(world, side(world).leg, call.leg), 5.0)
        assert desk.state == "wrap_up"
        far_end_leaves(world, side(world).leg)
        assert await finished(world, call) == "connected", "nobody is left alone in the room"
        await world.stop()

    plays(main)


@pytest.mark.feature("SUPV-01", clause="listen, whisper and take over from the supervisor's extension; audited")
@pytest.mark.parametrize("mode", MODES)
def test_listen_whisper_take_over(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, by="Chef"))
        await world.until(lambda: side(world).state == "listening", 20.0)
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, mode="whisper", by="Chef"))
        assert len(world.live.sides) == 1, "the same phone"
        await world.submit(c.TakeOver(agent_id=desk.id, by="Chef"))
        await world.until(lambda: together(world, side(world).leg, call.leg), 5.0)
        await asyncio.sleep(5.0)
        assert desk.state == "wrap_up" and together(world, side(world).leg, call.leg)
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        assert world.store is not None
        done = [row["what"] for row in world.store.tables.audit if row["what"].startswith("supervision")]
        assert done == ["supervision.listen", "supervision.whisper", "supervision.take_over"]
        await world.stop()

    plays(main)


@pytest.mark.parametrize("silent", [True, False])
def test_the_sites_setting_says_whether_agents_know_who_listens(silent: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, _ = await conversation(loop, "dialplan")
        world.live.site = msgspec.structs.replace(world.live.site, silent_listening=silent)
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, by="Chef"))
        await world.until(lambda: side(world).state == "listening", 20.0)
        shown = agent_view(desk, world.live)
        assert shown.listeners == ("Chef listen",)
        assert for_the_agent(shown).listeners == (() if silent else ("Chef listen",))
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, mode="whisper", by="Chef"))
        assert for_the_agent(agent_view(desk, world.live)).listeners == ("Chef whisper",)
        await world.stop()

    plays(main)


def test_basic_says_that_it_can_t() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, "basic", nailed=0)
        for command in (
            c.HoldCall(agent_id=desk.id),
            c.Consult(agent_id=desk.id, extension=ASKED),
            c.TransferCall(agent_id=desk.id, extension=ASKED),
            c.TakeOver(agent_id=desk.id, extension=ASKED),
        ):
            with pytest.raises(CommandError) as caught:
                await world.submit(command)
            assert caught.value.code == "not_possible_here"
        assert together(world, desk.leg, call.leg)
        await world.submit(c.Supervise(agent_id=desk.id, extension=ASKED, by="Chef"))
        await world.until(lambda: side(world).state == "listening", 20.0)
        far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)
