"""The defects of panoramisk 1.4 that our link must not have: each is shown on the stock client, then on ours.

The stock client is driven against the same scripted server. Where ours has no such code path at all, the test shows
the behaviour a user would notice instead.
"""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from panoramisk.manager import Manager
from panoramisk.message import Message as StockMessage

from daemon.ami.codec import FieldRefused
from daemon.errors import PbxInDoubt, PbxUnavailable
from daemon.ports.driver import Backoff
from tests.ami.link import Ours, until
from tests.ami.scripted import Action, ScriptedAmi, Session, silent

ORIGINATE = {"Action": "Originate", "ActionID": "par-1", "Channel": "PJSIP/100@trunk", "Async": "true"}


@pytest.fixture
async def pbx() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


@asynccontextmanager
async def stock(pbx: ScriptedAmi, **config: Any) -> AsyncIterator[Manager]:
    """panoramisk as it comes, logged in, with a quick reconnect."""
    manager = Manager(
        host="127.0.0.1", port=pbx.tcp_port, username="u", secret=pbx.secret, loop=asyncio.get_running_loop(), **config
    )
    manager.reconnect_timeout = 0.02
    with warnings.catch_warnings(), suppress(OSError):
        warnings.simplefilter("ignore")
        await manager.connect()
        await until(lambda: manager.authenticated)
    try:
        yield manager
    finally:
        manager.reconnect_timeout = 10_000
        if manager.protocol is not None:
            manager.close()
        gc.collect()


async def cut_on_originate(session: Session, action: Action) -> None:
    """The PBX takes the originate, and the link breaks before its answer."""
    session.server.answers.pop("originate", None)
    session.cut()


async def test_1_an_unanswered_originate_is_never_sent_again(pbx: ScriptedAmi) -> None:
    pbx.answers["originate"] = cut_on_originate
    async with stock(pbx) as manager:
        manager.send_action(dict(ORIGINATE))
        await until(lambda: len(pbx.actions("originate")) == 2)  # the customer's phone rings twice
    before = len(pbx.actions("originate"))
    pbx.answers["originate"] = cut_on_originate
    ours = Ours(pbx)
    async with ours.running() as client:
        with pytest.raises(PbxInDoubt, match="Originate"):
            await client.send(ORIGINATE)
        ours.up.clear()
        await until(ours.up.is_set)
        await client.send({"Action": "Ping"})
    assert len(pbx.actions("originate")) == before + 1


async def test_2_a_failing_listener_costs_neither_the_link_nor_the_events_behind(pbx: ScriptedAmi) -> None:
    async def burst(session: Session, action: Action) -> None:
        for name in ("Bad", "Good", "Good"):
            session.event(name)
        session.respond(action)

    pbx.answers["burst"] = burst
    got: list[str] = []

    def listener(_: Manager, event: StockMessage) -> None:
        got.append(event.event)
        if event.event == "Bad":
            raise RuntimeError("a listener's own mistake")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    async with stock(pbx) as manager:
        manager.register_event("*", listener)
        sessions = len(pbx.sessions)
        manager.send_action({"Action": "Burst"})
        await until(lambda: len(pbx.sessions) > sessions)  # it dropped the link
        assert "Good" not in got
    loop.set_exception_handler(None)

    ours = Ours(pbx)
    async with ours.running() as client:
        await client.send({"Action": "Burst"})
        assert [event.event for event in ours.events][-3:] == ["Bad", "Good", "Good"]
        assert client.connected
        assert not ours.downs


async def test_3_a_ping_without_an_answer_is_a_dead_link(pbx: ScriptedAmi) -> None:
    pbx.answers["ping"] = silent
    async with stock(pbx) as manager:
        manager.ping_interval = 0.02
        manager.ping()
        sessions = len(pbx.sessions)
        await until(lambda: len(pbx.actions("ping")) >= 5)
        assert len(pbx.sessions) == sessions  # five pings unanswered, and it thinks it is connected
        assert manager._connected

    ours = Ours(pbx, ping_interval_s=0.05, ping_deadline_s=0.05)
    async with ours.running():
        await until(lambda: ours.downs)
    assert ours.downs[0].code == "half_open"
    assert "Ping" in str(ours.downs[0])


async def test_4_successfully_queued_without_an_async_header_is_an_answer_like_any(pbx: ScriptedAmi) -> None:
    async def queued(session: Session, action: Action) -> None:
        session.respond(action, Message="Originate successfully queued")

    pbx.answers["originate"] = queued
    action = {name: value for name, value in ORIGINATE.items() if name != "Async"}
    loop = asyncio.get_running_loop()
    errors: list[BaseException | None] = []
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))
    async with stock(pbx) as manager:
        sessions = len(pbx.sessions)
        manager.send_action(dict(action))
        await until(lambda: len(pbx.sessions) > sessions)
        assert isinstance(errors[0], KeyError)
    loop.set_exception_handler(None)

    async with Ours(pbx).running() as client:
        assert (await client.send(action)).get("Message") == "Originate successfully queued"


