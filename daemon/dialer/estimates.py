"""What pacing believes about the near future: when a call will need an agent, when an agent will be free.

In: ages and results of calls, lengths of conversations and wrap-ups, as they happen. Out: probabilities by age.
Called by `daemon.dialer.pacing` only. All durations in seconds; nothing here reads a clock.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CALL_BIN_S = 0.5
"""Ages of calls are told apart by half seconds: answering odds change by the second, the pacing rhythm is finer."""
CALL_BINS = 256
"""128 s: ring timeout, set-up and detection of any sane campaign; older calls are ghosts of lost events."""

_RATIO = 1.07
AGENT_AGE_MAX_S = 3600.0


def _agent_edges() -> Array:
    """Log-spaced edges, one second wide at first: a conversation's hazard is read to about 7 % of its age."""
    edges = [float(i) for i in range(15)]
    while edges[-1] < AGENT_AGE_MAX_S:
        edges.append(edges[-1] * _RATIO)
    return np.array(edges)


AGE_EDGES = _agent_edges()
AGE_BINS = len(AGE_EDGES) - 1
AGE_WIDTHS = np.diff(AGE_EDGES)
AGE_MIDDLES = (AGE_EDGES[:-1] + AGE_EDGES[1:]) / 2
_LUT = np.searchsorted(AGE_EDGES, np.arange(int(AGENT_AGE_MAX_S) + 1) + 0.5, side="right") - 1
AGE_LUT: NDArray[np.intp] = np.clip(_LUT, 0, AGE_BINS - 1)
"""Whole seconds of age -> age bin."""
SURVIVAL_STEP_S = 0.5


class DelayHistogram:
    """Distribution of a delay in half-second bins: decayed counts over a weak prior."""

    def __init__(self, prior: Array, prior_weight: float = 6.0, memory: float = 1500.0) -> None:
        self._prior = prior / prior.sum() * prior_weight
        self._counts = np.zeros(CALL_BINS)
        self._total, self._memory = 0.0, memory

    def add(self, delay_s: float) -> None:
        self._counts[min(CALL_BINS - 1, max(0, int(delay_s / CALL_BIN_S)))] += 1.0
        self._total += 1.0
        if self._total > self._memory:
            self._counts *= 0.5
            self._total *= 0.5

    def density(self) -> Array:
        """Probability per bin, sums to 1. Counts are smoothed over three bins: few calls say little about one bin."""
        counts = self._counts
        if self._total < 400:
            smooth = counts * 0.5
            smooth[1:] += counts[:-1] * 0.25
            smooth[:-1] += counts[1:] * 0.25
            counts = smooth
        total: Array = counts + self._prior
        return total / float(total.sum())


def answer_delay_prior() -> Array:
    """A broad guess: people pick up 3-25 s after the originate, around 10."""
    ages = (np.arange(CALL_BINS) + 0.5) * CALL_BIN_S
    return np.asarray(np.exp(-0.5 * (np.log(ages / 10.0) / 0.5) ** 2) / ages)


def other_end_prior(ring_timeout_s: float) -> Array:
    """A third fail within a few seconds (busy, congestion), the rest ring out."""
    ages = (np.arange(CALL_BINS) + 0.5) * CALL_BIN_S
    quick = np.exp(-ages / 4.0)
    rings_out = min(ring_timeout_s + 2.5, float(ages[-1]))  # the last bin holds all that is later
    late = np.exp(-0.5 * ((ages - rings_out) / 1.5) ** 2)
    return np.asarray(quick / quick.sum() / 3 + late / late.sum() * 2 / 3)


def detection_prior() -> Array:
    """Answering-machine detection speaks 1-5 s after the answer."""
    ages = (np.arange(CALL_BINS) + 0.5) * CALL_BIN_S
    return np.asarray(np.exp(-0.5 * ((ages - 2.5) / 1.0) ** 2))


