"""May this person be called now? By which rule not, and from when again?

In: `LeadFacts` (what is known of one person, for one client), `CampaignRules` (a rule set and the operator's own,
always stricter, wishes) and an instant. Out: `Verdict`. Pure. Asked by the engine just before each originate, by the
store for `eligible_at`/`blocked_by`, by the pages for "why is it not dialling?".

The rules are asked in the order of `Rule`; the first that binds is named. `until` looks at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from daemon.compliance.facts import CampaignRules, LeadFacts
from daemon.compliance.numbers import NEVER_DIALLED, NumberKind, classify
from daemon.compliance.rules import RuleSet
from daemon.compliance.schedule import Calendar, Opening, is_open, next_opening, open_spans, opening, union
from daemon.compliance.zones import Place, holidays_of, instants, local_date, parse_group, places


class Rule(StrEnum):
    """What may forbid a call, in the order asked; stable ids for logs, reports and pages. ALLOWED forbids nothing.

    The last two are asked apart (`gates`): they forbid a caller ID or a message, not the call.
    """

    ALLOWED = "allowed"
    RULE_SET = "rule_set"
    DNC = "dnc"
    NUMBER = "number"
    ZONE = "zone"
    CONSENT = "consent"
    OUT_OF_HOURS = "out_of_hours"
    ATTEMPTS = "attempts"
    REFUSAL = "refusal"
    CAMPAIGN_LIMIT = "campaign_limit"
    RECALL = "recall"
    MIN_GAP = "min_gap"
    HOLIDAY = "holiday"
    HOURS = "hours"
    CAMPAIGN_HOURS = "campaign_hours"
    TECHNICAL = "technical"
    CALLBACK = "callback"
    LEAD = "lead"
    CALLER_ID = "caller_id"
    AUTOMATED_MESSAGE = "automated_message"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`allowed`, or the first rule that binds, its clause in words, and `until`: the instant from which a call may be
    allowed again if nothing else happens (None: never, as far as these facts go; also None when allowed)."""

    allowed: bool
    rule: Rule
    clause: str = ""
    until: datetime | None = None


