"""A TCP relay between the daemon and Asterisk whose cord can be pulled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

Tap = Callable[[bytes], None]


class Proxy:
    """Relays connections to `target_port`. `cut()` resets all of them; with `refusing` new ones are reset at once.

    `events` is given what Asterisk says, `actions` what the daemon says, each just before it is passed on.
    """

    def __init__(self, target_port: int, events: Tap = lambda data: None, actions: Tap = lambda data: None) -> None:
        self._target_port, self._events, self._actions = target_port, events, actions
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.connections_count = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def cut(self) -> None:
        """Reset every connection: whatever was under way in either direction is lost."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.refusing:
                writer.transport.abort()
                return
            self.connections_count += 1
            await self._relay(reader, writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, far_writer, self._actions))
                group.create_task(self._copy(far_reader, writer, self._events))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tap: Tap) -> None:
        """Until either side ends; then both connections end, as a broken path would end them."""
        try:
            while data := await source.read(65_536):
                tap(data)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.transport.abort()
