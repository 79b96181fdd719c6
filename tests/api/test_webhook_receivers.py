"""The receivers of docs/examples verify what our webhooks send them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession

from tests.api.fakes import World
from tests.api.hooks import PATH, Calls, Client, add, drain, get
from tests.asterisk.bed import free_ports

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@asynccontextmanager
async def example(command: list[str], secret: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A shipped receiver at work."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "CADRAN_WEBHOOK_SECRET": secret, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


@pytest.mark.feature("CRMI-03", clause="the shipped PHP, Node and Python receivers verify our signatures")
@pytest.mark.parametrize("program", ["node", "php", "python"])
async def test_the_shipped_receivers(client: Client, world: World, program: str, tmp_path: Path) -> None:
    if program != "python" and shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    (port,) = free_ports(1, socket.SOCK_STREAM)
    command = {
        "node": ["node", str(EXAMPLES / "webhook-receiver.js"), str(port)],
        "php": ["php", "-S", f"127.0.0.1:{port}", str(EXAMPLES / "webhook-receiver.php")],
        "python": [sys.executable, str(EXAMPLES / "webhook_receiver.py"), str(port)],
    }[program]
    url = f"http://127.0.0.1:{port}/"
    made = await add(client, world, url)
    async with example(command, made["secret"], tmp_path) as process, ClientSession() as session:
        await _answering(session, url)
        world.clock.utc = _real_now()
        await Calls(world).whole()
        await drain(client, world, made)
        view = await get(client, world, f"{PATH}/{made['id']}")
        assert (view["pending"], view["delivered"], view["last_error"]) == (0, 4, "")
        async with client.post(f"{PATH}/{made['id']}/rotate", headers=world.auth("administrator")) as response:
            assert response.status == 200
        await Calls(world).whole(2)
        await drain(client, world, made)
        assert (await get(client, world, f"{PATH}/{made['id']}"))["delivered"] == 8, "the old secret still verifies"
        world.clock.utc -= timedelta(days=365)
        async with client.post(f"{PATH}/{made['id']}/test", headers=world.auth("administrator")):
            pass
        await drain(client, world, made)
        assert (await get(client, world, f"{PATH}/{made['id']}"))["last_error"] == "HTTP 401", "an old message"
        assert process.stdout is not None
        printed = b""
        async with asyncio.timeout(60):
            while printed.count(b"call.ended") < 2:
                printed += await process.stdout.read(4096)
    assert printed.index(b"call.ringing") < printed.index(b"call.ended")


def _real_now() -> Any:
    from daemon.clock import SystemClock

    return SystemClock().utcnow()


async def _answering(session: ClientSession, url: str) -> None:
    """Until it listens; unsigned, so it must answer 401."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.post(url, data=b"{}") as response:
                    assert response.status == 401
                    return
            except (OSError, ClientConnectionError):
                await asyncio.sleep(0.05)
