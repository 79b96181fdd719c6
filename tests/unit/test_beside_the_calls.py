"""Work beside the calls that breaks ends nothing; and what the service manager is told at the end."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon import outside
from daemon.app import build
from daemon.clock import SystemClock
from daemon.settings import DaemonTable, HttpTable, Settings
from daemon.store.memory import MemoryStore
from simulation.open_rules import rules_folder


@pytest.mark.feature("RELY-06", clause="work beside the calls that fails unexpectedly is begun again, and ends nothing")
async def test_upkeep_that_breaks_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "RESTART_S", 0.01)
    channel = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(channel))
        monkeypatch.setenv("NOTIFY_SOCKET", str(channel))
        settings = Settings(
            daemon=DaemonTable(data_dir=str(tmp_path), rules_dir=str(rules_folder(tmp_path / "rules")), drain_s=90.0),
            http=HttpTable(tcp_port=0),
        )
        clock = SystemClock()
        app = build(settings, clock=clock, rng=random.Random(1), store=MemoryStore(clock))
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
            await asyncio.wait({asyncio.create_task(enough.wait()), running}, timeout=30, return_when="FIRST_COMPLETED")
            assert enough.is_set() and not running.done()
            stop.set()
            await asyncio.wait_for(running, 30)
        told = [line["work"] for line in logs if line["event"] == "outside.failed"]
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
