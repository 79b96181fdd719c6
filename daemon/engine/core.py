"""The engine of one site, without I/O: it alone holds the live state, hears events and answers with decisions.

`batch(now, utc)` opens a batch, `handle` takes one inbox item, `finish` runs timers and placing; what is to be done is
in `live.out`. The runner (daemon.engine.runner) supplies time, awaits the store and speaks to the PBX.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls import records as rec
from daemon.calls.causes import Outcome
from daemon.calls.facts import LinkChanged
from daemon.calls.ids import attempt_of
from daemon.calls.records import Campaign, CampaignState
from daemon.calls.states import CallState
from daemon.dialer.ledger import LedgerRow, hour_key
from daemon.engine.agent_commands import AgentCommands
from daemon.engine.by_hand import CallsByHand
from daemon.engine.callflow import CallFlow
from daemon.engine.clicked import ClickedCalls
from daemon.engine.commands import AnyCommand
from daemon.engine.desks import Desks
from daemon.engine.ending import RECENT_S
from daemon.engine.holding import Holding
from daemon.engine.hopper import Hopper
from daemon.engine.inbound import Inbound
from daemon.engine.law import Law
from daemon.engine.live import LONG_AGO, Call, CampaignLive, Claim, Desk, Live
from daemon.engine.next_call import NextCall
from daemon.engine.operate import Operations
from daemon.engine.placing import Placing
from daemon.engine.policies import configure, new_policy
from daemon.engine.pooling import join
from daemon.engine.publish import Publisher
from daemon.engine.quality import Quality
from daemon.engine.recordings import Recordings
from daemon.engine.recovery import Recovery
from daemon.engine.second_line import SecondLine
from daemon.engine.supervise import Supervision
from daemon.engine.third_parties import ThirdParties
from daemon.engine.transfers import Transfers
from daemon.settings import DialerTable, SiteTable

IDLE_S = 2.0
"""With nothing to do a batch still runs this often: it shows that the engine lives, and hears the clock strike."""

QUARTER = timedelta(minutes=15)
"""Clock hours of every zone begin at quarters of an hour."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Configuration rows read from the store; `gone`: ids that are no longer there, by record class name."""

    records: Sequence[rec.Record]
    gone: Mapping[str, tuple[int, ...]]
    ledgers: Mapping[int, tuple[LedgerRow, ...]]
    tz_groups: Mapping[int, tuple[str, ...]]


