"""One reading for all who ask meanwhile: what a cache needs, lest each of its expiries send every request to the store.

Called by what keeps rows for a second (tokens, groups, clients). Whoever asks while a reading is under way gets its
result or its error; a reader that goes away takes nobody's answer along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Shared:
    """Readings under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    def forget(self) -> None:
        """The rows have changed: who asks from now on is not given what is being read since before."""
        self._under_way.clear()

    async def once(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """`read()`, or what the one under way for `key` finds. Raises what it raises."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.get_running_loop().create_task(self._read(read), name="shared read")
            task.add_done_callback(lambda done: self._done(key, done))
        found: T = await asyncio.shield(task)
        return found

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        return await read()

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # nobody may be left to hear it
