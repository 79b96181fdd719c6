"""The deadlines of a site: one heap, from which the engine arms one timer for the earliest."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Any


class _Alarm:
    """A deadline as it lies in the heap. Asked for its state at each batch: keys hold UUIDs, which are dear to hash."""

    __slots__ = ("armed", "key")

    def __init__(self, key: Hashable) -> None:
        self.key, self.armed = key, True


class Timers:
    """Deadlines by key; setting a key again moves it. `due` gives those passed, earliest first."""

    def __init__(self) -> None:
        self._at: dict[Hashable, _Alarm] = {}
        self._heap: list[tuple[float, int, _Alarm]] = []
        self._order = 0

    def set(self, key: Hashable, at: float) -> None:
        """Arm or move `key`."""
        known = self._at.get(key)
        if known is not None:
            known.armed = False
        alarm = self._at[key] = _Alarm(key)
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, alarm))

    def clear(self, key: Hashable) -> None:
        """Disarm `key`; unknown keys are fine."""
        alarm = self._at.pop(key, None)
        if alarm is not None:
            alarm.armed = False

    def next_deadline(self) -> float | None:
        """The earliest armed instant."""
        heap = self._heap
        while heap and not heap[0][2].armed:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[Any]:
        """Keys whose instant has come, disarmed."""
        keys = []
        while (at := self.next_deadline()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2].key
            del self._at[key]
            keys.append(key)
        return keys

    def __len__(self) -> int:
        return len(self._at)
