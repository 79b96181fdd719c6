"""Waiting on simulated time, by timers alone: a task would be woken thousands of times in a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.app import Application
from simulation.loop import VirtualLoop

Condition = Callable[[], bool]
"""What is not there yet (KeyError, AttributeError) is not met; any other exception is the waiter's."""


async def until(loop: VirtualLoop, condition: Condition, bound_s: float, step_s: float) -> None:
    """Wait until `condition()`; TimeoutError after `bound_s` virtual seconds."""
    met = loop.create_future()
    deadline = loop.time() + bound_s
    timer: Any = None

    def look() -> None:
        nonlocal timer
        try:
            if condition():
                met.set_result(None)
                return
        except (KeyError, AttributeError):
            pass
        except Exception as error:
            met.set_exception(error)
            return
        if loop.time() > deadline:
            met.set_exception(TimeoutError("the world did not get there"))
            return
        timer = loop.call_later(step_s, look)

    look()
    try:
        await met
    finally:
        if timer is not None:
            timer.cancel()


class Batches:
    """The engines' signs of life. `news`: whether there has been a batch since somebody set it to False."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._after_batch: Callable[[], None] | None = None
        self.news = True

    def listen(self, app: Application) -> None:
        """To this daemon's engines too."""
        told = app.sites._beat

        def beat(site: str) -> None:
            told(site)
            self.news = True
            if self._after_batch is not None:
                self._after_batch()

        app.sites._beat = beat  # type: ignore[method-assign]

    async def seen(self, condition: Condition, bound_s: float, step_s: float) -> None:
        """As `until`, for what only an engine's batch can bring about: looked at every `step_s` as there, but only if
        there has been a batch since."""
        loop, met = self._loop, self._loop.create_future()
        next_at = end_at = loop.time()
        deadline = end_at + bound_s
        while end_at <= deadline:
            end_at += step_s
        armed: Any = None

        def look() -> None:
            nonlocal armed
            armed = None
            try:
                if not met.done() and condition():
                    met.set_result(None)
            except (KeyError, AttributeError):
                pass
            except Exception as error:
                met.set_exception(error)

        def after_batch() -> None:
            nonlocal armed, next_at
            if armed is None and not met.done():
                now = loop.time()
                while next_at <= now:
                    next_at += step_s
                armed = loop.call_at(next_at, look)

        def too_late() -> None:
            if not met.done():
                look()
            if not met.done():
                met.set_exception(TimeoutError("the world did not get there"))

        look()
        end = loop.call_at(end_at, too_late)
        self._after_batch = after_batch
        try:
            await met
        finally:
            self._after_batch = None
            for timer in (armed, end):
                if timer is not None:
                    timer.cancel()
