"""The AMI driver's contract on a real Asterisk, in each control mode: what the engine relies on really happens.

The witness of each call is Asterisk's own event log and the far end, not the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest

from daemon.ami.client import AmiOptions
from daemon.ami.driver import AmiDriver, DriverOptions
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, OriginateAgent, OriginateCustomer, PlayMessage
from daemon.calls.events import Amd, PbxEvent
from daemon.clock import SystemClock
from tests.asterisk import witness
from tests.asterisk.bed import SECRET, wait_until
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

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

    async def wait(self, kind: type[E], leg: str = "", count: int = 1, timeout_s: float = 12.0, **fields: Any) -> E:
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

    def about(self, leg: str) -> list[type[PbxEvent]]:
        return [type(event) for event in self.events if getattr(event, "leg", "") == leg]


@contextlib.asynccontextmanager
async def running(
    port: int, mode: str, secret: Callable[[], str] = lambda: SECRET
) -> AsyncIterator[tuple[AmiDriver, Heard]]:
    """A driver in this mode, logged in as the user who has that mode's rights only, resynced."""
    async with unchecked(port, f"cadran-{mode}", mode, secret) as (driver, heard):
        await heard.wait(ev.PbxSnapshot)
        assert driver.status().mode == mode
        yield driver, heard


@contextlib.asynccontextmanager
async def unchecked(
    port: int, user: str, mode: str = "auto", secret: Callable[[], str] = lambda: SECRET
) -> AsyncIterator[tuple[AmiDriver, Heard]]:
    ami = AmiOptions(
        host="127.0.0.1",
        tcp_port=port,
        username=user,
        secret=secret,
        ping_interval_s=1,
        retry_first_s=0.1,
        retry_max_s=1,
    )
    options = DriverOptions(site=SITE, ami=ami, wanted_mode=mode, extensions=["1001", "1002", "1009"])
    driver, heard = AmiDriver(options, clock=SystemClock(), rng=random.Random(1)), Heard()
    task = asyncio.create_task(driver.run(heard.deliver))
    try:
        yield driver, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=MODES)
