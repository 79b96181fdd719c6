"""What a daemon under load holds and how late it is, by quarters of the run: of what leaks, later ones have more."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import statistics
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
PROBE_S = 0.01
GROWTH_MAX = 0.05


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0 of none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Held(NamedTuple):
    """At one instant."""

    memory_mb: float
    objects: float
    """Thousands of blocks that Python's allocator has given out. Memory that grows without them is room between them,
    or the C library's, and not kept by the program."""
    tasks: int
    files: int
    spare_leases: int
    """Line leases that no call has."""
    calls: int
    talking: int


def held(live: Any) -> Held:
    """Now, in this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    calls = list(live.calls.values())
    return Held(
        pages * resource.getpagesize() / (1 << 20),
        sys.getallocatedblocks() / 1000.0,
        len(asyncio.all_tasks()),
        len(os.listdir("/proc/self/fd")),
        sum(line.in_use for line in live.pool.lines.values()) - len(calls),
        len(calls),
        sum(call.connected_at is not None for call in calls),
    )


class Lag:
    """How much later than asked the loop wakes, for each hundredth of a second: a wake that comes late stands for those
    too that it kept from being asked, or a second's pause would count no more than a good moment. The room is taken at
    once: a list that grows for half an hour would be megabytes of what is measured."""

    def __init__(self, seconds: float) -> None:
        self._values = array("d", bytes(8 * int(seconds / PROBE_S + 1000)))
        self._count = 0

    async def run(self) -> None:
        """Until cancelled."""
        while self._count < len(self._values):
            asked = time.perf_counter() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self.add(time.perf_counter() - asked)

    def add(self, late_s: float) -> None:
        """A wake, so much later than asked."""
        late_s = max(0.0, late_s)
        for missed in range(min(1 + int(late_s / PROBE_S), len(self._values) - self._count)):
            self._values[self._count] = late_s - missed * PROBE_S
            self._count += 1

    @property
    def values(self) -> list[float]:
        """Seconds, in order."""
        return list(self._values[: self._count])


def quarters(values: Sequence[T]) -> list[Sequence[T]]:
    """Four parts of (nearly) one length."""
    edges = [len(values) * n // 4 for n in range(5)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def table(rows: Sequence[Held], lags: Sequence[float], waits: Sequence[float]) -> Iterator[str]:
    """Medians of what is held, means of calls, 99th percentiles of lag and waits; values in the order they came."""
    yield "quarter   MB  1000 objects  tasks  files  leases without a call  calls  talking  lag p99 ms  connect p99 ms"
    parts = zip(quarters(rows), quarters(lags), quarters(waits), strict=True)
    for n, (some, late, waited) in enumerate(parts, 1):
        columns = [[row[i] for row in some] for i in range(len(Held._fields))]
        memory, objects, tasks, files, spare = (statistics.median(column) for column in columns[:5])
        calls, talking = (statistics.fmean(column) for column in columns[5:])
        yield (
            f"{n:>7}  {memory:>3.0f}  {objects:>12.0f}  {tasks:>5.0f}  {files:>5.0f}  {spare:>21.0f}  {calls:>5.0f}  "
            f"{talking:>7.0f}  {percentile(sorted(late), 0.99) * 1000:>10.1f}  "
            f"{percentile(sorted(waited), 0.99) * 1000:>14.1f}"
        )
    first, last = rows[0], rows[-1]
    yield "start to end: " + ", ".join(
        f"{name} {getattr(first, field):.0f} to {getattr(last, field):.0f}"
        for name, field in (
            ("MB", "memory_mb"), ("1000 objects", "objects"), ("tasks", "tasks"), ("files", "files"),
            ("leases without a call", "spare_leases"),
        )
    )  # fmt: skip


def growth(rows: Sequence[Held]) -> float:
    """Of memory, from the first quarter to the last, as a share."""
    first, *_, last = (statistics.median(row.memory_mb for row in some) for some in quarters(rows))
    return last / first - 1.0


def leaked(rows: Sequence[Held]) -> str:
    """What there is more of in the last quarter than in the first, or nothing.

    A line's lease and its call begin and end in one batch of the engine. Tasks and files come and go with what is
    awaited, by tens on a starved machine; a leak of one in a hundred calls is hundreds.
    """
    first, *_, last = quarters(rows)
    found = []
    for field, slack in (("tasks", 50), ("files", 20), ("spare_leases", 0)):
        before, after = (statistics.median(getattr(row, field) for row in some) for some in (first, last))
        if after > before + slack:
            found.append(f"{field} {before:.0f} to {after:.0f}")
    return ", ".join(found)
