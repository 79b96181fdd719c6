"""The law, accounted for (features LEGL-05): a day's blocked and made calls by rule; why each call made was allowed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from daemon.api import scope
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Body, Id, IdOrZero, Number, Query
from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign, CampaignMode
from daemon.compliance.evidence import Evidence, article_of, evidence, facts_then
from daemon.compliance.facts import CampaignRules, LeadFacts, calls_companies, facts_of, rules_of
from daemon.compliance.law import may_call
from daemon.compliance.rules import RuleSet
from daemon.errors import CommandError

routes = Routes("/api/v1", "compliance")
ERASED = "~"


class DayQuery(Query, kw_only=True):
    """`day`: the calendar day in `zone`; today if left out."""

    day: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    zone: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")] = "Europe/Paris"
    campaign_id: Id | None = None
    group_id: IdOrZero = 0


class DayReport(Answer, kw_only=True):
    """`refused`: by rule, calls held back and people concerned. `made`: by rule set, calls and what became of them."""

    day: str
    zone: str
    start: datetime
    end: datetime
    refused: list[dict[str, Any]]
    made: list[dict[str, Any]]


class MayCallBody(Body, kw_only=True):
    campaign_id: Id
    number: Number | None = None
    lead_id: IdOrZero = 0


class MayCallAnswer(Answer, kw_only=True):
    """The verdict of this instant; `until` is the next instant at which it may be allowed; `article`: of the law, ""
    for a limit of the operator's own. `evidence`: what is known now, rule by rule. `lead_id`: the lead it was asked of,
    0 = none has the number."""

    allowed: bool
    rule: str
    clause: str
    until: datetime | None
    rule_set: str
    article: str
    lead_id: int
    evidence: list[Evident]


class Evident(Answer, kw_only=True):
    """A rule's part in a verdict: its clause, and what was known, in English and French."""

    rule: str
    clause: str
    allowed: bool
    known: str
    known_fr: str


class CallAccount(Answer, kw_only=True):
    """One call: whether the law, as recorded, allowed it at that instant (null: made under no rule set), and how."""

    number: int
    at: datetime
    kind: str
    campaign_id: int
    rule_set: str
    allowed: bool | None
    evidence: list[Evident]


@routes.get("/compliance/day", permission=Permission.WATCH, query=DayQuery, reply=DayReport)
async def compliance_day(ask: Ask) -> Reply:
    """A day's account: calls held back by rule, calls made by rule set."""
    query: DayQuery = ask.query
    start, end, day = day_of(query, ask.deps.clock.utcnow())
    await scope.check_campaign(ask, query.campaign_id)
    given: dict[str, Any] = {"start": start, "end": end, "group_id": scope.home_group(ask, query.group_id)}
    if query.campaign_id:
        given["campaign_id"] = query.campaign_id
    refused = await ask.deps.store.report("refused_by_rule", **given)
    made = await ask.deps.store.report("calls_by_rule_set", **given)
    return Reply(DayReport(day=str(day), zone=query.zone, start=start, end=end, refused=refused, made=made))