async def link(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[tuple[AmiDriver, Heard]]:
    async with running(lab.bed.ports.ami, request.param) as pair:
        yield pair
    lab.bed.cli("channel request hangup all")
    wait_until("no channel left", lambda: lab.bed.channels() == [], 10)


def customer(leg: str, number: str, **fields: Any) -> OriginateCustomer:
    wanted = {"trunk": "line-a", "caller_id": "0199000000", "ring_timeout_s": 3.0, "hold_s": 30.0, **fields}
    return OriginateCustomer(leg=leg, number=number, **wanted)


def agent(leg: str, extension: str = "1001") -> OriginateAgent:
    return OriginateAgent(leg=leg, agent_id=7, extension=extension, ring_timeout_s=5.0)


def seen(lab: Lab, leg: str) -> witness.CallSeen:
    return witness.calls(witness.rows(lab.bed.cel_file))[leg]


@pytest.mark.feature("PBX-01", clause="a conversation on a real Asterisk, in each AMI mode")
async def test_a_conversation_from_ring_to_end(lab: Lab, link: tuple[AmiDriver, Heard]) -> None:
    """Agent parked, customer answered and parked, both bridged; the customer leaves."""
    driver, heard = link
    mine, theirs = agent_leg(), customer_leg()
    driver.perform(agent(mine))
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
    call = seen(lab, theirs)
    assert (call.number, call.line) == ("0199001001", "line-a")
    assert [conversation.agent_leg for conversation in call.conversations] == [mine]
    assert call.talked_s == pytest.approx(3, abs=1)


async def test_a_nailed_agent_talks_to_one_after_the_other(lab: Lab, link: tuple[AmiDriver, Heard]) -> None:
    driver, heard = link
    if "nailed_agents" not in driver.status().capabilities:
        assert any(entry.startswith("nailed_agents") for entry in driver.status().missing)
        return
    mine, first, second = agent_leg(), customer_leg(), customer_leg()
    driver.perform(agent(mine))
    for count, theirs in enumerate((first, second), start=1):
        await heard.wait(ev.LegParked, mine, count=count)
        driver.perform(customer(theirs, f"01990014{count:02}"))
        await heard.wait(ev.LegParked, theirs)
        driver.perform(Connect(leg=mine, customer=theirs))
        await heard.wait(ev.LegBridged, mine, count=count)
        await heard.wait(ev.LegHungUp, theirs)
    await heard.wait(ev.LegParked, mine, count=3)
    assert [seen(lab, leg).conversations[0].agent_leg for leg in (first, second)] == [mine, mine]
    assert ev.LegHungUp not in heard.about(mine)


@pytest.mark.parametrize(
    ("digits", "cause", "tech_cause"),
    [
        ("20", 17, 486),
        ("21", 1, 404),
        ("22", 21, 603),
        ("23", 34, 503),
        ("24", 19, 480),
        ("29", 1, 404),
        ("30", 19, None),
    ],
)
async def test_how_calls_fail(
    lab: Lab, link: tuple[AmiDriver, Heard], digits: str, cause: int, tech_cause: int | None
) -> None:
    driver, heard = link
    leg = customer_leg()
    driver.perform(customer(leg, f"019900{digits}55"))
    ended = await heard.wait(ev.LegHungUp, leg)
    assert (ended.cause, ended.was_up) == (cause, False)
    if tech_cause is not None and ended.tech_cause is not None:
        assert ended.tech_cause == tech_cause
    assert ev.LegAnswered not in heard.about(leg)
    assert ev.LegFailed not in heard.about(leg)
    assert seen(lab, leg).cause == cause


async def test_an_unregistered_phone_fails_without_a_channel(lab: Lab, link: tuple[AmiDriver, Heard]) -> None:
    driver, heard = link
    leg = agent_leg()
    driver.perform(agent(leg, "1009"))
    await heard.wait(ev.LegFailed, leg)
    assert heard.about(leg) == [ev.LegFailed]
    assert leg not in witness.calls(witness.rows(lab.bed.cel_file))


async def test_hanging_up_a_ringing_leg(link: tuple[AmiDriver, Heard], lab: Lab) -> None:
    driver, heard = link
    leg = customer_leg()
    driver.perform(customer(leg, "0199003001", ring_timeout_s=20.0))
    await heard.wait(ev.LegRinging, leg)
    driver.perform(Hangup(leg=leg))
    await heard.wait(ev.LegHungUp, leg)
    number = "0199003001"
    wait_until("cancelled", lambda: any(s.what == "cancelled" and s.number == number for s in lab.line_a.seen()), 3)


async def test_a_message_is_heard_to_its_end_or_not(lab: Lab, link: tuple[AmiDriver, Heard]) -> None:
    """The safe message lasts 3 s: one customer hears it, one (who leaves after 2 s) doesn't."""
    driver, heard = link
    if "play_message" not in driver.status().capabilities:
        assert any(entry.startswith("play_message") for entry in driver.status().missing)
        return
    patient, hasty = customer_leg(), customer_leg()
    driver.perform(customer(patient, "0199001205"))
    driver.perform(customer(hasty, "0199001105"))
    for leg in (patient, hasty):
        await heard.wait(ev.LegParked, leg)
        driver.perform(PlayMessage(leg=leg, sound="cadran-safe-harbour"))
    for leg in (patient, hasty):
        await heard.wait(ev.LegHungUp, leg)
    assert (await heard.wait(ev.MessagePlayed, patient)).heard
    assert not (await heard.wait(ev.MessagePlayed, hasty)).heard
    assert "Playback" in seen(lab, patient).applications


async def test_machines_are_told_from_people(link: tuple[AmiDriver, Heard]) -> None:
    driver, heard = link
    if "amd" not in driver.status().capabilities:
        assert any(entry.startswith("amd") for entry in driver.status().missing)
        return
    person, machine = customer_leg(), customer_leg()
    driver.perform(customer(person, "0199004001", amd=True))
    driver.perform(customer(machine, "0199004101", amd=True))
    assert (await heard.wait(ev.AmdVerdict, person)).verdict is Amd.HUMAN
    assert (await heard.wait(ev.AmdVerdict, machine)).verdict is Amd.MACHINE
    await heard.wait(ev.LegParked, person)


async def test_the_pbx_itself_ends_a_parked_customer(link: tuple[AmiDriver, Heard], lab: Lab) -> None:
    """Should the daemon be gone, nobody waits for ever."""
    driver, heard = link
    leg = customer_leg()
    driver.perform(customer(leg, "0199001206", hold_s=2.0))
    await heard.wait(ev.LegParked, leg)
    await heard.wait(ev.LegHungUp, leg)
    call = seen(lab, leg)
    assert call.answered is not None
    assert call.ended is not None
    assert call.ended - call.answered == pytest.approx(2, abs=1.2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.feature("RELY-04", clause="after a cut the link comes back and calls go on, in every mode")
async def test_a_cut_link_comes_back_and_calls_go_on(lab: Lab, mode: str) -> None:
    async with Proxy(lab.bed.ports.ami) as proxy, running(proxy.port, mode) as (driver, heard):
        mine, theirs = agent_leg(), customer_leg()
        driver.perform(agent(mine))
        driver.perform(customer(theirs, "0199001207"))
        for leg in (mine, theirs):
            await heard.wait(ev.LegParked, leg)
        proxy.cut()
        await heard.wait(ev.LinkDown)
        snapshot = await heard.wait(ev.PbxSnapshot, count=2)
        assert {leg.leg for leg in snapshot.legs if leg.up and leg.parked} == {mine, theirs}
        assert not (await heard.wait(ev.LinkUp, count=2)).restarted
        driver.perform(Connect(leg=mine, customer=theirs))
        await heard.wait(ev.LegBridged, mine)
        for leg in (mine, theirs):
            driver.perform(Hangup(leg=leg))
        for leg in (mine, theirs):
            await heard.wait(ev.LegHungUp, leg)


@pytest.mark.feature(
    "RELY-04", clause="after a restart of Asterisk the link comes back and knows that all calls are gone"
)
async def test_a_restarted_asterisk_is_noticed(fresh_lab: Lab) -> None:
    async with running(fresh_lab.bed.ports.ami, "asyncagi") as (driver, heard):
        leg = customer_leg()
        driver.perform(customer(leg, "0199001208"))
        await heard.wait(ev.LegParked, leg)
        await asyncio.to_thread(fresh_lab.bed.kill)
        await heard.wait(ev.LinkDown)
        await asyncio.to_thread(fresh_lab.bed.start)
        assert (await heard.wait(ev.LinkUp, count=2, timeout_s=30)).restarted
        assert (await heard.wait(ev.PbxSnapshot, count=2)).legs == ()


@pytest.mark.feature("S100-04", clause="a user who may not originate: the right is named, events keep flowing")
@pytest.mark.feature("PBX-02", clause="rights probed on a real Asterisk, the missing one named")
async def test_a_missing_right_is_named(lab: Lab) -> None:
    async with unchecked(lab.bed.ports.ami, "nocalls") as (driver, heard):
        await heard.wait(ev.PbxSnapshot)
        assert "permission denied: originate" in driver.status().missing
        assert driver.status().up
        lab.bed.cli("channel originate PJSIP/1002 application Wait 1")
        await heard.wait(ev.ExtensionChanged, extension="1002", state=ev.DeviceState.IN_USE)


@pytest.mark.feature("RELY-04", clause="a wrong secret, later mended, needs no hand at the daemon")
async def test_a_mended_secret_heals_the_link(lab: Lab) -> None:
    secret = ["wrong"]
    async with unchecked(lab.bed.ports.ami, "cadran-asyncagi", secret=lambda: secret[0]) as (driver, heard):
        down = await heard.wait(ev.LinkDown)
        assert driver.status().error_code == down.code
        assert "wrong" not in driver.status().error
        secret[0] = SECRET
        await heard.wait(ev.LinkUp)


@pytest.mark.feature("PBX-02", clause="with mode auto the rights decide on a real Asterisk")
@pytest.mark.parametrize(("user", "mode"), [("cadran-asyncagi", "asyncagi"), ("cadran-dialplan", "dialplan")])
async def test_the_mode_follows_from_the_rights(lab: Lab, user: str, mode: str) -> None:
    async with unchecked(lab.bed.ports.ami, user) as (driver, heard):
        await heard.wait(ev.LinkUp)
        assert driver.status().mode == mode
        assert driver.status().mode_reason


@pytest.mark.feature("S100-07", clause="the PBX's word that a phone is not registered arrives")
async def test_phones_are_known_by_their_registration(lab: Lab) -> None:
    async with running(lab.bed.ports.ami, "dialplan") as (_, heard):
        await heard.wait(ev.ExtensionChanged, extension="1001", state=ev.DeviceState.IDLE)
        await heard.wait(ev.ExtensionChanged, extension="1009", state=ev.DeviceState.UNAVAILABLE)
