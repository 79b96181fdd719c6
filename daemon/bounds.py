"""What is bounded, and how near its bound it is: every queue, buffer and wait names itself, `/metrics` shows all."""

from __future__ import annotations

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
