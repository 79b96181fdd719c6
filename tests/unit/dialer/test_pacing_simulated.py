"""The policy in a simulated call centre: short shifts, laws that must hold in each."""

from __future__ import annotations

import heapq
import random
from itertools import pairwise

import pytest

from benchmarks.pacing import leaving
from benchmarks.pacing.peers import PolicyDialer
from benchmarks.pacing.scenarios import Scenario
from benchmarks.pacing.simulator import CallCentre, Result

HOUR_S = 3600.0


def shift(scenario: Scenario, seed: int, dialer: PolicyDialer | None = None, seconds: float = HOUR_S) -> Result:
    return CallCentre(scenario, seed, dialer or PolicyDialer(scenario), shift_s=seconds).run()


def test_connects_and_abandonment_do_not_fall_as_speed_rises() -> None:
    scenario = Scenario(name="speeds", agents=16)
    results = [shift(scenario, 1, PolicyDialer(scenario, speed=speed)) for speed in (0, 4, 10)]
    noise = 0.01 * results[0].connects
    for slower, faster in pairwise(results):
        assert faster.connects >= slower.connects - noise
        assert faster.abandoned >= slower.abandoned - 1
    assert results[0].abandoned == 0
    assert results[-1].connects > 1.1 * results[0].connects


def test_three_times_the_answers_at_once_stays_legal() -> None:
    scenario = Scenario(name="jump", agents=20, answer=((0.0, 0.15), (0.5, 0.45)))
    result = shift(scenario, 2, seconds=1.25 * HOUR_S)
    assert result.abandonment <= 0.03
    assert result.hour_excess <= 1.0


@pytest.mark.parametrize("seed", [1, 2])
def test_five_agents_stay_legal(seed: int) -> None:
    result = shift(Scenario(name="five", agents=5), seed, seconds=1.5 * HOUR_S)
    assert result.hour_excess <= 1.0


def test_the_answer_rate_of_a_thousand_agents_is_steady() -> None:
    scenario = Scenario(name="thousand", agents=1000)
    dialer = Watching(scenario)
    shift(scenario, 3, dialer, seconds=600.0)
    late = [rate for at, rate in dialer.rates if at > 180]
    assert late
    assert all(abs(rate - 0.30) <= 0.03 for rate in late)


def test_lines_and_call_rate_are_never_exceeded() -> None:
    scenario = Scenario(name="tight", agents=30, lines=40, cps=2.0)
    dialer = Watching(scenario)
    result = shift(scenario, 4, dialer, seconds=1200.0)
    assert result.peak_lines <= 40
    assert not dialer.over
    assert {"lines", "cps"} & set(dialer.limits)


def test_when_all_agents_leave_at_once_dialing_stops() -> None:
    scenario = Scenario(name="walkout", agents=20, walkout=(0.2, 1.0, 10))
    dialer = Watching(scenario)
    result = shift(scenario, 5, dialer, seconds=1500.0)
    assert dialer.placed_with_nobody == 0
    assert dialer.decisions_with_nobody > 100
    assert result.hour_excess <= 1.0


@pytest.mark.parametrize("seed", [5, 6])
def test_of_a_team_that_is_gone_at_once_only_the_calls_in_flight_are_lost(seed: int) -> None:
    hour = leaving.hour("to nobody", 30, seed, announced=True)
    assert hour.placed_later == 0
    assert hour.excess <= hour.excess_before + hour.in_flight


def test_late_and_lost_events_stay_legal() -> None:
    scenario = Scenario(name="lossy", agents=20)
    result = shift(scenario, 6, Lossy(scenario), seconds=1.5 * HOUR_S)
    assert result.abandonment <= 0.03
    assert result.hour_excess <= 1.0
    assert result.of_oracle > 0.75


class Watching(PolicyDialer):
    """Notes what was decided in which situation."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.rates: list[tuple[float, float]] = []
        self.limits: list[str] = []
        self.over = False
        self.placed_with_nobody = self.decisions_with_nobody = 0

    def count(self, centre: CallCentre, now: float) -> int:
        count = super().count(centre, now)
        assert self.last is not None
        self.rates.append((now, self.last.figures.answer_rate))
        self.limits.append(self.last.limit)
        self.over |= count > centre.lines_free or count > centre.tokens
        if all(agent.state == "off" for agent in centre.agents):
            self.decisions_with_nobody += 1
            self.placed_with_nobody += count
        return count


class Lossy(PolicyDialer):
    """Tells the policy about calls up to a second late, and of one event in 200 never."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.chance = random.Random(9)
        self.late: list[tuple[float, int, str, int, int]] = []
        self.number = 0

    def told(self, kind: str, at: float, call: int, agent: int) -> None:
        if kind == "placed":
            super().told(kind, at, call, agent)
        elif self.chance.random() >= 0.005:
            self.number += 1
            heapq.heappush(self.late, (at + self.chance.random(), self.number, kind, call, agent))

    def count(self, centre: CallCentre, now: float) -> int:
        while self.late and self.late[0][0] <= now:
            due, _, kind, call, agent = heapq.heappop(self.late)
            super().told(kind, due, call, agent)
        return super().count(centre, now)
