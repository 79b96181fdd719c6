"""Downloads give back what they hold: the rows' source is closed with the answer, however that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError
from aiohttp.test_utils import TestClient

from daemon.api import csv_download
from daemon.errors import StoreUnavailable
from tests.api.conftest import Serve
from tests.api.fakes import World

Client = TestClient[Any, Any]
PATHS = ("/api/v1/exports/calls", "/api/v1/reports/attempts?format=csv")


class Endless:
    """Calls without end, one after the other; whether whoever reads them has let go."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def rows(self, *filters: Any, **named: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                yield {"number": 1, "e164": "+33612345678", "notes": "x" * 1000}
                await asyncio.sleep(0)
        finally:
            self.closed.set()


@pytest.fixture
def calls(world: World, monkeypatch: pytest.MonkeyPatch) -> Endless:
    found = Endless()
    monkeypatch.setattr(world.store, "stream", found.rows)
    monkeypatch.setattr(world.store, "stream_attempts", found.rows)
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_a_download_that_nobody_reads_is_ended(
    serve: Serve, world: World, calls: Endless, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held its connection to the database for as long as the other side kept the line open."""
    monkeypatch.setattr(csv_download, "STALL_S", 0.2)
    client = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1024)
    headers = "".join(f"{name}: {value}\r\n" for name, value in world.auth("manager").items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(30):
        await calls.closed.wait()
    writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_a_refused_download_holds_nothing(client: Client, world: World, calls: Endless, path: str) -> None:
    more = "&columns=colour" if "?" in path else "?columns=colour"
    async with client.get(path + more, headers=world.auth("manager")) as response:
        assert response.status == 400
        assert calls.closed.is_set()


@pytest.mark.parametrize("path", PATHS)
async def test_a_download_whose_rows_break_off_is_cut(
    client: Client, world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer, an error in JSON, stood in the middle of the file, and the connection went on."""

    async def rows(*filters: Any, **named: Any) -> AsyncIterator[dict[str, Any]]:
        for number in range(1000):
            yield {"number": number, "e164": "+33612345678"}
        raise StoreUnavailable("gone")

    monkeypatch.setattr(world.store, "stream", rows)
    monkeypatch.setattr(world.store, "stream_attempts", rows)
    with pytest.raises((ClientPayloadError, ClientConnectionError)):
        async with client.get(path, headers=world.auth("manager")) as response:
            await response.read()
    async with client.get("/api/v1/lists", headers=world.auth("manager")) as response:
        assert response.status == 200
