"""The abandonment ledger: who was abandoned of how many live answers, by clock hour, and how much room is left.

In: one count per connected or abandoned live answer, under the hour key of the campaign's zone. Out: sums over the
hour, the day and each window the rule set names, and the share of coming answers that may still be abandoned.
Rows are plain and go to the store and back, so the ceiling holds over restarts. Called by the pacing policy (room) and
by the engine (rows).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

KEEP = 0.985
"""Aim just under the limit (0.02955 of 0.03): a call is only known to be abandoned seconds after it was placed."""

ADVANCE = 0.6
"""Of the room that the rest of a window will bring, the part that may be used in advance: a cluster of abandoned calls
late in a window then still finds room."""

BORROW_S = 900.0
BORROW_CALLS = 1.2
"""In a clock hour no more is used in advance than the next quarter of an hour will bring, or than this many calls
besides those kept back for calls in flight: a team that goes for good in the middle of the hour takes the answers with
it that would have paid for more. Small teams need the calls, or their first one would paralyse them. With no such bound
24 agents are busy 0.3 points longer, with ten minutes 0.3 points less (tuning scenarios)."""

DAYS_KEPT = 32
"""Rows are kept for so many days at least, since a rule set with longer windows may come."""

_QUARTER = timedelta(minutes=15)
_hours: dict[str, tuple[datetime, datetime, str]] = {}
"""By zone: the quarter of an hour asked about last, and its key. No zone's clock changes within one."""


def hour_key(utc: datetime, zone: str) -> str:
    """Clock hour in `zone`, like '2026-11-21T22+0100'. The offset keeps the doubled hour of autumn apart."""
    last = _hours.get(zone)
    if last is not None and last[0] <= utc < last[1]:
        return last[2]
    key = utc.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H%z")
    start = utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)
    _hours[zone] = (start, start + _QUARTER, key)
    return key


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One campaign and site in one clock hour. `connected` + `abandoned` = live answers."""

    campaign: str
    site: str
    hour: str
    connected: int
    abandoned: int


@dataclass(frozen=True, slots=True)
class Window:
    """A span over which abandoned / live answers must stay under `ceiling` (0..1).

    `days` 0 is the clock hour, 1 the calendar day, n the last n days with today. `tolerance`: calls forgiven beyond the
    share, for windows too small for a percentage. `pooled`: counted over all campaigns whose rows were given.
    """

    name: str
    days: int
    ceiling: float
    tolerance: float = 0.0
    pooled: bool = False


class Room(msgspec.Struct, frozen=True, gc=False):
    """What is left: `share` of the coming live answers that may be abandoned, `calls` before the tightest window is
    exhausted as of now, and that window's name and counts."""

    share: float
    calls: float
    window: str
    abandoned: int
    allowed: int


