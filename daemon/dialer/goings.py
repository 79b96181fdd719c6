"""People go together: who went of late, who came back, and what that says of those still at work.

In: every agent who goes, or says that he will when done, and every wrap-up that ended in ready. Out: the share of
wrap-ups to end in ready from now on. Called by `daemon.dialer.traffic` only.
"""

from __future__ import annotations

import math
from collections import deque

GOINGS_S = 60.0
"""How long a going counts as news of the whole team."""
GOINGS_WEIGHT = 4.0
"""What is usual counts as this many wrap-ups beside those of the last minute."""
ALONE = 1.0
"""One who goes is no sign that others will."""
TOGETHER = 0.1
"""More than usual by this share of those who could have gone, and each counts double: people go together."""

CHANCE = 1e-5
"""Three and more who go within so short a time that chance brings it once in so many: they go together. The largest
teams with breaks of their own see less than one such in a day by chance."""
AT_LEAST, AT_MOST = 3, 8
APART_S = 1.0
"""Added to the time between the first and the last of them: clocks and clicks are no finer."""
KEPT_PRIOR = 0.5
"""Before anybody of the team has been seen to stay, so many are taken to."""


class Goings:
    """Who went and who stayed: slowly, by decayed counts over what is usual; at once, by several who go together."""

    def __init__(self) -> None:
        self._gone = self._kept = 0.0
        self._at = -math.inf
        self._totals = (0, 0)
        self._recent: deque[tuple[float, tuple[int, int]]] = deque(maxlen=AT_MOST)
        self._sign: tuple[int, int] | None = None
        self._sign_at = -math.inf

    def add(self, at: float, gone: bool, usual: float = 0.95) -> None:
        """Somebody went, or is back from a wrap-up. `usual`: share of wrap-ups that end in ready."""
        self._decay(at)
        self._gone += gone
        self._kept += not gone
        before = self._totals
        self._totals = (before[0] + gone, before[1] + (not gone))
        if gone:
            self._recent.append((at, before))
            self._look(at, usual)

    def take_back(self, at: float) -> None:
        """Somebody who had said that he would go stays after all."""
        self._decay(at)
        self._gone = max(0.0, self._gone - 1.0)
        self._totals = (self._totals[0] - 1, self._totals[1])

    def _look(self, at: float, usual: float) -> None:
        """Did the last few go together? The longest row of them that chance does not explain counts."""
        rate = (GOINGS_WEIGHT + self._kept) * (1.0 / usual - 1.0) / GOINGS_S
        for count in range(len(self._recent), AT_LEAST - 1, -1):
            first, totals = self._recent[-count]
            span_s = max(0.0, at - first) + APART_S
            if span_s <= GOINGS_S and _chance(count, rate * span_s) < CHANCE:
                if self._sign is None or at - self._sign_at > GOINGS_S:
                    self._sign = totals
                self._sign_at = at
                return

    def _decay(self, now: float) -> None:
        keep = math.exp(min(0.0, self._at - now) / GOINGS_S)
        self._gone, self._kept, self._at = self._gone * keep, self._kept * keep, max(self._at, now)

    def together(self, now: float) -> bool:
        """Whether several have gone together within the last minute."""
        return now - self._sign_at <= GOINGS_S

    def stay(self, usual: float, now: float, ready: int = 0) -> float:
        """Share of wrap-ups to end in ready, from now on; never more than `usual`. `ready`: agents who wait for a call
        and have not gone with the others."""
        self._decay(now)
        share = usual
        expected = self._kept * (1.0 / usual - 1.0)
        more = self._gone - expected - math.sqrt(expected) - ALONE
        if more > 0.0:
            kept = GOINGS_WEIGHT + self._kept
            share = usual * kept / (kept + more * (1.0 + more / (TOGETHER * kept)))
        if self._sign is None or not self.together(now):
            return share
        gone, kept_since = (total - then for total, then in zip(self._totals, self._sign, strict=True))
        stayed = KEPT_PRIOR + kept_since + ready
        return min(share, usual * stayed / (stayed + max(0, gone)))


def _chance(count: int, mean: float) -> float:
    """Of `count` or more where `mean` are usual (Poisson)."""
    term = math.exp(-mean)
    below = 0.0
    for number in range(count):
        below += term
        term *= mean / (number + 1)
    if mean < 1.0:
        return term * (1.0 + mean / (count + 1))  # the first of the tail: exact enough, and no difference of near ones
    return max(0.0, 1.0 - below)
