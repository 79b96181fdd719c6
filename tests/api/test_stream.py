"""The live stream: snapshot, deltas of changed fields, beats, resumption, reset of the slow, the same bytes for all."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.api.live_scope import Scope
from daemon.api.metrics import Metrics
from daemon.api.routes import Principal
from daemon.api.stream import BEHIND_BYTES_MAX, Channel, Reader, Streams
from daemon.calls.records import ApiToken
from daemon.engine import commands as c
from tests.api.fakes import World, agent_view, call_view

Client = TestClient[Any, Any]


class Events:
    """Server-sent events of a response, one at a time."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any, str]:
        fields: dict[str, str] = {}
        async with asyncio.timeout(30):
            while True:
                line = (await self.response.content.readline()).decode().rstrip("\n")
                if not line and "event" in fields:
                    return fields["event"], json.loads(fields["data"]), fields.get("id", "")
                name, _, value = line.partition(": ")
                fields[name] = value

    async def of(self, kind: str) -> tuple[Any, str]:
        while True:
            event, data, id = await self.next()
            if event == kind:
                return data, id


@asynccontextmanager
async def stream(client: Client, world: World, key: str, last: str = "") -> AsyncIterator[Events]:
    headers = {**world.auth(key), **({"Last-Event-ID": last} if last else {})}
    async with client.get("/api/v1/stream", headers=headers) as response:
        assert response.status == 200 and response.content_type == "text/event-stream"
        yield Events(response)


async def test_a_snapshot_then_only_changed_fields(client: Client, world: World) -> None:
    campaign = world.rows["campaign"].id
    async with stream(client, world, "supervisor") as events:
        snapshot, _ = await events.of("snapshot")
        assert set(snapshot["campaigns"]) == {str(campaign)} and snapshot["seq"] == 0
        beat, _ = await events.of("beat")
        assert beat["links"][0]["up"] is True and beat["store_ok"] is True
        world.door.change("campaigns", campaign, speed=7)
        delta, _ = await events.of("delta")
        assert delta == {"seq": 1, "campaigns": {str(campaign): {"speed": 7}}}


async def test_changes_between_frames_are_coalesced_to_the_last(client: Client, world: World) -> None:
    campaign = world.rows["campaign"].id
    async with stream(client, world, "supervisor") as events:
        await events.of("snapshot")
        for speed in (1, 2, 3):
            world.door.change("campaigns", campaign, speed=speed)
        world.door.show(call_view("0" * 32))
        world.door.gone("calls", "0" * 32)
        delta, _ = await events.of("delta")
        assert delta["campaigns"] == {str(campaign): {"speed": 3}} and "calls" not in delta


async def test_a_command_shows_on_the_stream(client: Client, world: World) -> None:
    campaign = world.rows["campaign"].id
    async with stream(client, world, "supervisor") as events:
        await events.of("snapshot")
        path = f"/api/v1/campaigns/{campaign}/pause"
        async with client.post(path, headers=world.auth("supervisor")) as response:
            assert response.status == 202
        delta, _ = await events.of("delta")
        assert delta["campaigns"][str(campaign)]["state"] == "paused"
    assert world.door.of(c.PauseCampaign)[0].by == "supervisor"


async def test_a_short_absence_resumes_and_an_unknown_id_resets(client: Client, world: World) -> None:
    campaign = world.rows["campaign"].id
    async with stream(client, world, "supervisor") as keeper:
        await keeper.of("snapshot")
        async with stream(client, world, "supervisor") as events:
            _, id = await events.of("snapshot")
        world.door.change("campaigns", campaign, speed=9)
        await keeper.of("delta")
        async with stream(client, world, "supervisor", last=id) as events:
            event, data, _ = await events.next()
            assert event == "delta" and data["campaigns"][str(campaign)] == {"speed": 9}
        async with stream(client, world, "supervisor", last="deadbeef-3") as events:
            event, data, _ = await events.next()
            assert event == "snapshot" and data["reset"] is True


async def test_an_agents_stream_holds_only_its_own(client: Client, world: World) -> None:
    own = world.rows["agent"].id
    async with stream(client, world, "agent") as events:
        snapshot, _ = await events.of("snapshot")
        assert set(snapshot["agents"]) == {str(own)} and snapshot["campaigns"] == {}
        world.door.show(call_view("1" * 32, agent_id=own), call_view("2" * 32, agent_id=own + 1))
        delta, _ = await events.of("delta")
        assert set(delta["calls"]) == {"1" * 32}


@pytest.mark.feature("SUPV-01", clause="who only listens is not told to the agent, unless the site's setting says so")
@pytest.mark.parametrize("silent", [True, False])
async def test_who_only_listens_is_not_on_the_agents_stream(client: Client, world: World, silent: bool) -> None:
    own = world.rows["agent"].id
    world.door.change("agents", own, silent_listening=silent)
    async with stream(client, world, "agent") as desk, stream(client, world, "supervisor") as board:
        await desk.of("snapshot")
        await board.of("snapshot")
        world.door.change("agents", own, state="on_call", listeners=("Duval listen",))
        delta, _ = await desk.of("delta")
        assert delta["agents"][str(own)].get("listeners") == (None if silent else ["Duval listen"])
        delta, _ = await board.of("delta")
        assert delta["agents"][str(own)]["listeners"] == ["Duval listen"]
        async with client.get("/api/v1/desk", headers=world.auth("agent")) as response:
            assert (await response.json())["agent"]["listeners"] == ([] if silent else ["Duval listen"])
        world.door.change("agents", own, listeners=("Duval whisper",))
        delta, _ = await desk.of("delta")
        assert delta["agents"][str(own)]["listeners"] == ["Duval whisper"]


