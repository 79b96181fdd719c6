"""Dialing modes, level and speed, and what they mean for pacing: one number, the target share of abandoned calls.

The six modes of the trade map to engine modes: MANUEL manual, PREVIEW preview, TURBO progressive, AUTOMATIQUE1-3
predictive at level 1-3, Réception inbound.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.dialer.ledger import Window
from daemon.errors import SettingsError


class Mode(StrEnum):
    """Who starts a call."""

    MANUAL = "manual"  # the agent types the number
    PREVIEW = "preview"  # the agent sees the lead, then accepts
    PROGRESSIVE = "progressive"  # one call per ready agent
    PREDICTIVE = "predictive"  # calls for agents who are about to be ready
    INBOUND = "inbound"  # nobody: agents only take calls


TRADE_MODES: dict[str, tuple[Mode, int]] = {
    "MANUEL": (Mode.MANUAL, 1),
    "PREVIEW": (Mode.PREVIEW, 1),
    "TURBO": (Mode.PROGRESSIVE, 1),
    "AUTOMATIQUE1": (Mode.PREDICTIVE, 1),
    "AUTOMATIQUE2": (Mode.PREDICTIVE, 2),
    "AUTOMATIQUE3": (Mode.PREDICTIVE, 3),
    "RECEPTION": (Mode.INBOUND, 1),
}

LEVEL_TARGETS = {1: 0.01, 2: 0.02, 3: 0.03}
SPEED_MAX = 10

HOUR_AND_DAY = (Window("hour", 0, 0.03, tolerance=0.6), Window("day", 1, 0.03))
"""Default windows: each clock hour (with part of a call of tolerance) and each calendar day under 3 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingSettings:
    """Everything a policy is built from; plain numbers. Replaced as a whole by `PacingPolicy.configure`."""

    mode: Mode = Mode.PREDICTIVE
    level: int = 3
    """1..3: target of 1, 2 or 3 % abandoned at full speed."""
    speed: int = 10
    """0..10: tenths of the level's target; 0 is progressive."""
    ceiling: float = 0.03
    """The rule set's limit on abandoned / live answers, 0..1; the target never exceeds it."""
    windows: tuple[Window, ...] = HOUR_AND_DAY
    connect_deadline_s: float = 2.0
    """From needing an agent to hearing one; later is abandoned."""
    ring_timeout_s: float = 20.0
    ring_min_s: float = 15.0
    """What the rule set asks that a phone rings for at least; calls are hung up sooner only before it rings."""
    amd: bool = False
    """Answering-machine detection between answer and agent."""
    cps_limit: float = 1_000_000.0
    """Originates per second, of the trunk or the rule; figures only, tokens come with the snapshot."""
    line_limit: int = 1_000_000
    """Calls of this campaign at once, in flight and connected."""
    wrap_up_limit_s: float | None = None
    """Wrap-up is cut to ready after this long, if set."""
    seed: int = 0
    """For tie-breaking only; the policy as it is draws no random number."""

    def __post_init__(self) -> None:
        if self.level not in LEVEL_TARGETS:
            raise SettingsError("level", self.level, "1, 2 or 3")
        if not 0 <= self.speed <= SPEED_MAX:
            raise SettingsError("speed", self.speed, "0 to 10")
        if not 0.0 <= self.ceiling <= 1.0:
            raise SettingsError("ceiling", self.ceiling, "a share from 0 to 1")
        if self.ring_timeout_s < 15.0:
            raise SettingsError(
                "ring_timeout_s", self.ring_timeout_s, "15 or more: people must have the time to answer"
            )


def target(settings: PacingSettings) -> float:
    """Share of live answers that may be abandoned (alpha), 0..1: level x speed / 10, never over the ceiling."""
    if settings.mode is not Mode.PREDICTIVE:
        return 0.0
    return min(LEVEL_TARGETS[settings.level] * settings.speed / SPEED_MAX, settings.ceiling)
