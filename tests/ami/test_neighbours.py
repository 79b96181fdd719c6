"""Two Cadrans on one Asterisk, each a site of its own: neither takes the other's legs for calls that come in."""

from __future__ import annotations

import asyncio

import pytest

from daemon.ami.driver import AmiDriver
from daemon.calls import events as ev
from daemon.calls.ids import agent_leg
from daemon.clock import SystemClock
from tests.ami.ground import Ground, hang_up_unseen, site_on
from tests.ami.test_contract import ground  # noqa: F401 - a fixture


@pytest.mark.feature("PBX-04", clause="two daemons on one PBX: what waits for the one is no caller of the other's")
async def test_a_neighbours_legs_are_no_callers(ground: Ground) -> None:  # noqa: F811
    """The other took a leg that waited in AsyncAGI for a call to a number that it doesn't know, and hung it up."""
    async with site_on(ground, "asyncagi") as ours:
        driver = ours.driver
        assert isinstance(driver, AmiDriver)
        theirs = agent_leg("lyo", 7, SystemClock().utcnow(), ours.rng)
        head = {"Action": "Originate", "Channel": f"PJSIP/{ground.phones['talker']}", "ChannelId": theirs}
        await driver._client.send({**head, "Application": "AGI", "Data": "agi:async", "Async": "true"})
        waits = False
        while not waits:
            await asyncio.sleep(0.05)
            listed = await driver._client.collect({"Action": "Status"})
            waits = any(item.get("Uniqueid") == theirs and item.get("Application") == "AGI" for item in listed)
        agent = await ours.parked_agent(ground.phones["second"])  # told behind what was told of theirs
        assert not [event for event in ours.events if isinstance(event, ev.InboundArrived)]
        await ours.end(agent)
    async with site_on(ground, "asyncagi") as again:
        agent = await again.parked_agent(ground.phones["second"])
        assert not [event for event in again.events if isinstance(event, ev.InboundArrived)]
        await again.end(agent)
        await hang_up_unseen(ground, "asyncagi", theirs)
