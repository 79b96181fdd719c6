"""What holds the leads of each list, as running counts: leads that moved are counted anew, those at rest are not.

The engine asks every few seconds how its leads stand, and going through all of them each time was the dearest thing
the memory store did (PostgreSQL counts from an index). `MemoryTables.touch` notes who moved; time moves the others.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.store.memory_tables import LeadRow

_CLAIMED, _FOR_GOOD, _FREE, _WAITING = range(4)

Kind = tuple[int, str]
"""How a lead stands whether or not its list is on, and the reason kept with it."""


class Tally:
    """See the module's first lines. `leads`: the rows, by id, as the store changes them."""

    def __init__(self, leads: dict[int, LeadRow]) -> None:
        self._leads = leads
        self._moved: dict[int, None] = {}
        self._where: dict[int, tuple[int, Kind, str]] = {}
        self._kinds: dict[int, Counter[Kind]] = defaultdict(Counter)
        self._groups: dict[int, Counter[str]] = defaultdict(Counter)
        self._waits: list[tuple[datetime, int]] = []
        self._at: datetime | None = None

    def moved(self, lead: LeadRow) -> None:
        """Something was written into the row that its state follows from."""
        self._moved[lead.id] = None

    def clear(self) -> None:
        """Rows were taken away: everything is to be counted anew."""
        self._moved = dict.fromkeys(self._leads)
        for kept in (self._where, self._kinds, self._groups, self._waits):
            kept.clear()

    def counts(self, list_id: int, active: bool, now: datetime) -> dict[str, int]:
        """Leads of the list by what holds them at `now` (memory_people.held_by)."""
        self._catch_up(now)
        found: dict[str, int] = {}
        for (how, reason), n in self._kinds[list_id].items():
            if n:
                name = _name(how, reason, active)
                found[name] = found.get(name, 0) + n
        return found

    def groups(self, list_ids: Iterable[int]) -> list[str]:
        """Where the people of these lists are: their tz_groups."""
        self._settle()
        return sorted({group for id in list_ids for group, n in self._groups[id].items() if n})

    def _catch_up(self, now: datetime) -> None:
        if self._at is not None and now < self._at:  # the clock was set back: what had come may be to come
            self._moved = dict.fromkeys(self._leads)
        self._at = now
        self._settle()
        while self._waits and self._waits[0][0] <= now:
            self._place(self._leads[heapq.heappop(self._waits)[1]])

    def _settle(self) -> None:
        moved, self._moved = self._moved, {}
        for id in moved:
            self._place(self._leads[id])

    def _place(self, lead: LeadRow) -> None:
        kind = self._kind(lead)
        where = (lead.list_id, kind, lead.tz_group)
        before = self._where.get(lead.id)
        if before != where:
            if before is not None:
                self._kinds[before[0]][before[1]] -= 1
                self._groups[before[0]][before[2]] -= 1
            self._where[lead.id] = where
            self._kinds[lead.list_id][kind] += 1
            self._groups[lead.list_id][lead.tz_group] += 1
        if kind[0] == _WAITING and lead.eligible_at is not None:
            heapq.heappush(self._waits, (lead.eligible_at, lead.id))

    def _kind(self, lead: LeadRow) -> Kind:
        if lead.claimed_by is not None:
            return _CLAIMED, ""
        if lead.eligible_at is None:
            return (_FOR_GOOD, lead.blocked_by) if lead.blocked_by else (_FREE, "")
        if self._at is not None and lead.eligible_at <= self._at:
            return _FREE, ""
        return _WAITING, lead.blocked_by or "waiting"


def _name(how: int, reason: str, active: bool) -> str:
    if how == _CLAIMED:
        return "in_progress"
    if how == _FOR_GOOD:
        return reason
    if not active:
        return "list_off"
    return "due" if how == _FREE else reason