def day_of(query: DayQuery, now: datetime) -> tuple[datetime, datetime, date]:
    """(start, end, day) of the calendar day asked for. Raises field_invalid."""
    try:
        zone = ZoneInfo(query.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        details = {"field": "zone", "value": query.zone, "allowed": "a zone such as Europe/Paris"}
        raise CommandError("field_invalid", details) from error
    try:
        day = date.fromisoformat(query.day) if query.day else now.astimezone(zone).date()
        start, end = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
        start.astimezone(UTC)  # in our zones the calendar's first day begins before the calendar
    except (ValueError, OverflowError) as error:
        details = {"field": "day", "value": str(query.day), "allowed": "a day such as 2026-11-23"}
        raise CommandError("field_invalid", details) from error
    return start, end, day


@routes.get("/leads/{id}/lawfulness", permission=Permission.WATCH, reply=list[CallAccount])
async def lawfulness(ask: Ask) -> Reply:
    """Why each call made to this person was allowed, rule by rule, newest first."""
    lead: Lead | None = await ask.deps.store.lead_facts(ask.id)
    if lead is None or not ask.who.sees_campaign(lead.group_id, lead.campaign_id):
        raise CommandError("not_found", {"what": f"Lead {ask.id}"})
    held = await ask.deps.store.person(lead.group_id, lead.e164)
    row = next((row for row in held["leads"] if row["id"] == lead.id), None)
    if row is None or lead.e164.startswith(ERASED):
        raise CommandError("not_found", {"what": f"Lead {ask.id}: erased"})
    made = [a for a in held["attempts"] if a["lead_id"] == lead.id and a["outcome"] != "not_placed"]
    return Reply([await _account(ask, row, held, a) for a in reversed(made) if a["kind"] != "inbound"])


async def _account(ask: Ask, lead: dict[str, Any], held: dict[str, Any], attempt: dict[str, Any]) -> CallAccount:
    rule_set, found = ask.deps.rule_sets.get(attempt["rule_set"]), []
    if rule_set is not None:
        campaign = await ask.deps.store.get(Campaign, attempt["campaign_id"])
        facts = facts_then(lead, held, attempt["client_id"], attempt["at"])
        found = evidence(facts, _law_alone(rule_set, campaign), attempt["at"])
    return CallAccount(
        number=attempt["number"],
        at=attempt["at"],
        kind=attempt["kind"],
        campaign_id=attempt["campaign_id"],
        rule_set=attempt["rule_set"],
        allowed=all(each.allowed for each in found) if rule_set is not None else None,
        evidence=[_evident(each) for each in found],
    )


def _evident(each: Evidence) -> Evident:
    return Evident(rule=each.rule, clause=each.clause, allowed=each.allowed, known=each.known, known_fr=each.known_fr)


def _law_alone(rule_set: RuleSet, campaign: Campaign | None) -> CampaignRules:
    """The rule set without the operator's own limits, which are of today and not of then."""
    return CampaignRules(
        rule_set=rule_set,
        gap_min_s=0.0,
        zone=campaign.zone if campaign else "Europe/Paris",
        running_contract=campaign is not None and campaign.running_contract,
        business=calls_companies(campaign, rule_set),
        agent_reserved=campaign is None or campaign.mode is not CampaignMode.PREDICTIVE,
    )


@routes.post("/compliance/check", permission=Permission.WATCH, body=MayCallBody, reply=MayCallAnswer)
async def check_may_call(ask: Ask) -> Reply:
    """May this person be called now, for this campaign, and by which proof? The same law as the dialler's."""
    campaign = await scope.get(ask, Campaign, ask.body.campaign_id)
    rule_set = ask.deps.rule_sets.get(campaign.rule_set)
    if rule_set is None:
        raise CommandError("not_available", {"what": f"rule set {campaign.rule_set}"})
    now = ask.deps.clock.utcnow()
    lead_id, facts = await _facts(ask, campaign, now)
    rules = rules_of(campaign, rule_set)
    verdict = may_call(facts, rules, now)
    return Reply(
        MayCallAnswer(
            allowed=verdict.allowed,
            rule=verdict.rule.value,
            clause=verdict.clause,
            until=verdict.until,
            rule_set=rule_set.id,
            article=article_of(rule_set, verdict.rule),
            lead_id=lead_id,
            evidence=[_evident(each) for each in evidence(facts, rules, now)],
        )
    )


async def _facts(ask: Ask, campaign: Campaign, now: datetime) -> tuple[int, LeadFacts]:
    """What is known of the person: of the lead named, of one with that number (this campaign's first), or, without any,
    of the number itself: red list, consents, calls, refusals."""
    store = ask.deps.store
    if ask.body.lead_id:
        lead: Lead | None = await store.lead_facts(ask.body.lead_id)
        if lead is None or not ask.who.sees_campaign(lead.group_id, lead.campaign_id):
            raise CommandError("not_found", {"what": f"Lead {ask.body.lead_id}"})
        return lead.id, facts_of(lead)
    if not ask.body.number:
        raise CommandError("field_missing", {"field": "number"})
    e164 = e164_of(ask.body.number, "number")
    for filters in ({"phone": e164, "campaign_id": campaign.id}, {"phone": e164}):
        page = await store.search_leads(campaign.group_id, filters, 50, None)
        found = next((row["id"] for row in page.rows if row["e164"] == e164), 0)
        lead = await store.lead_facts(found) if found else None
        if lead is not None:
            return lead.id, facts_of(lead)
    held = await store.number_history(campaign.group_id, e164)
    unknown = {"consent_at": None, "consent_out_of_hours": False, "consent_automated": False, "running_contract": False}
    return 0, facts_then({"e164": e164, "postal_code": "", **unknown}, held, campaign.client_id, now)
