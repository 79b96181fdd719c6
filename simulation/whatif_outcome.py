"""What a variant of a plan brought, as the table and the report show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.shift import Result


@dataclass(frozen=True, slots=True)
class Variant:
    """A mode of the trade at a speed; TURBO has none."""

    trade: str
    speed: int

    @property
    def name(self) -> str:
        return self.trade if self.trade == "TURBO" else f"{self.trade.replace('MATIQUE', ' ')} · {self.speed}"


@dataclass(slots=True)
class Hour:
    """What one clock hour brought. `busy` and `ready` are agent-seconds, `lines` the lines in use at each sample."""

    label: str
    connected: int = 0
    abandoned: int = 0
    placed: int = 0
    busy: float = 0.0
    ready: float = 0.0
    lines: list[int] = field(default_factory=list)

    @property
    def occupancy(self) -> float | None:
        return self.busy / (self.busy + self.ready) if self.busy + self.ready else None

    @property
    def abandonment(self) -> float | None:
        live = self.connected + self.abandoned
        return self.abandoned / live if live else None

    @property
    def wait_s(self) -> float | None:
        """Mean time an agent waited for each conversation."""
        return self.ready / self.connected if self.connected else None

    @property
    def calls_per_connect(self) -> float | None:
        return self.placed / self.connected if self.connected else None


@dataclass(slots=True)
class Outcome:
    """One variant's shift. `samples`: (seconds from the start, lines in use)."""

    variant: Variant
    hours: list[Hour]
    samples: list[tuple[float, int]]
    result: Result
    agents: int
    ceiling: float
    leads_left: int

    def _sum(self, of: Callable[[Hour], float]) -> float:
        return sum(of(hour) for hour in self.hours)

    @property
    def occupancy(self) -> float:
        busy, ready = self._sum(lambda h: h.busy), self._sum(lambda h: h.ready)
        return busy / (busy + ready) if busy + ready else 0.0

    @property
    def wait_s(self) -> float:
        return self._sum(lambda h: h.ready) / max(1, self.result.connects)

    @property
    def per_agent_hour(self) -> float:
        staffed = self._sum(lambda h: h.busy + h.ready) / 3600.0
        return self.result.connects / staffed if staffed else 0.0

    @property
    def calls_per_connect(self) -> float:
        return self.result.placed / max(1, self.result.connects)

    @property
    def lines_per_agent(self) -> float:
        """Lines in use for each agent, mean over the shift."""
        return sum(lines for _, lines in self.samples) / max(1, len(self.samples)) / self.agents

    @property
    def lawful(self) -> bool:
        """The shift within the ceiling, each clock hour within the ceiling plus one call."""
        hours = all(a <= self.ceiling * (c + a) + 1.0 for c, a in self.result.hours)
        return hours and self.result.abandonment <= self.ceiling


COLUMNS = {
    "mode · speed": "mode · speed",
    "connects": "talks",
    "per agent-hour": "/h",
    "occupancy": "busy",
    "agent waits": "waits",
    "abandoned": "abandoned",
    "calls per connect": "dials",
    "lines per agent": "lines",
    "lines at most": "peak",
    "leads left": "left",
    "within the law": "lawful",
}
"""Headings of the report, and the short ones of the terminal."""


def cells(outcome: Outcome) -> tuple[str, ...]:
    """The row of a variant, for the table and the report."""
    result = outcome.result
    return (
        outcome.variant.name,
        f"{result.connects}",
        f"{outcome.per_agent_hour:.1f}",
        f"{100 * outcome.occupancy:.0f} %",
        f"{outcome.wait_s:.0f} s",
        f"{100 * result.abandonment:.2f} %",
        f"{outcome.calls_per_connect:.1f}",
        f"{outcome.lines_per_agent:.2f}",
        f"{result.peak_lines}",
        f"{outcome.leads_left}",
        "yes" if outcome.lawful else "NO",
    )
