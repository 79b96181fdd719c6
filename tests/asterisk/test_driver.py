"""The AMI driver beside Asterisk's own event log, and through a crash of Asterisk (its contract: test_contract.py)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest

from daemon.ami.client import AmiOptions
from daemon.ami.driver import AmiDriver, DriverOptions
from daemon.calls import events as ev
from daemon.calls.actions import Connect, OriginateAgent, OriginateCustomer
from daemon.calls.events import PbxEvent
from daemon.clock import SystemClock
from tests.asterisk import witness
from tests.asterisk.bed import SECRET, wait_until
from tests.asterisk.conftest import Lab

MODES = ("asyncagi", "dialplan", "basic")
SITE = "drv"
E = TypeVar("E", bound=PbxEvent)
_serial = iter(range(1, 1_000_000))


def customer_leg() -> str:
    return f"{SITE}-{next(_serial):032x}"


def agent_leg(agent_id: int = 7) -> str:
    return f"{SITE}-ag-{agent_id}-{next(_serial):016x}"


class Heard:
    """All the driver delivered, and a way to wait for what it has not yet."""

    def __init__(self) -> None:
        self.events: list[PbxEvent] = []
        self._news = asyncio.Event()

    def deliver(self, event: PbxEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def wait(self, kind: type[E], leg: str = "", count: int = 1, timeout_s: float = 60.0, **fields: Any) -> E:
        """The `count`-th event of this kind (about `leg`, with these field values)."""

        def fits(event: PbxEvent) -> bool:
            about = not leg or getattr(event, "leg", "") == leg
            return isinstance(event, kind) and about and all(getattr(event, k) == v for k, v in fields.items())

        async with asyncio.timeout(timeout_s):
            while True:
                self._news.clear()
                found = [event for event in self.events if fits(event)]
                if len(found) >= count:
                    event = found[count - 1]
                    assert isinstance(event, kind)
                    return event
                await self._news.wait()


@contextlib.asynccontextmanager
async def running(port: int, mode: str) -> AsyncIterator[tuple[AmiDriver, Heard]]:
    """A driver in this mode, logged in as the user who has that mode's rights only, resynced."""
    ami = AmiOptions(
        host="127.0.0.1",
        tcp_port=port,
        username=f"cadran-{mode}",
        secret=lambda: SECRET,
        ping_interval_s=1,
        retry_first_s=0.1,
        retry_max_s=1,
    )
    options = DriverOptions(site=SITE, ami=ami, wanted_mode=mode, extensions=["1001", "1009"])
    driver, heard = AmiDriver(options, clock=SystemClock(), rng=random.Random(1)), Heard()
    task = asyncio.create_task(driver.run(heard.deliver))
    try:
        await heard.wait(ev.PbxSnapshot)
        yield driver, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=MODES)
async def link(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[tuple[AmiDriver, Heard]]:
    async with running(lab.bed.ports.ami, request.param) as pair:
        yield pair
    lab.bed.cli("channel request hangup all")
    wait_until("no channel left", lambda: lab.bed.channels() == [], 60)


def customer(leg: str, number: str) -> OriginateCustomer:
    return OriginateCustomer(
        leg=leg, number=number, trunk="line-a", caller_id="0199000000", ring_timeout_s=3.0, hold_s=30.0
    )


@pytest.mark.feature("PBX-01", clause="a conversation on a real Asterisk, in each AMI mode")
async def test_a_conversation_from_ring_to_end(lab: Lab, link: tuple[AmiDriver, Heard]) -> None:
    """Agent parked, customer answered and parked, both bridged; the customer leaves."""
    driver, heard = link
    mine, theirs = agent_leg(), customer_leg()
    driver.perform(OriginateAgent(leg=mine, agent_id=7, extension="1001", ring_timeout_s=5.0))
    await heard.wait(ev.LegParked, mine)
    driver.perform(customer(theirs, "0199001001"))
    await heard.wait(ev.LegRinging, theirs)
    await heard.wait(ev.LegAnswered, theirs)
    await heard.wait(ev.LegParked, theirs)
    driver.perform(Connect(leg=mine, customer=theirs))
    bridged = await heard.wait(ev.LegBridged, mine)
    assert bridged.peer == theirs
    await heard.wait(ev.LegUnbridged, mine)
    ended = await heard.wait(ev.LegHungUp, theirs)
    assert ended.was_up
    if "nailed_agents" in driver.status().capabilities:
        await heard.wait(ev.LegParked, mine, count=2)
    else:
        await heard.wait(ev.LegHungUp, mine)
    log = await asyncio.to_thread(witness.rows_when_over, lab.bed.cel_file, theirs)
    call = witness.calls(log)[theirs]
    assert (call.number, call.line) == ("0199001001", "line-a")
    assert [conversation.agent_leg for conversation in call.conversations] == [mine]
    assert call.talked_s == pytest.approx(3, abs=2)


@pytest.mark.feature(
    "RELY-04", clause="after a restart of Asterisk the link comes back and knows that all calls are gone"
)
async def test_a_restarted_asterisk_is_noticed(fresh_lab: Lab) -> None:
    async with running(fresh_lab.bed.ports.ami, "asyncagi") as (driver, heard):
        leg = customer_leg()
        driver.perform(customer(leg, "0199001208"))
        await heard.wait(ev.LegParked, leg)
        await asyncio.sleep(3)  # Asterisk tells its age in whole seconds: a younger one can't be told from the next
        await asyncio.to_thread(fresh_lab.bed.kill)
        await heard.wait(ev.LinkDown)
        await asyncio.to_thread(fresh_lab.bed.start)
        assert (await heard.wait(ev.LinkUp, count=2, timeout_s=120)).restarted
        assert (await heard.wait(ev.PbxSnapshot, count=2)).legs == ()


@pytest.mark.feature("S100-07", clause="the PBX's word that a phone is not registered arrives")
async def test_phones_are_known_by_their_registration(lab: Lab) -> None:
    async with running(lab.bed.ports.ami, "dialplan") as (_, heard):
        await heard.wait(ev.ExtensionChanged, extension="1001", state=ev.DeviceState.IDLE)
        await heard.wait(ev.ExtensionChanged, extension="1009", state=ev.DeviceState.UNAVAILABLE)
