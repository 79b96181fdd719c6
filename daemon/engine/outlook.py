"""What the pacing policy of a campaign is asked with: agents, lines and leads now, calling left, and what others take.

In: the live state. Out: a `PacingSnapshot`. Called by placing for each decision. Campaigns that share agents are seen
here: whoever answers one of them takes an agent that the other counts on.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta

from daemon.compliance.zones import zone
from daemon.dialer.events import PacingSnapshot
from daemon.dialer.ledger import hour_key
from daemon.engine.live import CampaignLive, Live

DAY_ENDS_H = 20
"""Local hour up to which a day's ledger counts on answers to come: no rule set shipped allows later calls, and agents
go home; where calling goes on, each later clock hour counts on itself alone."""


class Outlook:
    """See the module's first lines."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._common: dict[int, Counter[int]] | None = None
        self._hours: dict[str, tuple[datetime, datetime, datetime]] = {}
        """By zone: the quarter of an hour asked about last (no clock changes within one), and the end of its hour."""

    def new_batch(self) -> None:
        """Who works for which campaigns may have changed."""
        self._common = None

    def snapshot(self, campaign: CampaignLive, ready: int) -> PacingSnapshot:
        """`ready`: nailed-up agents who can take a call of this campaign now."""
        live, record = self._live, campaign.record
        lines = live.pool.free(record.line_ids, live.now)
        if record.max_channels:
            lines = min(lines, record.max_channels - len(campaign.calls))
        hour_left, day_left = self.calling_left(campaign)
        expected, in_flight, waiting = self._of_others(campaign)
        at_hand = len(campaign.hopper)
        due = campaign.lead_counts.get("due")
        return PacingSnapshot(
            ready=ready,
            leads=at_hand - sum(1 for lead in campaign.hopper if lead.abandoned_at is not None),
            lines_free=max(0, lines),
            cps_tokens=campaign.tokens,
            waiting=_waiting(campaign),
            inbound_waiting=waiting,
            reserved=self._promised(campaign),
            others_expected=expected,
            others_in_flight=in_flight,
            leads_left=1_000_000_000 if due is None else at_hand + due,
            hour=hour_key(live.utc, record.zone),
            hour_left_s=max(1.0, hour_left),
            day_left_s=max(1.0, day_left),
        )

    # ---- time ---------------------------------------------------------------------------------------------------

    def day_ends(self, campaign: CampaignLive) -> datetime:
        """Up to when today's answers to come are counted on."""
        local = self._live.utc.astimezone(zone(campaign.record.zone))
        return self._hour_ends(campaign) + timedelta(hours=max(0, DAY_ENDS_H - 1 - local.hour))

    def _hour_ends(self, campaign: CampaignLive) -> datetime:
        utc, name = self._live.utc, campaign.record.zone
        known = self._hours.get(name)
        if known is not None and known[0] <= utc < known[1]:
            return known[2]
        local = utc.astimezone(zone(name))
        spent = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        quarter = utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)
        ends = utc - spent + timedelta(hours=1)
        self._hours[name] = (quarter, quarter + timedelta(minutes=15), ends)
        return ends

    def calling_left(self, campaign: CampaignLive) -> tuple[float, float]:
        """(seconds of calling left in this clock hour, in this day): what the hours in force leave of both."""
        utc, hour_ends, hour_left, day_left = self._live.utc, self._hour_ends(campaign), 0.0, 0.0
        for start, end in campaign.calling:
            start = max(start, utc)
            day_left += max(0.0, (end - start).total_seconds())
            hour_left += max(0.0, (min(end, hour_ends) - start).total_seconds())
        return hour_left, day_left

    # ---- agents that are not for everybody ------------------------------------------------------------------------

    def _promised(self, campaign: CampaignLive) -> int:
        """Busy agents of this campaign for whom a due callback waits: they will not be free for anybody else."""
        live = self._live
        for id, until in list(campaign.promised.items()):
            desk = live.desks.get(id)
            if desk is None or until < live.now or campaign.id not in desk.campaign_ids or desk.can_take:
                del campaign.promised[id]
        return len(campaign.promised)

    def _of_others(self, campaign: CampaignLive) -> tuple[float, int, int]:
        """(answers expected soon, calls in flight, persons waiting) of other campaigns, as far as they concern agents
        of this one: an answer goes to any agent of its own campaign alike."""
        live = self._live
        if live.alone:
            return 0.0, 0, 0
        expected = in_flight = waiting = 0.0
        agents = self._sharing()
        for id, common in sorted(agents.get(campaign.id, Counter()).items()):
            other = live.campaigns.get(id)
            if id == campaign.id or other is None or not other.calls or other.reserves:
                continue
            share = common / agents[id][id]
            expected += share * other.policy.expected(live.now)
            in_flight += share * other.policy.traffic.in_flight
            waiting += share * _waiting(other)
        return expected, math.ceil(in_flight), math.ceil(waiting)

    def _sharing(self) -> dict[int, Counter[int]]:
        """For each campaign: how many of its agents also work for each other one; under its own id, all of them."""
        if self._common is None:
            self._common = {}
            for desk in self._live.desks.values():
                for id in desk.campaign_ids:
                    self._common.setdefault(id, Counter()).update(desk.campaign_ids)
        return self._common


def _waiting(campaign: CampaignLive) -> int:
    """Persons who wait for an agent and have none yet."""
    return sum(1 for call in campaign.waiting if call.desk is None)
