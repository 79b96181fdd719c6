"""ARI on the wire: HTTP with basic authentication, and the WebSocket that events leave by."""

import asyncio
import base64
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from fake_asterisk.ari import rest
from fake_asterisk.ari.gate import Gate
from fake_asterisk.ari.http import Connection, Request, Response

if TYPE_CHECKING:
    from fake_asterisk.ari.face import App
    from fake_asterisk.pbx import FakeAsterisk


class Server:
    """Connections to one fake PBX's ARI. Call it for the protocol of a new connection, on any transport."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self.pbx = pbx
        self._connections: dict[Connection, None] = {}

    def __call__(self) -> asyncio.BaseProtocol:
        return Gate(self.pbx.faults, Connection(self._connections, self._handle, self.pbx.wall))

    def abort(self) -> int:
        """Reset every connection; how many."""
        open_ = list(self._connections)
        for connection in open_:
            connection.abort()
        return len(open_)

    def flush(self) -> None:
        """What a silence held back goes out."""
        for connection in self._connections:
            wire: Any = connection.transport
            wire.flush()

    def close(self) -> None:
        """End all."""
        self.abort()

    async def _handle(self, request: Request) -> Response | None:
        power = self.pbx.power
        if not power.port_open or not power.running:
            request.connection.abort()
            return None
        user = self._user(request)
        if user is None:
            return _answer(401, {"message": "Authentication required"})
        path = request.path.removeprefix("/ari")
        if path == "/events":
            self._events(request)
            return None
        if not power.booted:
            return _answer(503, {"message": "Asterisk not booted"})
        changes = request.method != "GET"
        if user.read_only and changes:
            return _answer(403, {"message": "Write access denied"})
        parameters: dict[str, Any] = request.query
        if request.body:
            parameters |= msgspec.json.decode(request.body)
        faults = self.pbx.faults
        if changes and faults.loses_action():
            return None
        status, body = await rest.dispatch(self.pbx, request.method, path, parameters)
        if changes and faults.loses_response():
            return None
        return _answer(status, body)

    def _user(self, request: Request) -> Any:
        name, password = _credentials(request.headers.get("authorization", ""))
        user = self.pbx.config.ari_users.get(name)
        return user if user is not None and user.password == password else None

    def _events(self, request: Request) -> None:
        """A WebSocket for the applications that the query names."""
        ari = self.pbx.ari

        def send(message: dict[str, Any]) -> None:
            socket.send(msgspec.json.encode(message))

        def gone() -> None:
            for app in apps:
                ari.disconnected(app, send)

        apps: list[App] = []
        socket = request.connection.upgrade(request, gone)
        apps += [ari.connected(name, send) for name in request.query.get("app", "").split(",")]


@lru_cache(maxsize=64)
def _credentials(header: str) -> tuple[str, str]:
    """Name and password of a header for basic authentication; empty if it is none."""
    try:
        name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    except ValueError:
        return "", ""
    return name, password


def _answer(status: int, body: Any) -> Response:
    return Response(status, b"" if body is None else msgspec.json.encode(body))
