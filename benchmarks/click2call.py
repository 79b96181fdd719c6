"""bench-click2call: the documented click-to-call at 200 requests a second, beside a bare handler that does one INSERT.

Daemon (PostgreSQL, journal, HTTP) here; the fake PBX, the callers, and the bare handler in processes of their own. The
PBX notes when it read each phone's Originate and when it wrote its `Success`; that time is taken out of each answer's.
Requests leave on time, whether earlier ones were answered or not. SECONDS (60) and RATE (200) are environment
variables. The phones ring for half a second and decline, since the request is what is measured; with WHOLE=1 they
answer, the number is dialled and a conversation follows, which at 200/s is more than one core can carry (about 5 ms a
call). Last line: `bench-click2call: p99 X ms …`.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import asyncpg
import uvloop
from aiohttp import web

from benchmarks.rig import daemon_beside, database, serve_tapped, told
from daemon.api.auth import hash_of
from daemon.calls.records import ApiToken, Client, Group, Line, LineKind, TokenKind
from daemon.settings import HttpTable
from daemon.store.postgres import PostgresStore
from fake_asterisk import Behaviour, FakeAsterisk, people
from simulation.world import pbx

RATE = float(os.environ.get("RATE", "200"))
SECONDS = float(os.environ.get("SECONDS", "60"))
WHOLE = os.environ.get("WHOLE", "") == "1"
PHONES = int(RATE * 3)
"""A call takes about two seconds at most: phones enough that none is ever missing."""
WARM_UP = 200
GOAL_MS = 25.0
TOKEN = "clicsipx_BENCH_" + "0" * 40
ORIGINATE = re.compile(rb"Action: Originate\r\n(?:[^\r\n]+\r\n)*?\r\n")
CHANNEL = re.compile(rb"\r\nChannel: PJSIP/(\d{4,5})\r\n")
ACTION_ID = re.compile(rb"\r\nActionID: (\S+)\r\n")
SUCCESS = re.compile(rb"Response: Success\r\nActionID: (\S+)\r\n")
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
PHONE = re.compile(rb'"phone_line_used":"(\d+)"')
HEAD = (
    b"POST /api/public/click2call HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
CONNECTIONS = 64
"""Kept-alive connections to begin with; more are made when all are waiting."""
MANY = multiprocessing.get_context("spawn")


def serve_pbx(pipe: Any) -> None:
    """The fake PBX: phones decline, or are picked up within 0.3 s, people answer 0.3 s later and talk for a second."""

    async def main() -> None:
        crowd = people.People(
            fixed={"0": Behaviour(ring_after_s=0.05, answer_after_s=0.3, hangup_after_s=1.0, media_s=2.0)}
        )
        phones = people.Phones(answer_mean_s=0.1, decline_chance=0.0 if WHOLE else 1.0)
        fake = FakeAsterisk(pbx(PHONES, crowd, phones), rng=random.Random(1))
        asked: dict[bytes, tuple[str, float]] = {}
        took: list[Any] = []

        def written(data: bytes) -> None:
            for match in SUCCESS.finditer(data):
                if (known := asked.pop(match[1], None)) is not None:
                    took.append((*known, time.perf_counter()))

        def read(data: bytes) -> None:
            now = time.perf_counter()
            for match in ORIGINATE.finditer(data):
                channel, id = CHANNEL.search(match[0]), ACTION_ID.search(match[0])
                if channel is not None and id is not None:
                    asked[id[1]] = (channel[1].decode(), now)

        server = await serve_tapped(fake, pipe, written, read)
        await told(pipe)
        legs = [
            (leg.name.split("/")[1].split("-")[0], leg.made_at, leg.ended_at)
            for leg in fake.ledger.legs.values()
            if leg.number.isdigit() and len(leg.number) <= 5
        ]
        dialled = [leg.number for leg in fake.ledger.legs.values() if len(leg.number) > 5]
        pipe.send((took, legs, dialled))
        server.close()

    uvloop.run(main())


def serve_bare(dsn: str, pipe: Any) -> None:
    """The peer: an aiohttp handler that reads JSON, does one INSERT on a pool, and answers JSON."""

    async def main() -> None:
        pool = await asyncpg.create_pool(dsn, min_size=8, max_size=8)
        await pool.execute("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, number text, at timestamptz)")

        async def handle(request: web.Request) -> web.Response:
            body = await request.json()
            sql = "INSERT INTO bare (number, at) VALUES ($1, clock_timestamp()) RETURNING id"
            return web.json_response({"success": True, "call_id": await pool.fetchval(sql, body["number_to_call"])})

        app = web.Application()
        app.router.add_post("/api/public/click2call", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        while not pipe.poll():
            await asyncio.sleep(0.1)
        await runner.cleanup()
        await pool.close()

    uvloop.run(main())


class Caller(asyncio.Protocol):
    """A caller's kept-alive connection: writes a request's bytes, looks at no more of an answer than it must."""

    def __init__(self, idle: list[Caller]) -> None:
        self._idle, self._buffer = idle, b""
        self._transport: asyncio.WriteTransport | None = None
        self._answered: Callable[[int, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def ask(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        """Send; `answered(status, body)` follows, with status 0 if the connection broke first."""
        assert self._transport is not None
        self._answered = answered
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not gap or length is None or len(body) < int(length[1]):
            return
        self._buffer, answered, self._answered = b"", self._answered, None
        self._idle.append(self)
        if answered is not None:
            answered(int(head[9:12]), body)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self._answered is not None:
            self._answered(0, type(error).__name__.encode())


def call(port: int, pipe: Any, first: int) -> None:
    """The callers: one request each 1/RATE s, whatever became of those before. Sends (status, phone, due, to) of each,
    where `due` is the instant the request was to leave: what it waited for a tardy caller is in the measure too."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        idle: list[Caller] = []
        found: list[tuple[int, str, float, float]] = []
        done = asyncio.Event()
        count = int(RATE * SECONDS) + WARM_UP

        async def connect() -> Caller:
            _, line = await loop.create_connection(lambda: Caller(idle), "127.0.0.1", port)
            return line

        def ask(line: Caller, number: int, due: float) -> None:
            def answered(status: int, body: bytes) -> None:
                phone = PHONE.search(body)
                found.append((status, phone[1].decode() if phone else "", due, time.perf_counter()))
                if len(found) == count:
                    done.set()

            body = b'{"number_to_call":"0199%06d"}' % number
            line.ask(HEAD % (TOKEN.encode(), len(body)) + body, answered)

        idle.extend([await connect() for _ in range(CONNECTIONS)])
        gc.freeze()
        begin = time.perf_counter() + 0.2
        for n in range(count):
            due = begin + n / RATE
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            ask(idle.pop() if idle else await connect(), first + n, due)
        await done.wait()
        pipe.send(sorted(found, key=lambda one: one[2])[WARM_UP:])

    uvloop.run(main())


