"""The ARI link against servers that misbehave: each trouble has its code, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from daemon.ari import client as ari
from daemon.ari.client import AriClient, AriOptions
from daemon.errors import PbxInDoubt, PbxUnavailable

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Link:
    """A client at work, and what it told."""

    def __init__(self, port: int, **options: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.losses: list[PbxUnavailable] = []
        self.lives = 0
        self.connected, self.lost = asyncio.Event(), asyncio.Event()
        made = AriOptions(
            host="127.0.0.1", tcp_port=port, username="u", app="a",
            **{"password": lambda: "p", "retry_first_s": 30.0, "request_deadline_s": 10.0, **options},
        )  # fmt: skip
        self.client = AriClient(made, rng=random.Random(1), on_event=self.events.append, on_down=self._down)

    def _down(self, why: PbxUnavailable, next_try_in_s: float) -> None:
        self.losses.append(why)
        self.lost.set()

    async def _up(self) -> None:
        self.lives += 1
        self.connected.set()


@asynccontextmanager
async def link_to(handler: Handler, **options: Any) -> AsyncIterator[Link]:
    server = web.Server(handler, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    link = Link(listening.sockets[0].getsockname()[1], **options)
    task = asyncio.create_task(link.client.run(link._up))
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.shutdown(0)
        listening.close()


async def socket_of(request: web.BaseRequest, *messages: str) -> web.WebSocketResponse:
    """A WebSocket that says this, and then listens."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    for text in messages:
        await socket.send_str(text)
    async for _ in socket:
        pass
    return socket


def answering(status: int) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    return answer


@pytest.mark.feature("PBX-05", clause="each trouble of the link has a stable code")
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "auth_failed"), (403, "auth_failed"), (404, "no_ari"), (503, "booting"), (200, "protocol")],
)
async def test_a_refused_handshake_says_why(status: int, code: str) -> None:
    async with link_to(answering(status)) as link:
        await asyncio.wait_for(link.lost.wait(), 60)
        assert link.losses[0].code == code
        with pytest.raises(PbxUnavailable):
            await link.client.ask("GET", "/channels")


async def test_nothing_listens() -> None:
    async with link_to(answering(200)) as link:
        link = Link(1)
        task = asyncio.create_task(link.client.run(link._up))
        await asyncio.wait_for(link.lost.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert link.losses[0].code == "refused"


async def test_a_password_that_cannot_be_read() -> None:
    def unreadable() -> str:
        raise OSError(2, "No such file")

    async with link_to(answering(200), password=unreadable) as link:
        await asyncio.wait_for(link.lost.wait(), 60)
        assert link.losses[0].code == "no_secret"


@pytest.mark.parametrize(("text", "code"), [("{", "protocol"), ('{"type": "ApplicationReplaced"}', "replaced")])
async def test_what_the_socket_says_may_end_the_link(text: str, code: str) -> None:
    async def speak(request: web.BaseRequest) -> web.StreamResponse:
        return await socket_of(request, '{"type": "StasisEnd"}', text)

    async with link_to(speak) as link:
        await asyncio.wait_for(link.lost.wait(), 60)
        assert link.losses[0].code == code
        assert link.events == [{"type": "StasisEnd"}]


@pytest.mark.feature("RELY-01", clause="ARI: an originate without an answer is never sent again; the link is dropped")
@pytest.mark.parametrize("how", ["silent", "cut"])
async def test_an_originate_without_an_answer_is_in_doubt_and_never_repeated(how: str) -> None:
    asked: list[str] = []
    over = asyncio.Event()

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/ari/events":
            return await socket_of(request)
        asked.append(request.method)
        if how == "cut" and request.transport is not None:
            request.transport.abort()
        await over.wait()
        return web.Response()

    async with link_to(serve, request_deadline_s=3.0) as link:
        await asyncio.wait_for(link.connected.wait(), 60)
        with pytest.raises(PbxInDoubt):
            await link.client.ask("POST", "/channels", body={"endpoint": "PJSIP/1"})
        await asyncio.wait_for(link.lost.wait(), 60)
        assert link.losses[0].code == "half_open"
        assert asked == ["POST"]
        over.set()  # the server waits for its handlers


async def test_a_pbx_far_behind_is_not_asked_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ari, "PENDING_MAX", 3)

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/ari/events":
            return await socket_of(request)
        await asyncio.sleep(0.2)
        return web.json_response([])

    async with link_to(serve, request_deadline_s=60.0) as link:
        await asyncio.wait_for(link.connected.wait(), 60)
        asks = [asyncio.create_task(link.client.ask("GET", "/channels")) for _ in range(5)]
        results = await asyncio.gather(*asks, return_exceptions=True)
        assert results[:3] == [[], [], []]
        assert [getattr(refused, "code", None) for refused in results[3:]] == ["busy", "busy"]
        assert not link.losses