class EngineCore:
    """See the module's first lines."""

    def __init__(self, site: SiteTable, dialer: DialerTable, law: Law, rng: random.Random) -> None:
        self.live = Live(site, dialer, law, rng)
        self.desks = Desks(self.live)
        self.calls = CallFlow(self.live, self.desks)
        self.hopper = Hopper(self.live)
        self.next_call = NextCall(self.live, self.calls, self.desks, self.hopper)
        self.placing = Placing(self.live, self.desks, self.hopper, self.next_call)
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
        self.quality = Quality(self.live)
        self.operations.more = (self.agent_commands, self.by_hand, self.transfers, self.supervision, self.recordings)
        self._quarter = (LONG_AGO, LONG_AGO)
        self._wire()
        self.live.touch("links", site.id)

    def _wire(self) -> None:
        desks = self.desks
        desks.on_idle = self._on_idle
        desks.on_bridged = self.calls.on_bridged
        desks.on_unbridged = self.calls.on_unbridged
        desks.on_connect_failed = self.calls.connect_failed
        desks.on_leg_up = lambda desk, call: self.calls.dial(call)
        desks.on_leg_lost = self._on_agent_leg_lost
        self.calls.on_over = self._call_over
        self.calls.keeps_phone = self.second_line.keeps
        self.calls.before_connect = self.recordings.before_connect
        self.calls.record_file = self.recordings.file_for
        self.calls.patience_s = self.inbound.patience_s
        self.calls.choose = self.inbound.choose
        self.calls.on_caller_granted = self.inbound.granted
        self.calls.on_caller_refused = self.inbound.refused
        self.calls.on_caller_overdue = self.inbound.overdue
        self.holding.on_release = self.supervision.left_alone
        self.recovery.on_settled = self.third_parties.settle
        self.recovery.on_held = self.third_parties.held_meanwhile
        self.recovery.on_talking = self.recordings.adopted

    def _call_over(self, call: Call) -> None:
        self.recordings.over(call)
        self.inbound.over(call)
        self.third_parties.call_over(call)

    # ---- time --------------------------------------------------------------------------------------------------

    def batch(self, now: float, utc: datetime) -> None:
        """Open a batch at this instant. A new clock hour is rung in before anything is booked under it."""
        self.live.now, self.live.utc = now, utc
        if not self._quarter[0] <= utc < self._quarter[1]:
            start = utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)
            self._quarter = (start, start + QUARTER)
            for campaign in self.live.campaigns.values():
                campaign.policy.strike(hour_key(utc, campaign.record.zone))
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

    def _housekeeping(self) -> None:
        live = self.live
        old = live.now - RECENT_S
        while live.recent and next(iter(live.recent.values())) <= old:
            del live.recent[next(iter(live.recent))]

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
            self._phone(event)
        elif isinstance(event, ev.TrunkChanged):
            self._trunk(event)
        elif isinstance(event, ev.LinkUp):
            self._link_up(event)
        elif isinstance(event, ev.LinkDown):
            self._link_down(event.code, event.message)
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
        elif live.link.synced:
            self.recovery.orphan(event.leg)

    def _link_up(self, event: ev.LinkUp) -> None:
        live = self.live
        link = live.link
        link.up, link.synced, link.since_utc = True, False, live.utc
        link.code, link.message, link.stopping = "", "", False
        link.mode, link.version = event.mode, event.version
        link.capabilities, link.missing = event.capabilities, event.missing
        link.restarted = event.restarted
        for desk in live.desks.values():
            self.desks.nails(desk)
        live.fact(LinkChanged(at=live.utc, site=live.site.id, up=True, mode=event.mode))
        live.touch("links", live.site.id)

    def _link_down(self, code: str, message: str) -> None:
        live = self.live
        link = live.link
        if link.up:
            link.since_utc = live.utc
            live.fact(LinkChanged(at=live.utc, site=live.site.id, up=False, code=code, message=message))
        link.up = link.synced = False
        link.code, link.message = code, message
        live.touch("links", live.site.id)
        self.all_dirty()

    def all_dirty(self) -> None:
        """Something that holds every campaign up, or no longer does: each is looked at again and shown anew."""
        for campaign in self.live.campaigns.values():
            campaign.dirty = True
            self.live.touch("campaigns", campaign.id)

    def _phone(self, event: ev.ExtensionChanged) -> None:
        live = self.live
        live.phones[event.extension] = event.state
        for desk in live.desks.values():
            if desk.record.extension == event.extension:
                desk.phone = event.state
                live.touch("agents", desk.id)
                back = desk.state is AgentState.UNREACHABLE and event.state is ev.DeviceState.IDLE
                if back and desk.leg_state is LegState.NONE:
                    live.timers.set(("rering", desk.id), live.now + 1.0)

    def _trunk(self, event: ev.TrunkChanged) -> None:
        for line in self.live.pool.lines.values():
            if line.record.endpoint == event.trunk:
                line.reachable = event.state is not ev.DeviceState.UNAVAILABLE
                self.live.touch("lines", line.record.id)

    # ---- the store's answers -----------------------------------------------------------------------------------

    def intents_done(self, granted: Mapping[UUID, int], asked: tuple[UUID, ...], committed_at: float) -> None:
        """See CallFlow.intents_done."""
        self.calls.intents_done(granted, asked, committed_at)

    def intents_failed(self, asked: tuple[UUID, ...]) -> None:
        """See CallFlow.intents_in_doubt."""
        self.calls.intents_in_doubt(asked)

    def claimed(self, claim: Claim, leads: list[rec.Lead] | None) -> None:
        """The answer to a claim; None = the store failed."""
        if leads is None:
            self.hopper.claim_failed(claim)
        else:
            self.hopper.claimed(claim, leads)

    def counted(self, campaign_id: int, counts: Mapping[str, int], tz_groups: Sequence[str]) -> None:
        """How the campaign's leads stand, and where their people are."""
        campaign = self.live.campaigns.get(campaign_id)
        if campaign is None:
            return
        campaign.lead_counts = dict(counts)
        if tuple(tz_groups) != campaign.tz_groups:
            campaign.tz_groups, campaign.zones_until = tuple(tz_groups), None
        campaign.dirty = True
        self.live.touch("campaigns", campaign_id)

    def command(self, command: AnyCommand) -> dict[str, Any]:
        """Apply a command. Raises CommandError."""
        return self.operations.apply(command)

    # ---- configuration -----------------------------------------------------------------------------------------

    def load(self, rows: Rows) -> None:
        """Rows created, changed or gone; live values of a campaign (state, speed) follow its row."""
        live = self.live
        for name, ids in rows.gone.items():
            for id in ids:
                self._remove(name, id)
        for record in sorted(rows.records, key=_load_order):
            if isinstance(record, rec.Group):
                live.groups[record.id] = record
            elif isinstance(record, rec.Status):
                live.statuses[record.id] = record
            elif isinstance(record, rec.PauseCode):
                live.pause_codes[record.id] = record
            elif isinstance(record, rec.Blocked):
                live.blocked[record.id] = record
                self._blacklist()
            elif isinstance(record, rec.CallerIdNumber):
                live.caller_ids.set(record)
            elif isinstance(record, rec.Line) and record.site == live.site.id:
                live.pool.set(record)
                live.touch("lines", record.id)
            elif isinstance(record, rec.Campaign) and record.site in ("", live.site.id):
                self._load_campaign(record, rows)
            elif isinstance(record, rec.Agent) and record.site == live.site.id:
                self._load_agent(record)
        for campaign in live.campaigns.values():
            campaign.dirty = True

    def _load_campaign(self, record: Campaign, rows: Rows) -> None:
        live = self.live
        rules = live.law.rules(record.rule_set, live.utc)
        campaign = live.campaigns.get(record.id)
        if campaign is None:
            policy, ledger = new_policy(live, record, rules, rows.ledgers.get(record.id, ()))
            campaign = CampaignLive(
                record=record, rules=rules, policy=policy, ledger=ledger, state=record.state, since_utc=live.utc
            )
            campaign.tokens_at = live.now
            campaign.tz_groups = rows.tz_groups.get(record.id, ())
            live.campaigns[record.id] = campaign
            join(live, campaign)
            for desk in live.desks.values():
                if record.id in desk.campaign_ids:
                    campaign.agents[desk.state] += 1
        else:
            hopper_changed = (campaign.record.list_ids, campaign.record.order) != (record.list_ids, record.order)
            if record.state is not campaign.state:
                self.live.touch("campaigns", record.id)
                campaign.state, campaign.since_utc = record.state, live.utc
            campaign.record, campaign.rules = record, rules
            configure(live, campaign)
            if hopper_changed:
                self.hopper.drop_leads(campaign, frozenset(), frozenset(), frozenset())
        live.touch("campaigns", record.id)

    def _load_agent(self, record: rec.Agent) -> None:
        live = self.live
        desk = live.desks.get(record.id)
        if desk is None:
            desk = live.desks[record.id] = Desk(record=record, since_at=live.now, since_utc=live.utc)
        desk.record = record
        desk.phone = live.phones.get(record.extension, ev.DeviceState.UNKNOWN)
        self.desks.nails(desk)
        if not record.enabled and desk.state is not AgentState.SIGNED_OUT:
            self.desks.sign_out(desk, "administrator")
        live.touch("agents", record.id)

    def _blacklist(self) -> None:
        self.live.blacklist = frozenset((row.group_id, row.e164) for row in self.live.blocked.values())

    def _remove(self, name: str, id: int) -> None:
        live = self.live
        if name == "Line":
            live.pool.remove(id)
            live.touch("lines", id)
        elif name == "CallerIdNumber":
            live.caller_ids.remove(id)
        elif name == "Blocked":
            live.blocked.pop(id, None)
            self._blacklist()
        elif name == "Status":
            live.statuses.pop(id, None)
        elif name == "PauseCode":
            live.pause_codes.pop(id, None)
        elif name == "Group":
            live.groups.pop(id, None)
        elif name == "Agent" and (desk := live.desks.get(id)) is not None:
            self.desks.sign_out(desk, "administrator")
            if desk.call is None:
                del live.desks[id]
            live.touch("agents", id)
        elif name == "Campaign" and (campaign := live.campaigns.get(id)) is not None:
            self.hopper.drop_leads(campaign, frozenset(), frozenset(), frozenset())
            campaign.state = CampaignState.STOPPED
            if not campaign.calls:
                del live.campaigns[id]
            live.touch("campaigns", id)

    def adopt(self, attempts: Iterable[rec.OpenAttempt], agents: Iterable[rec.AgentStateRow]) -> None:
        """At start, after `load`: see Recovery.adopt."""
        self.recovery.adopt(attempts, agents)

    # ---- between the parts -------------------------------------------------------------------------------------

    def _on_idle(self, desk: Desk) -> None:
        """A desk can take a call: whoever waits for longest comes first, then placing looks again."""
        live = self.live
        waiting = [
            call
            for campaign in self.desks.campaigns_of(desk)
            if campaign.stages["waiting"] > 0
            for call in campaign.calls.values()
            if call.state is CallState.WAITING
            and call.desk is None
            and not call.waits_for_leg
            and live.now >= call.offer_at
            and self.inbound.suits(call, desk)
        ]
        if waiting and desk.stays:
            self.calls.offer(min(waiting, key=lambda call: (-_priority(call), call.need_at or live.now)))
        for campaign in self.desks.campaigns_of(desk):
            campaign.dirty = True

    def _on_agent_leg_lost(self, desk: Desk, call: Call) -> None:
        """The agent's side of a call is gone."""
        live = self.live
        if call.state is CallState.AGENT_FIRST:
            call.outcome = call.outcome or Outcome.AGENT_NO_ANSWER
            unrung = call.outcome is Outcome.NOT_PLACED
            call.ended_by = call.ended_by or ("engine" if unrung else "agent")
            if not desk.passing and desk.next_state is None and not unrung:
                desk.next_state, desk.next_code = AgentState.PAUSED, ""
            self.calls.end(call)
        elif call.state in (CallState.CONNECTING, CallState.WAITING):
            if call.desk is desk:
                call.desk = None
                desk.call = None
                if desk.state is AgentState.RESERVED:
                    self.desks.set_state(desk, AgentState.READY)
            if call.state is CallState.CONNECTING:
                self.calls.enter(call, CallState.WAITING)
            self.calls.offer(call)
        elif call.state in (CallState.INTENDED, CallState.DIALLING, CallState.RINGING, CallState.ANSWERED):
            self.calls.hang_up(call, by="agent")
            live.counters["agents_lost_reserved"] += 1


def _priority(call: Call) -> int:
    return call.campaign.record.priority if call.campaign else 0


def _load_order(record: rec.Record) -> tuple[int, int]:
    """What others refer to comes first."""
    order = (rec.Group, rec.Status, rec.PauseCode, rec.Blocked, rec.CallerIdNumber, rec.Line, rec.Campaign, rec.Agent)
    return next((n for n, kind in enumerate(order) if isinstance(record, kind)), len(order)), record.id
