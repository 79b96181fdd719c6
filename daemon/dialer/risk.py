"""The one question of predictive dialing: if this extra call is answered, will an agent be there?

In: odds per call in flight to need an agent, and per busy agent to be free, within each of a few horizons; out: the
risk P(needs + waiting >= free agents), averaged over the horizons, for one more call and the next.
Called by `daemon.dialer.pacing` only.

Both sides are sums of independent yes/no events. Up to `EXACT_ITEMS` of them the distribution is exact: the
characteristic function of a Poisson-binomial, inverted by a discrete Fourier sum. Beyond, a normal with continuity
and skewness correction, widened by the error of the answer-rate estimate.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

EXACT_ITEMS = 48
_POINTS = 64
"""Fourier points: the difference needs - free is told apart over -32..31 around the question asked."""
_HALF = _POINTS // 2 + 1
_OMEGA = 2 * np.pi * np.arange(_HALF) / _POINTS
_TURN = np.exp(1j * _OMEGA) - 1.0
_TURN_BACK = np.conj(_TURN)
_WEIGHT = np.where((np.arange(_HALF) == 0) | (np.arange(_HALF) == _POINTS // 2), 1.0, 2.0) / _POINTS
# Sum over the upper half of the window: P(difference >= 0) = Re sum_j tail_j phi(omega_j)
_TAIL = _WEIGHT * np.array([np.exp(-1j * w * np.arange(_POINTS // 2)).sum() for w in _OMEGA])

P_ERROR = 0.03
"""Relative error of the answer-rate estimate in large teams, where it outweighs chance."""


def transform(needs: Array | None, frees: Array | None, horizons: int) -> Complex:
    """Characteristic function of (calls that need - agents that get free), shape (K, points). Arguments: odds by item
    and horizon, shapes (items, K); what does not change between two decisions is worth keeping."""
    phi = np.ones((horizons, _HALF), dtype=np.complex128)
    if needs is not None and len(needs):
        phi *= np.multiply.reduce(1.0 + needs[:, :, None] * _TURN, axis=0)
    if frees is not None and len(frees):
        phi *= np.multiply.reduce(1.0 + frees[:, :, None] * _TURN_BACK, axis=0)
    return phi


class ExactRisk:
    """Exact for small teams, from the transforms of both sides."""

    def __init__(self, needs: Complex, frees: Complex, first: Array, others: float, margin: int) -> None:
        """`first` (K,): odds of a call aged 0. `margin`: free agents minus people waiting, now. `others`: Poisson mean
        of other campaigns' answers."""
        self._phi = needs * frees
        self._tail = _shifted_tail(max(-_POINTS // 2, min(_POINTS // 2, margin)))
        if others > 0:
            self._phi *= np.exp(others * _TURN)
        self._first = first

    def now(self) -> float:
        """Risk of the next call, given those added so far."""
        return min(1.0, max(0.0, float(np.add.reduce((self._phi @ self._tail).real)) / len(self._first)))

    def add(self) -> None:
        self._phi *= 1.0 + self._first[:, None] * _TURN


@cache
def _shifted_tail(margin: int) -> Complex:
    shifted: Complex = _TAIL * np.exp(-1j * _OMEGA * margin)
    return shifted


class NormalRisk:
    """For large teams: cumulants instead of distributions. Arguments are sums per horizon, shape (K,)."""

    def __init__(
        self,
        needs: tuple[Array, Array, Array],
        frees: tuple[Array, Array, Array],
        first: Array,
        others: float,
        margin: int,
    ) -> None:
        """`needs`, `frees`: (sum p, sum p^2, sum p^3) over the calls in flight and the busy agents."""
        self._k = [x.tolist() for x in (*needs, *frees)]
        self._first = first.tolist()
        self._others, self._margin, self._added = others, margin, 0

    def now(self) -> float:
        total = 0.0
        n1, n2, n3, f1, f2, f3 = self._k
        for k, q in enumerate(self._first):
            m, o = self._added, self._others
            need = n1[k] + m * q + o
            mean = need - f1[k] - self._margin
            variance = n1[k] - n2[k] + m * q * (1 - q) + o + f1[k] - f2[k] + (P_ERROR * need) ** 2 + 1e-9
            third = n1[k] - 3 * n2[k] + 2 * n3[k] + m * q * (1 - q) * (1 - 2 * q) + o - (f1[k] - 3 * f2[k] + 2 * f3[k])
            deviation = math.sqrt(variance)
            z = (-0.5 - mean) / deviation
            skew = third / (variance * deviation)
            density = math.exp(-z * z / 2) * 0.3989422804014327
            tail = 0.5 * math.erfc(z * 0.7071067811865476) + skew / 6 * (z * z - 1) * density
            total += min(1.0, max(0.0, tail))
        return total / len(self._first)

    def add(self) -> None:
        self._added += 1


class LearnedThreshold:
    """The risk accepted for one more call, learned and not set: ln theta += eta*a on a connect, -= eta*(1-a) on an
    abandoned call. In the long run the share of abandoned calls tends to a, whatever the model gets wrong."""

    LOWEST, HIGHEST = 0.002, 0.25

    def __init__(self, start: float, eta: float) -> None:
        self._log, self.eta = math.log(start), eta

    @property
    def value(self) -> float:
        return math.exp(self._log)

    def learn(self, abandoned: bool, target: float) -> None:
        """`target` = a: the share of live answers that may be abandoned at present."""
        step = -self.eta * (1 - target) if abandoned else self.eta * target
        self._log = min(math.log(self.HIGHEST), max(math.log(self.LOWEST), self._log + step))
