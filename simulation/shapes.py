"""How a seed's campaign is drawn: `lean`, what seeds are now, and `paced` and `busy`, what they were before.

A seed that failed in one shape is another scenario in the other, so it is kept together with its shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Moment = Literal["waiting", "break", "dialling"]
"""A customer has answered and no agent is free yet; the same, brought about by agents who all take a break as a phone
rings; the PBX has been asked for a call and nothing rings yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Ranges and amounts from which a seed draws."""

    name: str
    talk_mean_s: tuple[float, float]
    leads_first: int
    """So many people are in the list as the campaign starts."""
    attempts_a_minute: float = 0.0
    """New people are added in parts, so that about so many attempts are made in the end; 0: none are added."""
    parts_every_s: tuple[float, float] = (20.0, 60.0)
    moments: tuple[Moment, ...] = ("waiting",)
    """For which of them a fault waits that waits for a rare moment."""
    longest_minutes: float = 10.0
    """A campaign that faults have kept from `ATTEMPTS_MIN` attempts goes on for so long at most, faults and all."""


PACED = Shape(
    name="paced",
    talk_mean_s=(6.0, 18.0),
    leads_first=15,
    attempts_a_minute=11.8,
    moments=("waiting", "break", "break", "dialling"),
    longest_minutes=30.0,
)
"""Enough calls for every fault to strike some, in bursts that fill lines and agents: about 125."""
LEAN = replace(PACED, name="lean", attempts_a_minute=10.0)
"""The same with about 105 calls, hardly more than each seed must have: time is better spent on more seeds."""
BUSY = Shape(name="busy", talk_mean_s=(8.0, 30.0), leads_first=500)
"""As many calls as agents can take, from the first second to the last."""
SHAPES = {shape.name: shape for shape in (LEAN, PACED, BUSY)}

AGENTS_MIN, MINUTES_MIN, FAULTS_MIN, ATTEMPTS_MIN = 5, 10.0, 3, 100
"""What every seed holds at least; one with less proves less than it seems to, and is reported as a violation."""
