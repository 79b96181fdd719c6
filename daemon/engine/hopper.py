"""A campaign's hopper: the few seconds of leads that are claimed from the store ahead of dialling, and go back to it.

The store is asked through `live.out.claims`; its answers come to `claimed` and `claim_failed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from daemon.agents.states import AgentState
from daemon.calls.facts import LeadReleased
from daemon.calls.lead_records import Lead
from daemon.calls.records import CampaignMode, CampaignState
from daemon.compliance.zones import day_part
from daemon.engine.live import CampaignLive, Claim, Desk, Live

CLAIM_RETRY_S = 1.0
"""After an empty claim, the next one; new leads cut this short (LEAD-06)."""

CLAIM_MAX = 200
HANDED_OVER_MAX = 100


class Hopper:
    """The hoppers of all campaigns of a site."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.withdraw: Callable[[Desk], None] = lambda desk: None
        """The lead that is shown to this desk may not be dialled any more: it goes back, the agent is ready again."""

    def top_up(self, campaign: CampaignLive) -> None:
        """Keep a few seconds of dialling claimed: enough for the agents ready and the rate in force. A campaign of
        calls in claims nobody, though it has a list: others may dial those people."""
        live, record = self._live, campaign.record
        if record.mode is CampaignMode.INBOUND:
            self.give_back(campaign)
            return
        if campaign.claiming or live.now < campaign.claim_after_at:
            return
        workers = sum(campaign.agents.values()) - campaign.agents[AgentState.PAUSED]
        if workers <= 0:
            return
        rate = min(record.calls_per_second, max(1.0, workers / 4.0))
        wanted = min(CLAIM_MAX, math.ceil(rate * live.dialer.hopper_s) + campaign.agents[AgentState.READY])
        missing = wanted - len(campaign.hopper)
        if missing <= wanted // 2 and campaign.hopper:
            return
        if not campaign.open_zones:
            if not campaign.hopper:
                campaign.limit = "hours" if campaign.tz_groups else "leads"
            return
        campaign.claiming = True
        live.out.claims.append(Claim(campaign.id, missing, campaign.open_zones, campaign.claim_epoch))

    def claimed(self, claim: Claim, leads: list[Lead]) -> None:
        """The store's answer to a claim. One that was overtaken by a change of leads is given back."""
        live = self._live
        campaign = live.campaigns.get(claim.campaign_id)
        stale = campaign is None or claim.epoch != campaign.claim_epoch or campaign.state is not CampaignState.RUNNING
        if campaign is None or stale or live.draining:
            for lead in leads:
                self.release(claim.campaign_id, lead)
            if campaign is not None:
                campaign.claiming = False
                campaign.dirty = True
            return
        campaign.claiming, campaign.claim_empty = False, not leads
        handed = {lead.id for lead in leads if lead.id in campaign.handed_over}
        first = [lead for lead in leads if lead.callback_at is not None or lead.id in handed]
        rest = [lead for lead in leads if lead.callback_at is None and lead.id not in handed]
        for id in sorted(handed):
            del campaign.handed_over[id]
        campaign.hopper.extend(self._by_day_part(rest))
        campaign.hopper.extendleft(reversed(first))
        if len(leads) < claim.count:
            campaign.claim_after_at = live.now + CLAIM_RETRY_S
        if leads:
            campaign.dirty = True
        elif campaign.limit == "leads":
            campaign.look_at = campaign.claim_after_at  # nothing else is lacking: before then there is nothing to see

    def claim_failed(self, claim: Claim) -> None:
        """The store did not answer: ask again soon."""
        campaign = self._live.campaigns.get(claim.campaign_id)
        if campaign is not None:
            campaign.claiming = False
            campaign.claim_after_at = self._live.now + CLAIM_RETRY_S

    def hand_over(self, campaign_id: int) -> None:
        """Leads that a congested line left are claimed now, however full the hopper is (TELC-11). Those that another
        rule holds meanwhile do not come with the claim: they go first when they do."""
        campaign = self._live.campaigns.get(campaign_id)
        if campaign is None or campaign.claiming:
            return
        if campaign.state is not CampaignState.RUNNING:
            campaign.handed_over.clear()
            return
        while len(campaign.handed_over) > HANDED_OVER_MAX:
            del campaign.handed_over[next(iter(campaign.handed_over))]
        campaign.claiming = True
        claim = Claim(campaign.id, len(campaign.handed_over), campaign.open_zones, campaign.claim_epoch)
        self._live.out.claims.append(claim)

    def _by_day_part(self, leads: list[Lead]) -> list[Lead]:
        """Of those claimed together who were tried before, whoever was tried at another time of the day goes first
        (features LEGL-02). They change places among themselves alone: new leads and the campaign's order stay."""
        now = self._live.utc
        places = [place for place, lead in enumerate(leads) if lead.last_attempt_at is not None]
        tried = [leads[place] for place in places]
        tried.sort(key=lambda lead: _same_part(lead, now))
        for place, lead in zip(places, tried, strict=True):
            leads[place] = lead
        return leads

    def drop_leads(
        self, campaign: CampaignLive, lead_ids: frozenset[int], e164s: frozenset[str], list_ids: frozenset[int]
    ) -> None:
        """Give back what is queued of these leads (all if nothing is named), and claim anew at once."""
        everything = not (lead_ids or e164s or list_ids)

        def meant(lead: Lead) -> bool:
            return everything or lead.id in lead_ids or lead.e164 in e164s or lead.list_id in list_ids

        kept = []
        while campaign.hopper:
            lead = campaign.hopper.popleft()
            if meant(lead):
                self.release(campaign.id, lead)
            else:
                kept.append(lead)
        campaign.hopper.extend(kept)
        self.withdraw_previews(campaign, meant)
        if campaign.claiming:
            campaign.claim_epoch += 1
        campaign.claim_after_at = 0.0
        campaign.dirty = True

    def withdraw_previews(self, campaign: CampaignLive, meant: Callable[[Lead], bool] = lambda lead: True) -> None:
        """Agents are shown these leads no longer: nobody of them is to be called from here on (LEGL-07, IMPT-14)."""
        for desk in self._live.desks.values():
            if desk.preview is not None and desk.preview_campaign_id == campaign.id and meant(desk.preview):
                self.withdraw(desk)

    def give_back(self, campaign: CampaignLive) -> None:
        """All that is queued: the campaign dials no more."""
        while campaign.hopper:
            self.release(campaign.id, campaign.hopper.popleft())

    def release(self, campaign_id: int, lead: Lead, delay_s: float = 0.0) -> None:
        """The lead goes back to the store, due again after so long, a callback not before its time."""
        live = self._live
        live.fact(
            LeadReleased(
                at=live.utc,
                site=live.site.id,
                lead_id=lead.id,
                campaign_id=campaign_id,
                eligible_at=max(live.utc + timedelta(seconds=delay_s), lead.callback_at or live.utc),
                blocked_by="callback" if lead.callback_at else "",
            )
        )


def _same_part(lead: Lead, now: datetime) -> bool:
    """Whether the lead was last tried at this time of the day."""
    last = lead.last_attempt_at
    return last is not None and day_part(lead.tz_group, last) == day_part(lead.tz_group, now)
