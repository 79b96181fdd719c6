"""Under load a row whose cache has expired is read once, not once a request; nobody gets a row from before a change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api.shared import Shared
from daemon.calls.records import ApiToken
from daemon.errors import StoreUnavailable
from tests.api.fakes import World

Client = TestClient[Any, Any]


async def test_those_who_ask_meanwhile_share_a_reading_and_its_error() -> None:
    shared, go, reads = Shared(), asyncio.Event(), 0

    async def read() -> int:
        nonlocal reads
        reads += 1
        await go.wait()
        if reads == 2:
            raise StoreUnavailable("away")
        return reads

    asked = [asyncio.create_task(shared.once("key", read)) for _ in range(5)]
    await asyncio.sleep(0)
    asked.pop(0).cancel()  # the one who began it goes away: the others get their answer all the same
    go.set()
    assert await asyncio.gather(*asked) == [1] * 4
    failed = await asyncio.gather(*(shared.once("key", read) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, StoreUnavailable) for error in failed) and reads == 2
    assert await shared.once("key", read) == 3


async def test_after_a_change_nobody_gets_what_was_being_read_before() -> None:
    shared, go = Shared(), asyncio.Event()

    async def old() -> str:
        await go.wait()
        return "old"

    async def new() -> str:
        return "new"

    before = asyncio.create_task(shared.once("key", old))
    await asyncio.sleep(0)
    shared.forget()
    assert await shared.once("key", new) == "new"
    go.set()
    assert await before == "old"


async def test_a_herd_of_requests_reads_its_token_once(client: Client, world: World) -> None:
    store, reads = world.store, 0
    find = store.find

    async def counted(kind: Any, **equals: Any) -> Any:
        nonlocal reads
        reads += kind is ApiToken
        await asyncio.sleep(0)
        return await find(kind, **equals)

    store.find = counted  # type: ignore[method-assign]
    headers = world.auth("c2c")

    async def status() -> int:
        async with client.get("/api/public/status", headers=headers) as response:
            return response.status

    assert await status() == 200
    world.clock.advance(1.5)
    reads = 0
    assert set(await asyncio.gather(*(status() for _ in range(20)))) == {200}
    assert reads == 1


@pytest.mark.parametrize("herd", [1, 8])
async def test_a_token_withdrawn_while_it_is_read_is_refused(client: Client, world: World, herd: int) -> None:
    """The reading began before the withdrawal and ends after it: what it found must not be believed."""
    store, find, go = world.store, world.store.find, asyncio.Event()
    reading = asyncio.Event()

    async def slow(kind: Any, **equals: Any) -> Any:
        rows = await find(kind, **equals)
        if kind is ApiToken and equals.get("sha256") == world.rows["token_c2c"].sha256 and not go.is_set():
            reading.set()
            await go.wait()
        return rows

    store.find = slow  # type: ignore[method-assign]
    headers = world.auth("c2c")

    async def status() -> int:
        async with client.get("/api/public/status", headers=headers) as response:
            return response.status

    asked = [asyncio.create_task(status()) for _ in range(herd)]
    await reading.wait()
    token = world.rows["token_c2c"]
    async with client.delete(f"/api/v1/tokens/{token.id}", headers={**world.auth("root"), "If-Match": "*"}) as response:
        assert response.status in (200, 204), await response.text()
    go.set()
    assert set(await asyncio.gather(*asked)) == {401}