class Ledger:
    """Counts of one campaign on one site, next to rows of others (other sites, other campaigns) for pooled sums."""

    def __init__(self, campaign: str, site: str, windows: tuple[Window, ...], rows: Iterable[LedgerRow] = ()) -> None:
        self.campaign, self.site, self.windows = campaign, site, windows
        self._rows: dict[tuple[str, str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], list[int]] = {}
        self.load(rows)

    def load(self, rows: Iterable[LedgerRow]) -> None:
        """Set rows as they are in the store (own ones after a restart, others' as they change). Replaces by key."""
        for row in rows:
            self._rows[row.campaign, row.site, row.hour] = [row.connected, row.abandoned]
        self._sums.clear()

    def rows(self) -> list[LedgerRow]:
        """This campaign's rows on this site, oldest hour first."""
        own = sorted(key for key in self._rows if key[:2] == (self.campaign, self.site))
        return [LedgerRow(*key, *self._rows[key]) for key in own]

    def row(self, hour: str) -> LedgerRow:
        """This campaign's row of that hour on this site, zeros if there is none."""
        return LedgerRow(self.campaign, self.site, hour, *self._rows.get((self.campaign, self.site, hour), (0, 0)))

    def count(self, hour: str, connected: int = 0, abandoned: int = 0) -> LedgerRow:
        """Add to this hour; returns the row as it now is, for the store."""
        key = (self.campaign, self.site, hour)
        if hour and key not in self._rows:
            self._forget(hour)
        row = self._rows.setdefault(key, [0, 0])
        row[0] += connected
        row[1] += abandoned
        self._sums = {key: sums for key, sums in self._sums.items() if key[1] == hour}
        for sums in self._sums.values():
            sums[0] += connected
            sums[1] += abandoned
        return LedgerRow(self.campaign, self.site, hour, row[0], row[1])

    def _forget(self, hour: str) -> None:
        """As an hour begins, those of days that no window reaches back to: a daemon runs for years."""
        days = max([DAYS_KEPT, *(window.days for window in self.windows)])
        oldest = (date.fromisoformat(hour[:10]) - timedelta(days=days)).isoformat()
        for key in [key for key in self._rows if key[2] < oldest]:
            del self._rows[key]

    def totals(self, window: Window, hour: str) -> tuple[int, int]:
        """(connected, abandoned) of `window` as seen in clock hour `hour`."""
        sums = self._sums.get((window.name, hour))
        if sums is None:
            if len(self._sums) > 4 * len(self.windows):
                self._sums.clear()
            sums = self._sums[window.name, hour] = [0, 0]
            for (campaign, _site, at), (connected, abandoned) in self._rows.items():
                if (window.pooled or campaign == self.campaign) and _inside(window, at, hour):
                    sums[0] += connected
                    sums[1] += abandoned
        return sums[0], sums[1]

    def earned(self, hour: str, target: float) -> float:
        """Calls that may be abandoned by the live answers there have been, in the tightest window: nothing borrowed
        from answers to come. `target`: share of level and speed; below 0 when more was used."""
        spares = []
        for window in self.windows:
            connected, abandoned = self.totals(window, hour)
            limit = KEEP * min(target, window.ceiling)
            spares.append(limit * (connected + abandoned) + window.tolerance - abandoned)
        return min(spares, default=float("inf"))

    def room(
        self,
        hour: str,
        hour_left_s: float,
        day_left_s: float,
        rate: float,
        target: float,
        kappa: float = 0.95,
        boost: float = 1.6,
        pipeline: float = 0.0,
        answers_max: float = float("inf"),
        borrow: float = 1.0,
    ) -> Room:
        """The tightest window's room. `rate`: live answers per second now; `target`: share of level and speed;
        `pipeline`: calls to keep back for those in flight, which may be abandoned after dialing has stopped;
        `answers_max`: live answers that can still come at most, because the list ends; `borrow`: of what the clock
        hour may use in advance, the part it may now, 0..1 (agents are going: who will bring the answers?).

        share = (limit*(Y + kappa*rate*left) - X) / (rate*left), never over `boost` * target: what was not used comes
        back slowly, what was used up is saved again. kappa < 1 keeps a reserve against a rate that falls. In the clock
        hour what was used up is saved again within a quarter of an hour (`BORROW_S`).
        """
        tightest: Room | None = None
        share = boost * target
        for window in self.windows:
            connected, abandoned = self.totals(window, hour)
            limit = KEEP * min(target, window.ceiling)
            left = max(1.0, min(answers_max, rate * (hour_left_s if window.days == 0 else day_left_s)))
            live = connected + abandoned
            spare = limit * live + window.tolerance - abandoned
            soon, advance = left, limit * ADVANCE * left
            if window.days == 0:
                soon = max(1.0, min(left, rate * BORROW_S))
                advance = min(advance, max(limit * ADVANCE * soon, BORROW_CALLS + pipeline)) * borrow
            share = min(share, limit * kappa + spare / (left if spare > 0.0 else soon))
            calls = spare + advance - pipeline
            if tightest is None or calls < tightest.calls:
                allowed = int(limit * (live + left) + window.tolerance)
                tightest = Room(0.0, calls, window.name, abandoned, allowed)
        if tightest is None:
            return Room(share, float("inf"), "", 0, 0)
        return Room(max(0.0, share), tightest.calls, tightest.window, tightest.abandoned, tightest.allowed)


def _inside(window: Window, at: str, hour: str) -> bool:
    if window.days == 0:
        return at == hour
    if not at:
        return False  # booked before any hour was struck: counted nowhere rather than everywhere
    if window.days == 1:
        return at[:10] == hour[:10]
    return 0 <= (date.fromisoformat(hour[:10]) - date.fromisoformat(at[:10])).days < window.days
