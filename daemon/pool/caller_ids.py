"""Which number is presented: one of the campaign's own DIDs, by longest prefix shared with the callee, then least used.

Whether a DID may be shown at all is the rule set's word (daemon.compliance), asked when the campaign is activated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from daemon.calls.records import CallerIdNumber


@dataclass(slots=True)
class CallerIdState:
    """A DID live; `used_today` counts calls of `day`."""

    record: CallerIdNumber
    used_today: int = 0
    used: int = 0
    day: date | None = None


class CallerIds:
    """All DIDs of a site's groups."""

    def __init__(self) -> None:
        self.numbers: dict[int, CallerIdState] = {}

    def set(self, record: CallerIdNumber) -> None:
        """Add a DID or change its record."""
        state = self.numbers.get(record.id)
        if state is None:
            self.numbers[record.id] = CallerIdState(record)
        else:
            state.record = record

    def remove(self, id: int) -> None:
        """Forget a DID."""
        self.numbers.pop(id, None)

    def choose(self, ids: Sequence[int], e164: str, today: date) -> str | None:
        """The DID to present to `e164`; "" if the campaign names none; None if all are off or at their daily cap."""
        if not ids:
            return ""
        free = []
        for id in ids:
            state = self.numbers.get(id)
            if state is None or not state.record.enabled:
                continue
            if state.day != today:
                state.day, state.used_today = today, 0
            if not state.record.daily_cap or state.used_today < state.record.daily_cap:
                free.append(state)
        if not free:
            return None
        best = min(free, key=lambda s: (-_shared(s.record.e164, e164), s.used_today, s.used, s.record.id))
        best.used_today += 1
        best.used += 1
        return best.record.e164


def _shared(one: str, other: str) -> int:
    """Length of the common prefix: the nearer the number, the likelier the answer."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
