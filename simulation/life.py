"""A daemon's life in a simulation: what is scheduled in its context stops for good when it is killed."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.loop import VirtualLoop


@dataclass(slots=True, eq=False)
class Life:
    """One life of a daemon. Everything scheduled in its context stops for good when `dead` is set: a kill leaves no
    callback, `finally` or destructor of it to run."""

    name: str
    dead: bool = False
    kept: list[Any] = field(default_factory=list)
    """What must not be collected before the end, since collecting it would run its code."""

    def end(self, loop: VirtualLoop) -> None:
        """Nothing of it runs any more."""
        self.dead = True
        loop.deaths += 1
        tasks = [task for task in asyncio.all_tasks(loop) if getattr(task, "life", None) is self]
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be left pending
            coroutine = task.get_coro()
            if isinstance(coroutine, CoroutineType) and getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()  # not begun: nothing of it runs
        self.kept.extend(tasks)


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