async def _asked(port: int, first: int) -> list[tuple[int, str, float, float]]:
    here, there = MANY.Pipe()
    process = MANY.Process(target=call, args=(port, there, first), daemon=True)
    process.start()
    found: list[tuple[int, str, float, float]] = await asyncio.to_thread(here.recv)
    process.join(10)
    return found


async def _furnish(store: PostgresStore) -> None:
    group = await store.create(Group(code="BENCH", name="B", c2c_per_hour=1_000_000))
    await store.create(Client(group_id=group.id, name="B"))
    await store.create(Line(group_id=group.id, site="bench", name="T", endpoint="trunk", capacity=10_000))
    for number in range(1001, 1001 + PHONES):
        phone = Line(group_id=group.id, site="bench", name=f"P{number}", endpoint=str(number), kind=LineKind.EXTENSION)
        await store.create(phone)
    await store.create(
        ApiToken(group_id=group.id, kind=TokenKind.CLICK2CALL, name="bench", sha256=hash_of(TOKEN), tail=TOKEN[-4:])
    )


async def measure(ami_port: int) -> tuple[Any, Any, float]:
    """The daemon's side, then the bare handler on the same database: both lists of requests, and the daemon's seconds
    of processor."""
    async with database() as (folder, server):
        http = HttpTable(tcp_port=0, requests_max=2000)
        async with daemon_beside(ami_port, folder, server, _furnish, http=http) as (app, _):
            before_s = time.process_time()
            ours = await _asked(int(app.http_address.rpartition(":")[2]), 0)
            used_s = time.process_time() - before_s
        here, there = MANY.Pipe()
        bare = MANY.Process(target=serve_bare, args=(server.dsn(), there), daemon=True)
        bare.start()
        theirs = await _asked(await asyncio.to_thread(here.recv), 500_000)
        here.send("stop")
        bare.join(10)
    return ours, theirs, used_s


