"""How aiohttp opens a connection here: by the event loop's own `create_connection`, and nothing else.

aiohttp's usual connector makes sockets by itself, in a race between address families; on a loop with simulated time
there are no sockets. Name resolution and TLS are the loop's too.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class LoopConnector(aiohttp.BaseConnector):
    """One TCP (or TLS) connection a request that finds none idle. Errors are those of `create_connection`, wrapped."""

    def __init__(self, *, limit: int, keepalive_timeout: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._tls = tls

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        """aiohttp's extension point for connectors (its UnixConnector fills it the same way)."""
        host, port = req.url.raw_host, req.url.port
        names = {"ssl": self._tls, "server_hostname": host} if self._tls is not None else {}
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.create_connection(self._factory, host, port, **names)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol

    def abandon(self) -> None:
        """Let go of all connections without a word."""
        self._close(abort_ssl=True)
