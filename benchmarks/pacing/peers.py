"""The dialers compared: our policy through a small adapter, and five other ways to decide how many calls to place."""

from __future__ import annotations

import math
from collections.abc import Callable

from benchmarks.pacing.scenarios import Scenario
from benchmarks.pacing.simulator import CallCentre, Dialer
from daemon.dialer import events as ev
from daemon.dialer.ledger import Ledger
from daemon.dialer.modes import Mode, PacingSettings
from daemon.dialer.pacing import Decision, PacingPolicy


class PolicyDialer:
    """`PacingPolicy` in the simulated centre: turns what the centre tells into pacing events."""

    def __init__(
        self,
        scenario: Scenario,
        level: int = 3,
        speed: int = 10,
        mode: Mode = Mode.PREDICTIVE,
        ring_min_s: float = 15.0,
    ) -> None:
        settings = PacingSettings(
            mode=mode,
            level=level,
            speed=speed,
            ring_timeout_s=scenario.ring_timeout_s,
            ring_min_s=ring_min_s,
            amd=scenario.machines > 0,
            wrap_up_limit_s=scenario.wrap_limit_s,
        )
        self.policy = PacingPolicy(settings, Ledger("bench", "site", settings.windows))
        self.last: Decision | None = None

    def told(self, kind: str, at: float, call: int, agent: int) -> None:
        self.policy.observe(_EVENTS[kind](str(call), f"a{agent}", at))

    def surplus(self, centre: CallCentre, now: float) -> tuple[int, ...]:
        """Calls to hang up because nobody is left for them."""
        return tuple(map(int, self.policy.surplus(self.snapshot(centre, now), now)))

    def count(self, centre: CallCentre, now: float) -> int:
        self.last = self.policy.decide(self.snapshot(centre, now), now)
        return self.last.count

    def snapshot(self, centre: CallCentre, now: float) -> ev.PacingSnapshot:
        hour = int(now // 3600)
        return ev.PacingSnapshot(
            ready=len(centre.ready),
            lines_free=centre.lines_free,
            cps_tokens=centre.tokens,
            waiting=len(centre.waiting),
            hour=f"2026-11-23T{10 + hour:02d}+0100",
            hour_left_s=(hour + 1) * 3600.0 - now,
            day_left_s=max(0.0, centre.shift_s - now),
        )


_EVENTS: dict[str, Callable[[str, str, float], ev.PacingEvent]] = {
    "placed": lambda call, agent, at: ev.CallPlaced(call, at),
    "ringing": lambda call, agent, at: ev.CallRinging(call, at),
    "cancelled": lambda call, agent, at: ev.CallHungUp(call, at),
    "answered": lambda call, agent, at: ev.CallAnswered(call, at),
    "verdict_human": lambda call, agent, at: ev.AmdVerdict(call, at, True),
    "verdict_machine": lambda call, agent, at: ev.AmdVerdict(call, at, False),
    "need": lambda call, agent, at: ev.NeedAgent(call, at),
    "connected": lambda call, agent, at: ev.Connected(call, agent, at),
    "abandoned": lambda call, agent, at: ev.Abandoned(call, at),
    "ended": lambda call, agent, at: ev.CallEnded(call, at),
    "machine": lambda call, agent, at: ev.MachineReported(call, at),
    "ready": lambda call, agent, at: ev.AgentReady(agent, at),
    "wrap": lambda call, agent, at: ev.AgentWrapUp(agent, at),
    "left": lambda call, agent, at: ev.AgentLeft(agent, at),
    "leaving": lambda call, agent, at: ev.AgentLeaving(agent, at),
}


class Counting:
    """Running counts that the simple dialers share."""

    def __init__(self, scenario: Scenario) -> None:
        self.placed = self.needs = self.abandoned = self.connected = 0
        self.mature = 0

    def told(self, kind: str, at: float, call: int, agent: int) -> None:
        if kind == "placed":
            self.placed += 1
        elif kind == "need":
            self.needs += 1
            self.mature += 1
        elif kind == "ended":
            self.mature += 1
        elif kind == "connected":
            self.connected += 1
        elif kind == "abandoned":
            self.abandoned += 1

    @property
    def drop_rate(self) -> float:
        return self.abandoned / max(1, self.abandoned + self.connected)


class Progressive(Counting):
    """One call per ready agent."""

    def count(self, centre: CallCentre, now: float) -> int:
        return max(0, len(centre.ready) - centre.in_flight)


class FixedRatio(Counting):
    """`ratio` calls per ready agent, never mind how they end."""

    def __init__(self, scenario: Scenario, ratio: float) -> None:
        super().__init__(scenario)
        self.ratio = ratio

    def count(self, centre: CallCentre, now: float) -> int:
        return max(0, int(self.ratio * len(centre.ready)) - centre.in_flight)


class AdaptiveLevel(Counting):
    """A dial level moved every 15 s: up with the share of idle agents, down when the day's drop rate is over 3 %."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.level, self.adjusted_at, self.idle_share, self.agents = 1.0, 0.0, 0.0, scenario.agents

    def count(self, centre: CallCentre, now: float) -> int:
        self.idle_share += 0.02 * (len(centre.ready) / self.agents - self.idle_share)
        if now - self.adjusted_at >= 15.0:
            self.adjusted_at = now
            if self.drop_rate > 0.03:
                self.level = max(1.0, self.level * 0.75)
            elif self.drop_rate < 0.025:
                self.level = min(6.0, self.level * (1 + 0.2 * self.idle_share))
        return max(0, round(self.level * len(centre.ready)) - centre.in_flight)


class MeansOnly(Counting):
    """Predicts by averages: agents free by the mean answer delay, over the answer rate; 1:1 above 3 % dropped."""

    DELAY_S = 10.0

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.busy: dict[int, float] = {}
        self.handled_s, self.handled = 0.0, 0

    def told(self, kind: str, at: float, call: int, agent: int) -> None:
        super().told(kind, at, call, agent)
        if kind == "connected":
            self.busy[agent] = at
        elif kind in ("ready", "left") and agent in self.busy:
            self.handled_s += at - self.busy.pop(agent)
            self.handled += 1

    def count(self, centre: CallCentre, now: float) -> int:
        ready = len(centre.ready)
        if self.drop_rate > 0.028 or self.handled < 10:
            return max(0, ready - centre.in_flight)
        mean = self.handled_s / self.handled
        soon = len(self.busy) * min(1.0, self.DELAY_S / mean)
        rate = max(0.05, self.needs / max(1, self.mature))
        return max(0, math.floor((ready + soon) / rate) - centre.in_flight)


PEERS: dict[str, Callable[[Scenario], Dialer]] = {
    "progressive": Progressive,
    "ratio 1.5": lambda scenario: FixedRatio(scenario, 1.5),
    "ratio 2": lambda scenario: FixedRatio(scenario, 2.0),
    "ratio 3": lambda scenario: FixedRatio(scenario, 3.0),
    "adaptive": AdaptiveLevel,
    "means only": MeansOnly,
}