ALLOWED = Verdict(True, Rule.ALLOWED)


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One question: facts, rules, and the places found once."""

    facts: LeadFacts
    rules: CampaignRules
    places: tuple[Place, ...]
    group: str


_Block = tuple[Rule, str, datetime | None]
"""A binding rule, its clause, and when it alone lets go (None: never)."""


def may_call(facts: LeadFacts, rules: CampaignRules, at: datetime) -> Verdict:
    """Whether the person may be called at `at` (aware UTC), every rule considered."""
    return _judge(_case(facts, rules), at, _ALL)


def eligibility(facts: LeadFacts, rules: CampaignRules, at: datetime) -> Verdict:
    """As `may_call`, opening hours left out: what the store keeps as `eligible_at`/`blocked_by`, since hours are asked
    by tz_group at claim time."""
    return _judge(_case(facts, rules), at, _WITHOUT_HOURS)


def open_groups(groups: Iterable[str], rules: CampaignRules, at: datetime) -> dict[str, Opening]:
    """For each tz_group: open or not, and until when. The unknown group is never open."""
    return {group: opening(rules.calendars(group), at) for group in groups}


def calling_spans(
    groups: Iterable[str], rules: CampaignRules, at: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """When, from `at` to `until`, at least one of the tz_groups may be called: stretches in order."""
    return union(span for group in groups for span in open_spans(rules.calendars(group), at, until))


def next_call_window(group: str, rules: CampaignRules, at: datetime) -> datetime | None:
    """The first instant from `at` on inside every window of the group; None if never."""
    calendars = rules.calendars(group)
    return next_opening(calendars, at) if calendars else None


def _case(facts: LeadFacts, rules: CampaignRules) -> _Case:
    if facts.tz_group:
        return _Case(facts, rules, parse_group(facts.tz_group), facts.tz_group)
    found = places(facts.e164, facts.postal_code)
    return _Case(facts, rules, found, "|".join(map(str, found)) or "?")


def _judge(case: _Case, at: datetime, checks: tuple[Callable[[_Case, datetime], _Block | None], ...]) -> Verdict:
    block = _first(case, at, checks)
    if block is None:
        return ALLOWED
    rule, clause, release = block
    while release is not None:
        later = _first(case, release, checks)
        if later is None:
            break
        release = later[2]
    return Verdict(False, rule, clause, release)


def _first(case: _Case, at: datetime, checks: tuple[Callable[[_Case, datetime], _Block | None], ...]) -> _Block | None:
    for check in checks:
        block = check(case, at)
        if block is not None:
            return block
    return None


def _rule_set(case: _Case, at: datetime) -> _Block | None:
    rule_set, zone = case.rules.rule_set, case.rules.zone
    today = local_date(at, zone)
    if today < rule_set.valid_from:
        return Rule.RULE_SET, f"{rule_set.id} is not in force yet", instants(rule_set.valid_from, 0, zone)[1]
    if rule_set.valid_to is not None and today > rule_set.valid_to:
        return Rule.RULE_SET, f"{rule_set.id} is no longer in force", None
    return None


def _dnc(case: _Case, at: datetime) -> _Block | None:
    return (Rule.DNC, f"do not call: {case.facts.dnc}", None) if case.facts.dnc else None


def _number(case: _Case, at: datetime) -> _Block | None:
    kind = classify(case.facts.e164)
    if kind in NEVER_DIALLED or (kind is NumberKind.SPECIAL and not case.rules.special_allowed):
        return Rule.NUMBER, f"{kind.value} numbers are never dialled by a campaign", None
    return None


def _zone(case: _Case, at: datetime) -> _Block | None:
    return None if case.places else (Rule.ZONE, "the called person's time zone is unknown", None)


def consent_valid(facts: LeadFacts, rule_set: RuleSet, at: datetime) -> bool:
    """Whether a consent holds at `at`: given, not too old, not past its own end, not revoked since."""
    given = facts.consent_at
    if given is None or given > at or _revoked(facts, at):
        return False
    days = rule_set.consent.valid_days
    fresh = days == 0 or at < given + timedelta(days=days)
    return fresh and (facts.consent_until is None or at < facts.consent_until)


def _revoked(facts: LeadFacts, at: datetime) -> bool:
    """A revocation wins over every consent given before it, and at the same instant."""
    revoked = facts.consent_revoked_at
    return revoked is not None and revoked <= at and (facts.consent_at is None or facts.consent_at <= revoked)


def _consent(case: _Case, at: datetime) -> _Block | None:
    facts, rules, rule = case.facts, case.rules, case.rules.rule_set.consent
    if not rule.required or (rule.business_exempt and rules.business):
        return None
    if _revoked(facts, at):
        return Rule.CONSENT, f"{rule.clause}: consent revoked", None
    if consent_valid(facts, rules.rule_set, at):
        return None
    if rule.contract_exception and facts.running_contract and rules.running_contract:
        return None
    if facts.consent_at is None:
        return Rule.CONSENT, f"{rule.clause}: no consent", None
    if facts.consent_at > at:
        return Rule.CONSENT, f"{rule.clause}: consent not given yet", facts.consent_at
    return Rule.CONSENT, f"{rule.clause}: consent expired", None


def _out_of_hours(case: _Case, at: datetime) -> _Block | None:
    """Windows wider than the law need a business campaign or the person's own, still valid, agreement to them."""
    hours = case.rules.rule_set.hours
    if not hours.wider_than_law or case.rules.business:
        return None
    if case.facts.consent_out_of_hours and consent_valid(case.facts, case.rules.rule_set, at):
        return None
    return Rule.OUT_OF_HOURS, f"{hours.clause}: no agreement to calls outside the legal hours", None


def _midnight_after(at: datetime, days: int, where: tuple[Place, ...]) -> datetime:
    """The last instant, over all places, at which the local day `days` after that of `at` begins."""
    return max(instants(local_date(at, p.zone) + timedelta(days=days), 0, p.zone)[1] for p in where)


def _attempts(case: _Case, at: datetime) -> _Block | None:
    """Features D32: an attempt weighs for 30 × 24 h, and while its local date is one of the last 30, today included."""
    rule = case.rules.rule_set.attempts
    if rule is None or len(case.facts.attempt_times) < rule.max:
        return None
    span = timedelta(days=rule.days)
    ends = sorted(
        (
            max(made + span, _midnight_after(made, rule.days, case.places))
            for made in case.facts.attempt_times
            if made <= at
        ),
        reverse=True,
    )
    if len(ends) < rule.max or ends[rule.max - 1] <= at:
        return None
    return Rule.ATTEMPTS, f"{rule.clause}: {rule.max} attempts in {rule.days} days", ends[rule.max - 1]


