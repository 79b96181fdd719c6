"""Why a call that was made was allowed: each rule of the law beside what was known at that instant (features LEGL-05).

In: the facts of the person as they were (`facts_then`, from rows of the store) and the rule set the call was made
under. Out: one `Evidence` a rule. Pure. The operator's own, stricter wishes are left out: they may have changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from daemon.compliance.facts import CampaignRules, LeadFacts
from daemon.compliance.law import Rule, consent_valid, may_call
from daemon.compliance.numbers import classify
from daemon.compliance.rules import RuleSet
from daemon.compliance.zones import holidays_of, local_date, places, zone

_Said = tuple[str, str]
"""The same in English and in French."""

_JOURS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_NOT_DIALLED = frozenset({"not_placed", "agent_no_answer"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A rule, its clause, whether it allowed the call, and what was known, in words of both languages."""

    rule: str
    clause: str
    allowed: bool
    known: str
    known_fr: str


def facts_then(
    lead: Mapping[str, Any], held: Mapping[str, Iterable[Mapping[str, Any]]], client_id: int, at: datetime
) -> LeadFacts:
    """The person as the client knew them at `at`. `held`: rows of attempts, consents and red_list of the number."""
    past = [row for row in held["attempts"] if row["client_id"] == client_id and row["at"] < at]
    out = [row for row in past if row["kind"] != "inbound"]
    consents = [row for row in held["consents"] if row["client_id"] == client_id]
    given = max((row for row in consents if row["at"] and row["at"] <= at), key=lambda row: row["at"], default=None)
    if given is not None and lead.get("consent_at") and lead["consent_at"] > given["at"] and lead["consent_at"] <= at:
        given = None
    revoked = [row["revoked_at"] for row in consents if row["revoked_at"] and row["revoked_at"] <= at]
    refused = [row["disposition_at"] for row in past if row["refused"] and row["disposition_at"] <= at]
    abandoned = [row["ended_at"] for row in past if row["outcome"] == "abandoned" and row["ended_at"] <= at]
    listed = [row for row in held["red_list"] if row["client_id"] == client_id and row["at"] <= at]
    return LeadFacts(
        e164=lead["e164"],
        postal_code=lead["postal_code"],
        dnc="red list" if listed else "",
        attempt_times=tuple(row["at"] for row in out if row["counted"] is not False),
        technical_times=tuple(
            row["at"] for row in out if row["counted"] is False and row["outcome"] not in _NOT_DIALLED
        ),
        refused_at=max(refused, default=None),
        abandoned_at=max(abandoned, default=None),
        consent_at=given["at"] if given else lead["consent_at"],
        consent_until=given["until"] if given else None,
        consent_revoked_at=max(revoked, default=None),
        consent_out_of_hours=bool(given["out_of_hours"] if given else lead["consent_out_of_hours"]),
        consent_automated=bool(given["automated"] if given else lead["consent_automated"]),
        running_contract=lead["running_contract"],
    )


