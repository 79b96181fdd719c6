"""What benchmarks of the running daemon share: a fake PBX tapped at its sockets; beside it the daemon, on a database of
its own.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from daemon.app import Application, build
from daemon.clock import SystemClock
from daemon.service import set_up_logs
from daemon.settings import DaemonTable, HttpTable, OutgoingTable, Settings, SiteTable
from daemon.store.embedded import EmbeddedPostgres, usable_folder
from daemon.store.postgres import PostgresStore
from fake_asterisk import FakeAsterisk
from simulation.open_rules import rules_folder

T = TypeVar("T")
Heard = Callable[[bytes], None]
ANSWERED = re.compile(rb"Event: Newstate\r\n(?:[^\r\n]+\r\n)*?ChannelState: 6\r\n(?:[^\r\n]+\r\n)*?Uniqueid: (\S+)")
CONNECT = re.compile(rb"EXEC Bridge (\S+?)(?:,|\r\n)")


class Tap:
    """Stands between a session and its transport in the fake's process."""

    def __init__(self, transport: Any, written: Heard) -> None:
        self._transport, self._written = transport, written

    def write(self, data: bytes) -> None:
        self._written(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class ConnectWaits:
    """Seconds from each answer that the fake wrote to the action, read after it, that connects the person."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._answered: dict[bytes, float] = {}

    def written(self, data: bytes) -> None:
        for match in ANSWERED.finditer(data):
            self._answered.setdefault(match[1], time.perf_counter())

    def read(self, data: bytes) -> None:
        now = time.perf_counter()
        for match in CONNECT.finditer(data):
            if (answered := self._answered.pop(match[1], None)) is not None:
                self.seconds.append(now - answered)


async def serve_tapped(fake: FakeAsterisk, pipe: Any, written: Heard, read: Heard) -> asyncio.Server:
    """The fake at a port of its own, which `pipe` is told: `written` hears bytes before they leave, `read` those that
    come before the fake does."""
    factory: Callable[[], Any] = fake.protocol_factory

    def tapped() -> Any:
        protocol = factory()
        made, received = protocol.connection_made, protocol.data_received

        def connection_made(transport: Any) -> None:
            made(Tap(transport, written))

        def data_received(data: bytes) -> None:
            read(data)
            received(data)

        protocol.connection_made, protocol.data_received = connection_made, data_received
        return protocol

    server = await asyncio.get_running_loop().create_server(tapped, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    return server


async def told(pipe: Any) -> None:
    """Until the other process says something."""
    while not pipe.poll():
        await asyncio.sleep(0.1)


@asynccontextmanager
async def database() -> AsyncIterator[tuple[Path, EmbeddedPostgres]]:
    """A folder for the daemon, and a PostgreSQL of its own in it."""
    folder = Path(tempfile.mkdtemp(prefix="cadran-bench-", dir=usable_folder(Path(tempfile.gettempdir()))))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", tied=True)
    await server.start()
    try:
        yield folder, server
    finally:
        await server.stop()


@asynccontextmanager
async def daemon_beside(
    ami_port: int,
    folder: Path,
    server: EmbeddedPostgres,
    furnish: Callable[[PostgresStore], Awaitable[T]],
    http: HttpTable | None = None,
    outgoing: OutgoingTable | None = None,
) -> AsyncIterator[tuple[Application, T]]:
    """A daemon at work on the fake PBX, its site `bench` in step, and what `furnish` made before."""
    clock = SystemClock()
    set_up_logs("error", "console", clock)
    (folder / "secret").write_text("s3cret\n")
    site = SiteTable(
        id="bench", tcp_port=ami_port, username="dialer", secret_file=str(folder / "secret"), mode="asyncagi"
    )
    settings = Settings(
        daemon=DaemonTable(data_dir=str(folder / "data"), rules_dir=str(rules_folder(folder / "rules")), drain_s=3.0),
        http=http or HttpTable(tcp_port=0),
        sites=[site],
        outgoing=outgoing or OutgoingTable(),
    )
    store = PostgresStore(server.dsn(), clock)
    await store.open()
    made = await furnish(store)
    app = build(settings, clock=clock, rng=random.Random(1), store=store)
    stop, up = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.run(stop, up.set))
    await up.wait()
    while not app.hub.runners["bench"].core.live.link.synced:
        await asyncio.sleep(0.1)
    try:
        yield app, made
    finally:
        stop.set()
        await running
