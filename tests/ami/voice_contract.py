"""What moving, supervising, recording and taking calls in must do on every PBX: run on the fake and a real Asterisk.

Used as tests.ami.contract is; a mode that lacks a capability must refuse, and leave the conversation alone.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from daemon.calls import events as ev
from daemon.calls.actions import (
    AdoptInbound,
    Announce,
    Answer,
    Connect,
    Hangup,
    Join,
    Mute,
    MuteRecording,
    OriginateThird,
    Park,
    SendDigits,
    SetSpyMode,
    Spy,
    StartRecording,
    StopRecording,
)
from daemon.calls.ids import customer_leg, supervisor_leg, third_leg, uuid7
from daemon.clock import SystemClock
from tests.ami.ground import SITE, Ground, Site

MOVING = ("asyncagi", "dialplan", "ari")


def able(site: Site, what: str, mode: str, modes: tuple[str, ...] = MOVING) -> bool:
    """Whether this mode can; that it says so, and only then, is asserted."""
    assert (what in site.driver.status().capabilities) == (mode in modes), what
    return mode in modes


async def third(site: Site, extension: str) -> str:
    """A third party who answers and waits."""
    leg = third_leg(SITE, uuid7(SystemClock().utcnow(), site.rng), site.rng)
    site.driver.perform(OriginateThird(leg=leg, extension=extension, ring_timeout_s=8.0))
    await site.seen(ev.LegParked, leg=leg)
    return leg


async def hold(site: Site, customer: str, agent: str) -> int:
    """The customer waits, the agent too; where the events began."""
    since = len(site.events)
    site.driver.perform(Park(leg=customer))
    await site.seen(ev.LegUnbridged, leg=agent, peer=customer, since=since)
    await site.seen(ev.LegParked, leg=customer, since=since)
    await site.seen(ev.LegParked, leg=agent, since=since)
    assert not site.count(ev.LegHungUp, customer) and not site.count(ev.LegHungUp, agent)
    return since


async def test_hold_and_back_twice(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    if not able(site, "hold", mode):
        site.driver.perform(Park(leg=customer))
        await site.seen(ev.ActionRefused, leg=customer, action="park")
        assert not site.count(ev.LegUnbridged, agent)
        await site.end(customer, agent)
        return
    for _ in range(2):
        await hold(site, customer, agent)
        since = len(site.events)
        site.driver.perform(Connect(leg=agent, customer=customer))
        await site.seen(ev.LegBridged, leg=agent, peer=customer, since=since)
    await site.end(customer)
    await site.seen(ev.LegParked, leg=agent, since=since)
    await site.end(agent)


async def test_attended_transfer(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    if not able(site, "hold", mode):
        await site.end(customer, agent)
        return
    await hold(site, customer, agent)
    other = await third(site, ground.phones["second"])
    site.driver.perform(Connect(leg=agent, customer=other))
    await site.seen(ev.LegBridged, leg=agent, peer=other)
    since = len(site.events)
    site.driver.perform(Park(leg=other))
    await site.seen(ev.LegParked, leg=other, since=since)
    await site.seen(ev.LegParked, leg=agent, since=since)
    site.driver.perform(Connect(leg=other, customer=customer))
    await site.seen(ev.LegBridged, leg=other, peer=customer)
    since = len(site.events)
    site.driver.perform(Hangup(leg=agent))
    await site.seen(ev.LegHungUp, leg=agent)
    await asyncio.sleep(0.2)
    assert not site.count(ev.LegHungUp, customer) and not site.count(ev.LegHungUp, other), "they talk on"
    await site.end(customer)
    await site.seen(ev.LegParked, leg=other, since=since)
    await site.end(other)


async def test_conference_of_three_and_out_of_it(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    if not able(site, "conference", mode):
        await site.end(customer, agent)
        return
    await hold(site, customer, agent)
    other = await third(site, ground.phones["second"])
    for leg in (customer, other, agent):
        site.driver.perform(Join(leg=leg, room="r0017"))
        assert (await site.seen(ev.LegJoined, leg=leg)).room == "r0017"
    since = len(site.events)
    site.driver.perform(Park(leg=agent))
    await site.seen(ev.LegLeft, leg=agent, since=since)
    await site.seen(ev.LegParked, leg=agent, since=since)
    assert not site.count(ev.LegLeft, customer), "the others go on"
    await site.end(other, customer, agent)
    assert site.count(ev.LegBridged, agent) == 1, "a room is no conversation of two"


async def test_mute_and_digits(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    for capability in ("mute", "dtmf"):
        able(site, capability, mode, ("asyncagi", "dialplan", "basic", "ari"))
    for on in (True, False):
        site.driver.perform(Mute(leg=agent, on=on))
    site.driver.perform(SendDigits(leg=customer, digits="12#"))
    site.driver.perform(SendDigits(leg=customer, digits="12x"))
    refused = await site.seen(ev.ActionRefused, leg=customer)
    assert refused.action == "senddigits" and site.count(ev.ActionRefused, agent) == 0
    await site.end(customer, agent)


async def test_listen_whisper_barge(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    able(site, "spy", mode, ("asyncagi", "dialplan", "basic", "ari"))
    spy = supervisor_leg(SITE, 7, SystemClock().utcnow(), site.rng)
    site.driver.perform(Spy(leg=spy, extension=ground.phones["second"], target=agent))
    assert (await site.seen(ev.SpyStarted, leg=spy)).target == agent
    for how in ("whisper", "barge", "listen"):
        site.driver.perform(SetSpyMode(leg=spy, mode=how))
    site.driver.perform(SetSpyMode(leg=spy, mode="shout"))
    await site.seen(ev.ActionRefused, leg=spy, action="setspymode")
    assert not site.count(ev.LegUnbridged, agent)
    await site.end(spy)
    assert not site.count(ev.LegHungUp, customer), "who listened leaves, they talk on"
    await site.end(customer, agent)


async def test_take_over_by_who_listens(site: Site, mode: str, ground: Ground) -> None:
    agent, customer = await site.conversation(ground.numbers["talks"], ground.phones["talker"])
    if not able(site, "hold", mode):
        await site.end(customer, agent)
        return
    spy = supervisor_leg(SITE, 7, SystemClock().utcnow(), site.rng)
    site.driver.perform(Spy(leg=spy, extension=ground.phones["second"], target=agent))
    await site.seen(ev.SpyStarted, leg=spy)
    site.driver.perform(Park(leg=spy))
    await site.seen(ev.LegParked, leg=spy)
    since = len(site.events)
    site.driver.perform(Connect(leg=spy, customer=customer))
    await site.seen(ev.LegBridged, leg=spy, peer=customer, since=since)
    await site.seen(ev.LegParked, leg=agent, since=since)
    assert not site.count(ev.LegHungUp, customer)
    await site.end(customer, spy, agent)


async def test_recording_goes_on_through_a_hold(site: Site, mode: str, ground: Ground) -> None:
    able(site, "record", mode)
    agent = await site.parked_agent(ground.phones["talker"])
    file = "/tmp/cadran-voice-contract.wav"
    customer = await site.parked_customer(ground.numbers["talks"], record=file)
    if able(site, "record_on_demand", mode, ("asyncagi", "ari")):
        site.driver.perform(StartRecording(leg=customer, file=file))
    if mode in MOVING:
        await site.seen(ev.RecordingStarted, leg=customer)
    else:
        site.driver.perform(StartRecording(leg=customer, file=file))
        await site.seen(ev.ActionRefused, leg=customer, action="startrecording")
    site.driver.perform(Connect(leg=agent, customer=customer))
    await site.seen(ev.LegBridged, leg=agent)
    if mode in MOVING:
        for on in (True, False):
            site.driver.perform(MuteRecording(leg=customer, on=on))
        await hold(site, customer, agent)
        assert not site.count(ev.RecordingStopped, customer)
        site.driver.perform(StopRecording(leg=customer))
        await site.seen(ev.RecordingStopped, leg=customer)
        assert not site.count(ev.ActionRefused, customer)
    await site.end(customer, agent)


@pytest.mark.parametrize("how", ["answered", "refused"])
async def test_a_call_comes_in(site: Site, mode: str, ground: Ground, how: str) -> None:
    if not able(site, "inbound", mode):
        return
    assert ground.call_in is not None
    ground.call_in(mode)
    arrived = await site.seen(ev.InboundArrived)
    assert (arrived.did, arrived.caller) == ("0199000001", "0612000077")
    leg = customer_leg(SITE, uuid7(SystemClock().utcnow(), random.Random(8)))
    site.driver.perform(AdoptInbound(leg=leg, channel=arrived.channel))
    await site.seen(ev.LegParked, leg=leg)
    assert not site.count(ev.LegAnswered, leg)
    if how == "refused":
        site.driver.perform(Hangup(leg=leg, cause=17))
        assert (await site.seen(ev.LegHungUp, leg=leg)).cause == 17
        return
    agent = await site.parked_agent(ground.phones["talker"])
    site.driver.perform(Answer(leg=leg, sound=ground.sound))
    await site.seen(ev.LegAnswered, leg=leg)
    site.driver.perform(Announce(leg=leg, sounds=(ground.sound,)))
    await asyncio.sleep(0.3)
    site.driver.perform(Connect(leg=agent, customer=leg))
    await site.seen(ev.LegBridged, leg=agent, peer=leg)
    await site.end(leg, agent)
