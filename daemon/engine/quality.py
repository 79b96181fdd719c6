"""Sound quality of each line, from the RTCP reports of its calls (TELC-10): loss, jitter, round trip, and a MOS.

The MOS is an estimate by the E-model (ITU-T G.107) for G.711 with its usual reductions: delay impairment after Cole and
Rosenbluth, loss impairment 30·ln(1 + 15·loss). A PBX, or a user, that tells nothing of RTCP leaves all unknown.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from daemon.calls.events import MediaQuality
from daemon.engine.live import Live

REPORTS = 30
"""Reports a line's figures are the mean of: some minutes of one call, seconds of many."""
REPORTS_MIN = 5
"""Fewer say nothing."""
MOS_MIN, DELAY_MAX_S, LOSS_MAX, JITTER_MAX_S = 4.0, 0.150, 0.01, 0.030
"""Beyond these a line is reported (features TELC-10)."""
PLAYOUT_S = 0.020
"""One packet, and what a jitter buffer adds at least."""


@dataclass(slots=True)
class LineQuality:
    """The last reports of a line; figures are None until enough came."""

    loss: deque[float] = field(default_factory=lambda: deque(maxlen=REPORTS))
    jitter: deque[float] = field(default_factory=lambda: deque(maxlen=REPORTS))
    trip: deque[float] = field(default_factory=lambda: deque(maxlen=REPORTS))
    alerted: bool = False

    def figures(self) -> dict[str, float | None]:
        """`mos`, `loss` 0..1, `jitter_s`, `delay_s` (one way); None = not told."""
        loss, jitter, trip = _mean(self.loss), _mean(self.jitter), _mean(self.trip)
        delay = None if trip is None else trip / 2
        score = None if loss is None or jitter is None else mos(loss, jitter, delay or 0.0)
        return {"mos": score, "loss": loss, "jitter_s": jitter, "delay_s": delay}


def _mean(values: deque[float]) -> float | None:
    return sum(values) / len(values) if len(values) >= REPORTS_MIN else None


def mos(loss: float, jitter_s: float, delay_s: float) -> float:
    """Mean opinion score, 1 to 4.4."""
    delay_ms = 1000 * (delay_s + 2 * jitter_s + PLAYOUT_S)
    rating = 93.2 - 0.024 * delay_ms - (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    rating = max(0.0, min(93.2, rating - 30 * math.log(1 + 15 * max(0.0, loss))))
    return 1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating)


class Quality:
    """See the module's first lines."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def heard(self, event: MediaQuality) -> None:
        """One report of one call's sound."""
        live = self._live
        for line in live.pool.lines.values():
            if line.record.endpoint != event.trunk:
                continue
            kept = live.quality.setdefault(line.record.id, LineQuality())
            told = ((kept.loss, event.loss), (kept.jitter, event.jitter_s), (kept.trip, event.round_trip_s))
            for values, value in told:
                if value is not None:
                    values.append(value)
            self._judge(line.record.id, kept)
            live.touch("lines", line.record.id)

    def _judge(self, line_id: int, kept: LineQuality) -> None:
        """An alert while a line is worse than it should be; gone when it is good again."""
        figures, alerts, key = kept.figures(), self._live.alerts, f"line {line_id} quality"
        worse = [name for name, value, bound in _bounds(figures) if value is not None and value > bound]
        if figures["mos"] is not None and figures["mos"] < MOS_MIN:
            worse.insert(0, "mos")
        if worse and not kept.alerted:
            kept.alerted, alerts[key] = True, f"line_quality {' '.join(worse)}"
        elif not worse and kept.alerted:
            kept.alerted = False
            alerts.pop(key, None)


def _bounds(figures: dict[str, float | None]) -> tuple[tuple[str, float | None, float], ...]:
    return (
        ("loss", figures["loss"], LOSS_MAX),
        ("jitter", figures["jitter_s"], JITTER_MAX_S),
        ("delay", figures["delay_s"], DELAY_MAX_S),
    )