async def test_what_leaves_the_scope_is_said_to_be_gone(client: Client, world: World) -> None:
    own = world.rows["agent"].id
    async with stream(client, world, "supervisor") as events:
        await events.of("snapshot")
        world.door.show(agent_view(own, world.rows["other_group"].id, "S. Benali", "1001"))
        delta, _ = await events.of("delta")
        assert delta["agents"] == {str(own): None}


def _streams(world: World) -> Streams:
    return Streams(world.door, world.clock, random.Random(1), 0.2, Metrics())


async def test_a_slow_reader_is_reset_and_others_are_not(world: World) -> None:
    streams = _streams(world)
    scope = Scope(world.rows["group"].id)
    slow, quick = Reader(Principal()), Reader(Principal())
    channel = streams.join(scope, slow, "")
    assert streams.join(scope, quick, "") is channel
    big = b"x" * (BEHIND_BYTES_MAX // 4)
    for _ in range(5):
        quick.queue.clear()
        quick.queued_bytes = 0
        channel.send(big)
    assert slow.reset and not slow.queue and slow.queued_bytes == 0
    assert not quick.reset and quick.queue[-1] is big
    streams.leave(channel, slow)
    streams.leave(channel, quick)
    assert streams.readers_count() == 0


async def test_what_happened_while_nobody_looked_is_not_missed(world: World) -> None:
    """An agent's desk is the only reader of its scope: with its network gone for a moment nothing is kept for it."""
    streams, own = _streams(world), world.rows["agent"].id
    scope, desk = Scope(world.rows["group"].id, agent_id=own), Reader(Principal())
    channel = streams.join(scope, desk, "")
    id = channel.event_id()
    streams.leave(channel, desk)
    world.door.change("agents", own, state="on_call")
    name = id.rpartition("-")[0]
    for last in (id, f"{name}-²", f"{name}-{'9' * 5000}", name, "-"):
        back = Reader(Principal())
        channel = streams.join(scope, back, last)
        first = back.queue[0].decode()
        assert first.startswith("event: snapshot") and '"on_call"' in first, last[:40]
        streams.leave(channel, back)


async def test_two_readers_of_a_scope_get_the_very_same_bytes(world: World) -> None:
    streams = _streams(world)
    scope = Scope(world.rows["group"].id)
    readers = [Reader(Principal()) for _ in range(2)]
    for reader in readers:
        channel: Channel = streams.join(scope, reader, "")
    world.door.change("campaigns", world.rows["campaign"].id, speed=1)
    channel.take({"campaigns": {str(world.rows["campaign"].id): world.door.views["campaigns"]["1"]}})
    channel._flush()
    assert readers[0].queue[-1] is readers[1].queue[-1]
    assert readers[0].queue[0] is readers[1].queue[0]
    channel.close()


@pytest.mark.feature(
    "SUPV-02", clause="the board goes on while the database answers nothing; a revoked token's ends after"
)
async def test_a_database_that_hangs_holds_no_board_up(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, answers, find = world.rows["campaign"].id, asyncio.Event(), world.store.find

    async def hang(*kind: Any, **fields: Any) -> Any:
        await answers.wait()
        return await find(*kind, **fields)

    async with stream(client, world, "supervisor") as events:
        await events.of("snapshot")
        monkeypatch.setattr(world.store, "find", hang)
        for speed in (7, 8, 9):
            world.clock.advance(2.0)  # what was known of the token is too old to be believed
            world.door.change("campaigns", campaign, speed=speed)
            delta, _ = await events.of("delta")
            assert delta["campaigns"] == {str(campaign): {"speed": speed}}
        token = world.rows["token_supervisor"].id
        await world.store.update(ApiToken, token, {"disabled_at": world.clock.utc}, None)
        answers.set()
        data, _ = await events.of("bye")
        assert data == {"reason": "revoked"}


async def test_a_stopping_daemon_says_good_bye(client: Client, world: World) -> None:
    async with stream(client, world, "supervisor") as events:
        await events.of("snapshot")
        await client.app[DEPS].streams.close()
        data, _ = await events.of("bye")
        assert data == {"reason": "restart"}


@pytest.mark.parametrize("key", ["c2c", "leads"])
async def test_other_kinds_of_token_get_no_stream(client: Client, world: World, key: str) -> None:
    async with client.get("/api/v1/stream", headers=world.auth(key)) as response:
        assert response.status == 401


async def test_open_streams_take_no_place_of_short_requests(serve: Any, world: World) -> None:
    client = await serve(requests_max=1)
    async with stream(client, world, "supervisor") as one, stream(client, world, "manager") as other:
        await one.of("snapshot")
        await other.of("snapshot")
        async with client.get("/api/v1/status", headers=world.auth("supervisor")) as response:
            assert response.status == 200
