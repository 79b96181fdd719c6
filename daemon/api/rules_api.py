"""The rule sets that a campaign may be under, with the bounds that stand beside the fields they bound (LEGL-01)."""

from __future__ import annotations

from datetime import date

from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, NoQuery
from daemon.compliance.rules import RuleSet

routes = Routes("/api/v1", "compliance")


class RuleSetView(Answer, kw_only=True):
    """A rule set and its bounds; `attempts_max` None: none; `refusal_days` 0: no silence after a refusal."""

    id: str
    title: str
    country: str
    valid_from: date
    valid_to: date | None = None
    attempts_max: int | None = None
    attempts_days: int = 0
    abandonment_rate_max: float
    ring_time_s_min: float
    refusal_days: int = 0
    consent_required: bool


class RuleSetsAnswer(Answer, kw_only=True):
    rows: list[RuleSetView]


def _view(rules: RuleSet) -> RuleSetView:
    return RuleSetView(
        id=rules.id,
        title=rules.title,
        country=rules.country,
        valid_from=rules.valid_from,
        valid_to=rules.valid_to,
        attempts_max=rules.attempts.max if rules.attempts else None,
        attempts_days=rules.attempts.days if rules.attempts else 0,
        abandonment_rate_max=rules.abandonment.rate_max,
        ring_time_s_min=rules.abandonment.ring_time_s_min,
        refusal_days=rules.refusal.days if rules.refusal else 0,
        consent_required=rules.consent.required,
    )


@routes.get("/rule-sets", permission=Permission.WATCH, query=NoQuery, reply=RuleSetsAnswer)
async def rule_sets(ask: Ask) -> Reply:
    """All rule sets of this daemon, by id."""
    known = ask.deps.rule_sets
    return Reply(RuleSetsAnswer(rows=[_view(known[id]) for id in sorted(known)]))
