"""An event loop whose time jumps: a conversation of ten seconds takes as long as its bytes do.

For a client and a fake in one thread that talk through a socket pair. What one writes is there for the other at once,
so when nothing can be read and nothing is ready to run, all that is left is to wait, and the wait is left out. A busy
machine then makes a replay slower, never different.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stalled(RuntimeError):
    """Everything waits for something that no timer and no byte will bring."""


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.now = 1.0  # any start will do; not 0, so that nobody takes it for "never"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._selector.select(0)
        if not ready:
            if timeout is None:
                raise Stalled("no timer is set and no byte is on its way")
            self.now += max(timeout, 0.0)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time begins at 1.0 and moves only when everything waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
