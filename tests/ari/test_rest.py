"""Requests by ARI on the wire: the ways in which a server may end its answer, and connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from daemon.ari.rest import Answer, Closed, Connections, Malformed, NotConnected

Serve = Callable[["Seen", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


class Seen:
    """What a server was asked, and over how many connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()

    async def next(self, reader: asyncio.StreamReader) -> bool:
        """One request without a body; False if the client has gone."""
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.asked.set()
        return True


@asynccontextmanager
async def server(serve: Serve, limit: int = 16) -> AsyncIterator[tuple[Connections, Seen]]:
    seen = Seen()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            await serve(seen, reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    connections = Connections("127.0.0.1", port, headers={"Authorization": "Basic dTpw"}, limit=limit, keep_s=8.0)
    try:
        yield connections, seen
    finally:
        connections.close()
        listening.close()


async def ask(connections: Connections, method: str = "GET", path: str = "/ari/channels") -> Answer:
    return await connections.ask(method, path, deadline_s=5.0)


def answering(*pieces: bytes, then_close: bool = False) -> Serve:
    """Each request is answered by these pieces, one packet each."""

    async def serve(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await seen.next(reader):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            if then_close:
                return

    return serve


@pytest.mark.parametrize(
    ("pieces", "ends", "connections"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\n[1", b",2]"), False, 1),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[1\r\n3", b"\r\n,2]\r\n0\r\n", b"\r\n"),
            False,
            1,
        ),
        ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\n[1,2]",), False, 1),
        ((b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n[1,2]",), False, 2),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n[1,2]",), False, 2),
        ((b"HTTP/1.1 200 OK\r\n\r\n[1", b",2]"), True, 2),
    ],
    ids=["length", "chunks", "continue", "close", "http10", "end"],
)
async def test_an_answer_is_read_to_its_end(pieces: tuple[bytes, ...], ends: bool, connections: int) -> None:
    async with server(answering(*pieces, then_close=ends)) as (client, seen):
        assert [(await ask(client)).content for _ in range(2)] == [b"[1,2]", b"[1,2]"]
        assert seen.connections == connections


async def test_an_answer_without_content_ends_with_its_head() -> None:
    async with server(answering(b"HTTP/1.1 204 No Content\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n\r\n")) as (
        client,
        _,
    ):
        assert await ask(client, "DELETE") == Answer(204, b"", "Sun, 22 Nov 2026 10:00:00 GMT")


async def test_nothing_in_a_path_or_a_query_ends_a_line() -> None:
    async with server(answering(OK)) as (client, seen):
        await client.ask("GET", "/ari/sounds/é a\r\nX: y", {"value": "a b\r\n&=+"}, deadline_s=5.0)
        line, *rest = seen.requests[0].split(b"\r\n")
        assert line == b"GET /ari/sounds/%C3%A9%20a%0D%0AX%3A%20y?value=a+b%0D%0A%26%3D%2B HTTP/1.1"
        assert not [each for each in rest if each.startswith(b"X")]


@pytest.mark.feature("RELY-01", clause="ARI: a POST is never written twice, a closed connection or not")
@pytest.mark.parametrize(("method", "asked"), [("GET", 3), ("POST", 2)])
async def test_a_kept_connection_that_the_server_gave_up(method: str, asked: int) -> None:
    """It answers once, and closes as it is asked again."""

    async def serve(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await seen.next(reader):
            writer.write(OK)
            await seen.next(reader)

    async with server(serve) as (client, seen):
        await ask(client, method)
        if method == "POST":
            with pytest.raises(ConnectionError):
                await ask(client, method)
        else:
            assert (await ask(client, method)).content == b"[]"
        assert len(seen.requests) == asked


async def test_no_more_connections_than_allowed_and_each_request_gets_its_answer() -> None:
    async def serve(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await seen.next(reader):
            path = seen.requests[-1].split(b" ")[1]
            await asyncio.sleep(0.01)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path) + path)

    async with server(serve, limit=3) as (client, seen):
        paths = [f"/ari/channels/{n}" for n in range(20)]
        answers = await asyncio.gather(*(ask(client, path=path) for path in paths))
        assert [answer.content.decode() for answer in answers] == paths
        assert seen.connections == 3


async def test_who_waits_for_a_place_may_give_up() -> None:
    given_up = asyncio.Event()

    async def serve(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await seen.next(reader):
            await given_up.wait()
            writer.write(OK)

    async with server(serve, limit=1) as (client, seen):
        first = asyncio.create_task(ask(client))
        await seen.asked.wait()
        with pytest.raises(TimeoutError):
            await client.ask("POST", "/ari/channels", deadline_s=0.01)
        given_up.set()
        assert (await first).status == 200
        assert (await ask(client)).status == 200
        assert b"POST" not in b"".join(seen.requests)


async def test_a_link_that_is_given_up_ends_its_requests() -> None:
    async def silent(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await seen.next(reader):
            pass

    async with server(silent, limit=1) as (client, seen):
        asks = [asyncio.create_task(ask(client)) for _ in range(2)]
        await seen.asked.wait()
        client.close()
        written, waiting = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(written, ConnectionResetError)
        assert isinstance(waiting, Closed)
        with pytest.raises(Closed):
            await ask(client)


@pytest.mark.parametrize(
    "rubbish", [b"220 mail.example ESMTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
async def test_what_is_not_http_is_an_end(rubbish: bytes) -> None:
    async with server(answering(rubbish)) as (client, _):
        with pytest.raises(Malformed):
            await ask(client)


async def test_nothing_listens() -> None:
    client = Connections("127.0.0.1", 1, headers={}, limit=1, keep_s=8.0)
    for _ in range(2):
        with pytest.raises(NotConnected):
            await ask(client)