class HazardCurve:
    """Survival of something that ends: ends per person-second by age bin, over a weak exponential prior.

    Counting exposure too, conversations still going on are not forgotten: a mean of finished ones would be far too
    short in the first minutes of a shift.
    """

    def __init__(self, prior_mean_s: float, prior_ends: float = 4.0, memory: float = 2500.0) -> None:
        self._memory = memory
        self._prior_ends = prior_ends
        self._prior_mean_s = prior_mean_s
        self._ends = np.zeros(AGE_BINS)
        self._exposure_s = np.zeros(AGE_BINS)
        self.count = 0.0
        self.total_s = 0.0

    def add(self, length_s: float, ended: bool = True) -> None:
        """One that ended (or was cut off for another reason, `ended=False`) after `length_s`."""
        length_s = min(max(length_s, 0.01), AGENT_AGE_MAX_S - 1)
        last = int(AGE_LUT[int(length_s)])
        self._exposure_s[:last] += AGE_WIDTHS[:last]
        self._exposure_s[last] += max(0.05, length_s - AGE_EDGES[last])
        self.total_s += length_s
        if ended:
            self._ends[last] += 1.0
            self.count += 1.0
        if self.count > self._memory:
            for array in (self._ends, self._exposure_s):
                array *= 0.7
            self.count *= 0.7
            self.total_s *= 0.7

    @property
    def mean_s(self) -> float:
        return (self.total_s + self._prior_ends * self._prior_mean_s) / (self.count + self._prior_ends)

    def survival(self, going_on_s: Array | None = None) -> Array:
        """S(t) on a grid of `SURVIVAL_STEP_S` from 0 to `AGENT_AGE_MAX_S`; `going_on_s`: ages of those not ended."""
        exposure = self._exposure_s
        if going_on_s is not None and len(going_on_s):
            ages = np.minimum(going_on_s, AGENT_AGE_MAX_S - 1)
            exposure = exposure + np.clip(ages[:, None] - AGE_EDGES[None, :-1], 0.0, AGE_WIDTHS[None, :]).sum(axis=0)
        # The prior is an exponential of the mean seen so far, with weight spread evenly over its quantiles.
        mean = (float(exposure.sum()) + self._prior_ends * self._prior_mean_s) / (self.count + self._prior_ends)
        edge_survival = np.exp(-AGE_EDGES / mean)
        prior_ends = self._prior_ends * (edge_survival[:-1] - edge_survival[1:]) + 1e-6
        hazard = (self._ends + prior_ends) / (exposure + prior_ends * mean)
        cumulated = np.concatenate(([0.0], np.cumsum(hazard * AGE_WIDTHS)))
        grid = np.arange(0.0, AGENT_AGE_MAX_S + SURVIVAL_STEP_S, SURVIVAL_STEP_S)
        survival: Array = np.exp(-np.interp(grid, AGE_EDGES, cumulated))
        return survival


class AgentFactors:
    """How much slower or faster than the team each agent is, shrunk to the team while little is known.

    One factor per agent: geometric mean of length / the team's geometric mean, weight n / (n + `shrink`). `shrink` is
    the spread within an agent over the spread between agents (variances of log length): few observations of a widely
    scattered length say nothing about a person.
    """

    def __init__(self, shrink: float) -> None:
        self._shrink = shrink
        self._agents: dict[str, list[float]] = {}
        self._log_mean, self._count = 0.0, 0.0

    def add(self, agent: str, length_s: float) -> None:
        value = math.log(max(1.0, length_s))
        self._count = min(self._count + 1.0, 2000.0)
        self._log_mean += (value - self._log_mean) / self._count
        row = self._agents.setdefault(agent, [0.0, 0.0])
        row[0] = min(row[0] + 1.0, 300.0)
        row[1] += (value - row[1]) / row[0]

    def factor(self, agent: str) -> float:
        """Expected length / team's expected length, about 0.5..2; 1.0 for an unknown agent."""
        row = self._agents.get(agent)
        if row is None:
            return 1.0
        weight = row[0] / (row[0] + self._shrink)
        return math.exp(weight * (row[1] - self._log_mean))


