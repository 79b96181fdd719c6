"""What the law is asked with: the facts of a person and the rules of a campaign. Made from the store's rows here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import msgspec

from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign, HoursWindow
from daemon.compliance.rules import Audience, RuleSet, minutes
from daemon.compliance.schedule import Calendar, Schedule, schedule_of
from daemon.compliance.zones import Place, parse_group


class LeadFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a person, seen by one client. Times are aware UTC; unsorted is fine.

    `attempt_times`: attempts that weigh in law (features D34), by this client to this number, over all campaigns and
    lists, of the last 32 days at least. `technical_times`: those that left for the number and failed on our side.
    `attempts`: weighing attempts in this campaign, ever. `tz_group`: as made by `zones.tz_group`; "" = from number and
    postal code. `dnc`: the name of the list that forbids, "" for none. `not_before`: recycling delay or a reservation.
    """

    e164: str
    tz_group: str = ""
    postal_code: str = ""
    dnc: str = ""
    attempt_times: tuple[datetime, ...] = ()
    technical_times: tuple[datetime, ...] = ()
    attempts: int = 0
    last_attempt_at: datetime | None = None
    refused_at: datetime | None = None
    abandoned_at: datetime | None = None
    consent_at: datetime | None = None
    consent_until: datetime | None = None
    consent_revoked_at: datetime | None = None
    consent_out_of_hours: bool = False
    consent_automated: bool = False
    running_contract: bool = False
    callback_at: datetime | None = None
    not_before: datetime | None = None
    closed: bool = False
    list_active: bool = True


@dataclass(frozen=True)
class CampaignRules:
    """A rule set and the operator's own limits, which can only narrow it.

    `hours`: the campaign's windows in its own `zone`; () = no limit of its own. `attempts_max` (LimiteNum) 0 = none.
    `running_contract`: the campaign's calls concern a contract its people have (the lead must have one too).
    `business`: declared to call companies only. `agent_reserved`: an agent waits for each call before it is placed.
    """

    rule_set: RuleSet
    hours: tuple[HoursWindow, ...] = ()
    zone: str = "Europe/Paris"
    attempts_max: int = 0
    gap_min_s: float = 14_400.0
    running_contract: bool = False
    business: bool = False
    agent_reserved: bool = False
    special_allowed: bool = False
    _calendars: dict[str, tuple[Calendar, ...]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def legal(self) -> Schedule:
        """The rule set's windows and holidays."""
        return schedule_of(self.rule_set.hours.windows, self.rule_set.hours.holidays)

    @cached_property
    def own(self) -> Calendar | None:
        """The campaign's own hours; holidays are the rule set's affair."""
        if not self.hours:
            return None
        rows = [(day, minutes(w.start), minutes(w.end)) for w in self.hours for day in w.days]
        return Calendar(Schedule(tuple(sorted(rows))), Place(self.zone))

    def calendars(self, group: str) -> tuple[Calendar, ...]:
        """Every calendar that must be open for a group; () if its places are unknown."""
        known = self._calendars.get(group)
        if known is None:
            legal = tuple(Calendar(self.legal, place) for place in parse_group(group))
            known = legal + ((self.own,) if self.own and legal else ())
            self._calendars[group] = known
        return known


def facts_of(lead: Lead, *, list_active: bool = True) -> LeadFacts:
    """The facts of a lead as the store hands it over.

    Its places are worked out anew from number and postal code: the stored `tz_group` serves the index, not the law.
    """
    return LeadFacts(
        e164=lead.e164,
        postal_code=lead.postal_code,
        dnc="red list" if lead.dnc else "",
        attempt_times=tuple(lead.attempt_times),
        technical_times=tuple(lead.technical_times),
        attempts=lead.attempts,
        # `attempt_times` tells it, unless it is older than they reach; what never reached the network weighs nothing.
        last_attempt_at=lead.last_attempt_at if lead.attempts and not lead.attempt_times else None,
        refused_at=lead.refused_at,
        abandoned_at=lead.abandoned_at,
        consent_at=lead.consent_at,
        consent_until=lead.consent_until,
        consent_revoked_at=lead.consent_revoked_at,
        consent_out_of_hours=lead.consent_out_of_hours,
        consent_automated=lead.consent_automated,
        running_contract=lead.running_contract,
        callback_at=lead.callback_at,
        list_active=list_active,
    )


def calls_companies(campaign: Campaign | None, rule_set: RuleSet) -> bool:
    """Whether those called are companies: by the rule set itself, or, where it serves both, by the campaign's word."""
    declared = campaign is not None and campaign.business and rule_set.audience is Audience.ANY
    return declared or rule_set.audience is Audience.BUSINESS


def rules_of(campaign: Campaign, rule_set: RuleSet, *, agent_reserved: bool = False) -> CampaignRules:
    """The rules of a campaign. `agent_reserved`: its calls are placed one to one (manual, preview, progressive)."""
    return CampaignRules(
        rule_set=rule_set,
        hours=tuple(campaign.hours),
        zone=campaign.zone,
        attempts_max=campaign.attempts_max,
        gap_min_s=campaign.gap_min_s,
        running_contract=campaign.running_contract,
        business=calls_companies(campaign, rule_set),
        agent_reserved=agent_reserved,
    )
