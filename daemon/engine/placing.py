"""How many calls to place now, for whom: what keeps a campaign from dialling, and what its mode allows.

Called for campaigns that are dirty (something happened), and for those on which time alone has a bearing, at each tick.
Predictive campaigns ask the pacing policy how many; the others give each ready agent one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from daemon.calls.facts import PacingDecided
from daemon.calls.records import CampaignMode, CampaignState
from daemon.compliance.zones import UNKNOWN_GROUP
from daemon.dialer.estimates import CALL_BIN_S
from daemon.dialer.ledger import hour_key
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.hopper import Hopper
from daemon.engine.live import CampaignLive, Desk, Live
from daemon.engine.next_call import NextCall
from daemon.engine.outlook import Outlook
from daemon.engine.unattended import Unattended

QUIET_S = 2.0
"""A campaign on which only news has a bearing is looked at this often all the same."""

_WAITS_FOR_NEWS = frozenset(
    {"agents", "one_to_one", "preview", "mode", "stopped", "paused", "link", "resync", "pbx_stopping", "store"}
)
"""What ends these limits is always an event or a command, never time."""

_ALL_PLACED = frozenset({"risk", "abandonment_room"})
"""Limits of pacing itself: what it allowed has been placed, or another limit would stand here."""

ONE_EACH = frozenset({"cautious_start", "one_to_one", "abandonment_room"})
"""Where one call an agent is the rule: beside other campaigns that dial for the same agents, it gets its own agent."""

SAMPLE_S = 5.0
"""A decision that places nothing is stored at most this often; each one that places is stored within a second."""


class Placing:
    """See the module's first lines."""

    def __init__(self, live: Live, desks: Desks, hopper: Hopper, next_call: NextCall, calls: CallFlow) -> None:
        self._live, self._desks, self._hopper, self._next_call = live, desks, hopper, next_call
        self._outlook = Outlook(live)
        self._unattended = Unattended(live, desks, calls, self._outlook)

    # ---- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look at the campaigns that are due: the most important first, then whoever has fewer calls, so that campaigns
        on the same agents take turns."""
        live = self._live
        due = [campaign for campaign in live.campaigns.values() if live.now >= self._due_at(campaign)]
        if len(due) > 1:
            due.sort(key=lambda c: (-c.record.priority, len(c.calls), c.id))
        if due:
            self._outlook.new_batch()
        for campaign in due:
            campaign.dirty = False
            campaign.decided_at = live.now
            self._look(campaign)
            campaign.look_at = self._again_at(campaign)

    def next_look(self) -> float:
        """When a campaign is next to be looked at."""
        return min(map(self._due_at, self._live.campaigns.values()), default=math.inf)

    def _due_at(self, campaign: CampaignLive) -> float:
        if campaign.dirty:
            return min(campaign.look_at, campaign.decided_at + self._live.dialer.dirty_interval_s)
        return campaign.look_at

    def _again_at(self, campaign: CampaignLive) -> float:
        """When time alone may change what was just found; news make the campaign dirty before."""
        live = self._live
        tick, quiet = live.now + live.dialer.tick_s, live.now + max(QUIET_S, live.dialer.tick_s)
        if campaign.limit in _WAITS_FOR_NEWS:
            return min(quiet, max(tick, campaign.claim_after_at)) if campaign.claim_after_at > live.now else quiet
        if campaign.limit in ("leads", "hours"):
            if not campaign.open_zones and campaign.zones_until is not None:
                opens_at = live.now + (campaign.zones_until - live.utc).total_seconds()
                return min(quiet, max(tick, opens_at))
            return min(quiet, max(tick, campaign.claim_after_at))
        decision = campaign.decision
        if campaign.record.mode is CampaignMode.PREDICTIVE and decision is not None and live.alone:
            nothing = decision.count == 0 and campaign.limit != "cps"
            if nothing or campaign.limit in _ALL_PLACED:
                # Pacing counts ages by bins: before the next one begins its answer would be the same.
                return (live.now // CALL_BIN_S + 1.0) * CALL_BIN_S
        return tick

    def _look(self, campaign: CampaignLive) -> None:
        self._refill_tokens(campaign)
        campaign.policy.strike(hour_key(self._live.utc, campaign.record.zone))
        if self._unattended.hang_up(campaign):
            self._tell_hung_up(campaign)
        if campaign.state is not CampaignState.RUNNING:
            self._hopper.give_back(campaign)
            campaign.limit = "stopped" if campaign.state is CampaignState.STOPPED else "paused"
            return
        campaign.limit = self.site_obstacle() or campaign.suspended
        if campaign.limit:
            return
        self._check_zones(campaign)
        if self._callers_wait(campaign):
            campaign.limit = "inbound_waiting"
            return
        mode = campaign.record.mode
        if mode is CampaignMode.PREDICTIVE:
            self._predictive(campaign)
        elif mode is CampaignMode.PROGRESSIVE:
            self._one_each(campaign)
        elif mode is CampaignMode.PREVIEW:
            self._previews(campaign)
        else:
            campaign.limit = "mode"
        self._hopper.top_up(campaign)

    def _tell_hung_up(self, campaign: CampaignLive) -> None:
        """Shown and stored at once, also of a campaign that asks for no decisions."""
        snapshot = self._outlook.snapshot(campaign, 0)
        campaign.decision, campaign.sampled_at = campaign.policy.nothing(snapshot, self._live.now), -math.inf
        self._sample(campaign, 0)

    def _callers_wait(self, campaign: CampaignLive) -> bool:
        """Whether somebody who called in waits for an agent of this campaign: those go first, nothing is placed."""
        live = self._live
        for other in live.campaigns.values():
            if not other.waiting or not other.record.inbound.dids:
                continue
            if not any(call.kind == "inbound" for call in other.waiting):
                continue
            both = {campaign.id, other.id}
            if any(both <= set(desk.campaign_ids) for desk in live.desks.values() if desk.signed_in):
                return True
        return False

    def site_obstacle(self) -> str:
        """What keeps the whole site from placing; "" if nothing does."""
        live = self._live
        if not live.link.up:
            return "link"
        if not live.link.synced:
            return "resync"
        if live.link.stopping:
            return "pbx_stopping"
        if live.link.right_missing:
            return live.link.right_missing
        if not live.store_ok:
            return "store"
        if live.journal_full:
            return "journal_full"
        if not live.may_act():
            return "lease"
        if live.database_older:
            return "database_older"
        return "draining" if live.draining else ""

    def _refill_tokens(self, campaign: CampaignLive) -> None:
        rate, now = campaign.record.calls_per_second, self._live.now
        full = max(1.0, rate)
        campaign.tokens = min(full, campaign.tokens + (now - campaign.tokens_at) * rate)
        campaign.tokens_at = now

    def _check_zones(self, campaign: CampaignLive) -> None:
        live = self._live
        if campaign.zones_until is None or live.utc >= campaign.zones_until:
            zones, until = live.law.open_zones(campaign.record, campaign.tz_groups, live.utc)
            shut = [group for group in campaign.tz_groups if group not in zones and group != UNKNOWN_GROUP]
            campaign.opens_utc = live.law.open_zones(campaign.record, shut, live.utc)[1] if shut else None
            day_ends = self._outlook.day_ends(campaign)
            campaign.calling = tuple(live.law.calling(campaign.record, campaign.tz_groups, live.utc, day_ends))
            campaign.open_zones = tuple(zones)
            campaign.zones_until = min(until, live.utc + timedelta(seconds=60))

    # ---- modes -------------------------------------------------------------------------------------------------

    def _room(self, campaign: CampaignLive) -> int:
        """Calls that lines, channel limit and call rate allow now; sets the limit if none."""
        live, record = self._live, campaign.record
        lines = live.pool.free(record.line_ids, live.now)
        channels = record.max_channels - len(campaign.calls) if record.max_channels else lines
        tokens = math.floor(campaign.tokens + 1e-9)
        room = max(0, min(lines, channels, tokens))
        if room == 0:
            campaign.limit = "lines" if min(lines, channels) <= 0 else "cps"
        return room

    def _one_each(self, campaign: CampaignLive) -> None:
        """TURBO: each ready agent gets one call, reserved before it is dialled: nobody can be abandoned."""
        desks = sorted(self._desks.ready_of(campaign), key=lambda desk: (desk.since_at, desk.id))
        if not desks:
            campaign.limit = "agents"
            return
        for desk in desks:
            if self._room(campaign) <= 0:
                return
            if desk.can_take and not self._next_call.place(campaign, desk):
                return
        campaign.limit = "one_to_one"

    def _predictive(self, campaign: CampaignLive) -> None:
        live, record = self._live, campaign.record
        ready = list(self._desks.ready_of(campaign))
        # A phone that must ring first can't take a call within two seconds: reserve it.
        for desk in [desk for desk in ready if not desk.stays]:
            if self._room(campaign) <= 0 or not self._next_call.place(campaign, desk):
                break
        self._callbacks(campaign)
        self._recall(campaign, ready)
        parked = sum(1 for desk in ready if desk.stays and desk.can_take)
        snapshot = self._outlook.snapshot(campaign, parked)
        decision = campaign.policy.decide(snapshot, live.now)
        campaign.decision, campaign.limit = decision, decision.limit
        kept: Sequence[Desk | None] = [None] * decision.count
        if snapshot.others_in_flight and decision.limit in ONE_EACH:
            kept = [desk for desk in ready if desk.stays and desk.can_take][: decision.count]
        placed = 0
        for keep in kept:
            if self._room(campaign) <= 0 or not self._next_call.place(campaign, keep):
                break
            placed += 1
        self._sample(campaign, placed)
        live.touch("campaigns", record.id)

    def _callbacks(self, campaign: CampaignLive) -> None:
        """Due callbacks of one agent, which lie first, go to their agents before others are counted as ready."""
        for _ in range(len(campaign.hopper)):
            if not self._next_call.for_another(campaign, None, campaign.hopper[0]) or self._room(campaign) <= 0:
                return
            self._next_call.to_owner(campaign, campaign.hopper.popleft())

    def _recall(self, campaign: CampaignLive, desks: list[Desk]) -> None:
        """Who was abandoned before is dialled only with an agent kept for the call: nobody is abandoned twice."""
        held = [lead for lead in campaign.hopper if lead.abandoned_at is not None]
        if not held:
            return
        desks = [desk for desk in desks if desk.stays and desk.can_take]
        for lead, desk in zip(held, sorted(desks, key=lambda desk: (desk.since_at, desk.id)), strict=False):
            campaign.hopper.remove(lead)
            if self._room(campaign) <= 0:
                campaign.hopper.appendleft(lead)
                return
            if self._next_call.lawful(campaign, lead):
                self._next_call.start(campaign, desk, lead, "callback" if lead.callback_at else "campaign")

    def _sample(self, campaign: CampaignLive, placed: int) -> None:
        live, decision = self._live, campaign.decision
        if decision is None:
            return
        wait = 1.0 if placed else SAMPLE_S
        if live.now - campaign.sampled_at < wait:
            return
        campaign.sampled_at = live.now
        figures: dict[str, float | int | str | None] = {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in msgspec.structs.asdict(decision.figures).items()
        }
        live.fact(
            PacingDecided(
                at=live.utc,
                site=live.site.id,
                campaign_id=campaign.id,
                count=decision.count,
                limit=decision.limit,
                figures=figures,
            )
        )

    def _previews(self, campaign: CampaignLive) -> None:
        """Each ready agent is shown a lead; the dialling waits for the agent (CAMP-06)."""
        desks = sorted(self._desks.ready_of(campaign), key=lambda desk: (desk.since_at, desk.id))
        if not desks:
            campaign.limit = "agents"
            return
        for desk in desks:
            if not desk.can_take:
                continue  # given its own callback meanwhile
            lead = self._next_call.next_lead(campaign, desk)
            if lead is None:
                return
            self._next_call.show(campaign, desk, lead)
        campaign.limit = "preview"
