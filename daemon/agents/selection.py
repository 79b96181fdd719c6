"""Who gets a call: the agent ready for longest, ties by id, so that work is shared evenly and a seed repeats a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Selectable(Protocol):
    """What selection needs to know of an agent."""

    @property
    def id(self) -> int: ...
    @property
    def since_at(self) -> float: ...


S = TypeVar("S", bound=Selectable)


def longest_ready(candidates: Iterable[S]) -> S | None:
    """The one in its state for longest (monotonic `since_at`), the lower id on a tie; None of none."""
    return min(candidates, key=lambda agent: (agent.since_at, agent.id), default=None)
