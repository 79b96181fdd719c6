"""Calls that nobody is left for: which of those not answered yet to hang up when agents have gone together.

In: traffic, forecast and what the ledger has left at the instant. Out: ids of calls, newest first. Called by the pacing
policy only. A last resort: it answers only shortly after somebody went, and never names a call whose phone has rung
for less than the rule set asks for, since a phone that rings once and is silent again is a nuisance of its own.
"""

from __future__ import annotations

import math

from daemon.dialer.forecast import Forecast
from daemon.dialer.traffic import Call, Traffic

SETUP_S = 5.0
"""Where trunks do not say when a phone begins to ring, it is taken to have done so by this long after the originate."""

RINGS_LONG_S = 15.0
"""A phone that has rung for so long unanswered may stop ringing any time: most people would have answered."""

WORTH = 0.3
"""Abandoned calls expected beyond the room that are worth hanging up for; a call for a ready agent stays below it."""

RING_TOLD_SHARE = 0.9
"""Of the last answered calls, those told to ring before: above it, a call not told to ring has not rung."""


def surplus(traffic: Traffic, forecast: Forecast, now: float, free: int, room: float, ring_min_s: float) -> list[str]:
    """Calls to hang up at `now`. `free`: agents ready less what is promised elsewhere and people waiting (may be
    negative); `room`: calls that may be abandoned by what has been earned so far, nothing borrowed.

    With nobody here who stays: all that may be. Else as many as bring the abandoned calls expected of those in flight
    down to nothing; a phone that has rung for less than `RINGS_LONG_S`, where the rule set lets, only while they are
    more than `room`. Calls placed after the last one went were placed for those who stay: they are left alone.
    """
    if not traffic.placed.total:
        return []
    before = [(id, call) for id, call in traffic.unanswered() if call.started_at <= traffic.left_at]
    young = [(id, call) for id, call in before if _may_end(traffic, call, now, ring_min_s)]
    if not young:
        return []
    if not traffic.staying:
        return [id for id, _ in reversed(young)]
    mean, variance = forecast.shortfall(now, free)
    found: list[str] = []
    for id, call in reversed(young):
        over = _expected_over(mean, variance) - WORTH
        if over <= 0.0:
            break
        if over <= room and 0.0 <= call.ringing_at > now - RINGS_LONG_S:
            continue
        odds = forecast.odds(now - call.started_at)
        mean, variance = mean - odds, max(0.0, variance - odds * (1.0 - odds))
        found.append(id)
    return found


def _may_end(traffic: Traffic, call: Call, now: float, ring_min_s: float) -> bool:
    if call.ringing_at >= 0.0:
        return now - call.ringing_at >= ring_min_s
    if traffic.ring_told >= RING_TOLD_SHARE:
        return True
    return now - call.started_at >= SETUP_S + ring_min_s


def _expected_over(mean: float, variance: float) -> float:
    """E[max(0, x)] of a normal x."""
    deviation = math.sqrt(variance + 1e-9)
    z = mean / deviation
    density = math.exp(-z * z / 2) * 0.3989422804014327
    return deviation * density + mean * 0.5 * math.erfc(-z * 0.7071067811865476)
