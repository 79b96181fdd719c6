"""Everything a fault may strike, each in a process of its own: daemon, PostgreSQL, the fake PBX; a proxy between."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from tests.asterisk.bed import SECRET, die_with_parent, wait_until
from tests.asterisk.cadran import ROOT, START_TIMEOUT_S, Cadran
from tests.asterisk.proxy import Proxy

AGENTS = 20
PBX = f"""
[pbx]
agents = {AGENTS}
trunks = ["line-a", "line-b"]
[people]
answer_chance = 0.4
machine_share = 0.0
busy_share = 0.6
ring_mean_s = 1.0
talk_mean_s = 2.0
[[users]]
name = "cadran-asyncagi"
secret = "{SECRET}"
"""


class FakePbx:
    """`python -m fake_asterisk` as a process, with its control port. Its ledger outlives the PBX that it plays."""

    def __init__(self, folder: Path) -> None:
        config = folder / "pbx.toml"
        config.write_text(PBX, "utf-8")
        command = [sys.executable, "-m", "fake_asterisk", "--config", str(config), "--ami-port", "0"]
        self._process = subprocess.Popen(
            [*command, "--control-port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        assert self._process.stdout is not None
        ports = re.findall(r":(\d+)", self._process.stdout.readline())
        self.ami_port, self._control_port = int(ports[0]), int(ports[1])

    async def tell(self, what: str, **options: Any) -> dict[str, Any]:
        """One command of the control port; its answer. AssertionError if it was refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._control_port, limit=1 << 26)
        try:
            writer.write(json.dumps({"do": what, **options}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            assert answer["ok"], answer
            return answer
        finally:
            writer.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Machine:
    """The parts and what can be done to them. `outages`: spans (monotonic seconds) in which something was away."""

    def __init__(self, pbx: FakePbx, proxy: Proxy, cadran: Cadran) -> None:
        self.pbx, self.proxy, self.cadran = pbx, proxy, cadran
        self.outages: list[tuple[float, float]] = []
        self.faults: dict[str, Callable[[], Awaitable[None]]] = {
            "daemon killed": self._daemon_killed,
            "database killed": self._database_killed,
            "PBX killed": self._pbx_killed,
            "link cut": self._link_cut,
            "link half-open": self._half_open,
        }

    async def strike(self, fault: str) -> None:
        """One fault, until all is up again."""
        began = time.monotonic()
        await self.faults[fault]()
        async with asyncio.timeout(90):
            while True:
                if await self._well():
                    break
                await asyncio.sleep(0.2)
        self.outages.append((began, time.monotonic()))

    async def _well(self) -> bool:
        try:
            status = await self.cadran.get("/api/v1/status")
        except Exception:
            return False
        return all(link["up"] for link in status["links"])

    async def _daemon_killed(self) -> None:
        await self.cadran.kill()
        await self.cadran.start()

    async def _database_killed(self) -> None:
        """The postmaster is killed; `cadran db run` ends, and is started again as its unit would be."""
        cadran = self.cadran
        folder = cadran.folder / "data" / "postgres" / "data"
        runs = next(p for p in reversed(cadran._processes) if "db" in list(p.args))  # type: ignore[arg-type]
        os.kill(int((folder / "postmaster.pid").read_text("utf-8").split()[0]), signal.SIGKILL)
        await asyncio.to_thread(runs.wait, 30)
        before = self._readies()
        cadran._spawn("db", "run")
        await asyncio.to_thread(wait_until, "the database", lambda: self._readies() > before, START_TIMEOUT_S)

    def _readies(self) -> int:
        return self.cadran.log_file.read_text("utf-8", "replace").count("PostgreSQL is ready")

    async def _pbx_killed(self) -> None:
        await self.pbx.tell("kill")
        await asyncio.sleep(1.0)
        await self.pbx.tell("boot")
        await asyncio.sleep(2.0)

    async def _link_cut(self) -> None:
        self.proxy.cut()
        await asyncio.sleep(0.5)

    async def _half_open(self) -> None:
        await self.pbx.tell("half_open", on=True)
        await asyncio.sleep(3.0)
        await self.pbx.tell("half_open", on=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pbx.close()
