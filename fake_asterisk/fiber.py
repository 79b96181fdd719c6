"""A channel's thread of execution, as a coroutine driven by the event loop's timers alone.

Asterisk runs one thread a channel. Here each is a coroutine that may only wait through `Fiber.pause`, so a
simulation with virtual time sees every wait, and a fiber can be dropped at once (Asterisk's masquerade) without
an exception reaching the application it was in.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

log = logging.getLogger(__name__)


class _Yield:
    """What a pausing coroutine hands to its driver."""

    __slots__ = ()

    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)


_YIELD = _Yield()


class Fiber:
    """One running coroutine with a mailbox. `wake` delivers a value to the pause; `interrupt` raises in it."""

    __slots__ = (
        "_coroutine",
        "_error",
        "_loop",
        "_mail",
        "_paused",
        "_scheduled",
        "_started",
        "_timer",
        "done",
        "on_done",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, on_done: Callable[[], None] | None = None) -> None:
        self._loop = loop
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._mail: deque[Any] = deque()
        self._error: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._scheduled = False
        self._started = False
        self.done = False
        self.on_done = on_done

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin to run at the loop's next turn."""
        self._coroutine = coroutine
        self._paused = True
        self._schedule()

    def wake(self, value: Any) -> None:
        """Let the next (or present) pause return `value`; values queue up."""
        self._mail.append(value)
        self._schedule()

    def interrupt(self, error: BaseException) -> None:
        """Let the next (or present) pause raise `error`."""
        self._error = error
        self._schedule()

    def drop(self) -> None:
        """End the coroutine where it stands; nothing of it runs any more but its `finally` clauses."""
        self.done = True
        self._cancel_timer()
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None and self._paused:
            coroutine.close()
        if self.on_done is not None:
            self.on_done()

    async def pause(self, seconds: float | None = None) -> Any:
        """Wait for `wake` (its value), for `interrupt` (raises), or for `seconds` to pass (None)."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._mail:
            return self._mail.popleft()
        if seconds is not None:
            self._timer = self._loop.call_later(max(0.0, seconds), self._elapsed)
        return await _YIELD

    def _elapsed(self) -> None:
        self._timer = None
        self._step(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        if self._paused and not self._scheduled and not self.done:
            self._scheduled = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        if self.done or not self._paused:
            return
        self._cancel_timer()
        mail = self._started and self._mail and self._error is None
        self._step(self._mail.popleft() if mail else None)

    def _step(self, value: Any) -> None:
        coroutine = self._coroutine
        if coroutine is None or self.done:
            return
        self._paused = False
        try:
            if self._error is not None and self._started:
                error, self._error = self._error, None
                coroutine.throw(error)
            else:
                self._started = True
                coroutine.send(value)
        except StopIteration:
            self._finish()
        except Exception:
            log.exception("a channel of the fake PBX failed")
            self._finish()
        else:
            self._paused = True
            if self._coroutine is None:  # dropped by what it called itself
                coroutine.close()
            elif self._error is not None or self._mail:
                self._schedule()

    def _finish(self) -> None:
        self.done = True
        self._cancel_timer()
        if self.on_done is not None:
            self.on_done()
