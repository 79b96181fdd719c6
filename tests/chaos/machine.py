"""What a fault may strike, each in a process of its own: daemon, PostgreSQL, a PBX (fake or real); a proxy between.

`FakeMachine` plays faults on the fake PBX, `RealMachine` on a real Asterisk, with a small disk for the journal.
"""

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
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.asterisk.bed import SECRET, die_with_parent, wait_until
from tests.asterisk.cadran import ROOT, START_TIMEOUT_S, Cadran
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

AGENTS = 20
NOTICED_S = 8.0
"""Longer than the ping's interval and deadline of the bed's settings: a silent link is dropped within this time."""
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
[[ari_users]]
name = "ari"
password = "{SECRET}"
"""


class FakePbx:
    """`python -m fake_asterisk` as a process, with its control port. Its ledger outlives the PBX that it plays."""

    def __init__(self, folder: Path) -> None:
        config = folder / "pbx.toml"
        config.write_text(PBX, "utf-8")
        command = [sys.executable, "-m", "fake_asterisk", "--config", str(config), "--ami-port", "0"]
        self._process = subprocess.Popen(
            [*command, "--ari-port", "0", "--control-port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        ports = re.findall(r":(\d+)", self._process.stdout.readline())
        self.ami_port, self.ari_port, self._control_port = (int(port) for port in ports)

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
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True)
class Outage:
    """A fault and how long something was away: `down` to `up`, seconds of the witness' clock. `linked`: when the daemon
    last logged in to the PBX, epoch seconds; it lists the calls there at once."""

    kind: str
    down: float
    up: float
    linked: float

    @property
    def blinds(self) -> bool:
        """Whether the daemon could not see the PBX meanwhile."""
        return self.kind not in ("database killed", "journal full")


class Machine:
    """The parts and what can be done to them. `outages`: what was away, and when."""

    clock = staticmethod(time.time)
    """The witness': a real Asterisk writes epoch seconds."""

    def __init__(self, proxy: Proxy, cadran: Cadran) -> None:
        self.proxy, self.cadran = proxy, cadran
        self.outages: list[Outage] = []
        self.faults: dict[str, Callable[[], Awaitable[None]]] = {
            "daemon killed": self._daemon_killed,
            "database killed": self._database_killed,
            "link cut": self._link_cut,
        }

    async def strike(self, fault: str) -> None:
        """One fault, until all is up again."""
        began = self.clock()
        await self.faults[fault]()
        async with asyncio.timeout(120):
            while not await self._well():  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.1)
        links = (await self.cadran.get("/api/v1/status"))["links"]
        linked = max(datetime.fromisoformat(link["since"]).timestamp() for link in links)
        self.outages.append(Outage(fault, began, self.clock(), linked))

    async def _well(self) -> bool:
        try:
            status = await self.cadran.get("/api/v1/status")
        except Exception:
            return False
        return status["system"]["store_ok"] and all(link["up"] and link["synced"] for link in status["links"])

    async def _daemon_killed(self) -> None:
        await self.cadran.kill()
        for last in (False, False, False, True):
            try:
                await self.cadran.start()
                return
            except RuntimeError:  # a client elsewhere on this machine was given our port meanwhile
                if last:
                    raise
                await asyncio.sleep(2.0)

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

    async def _link_cut(self) -> None:
        self.proxy.cut()
        await asyncio.sleep(0.5)


class FakeMachine(Machine):
    """With the fake PBX, which tells its own ledger, in its loop's time."""

    clock = staticmethod(time.monotonic)

    def __init__(self, pbx: FakePbx, proxy: Proxy, cadran: Cadran) -> None:
        super().__init__(proxy, cadran)
        self.pbx = pbx
        self.faults |= {"PBX killed": self._pbx_killed, "link half-open": self._half_open}

    async def _pbx_killed(self) -> None:
        await self.pbx.tell("kill")
        await asyncio.sleep(1.0)
        await self.pbx.tell("boot")
        await asyncio.sleep(2.0)

    async def _half_open(self) -> None:
        await self.pbx.tell("half_open", on=True)
        await asyncio.sleep(NOTICED_S)
        await self.pbx.tell("half_open", on=False)


_STAMP = re.compile(rb"\r\nTimestamp: ([0-9.]+)\r\n")
STALLED_S, STAMP_SLACK_S = 0.2, 0.05


class Valve(Proxy):
    """A proxy that can be shut without a word: both sides think the other is there."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port, self._heard, self._heard)
        self.heard: list[tuple[float, bytes]] = []
        """What passed in either direction, and when (epoch seconds)."""
        self.opened = asyncio.Event()
        self.opened.set()

    def _heard(self, data: bytes) -> None:
        self.heard.append((time.time(), data))

    def stalls(self) -> list[tuple[float, float]]:
        """When Asterisk's events lay here unread, on a machine with too much to do: from their own time stamps to when
        they were passed on. The daemon could not know of them sooner."""
        read = ((float(stamp), at) for at, data in self.heard for stamp in _STAMP.findall(data))
        return [(stamp - STAMP_SLACK_S, at) for stamp, at in read if at - stamp > STALLED_S]

    def about(self, *ids: str) -> list[str]:
        """The messages that name one of these, in one line each."""
        wanted = [id.encode() for id in ids]
        named = (
            (at, message)
            for at, data in self.heard
            for message in data.split(b"\r\n\r\n")
            if any(id in message for id in wanted)
        )
        return [f"{at:.3f} {' | '.join(message.decode('utf-8', 'replace').splitlines())}" for at, message in named]

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tap: Callable[[bytes], None]
    ) -> None:
        await super()._copy(_Shut(source, self.opened), sink, tap)  # type: ignore[arg-type]


class _Shut:
    """A reader that gives nothing while the valve is shut; what comes then is lost with the connection."""

    def __init__(self, source: asyncio.StreamReader, opened: asyncio.Event) -> None:
        self._source, self._opened = source, opened

    async def read(self, size: int) -> bytes:
        data = await self._source.read(size)
        if not self._opened.is_set():
            await self._opened.wait()
            return b""
        return data


class Disk:
    """A small disk of its own (tmpfs) over `folder`, which can be filled. `usable`: one could be mounted."""

    def __init__(self, folder: Path, size: str = "16m") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(folder)]
        self.usable = subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        with suppress(OSError), (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (1 << 16, 1 << 9, 1):
                with suppress(OSError):
                    while ballast.write(b"x" * size):
                        pass

    def relieve(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        if self.usable:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class RealMachine(Machine):
    """With a real Asterisk and SIPp."""

    def __init__(self, lab: Lab, proxy: Valve, cadran: Cadran, disk: Disk) -> None:
        super().__init__(proxy, cadran)
        self.lab, self.valve, self.disk = lab, proxy, disk
        self.faults |= {"Asterisk killed": self._asterisk_killed, "link half-open": self._half_open}
        if disk.usable:
            self.faults["journal full"] = self._journal_full

    async def _asterisk_killed(self) -> None:
        await asyncio.to_thread(self.lab.bed.kill)
        await asyncio.to_thread(self.lab.bed.start)
        await asyncio.sleep(0.5)

    async def _half_open(self) -> None:
        self.valve.opened.clear()
        await asyncio.sleep(NOTICED_S)
        self.valve.opened.set()

    async def _journal_full(self) -> None:
        self.disk.fill()
        await asyncio.sleep(4.0)
        self.disk.relieve()
        await asyncio.sleep(0.5)
