"""Traffic and estimates made into odds: which calls will need an agent and which agents will be free, and how soon.

In: `Traffic` and an instant. Out: a risk model for that instant. Called by the pacing policy only. Tables by age are
rebuilt every few seconds; between events both sides of the risk are kept as they are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from daemon.dialer.estimates import (
    AGE_BINS,
    AGE_LUT,
    AGENT_AGE_MAX_S,
    CALL_BIN_S,
    CALL_BINS,
    Array,
    agent_tables,
    call_tables,
)
from daemon.dialer.modes import PacingSettings
from daemon.dialer.risk import EXACT_ITEMS, ExactRisk, NormalRisk, transform
from daemon.dialer.traffic import READY, TALK_CLASSES, TALKING, WRAP, WRAP_CLASSES, Traffic

HORIZON_QUANTILES = (0.125, 0.375, 0.625, 0.875)
"""When the question is asked: at these parts of the time it takes a call just placed to want an agent."""
AGENTS_EVERY_S, CALLS_EVERY_S, RATES_EVERY_S = 30.0, 10.0, 1.0
RATE_MOVED = 0.02
"""Relative change of the answer rate that makes the call tables stale at once."""


class Forecast:
    """The near future of one campaign's traffic."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.horizons_s = [5.0, 9.0, 12.0, 18.0]
        self._table_rate = 0.0
        self._agents_at = self._calls_at = self._rate_at = -math.inf
        self._agents_key: tuple[int, int, bool] | None = None
        self._calls_key: tuple[int, int, bool] | None = None

    def stale(self) -> None:
        """Settings changed: rebuild everything at the next instant."""
        self._agents_at = self._calls_at = -math.inf

    def advance(self, now: float, settings: PacingSettings) -> None:
        """Bring ages, rates and the tables that are due to `now`."""
        self.traffic.advance(now)
        if now - self._agents_at >= AGENTS_EVERY_S:
            self._refresh_agents(now, settings)
        if now - self._rate_at >= RATES_EVERY_S:
            self._refresh_rates(now, settings)
        moved = abs(self.traffic.answer_rate.value - self._table_rate) > RATE_MOVED * self._table_rate
        if now - self._calls_at >= (RATES_EVERY_S if moved else CALLS_EVERY_S):
            self._refresh_calls(now, settings)

    def _refresh_rates(self, now: float, settings: PacingSettings) -> None:
        self._rate_at = now
        mature = settings.ring_timeout_s + 6.0
        self.traffic.answer_rate.refresh(now, self._answer_cdf, mature)
        if settings.amd:
            self.traffic.human_rate.refresh(now, self._detection_cdf, 10.0)
        self.traffic.forget_ghosts(now)

    def _refresh_calls(self, now: float, settings: PacingSettings) -> None:
        self._calls_at = now
        detection = self.traffic.detection_delay.density() if settings.amd else None
        human = self.traffic.human_rate.value if settings.amd else 1.0
        answered, other = self.traffic.answer_delay.density(), self.traffic.other_delay.density()
        self._answer_cdf = np.cumsum(answered).tolist()
        if detection is not None:
            self._detection_cdf = np.cumsum(detection).tolist()
        p = self._table_rate = self.traffic.answer_rate.value
        self._call_table, self._judge_table = call_tables(p, answered, other, human, detection, self.horizons_s)
        self._first = self._call_table[0].copy()
        self._call_powers = _powers(self._call_table)
        self._judge_powers = _powers(self._judge_table)
        self.traffic.calls_version += 1

    def _refresh_agents(self, now: float, settings: PacingSettings) -> None:
        self._agents_at = now
        need = self.traffic.answer_delay.density()
        if settings.amd:
            need = np.convolve(need, self.traffic.detection_delay.density())[:CALL_BINS]
        cdf = np.cumsum(need) / need.sum()
        self.horizons_s = [max(1.0, CALL_BIN_S * float(np.searchsorted(cdf, q) + 1)) for q in HORIZON_QUANTILES]
        credit = max(0.0, settings.connect_deadline_s - 0.5)
        state, since, _ = self.traffic.agents()
        talk = self.traffic.talk.survival(now - since[state == TALKING])
        wrap = self.traffic.wrap.survival(now - since[state == WRAP])
        steps = np.arange(len(wrap))
        index = np.minimum((steps[None, :] / WRAP_CLASSES[:, None]).astype(np.intp), len(wrap) - 1)
        wraps = wrap[index]
        if settings.wrap_up_limit_s is not None:
            wraps[:, int(settings.wrap_up_limit_s * 2) :] = 1e-6
        self._table_stay = self.traffic.stay
        talking, wrapping = agent_tables(
            talk, wraps, TALK_CLASSES, self._table_stay, [h + credit for h in self.horizons_s]
        )
        count = len(self.horizons_s)
        repeated = np.tile(wrapping, (len(TALK_CLASSES), 1, 1)).reshape(-1, count)
        self._agent_powers = _powers(np.concatenate((talking.reshape(-1, count), repeated)))
        self._wrap_rows = len(repeated)
        self.traffic.agents_version += 1
        self._refresh_calls(now, settings)

    def risk(self, now: float, margin: int, others: float) -> tuple[ExactRisk | NormalRisk, float, float]:
        """The risk model of this instant, agents expected free and answers expected at the median horizon.

        Both sides are kept between decisions: they change when something happens, and as ages step to the next bin.
        """
        busy = self.traffic.busy
        exact = busy + self.traffic.placed.total + self.traffic.judged.total <= EXACT_ITEMS
        agents_key = (self.traffic.agents_version, int(now), exact)
        if agents_key != self._agents_key:
            self._agents_key = agents_key
            self._free_side = self._frees(now, exact)
        free, need = self._free_side, self._needs_now(now, exact)
        if exact:
            return ExactRisk(need[0], free[0], self._first, others, margin), free[1], need[1]
        return NormalRisk(need[0], free[0], self._first, others, margin), free[1], need[1]

    def needed(self, now: float) -> float:
        """Answers expected within the longest horizon of the calls in flight at `now`."""
        total = float(self.traffic.placed.by_age() @ self._call_table[:, -1])
        if self.traffic.judged.total:
            total += float(self.traffic.judged.by_age() @ self._judge_table[:, -1])
        return total

    def odds(self, age_s: float) -> float:
        """Odds of a call not answered yet to need an agent within the longest horizon."""
        return float(self._call_table[min(CALL_BINS - 1, max(0, int(age_s / CALL_BIN_S))), -1])

    def shortfall(self, now: float, free: int) -> tuple[float, float]:
        """Mean and variance of (people who will need an agent - agents who will be there), by the longest horizon."""
        need, squares = 0.0, 0.0
        for ages, table in ((self.traffic.placed, self._call_table), (self.traffic.judged, self._judge_table)):
            if ages.total:
                counts = ages.by_age()
                need += float(counts @ table[:, -1])
                squares += float(counts @ table[:, -1] ** 2)
        frees = self._free_powers(now)[:, len(self.horizons_s) - 1]
        come, come_squares = float(np.add.reduce(frees)), float(frees @ frees)
        return need - come - free, max(0.0, need - squares + come - come_squares)

    def _needs_now(self, now: float, exact: bool) -> tuple[Any, float]:
        calls_key = (self.traffic.calls_version, int(now / CALL_BIN_S), exact)
        if calls_key != self._calls_key:
            self._calls_key = calls_key
            self._need_side = self._needs(exact)
        return self._need_side

    def _free_powers(self, now: float) -> Array:
        """Odds of each busy agent who stays to be free within each horizon, and their powers."""
        state, since, classes = self.traffic.agents()
        counted = ((state > READY) & ~self.traffic.leaving()).nonzero()[0]
        ages = np.minimum(now - since[counted], AGENT_AGE_MAX_S - 1).astype(np.intp)
        wraps = (state[counted] == WRAP) * self._wrap_rows
        powers: Array = self._agent_powers[classes[counted] * AGE_BINS + AGE_LUT[np.maximum(ages, 0)] + wraps]
        stay = self.traffic.stay_now(now) / self._table_stay
        if stay < 1.0:
            powers = powers * np.repeat((stay, stay * stay, stay**3), len(self.horizons_s))
        return powers

    def _frees(self, now: float, exact: bool) -> tuple[Any, float]:
        powers = self._free_powers(now)
        count = len(self.horizons_s)
        if exact:
            frees = powers[:, :count]
            return transform(None, frees, count), float(np.add.reduce(frees[:, count // 2]))
        sums = np.add.reduce(powers, axis=0)
        return (sums[:count], sums[count : 2 * count], sums[2 * count :]), float(sums[count // 2])

    def _needs(self, exact: bool) -> tuple[Any, float]:
        count = len(self.horizons_s)
        middle = count // 2
        if not exact:
            sums = self.traffic.placed.by_age() @ self._call_powers
            if self.traffic.judged.total:
                sums = sums + self.traffic.judged.by_age() @ self._judge_powers
            return (sums[:count], sums[count : 2 * count], sums[2 * count :]), float(sums[middle])
        parts = []
        for ages, table in ((self.traffic.placed, self._call_table), (self.traffic.judged, self._judge_table)):
            if ages.total:
                counts = ages.by_age()
                index = counts.nonzero()[0]
                parts.append(table[index.repeat(counts[index].astype(np.intp))])
        if not parts:
            return transform(None, None, count), 0.0
        needs = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return transform(needs, None, count), float(np.add.reduce(needs[:, middle]))


def _powers(table: Array) -> Array:
    """p, p^2, p^3 side by side: one product with the counts by age gives the sums that cumulants need."""
    squares = table * table
    return np.concatenate((table, squares, squares * table), axis=1)