async def test_5_every_action_has_a_deadline(pbx: ScriptedAmi) -> None:
    pbx.answers["status"] = silent
    async with stock(pbx) as manager:
        future = manager.send_action({"Action": "Status"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(future), 0.3)
        assert not future.done()
        future.cancel()

    ours = Ours(pbx, action_deadline_s=0.5)
    async with ours.running() as client:
        with pytest.raises(PbxInDoubt, match=r"Status: no answer within 0.5 s"):
            await client.send({"Action": "Status"})
        await until(lambda: ours.downs)  # and the link is made anew, so that a resync tells what became of it


async def test_6_a_character_split_between_two_segments_is_kept(pbx: ScriptedAmi) -> None:
    async def split(session: Session, action: Action) -> None:
        session.respond(action)
        data = "Event: NewCallerid\r\nCallerIDName: Zoé\r\n\r\n".encode()
        cut = data.index("é".encode()) + 1
        session.write(data[:cut])
        await session.writer.drain()
        await asyncio.sleep(0.05)
        session.write(data[cut:])

    pbx.answers["split"] = split
    names: list[str] = []
    async with stock(pbx) as manager:
        manager.register_event("NewCallerid", lambda _, event: names.append(event.CallerIDName))
        manager.send_action({"Action": "Split"})
        await until(lambda: names)
        assert names == ["Zo"]

    ours = Ours(pbx)
    async with ours.running() as client:
        await client.send({"Action": "Split"})
        await until(lambda: ours.events and ours.events[-1].event == "NewCallerid")
    assert ours.events[-1].get("CallerIDName") == "Zoé"


async def test_7_before_the_link_and_after_a_refused_login_there_is_a_clear_error(pbx: ScriptedAmi) -> None:
    with pytest.raises(AttributeError):
        Manager(host="127.0.0.1", port=pbx.tcp_port, loop=asyncio.get_running_loop()).send_action({"Action": "Ping"})
    good, pbx.secret = pbx.secret, "other"
    manager = Manager(
        host="127.0.0.1", port=pbx.tcp_port, username="u", secret=good, loop=asyncio.get_running_loop()
    )  # its pauses are constant: reconnect_timeout, for ever
    manager.reconnect_timeout = 10_000
    await manager.connect()
    await until(lambda: pbx.actions("login"))
    await until(lambda: not manager._connected)
    assert not manager.authenticated  # and nothing was raised, returned or called to say so

    ours = Ours(pbx)
    with pytest.raises(PbxUnavailable) as refused:
        await ours.client.send({"Action": "Ping"})
    assert refused.value.code == "no_link"
    task = asyncio.create_task(ours.client.run(ours._logged_in))
    await until(lambda: len(ours.downs) >= 2)
    assert ours.downs[0].code == "auth_failed"
    pbx.secret = good  # somebody mends it
    await until(ours.up.is_set)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    backoff = Backoff(random.Random(1), 0.5, 15.0)
    waits = [backoff.next_s() for _ in range(12)]
    assert waits[0] <= 0.5 < waits[3] <= 4.0
    assert all(7.5 <= wait <= 15.0 for wait in waits[6:])
    assert len(set(waits)) == len(waits)


async def test_8_a_value_can_not_bring_headers_of_its_own(pbx: ScriptedAmi) -> None:
    name = "Zoé\r\nApplication: System\r\nData: rm -rf /"
    async with stock(pbx) as manager:
        manager.send_action({**ORIGINATE, "CallerID": name})
        await until(lambda: pbx.actions("originate"))
        assert pbx.actions("originate")[0]["application"] == ["System"]

    before = len(pbx.actions("originate"))
    async with Ours(pbx).running() as client:
        with pytest.raises(FieldRefused) as refused:
            await client.send({**ORIGINATE, "CallerID": name})
        assert refused.value.field == "CallerID"
        await client.send({"Action": "Ping"})
    assert len(pbx.actions("originate")) == before


async def test_9_events_are_handled_in_the_order_of_the_wire(pbx: ScriptedAmi) -> None:
    async def burst(session: Session, action: Action) -> None:
        for number in range(3):
            session.event("Step", Number=str(number))
        session.respond(action)

    pbx.answers["burst"] = burst
    finished: list[str] = []

    async def slow_first(_: Manager, event: StockMessage) -> None:
        await asyncio.sleep(0.05 if event.Number == "0" else 0)
        finished.append(event.Number)

    async with stock(pbx) as manager:
        manager.register_event("Step", slow_first)
        manager.send_action({"Action": "Burst"})
        await until(lambda: len(finished) == 3)
        assert finished == ["1", "2", "0"]

    ours = Ours(pbx)
    async with ours.running() as client:
        await client.send({"Action": "Burst"})
    assert [event.get("Number") for event in ours.events if event.event == "Step"] == ["0", "1", "2"]
