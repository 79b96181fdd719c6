"""Customers given to somebody outside, calls without an agent session, and a daemon that dies in the middle of it; on
simulated time, with the fake PBX's ledger as the witness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from daemon.calls.ids import third_of
from daemon.calls.records import Blocked
from daemon.engine import commands as c
from daemon.errors import CommandError
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

pytestmark = pytest.mark.timeout(120)
PATIENT = people.People(answer_chance=1.0, talk_mean_s=9e6, ring_mean_s=2.0, machine_share=0.0)
MODES = ("asyncagi", "dialplan")
PHONE, COLLEAGUE, OUTSIDE = "1001", "1002", "+33199009876"


async def conversation(loop: VirtualLoop, mode: str, **fields: Any) -> tuple[World, Any, Any]:
    """Two agents at work, one of whom talks: world, that desk, the call."""
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


async def clicked(loop: VirtualLoop, mode: str) -> tuple[World, Any]:
    """A click-to-call in conversation, nobody signed in: world, call."""
    world = World(loop, seed=5, mode=mode, pbx_config=pbx(6, PATIENT))
    await world.furnish(agents=0, leads=0)
    await world.start()
    assert world.group is not None
    id = world.live.new_id()
    await world.submit(
        c.CallExtension(attempt_id=id, site="main", group_id=world.group.id, extension=PHONE, e164="+33199000123")
    )
    call = world.live.calls[id]
    await world.until(lambda: call.state == "talking", 60.0)
    return world, call


def channel_of(world: World, leg: str) -> Any:
    return world.fake.channels.get(leg)


def together(world: World, *legs: str) -> bool:
    """Whether these legs, and no others, share a bridge."""
    channels = [channel_of(world, leg) for leg in legs]
    bridges = {channel.bridge for channel in channels if channel is not None}
    (bridge,) = bridges if len(bridges) == 1 else (None,)
    return bridge is not None and {ch.uniqueid for ch in bridge.channels} == set(legs)


def hangs_up(world: World, leg: str) -> None:
    channel_of(world, leg).far_end.say_goodbye()


def thirds(world: World) -> list[str]:
    """Legs of third parties that the PBX has, whoever made them."""
    return [uid for uid in world.fake.channels if third_of(uid) is not None]


def outcome(world: World, call: Any) -> str:
    assert world.store is not None
    row = world.store.tables.attempts[call.attempt_id]
    assert row.ended_at is not None
    return str(row.outcome)


async def over(world: World, call: Any) -> str:
    """Everything is over: nothing left on the PBX but free agents' phones, lines given back. The outcome."""
    await world.until(lambda: call.attempt_id not in world.live.calls, 60.0)
    await asyncio.sleep(12.0)
    agents = {desk.leg for desk in world.live.desks.values()}
    assert [uid for uid in world.fake.channels if uid not in agents] == []
    assert not world.live.sides and not world.live.passing
    assert all(line.in_use == 0 for line in world.live.pool.lines.values())
    for desk in world.live.desks.values():
        assert desk.call is None and desk.state in ("ready", "wrap_up", "paused"), desk.state
    return outcome(world, call)


