"""The compliance panel's figures: where calling is allowed now, who was refused, consents, red lists (LEGL-05).

Each figure is a named query (`store/sql`), each count has the list of what it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta

from daemon.api import scope
from daemon.api.compliance_api import DayQuery, day_of
from daemon.api.leads_api import shown
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import After, Answer, GroupQuery, Limit, NoQuery
from daemon.calls.records import Campaign, CampaignState
from daemon.compliance.evidence import article_of
from daemon.compliance.facts import CampaignRules
from daemon.compliance.law import Rule, next_call_window, open_groups
from daemon.compliance.rules import RuleSet
from daemon.compliance.zones import UNKNOWN_GROUP, holidays_of, local_date, parse_group, tz_group, zone
from daemon.errors import CommandError

routes = Routes("/api/v1", "compliance")

CAMPAIGNS_MAX = 100
"""Campaigns whose people's places are looked up for one answer; each costs a few index probes."""

CONSENTS_KEPT = timedelta(minutes=1)
"""How long a count of consents is given again: it reads every consent there is."""

_PARIS = tz_group("+33100000000")


class PlaceHours(Answer, kw_only=True):
    """Where people are: `local` time there, `open` now or not, until when (UTC, and on the clock there)."""

    group: str
    zone: str
    area: str
    local: str
    open: bool
    holiday: bool
    until: datetime | None
    until_local: str
    until_day: str


class RuleSetHours(Answer, kw_only=True):
    """A rule set in force for some campaign, its weekly windows, and how it stands in each place."""

    rule_set: str
    title: str
    clause: str
    valid_from: str
    campaigns: int
    windows: list[dict[str, Any]]
    places: list[PlaceHours]


class HoursAnswer(Answer, kw_only=True):
    computed_at: datetime
    rule_sets: list[RuleSetHours]


class RefusalQuery(DayQuery, kw_only=True):
    """`rule` and `rule_set` as the day's account names them."""

    rule: Annotated[str, Meta(pattern=r"^[a-z_]{1,40}$")] | None = None
    rule_set: Annotated[str, Meta(max_length=80)] | None = None
    limit: Limit = 50
    after: After | None = None


class RefusalPage(Answer, kw_only=True):
    """Calls held back, newest first. `article`: the law's clause, "" for the operator's own limit."""

    computed_at: datetime
    rows: list[dict[str, Any]]
    next_after: str | None = None


class RegisterAnswer(Answer, kw_only=True):
    """Red lists by client, and consents by state (`register`: people asked; `leads`: leads that came with one) under
    the age that `rule_set` gives a consent (`valid_days`, 0 = none). `consents_at`: when they were counted."""

    computed_at: datetime
    day: str
    red_lists: list[dict[str, Any]]
    consents: list[dict[str, Any]]
    consents_at: datetime
    rule_set: str
    valid_days: int


@routes.get("/compliance/hours", permission=Permission.WATCH, query=GroupQuery, reply=HoursAnswer)
async def legal_hours(ask: Ask) -> Reply:
    """Legal hours where the people are: by rule set in use and place, open or shut now, and until when."""
    now = ask.deps.clock.utcnow()
    campaigns = await _at_work(ask)
    groups = {_PARIS: None}
    for campaign in campaigns[:CAMPAIGNS_MAX]:
        groups |= dict.fromkeys(await ask.deps.store.tz_groups(campaign.id))
    groups.pop(UNKNOWN_GROUP, None)
    used: dict[str, list[Campaign]] = {}
    for campaign in campaigns:
        used.setdefault(campaign.rule_set, []).append(campaign)
    found = []
    for name, users in used.items():
        rule_set = ask.deps.rule_sets.get(name)
        if rule_set is not None:
            found.append(_hours(rule_set, len(users), list(groups), now))
    return Reply(HoursAnswer(computed_at=now, rule_sets=found))


async def _at_work(ask: Ask) -> list[Campaign]:
    """The group's campaigns that are not stopped, those that dial first; all of them if all are stopped."""
    rows = await scope.all_of(ask, Campaign, scope.home_group(ask, ask.query.group_id))
    working = [row for row in rows if row.state is not CampaignState.STOPPED]
    return sorted(working, key=lambda row: row.state is not CampaignState.RUNNING) or rows


