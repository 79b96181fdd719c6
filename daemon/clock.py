"""Time as an argument. The only module that reads the host's clocks; simulated time implements the same Protocol.

Durations and deadlines are monotonic seconds (`now()`); rows, logs and calling hours use `utcnow()`, which may jump.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the daemon knows of time."""

    def now(self) -> float:
        """Monotonic seconds, never goes back; meaningless across processes."""
        ...

    def utcnow(self) -> datetime:
        """Wall-clock instant, timezone-aware UTC; may step."""
        ...


class SystemClock:
    """The host's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def utcnow(self) -> datetime:
        return datetime.now(UTC)
