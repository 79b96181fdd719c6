"""Call centres to simulate. Two families: TUNING, on which the policy's constants were chosen, and REPORTING, whose
results are published. No scenario and no seed is in both; both were written down before any tuning."""

from __future__ import annotations

from dataclasses import dataclass, field

SHIFT_S = 4 * 3600.0


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


def _flat(rate: float) -> tuple[tuple[float, float], ...]:
    return ((0.0, rate),)


def tuning() -> list[Scenario]:
    """Sizes, rates and seeds (1..) that reporting does not use."""
    seeds = (11, 12, 13, 14)
    return [
        Scenario(name="size 6", agents=6, seeds=seeds),
        Scenario(name="size 12", agents=12, seeds=seeds),
        Scenario(name="size 24", agents=24, seeds=seeds),
        Scenario(name="size 60", agents=60, seeds=seeds[:2]),
        Scenario(name="size 130", agents=130, seeds=seeds[:1]),
        Scenario(name="size 400", agents=400, seeds=seeds[:1]),
        Scenario(name="answer 12 %", agents=25, answer=_flat(0.12), seeds=seeds),
        Scenario(name="answer 50 %", agents=25, answer=_flat(0.50), seeds=seeds),
        Scenario(name="talk 40 s", agents=20, talk_s=40, wrap_s=10, seeds=seeds),
        Scenario(name="talk 240 s", agents=20, talk_s=240, wrap_s=40, seeds=seeds),
        Scenario(name="step 15 to 45 %", agents=18, answer=((0, 0.15), (1.3, 0.45), (2.6, 0.2)), seeds=seeds),
        Scenario(name="drift", agents=45, answer=((0, 0.4), (2, 0.15), (4, 0.35)), drift=True, seeds=seeds[:2]),
        Scenario(name="detection", agents=16, answer=_flat(0.45), machines=0.40, seeds=seeds),
        Scenario(name="tight lines", agents=35, lines=60, seeds=seeds[:2]),
        Scenario(name="tight rate", agents=60, cps=1.2, seeds=seeds[:2]),
        Scenario(name="breaks", agents=14, break_every_s=2400, break_s=400, walkout=(1.5, 0.5, 15), seeds=seeds),
    ]


def reporting() -> list[Scenario]:
    """What is published, from seeds 101 on."""
    seeds = (101, 102, 103)
    return [
        Scenario(name="5 agents", agents=5, seeds=(*seeds, 104, 105)),
        Scenario(name="10 agents", agents=10, seeds=(*seeds, 104, 105)),
        Scenario(name="20 agents", agents=20, seeds=(*seeds, 104)),
        Scenario(name="50 agents", agents=50, seeds=seeds),
        Scenario(name="100 agents", agents=100, seeds=seeds[:2]),
        Scenario(name="300 agents", agents=300, seeds=seeds[:1]),
        Scenario(name="1000 agents", agents=1000, seeds=seeds[:1]),
        Scenario(name="10 % answer", agents=30, answer=_flat(0.10), seeds=seeds),
        Scenario(name="20 % answer", agents=15, answer=_flat(0.20), seeds=seeds),
        Scenario(name="45 % answer", agents=30, answer=_flat(0.45), seeds=seeds),
        Scenario(name="60 % answer", agents=15, answer=_flat(0.60), seeds=seeds),
        Scenario(name="30 s talk", agents=30, talk_s=30, wrap_s=8, seeds=seeds),
        Scenario(name="60 s talk", agents=12, talk_s=60, wrap_s=15, seeds=seeds),
        Scenario(name="180 s talk", agents=25, talk_s=180, wrap_s=30, seeds=seeds),
        Scenario(name="300 s talk", agents=40, talk_s=300, wrap_s=45, seeds=seeds),
        Scenario(name="wrap limit", agents=25, wrap_s=30, wrap_limit_s=30, seeds=seeds),
        Scenario(name="step up x3", agents=22, answer=((0, 0.15), (1.7, 0.45)), seeds=seeds),
        Scenario(name="step down", agents=40, answer=((0, 0.50), (1.2, 0.20), (2.9, 0.35)), seeds=seeds[:2]),
        Scenario(name="drift", agents=28, answer=((0, 0.15), (1.5, 0.45), (4, 0.20)), drift=True, seeds=seeds),
        Scenario(name="detection 12", agents=12, answer=_flat(0.50), machines=0.45, seeds=seeds),
        Scenario(name="detection 80", agents=80, answer=_flat(0.40), machines=0.35, seeds=seeds[:2]),
        Scenario(name="tight lines", agents=50, lines=80, seeds=seeds[:2]),
        Scenario(name="tight rate", agents=90, cps=1.8, seeds=seeds[:2]),
        Scenario(name="breaks 18", agents=18, break_every_s=2700, break_s=420, seeds=seeds),
        Scenario(
            name="breaks 100", agents=100, break_every_s=3000, break_s=300, walkout=(2.2, 0.4, 20), seeds=seeds[:1]
        ),
    ]
