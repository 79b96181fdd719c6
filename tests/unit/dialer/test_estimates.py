"""Estimates: what they learn from, how fast, and what they are not fooled by."""

from __future__ import annotations

import math
import pickle
import random

import numpy as np
import pytest

from daemon.dialer.estimates import (
    AGE_LUT,
    CALL_BINS,
    AgentFactors,
    AnswerRate,
    DelayHistogram,
    HazardCurve,
    agent_tables,
    answer_delay_prior,
    call_tables,
    detection_prior,
    other_end_prior,
)

ANSWERED_BY = [0.0] * 17 + [1.0] * (CALL_BINS - 17)


class Feed:
    """`burst` calls each `every` seconds, answered after 8 s or never; refreshed once a second."""

    def __init__(self, seed: int, burst: int = 2, every: int = 1) -> None:
        self.rate = AnswerRate(prior=0.5, prior_calls=12)
        self.chance, self.burst, self.every = random.Random(seed), burst, every
        self.second = 0
        self.answers: dict[int, list[int]] = {}

    def run(self, p: float, seconds: int) -> float:
        for second in range(self.second, self.second + seconds):
            for _ in range(self.burst if second % self.every == 0 else 0):
                self.rate.started(second + 0.1)
                if self.chance.random() < p:
                    self.answers.setdefault(second + 8, []).append(second)
            for started in self.answers.pop(second, []):
                self.rate.answered(started + 0.1)
            self.rate.refresh(second + 0.9, ANSWERED_BY, 26.0)
        self.second += seconds
        return self.rate.value


def test_pulsed_dialing_does_not_bias_the_answer_rate() -> None:
    assert Feed(1, burst=40, every=30).run(0.3, 1200) == pytest.approx(0.3, abs=0.04)


def test_a_jump_upward_is_believed_within_two_minutes() -> None:
    feed = Feed(2)
    assert feed.run(0.15, 1200) == pytest.approx(0.15, abs=0.03)
    assert feed.run(0.45, 60) > 0.22
    assert feed.run(0.45, 60) > 0.33


def test_a_jump_is_believed_sooner_upward_than_downward() -> None:
    def seconds_to(before: float, after: float, seed: int) -> int:
        feed = Feed(seed)
        feed.run(before, 900)
        return next((n for n in range(300) if abs(feed.run(after, 1) - after) < 0.6 * abs(before - after)), 300)

    assert sum(seconds_to(0.2, 0.4, s) for s in range(6)) < sum(seconds_to(0.4, 0.2, s) for s in range(6))


