"""What types can't say of a row: references within the group, known sites and phones, the law's bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from daemon.api.routes import Ask
from daemon.calls.records import (
    Agent,
    CallerIdNumber,
    Campaign,
    Client,
    LeadList,
    Line,
    PauseCode,
    Record,
    Status,
)
from daemon.compliance.evidence import facts_then
from daemon.compliance.facts import facts_of, rules_of
from daemon.compliance.gates import campaign_problems
from daemon.compliance.law import may_call
from daemon.errors import CommandError

REFERENCES: dict[str, type[Record]] = {
    "client_id": Client,
    "list_ids": LeadList,
    "line_ids": Line,
    "caller_id_ids": CallerIdNumber,
    "agent_ids": Agent,
}


def invalid(field: str, value: object, allowed: str) -> CommandError:
    return CommandError("field_invalid", {"field": field, "value": value, "allowed": allowed})


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises field_invalid."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid("zone", name, "a zone such as Europe/Paris") from error


def check_site(ask: Ask, site: str) -> None:
    """A row may only name a site of the settings."""
    if ask.deps.site_ids and site not in ask.deps.site_ids:
        raise invalid("site", site, f"one of {', '.join(ask.deps.site_ids)}")


async def check_references(ask: Ask, campaign: Campaign, changed: set[str]) -> None:
    """Rows named by a campaign exist and belong to its group: another tenant's are as good as absent."""
    for field, kind in REFERENCES.items():
        if field not in changed:
            continue
        value = getattr(campaign, field)
        wanted = value if isinstance(value, list) else [value]
        if not wanted:
            continue
        rows = {row.id: row for row in await ask.deps.store.find(kind, group_id=campaign.group_id)}
        missing = [id for id in wanted if id not in rows]
        if missing:
            raise invalid(field, missing[:10], f"ids of {kind.__name__} rows of this group")


async def check_campaign(ask: Ask, campaign: Campaign, changed: set[str]) -> None:
    """Site, zone, references, and the rule set's bounds (features LEGL-01)."""
    if "site" in changed and campaign.site:  # "" = every site
        check_site(ask, campaign.site)
    if "zone" in changed:
        zone_of(campaign.zone)
    await check_references(ask, campaign, changed)
    for number, window in enumerate(campaign.hours):
        if window.start >= window.end:
            raise invalid(f"hours[{number}].end", window.end, f"later than {window.start}")
    check_law(ask, campaign)


def check_law(ask: Ask, campaign: Campaign) -> None:
    """The operator's limits may be stricter than the rule set's, never wider."""
    if not ask.deps.rule_sets:
        return
    rule_set = ask.deps.rule_sets.get(campaign.rule_set)
    if rule_set is None:
        raise invalid("rule_set", campaign.rule_set, f"one of {', '.join(sorted(ask.deps.rule_sets))}")
    law = rule_set.attempts
    if law is not None and campaign.attempts_max > law.max:
        details = {"field": "attempts_max", "value": campaign.attempts_max, "legal_max": law.max}
        raise CommandError("attempts_over_legal", {**details, "days": law.days, "rule_set": rule_set.id})
    ceiling = rule_set.abandonment.rate_max
    if campaign.abandonment_rate_max > ceiling:
        raise invalid("abandonment_rate_max", campaign.abandonment_rate_max, f"at most {ceiling} ({rule_set.id})")
    for problem in campaign_problems(rules_of(campaign, rule_set), (), (), ask.deps.clock.utcnow()):
        raise invalid(problem.field, getattr(campaign, problem.field, ""), problem.text)


async def check_line(ask: Ask, line: Line, changed: set[str]) -> None:
    if "site" in changed:
        check_site(ask, line.site)


async def check_agent(ask: Ask, agent: Agent, changed: set[str]) -> None:
    """Features S100-06: the extension must exist on the PBX, as far as the PBX lists its extensions."""
    if "site" in changed:
        check_site(ask, agent.site)
    if not changed & {"extension", "login", "site"}:
        return
    known = known_extensions(ask, agent.site)
    if known and agent.extension not in known:
        raise CommandError("extension_unknown", {"field": "extension", "value": agent.extension, "allowed": known[:50]})


