"""What is bounded, and how near its bound it is: every queue, buffer and wait names itself, `/metrics` shows all.
Likewise what is counted, and how long things took.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable


class Bound(NamedTuple):
    """`used` of `limit`, in the unit that `name` ends in, or a count. What happens at the limit is said where it is."""

    name: str
    used: float
    limit: float
    site: str = ""


@runtime_checkable
class Bounded(Protocol):
    """Something with bounds of its own."""

    def bounds(self) -> Iterable[Bound]:
        """Each with its use at this instant; cheap."""
        ...


@runtime_checkable
class Counted(Protocol):
    """Something that counts what happens to it."""

    def counts(self) -> Iterable[tuple[str, str, int]]:
        """(site, what, how often since the start)."""
        ...


class Spread:
    """How long something took, since the start: so many within each limit. Its size never changes."""

    LIMITS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * (len(self.LIMITS_S) + 1)

    def add(self, seconds: float) -> None:
        """One more."""
        self.sum_s += seconds
        self._counts[bisect_left(self.LIMITS_S, seconds)] += 1

    def within(self) -> list[tuple[float, int]]:
        """(limit in seconds, how many took no longer), the last for all."""
        total, found = 0, []
        for limit, count in zip((*self.LIMITS_S, float("inf")), self._counts, strict=True):
            total += count
            found.append((limit, total))
        return found


@runtime_checkable
class Timed(Protocol):
    """Something that takes the time of what it does."""

    def times(self) -> Iterable[tuple[str, str, Spread]]:
        """(site, what, how long)."""
        ...