class AnswerRate:
    """Odds that a call just placed is answered, by start-second cohort: p = sum needs / sum started * G(age).

    Counting finished calls only is biased when dialing pulses (failures end first, no-answers last). Cohorts count
    from their first second; those past `mature_s` go into a long and a short memory. Where the two disagree
    significantly the short one wins, sooner upward than downward: a jump up is what abandons people.
    """

    UP_Z, DOWN_Z = 2.0, 3.0
    SHORT_S, LONG_S = 40.0, 600.0
    """In large teams the memories span at least this long: 120 calls may be two seconds of a thousand agents."""
    COHORTS_MAX = 150
    """Seconds with calls that are not folded yet: more than a phone may ring for. `refresh` folds sooner, but only who
    asks how many to place comes to it: without this bound other modes kept each second of the day."""

    def __init__(
        self, prior: float, prior_calls: float, short_calls: float = 120.0, long_calls: float = 3000.0
    ) -> None:
        self._short_memory, self._long_memory = short_calls, long_calls
        self._long = [prior * prior_calls, prior_calls]
        self._short = [prior * prior_calls / 4, prior_calls / 4]
        self._cohorts: dict[int, list[float]] = {}
        self.mature_calls = 0.0
        self._calls_per_s, self._folded_at = 0.0, -math.inf
        self.value = prior

    def started(self, at: float) -> None:
        cohort = self._cohorts.get(int(at))
        if cohort is None:
            cohort = self._cohorts[int(at)] = [0.0, 0.0]
            if len(self._cohorts) > self.COHORTS_MAX:
                self._fold(*self._cohorts.pop(next(iter(self._cohorts))))
        cohort[0] += 1.0

    def answered(self, started_at: float) -> None:
        cohort = self._cohorts.get(int(started_at))
        if cohort is not None:
            cohort[1] += 1.0
        else:  # answered after its cohort was folded: late, but not to be lost
            self._long[0] += 1.0
            self._short[0] += 1.0

    def never_reached(self, started_at: float) -> None:
        """The call was not placed after all (refused by our own side): it says nothing about the people called."""
        cohort = self._cohorts.get(int(started_at))
        if cohort is not None:
            cohort[0] = max(0.0, cohort[0] - 1.0)

    def refresh(self, now: float, answered_by_age: list[float], mature_s: float) -> float:
        """Fold mature cohorts, weigh the young ones; `answered_by_age`: G on the half-second grid. Returns p."""
        young_needs = young_weight = 0.0
        ripe: list[int] = []
        for second, (started, needs) in self._cohorts.items():
            age = now - second - 0.5
            if age >= mature_s:
                ripe.append(second)
            elif age > 0:
                young_needs += needs
                young_weight += started * answered_by_age[min(CALL_BINS - 1, int(age / CALL_BIN_S))]
        span = max(0.1, now - self._folded_at)
        pace = sum(self._cohorts[second][0] for second in ripe) / span
        self._calls_per_s += (1 - math.exp(-span / 30.0)) * (pace - self._calls_per_s)
        self._folded_at = now
        for second in ripe:
            self._fold(*self._cohorts.pop(second))
        short = self._rate(self._short, young_needs, young_weight)
        long = self._rate(self._long, young_needs, young_weight)
        self.value = self._choose(short, long, self._short[1] + young_weight)
        return self.value

    def _fold(self, started: float, needs: float) -> None:
        self.mature_calls += started
        short = max(self._short_memory, self.SHORT_S * self._calls_per_s)
        long = max(self._long_memory, self.LONG_S * self._calls_per_s)
        for memory, size in ((self._short, short), (self._long, long)):
            keep = math.exp(-started / size)
            memory[0] = memory[0] * keep + needs
            memory[1] = memory[1] * keep + started

    @staticmethod
    def _rate(memory: list[float], needs: float, weight: float) -> float:
        return min(0.98, max(0.003, (memory[0] + needs) / max(1e-9, memory[1] + weight)))

    def _choose(self, short: float, long: float, short_weight: float) -> float:
        z = (short - long) / math.sqrt(long * (1 - long) / max(1.0, short_weight))
        if z > self.UP_Z:
            if z > self.UP_Z + 2:
                self._long[:] = list(self._short)
            return short
        if z < -self.DOWN_Z:
            self._long[:] = list(self._short)
            return short
        return long


