"""The engine of one site, without I/O: it alone holds the live state, hears events and answers with decisions.

`batch(now, utc)` opens a batch, `handle` takes one inbox item, `finish` runs timers and placing; what is to be done is
in `live.out`. The runner (daemon.engine.runner) supplies time, awaits the store and speaks to the PBX.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from daemon.calls import events as ev
from daemon.calls.ids import attempt_of
from daemon.calls.lead_counts import LeadCounts
from daemon.calls.lead_records import AgentStateRow, Lead, OpenAttempt
from daemon.dialer.ledger import hour_key
from daemon.engine.agent_commands import AgentCommands
from daemon.engine.by_hand import CallsByHand
from daemon.engine.callflow import CallFlow
from daemon.engine.clicked import ClickedCalls
from daemon.engine.commands import AnyCommand
from daemon.engine.day import begin_anew
from daemon.engine.desks import Desks
from daemon.engine.ending import RECENT_S
from daemon.engine.holding import Holding
from daemon.engine.hopper import Hopper
from daemon.engine.inbound import Inbound
from daemon.engine.law import Law
from daemon.engine.live import LONG_AGO, Call, Claim, Desk, Live
from daemon.engine.loading import Loading, Rows
from daemon.engine.next_call import NextCall
from daemon.engine.offering import Offering
from daemon.engine.operate import Operations
from daemon.engine.pbx_link import PbxLink
from daemon.engine.placing import Placing
from daemon.engine.publish import Publisher
from daemon.engine.quality import Quality
from daemon.engine.recordings import Recordings
from daemon.engine.recovery import Recovery
from daemon.engine.second_line import SecondLine
from daemon.engine.supervise import Supervision
from daemon.engine.third_parties import ThirdParties
from daemon.engine.transfers import Transfers
from daemon.settings import DialerTable, SiteTable

log = structlog.get_logger(__name__)

IDLE_S = 2.0
"""With nothing to do a batch still runs this often: it shows that the engine lives, and hears the clock strike."""

STEP_S = 2.0
"""The wall's clock against our own, from one batch to the next: more is no slewing (DESIGN 7)."""

QUARTER = timedelta(minutes=15)
"""Clock hours of every zone begin at quarters of an hour."""


