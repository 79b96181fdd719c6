"""What a driver starts and does not await: it ends with the link, and never fails unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from daemon.errors import InvariantViolated, PbxUnavailable

log = structlog.get_logger(__name__)


class Errands:
    """Tasks of one site. `drop` ends the link, so that a resync tells what could not be told."""

    def __init__(self, site: str, drop: Callable[[PbxUnavailable], None]) -> None:
        self._site, self._drop = site, drop
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, InvariantViolated):
            self._drop(overrun(error))
        elif error is not None:
            name = getattr(task.get_coro(), "__qualname__", "")
            log.error("pbx.task_failed", site=self._site, task=name, exc_info=error)


def overrun(error: InvariantViolated) -> PbxUnavailable:
    """The engine takes no more: the link has to end."""
    return PbxUnavailable(str(error), "overrun")