def without_pbx(requests: Any, took: Any) -> list[float]:
    """Seconds of each answered request, less what the PBX took between reading and accepting its phone's Originate."""
    of_phone: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for phone, read_at, written_at in took:
        of_phone[phone].append((read_at, written_at))
    found = []
    for status, phone, began, ended in requests:
        if status == 200:
            inside = [to - since for since, to in of_phone[phone] if began <= since <= ended]
            found.append(ended - began - (inside[0] if inside else 0.0))
    return sorted(found)


def doubles(legs: Any) -> int:
    """How often a phone was rung while it had a call already, by the PBX's own books."""
    of_phone: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for phone, made_at, ended_at in legs:
        of_phone[phone].append((made_at, ended_at if ended_at is not None else float("inf")))
    count = 0
    for spans in of_phone.values():
        spans.sort()
        count += sum(later[0] < earlier[1] for earlier, later in pairwise(spans))
    return count


def at(values: list[float], share: float) -> float:
    """Milliseconds at a share of sorted seconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else float("nan")


def main() -> int:
    """Run and print."""
    here, there = MANY.Pipe()
    process = MANY.Process(target=serve_pbx, args=(there,), daemon=True)
    process.start()
    port = here.recv()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ours, theirs, used_s = runner.run(measure(port))
    here.send("stop")
    took, legs, dialled = here.recv()
    process.join(10)
    times, bare = without_pbx(ours, took), sorted(ended - began for status, _, began, ended in theirs if status == 200)
    if not times:
        sys.exit("no request succeeded")
    pbx_took = sorted(to - since for _, since, to in took)
    failed = dict(Counter(status for status, *_ in ours if status != 200)) or "none"
    twice = len(dialled) - len(set(dialled))
    print(
        f"{len(ours)} requests at {RATE:g}/s: {failed} failed, p50 {at(times, 0.5):.1f} ms, p95 {at(times, 0.95):.1f}, "
        f"max {times[-1] * 1000:.0f}; the PBX took p50 {at(pbx_took, 0.5):.2f}, p99 {at(pbx_took, 0.99):.2f} ms; "
        f"the daemon used {used_s * 1000 / (len(ours) + WARM_UP):.2f} ms of processor a request"
    )
    print(
        f"by the PBX's books: {len(legs)} phones rung, {doubles(legs)} while in a call, {twice} numbers dialled twice; "
        f"bare handler with one INSERT: p50 {at(bare, 0.5):.1f} ms, p99 {at(bare, 0.99):.1f} ms"
    )
    print(
        f"bench-click2call: p99 {at(times, 0.99):.1f} ms at {RATE:g}/s (goal ≤ {GOAL_MS:g}), {doubles(legs)} double "
        f"allocations, {at(times, 0.99) / at(bare, 0.99):.1f} × a bare handler's p99"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
