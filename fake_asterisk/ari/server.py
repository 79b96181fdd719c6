"""ARI on the wire: HTTP with basic authentication, and the WebSocket that events leave by. aiohttp does the bytes."""

import asyncio
import base64
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fake_asterisk.ari import rest
from fake_asterisk.ari.gate import Gate
from fake_asterisk.faults import Disturbed

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

QUEUE_MAX = 10_000  # messages not yet written; a reader that far behind is cut off
REPLACED = "ApplicationReplaced"


class Server:
    """Connections to one fake PBX's ARI. Call it for the protocol of a new connection, on any transport."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self.pbx = pbx
        self._http = web.Server(self._handle, loop=pbx.loop, access_log=None, handler_cancellation=True)

    def __call__(self) -> asyncio.BaseProtocol:
        return Gate(self.pbx.faults, self._http())

    def abort(self) -> int:
        """Reset every connection; how many."""
        open_ = [c.transport for c in self._http.connections if isinstance(c, RequestHandler) and c.transport]
        for transport in open_:
            transport.abort()
        return len(open_)

    def flush(self) -> None:
        """What a silence held back goes out."""
        for connection in self._http.connections:
            wire = getattr(connection, "transport", None)
            if wire is not None:
                wire.flush()

    async def close(self) -> None:
        """End all."""
        self.abort()
        await self._http.shutdown(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        power = self.pbx.power
        if not power.port_open or not power.running:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        user = self._user(request)
        if user is None:
            return self._answer(401, {"message": "Authentication required"})
        path = request.path.removeprefix("/ari")
        if path == "/events":
            return await self._events(request)
        if not power.booted:
            return self._answer(503, {"message": "Asterisk not booted"})
        if user.read_only and request.method != "GET":
            return self._answer(403, {"message": "Write access denied"})
        parameters: dict[str, Any] = dict(request.query)
        if request.can_read_body:
            parameters |= msgspec.json.decode(await request.read() or b"{}")
        faults = self.pbx.faults
        changes = request.method != "GET"
        if changes and faults.loses_action():
            await self._never()
        status, body = await rest.dispatch(self.pbx, request.method, path, parameters)
        if changes and faults.loses_response():
            await self._never()
        return self._answer(status, body)

    def _answer(self, status: int, body: Any) -> web.Response:
        """Dated by the PBX's own clock, by which the stamps in the answer are: the machine's may be another."""
        dated = {"Date": _date(int(self.pbx.wall()))}
        if body is None:
            return web.Response(status=status, headers=dated)
        return web.Response(
            status=status, headers=dated, body=msgspec.json.encode(body), content_type="application/json"
        )

    async def _never(self) -> None:
        """No answer until the client gives up and closes."""
        await asyncio.Event().wait()

    def _user(self, request: web.BaseRequest) -> Any:
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        try:
            name, _, password = base64.b64decode(given).decode().partition(":")
        except ValueError:
            return None
        user = self.pbx.config.ari_users.get(name)
        return user if user is not None and user.password == password else None

    async def _events(self, request: web.BaseRequest) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_MAX)

        def put(message: dict[str, Any]) -> None:
            if queue.full():
                if request.transport is not None:
                    request.transport.abort()
            else:
                queue.put_nowait(message)

        disturbed = Disturbed(self.pbx.faults, put)

        def send(message: dict[str, Any]) -> None:
            if disturbed.at_work and message["type"] != REPLACED:  # that one is the end of a connection
                disturbed.send(message)
            else:
                put(message)

        async def write() -> None:
            while True:
                text = msgspec.json.encode(await queue.get()).decode()
                try:
                    await socket.send_str(text)
                except ConnectionError:
                    return

        apps = [self.pbx.ari.connected(name, send) for name in request.query.get("app", "").split(",")]
        writer = self.pbx.loop.create_task(write())
        try:
            async for _ in socket:
                pass  # nothing is asked by the WebSocket
        finally:
            writer.cancel()
            for app in apps:
                self.pbx.ari.disconnected(app, send)
        return socket


@lru_cache(maxsize=8)
def _date(epoch: int) -> str:
    """As HTTP has it."""
    return formatdate(epoch, usegmt=True)