async def check_typed_number(
    ask: Ask, campaign: Campaign, e164: str, lead_id: int = 0, also: Sequence[datetime] = ()
) -> None:
    """A number typed by an agent: red list, limits and silence hold as for a lead (features LEGL-01, LEGL-07, D26).

    With a lead, its own consent is asked for; without, the agent's word that the person asked for the call counts.
    `also`: attempts on the number that another system placed.
    Raises call_forbidden.
    """
    rule_set = ask.deps.rule_sets.get(campaign.rule_set)
    if rule_set is None:
        return
    now = ask.deps.clock.utcnow()
    held = await ask.deps.store.number_history(campaign.group_id, e164)
    asked = {"e164": e164, "postal_code": "", "consent_at": now, "consent_out_of_hours": False}
    lead = {**asked, "consent_automated": False, "running_contract": campaign.running_contract}
    facts = facts_then(lead, {**held, "consents": ()}, campaign.client_id, now)
    if lead_id:
        found = await ask.deps.store.lead_facts(lead_id)
        if found is None or found.e164 != e164 or not ask.who.sees_group(found.group_id):
            raise invalid("lead_id", lead_id, "the lead whose number is dialled")
        facts = facts_of(found)
    facts = msgspec.structs.replace(facts, attempt_times=(*facts.attempt_times, *also))
    # The operator's spacing is for the dialler: an agent may redial a call that broke off.
    rules = replace(rules_of(campaign, rule_set, agent_reserved=True), gap_min_s=0.0)
    verdict = may_call(facts, rules, now)
    if not verdict.allowed:
        until = verdict.until.isoformat() if verdict.until else None
        details = {"rule": verdict.rule.value, "clause": verdict.clause, "until": until}
        raise CommandError("call_forbidden", details)


def known_extensions(ask: Ask, site: str) -> list[str]:
    """Extensions the site's PBX is known to have; empty = not known."""
    return sorted(ask.deps.extensions(site))


SEED_STATUSES = (
    Status(group_id=0, code="VENTE", name="Vente", sale=True, final=True, sort=1),
    Status(group_id=0, code="RAPPEL", name="Rappel", callback=True, sort=2),
    Status(group_id=0, code="REFUS", name="Refus", not_interested=True, sort=3),
    Status(group_id=0, code="REPONDEUR", name="Répondeur", category="Technique", machine=True, sort=4),
    Status(group_id=0, code="INJOIGN", name="Injoignable", category="Technique", sort=5),
)
SEED_PAUSES = (
    PauseCode(group_id=0, code="PAUSE", name="Pause", expected_s=900.0),
    PauseCode(group_id=0, code="REPAS", name="Repas", expected_s=3600.0),
    PauseCode(group_id=0, code="FORMATION", name="Formation", expected_s=3600.0),
    PauseCode(group_id=0, code="REUNION", name="Réunion", expected_s=1800.0),
    PauseCode(group_id=0, code="TECHNIQUE", name="Technique", expected_s=900.0),
    PauseCode(group_id=0, code="SANITAIRE", name="Sanitaire", expected_s=600.0),
)


async def seed_codes(ask: Ask, campaign: Campaign) -> None:
    """Features STAT-03, PAUS-02: a new campaign finds statuses and pause codes; those of its group are kept."""
    store = ask.deps.store
    taken = {s.code for s in await store.find(Status, group_id=campaign.group_id) if s.campaign_id in (0, campaign.id)}
    if not taken:
        for status in SEED_STATUSES:
            values = {f: getattr(status, f) for f in status.__struct_fields__}
            await store.create(Status(**{**values, "group_id": campaign.group_id}))
    if not await store.find(PauseCode, group_id=campaign.group_id):
        for pause in SEED_PAUSES:
            values = {f: getattr(pause, f) for f in pause.__struct_fields__}
            await store.create(PauseCode(**{**values, "group_id": campaign.group_id}))