def test_calls_that_were_not_placed_say_nothing_about_people() -> None:
    rate = AnswerRate(prior=0.5, prior_calls=12)
    for _ in range(500):
        rate.started(1.0)
        rate.never_reached(1.0)
    assert rate.refresh(100.0, [1.0] * CALL_BINS, 26.0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.feature(
    "RELY-10", clause="a campaign that never asks how many to call keeps no more than minutes of calls"
)
def test_seconds_of_calls_are_folded_though_nobody_asks() -> None:
    """One call an agent, for an hour: nothing is asked of the estimate. What it learned is there all the same."""
    rate = AnswerRate(prior=0.9, prior_calls=12)
    weights = []
    for second in range(3600):
        for n in range(3):
            rate.started(second + n / 4)
        if second >= 5:
            rate.answered(second - 5 + 0.1)
        if second in (600, 3599):
            weights.append(len(pickle.dumps(rate)))
    assert weights[1] <= 1.05 * weights[0]
    assert rate.refresh(3630.0, ANSWERED_BY, 26.0) == pytest.approx(1 / 3, abs=0.03)


def test_survival_counts_conversations_still_going_on() -> None:
    """Two minutes into a shift only short conversations are over; the long ones must not be taken for short."""
    chance = random.Random(4)
    finished, going = HazardCurve(prior_mean_s=120.0), []
    naive = []
    for _ in range(400):
        length = chance.expovariate(1 / 150)
        if length < 120:
            finished.add(length)
            naive.append(length)
        else:
            going.append(120.0)
    survival = finished.survival(np.array(going))
    assert survival[200] == pytest.approx(math.exp(-100 / 150), abs=0.06)
    assert np.mean(naive) < 60


def test_survival_shows_a_wrap_up_limit() -> None:
    curve, chance = HazardCurve(prior_mean_s=20.0), random.Random(6)
    for _ in range(500):
        curve.add(min(30.0, chance.expovariate(1 / 25)))
    survival = curve.survival()
    assert survival[56] > 0.25 and survival[70] < 0.05


def test_agent_factors_shrink_to_the_team() -> None:
    factors = AgentFactors(shrink=5.0)
    for _ in range(200):
        factors.add("steady", 20.0)
    factors.add("new", 80.0)
    for _ in range(60):
        factors.add("slow", 40.0)
    assert 1.0 < factors.factor("new") < 1.4
    assert factors.factor("slow") > 1.4
    assert factors.factor("never seen") == 1.0


def delays(*seconds: float) -> DelayHistogram:
    histogram = DelayHistogram(answer_delay_prior(), prior_weight=0.01)
    for second in seconds:
        for _ in range(500):
            histogram.add(second)
    return histogram


def test_odds_of_a_new_call_tend_to_the_answer_rate_and_old_calls_have_little_left() -> None:
    table, _ = call_tables(0.3, delays(8.2).density(), delays(2.2, 22.2).density(), 1.0, None, [4.0, 30.0])
    assert table[0, 0] == pytest.approx(0.0, abs=0.01)
    assert table[0, 1] == pytest.approx(0.3, abs=0.01)
    # After the quick failures a call still ringing is likelier to be answered, past 8 s not any more.
    assert table[12, 1] == pytest.approx(0.3 / (0.3 + 0.35), abs=0.02)
    assert table[24, 1] == pytest.approx(0.0, abs=0.02)


def test_detection_adds_its_delay_and_takes_its_machines_out() -> None:
    answered, other = delays(8.2).density(), delays(22.2).density()
    table, judged = call_tables(0.5, answered, other, 0.6, delays(3.2).density(), [9.5, 14.0])
    assert table[0, 0] == pytest.approx(0.0, abs=0.02)
    assert table[0, 1] == pytest.approx(0.3, abs=0.02)
    assert judged[0, 0] == pytest.approx(0.6, abs=0.02)
    assert detection_prior().shape == answered.shape


def test_agents_late_in_wrap_up_are_freer_than_agents_who_just_began_to_talk() -> None:
    talk, wrap = HazardCurve(prior_mean_s=120.0), HazardCurve(prior_mean_s=20.0)
    chance = random.Random(7)
    for _ in range(800):
        talk.add(chance.lognormvariate(4.6, 0.5))
        wrap.add(chance.lognormvariate(2.9, 0.3))
    talking, wrapping = agent_tables(talk.survival(), wrap.survival()[None, :], np.array([0.7, 1.0]), 0.9, [6.0, 30.0])
    fresh, old = int(AGE_LUT[2]), int(AGE_LUT[22])
    assert wrapping[0, old, 0] > 0.6 > 0.1 > talking[1, 0, fresh, 0]
    assert wrapping.max() <= 0.9 + 1e-9
    # A quick agent, 60 s into a conversation, is freer within 30 s than an average one.
    assert talking[0, 0, int(AGE_LUT[60]), 1] > talking[1, 0, int(AGE_LUT[60]), 1]


def test_other_end_prior_has_quick_failures_and_ring_outs() -> None:
    prior = other_end_prior(20.0)
    assert prior[:10].sum() > 0.2 and prior[40:52].sum() > 0.5


@pytest.mark.parametrize("ring_timeout_s", [126.0, 300.0, 3600.0])
def test_who_rings_out_later_than_the_last_bin_is_in_the_last_bins(ring_timeout_s: float) -> None:
    prior = other_end_prior(ring_timeout_s)
    assert prior.sum() == pytest.approx(1.0)
    assert prior[-8:].sum() > 0.5
