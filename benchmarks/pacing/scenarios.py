"""Call centres to simulate. Two families: TUNING, on which the policy's constants were chosen, and REPORTING, whose
results are published. No scenario and no seed is in both; both were written down before any tuning."""

from __future__ import annotations

from simulation.shift import Scenario

__all__ = ["Scenario", "reporting", "tuning"]


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