class EngineCore:
    """See the module's first lines."""

    def __init__(self, site: SiteTable, dialer: DialerTable, law: Law, rng: random.Random) -> None:
        self.live = Live(site, dialer, law, rng)
        self.desks = Desks(self.live)
        self.calls = CallFlow(self.live, self.desks)
        self.hopper = Hopper(self.live)
        self.next_call = NextCall(self.live, self.calls, self.desks, self.hopper)
        self.loading = Loading(self.live, self.desks, self.hopper)
        self.placing = Placing(self.live, self.desks, self.hopper, self.next_call, self.calls)
        self.link = PbxLink(self.live, self.desks)
        self.recovery = Recovery(self.live, self.calls, self.desks)
        self.clicked = ClickedCalls(self.live, self.calls)
        obstacle = self.placing.site_obstacle
        self.by_hand = CallsByHand(self.live, self.calls, self.desks, self.next_call, self.clicked, obstacle)
        self.second_line = SecondLine(self.live, self.desks, self.clicked, obstacle)
        self.agent_commands = AgentCommands(self.live, self.calls, self.desks, self.hopper, self.next_call)
        self.operations = Operations(self.live, self.calls, self.hopper)
        self.publisher = Publisher(self.live)
        self.holding = Holding(self.live, self.calls, self.desks)
        self.third_parties = ThirdParties(self.live, self.calls, self.desks, self.holding)
        self.transfers = Transfers(self.live, self.calls, self.holding, self.third_parties)
        self.supervision = Supervision(self.live, self.transfers, self.third_parties)
        self.recordings = Recordings(self.live, self.transfers)
        self.inbound = Inbound(self.live, self.calls, self.desks)
        self.offering = Offering(self.live, self.calls, self.desks, self.inbound)
        self.quality = Quality(self.live)
        self.operations.more = (self.agent_commands, self.by_hand, self.transfers, self.supervision, self.recordings)
        self._quarter = (LONG_AGO, LONG_AGO)
        self._wire()
        self.live.touch("links", site.id)

    def _wire(self) -> None:
        desks = self.desks
        desks.on_idle = self.offering.desk_idle
        desks.end_preview = lambda desk, give_back: self.next_call.end_preview(desk, give_back=give_back)
        self.hopper.withdraw = self.by_hand.preview_over
        self.loading.check_startable = self.operations.check_startable
        desks.on_bridged = self.calls.on_bridged
        desks.on_unbridged = self.calls.on_unbridged
        desks.on_connect_failed = self.calls.connect_failed
        desks.on_leg_up = lambda desk, call: self.calls.dial(call)
        desks.on_phone_there = self.calls.on_phone_there
        desks.on_leg_lost = self.offering.agent_leg_lost
        self.calls.on_over = self._call_over
        self.calls.keeps_phone = self.second_line.keeps
        self.calls.before_connect = self.recordings.before_connect
        self.calls.record_file = self.recordings.file_for
        self.calls.patience_s = self.inbound.patience_s
        self.calls.choose = self.inbound.choose
        self.calls.on_caller_granted = self.inbound.granted
        self.calls.on_caller_refused = self.inbound.refused
        self.calls.on_caller_overdue = self.inbound.overdue
        self.inbound.spare = self.recovery.spared.add
        self.holding.on_release = self.supervision.left_alone
        self.recovery.on_settled = self._settled
        self.recovery.on_held = self.third_parties.held_meanwhile
        self.recovery.on_talking = self.recordings.adopted

    def _call_over(self, call: Call) -> None:
        self.recordings.over(call)
        self.inbound.over(call)
        self.third_parties.call_over(call)

    # ---- time --------------------------------------------------------------------------------------------------

    def batch(self, now: float, utc: datetime) -> None:
        """Open a batch at this instant. A new clock hour is rung in before anything is booked under it."""
        live = self.live
        stepped_s = (utc - live.utc).total_seconds() - (now - live.now)
        live.now, live.utc = now, utc
        if abs(stepped_s) > STEP_S and live.campaigns:
            self._clock_stepped(stepped_s)
        if not self._quarter[0] <= utc < self._quarter[1]:
            begin_anew(live, self._quarter[0])
            start = utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)
            self._quarter = (start, start + QUARTER)
            for campaign in self.live.campaigns.values():
                campaign.policy.strike(hour_key(utc, campaign.record.zone))
                campaign.dirty = True

    def _clock_stepped(self, by_s: float) -> None:
        """The wall's clock was set: what was found open or shut was found at another time."""
        live = self.live
        live.counters["clock_steps"] += 1
        log.warning("clock.stepped", site=live.site.id, by_s=round(by_s, 3))
        for campaign in live.campaigns.values():
            campaign.zones_until = None
            campaign.look_at = live.now
            campaign.dirty = True

    def next_deadline(self) -> float:
        """When `finish` must run next, even if nothing happens."""
        at = min(self.live.now + IDLE_S, self.placing.next_look(), self.publisher.due_at)
        timer = self.live.timers.next_deadline()
        return at if timer is None or timer > at else timer

    def finish(self) -> None:
        """Timers that are due, then placing."""
        live = self.live
        for key in live.timers.due(live.now):
            self._deadline(key)
        self._housekeeping()
        self.placing.run()

    def _settled(self, seen: dict[str, ev.LegSeen]) -> None:
        self.third_parties.settle(seen)
        self.loading.see_off()

    def _housekeeping(self) -> None:
        live = self.live
        old = live.now - RECENT_S
        while live.recent and next(iter(live.recent.values())) <= old:
            del live.recent[next(iter(live.recent))]
        self.loading.sweep()

    def _deadline(self, key: tuple[str, Any]) -> None:
        kind, id = key
        live = self.live
        if kind == "side":
            self.third_parties.on_deadline(id)
        elif kind in ("greeted", "place"):
            caller = live.calls.get(id)
            if caller is not None and live.link.synced:
                self.inbound.on_deadline(kind, caller)
        elif kind in ("need", "verdict", "message", "unbridged", "gone", "returned"):
            call = live.calls.get(id)
            if call is not None:
                self.calls.on_deadline(kind, call)
        elif kind == "bridge":
            desk = live.legs.get(id)
            if isinstance(desk, Desk):
                self.desks.on_bridge_deadline(desk)
        elif kind in ("agentring", "agentgone"):
            self._agent_leg_silent(kind, id)
        elif kind == "caller_id":
            self._number_rested(id)
        elif kind == "line_rest":
            self._line_rested(id)
        elif kind == "next_line":
            self.hopper.hand_over(id)
        elif kind == "second_line":
            self.second_line.on_deadline(id)
        elif id in live.desks:
            desk = live.desks[id]
            if kind == "wrap":
                self.desks.on_wrap_deadline(desk)
            elif kind == "rering":
                self.desks.rering(desk)
            elif kind == "preview":
                self.by_hand.preview_over(desk)
            elif kind == "overrun":
                live.touch("agents", desk.id)

    def _line_rested(self, id: int) -> None:
        live = self.live
        line = live.pool.lines.get(id)
        if line is None or live.now >= line.rests_until_at:
            live.alerts.pop(f"line {id}", None)
            live.touch("lines", id)
            self.link.all_dirty()

    def _number_rested(self, id: int) -> None:
        live = self.live
        if live.caller_ids.wake(id, live.now):
            number = live.caller_ids.numbers.get(id)
            live.alerts.pop(f"caller ID {number.record.e164}" if number else "", None)

    def _agent_leg_silent(self, kind: str, leg: str) -> None:
        live = self.live
        desk = live.legs.get(leg)
        if not isinstance(desk, Desk) or not live.link.synced:
            return
        if kind == "agentring":
            live.counters["silent_originates"] += 1
            self.desks.hang_up(desk)
        else:  # our hang-up was never confirmed: the PBX does not know the leg
            live.counters["ends_lost"] += 1
            self.desks.on_event(desk, ev.LegHungUp(at=live.now, leg=leg))

    # ---- the PBX -----------------------------------------------------------------------------------------------

    def handle(self, event: ev.PbxEvent) -> None:
        """One event of the driver."""
        live = self.live
        if isinstance(event, ev.LegEvent):
            self._leg_event(event)
        elif isinstance(event, ev.MediaQuality):
            self.quality.heard(event)
        elif isinstance(event, ev.InboundArrived):
            self.inbound.arrived(event)
        elif isinstance(event, ev.ExtensionChanged):
            self.link.phone(event)
        elif isinstance(event, ev.TrunkChanged):
            self.link.trunk(event)
        elif isinstance(event, ev.LinkUp):
            self.link.up(event)
        elif isinstance(event, ev.LinkDown):
            self.link.down(event)
        elif isinstance(event, ev.PbxSnapshot):
            self.recovery.reconcile(event)
            live.touch("links", live.site.id)
            for campaign in live.campaigns.values():
                campaign.dirty = True
        elif isinstance(event, ev.PbxStopping):
            live.link.stopping = True
            live.touch("links", live.site.id)

    def _leg_event(self, event: ev.LegEvent) -> None:
        live = self.live
        owner = live.legs.get(event.leg)
        if isinstance(owner, Call):
            if owner.kind == "inbound" and not owner.adopted and isinstance(event, ev.LegParked):
                owner.adopted = True  # ours, but not answered yet: it is offered when it waits again
                return
            if isinstance(event, ev.ActionRefused):
                self.recordings.refused(owner, event)
            if owner.unsure and isinstance(event, ev.LegHungUp):
                self.recovery.recall(owner)
            if not self.third_parties.customer_event(owner, event):
                self.calls.on_event(owner, event)
        elif isinstance(owner, Desk):
            if not self.third_parties.desk_event(owner, event):
                self.desks.on_event(owner, event)
        elif (side := live.sides.get(event.leg)) is not None:
            (self.supervision if side.purpose == "spy" else self.third_parties).on_event(side, event)
        elif isinstance(event, ev.LegHungUp | ev.LegFailed | ev.ActionInDoubt | ev.LegUnbridged | ev.MessagePlayed) or (
            attempt_of(event.leg) in live.recent and isinstance(event, ev.LegRinging | ev.LegProgress)
        ):
            live.counters["events_late"] += 1
            if isinstance(event, ev.LegHungUp):
                self.recovery.spared.discard(event.leg)
        elif live.link.synced:
            self.recovery.orphan(event.leg)

    # ---- the store's answers -----------------------------------------------------------------------------------

    def intents_done(self, granted: Mapping[UUID, int], asked: tuple[UUID, ...], committed_at: float) -> None:
        """See CallFlow.intents_done."""
        self.calls.intents_done(granted, asked, committed_at)

    def intents_failed(self, asked: tuple[UUID, ...]) -> None:
        """See CallFlow.intents_in_doubt."""
        self.calls.intents_in_doubt(asked)

    def claimed(self, claim: Claim, leads: list[Lead] | None) -> None:
        """The answer to a claim; None = the store failed."""
        if leads is None:
            self.hopper.claim_failed(claim)
        else:
            self.hopper.claimed(claim, leads)

    def counted(self, campaign_id: int, counts: LeadCounts, tz_groups: Sequence[str]) -> None:
        """How the campaign's leads stand, and where their people are."""
        campaign = self.live.campaigns.get(campaign_id)
        if campaign is None:
            return
        campaign.lead_counts, campaign.next_due_utc = dict(counts.by_reason), counts.next_at
        if tuple(tz_groups) != campaign.tz_groups:
            campaign.tz_groups, campaign.zones_until = tuple(tz_groups), None
        campaign.dirty = True
        self.live.touch("campaigns", campaign_id)

    def command(self, command: AnyCommand) -> dict[str, Any]:
        """Apply a command. Raises CommandError."""
        return self.operations.apply(command)

    # ---- the store's rows --------------------------------------------------------------------------------------

    def load(self, rows: Rows) -> None:
        """See Loading.load."""
        self.loading.load(rows)

    def adopt(self, attempts: Iterable[OpenAttempt], agents: Iterable[AgentStateRow]) -> None:
        """At start, after `load`: see Recovery.adopt."""
        attempts, agents = list(attempts), list(agents)
        self.loading.stand_in(attempts, agents)
        self.recovery.adopt(attempts, agents)
        self.loading.see_off()