def plays(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    run(main, seed=5)


# ---- click-to-call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_clicked_call_is_held_and_resumed(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, call = await clicked(loop, mode)
        phone = call.desk.leg
        await world.submit(c.HoldCall(attempt_id=call.attempt_id))
        await world.until(lambda: call.parked, 5.0)
        assert channel_of(world, call.leg).music == "default"
        await asyncio.sleep(20.0)
        assert call.state == "held" and channel_of(world, phone) is not None, "the phone stays up meanwhile"
        await world.submit(c.ResumeCall(attempt_id=call.attempt_id))
        await world.until(lambda: together(world, phone, call.leg), 5.0)
        hangs_up(world, call.leg)
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("whom", [{"extension": COLLEAGUE}, {"e164": OUTSIDE}], ids=["phone", "outside"])
def test_a_clicked_call_is_transferred(mode: str, whom: dict[str, Any]) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, call = await clicked(loop, mode)
        phone = call.desk.leg
        await world.submit(c.TransferCall(attempt_id=call.attempt_id, **whom))
        await world.until(lambda: bool(thirds(world)) and together(world, thirds(world)[0], call.leg), 30.0)
        await asyncio.sleep(3.0)
        assert channel_of(world, phone) is None, "the first phone is free"
        assert together(world, thirds(world)[0], call.leg)
        hangs_up(world, thirds(world)[0])
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_clicked_call_comes_back_when_nobody_answers(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, call = await clicked(loop, mode)
        phone = call.desk.leg
        world.fake.config.endpoints[COLLEAGUE].registered = False
        await world.submit(c.TransferCall(attempt_id=call.attempt_id, extension=COLLEAGUE))
        await asyncio.sleep(10.0)
        assert together(world, phone, call.leg)
        hangs_up(world, phone)
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)


# ---- an outside number -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("attended", [False, True], ids=["blind", "attended"])
def test_to_an_outside_number(mode: str, attended: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        if attended:
            await world.submit(c.Consult(agent_id=desk.id, e164=OUTSIDE))
            await world.until(lambda: bool(thirds(world)) and together(world, desk.leg, thirds(world)[0]), 30.0)
            assert channel_of(world, call.leg).music == "default"
            await world.submit(c.CompleteTransfer(agent_id=desk.id))
        else:
            await world.submit(c.TransferCall(agent_id=desk.id, e164=OUTSIDE))
        await world.until(lambda: bool(thirds(world)) and together(world, thirds(world)[0], call.leg), 30.0)
        (third,) = thirds(world)
        assert world.fake.ledger.legs[third].number == "0199009876"
        assert desk.state == "wrap_up" and desk.call is None
        assert sum(line.in_use for line in world.live.pool.lines.values()) == 2, "a line each"
        await asyncio.sleep(20.0)
        hangs_up(world, third)
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("number", ["+33112", "+33899123456", "+333949"])
def test_numbers_that_nobody_is_given_to(number: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, "asyncagi")
        for command in (c.TransferCall(agent_id=desk.id, e164=number), c.Consult(agent_id=desk.id, e164=number)):
            with pytest.raises(CommandError) as caught:
                await world.submit(command)
            assert caught.value.code == "call_forbidden"
        await asyncio.sleep(3.0)
        assert together(world, desk.leg, call.leg) and thirds(world) == [] and call.state == "talking"
        await world.stop()

    plays(main)


def test_nobody_is_given_to_the_blacklist() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, "asyncagi")
        assert world.store is not None and world.group is not None
        row = await world.store.create(Blocked(group_id=world.group.id, e164=OUTSIDE))
        await world.submit(c.ConfigChanged(table="Blocked", ids=(row.id,)))
        with pytest.raises(CommandError) as caught:
            await world.submit(c.TransferCall(agent_id=desk.id, e164=OUTSIDE))
        assert (caught.value.code, caught.value.details["rule"]) == ("call_forbidden", "blacklist")
        await asyncio.sleep(3.0)
        assert together(world, desk.leg, call.leg) and thirds(world) == []
        await world.stop()

    plays(main)


def test_no_line_for_it_leaves_the_conversation_as_it_was() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, "asyncagi")
        for line in world.live.pool.lines.values():
            line.record.capacity = 1
        with pytest.raises(CommandError) as caught:
            await world.submit(c.TransferCall(agent_id=desk.id, e164=OUTSIDE))
        assert caught.value.code == "line_unavailable"
        await asyncio.sleep(3.0)
        assert together(world, desk.leg, call.leg) and thirds(world) == []
        await world.stop()

    plays(main)


# ---- the daemon dies in the middle -----------------------------------------------------------------------------------


