"""Work beside the calls that breaks ends nothing; and what the service manager is told at the end."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from daemon import works
from daemon.api import stream
from daemon.app import Application, build
from daemon.clock import SystemClock
from daemon.settings import DaemonTable, HttpTable, Settings
from daemon.store.memory import MemoryStore
from simulation.open_rules import rules_folder


def application(folder: Path, drain_s: float = 1.0) -> Application:
    """The daemon itself, on a store in memory, with no site."""
    settings = Settings(
        daemon=DaemonTable(data_dir=str(folder), rules_dir=str(rules_folder(folder / "rules")), drain_s=drain_s),
        http=HttpTable(tcp_port=0),
    )
    clock = SystemClock()
    return build(settings, clock=clock, rng=random.Random(1), store=MemoryStore(clock))


@asynccontextmanager
async def at_work(app: Application) -> AsyncIterator[ClientSession]:
    """Until the block ends; the session is signed in as the command line is. The daemon must not have ended by then."""
    stop, up = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.run(stop, up.set))
    await asyncio.wait({asyncio.create_task(up.wait()), running}, timeout=100, return_when="FIRST_COMPLETED")
    token = (Path(app.settings.daemon.data_dir) / "cli-token").read_text().split()[1]
    async with ClientSession(app.http_address, headers={"Authorization": f"Bearer {token}"}) as session:
        yield session
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 100)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(100):
        while not await condition():  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.05)


@pytest.mark.feature("RELY-06", clause="work beside the calls that fails unexpectedly is begun again, and ends nothing")
async def test_upkeep_that_breaks_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "PAUSE_FIRST_S", 0.01)
    channel = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(channel))
        monkeypatch.setenv("NOTIFY_SOCKET", str(channel))
        app = application(tmp_path, drain_s=90.0)
        tries = {"upkeep": 0, "recordings": 0}
        enough = asyncio.Event()

        def broken(name: str) -> Any:
            async def work() -> None:
                tries[name] += 1
                if min(tries.values()) >= 3:
                    enough.set()
                raise RuntimeError(f"a bug in {name}")

            return work

        monkeypatch.setattr(app.upkeep, "run", broken("upkeep"))
        monkeypatch.setattr("daemon.tapes.Tapes.run", lambda tapes: broken("recordings")())
        stop = asyncio.Event()
        with capture_logs() as logs:
            running = asyncio.create_task(app.run(stop))
            await asyncio.wait(
                {asyncio.create_task(enough.wait()), running}, timeout=100, return_when="FIRST_COMPLETED"
            )
            assert enough.is_set() and not running.done()
            stop.set()
            await asyncio.wait_for(running, 100)
        told = [line["work"] for line in logs if line["event"] == "work.failed" and line["exc_info"]]
        assert set(told) == {"upkeep", "recordings"}
        manager.setblocking(False)
        said = []
        while True:
            try:
                said.append(manager.recv(4096).decode().split("\n"))
            except BlockingIOError:
                break
    assert said[0][0] == "READY=1"
    (stopping,) = [words for words in said if "STOPPING=1" in words]
    (asked,) = [word for word in stopping if word.startswith("EXTEND_TIMEOUT_USEC=")]
    assert int(asked.partition("=")[2]) > 90_000_000, "drain_s may be longer than the unit's own patience"


@pytest.mark.feature(
    "RELY-06", clause="a work that fails is an open alert and a count, until it has gone well for a while"
)
async def test_a_work_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "WELL_S", 1e6)
    app = application(tmp_path)
    show, broken = app.hub.set_system, [True, True]

    def set_system(view: Any) -> None:
        if broken:
            broken.pop()
            raise RuntimeError("a bug in what shows the daemon's state")
        show(view)

    monkeypatch.setattr(app.hub, "set_system", set_system)
    async with at_work(app) as session:

        async def alerts() -> list[tuple[str, str]]:
            async with session.get("/api/v1/alerts") as response:
                return [(alert["code"], alert["about"]) for alert in (await response.json())["open"]]

        async def alarmed() -> bool:
            return ("work_failed", "system") in await alerts()

        async def calm() -> bool:
            return not await alerts()

        await until(alarmed)
        async with session.get("/metrics") as response:
            assert 'cadran_work_failures{work="system"} 2.0' in (await response.text()).splitlines()
        monkeypatch.setattr(works, "WELL_S", 0.0)
        await until(calm)


@pytest.mark.feature("RELY-06", clause="the pages' heartbeat goes on after it has failed")
async def test_the_heartbeat_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BEAT_S", 0.05)
    beat, broken = stream.Streams.beat, [True]

    def fails_once(streams: stream.Streams) -> dict[str, Any]:
        if broken:
            broken.pop()
            raise RuntimeError("an odd view")
        return beat(streams)

    async with at_work(application(tmp_path)) as session, session.get("/api/v1/stream") as response:
        monkeypatch.setattr(stream.Streams, "beat", fails_once)
        async with asyncio.timeout(100):
            while b"event: beat" not in await response.content.readline() or broken:
                pass
        assert not broken
