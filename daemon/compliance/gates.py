"""What is asked beside `may_call`: which number may be shown, may a machine speak, is a campaign lawful.

Pure. Called when a campaign is saved or activated, when a caller ID is leased, and before a message is played.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from daemon.compliance.facts import CampaignRules, LeadFacts
from daemon.compliance.law import ALLOWED, Rule, Verdict, consent_valid
from daemon.compliance.rules import Audience, RuleSet


def caller_id_allowed(rule_set: RuleSet, did: str, owned: Collection[str], at: datetime) -> Verdict:
    """Whether `did` (E.164) may be presented at `at`: owned by us, under an allowed prefix, under no forbidden one.

    LEGL-10, features D8. Prefixes are dated; `until` is the day one comes into force, if that alone is missing.
    """
    rule, today = rule_set.caller_id, at.astimezone(UTC).date()
    if did not in owned:
        return Verdict(False, Rule.CALLER_ID, "not one of the numbers this group owns")
    for prefix in rule.deny:
        if prefix.matches(did, today):
            until = _midnight(prefix.until) if prefix.until else None
            return Verdict(False, Rule.CALLER_ID, f"{rule.clause}: numbers in {prefix.prefix} may not be shown", until)
    if not rule.allow or any(prefix.matches(did, today) for prefix in rule.allow):
        return ALLOWED
    later = sorted(p.since for p in rule.allow if did.startswith(p.prefix) and p.since > today)
    text = f"{rule.clause}: not in a prefix set apart for canvassing"
    return Verdict(False, Rule.CALLER_ID, text, _midnight(later[0]) if later else None)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def may_play_message(facts: LeadFacts, rules: CampaignRules, at: datetime) -> Verdict:
    """Whether a machine may speak to this person or their answering machine (features D25).

    The safe-harbour message of an abandoned call is not one of these: the rules on abandonment require it.
    """
    rule = rules.rule_set.automated_message
    if rule.policy == "allowed":
        return ALLOWED
    if rule.policy == "forbidden":
        return Verdict(False, Rule.AUTOMATED_MESSAGE, f"{rule.clause}: automated messages are forbidden")
    if facts.consent_automated and consent_valid(facts, rules.rule_set, at):
        return ALLOWED
    return Verdict(False, Rule.AUTOMATED_MESSAGE, f"{rule.clause}: no consent to automated messages")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a campaign can't be saved or activated. `field` is the campaign's; `code` is stable; `text` is for people."""

    field: str
    code: str
    text: str


def campaign_problems(
    rules: CampaignRules, caller_ids: Collection[str], owned: Collection[str], at: datetime
) -> tuple[Problem, ...]:
    """Everything that makes a campaign unlawful as configured; () if it may be activated.

    LEGL-01 (LimiteNum above the law's), LEGL-04, LEGL-10, and features D3 on windows wider than the law.
    """
    found = []
    rule_set = rules.rule_set
    law = rule_set.attempts
    if law is not None and not 0 < rules.attempts_max <= law.max:
        text = f"{law.clause}: between 1 and {law.max} attempts"
        found.append(Problem("attempts_max", "attempts_above_law", text))
    if rule_set.hours.wider_than_law and rule_set.audience is Audience.CONSUMER and not rules.business:
        text = f"{rule_set.id} needs a business campaign or each person's agreement to calls out of hours"
        found.append(Problem("rule_set", "hours_wider_than_law", text))
    today = at.astimezone(UTC).date()
    if today < rule_set.valid_from or (rule_set.valid_to is not None and today > rule_set.valid_to):
        found.append(Problem("rule_set", "rule_set_not_in_force", f"{rule_set.id} is not in force on {today}"))
    for did in caller_ids:
        verdict = caller_id_allowed(rule_set, did, owned, at)
        if not verdict.allowed:
            found.append(Problem("caller_ids", "caller_id_forbidden", f"{did}: {verdict.clause}"))
    return tuple(found)