def _hours(rule_set: RuleSet, campaigns: int, groups: list[str], now: datetime) -> RuleSetHours:
    rules = CampaignRules(rule_set=rule_set)
    windows = [{"days": [str(d) for d in w.days], "from": w.start, "to": w.end} for w in rule_set.hours.windows]
    opened = open_groups(groups, rules, now)
    places = []
    for group in groups:
        place, state = parse_group(group)[0], opened[group]
        until = state.until if state.open else next_call_window(group, rules, now)
        local, there = now.astimezone(zone(place.zone)), until.astimezone(zone(place.zone)) if until else None
        day = local_date(now, place.zone)
        places.append(
            PlaceHours(
                group=group,
                zone=place.zone,
                area=place.area,
                local=f"{local:%H:%M}",
                open=state.open,
                holiday=day in holidays_of(rule_set.hours.holidays, place.area, day.year),
                until=until,
                until_local=f"{there:%H:%M}" if there else "",
                until_day=f"{there:%d/%m}" if there and there.date() != local.date() else "",
            )
        )
    return RuleSetHours(
        rule_set=rule_set.id,
        title=rule_set.title,
        clause=rule_set.hours.clause,
        valid_from=rule_set.valid_from.isoformat(),
        campaigns=campaigns,
        windows=windows,
        places=places,
    )


@routes.get("/compliance/refusals", permission=Permission.WATCH, query=RefusalQuery, reply=RefusalPage)
async def refusals(ask: Ask) -> Reply:
    """The calls held back that the day's account counts, one by one, newest first (`refused.sql`)."""
    query: RefusalQuery = ask.query
    now = ask.deps.clock.utcnow()
    start, end, _ = day_of(query, now)
    await scope.check_campaign(ask, query.campaign_id)
    given: dict[str, Any] = {"start": start, "end": end, "group_id": scope.home_group(ask, query.group_id)}
    for name in ("campaign_id", "rule", "rule_set"):
        if (value := getattr(query, name)) is not None:
            given[name] = value
    rows = await ask.deps.store.report("refused", **given, **_place(query.after), limit=query.limit + 1)
    last = rows[query.limit - 1] if len(rows) > query.limit else None
    after = f"{last['at'].isoformat()}|{last['site']}|{last['fence']}|{last['n']}" if last else None
    page = [shown(ask, {**row, "article": _article(ask, row)}) for row in rows[: query.limit]]
    return Reply(RefusalPage(computed_at=now, rows=page, next_after=after))


def _place(after: str | None) -> dict[str, Any]:
    """The last row of the page before, as `refused.sql` takes it. Raises field_invalid."""
    if not after:
        return {}
    try:
        instant, site, fence, n = after.rsplit("|", 3)
        at, numbers = datetime.fromisoformat(instant), [int(fence), int(n)]
        if at.tzinfo is None or not all(0 <= each < 1 << 62 for each in numbers):
            raise ValueError(after)
    except ValueError as error:
        allowed = "next_after of the page before"
        raise CommandError("field_invalid", {"field": "after", "value": after[:80], "allowed": allowed}) from error
    return {"before_at": at, "before_site": site, "before_fence": numbers[0], "before_n": numbers[1]}


def _article(ask: Ask, row: Mapping[str, Any]) -> str:
    rule_set = ask.deps.rule_sets.get(row["rule_set"])
    return article_of(rule_set, row["rule"]) if rule_set is not None else ""


@routes.get("/compliance/articles", permission=Permission.WATCH, query=NoQuery, reply=dict[str, dict[str, str]])
async def articles(ask: Ask) -> Reply:
    """For each rule set, the law's article that each rule applies; a rule of the operator's own has none."""
    found = {
        id: {str(rule): article for rule in Rule if (article := article_of(rule_set, rule))}
        for id, rule_set in ask.deps.rule_sets.items()
    }
    return Reply(found)


@routes.get("/compliance/register", permission=Permission.WATCH, query=DayQuery, reply=RegisterAnswer)
async def register(ask: Ask) -> Reply:
    """Red lists with what came and went that day, and how many consents are valid, expired, withdrawn."""
    query: DayQuery = ask.query
    now = ask.deps.clock.utcnow()
    start, end, day = day_of(query, now)
    group_id = scope.home_group(ask, query.group_id)
    rule_set = await _asking_for_consent(ask)
    days = rule_set.consent.valid_days if rule_set else 0
    lists = await ask.deps.store.report("red_list_by_client", group_id=group_id, start=start, end=end)
    counted, consents = ask.deps.consents.get((group_id, days), (None, []))
    if counted is None or not counted <= now < counted + CONSENTS_KEPT:
        counted = now
        consents = await ask.deps.store.report("consents_by_state", group_id=group_id, at=now, valid_days=days)
        ask.deps.consents[group_id, days] = (counted, consents)
    return Reply(
        RegisterAnswer(
            computed_at=now,
            day=str(day),
            red_lists=lists,
            consents=consents,
            consents_at=counted,
            rule_set=rule_set.id if rule_set else "",
            valid_days=days,
        )
    )


async def _asking_for_consent(ask: Ask) -> RuleSet | None:
    """The rule set of the campaigns at work that asks for a consent, the first; None if none does."""
    sets = (ask.deps.rule_sets.get(campaign.rule_set) for campaign in await _at_work(ask))
    return next((rule_set for rule_set in sets if rule_set is not None and rule_set.consent.required), None)
