"""The law, accounted for (features LEGL-05): a day's blocked and made calls by rule; why each call made was allowed."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Id, IdOrZero, Query
from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign, CampaignMode
from daemon.compliance.evidence import evidence, facts_then
from daemon.compliance.facts import CampaignRules, calls_companies
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


class Evident(Answer, kw_only=True):
    rule: str
    clause: str
    allowed: bool
    known: str


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
    start, end, day = _day(query, ask.deps.clock.utcnow())
    await scope.check_campaign(ask, query.campaign_id)
    given: dict[str, Any] = {"start": start, "end": end, "group_id": scope.home_group(ask, query.group_id)}
    if query.campaign_id:
        given["campaign_id"] = query.campaign_id
    refused = await ask.deps.store.report("refused_by_rule", **given)
    made = await ask.deps.store.report("calls_by_rule_set", **given)
    return Reply(DayReport(day=str(day), zone=query.zone, start=start, end=end, refused=refused, made=made))


def _day(query: DayQuery, now: datetime) -> tuple[datetime, datetime, date]:
    try:
        zone = ZoneInfo(query.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        details = {"field": "zone", "value": query.zone, "allowed": "a zone such as Europe/Paris"}
        raise CommandError("field_invalid", details) from error
    try:
        day = date.fromisoformat(query.day) if query.day else now.astimezone(zone).date()
        next_day = day + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        details = {"field": "day", "value": str(query.day), "allowed": "a day such as 2026-11-23"}
        raise CommandError("field_invalid", details) from error
    return datetime.combine(day, time(), zone), datetime.combine(next_day, time(), zone), day


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
        evidence=[Evident(rule=e.rule, clause=e.clause, allowed=e.allowed, known=e.known) for e in found],
    )


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
