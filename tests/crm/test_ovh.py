"""OVHcloud's events: a session carried over, nothing lost or doubled however the connection fares; tokens."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from daemon.crm.http import Answer, Outgoing, OutgoingError
from daemon.crm.ovh import ApiKeys, EventStream, MadeToken, OvhEvent, ReadyToken, TokenSource, signature
from daemon.settings import OutgoingTable
from tests.crm.fake_ovh import LINE, TOKEN, FakeOvh, event
from tests.store.world import FixedClock

KEYS = ApiKeys("app-key", "app-s3cret", "consumer-s3cret")


@dataclass
class Bench:
    """A stream at work on the fake server; `pauses`: what it waited between tries, without waiting it."""

    ovh: FakeOvh
    http: Outgoing
    stream: EventStream
    got: list[OvhEvent] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 - what is waited for raises no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def make_bench(
    *script: int | str, source: Callable[[FakeOvh, Outgoing], TokenSource] | None = None
) -> AsyncIterator[Bench]:
    ovh = FakeOvh()
    await ovh.server.start_server()
    ovh.script += script
    http = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",), timeout_s=20.0))
    tokens = source(ovh, http) if source else ReadyToken(TOKEN)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    bench = Bench(ovh, http, EventStream(http, tokens, random.Random(1), url=ovh.url, poll_s=20.0, sleep=sleep))
    bench.pauses = pauses

    async def take(found: OvhEvent) -> None:
        bench.got.append(found)

    task = asyncio.create_task(bench.stream.run(take))
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await http.close()
        await ovh.server.close()


@pytest.mark.feature("OVH-03", clause="the second poll carries the session of the first reply")
async def test_the_session_is_carried_over() -> None:
    async with make_bench() as bench:
        bench.ovh.happen(event("start_ringing", 1))
        await bench.until(lambda: len(bench.ovh.polls) == 2)
        bench.ovh.happen(event("end_ringing", 2))
        await bench.until(lambda: len(bench.got) == 2)
        assert bench.ovh.polls[:2] == [{"token": TOKEN}, {"token": TOKEN, "session": "s1"}]
        assert [each.event for each in bench.got] == ["start_ringing", "end_ringing"]
        assert (bench.got[0].calling, bench.got[0].called, bench.got[0].call_id) == ("0033612345678", LINE, "call-1")


class Script:
    """A server in memory: each request gets the next step, those beyond wait for ever. `urls`: what was asked."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.urls: list[str] = []

    async def request(self, method: str, url: str, **_: Any) -> Answer:
        self.urls.append(url)
        if not self.steps:
            await asyncio.Event().wait()
        step = self.steps.pop(0)
        if step == "timeout":
            raise OutgoingError("timeout", "no answer in time")
        body = step if isinstance(step, bytes) else json.dumps(step).encode()
        return Answer(step, {}, b"") if isinstance(step, int) else Answer(200, {}, body)


async def read_script(*steps: Any) -> tuple[Script, list[float], list[str]]:
    """What is asked, the pauses in between and the events' calls, once all steps were taken."""
    server, pauses, got = Script(*steps), list[float](), list[str]()
    asked_all = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def take(found: OvhEvent) -> None:
        got.append(found.call_id)
        if not server.steps:
            asked_all.set()

    stream = EventStream(server, ReadyToken(TOKEN), random.Random(1), url="https://events.example/", sleep=sleep)
    task = asyncio.create_task(stream.run(take))
    async with asyncio.timeout(30):
        await asked_all.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return server, pauses, got


def answer_of(session: str, number: int) -> dict[str, Any]:
    return {"Session": session, "Events": [event("start_ringing", number)]}


@pytest.mark.feature("OVH-03", clause="5xx and timeouts: growing pauses, the session kept")
async def test_failures_pause_longer_each_time() -> None:
    failing = [503, "timeout", 502, b"<html>", 429, *[500] * 5]
    server, pauses, got = await read_script(answer_of("s1", 1), *failing, answer_of("s2", 2))
    assert all(url.endswith("&session=s1") for url in server.urls[1:12])
    for number, pause in enumerate(pauses):
        assert 0.75 * min(60.0, 2.0**number) <= pause <= min(60.0, 2.0**number)
    assert (len(pauses), got) == (10, ["call-1", "call-2"])


async def test_a_success_forgets_the_failures_before() -> None:
    _, pauses, _ = await read_script(500, 500, 500, answer_of("s1", 1), 500, answer_of("s2", 2))
    assert len(pauses) == 4 and pauses[2] > 2.0 >= 1.0 >= pauses[3]


