"""Figures of the day begin anew at midnight, by the clock of the campaign they belong to.

What an agent has done today, and today's outcomes of a campaign, are counted as they happen; what was done before this
life of the engine, or elsewhere, daemon.engine.earlier adds from the store. Called by the core as a quarter of an hour
begins: every zone's midnight is at one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from daemon.compliance.zones import local_date, zone
from daemon.engine.live import CampaignLive, Desk, Live

ELSEWHERE = "Europe/Paris"
"""The clock of an agent's day where there is no campaign that tells."""


def began(utc: datetime, zone_name: str) -> datetime:
    """The instant, in UTC, at which the day that `utc` is in began by clocks of the zone."""
    local = utc.astimezone(zone(zone_name))
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def begin_anew(live: Live, before: datetime) -> None:
    """Clear the figures of everybody whose date is not what it was at `before`."""
    new: dict[str, bool] = {}

    def turned(zone_name: str) -> bool:
        if zone_name not in new:
            new[zone_name] = local_date(before, zone_name) != local_date(live.utc, zone_name)
        return new[zone_name]

    for campaign in live.campaigns.values():
        if turned(campaign.record.zone):
            _campaign(campaign)
            campaign.today_from_at = live.now
            live.touch("campaigns", campaign.id)
    for desk in live.desks.values():
        if turned(zone_of(desk, live)):
            desk.today.clear()
            desk.today_from_at = live.now
            live.touch("agents", desk.id)


def _campaign(campaign: CampaignLive) -> None:
    campaign.outcomes.clear()
    campaign.callers.clear()
    campaign.placed = campaign.answered = 0
    campaign.ready_s = campaign.handling_s = 0.0


def zone_of(desk: Desk, live: Live) -> str:
    """The clock of the first campaign the agent works for, or worked for last."""
    found = next((live.campaigns[id] for id in desk.campaign_ids if id in live.campaigns), desk.last_campaign)
    return found.record.zone if found is not None else ELSEWHERE
