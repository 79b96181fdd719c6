"""The line pool: capacity, strategies (C2C-06), rest after failures (TELC-11), device state.

A lease is the open attempt itself: `take` at intent, `give_back` at its end. After a restart leases are made anew from
open attempts, and how often a line was used from past ones (`recall`). Ties are broken by id: a seed repeats its run.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daemon.calls.records import Line, Strategy

SUSPECT_S = 30.0
"""A line whose last call failed is passed over for so long while another is free: calls go there (TELC-11)."""


@dataclass(slots=True)
class LineState:
    """A line live. `last_used_at`, `failed_at`: monotonic; `rests_until_at`: monotonic, 0 = not resting."""

    record: Line
    in_use: int = 0
    calls: int = 0
    succeeded: int = 0
    failures_in_a_row: int = 0
    last_used_at: float = float("-inf")
    failed_at: float = float("-inf")
    rests_until_at: float = 0.0
    reachable: bool = True
    reason: str = ""
    leases: set[object] = field(default_factory=set)

    def free(self, now: float) -> int:
        """Calls it can take now; 0 when off, resting or unreachable."""
        if not self.record.enabled or not self.reachable or now < self.rests_until_at:
            return 0
        return max(0, self.record.capacity - self.in_use)

    def suspect(self, now: float) -> bool:
        """Whether its last call failed, a short while ago."""
        return self.failures_in_a_row > 0 and now < self.failed_at + SUSPECT_S

    def state(self, now: float) -> str:
        """For views: active, off, resting, unavailable."""
        if not self.record.enabled:
            return "off"
        if not self.reachable:
            return "unavailable"
        return "resting" if now < self.rests_until_at else "active"


class LinePool:
    """All lines of a site. Never leases beyond a line's capacity, legs being set up included."""

    def __init__(self, rng: random.Random, failures_rest: int, rest_s: float) -> None:
        self._rng = rng
        self._failures_rest = failures_rest
        self._rest_s = rest_s
        self.lines: dict[int, LineState] = {}

    def set(self, record: Line) -> LineState:
        """Add a line or change its record; calls in progress keep their lease whatever the new capacity."""
        state = self.lines.get(record.id)
        if state is None:
            state = self.lines[record.id] = LineState(record)
        else:
            state.record = record
        return state

    def remove(self, line_id: int) -> None:
        """Forget a line; a call still on it finishes, its give_back is then a no-op."""
        self.lines.pop(line_id, None)

    def free(self, line_ids: Iterable[int], now: float) -> int:
        """Calls that these lines can take now, together."""
        return sum(line.free(now) for id in line_ids if (line := self.lines.get(id)) is not None)

    def take(self, line_ids: Sequence[int], strategy: Strategy, lease: object, now: float) -> LineState | None:
        """Lease one call on a free line, chosen by the strategy; None if none is free."""
        free = [line for id in line_ids if (line := self.lines.get(id)) is not None and line.free(now) > 0]
        if not free:
            return None
        sound = [line for line in free if not (line.failures_in_a_row and line.suspect(now))]
        line = self._choose(sound or free, strategy)
        line.in_use += 1
        line.calls += 1
        line.last_used_at = now
        line.leases.add(lease)
        return line

    def adopt(self, line_id: int, lease: object) -> None:
        """Count a lease found open at start, even beyond capacity: the call exists."""
        line = self.lines.get(line_id)
        if line is not None and lease not in line.leases:
            line.in_use += 1
            line.leases.add(lease)

    def recall(self, line_id: int, calls: int, last_used_at: float, succeeded: int = 0) -> None:
        """Count what the line carried before this pool knew it; a line gone changes nothing."""
        line = self.lines.get(line_id)
        if line is not None:
            line.calls += calls
            line.succeeded += succeeded
            line.last_used_at = max(line.last_used_at, last_used_at)

    def give_back(self, line_id: int, lease: object) -> None:
        """End a lease; a second time, or of a line gone, changes nothing."""
        line = self.lines.get(line_id)
        if line is not None and lease in line.leases:
            line.leases.discard(lease)
            line.in_use -= 1

    def succeeded(self, line_id: int) -> None:
        """The line carried a call to the network."""
        line = self.lines.get(line_id)
        if line is not None:
            line.failures_in_a_row = 0
            line.succeeded += 1

    def failed(self, line_id: int, why: str, now: float) -> LineState | None:
        """The line refused a call (congestion, unreachable). Returns the line if this sends it to rest."""
        line = self.lines.get(line_id)
        if line is None:
            return None
        line.failures_in_a_row += 1
        line.failed_at = now
        if line.failures_in_a_row < self._failures_rest or now < line.rests_until_at:
            return None
        line.failures_in_a_row = 0
        line.rests_until_at = now + self._rest_s
        line.reason = why
        return line

    def other(self, line_ids: Iterable[int], line_id: int, now: float) -> bool:
        """Whether one of `line_ids` besides `line_id` could take a call now, and did not fail of late."""
        others = (self.lines.get(id) for id in line_ids if id != line_id)
        return any(line is not None and line.free(now) > 0 and not line.suspect(now) for line in others)

    def wake(self, line_id: int) -> None:
        """End a rest by hand."""
        line = self.lines.get(line_id)
        if line is not None:
            line.rests_until_at = 0.0
            line.failures_in_a_row = 0
            line.reason = ""

    def next_deadline(self, now: float) -> float | None:
        """When the next rest ends."""
        return min((line.rests_until_at for line in self.lines.values() if line.rests_until_at > now), default=None)

    def _choose(self, free: list[LineState], strategy: Strategy) -> LineState:
        if strategy is Strategy.RANDOM:
            return free[self._rng.randrange(len(free))]
        if strategy is Strategy.ROUND_ROBIN:
            return min(free, key=lambda line: (line.last_used_at, line.record.id))
        if strategy is Strategy.LEAST_USED:
            return min(free, key=lambda line: (line.calls, line.record.id))
        return min(free, key=lambda line: (-line.record.priority, line.in_use, line.record.id))
