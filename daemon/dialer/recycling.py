"""What becomes of a lead after an attempt: callable again, when, or held, by what (RECY-01…05, STAT-02).

A campaign's rules name outcomes or status codes. Without a rule for it, an outcome that never reached the person comes
back after a short technical delay, and one that did is finished: only chosen outcomes return (RECY-01).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.calls.causes import Outcome
from daemon.calls.records import RecyclingRule, Status

TECHNICAL_DELAY_S = 600.0
"""Our own failures (congestion, nobody at the agent's phone): long enough for a trunk to recover, short of a shift."""

TECHNICAL_MAX = 5
"""Technical returns a lead may have in a row of attempts before somebody must look (features D34: own limit)."""

_TECHNICAL = frozenset(
    {Outcome.CONGESTION, Outcome.FAILED, Outcome.NOT_PLACED, Outcome.AGENT_NO_ANSWER, Outcome.CANCELLED}
)
_AFTER_GAP = frozenset({Outcome.UNKNOWN, Outcome.PBX_LOST})
_DEAD_NUMBER = frozenset({Outcome.UNALLOCATED, Outcome.FAX})


@dataclass(frozen=True, slots=True)
class LeadNext:
    """`eligible_at` UTC with `blocked_by` "recycling" (or "" = now); None with a final `blocked_by` = held for good.
    `priority`: its place among the leads that are due (RECY-04), "" = as it was."""

    eligible_at: datetime | None
    blocked_by: str
    recycled: bool = False
    priority: str = ""


def after_outcome(
    outcome: Outcome, rules: Sequence[RecyclingRule], recycled: int, attempts: int, gap_min_s: float, now: datetime
) -> LeadNext:
    """The lead after an attempt that nobody disposed of. `recycled`: returns so far; `attempts`: attempts so far."""
    rule = next((rule for rule in rules if rule.on == outcome), None)
    if rule is not None:
        return _by_rule(rule, recycled, gap_min_s if outcome not in _TECHNICAL else 0.0, now)
    if outcome in _TECHNICAL:
        if attempts >= TECHNICAL_MAX:
            return LeadNext(None, "technical_limit")
        return LeadNext(now + timedelta(seconds=TECHNICAL_DELAY_S), "recycling")
    if outcome in _AFTER_GAP:
        return LeadNext(now + timedelta(seconds=gap_min_s), "recycling")
    if outcome in _DEAD_NUMBER:
        return LeadNext(None, "bad_number")
    if outcome is Outcome.CONNECTED:
        return LeadNext(None, "disposition")
    return LeadNext(None, "done")


def after_status(
    status: Status,
    rules: Sequence[RecyclingRule],
    recycled: int,
    gap_min_s: float,
    callback_at: datetime | None,
    now: datetime,
) -> LeadNext:
    """The lead after an agent's status code. A callback wins over a rule; a refusal or final flag over everything."""
    if status.final or status.not_workable:
        return LeadNext(None, "final")
    if status.not_interested:
        return LeadNext(None, "refusal")
    if status.callback and callback_at is not None:
        return LeadNext(callback_at, "callback")
    rule = next((rule for rule in rules if rule.on == status.code), None)
    if rule is not None:
        return _by_rule(rule, recycled, gap_min_s, now)
    return LeadNext(None, "done")


def _by_rule(rule: RecyclingRule, recycled: int, gap_min_s: float, now: datetime) -> LeadNext:
    if recycled >= rule.max_count:
        return LeadNext(None, "recycled_out")
    at = now + timedelta(seconds=max(rule.delay_s, gap_min_s))
    return LeadNext(at, "recycling", recycled=True, priority=rule.priority)