@pytest.mark.feature(
    "RELY-06", clause="a restart in the middle of an attended transfer: the customer talks on, no orphan"
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when", ["ringing", "asking", "given", "conference"])
def test_a_restart_in_the_middle_of_an_attended_transfer(mode: str, when: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, e164=OUTSIDE))
        await world.until(lambda: bool(thirds(world)), 10.0)
        if when != "ringing":
            await world.until(lambda: together(world, desk.leg, thirds(world)[0]), 30.0)
        if when == "given":
            await world.submit(c.CompleteTransfer(agent_id=desk.id))
            await world.until(lambda: together(world, call.leg, thirds(world)[0]), 30.0)
        if when == "conference":
            await world.submit(c.Conference(agent_id=desk.id))
            await world.until(lambda: together(world, desk.leg, thirds(world)[0], call.leg), 5.0)
        await asyncio.sleep(0.3)
        world.kill()
        await asyncio.sleep(4.0)
        assert channel_of(world, call.leg) is not None
        await world.start()
        await asyncio.sleep(20.0)
        customer = channel_of(world, call.leg)
        assert customer is not None and customer.bridge is not None, "the customer talks with somebody"
        again = world.live.calls[call.attempt_id]
        assert again.state == "talking"
        if when == "given":
            assert together(world, call.leg, thirds(world)[0])
        else:
            assert thirds(world) == [] and together(world, call.leg, again.desk.leg)
        hangs_up(world, call.leg)
        assert await over(world, again) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.feature(
    "RELY-06", clause="a restart of a conference that its agent has left: the two talk on, and whoever stays is let go"
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("who", ["customer", "third", "both at once", "while away"])
def test_a_restart_of_a_conference_without_its_agent(mode: str, who: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.Consult(agent_id=desk.id, e164=OUTSIDE))
        await world.until(lambda: bool(thirds(world)) and together(world, desk.leg, thirds(world)[0]), 30.0)
        (third,) = thirds(world)
        await world.submit(c.Conference(agent_id=desk.id))
        await world.until(lambda: together(world, desk.leg, third, call.leg), 5.0)
        await world.submit(c.LeaveConference(agent_id=desk.id))
        await world.until(lambda: together(world, third, call.leg), 5.0)
        await asyncio.sleep(2.0)
        world.kill()
        await asyncio.sleep(2.0)
        if who == "while away":
            hangs_up(world, third)
        await asyncio.sleep(2.0)
        await world.start()
        await asyncio.sleep(20.0)
        again = world.live.calls.get(call.attempt_id)
        if who != "while away":
            assert together(world, third, call.leg), "they talk on"
            assert again is not None and again.state == "talking"
            assert all(d.call is None and d.state != "on_call" for d in world.live.desks.values())
            for leg in {"customer": [call.leg], "third": [third]}.get(who, [third, call.leg]):
                hangs_up(world, leg)
        elif again is not None:
            customer = channel_of(world, call.leg)
            assert customer is not None and customer.bridge is not None and len(customer.bridge.channels) > 1, (
                "who was left alone meanwhile talks with an agent"
            )
            hangs_up(world, call.leg)
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.feature(
    "RELY-06", clause="a restart while a customer is on hold: held still, and connected, never abandoned"
)
@pytest.mark.parametrize("mode", MODES)
def test_a_restart_while_the_customer_is_on_hold(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        await world.submit(c.HoldCall(agent_id=desk.id))
        await world.until(lambda: call.parked, 5.0)
        await asyncio.sleep(1.0)
        world.kill()
        await asyncio.sleep(4.0)
        await world.start()
        await asyncio.sleep(30.0)
        again = world.live.calls[call.attempt_id]
        assert again.state == "held" and world.live.desks[desk.id].state == "on_hold"
        await world.submit(c.ResumeCall(agent_id=desk.id))
        await world.until(lambda: together(world, world.live.desks[desk.id].leg, again.leg), 5.0)
        hangs_up(world, again.leg)
        assert await over(world, again) == "connected"
        await world.stop()

    plays(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_restart_while_a_clicked_call_is_on_hold(mode: str) -> None:
    """Which phone held it, nobody knows any more: both are let go at once, instead of ten minutes of music."""

    async def main(loop: VirtualLoop) -> None:
        world, call = await clicked(loop, mode)
        await world.submit(c.HoldCall(attempt_id=call.attempt_id))
        await world.until(lambda: call.parked, 5.0)
        await asyncio.sleep(1.0)
        world.kill()
        await asyncio.sleep(4.0)
        await world.start()
        await asyncio.sleep(5.0)
        assert list(world.fake.channels) == []
        assert await over(world, call) == "connected"
        await world.stop()

    plays(main)
