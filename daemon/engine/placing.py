"""Which calls to place now: hopper, law at that instant, a line, a caller ID, an agent where the mode reserves one.

Called for campaigns that are dirty (something happened), and for those on which time alone has a bearing, at each tick.
Predictive campaigns ask the pacing policy how many; the others give each ready agent one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from daemon.agents.states import AgentState
from daemon.calls.facts import LeadReleased, PacingDecided, RefusalFact
from daemon.calls.records import CampaignMode, CampaignState, Lead
from daemon.calls.states import CallState
from daemon.compliance.zones import day_part
from daemon.dialer.estimates import CALL_BIN_S
from daemon.dialer.ledger import hour_key
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, CampaignLive, Claim, Desk, Live
from daemon.engine.outlook import Outlook
from daemon.engine.pooling import join

CALLBACK_GRACE_S = 300.0
"""A due callback waits so long for its own agent, then anybody takes it (CALB-01)."""

CALLBACK_RETRY_S = 30.0
"""A callback whose own agent is busy is looked at again after so long."""

CLAIM_RETRY_S = 1.0
"""After an empty claim, the next one; new leads cut this short (LEAD-06)."""

QUIET_S = 2.0
"""A campaign on which only news has a bearing is looked at this often all the same."""

_WAITS_FOR_NEWS = frozenset(
    {"agents", "one_to_one", "preview", "mode", "stopped", "paused", "link", "resync", "pbx_stopping", "store"}
)
"""What ends these limits is always an event or a command, never time."""

CLAIM_MAX = 200
HANDED_OVER_MAX = 100

ONE_EACH = frozenset({"cautious_start", "one_to_one", "abandonment_room"})
"""Where one call an agent is the rule: beside other campaigns that dial for the same agents, it gets its own agent."""

SAMPLE_S = 5.0
"""A decision that places nothing is stored at most this often; each one that places is stored within a second."""


class Placing:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live = live
        self._calls = calls
        self._desks = desks
        self._outlook = Outlook(live)

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
            return min(quiet, max(tick, campaign.claim_after_at))
        decision, alone = campaign.decision, len(live.campaigns) == 1
        predictive = campaign.record.mode is CampaignMode.PREDICTIVE and decision is not None and decision.count == 0
        if predictive and alone and campaign.limit != "cps":
            # Pacing counts ages by bins: before the next one begins its answer would be the same.
            return (live.now // CALL_BIN_S + 1.0) * CALL_BIN_S
        return tick

    def _look(self, campaign: CampaignLive) -> None:
        self._refill_tokens(campaign)
        campaign.policy.strike(hour_key(self._live.utc, campaign.record.zone))
        if campaign.state is not CampaignState.RUNNING:
            self._give_back_hopper(campaign)
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
        self._top_up(campaign)

    def _callers_wait(self, campaign: CampaignLive) -> bool:
        """Whether somebody who called in waits for an agent of this campaign: those go first, nothing is placed."""
        live = self._live
        for other in live.campaigns.values():
            if not other.stages["waiting"] or not other.record.inbound.dids:
                continue
            if not any(c.kind == "inbound" and c.state is CallState.WAITING for c in other.calls.values()):
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
        if "originate" not in live.link.capabilities:
            return "right_missing"
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
            if desk.can_take and not self._place(campaign, desk):
                return
        campaign.limit = "one_to_one"

    def _predictive(self, campaign: CampaignLive) -> None:
        live, record = self._live, campaign.record
        ready = list(self._desks.ready_of(campaign))
        # A phone that must ring first can't take a call within two seconds: reserve it.
        for desk in [desk for desk in ready if not desk.stays]:
            if self._room(campaign) <= 0 or not self._place(campaign, desk):
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
            if self._room(campaign) <= 0 or not self._place(campaign, keep):
                break
            placed += 1
        self._sample(campaign, placed)
        live.touch("campaigns", record.id)

    def _callbacks(self, campaign: CampaignLive) -> None:
        """Due callbacks of one agent, which lie first, go to their agents before others are counted as ready."""
        for _ in range(len(campaign.hopper)):
            if not self._for_another(campaign, None, campaign.hopper[0]) or self._room(campaign) <= 0:
                return
            self._to_owner(campaign, campaign.hopper.popleft())

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
            if self._lawful(campaign, lead):
                self._start(campaign, desk, lead, "callback" if lead.callback_at else "campaign")

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

    # ---- previews ----------------------------------------------------------------------------------------------

    def _previews(self, campaign: CampaignLive) -> None:
        """Each ready agent is shown a lead; the dialling waits for the agent (CAMP-06)."""
        desks = sorted(self._desks.ready_of(campaign), key=lambda desk: (desk.since_at, desk.id))
        if not desks:
            campaign.limit = "agents"
            return
        for desk in desks:
            if not desk.can_take:
                continue  # given its own callback meanwhile
            lead = self._next_lead(campaign, desk)
            if lead is None:
                return
            self.show(campaign, desk, lead)
        campaign.limit = "preview"

    def show(self, campaign: CampaignLive, desk: Desk, lead: Lead) -> None:
        """Reserve the lead to this desk for the campaign's preview time."""
        live = self._live
        desk.preview, desk.preview_campaign_id = lead, campaign.id
        self._desks.set_state(desk, AgentState.RESERVED, "preview")
        live.timers.set(("preview", desk.id), live.now + campaign.record.preview_timeout_s)

    def end_preview(self, desk: Desk, *, give_back: bool) -> Lead | None:
        """The preview is over; the lead goes back unless it is about to be dialled."""
        live = self._live
        live.timers.clear(("preview", desk.id))
        lead, desk.preview = desk.preview, None
        if lead is not None and give_back:
            self._release(desk.preview_campaign_id, lead, delay_s=60.0)
        return lead

    # ---- one call ----------------------------------------------------------------------------------------------

    def next_for(self, campaign: CampaignLive, desk: Desk) -> Lead | None:
        """The best lead that this desk may be given now (S100-12, preview)."""
        return self._next_lead(campaign, desk)

    def place(self, campaign: CampaignLive, desk: Desk, lead: Lead, kind: str) -> Call | None:
        """Place a call to a given lead for this desk; None (lead given back) if no line or caller ID is free."""
        return self._start(campaign, desk, lead, kind)

    def _place(self, campaign: CampaignLive, desk: Desk | None) -> bool:
        lead = self._next_lead(campaign, desk)
        if lead is None:
            return False
        return self._start(campaign, desk, lead, "callback" if lead.callback_at else "campaign") is not None

    def _next_lead(self, campaign: CampaignLive, desk: Desk | None) -> Lead | None:
        """The next lead that the law lets us call at this instant; refused ones leave with their rule."""
        aside: list[Lead] = []
        try:
            for _ in range(len(campaign.hopper)):
                lead = campaign.hopper.popleft()
                if desk is None and lead.abandoned_at is not None:
                    aside.append(lead)  # see _recall
                elif self._for_another(campaign, desk, lead):
                    self._to_owner(campaign, lead)
                elif self._lawful(campaign, lead):
                    return lead
        finally:
            campaign.hopper.extendleft(reversed(aside))
        campaign.limit = "leads"
        return None

    def _for_another(self, campaign: CampaignLive, desk: Desk | None, lead: Lead) -> bool:
        """A callback whose agent is another one, and not overdue."""
        mine = desk is not None and lead.callback_agent_id == desk.id
        return bool(lead.callback_agent_id) and not mine and not self._overdue(lead)

    def _lawful(self, campaign: CampaignLive, lead: Lead) -> bool:
        """Whether the law lets this lead be called at this instant; if not, the refusal is a fact."""
        live = self._live
        refused = live.law.refuses(lead, campaign.record, live.utc)
        if refused is None:
            return True
        live.counters["refused"] += 1
        live.fact(
            RefusalFact(
                at=live.utc,
                site=live.site.id,
                lead_id=lead.id,
                campaign_id=campaign.id,
                client_id=lead.client_id,
                rule=refused.rule,
                clause=refused.clause,
                rule_set=campaign.record.rule_set,
                until=refused.until,
            )
        )
        return False

    def _overdue(self, lead: Lead) -> bool:
        return lead.callback_at is None or self._live.utc >= lead.callback_at + timedelta(seconds=CALLBACK_GRACE_S)

    def _to_owner(self, campaign: CampaignLive, lead: Lead) -> None:
        """A callback goes to its own agent if ready, whoever has waited for longer (CALB-01); else it is looked at
        again soon, and its agent is not counted on meanwhile."""
        desk = self._live.desks.get(lead.callback_agent_id)
        if desk is not None and desk.can_take and campaign.id in desk.campaign_ids:
            if campaign.record.mode is CampaignMode.PREVIEW:
                self.show(campaign, desk, lead)
                return
            if self._start(campaign, desk, lead, "callback") is not None:
                return
            campaign.hopper.popleft()  # put back for want of a line or a caller ID
        elif desk is not None and desk.signed_in:
            campaign.promised[desk.id] = self._live.now + CALLBACK_RETRY_S + 5.0
        self._release(campaign.id, lead, delay_s=CALLBACK_RETRY_S)

    def _start(self, campaign: CampaignLive, desk: Desk | None, lead: Lead, kind: str) -> Call | None:
        live, record = self._live, campaign.record
        id = live.new_id()
        line = live.pool.take(record.line_ids, record.strategy, id, live.now)
        if line is None:
            campaign.limit = "lines"
            campaign.hopper.appendleft(lead)
            return None
        caller_id = live.caller_ids.choose(record, lead.e164, live.utc.date(), live.now)
        if caller_id is None:
            live.pool.give_back(line.record.id, id)
            campaign.limit = "caller_ids"
            campaign.hopper.appendleft(lead)
            return None
        campaign.tokens -= 1.0
        live.touch("lines", line.record.id)
        return self._calls.open(
            kind=kind,
            e164=lead.e164,
            group_id=record.group_id,
            client_id=record.client_id,
            campaign=campaign,
            lead=lead,
            line_id=line.record.id,
            trunk=line.record.endpoint,
            caller_id=caller_id,
            desk=desk,
            rule_set=record.rule_set,
            attempt_id=id,
        )

    # ---- the hopper --------------------------------------------------------------------------------------------

    def _top_up(self, campaign: CampaignLive) -> None:
        """Keep a few seconds of dialling claimed: enough for the agents ready and the rate in force."""
        live, record = self._live, campaign.record
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
        if campaign is None or claim.epoch != campaign.claim_epoch or campaign.state is not CampaignState.RUNNING:
            for lead in leads:
                self._release(claim.campaign_id, lead)
            if campaign is not None:
                campaign.claiming = False
                campaign.dirty = True
            return
        campaign.claiming = False
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

    def claim_failed(self, claim: Claim) -> None:
        """The store did not answer: ask again soon."""
        campaign = self._live.campaigns.get(claim.campaign_id)
        if campaign is not None:
            campaign.claiming = False
            campaign.claim_after_at = self._live.now + CLAIM_RETRY_S

    def _give_back_hopper(self, campaign: CampaignLive) -> None:
        while campaign.hopper:
            self._release(campaign.id, campaign.hopper.popleft())

    def drop_leads(
        self, campaign: CampaignLive, lead_ids: frozenset[int], e164s: frozenset[str], list_ids: frozenset[int]
    ) -> None:
        """Give back what is queued of these leads (all if nothing is named), and claim anew at once."""
        everything = not (lead_ids or e164s or list_ids)
        kept = []
        while campaign.hopper:
            lead = campaign.hopper.popleft()
            if everything or lead.id in lead_ids or lead.e164 in e164s or lead.list_id in list_ids:
                self._release(campaign.id, lead)
            else:
                kept.append(lead)
        campaign.hopper.extend(kept)
        if campaign.claiming:
            campaign.claim_epoch += 1
        campaign.claim_after_at = 0.0
        campaign.dirty = True

    def _release(self, campaign_id: int, lead: Lead, delay_s: float = 0.0) -> None:
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

    def configure(self, campaign: CampaignLive) -> None:
        """The campaign's row or live values changed: pacing keeps what it learned."""
        record = campaign.record
        settings = campaign.policy.settings
        ceiling = min(record.abandonment_rate_max, campaign.rules.ceiling)
        campaign.policy.configure(
            replace(
                settings,
                windows=tuple(
                    replace(window, ceiling=ceiling, pooled=record.pool_ledger) for window in settings.windows
                ),
                mode=type(settings.mode)(record.mode.value),
                level=record.level,
                speed=record.speed,
                ceiling=ceiling,
                ring_timeout_s=max(15.0, record.ring_timeout_s),
                amd=record.amd,
                cps_limit=record.calls_per_second,
            )
        )
        join(self._live, campaign)
        campaign.zones_until = None
        campaign.dirty = True


def _same_part(lead: Lead, now: datetime) -> bool:
    """Whether the lead was last tried at this time of the day."""
    last = lead.last_attempt_at
    return last is not None and day_part(lead.tz_group, last) == day_part(lead.tz_group, now)