def evidence(facts: LeadFacts, rules: CampaignRules, at: datetime) -> list[Evidence]:
    """Each rule's part in the verdict of that instant; the one that forbade it, if any, stands out."""
    rule_set, verdict = rules.rule_set, may_call(facts, rules, at)
    law, silence, consent = rule_set.attempts, rule_set.refusal, rule_set.consent
    day = f"{rule_set.valid_from:%d/%m/%Y}"
    listed = (f"on the {facts.dnc}", "en liste rouge") if facts.dnc else ("on no red list", "en aucune liste rouge")
    kind = classify(facts.e164).value
    rows: list[tuple[Rule, str, _Said]] = [
        (Rule.RULE_SET, rule_set.title, (f"{rule_set.id} in force from {rule_set.valid_from}",
                                         f"{rule_set.id}, en vigueur depuis le {day}")),
        (Rule.DNC, "red list", listed),
        (Rule.NUMBER, "number classes", (f"{kind} number", f"numéro de classe {kind}")),
        (Rule.CONSENT, consent.clause, _consent(facts, rules, at)),
        (Rule.HOURS, rule_set.hours.clause, _clock(facts, at)),
        (Rule.HOLIDAY, rule_set.hours.clause, _holiday(facts, rules, at)),
    ]  # fmt: skip
    if law is not None:
        since = at - timedelta(days=law.days)
        weighing = sum(since < made <= at for made in facts.attempt_times)
        said = f"{weighing} of {law.max} attempts in the {law.days} days before"
        dit = f"{weighing} tentative(s) sur {law.max} dans les {law.days} jours d’avant"
        rows.append((Rule.ATTEMPTS, law.clause, (said, dit)))
    if silence is not None:
        refused, never = facts.refused_at, ("no refusal before", "aucun refus avant")
        text = (f"refused on {refused:%Y-%m-%d}", f"refus le {refused:%d/%m/%Y}") if refused else never
        rows.append((Rule.REFUSAL, silence.clause, text))
    found = [Evidence(rule.value, clause, verdict.rule is not rule, *known) for rule, clause, known in rows]
    if not verdict.allowed and all(each.allowed for each in found):
        article = article_of(rule_set, verdict.rule)
        found.append(Evidence(verdict.rule.value, article, False, verdict.clause, verdict.clause))
    return found


def article_of(rule_set: RuleSet, rule: str) -> str:
    """The clause that a rule applies, as the rule set names it; "" for the operator's own limits and wishes."""
    sections = {
        Rule.CONSENT: rule_set.consent,
        Rule.HOURS: rule_set.hours,
        Rule.HOLIDAY: rule_set.hours,
        Rule.OUT_OF_HOURS: rule_set.hours,
        Rule.ATTEMPTS: rule_set.attempts,
        Rule.REFUSAL: rule_set.refusal,
        Rule.RECALL: rule_set.abandonment,
        Rule.TECHNICAL: rule_set.technical,
        Rule.CALLER_ID: rule_set.caller_id,
        Rule.AUTOMATED_MESSAGE: rule_set.automated_message,
    }
    section = next((section for name, section in sections.items() if name == rule), None)
    return section.clause if section is not None else ""


def _consent(facts: LeadFacts, rules: CampaignRules, at: datetime) -> _Said:
    if not rules.rule_set.consent.required:
        return "not required", "non exigé"
    given, revoked = facts.consent_at, facts.consent_revoked_at
    if given is not None:
        valid = consent_valid(facts, rules.rule_set, at)
        back = (f", revoked {revoked:%Y-%m-%d}", f", retiré le {revoked:%d/%m/%Y}") if revoked else ("", "")
        said = f"given {given:%Y-%m-%d %H:%M} UTC{back[0]}: {'valid' if valid else 'not valid'} then"
        return said, f"donné le {given:%d/%m/%Y à %H:%M} UTC{back[1]} : {'valable' if valid else 'non valable'} alors"
    if facts.running_contract and rules.running_contract:
        return "running contract", "contrat en cours"
    return "none given", "aucun"


def _clock(facts: LeadFacts, at: datetime) -> _Said:
    said, dit = [], []
    for name in dict.fromkeys(place.zone for place in places(facts.e164, facts.postal_code)):
        local = at.astimezone(zone(name))
        said.append(f"{local:%A %H:%M:%S} in {name}")
        dit.append(f"{_JOURS[local.weekday()]} {local:%H:%M:%S} ({name})")
    return ", ".join(said) or "place unknown", ", ".join(dit) or "lieu inconnu"


def _holiday(facts: LeadFacts, rules: CampaignRules, at: datetime) -> _Said:
    said, dit = [], []
    for place in places(facts.e164, facts.postal_code):
        day = local_date(at, place.zone)
        if day in holidays_of(rules.legal.holidays, place.area, day.year):
            said.append(f"{day} is a public holiday in {place.zone}")
            dit.append(f"le {day:%d/%m/%Y} est férié ({place.zone})")
    return ", ".join(said) or "no public holiday", ", ".join(dit) or "aucun jour férié"