def _refusal(case: _Case, at: datetime) -> _Block | None:
    rule, refused = case.rules.rule_set.refusal, case.facts.refused_at
    if rule is None or refused is None or refused > at:
        return None
    release = _midnight_after(refused, rule.days + 1, case.places)
    return (
        (Rule.REFUSAL, f"{rule.clause}: {rule.days} days of silence after a refusal", release) if at < release else None
    )


def _campaign_limit(case: _Case, at: datetime) -> _Block | None:
    limit = case.rules.attempts_max
    if limit and case.facts.attempts >= limit:
        return Rule.CAMPAIGN_LIMIT, f"the campaign's own limit of {limit} attempts", None
    return None


def _recall(case: _Case, at: datetime) -> _Block | None:
    rule, abandoned = case.rules.rule_set.abandonment, case.facts.abandoned_at
    if not rule.redial_h or abandoned is None or abandoned > at or case.rules.agent_reserved:
        return None
    release = abandoned + timedelta(hours=rule.redial_h)
    text = f"{rule.clause}: after an abandoned call only with an agent kept for it, for {rule.redial_h:g} h"
    return (Rule.RECALL, text, release) if at < release else None


def _min_gap(case: _Case, at: datetime) -> _Block | None:
    """The operator's own spacing; a callback the person asked for may come sooner."""
    facts = case.facts
    past = [made for made in (*facts.attempt_times, facts.last_attempt_at) if made is not None and made <= at]
    if not past or case.rules.gap_min_s <= 0:
        return None
    last = max(past)
    release = last + timedelta(seconds=case.rules.gap_min_s)
    if facts.callback_at is not None and last < facts.callback_at < release:
        release = facts.callback_at
    return (
        (Rule.MIN_GAP, f"less than {case.rules.gap_min_s:g} s since the last attempt", release)
        if at < release
        else None
    )


def _hours(case: _Case, at: datetime) -> _Block | None:
    rules = case.rules
    calendars = rules.calendars(case.group)
    if all(is_open(calendar, at) for calendar in calendars):
        return None
    release = next_opening(calendars, at)
    clause = rules.rule_set.hours.clause
    country = rules.legal.holidays
    for place in case.places:
        day = local_date(at, place.zone)
        if day in holidays_of(country, place.area, day.year):
            return Rule.HOLIDAY, f"{clause}: public holiday {day} in {place.zone}", release
    for place in case.places:
        if not is_open(Calendar(rules.legal, place), at):
            return Rule.HOURS, f"{clause}: outside the legal hours in {place.zone}", release
    return Rule.CAMPAIGN_HOURS, "outside the campaign's own hours", release


def _technical(case: _Case, at: datetime) -> _Block | None:
    rule = case.rules.rule_set.technical
    span = timedelta(hours=rule.hours)
    ends = sorted((made + span for made in case.facts.technical_times if made <= at), reverse=True)
    if len(ends) < rule.max or ends[rule.max - 1] <= at:
        return None
    return Rule.TECHNICAL, f"{rule.max} technical failures in {rule.hours:g} h", ends[rule.max - 1]


def _callback(case: _Case, at: datetime) -> _Block | None:
    due = case.facts.callback_at
    return (Rule.CALLBACK, "a callback is agreed for later", due) if due is not None and due > at else None


def _lead(case: _Case, at: datetime) -> _Block | None:
    facts = case.facts
    if facts.closed:
        return Rule.LEAD, "the lead is finished", None
    if not facts.list_active:
        return Rule.LEAD, "its list is switched off", None
    if facts.not_before is not None and facts.not_before > at:
        return Rule.LEAD, "not before its recycling delay is over", facts.not_before
    return None


_BEFORE_HOURS = (_rule_set, _dnc, _number, _zone, _consent, _out_of_hours, _attempts, _refusal, _campaign_limit,
                 _recall, _min_gap)  # fmt: skip
_AFTER_HOURS = (_technical, _callback, _lead)
_ALL = (*_BEFORE_HOURS, _hours, *_AFTER_HOURS)
_WITHOUT_HOURS = _BEFORE_HOURS + _AFTER_HOURS