def call_tables(
    p: float, answered: Array, otherwise: Array, human: float, detection: Array | None, horizons_s: list[float]
) -> tuple[Array, Array]:
    """Odds to need an agent within each horizon, by age, for calls not yet answered and for calls under detection.

    `answered`, `otherwise`, `detection`: densities on the half-second grid. Shapes (CALL_BINS, len(horizons_s)).
    A call aged a that is still unanswered: q = p[G(a+tau)-G(a)] / (p[1-G(a)] + (1-p)[1-H(a)]), where the delay of the
    detection is added to the answer and its human share multiplied in.
    """
    cdf_answer, cdf_other = np.cumsum(answered), np.cumsum(otherwise)
    # Mid-bin age: half of its own bin has passed.
    left_answer = 1.0 - (cdf_answer - answered / 2)
    left_other = 1.0 - (cdf_other - otherwise / 2)
    alive = p * left_answer + (1 - p) * left_other + 1e-9
    steps = [max(1, round(h / CALL_BIN_S)) for h in horizons_s]
    unanswered = np.zeros((CALL_BINS, len(steps)))
    judged = np.zeros((CALL_BINS, len(steps)))
    if detection is None:
        padded = np.concatenate((cdf_answer, np.full(max(steps), 1.0)))
        here = cdf_answer - answered / 2
        for k, step in enumerate(steps):
            unanswered[:, k] = p * (padded[step : step + CALL_BINS] - padded_half(answered, step) - here) / alive
        return np.clip(unanswered, 0.0, 1.0), judged
    cdf_detection = np.cumsum(detection)
    padded_detection = np.concatenate((cdf_detection, np.full(max(steps), 1.0)))
    left_detection = 1.0 - (cdf_detection - detection / 2) + 1e-9
    for k, step in enumerate(steps):
        # answered j bins from now, then judged within the step - j bins that remain
        reach = np.concatenate((cdf_detection[:step][::-1], [0.0]))
        padded_answer = np.concatenate((answered, np.zeros(step + 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded_answer, step + 1)[:CALL_BINS]
        mass = windows @ reach
        mass -= 0.5 * answered * reach[0]
        unanswered[:, k] = p * human * mass / alive
        here = cdf_detection - detection / 2
        judged[:, k] = human * (padded_detection[step : step + CALL_BINS] - here) / left_detection
    return np.clip(unanswered, 0.0, 1.0), np.clip(judged, 0.0, 1.0)


def padded_half(density: Array, step: int) -> Array:
    """Half of the bin `step` bins later (the far end of a horizon lies mid-bin too)."""
    return np.concatenate((density[step:], np.zeros(step)))[:CALL_BINS] / 2


def agent_tables(
    talk: Array, wraps: Array, talk_factors: Array, stay: float, horizons_s: list[float]
) -> tuple[Array, Array]:
    """Odds to be ready within each horizon by age bin: while talking and while in wrap-up.

    `talk`: S_T of the team; `wraps`: S_W per wrap class, shape (W, grid). `talk_factors`: length factors, shape (C,).
    Returns shapes (C, W, AGE_BINS, K) and (W, AGE_BINS, K): r = stay * sum_j [S(s+j)-S(s+j+1)]/S(s) * (1-S_W(u-j)).
    """
    classes, kinds, count = len(talk_factors), wraps.shape[0], len(horizons_s)
    top = talk.shape[0] - 1
    steps = max(2, math.ceil(max(horizons_s)) + 1)
    ages = AGE_MIDDLES[None, :, None] + np.arange(steps + 1)[None, None, :]
    index = np.minimum((ages / talk_factors[:, None, None] / SURVIVAL_STEP_S).astype(np.intp), top)
    survival = talk[index]
    ends = (survival[:, :, :-1] - survival[:, :, 1:]) / (survival[:, :, :1] + 1e-12)
    left = np.array(horizons_s)[None, :] - (np.arange(steps) + 0.5)[:, None]
    wrapped = np.where(
        left > 0, 1.0 - wraps[:, np.minimum((np.maximum(left, 0) / SURVIVAL_STEP_S).astype(np.intp), top)], 0.0
    )
    talking = stay * (ends[:, None] @ wrapped[None])
    at = np.minimum((AGE_MIDDLES / SURVIVAL_STEP_S).astype(np.intp), top)
    then = np.minimum(((AGE_MIDDLES[:, None] + np.array(horizons_s)[None, :]) / SURVIVAL_STEP_S).astype(np.intp), top)
    wrapping = stay * (1.0 - wraps[:, then] / (wraps[:, at][:, :, None] + 1e-12))
    assert talking.shape == (classes, kinds, AGE_BINS, count)
    return np.clip(talking, 0.0, 1.0), np.clip(wrapping, 0.0, 1.0)
