"""Figures of the day begin anew at midnight, by the clock of the campaign they belong to.

What an agent has done today, and today's outcomes of a campaign, are counted as they happen; nobody asks the store for
them. Called by the core as a quarter of an hour begins: every zone's midnight is at one.
"""

from __future__ import annotations

from datetime import datetime

from daemon.compliance.zones import local_date
from daemon.engine.live import CampaignLive, Desk, Live

ELSEWHERE = "Europe/Paris"
"""The clock of an agent's day where there is no campaign that tells."""


def begin_anew(live: Live, before: datetime) -> None:
    """Clear the figures of everybody whose date is not what it was at `before`."""
    new: dict[str, bool] = {}

    def turned(zone: str) -> bool:
        if zone not in new:
            new[zone] = local_date(before, zone) != local_date(live.utc, zone)
        return new[zone]

    for campaign in live.campaigns.values():
        if turned(campaign.record.zone):
            _campaign(campaign)
            live.touch("campaigns", campaign.id)
    for desk in live.desks.values():
        if turned(_zone_of(desk, live)):
            desk.today.clear()
            desk.today_from_at = live.now
            live.touch("agents", desk.id)


def _campaign(campaign: CampaignLive) -> None:
    campaign.outcomes.clear()
    campaign.callers.clear()
    campaign.placed = campaign.answered = 0
    campaign.ready_s = campaign.handling_s = 0.0


def _zone_of(desk: Desk, live: Live) -> str:
    """The clock of the first campaign the agent works for, or worked for last."""
    found = next((live.campaigns[id] for id in desk.campaign_ids if id in live.campaigns), desk.last_campaign)
    return found.record.zone if found is not None else ELSEWHERE
