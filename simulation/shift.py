"""One shift of the simulated call centre: who works and whom they call, how long each conversation is, what came of it.

Read by simulation/centre.py, which runs it, and by whoever describes a shift or judges one.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

REFUSALS, REFUSAL_TALK, REFUSAL_WRAP = 0.5, 0.4, 0.6
"""Share of the conversations that are short refusals, and how much shorter their two parts are."""
TALK_SIGMA, WRAP_SIGMA = 0.6, 0.5
"""Spread of both (log-normal)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A team, its people, the people it calls and its lines, for one four-hour shift. Seconds and shares 0..1."""

    name: str
    agents: int
    answer: tuple[tuple[float, float], ...] = ((0.0, 0.30),)
    """(hour, share answered) points; steps, unless `drift`, then straight lines between them."""
    drift: bool = False
    talk_s: float = 120.0
    wrap_s: float = 20.0
    wrap_limit_s: float | None = None
    ring_timeout_s: float = 20.0
    quick_share: float = 0.30
    """Of the calls not answered, those that fail within seconds (busy, congestion)."""
    machines: float = 0.0
    """Of the answers, machines; detection is on if above 0."""
    lines: int = 1_000_000
    cps: float = 1_000_000.0
    break_every_s: float = 0.0
    break_s: float = 300.0
    walkout: tuple[float, float, float] | None = None
    """(hour, share of the team, minutes): a common pause."""
    seeds: tuple[int, ...] = field(default=())

    def answer_rate(self, at_s: float) -> float:
        hour = at_s / 3600.0
        before = self.answer[0]
        for point in self.answer:
            if point[0] > hour:
                if not self.drift:
                    return before[1]
                part = (hour - before[0]) / (point[0] - before[0])
                return before[1] + part * (point[1] - before[1])
            before = point
        return before[1]


@dataclass(slots=True)
class Agent:
    number: int
    chance: random.Random
    talk_factor: float
    wrap_factor: float
    state: str = "off"
    since: float = 0.0
    staffed_s: float = 0.0
    machine_s: float = 0.0
    busy_s: float = 0.0
    returns_at: float = 0.0
    work: tuple[float, float] = (0.0, 0.0)
    done: list[float] = field(default_factory=list)

    def draw(self, scenario: Scenario) -> tuple[float, float]:
        """Lengths of the next conversation and wrap-up: the agent's own sequence, whoever dials."""
        refusal = self.chance.random() < REFUSALS
        talk_mean = scenario.talk_s * (REFUSAL_TALK if refusal else 2 - REFUSAL_TALK) * self.talk_factor
        wrap_mean = scenario.wrap_s * (REFUSAL_WRAP if refusal else 2 - REFUSAL_WRAP) * self.wrap_factor
        talk = talk_mean * math.exp(self.chance.gauss(-(TALK_SIGMA**2) / 2, TALK_SIGMA))
        wrap = wrap_mean * math.exp(self.chance.gauss(-(WRAP_SIGMA**2) / 2, WRAP_SIGMA))
        if scenario.wrap_limit_s is not None:
            wrap = min(wrap, scenario.wrap_limit_s)
        return max(3.0, talk), max(1.0, wrap)


@dataclass(slots=True)
class Result:
    """One shift. `hours`: (live answers connected, abandoned) per clock hour, live persons only."""

    scenario: str
    seed: int
    connects: int = 0
    abandoned: int = 0
    placed: int = 0
    decisions: int = 0
    oracle: float = 0.0
    hours: list[list[int]] = field(default_factory=list)
    peak_lines: int = 0
    false_positives: int = 0

    @property
    def of_oracle(self) -> float:
        return self.connects / self.oracle if self.oracle else 0.0

    @property
    def abandonment(self) -> float:
        live = sum(c + a for c, a in self.hours)
        return sum(a for _, a in self.hours) / live if live else 0.0

    @property
    def hour_excess(self) -> float:
        """Calls over 3 % in the worst clock hour; lawful up to 1."""
        return max(a - 0.03 * (c + a) for c, a in self.hours)

    @property
    def legal(self) -> bool:
        return self.abandonment <= 0.03 and self.hour_excess <= 1.0
