"""Risk: the exact transform against plain convolution, the normal beside the exact, and the learned threshold."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.dialer.risk import ExactRisk, LearnedThreshold, NormalRisk, transform

ODDS = st.floats(0.0, 1.0)


def convolved(needs: list[float], frees: list[float], margin: int) -> float:
    """P(needs >= margin + frees) by adding one yes/no event after the other."""

    def distribution(odds: list[float]) -> np.ndarray:
        total = np.ones(1)
        for p in odds:
            total = np.convolve(total, [1 - p, p])
        return total

    need, free = distribution(needs), distribution(frees)
    return float(sum(x * y for i, x in enumerate(need) for j, y in enumerate(free) if i >= margin + j))


def exact(needs: list[float], frees: list[float], first: float, margin: int, others: float = 0.0) -> ExactRisk:
    columns = [np.array(x).reshape(-1, 1) for x in (needs, frees)]
    return ExactRisk(transform(columns[0], None, 1), transform(None, columns[1], 1), np.array([first]), others, margin)


@settings(deadline=None)
@given(needs=st.lists(ODDS, max_size=14), frees=st.lists(ODDS, max_size=14), margin=st.integers(-6, 12))
def test_exact_risk_is_the_poisson_binomial(needs: list[float], frees: list[float], margin: int) -> None:
    assert exact(needs, frees, 0.2, margin).now() == pytest.approx(convolved(needs, frees, margin), abs=1e-9)


def test_each_added_call_raises_the_risk_as_if_it_had_been_in_flight() -> None:
    model = exact([0.3, 0.1], [0.4], 0.25, 1)
    model.add()
    model.add()
    assert model.now() == pytest.approx(convolved([0.3, 0.1, 0.25, 0.25], [0.4], 1), abs=1e-9)


def test_other_campaigns_answers_add_to_the_risk() -> None:
    assert exact([0.3], [0.4], 0.25, 1, others=0.5).now() > exact([0.3], [0.4], 0.25, 1).now()


def test_normal_is_close_to_exact_where_the_models_meet() -> None:
    chance = random.Random(5)
    needs = [chance.uniform(0, 0.3) for _ in range(25)]
    frees = [chance.uniform(0, 0.3) for _ in range(22)]
    powers = [tuple(np.array([sum(p**k for p in odds)]) for k in (1, 2, 3)) for odds in (needs, frees)]
    for margin in range(-2, 6):
        normal = NormalRisk(powers[0], powers[1], np.array([0.2]), 0.0, margin).now()
        assert normal == pytest.approx(exact(needs, frees, 0.2, margin).now(), abs=0.012)


def test_threshold_settles_where_the_abandoned_share_is_the_target() -> None:
    threshold, chance, abandoned = LearnedThreshold(0.2, 0.03), random.Random(3), 0
    for step in range(20_000):
        hit = chance.random() < 0.5 * threshold.value  # a model that is wrong by half
        threshold.learn(hit, 0.03)
        abandoned += hit * (step >= 5000)
    assert abandoned / 15_000 == pytest.approx(0.03, abs=0.004)


def test_threshold_stays_within_its_bounds() -> None:
    threshold = LearnedThreshold(0.03, 0.5)
    for _ in range(200):
        threshold.learn(True, 0.03)
    assert threshold.value == pytest.approx(LearnedThreshold.LOWEST)
    for _ in range(5000):
        threshold.learn(False, 0.03)
    assert threshold.value == pytest.approx(LearnedThreshold.HIGHEST)
