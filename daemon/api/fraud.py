"""The toll-fraud cap: calls and minutes a day that a group's click-to-call may spend abroad.

A stolen token is worth money only through dear destinations, so those have a daily bound of their own; premium numbers
are never dialled at all. Counted from the attempts themselves: a restart or a second daemon forgets nothing.
"""

from __future__ import annotations

from typing import Any

from daemon.api.deps import Deps
from daemon.compliance.numbers import NumberKind, normalise
from daemon.errors import CommandError

HOME = frozenset({NumberKind.FIXED, NumberKind.MOBILE, NumberKind.SPECIAL})
PAGE = 500


async def check(deps: Deps, group_id: int, e164: str, kind: str) -> None:
    """Raises fraud_cap when today's calls of this kind outside the home country have used up their bound."""
    if normalise(e164).kind in HOME:
        return
    http = deps.http
    calls, minutes = await spent(deps, group_id, kind, http.foreign_calls_per_day)
    if calls >= http.foreign_calls_per_day or minutes >= http.foreign_minutes_per_day:
        raise CommandError("fraud_cap", {"rule": "plafond international", "calls": calls, "minutes": round(minutes)})


async def spent(deps: Deps, group_id: int, kind: str, calls_max: int) -> tuple[int, float]:
    """(calls, minutes) abroad since midnight UTC; counting ends at `calls_max`."""
    midnight = deps.clock.utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    calls, minutes, after = 0, 0.0, None
    while calls < calls_max:
        page = await deps.store.search_attempts(group_id, {"kind": kind, "from": midnight}, PAGE, after)
        for row in page.rows:
            values: dict[str, Any] = row
            if normalise(values["e164"]).kind not in HOME:
                calls += 1
                minutes += (values.get("talk_s") or 0.0) / 60.0
        after = page.next_after
        if after is None:
            break
    return calls, minutes
