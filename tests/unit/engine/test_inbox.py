"""The engine's inbox: a burst is taken in parts, so that what its head decided leaves before its tail is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daemon.engine.inbox import BATCH_S, Inbox


class _Clock:
    """Stands still unless something takes its time."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at


@pytest.mark.feature("RELY-09", clause="a burst of events does not keep who answered at its head waiting for its tail")
def test_a_long_burst_is_taken_in_parts() -> None:
    clock: Any = _Clock()
    inbox, done = Inbox(clock), []

    def item(n: int) -> Callable[[], None]:
        def work() -> None:
            clock.at += 0.4 * BATCH_S
            done.append(n)

        return work

    for n in range(7):
        inbox.put(item(n))
    parts = []
    while inbox.items:
        inbox.take(clock.now())
        parts.append(len(done))
    assert done == list(range(7)), "none lost, none overtaken"
    assert parts == [3, 6, 7]


def test_one_that_takes_long_is_named() -> None:
    clock: Any = _Clock()
    inbox = Inbox(clock)

    def slow() -> None:
        inbox.doing = "Slow"
        clock.at += 5 * BATCH_S

    inbox.put(slow)
    inbox.put(lambda: None)
    slowest, culprit = inbox.take(clock.now())
    assert (round(slowest / BATCH_S), culprit) == (5, "Slow")
    assert len(inbox.items) == 1, "the next is for the next batch"
