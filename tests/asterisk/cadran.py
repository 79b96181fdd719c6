"""The daemon as its users have it: a process started by the command, spoken to over HTTP and by the command line."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.asterisk.bed import SECRET, AsteriskBed, die_with_parent, free_ports, wait_until

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).resolve().parent / "rules"
SITE = "lab"
EXTENSIONS = ("1001", "1002", "1003", "1004", "1005", "1006")
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 90.0

_SETTINGS = """\
[daemon]
instance = "{instance}"
data_dir = "{folder}/data"
rules_dir = "{rules}"
log_format = "json"
drain_s = 5.0

[database]
dsn = "postgresql:///cadran?host={database}/data/postgres/socket&user=cadran"

[http]
tcp_port = {http_port}

[dialer]
line_failures_rest = 1000  # far ends that answer 503 stand for people here, not for a sick trunk

[[sites]]
id = "lab"
name = "Test bed"
{link}
extensions = [{extensions}]
ping_interval_s = 2.0
ping_deadline_s = 5.0
backoff_min_s = 0.2
backoff_max_s = 2.0
"""


_AMI = """\
tcp_port = {port}
username = "cadran-{mode}"
secret_file = "{folder}/secret"
mode = "{mode}"
"""
_ARI = """\
driver = "ari"
ari = {{ url = "http://127.0.0.1:{port}", username = "ari", password_file = "{folder}/secret" }}
"""


def port_of(bed: AsteriskBed, mode: str) -> int:
    """Where a daemon in this mode connects to."""
    return bed.ports.http if mode == "ari" else bed.ports.ami


class Refused(Exception):
    """The API said no."""


class Cadran:
    """`cadran run` against a lab's Asterisk, through `port` (see `port_of`). `async with Cadran(...) as cadran`.

    `beside`: another one whose database this one shares, so that it stands by for the same site.
    """

    def __init__(
        self, mode: str, port: int, extensions: Sequence[str] = EXTENSIONS, beside: Cadran | None = None
    ) -> None:
        # Not under pytest's own folder: that is closed to the account the database runs as when we are root.
        self.folder = Path(tempfile.mkdtemp(prefix="cadran-lab-"))
        self.folder.chmod(0o755)
        (self.http_port,) = free_ports(1, socket.SOCK_STREAM)
        self.settings_file = self.folder / "cadran.toml"
        words = {"folder": self.folder, "rules": RULES, "http_port": self.http_port}
        link = _ARI if mode == "ari" else _AMI
        words["link"] = link.format(port=port, mode=mode, folder=self.folder).rstrip()
        words |= {"database": beside.folder if beside else self.folder, "instance": "second" if beside else "first"}
        words["extensions"] = ", ".join(f'"{extension}"' for extension in extensions)
        self.settings_file.write_text(_SETTINGS.format(**words), "utf-8")
        (self.folder / "secret").write_text(SECRET, "utf-8")
        (self.folder / "secret").chmod(0o600)
        self._beside = beside
        self.log_file = self.folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []

    # -- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        try:
            # The database in its own process, as the units have it: it outlives the daemon.
            if self._beside is None:
                self._spawn("db", "run")
                await asyncio.to_thread(
                    wait_until, "the database", lambda: "PostgreSQL is ready" in self.last_words(), START_TIMEOUT_S
                )
            await self.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        await self._stack.aclose()
        for process in reversed(self._processes):
            await self._stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "daemon.cli.main", *words, "--config", str(self.settings_file)]
        with self.log_file.open("ab") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent
            )
        self._processes.append(process)
        return process

    async def _stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)

    async def start(self) -> None:
        """Start the daemon and wait until its API answers and, unless it stands by, its link is up."""
        self._daemon = self._spawn("run")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self._answers():
                if self._daemon.poll() is not None:
                    raise RuntimeError(f"the daemon ended with {self._daemon.returncode}:\n{self.last_words()}")
                await asyncio.sleep(0.1)
            if self._beside is None:
                await self.wait_for_link()

    async def _answers(self) -> bool:
        token_file = self.folder / "data" / "cli-token"
        if not token_file.exists():
            return False
        await self._stack.aclose()
        headers = {"Authorization": f"Bearer {token_file.read_text('utf-8').split()[1]}"}
        session = aiohttp.ClientSession(f"http://127.0.0.1:{self.http_port}", headers=headers)
        self._session = await self._stack.enter_async_context(session)
        try:
            await self.get("/api/v1/status")
        except (aiohttp.ClientError, Refused, OSError):
            return False
        return True

    async def wait_for_link(self, since: float = 0.0) -> None:
        """Until the PBX link is up and resynced, and came up later than `since` (epoch seconds)."""
        while True:
            links = (await self.get("/api/v1/status"))["links"]
            if any(link["synced"] and datetime.fromisoformat(link["since"]).timestamp() > since for link in links):
                return
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """SIGTERM to the daemon: it drains and exits; the database stays."""
        await self._stop(self._daemon)

    async def kill(self) -> None:
        """SIGKILL to the daemon."""
        self._daemon.kill()
        await asyncio.to_thread(self._daemon.wait, STOP_TIMEOUT_S)

    def last_words(self, lines: int = 30) -> str:
        return "\n".join(self.log_file.read_text("utf-8", "replace").splitlines()[-lines:])

    # -- API ------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        async with self._session.request(method, path, json=body, params=query) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise Refused(f"{method} {path}: {answer.status} {text}")
            return json.loads(text) if text else None

    async def get(self, path: str, **query: str) -> Any:
        return await self.ask("GET", path, **query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self.ask("POST", path, dict(body or {}))

    async def download(self, path: str) -> bytes:
        """What lies behind a link. Refused if the answer is an error."""
        async with self._session.get(path) as answer:
            if answer.status >= 400:
                raise Refused(f"GET {path}: {answer.status}")
            return await answer.read()

    async def create(self, table: str, **fields: Any) -> int:
        """A configuration row; its id."""
        return int((await self.post(f"/api/v1/{table}", fields))["id"])

    async def attempts(self, campaign_id: int) -> list[dict[str, Any]]:
        """Every attempt of the campaign, as the API tells them."""
        rows: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = await self.get("/api/v1/calls", campaign_id=str(campaign_id), limit="500", **after)
            rows += page["rows"]
            if not page["next_after"]:
                return rows
            after = {"after": page["next_after"]}

    async def command(self, *words: str) -> str:
        """Run the command line as an operator would; its output. Refused if it exits with anything but 0."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "daemon.cli.main",
            *words,
            "--config",
            str(self.settings_file),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise Refused(f"cadran {' '.join(words)}: exit {process.returncode}\n{output.decode(errors='replace')}")
        return output.decode(errors="replace")