@pytest.mark.feature("OVH-03", clause="the connection is cut: each event comes once all the same")
async def test_a_cut_connection_loses_and_doubles_nothing() -> None:
    async with make_bench("cut", "", "cut", "cut", 503) as bench:
        for number in range(1, 8):
            bench.ovh.happen(event("start_ringing", number))
            await bench.until(lambda number=number: len(bench.got) >= number)  # type: ignore[misc]
        assert [each.call_id for each in bench.got] == [f"call-{number}" for number in range(1, 8)]
        assert not bench.ovh.script and len(bench.ovh.polls) >= 11, "not every cut was met"


@pytest.mark.feature("OVH-03", clause="a server that has forgotten the session sends again what is known: not doubled")
async def test_a_forgotten_session_doubles_nothing() -> None:
    async with make_bench() as bench:
        bench.ovh.happen(event("start_ringing", 1), event("end_ringing", 2))
        await bench.until(lambda: len(bench.ovh.polls) == 2)
        bench.ovh.script.append(404)
        bench.ovh.happen(event("start_ringing", 3))  # ends the poll under way; the next is refused
        await bench.until(lambda: len(bench.pauses) == 1)
        bench.ovh.happen(event("end_ringing", 4))
        await bench.until(lambda: len(bench.got) == 4)
        assert [each.call_id for each in bench.got] == ["call-1", "call-2", "call-3", "call-4"]
        assert bench.stream.repeated == 3


async def test_a_quiet_line_is_asked_again_soon() -> None:
    """A poll that brings nothing must not make the next event late."""
    _, pauses, got = await read_script(*["timeout"] * 8, answer_of("s1", 1))
    assert len(pauses) == 8 and max(pauses) <= 2.0 and got == ["call-1"]


def made_token(ovh: FakeOvh, http: Outgoing) -> MadeToken:
    return MadeToken(http, FixedClock(), KEYS, "ab1234-ovh", LINE, api_url=f"{ovh.url}1.0")


@pytest.mark.feature("OVH-01", clause="API keys make a token by the signed call; another once it is refused")
async def test_a_token_is_made_with_api_keys() -> None:
    async with make_bench(source=made_token) as bench:
        bench.ovh.happen(event("start_ringing", 1))
        await bench.until(lambda: bench.stream.session == "s1")
        call = bench.ovh.made[0]
        assert (call["account"], call["service"], call["body"]) == ("ab1234-ovh", LINE, '{"expiration":"unlimited"}')
        url = f"{bench.ovh.url}1.0/telephony/ab1234-ovh/service/{LINE}/eventToken"
        plain = f'app-s3cret+consumer-s3cret+POST+{url}+{{"expiration":"unlimited"}}+1795425301'
        headers = call["headers"]
        assert headers["X-Ovh-Signature"] == "$1$" + hashlib.sha1(plain.encode()).hexdigest()
        assert (headers["X-Ovh-Application"], headers["X-Ovh-Consumer"]) == ("app-key", "consumer-s3cret")
        assert headers["X-Ovh-Timestamp"] == "1795425301"
        assert bench.ovh.polls[0] == {"token": "made-1"}
        bench.ovh.tokens = ["another"]  # it has ended
        bench.ovh.happen(event("end_ringing", 2))
        await bench.until(lambda: len(bench.ovh.made) == 2 and bench.stream.failures == 0)
        assert {"token": "made-2"} in bench.ovh.polls
        assert [each.call_id for each in bench.got] == ["call-1", "call-2"]


@pytest.mark.feature("OVH-01", clause="a ready token; no token or key in a log or an error")
async def test_secrets_are_in_no_log() -> None:
    with structlog.testing.capture_logs() as lines:
        async with make_bench(403, 500, "cut", "html") as bench:
            bench.ovh.happen(event("start_ringing", 1))
            await bench.until(lambda: len(bench.got) == 1)
        async with make_bench(source=made_token) as bench:
            bench.ovh.api_status = 403
            await bench.until(lambda: len(bench.pauses) >= 2)
            assert bench.stream.last_error == "no token from the API: status 403 This credential is not valid"
    assert len(lines) >= 5
    shown = f"{lines} {KEYS} {ReadyToken(TOKEN)} {bench.stream.last_error}"
    for secret in (TOKEN, KEYS.secret, KEYS.consumer):
        assert secret not in shown


@pytest.mark.parametrize("raw", [{}, {"Event": None, "Data": [], "Timestamp": "x"}, {"Data": {"CallId": {"a": 1}}}])
def test_what_is_missing_or_strange_is_empty(raw: dict[str, object]) -> None:
    found = OvhEvent.of(raw)
    assert (found.event, found.call_id, found.stamp_ns) == ("", "", 0)


def test_the_signature_of_the_api_guide() -> None:
    keys = ApiKeys("a", "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF", "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1")
    signed = signature(keys, "GET", "https://eu.api.ovh.com/1.0/domains/", "", 1366560945)
    assert signed == "$1$d3705e8afb27a0d2970a322b96550abfc67bb798"
