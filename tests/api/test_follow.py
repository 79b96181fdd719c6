"""Following one call: it ends with the call, with the token, and with the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.errors import StoreUnavailable
from tests.api.fakes import World, call_view
from tests.api.test_stream import Events

Client = TestClient[Any, Any]
CALL = "0199" * 8
PATH = f"/api/v1/calls/{CALL}/events"


@asynccontextmanager
async def followed(client: Client, world: World) -> AsyncIterator[Events]:
    """A stream of the call that has told of its present stage."""
    world.door.show(call_view(CALL, world.rows["group"].id, campaign_id=world.rows["campaign"].id))
    async with client.get(PATH, headers=world.auth("supervisor")) as response:
        events = Events(response)
        assert response.status == 200 and (await events.next())[0] == "call"
        yield events


async def ended(events: Events) -> bool:
    """Whether a stream comes to its end without another word."""
    async with asyncio.timeout(30):
        return b"event" not in await events.response.content.read()


@pytest.mark.feature(
    "ROLE-03", clause="a revoked token closes the stream of a single call too, though nothing happens in it"
)
async def test_a_revoked_token_follows_no_further(client: Client, world: World) -> None:
    other, own = world.rows["token_manager"].id, world.rows["token_supervisor"].id
    async with followed(client, world) as events:
        for id in (other, own):
            async with client.delete(f"/api/v1/tokens/{id}", headers=world.auth("administrator")) as response:
                assert response.status == 204
        assert await ended(events), "somebody else's revocation is no news of the call"


async def test_a_stopping_daemon_does_not_wait_for_the_call_to_end(client: Client, world: World) -> None:
    async with followed(client, world) as events:
        await client.app[DEPS].streams.close()
        assert await ended(events)


async def test_a_lost_database_ends_no_stream_and_a_call_is_over_without_it(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("gone")

    async with followed(client, world) as events:
        for name in ("find", "attempt"):
            monkeypatch.setattr(world.store, name, lost)
        world.clock.advance(2.0)  # what was known of the token is too old to be believed
        world.door.change("calls", CALL, stage="talking")
        kind, shown, _ = await events.next()
        assert (kind, shown["stage"]) == ("call", "talking")
        world.door.gone("calls", CALL)
        assert (await events.next())[:2] == ("end", {"call": None})
