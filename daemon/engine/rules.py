"""The law as the engine asks it: `compliance` behind the port of `daemon.engine.law`, for one site.

Rules of a campaign are built once per version of its row; verdicts are asked at the instant of each originate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign, CampaignMode
from daemon.compliance import (
    CampaignRules,
    RuleSet,
    calling_spans,
    campaign_problems,
    classify,
    dial_string,
    facts_of,
    may_call,
    may_play_message,
    open_groups,
    rules_of,
    tz_group,
)
from daemon.compliance.numbers import E164_DIAL_RULES, FRENCH_DIAL_RULES, NEVER_DIALLED
from daemon.engine.law import Refused, RuleFacts
from daemon.errors import CommandError
from daemon.settings import SiteTable

WINDOW_DAYS = {"hour": 0, "day": 1, "24h": 2, "30d": 30, "calendar_month": 31}
"""Days a ledger window spans; the clock hour is 0. A rolling 24 h and a month are read strictly: never shorter."""

_DIAL_RULES = {
    "national": FRENCH_DIAL_RULES,
    "e164": E164_DIAL_RULES,
    "international": (("+", "00"),),
    "digits": (("+", ""),),
}


class SiteLaw:
    """See the module's first lines."""

    def __init__(self, site: SiteTable, rule_sets: Mapping[str, RuleSet]) -> None:
        self._site = site
        self._rule_sets = rule_sets
        self._rules: dict[tuple[int, int], CampaignRules] = {}
        self._facts: dict[str, tuple[RuleSet, RuleFacts]] = {}

    def _set(self, name: str) -> RuleSet:
        found = self._rule_sets.get(name)
        if found is None:
            raise CommandError("rule_set_unknown", {"rule_set": name, "allowed": sorted(self._rule_sets)})
        return found

    def rules(self, name: str, utc: datetime) -> RuleFacts:
        found, known = self._set(name), self._facts.get(name)
        if known is None or known[0] is not found:
            known = self._facts[name] = (found, self._facts_of(found))
        return known[1]

    @staticmethod
    def _facts_of(found: RuleSet) -> RuleFacts:
        abandonment, attempts = found.abandonment, found.attempts
        return RuleFacts(
            name=found.id,
            version=found.valid_from.isoformat(),
            attempts_max=attempts.max if attempts else 0,
            attempts_days=attempts.days if attempts else 0,
            connect_deadline_s=abandonment.connect_deadline_s,
            clock_start=abandonment.clock_start,
            ceiling=abandonment.rate_max,
            windows=tuple((name, WINDOW_DAYS[name]) for name in abandonment.windows),
            ring_min_s=abandonment.ring_time_s_min,
            recall_after_s=abandonment.redial_h * 3600.0,
            message_required=abandonment.message_required,
        )

    def _campaign(self, campaign: Campaign) -> CampaignRules:
        key = (campaign.id, campaign.version)
        known = self._rules.get(key)
        if known is None:
            reserved = campaign.mode is not CampaignMode.PREDICTIVE
            known = rules_of(campaign, self._set(campaign.rule_set), agent_reserved=reserved)
            if len(self._rules) > 2000:
                self._rules.clear()
            self._rules[key] = known
        return known

    def refuses(self, lead: Lead, campaign: Campaign, utc: datetime) -> Refused | None:
        verdict = may_call(facts_of(lead), self._campaign(campaign), utc)
        return None if verdict.allowed else Refused(str(verdict.rule), verdict.clause, verdict.until)

    def refuses_number(self, e164: str, rule_set: str, utc: datetime) -> Refused | None:
        kind = classify(e164)
        if kind in NEVER_DIALLED:
            return Refused("number", f"{kind.value} numbers are never dialled", None)
        if not rule_set:
            return None
        lead = Lead(
            id=0, list_id=0, campaign_id=0, group_id=0, client_id=0, e164=e164, tz_group=tz_group(e164), consent_at=utc
        )
        lead.consent_until = utc + timedelta(
            days=1
        )  # the rule set's hours bind here; the request itself is the consent
        rules = rules_of(Campaign(group_id=0, client_id=0, name="", site="", rule_set=rule_set), self._set(rule_set))
        verdict = may_call(facts_of(lead), rules, utc)
        return None if verdict.allowed else Refused(str(verdict.rule), verdict.clause, verdict.until)

    def may_play(self, lead: Lead, campaign: Campaign, utc: datetime) -> bool:
        return may_play_message(facts_of(lead), self._campaign(campaign), utc).allowed

    def open_zones(self, campaign: Campaign, groups: Sequence[str], utc: datetime) -> tuple[Sequence[str], datetime]:
        found = open_groups(groups, self._campaign(campaign), utc)
        until = min((o.until for o in found.values() if o.until is not None), default=utc + timedelta(hours=1))
        return [name for name, o in found.items() if o.open], until

    def calling(
        self, campaign: Campaign, groups: Sequence[str], utc: datetime, until: datetime
    ) -> list[tuple[datetime, datetime]]:
        return calling_spans(groups, self._campaign(campaign), utc, until)

    def problems(self, campaign: Campaign, shown: Sequence[str], owned: Sequence[str], utc: datetime) -> list[Refused]:
        found = campaign_problems(self._campaign(campaign), shown, owned, utc)
        return [Refused(problem.code, problem.text, None) for problem in found]

    def dial_string(self, e164: str) -> str:
        return dial_string(e164, _DIAL_RULES[self._site.number_format], outside_prefix=self._site.number_prefix)
