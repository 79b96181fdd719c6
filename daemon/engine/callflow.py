"""The life of each call, from intent to its one outcome. Parts of the engine meet here: law, lines, desks, pacing.

Every method takes and changes live state only; what the outside must do or know goes to `Live.out`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from daemon.agents.selection import longest_ready
from daemon.agents.states import LegState
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, OriginateCustomer, PlayMessage
from daemon.calls.causes import NETWORK_OUR_SIDE, Outcome, counts_by_law, outcome_unanswered
from daemon.calls.facts import AttemptEnded, AttemptPlaced, LeadReleased, LedgerAdded, LineSet
from daemon.calls.ids import customer_leg
from daemon.calls.records import Intent, Lead
from daemon.calls.states import STAGES, CallState, after
from daemon.compliance.zones import zone
from daemon.dialer import events as pacing
from daemon.dialer.recycling import LeadNext, after_outcome
from daemon.engine.desks import Desks
from daemon.engine.live import Call, CampaignLive, Desk, Live

RECENT_S = 600.0
"""How long an ended attempt's id is remembered, so that late events of it are told from orphans."""

UNBRIDGED_GRACE_S = 2.0
"""A customer still there this long after the conversation is hung up by us."""

RELEASE_RETRY_S = 60.0
"""A lead whose intent was refused (fence, legal limit, person being called) is looked at again after that."""


class CallFlow:
    """See the module's first lines."""

    def __init__(self, live: Live, desks: Desks) -> None:
        self._live = live
        self._desks = desks

    # ---- birth -------------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        kind: str,
        e164: str,
        group_id: int,
        client_id: int,
        campaign: CampaignLive | None,
        lead: Lead | None,
        line_id: int,
        trunk: str,
        caller_id: str,
        desk: Desk | None,
        rule_set: str,
        attempt_id: UUID | None = None,
    ) -> Call:
        """A call whose line is already leased under its id: writes the intent; nothing leaves before its commit."""
        live = self._live
        id = attempt_id or live.new_id()
        call = Call(
            attempt_id=id,
            leg=customer_leg(live.site.id, id),
            kind=kind,
            group_id=group_id,
            client_id=client_id,
            e164=e164,
            opened_at=live.now,
            opened_utc=live.utc,
            campaign=campaign,
            lead=lead,
            lead_id=lead.id if lead else 0,
            line_id=line_id,
            trunk=trunk,
            caller_id=caller_id,
            desk=desk,
            rule_set=rule_set,
            amd=bool(campaign and campaign.record.amd and "amd" in live.link.capabilities),
            ring_timeout_s=campaign.record.ring_timeout_s if campaign else 45.0,
            since_utc=live.utc,
        )
        live.calls[id] = call
        live.legs[call.leg] = call
        rules = live.law.rules(rule_set, live.utc) if rule_set else None
        live.out.intents.append(
            Intent(
                attempt_id=id,
                site=live.site.id,
                kind=kind,
                group_id=group_id,
                campaign_id=call.campaign_id,
                client_id=client_id,
                lead_id=call.lead_id,
                e164=e164,
                line_id=line_id,
                caller_id=caller_id,
                agent_id=desk.id if desk else 0,
                rule_set=rule_set,
                attempts_max=rules.attempts_max if rules else 0,
                attempts_days=rules.attempts_days if rules else 0,
                at=live.utc,
            )
        )
        if campaign:
            campaign.calls[id] = call
            self._observe(call, pacing.CallPlaced(id.hex, live.now))
        if desk:
            self._desks.reserve(desk, call)
        self._enter(call, CallState.INTENDED, first=True)
        return call

    def intents_done(self, granted: Mapping[UUID, int], asked: tuple[UUID, ...], committed_at: float) -> None:
        """The store's answer. A grant used too late, or no longer wanted, is closed `not_placed` (DESIGN 3.4)."""
        live = self._live
        for id in asked:
            call = live.calls.get(id)
            if call is None or call.state is not CallState.INTENDED:
                continue
            if id not in granted:
                live.counters["intents_refused"] += 1
                self._vanish(call)
                continue
            call.number = granted[id]
            late = live.now - committed_at > live.dialer.intent_use_s
            if late or call.outcome is not None or not live.may_act() or not live.link.synced:
                call.outcome = call.outcome or Outcome.NOT_PLACED
                self.end(call)
            elif call.desk is not None and not call.desk.stays:
                self._enter(call, CallState.AGENT_FIRST)
                self._desks.ring(call.desk)
            else:
                self.dial(call)

    def intents_in_doubt(self, asked: tuple[UUID, ...]) -> None:
        """The store failed while committing: rows may exist. Each is closed `not_placed`; nothing was dialled."""
        for id in asked:
            call = self._live.calls.get(id)
            if call is not None and call.state is CallState.INTENDED:
                call.outcome = Outcome.NOT_PLACED
                self.end(call)

    def dial(self, call: Call) -> None:
        """Originate the customer's leg; the law is asked again at this instant."""
        live = self._live
        if not self._still_allowed(call):
            return
        try:
            number = live.law.dial_string(call.e164)
        except ValueError:
            call.outcome = Outcome.NOT_PLACED
            self.end(call)
            return
        campaign = call.campaign
        deadline = campaign.rules.connect_deadline_s if campaign else 2.0
        call.placed_at = live.now
        live.fact(
            AttemptPlaced(
                at=call.utc(live.now), site=live.site.id, attempt_id=call.attempt_id, campaign_id=call.campaign_id
            )
        )
        live.event(call, "placed", line_id=call.line_id)
        live.act(
            OriginateCustomer(
                leg=call.leg,
                number=number,
                trunk=call.trunk,
                caller_id=call.caller_id,
                ring_timeout_s=call.ring_timeout_s,
                hold_s=max(live.dialer.customer_hold_s, deadline + 3.0),
                account=f"c{call.campaign_id}",
                amd=call.amd,
                safe_message=self._safe_message(call),
                agent_leg=call.desk.leg if call.desk else "",
            )
        )
        if campaign:
            campaign.placed += 1
        live.counters["originates"] += 1
        live.timers.set(("verdict", call.attempt_id), live.now + call.ring_timeout_s + live.dialer.verdict_grace_s)
        self._enter(call, CallState.DIALLING)

    def _still_allowed(self, call: Call) -> bool:
        live = self._live
        if call.lead is not None and call.campaign is not None:
            refused = live.law.refuses(call.lead, call.campaign.record, live.utc)
        else:
            refused = live.law.refuses_number(call.e164, call.rule_set, live.utc)
        if refused is None:
            return True
        call.outcome = Outcome.NOT_PLACED
        call.ended_by = refused.rule
        self.end(call)
        return False

    # ---- what the PBX says -------------------------------------------------------------------------------------

    def on_event(self, call: Call, event: ev.LegEvent) -> None:
        """An event of the customer's leg."""
        live = self._live
        if isinstance(event, ev.LegHungUp | ev.LegFailed):
            self._on_gone(call, event)
            return
        if isinstance(event, ev.AmdVerdict):
            self._on_verdict(call, event)
            return
        if isinstance(event, ev.MessagePlayed):
            if call.state is CallState.MESSAGE:
                live.event(call, "message", heard=event.heard)
                self.hang_up(call, by="engine")
            return
        if isinstance(event, ev.LegUnbridged):
            self.on_unbridged(call)
            return
        if isinstance(event, ev.ActionInDoubt):
            live.counters["in_doubt"] += 1
            return
        if isinstance(event, ev.LegRinging | ev.LegProgress) and call.ringing_at is None:
            call.ringing_at = live.now
            live.event(call, "ringing")
        if isinstance(event, ev.LegAnswered | ev.LegParked) and call.answered_at is None:
            self._on_answer(call)
        state = after(call.state, event)
        if state is None:
            live.counters["events_meaningless"] += 1
            return
        self._enter(call, state)
        if state is CallState.WAITING and isinstance(event, ev.LegParked):
            self._on_parked(call)

    def _on_answer(self, call: Call) -> None:
        live = self._live
        call.answered_at = live.now
        live.timers.clear(("verdict", call.attempt_id))
        live.pool.succeeded(call.line_id)
        live.event(call, "answered")
        if call.campaign:
            call.campaign.answered += 1
        self._observe(call, pacing.CallAnswered(call.attempt_id.hex, live.now))
        if not call.amd:
            self._need(call, live.now)

    def _need(self, call: Call, at: float) -> None:
        """From this instant the wait for an agent counts."""
        if call.need_at is None:
            call.need_at = at
            self._observe(call, pacing.NeedAgent(call.attempt_id.hex, self._live.now))

    def _on_parked(self, call: Call) -> None:
        if call.amd and not call.verdict:
            return
        self._need(call, self._live.now)
        self.offer(call)

    def _on_verdict(self, call: Call, event: ev.AmdVerdict) -> None:
        live = self._live
        if call.verdict or call.state in (CallState.CLOSING, CallState.ENDED):
            return
        call.verdict = event.verdict
        if call.answered_at is None:
            self._on_answer(call)
        live.event(call, "amd", verdict=str(event.verdict), cause=event.cause)
        human = event.verdict in (ev.Amd.HUMAN, ev.Amd.NOTSURE)
        self._observe(call, pacing.AmdVerdict(call.attempt_id.hex, live.now, human))
        if human:
            start = call.campaign.rules.clock_start if call.campaign else "answer"
            at = {"answer": call.answered_at, "greeting_end": live.now - event.greeting_end_s}.get(start)
            self._need(call, live.now if at is None else at)
            if call.state is CallState.WAITING:
                self.offer(call)
            return
        if event.verdict is ev.Amd.HANGUP:
            return
        call.outcome = Outcome.FAX if event.verdict is ev.Amd.FAX else Outcome.MACHINE
        message = call.campaign.record.voicemail_message if call.campaign else ""
        if call.outcome is Outcome.MACHINE and message and call.lead is not None and call.lead.consent_automated:
            self._enter(call, CallState.MESSAGE)
            live.act(PlayMessage(leg=call.leg, sound=message, wait_for_silence=True))
            live.timers.set(("message", call.attempt_id), live.now + 120.0)
            return
        self.hang_up(call, by="engine")

    def offer(self, call: Call) -> None:
        """Give a waiting person an agent: the one reserved, else the one ready for longest; else the clock runs."""
        live = self._live
        if call.state is not CallState.WAITING or call.waits_for_leg or not live.link.synced:
            return
        desk = call.desk
        if desk is not None and desk.leg_state is not LegState.PARKED:
            desk = None if desk.leg_state is LegState.NONE else desk
            if desk is not None:
                self._arm_need(call)
                return
        if desk is None and call.campaign is not None:
            candidates = (d for d in self._desks.ready_of(call.campaign) if d.stays)
            desk = longest_ready(candidates)
        if desk is None:
            self._arm_need(call)
            return
        self._connect(call, desk)

    def _arm_need(self, call: Call) -> None:
        deadline = call.campaign.rules.connect_deadline_s if call.campaign else self._live.dialer.connect_deadline_s
        need_at = call.need_at if call.need_at is not None else self._live.now
        self._live.timers.set(("need", call.attempt_id), need_at + deadline)

    def _connect(self, call: Call, desk: Desk) -> None:
        live = self._live
        if desk.call is not call:
            self._desks.reserve(desk, call)
            call.desk = desk
        desk.leg_state = LegState.CONNECTING
        desk.connecting = call
        self._arm_need(call)
        self._enter(call, CallState.CONNECTING)
        live.act(Connect(leg=desk.leg, customer=call.leg))
        live.timers.set(("bridge", desk.leg), live.now + live.dialer.bridge_deadline_s)

    def on_bridged(self, call: Call, desk: Desk) -> None:
        """Both are in the bridge."""
        live = self._live
        if call.state in (CallState.TALKING, CallState.CLOSING, CallState.ENDED):
            return
        live.timers.clear(("bridge", desk.leg))
        live.timers.clear(("need", call.attempt_id))
        live.timers.clear(("verdict", call.attempt_id))
        desk.leg_state, desk.connecting, desk.call, call.desk = LegState.BRIDGED, None, call, desk
        if call.answered_at is None:
            self._on_answer(call)
        self._need(call, live.now)
        call.connected_at = live.now
        call.last_agent_id = desk.id
        wait = max(0.0, live.now - (call.need_at if call.need_at is not None else live.now))
        if call.campaign:
            self._observe(call, pacing.Connected(call.attempt_id.hex, str(desk.id), live.now, wait))
            self._count(call, abandoned=False)
        self._enter(call, CallState.TALKING)
        self._desks.on_call(desk, call)
        live.event(call, "connected", wait_s=round(wait, 3))

    def on_unbridged(self, call: Call) -> None:
        """The conversation is over for one of the two; the other's end follows, or is asked for."""
        live = self._live
        if call.state is CallState.TALKING and call.unbridged_at is None:
            call.unbridged_at = live.now
            live.event(call, "unbridged")
            live.timers.set(("unbridged", call.attempt_id), live.now + UNBRIDGED_GRACE_S)

    def connect_failed(self, call: Call) -> None:
        """The offer came to nothing and the agent is free of it: offer again, or the person has gone meanwhile."""
        if call.state is CallState.CONNECTING:
            call.desk = None
            self._enter(call, CallState.WAITING)
            if self._overdue(call):
                self.abandon(call)
            else:
                self.offer(call)

    def _overdue(self, call: Call) -> bool:
        deadline = call.campaign.rules.connect_deadline_s if call.campaign else self._live.dialer.connect_deadline_s
        return call.need_at is not None and self._live.now >= call.need_at + deadline

    # ---- deadlines ---------------------------------------------------------------------------------------------

    def on_deadline(self, kind: str, call: Call) -> None:
        """A timer of this call has come."""
        live = self._live
        if not live.link.synced:
            return  # nothing can be done or known now; the next snapshot reconciles each call
        if kind == "need":
            if call.state is CallState.WAITING:
                self.abandon(call)
        elif kind == "verdict":
            if call.state in (CallState.DIALLING, CallState.RINGING):
                live.counters["silent_originates"] += 1
                self.hang_up(call, by="engine", outcome=None)
                live.timers.set(("gone", call.attempt_id), live.now + live.dialer.verdict_grace_s)
        elif kind in ("message", "unbridged"):
            if call.state is not CallState.ENDED:
                self.hang_up(call, by="engine")
        elif kind == "gone" and call.state is not CallState.ENDED:
            # Our hang-up was not followed by an end: the PBX does not know the leg, or its end was lost.
            live.counters["ends_lost"] += 1
            call.outcome = call.outcome or (Outcome.CONNECTED if call.connected_at is not None else Outcome.UNKNOWN)
            self.end(call)

    def abandon(self, call: Call) -> None:
        """Nobody was there in time: safe-harbour message, then the end (CAMP-09)."""
        live = self._live
        call.outcome = Outcome.ABANDONED
        live.event(call, "abandoned", waited_s=round(live.now - (call.need_at or live.now), 3))
        self._observe(call, pacing.Abandoned(call.attempt_id.hex, live.now))
        self._count(call, abandoned=True)
        self._drop_desk(call)
        sound = self._safe_message(call)
        if not sound:
            self.hang_up(call, by="engine")
            return
        self._enter(call, CallState.MESSAGE)
        live.act(PlayMessage(leg=call.leg, sound=sound))
        live.timers.set(("message", call.attempt_id), live.now + 60.0)

    def _safe_message(self, call: Call) -> str:
        live = self._live
        if call.campaign is None or "play_message" not in live.link.capabilities:
            return ""
        return call.campaign.record.safe_message or live.dialer.safe_message

    def hang_up(self, call: Call, *, by: str, outcome: Outcome | None = None, cause: int = 16) -> None:
        """Ask for the end of the customer's leg; the call ends when the PBX says so, or after a bound."""
        live = self._live
        call.outcome = call.outcome or outcome
        call.ended_by = call.ended_by or by
        if call.state is CallState.INTENDED:
            call.outcome = call.outcome or Outcome.NOT_PLACED  # closed when its commit answers
            return
        if call.state is CallState.AGENT_FIRST:
            call.outcome = call.outcome or Outcome.CANCELLED
            self.end(call)
            return
        if call.state in (CallState.CLOSING, CallState.ENDED):
            return
        if call.state is CallState.TALKING and call.unbridged_at is None:
            call.unbridged_at = live.now
        live.act(Hangup(leg=call.leg, cause=cause))
        live.timers.set(("gone", call.attempt_id), live.now + live.dialer.verdict_grace_s)
        self._enter(call, CallState.CLOSING)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _on_gone(self, call: Call, event: ev.LegHungUp | ev.LegFailed) -> None:
        """The PBX says the customer's leg is over (or never was)."""
        if call.state in (CallState.INTENDED, CallState.AGENT_FIRST, CallState.ENDED):
            self._live.counters["events_meaningless"] += 1
            return
        hung = event if isinstance(event, ev.LegHungUp) else ev.LegHungUp(at=event.at, leg=event.leg)
        if call.outcome is None:
            call.outcome = self._outcome(call, hung, channel=isinstance(event, ev.LegHungUp))
        if not call.ended_by:
            call.ended_by = "customer"
        self.end(call, hung.cause, hung.tech_cause)

    def _outcome(self, call: Call, hung: ev.LegHungUp, *, channel: bool) -> Outcome:
        if call.connected_at is not None:
            return Outcome.CONNECTED
        if call.verdict == ev.Amd.HANGUP:
            return Outcome.NO_ANSWER
        if call.answered_at is not None or hung.was_up:
            if call.state is CallState.CONNECTING or (call.desk is not None and not self._overdue(call)):
                return Outcome.CANCELLED  # a person who left while an agent was being given to them, in time
            return Outcome.ABANDONED
        if call.state is CallState.CLOSING and call.ended_by not in ("", "customer"):
            return Outcome.CANCELLED
        if not channel:
            return Outcome.FAILED
        return outcome_unanswered(hung.cause, hung.tech_cause, hung.dial_status, call.ringing_at is not None)

    def end(self, call: Call, cause: int = 0, tech_cause: int | None = None) -> None:
        """The one end of a call: facts, lead, line, agent, pacing. Needs `call.outcome`."""
        live, campaign, outcome = self._live, call.campaign, call.outcome or Outcome.UNKNOWN
        if call.connected_at is not None:
            call.talk_s = max(0.0, (call.unbridged_at or live.now) - call.connected_at)
            outcome = Outcome.CONNECTED if outcome in (Outcome.CANCELLED, Outcome.UNKNOWN) else outcome
        if outcome is Outcome.ABANDONED and not call.counted_live:
            self._observe(call, pacing.Abandoned(call.attempt_id.hex, live.now))
            self._count(call, abandoned=True)
        counted = counts_by_law(outcome, reached_network=call.placed_at is not None)
        following = self._lead_after(call, outcome)
        live.fact(
            AttemptEnded(
                at=call.utc(live.now),
                site=live.site.id,
                attempt_id=call.attempt_id,
                campaign_id=call.campaign_id,
                lead_id=call.lead_id,
                client_id=call.client_id,
                outcome=outcome,
                cause=cause,
                tech_cause=tech_cause,
                ended_by=call.ended_by,
                agent_id=call.last_agent_id or (call.desk.id if call.desk else 0),
                ring_s=_span(call.ringing_at, call.answered_at or live.now),
                answered_at=None if call.answered_at is None else call.utc(call.answered_at),
                connected_at=None if call.connected_at is None else call.utc(call.connected_at),
                wait_s=_span(call.need_at, call.connected_at),
                talk_s=round(call.talk_s, 3),
                amd=call.verdict,
                counted=counted,
                live=call.need_at is not None,
                lead_eligible_at=following.eligible_at,
                lead_blocked_by=following.blocked_by,
                lead_recycled=following.recycled,
                lead_recycle_priority=following.priority,
            )
        )
        live.event(call, "ended", outcome=str(outcome), cause=cause)
        if campaign:
            campaign.outcomes[outcome] += 1
            self._observe(call, pacing.CallEnded(call.attempt_id.hex, live.now, str(outcome)))
        self._line_verdict(call, outcome)
        call.outcome = outcome
        self._forget(call)

    def _lead_after(self, call: Call, outcome: Outcome) -> LeadNext:
        lead, campaign = call.lead, call.campaign
        if lead is None or campaign is None:
            return (
                LeadNext(self._live.utc + timedelta(seconds=14_400.0), "recycling")
                if call.lead_id
                else LeadNext(None, "")
            )
        record = campaign.record
        rules = record.recycling
        if outcome is Outcome.NOT_PLACED or (outcome in NETWORK_OUR_SIDE and call.placed_at is None):
            return LeadNext(self._live.utc + timedelta(seconds=1.0), "")
        following = after_outcome(outcome, rules, lead.recycled, lead.failures + 1, record.gap_min_s, self._live.utc)
        recall = campaign.rules.recall_after_s
        if outcome is Outcome.ABANDONED and recall and following.eligible_at is not None:
            at = max(following.eligible_at, self._live.utc + timedelta(seconds=recall))
            return LeadNext(at, following.blocked_by, following.recycled, following.priority)
        return following

    def _line_verdict(self, call: Call, outcome: Outcome) -> None:
        """Congestion and failures in a row send the line to rest, with the reason (TELC-11)."""
        live = self._live
        if call.placed_at is None:
            return
        if outcome in (Outcome.CONGESTION, Outcome.FAILED):
            rested = live.pool.failed(call.line_id, str(outcome), live.now)
            if rested is not None:
                until: datetime = live.utc + timedelta(seconds=live.dialer.line_rest_s)
                live.fact(
                    LineSet(
                        at=live.utc, site=live.site.id, line_id=call.line_id, resting_until=until, reason=str(outcome)
                    )
                )
                live.alerts[f"line {call.line_id}"] = "line_resting"
        elif call.answered_at is None and outcome is not Outcome.CANCELLED:
            live.pool.succeeded(call.line_id)

    def _vanish(self, call: Call) -> None:
        """An intent that the store refused: no row exists, so no fact of the attempt; the lead goes back."""
        live = self._live
        if call.lead_id:
            live.fact(
                LeadReleased(
                    at=live.utc,
                    site=live.site.id,
                    lead_id=call.lead_id,
                    campaign_id=call.campaign_id,
                    eligible_at=live.utc + timedelta(seconds=RELEASE_RETRY_S),
                )
            )
        self._observe(call, pacing.CallEnded(call.attempt_id.hex, live.now, "not_placed"))
        call.outcome = Outcome.NOT_PLACED
        self._forget(call)

    def _forget(self, call: Call) -> None:
        live = self._live
        for kind in ("need", "verdict", "message", "unbridged", "gone"):
            live.timers.clear((kind, call.attempt_id))
        live.pool.give_back(call.line_id, call.attempt_id)
        live.touch("lines", call.line_id)
        self._enter(call, CallState.ENDED)
        live.calls.pop(call.attempt_id, None)
        live.legs.pop(call.leg, None)
        live.recent[call.attempt_id] = live.now
        if call.campaign:
            call.campaign.calls.pop(call.attempt_id, None)
            call.campaign.dirty = True
        self._drop_desk(call)

    def _drop_desk(self, call: Call) -> None:
        desk, call.desk = call.desk, None
        if desk is not None:
            self._desks.call_over(desk, call)

    # ---- small things ------------------------------------------------------------------------------------------

    def _enter(self, call: Call, state: CallState, *, first: bool = False) -> None:
        live, campaign = self._live, call.campaign
        if campaign:
            if not first:
                campaign.stages[STAGES.get(call.state, "")] -= 1
            if state is not CallState.ENDED:
                campaign.stages[STAGES[state]] += 1
            campaign.dirty = True
            live.touch("campaigns", campaign.id)
        if state is not call.state:
            call.since_utc = live.utc
        call.state = state
        live.touch("calls", call.attempt_id)

    def enter(self, call: Call, state: CallState) -> None:
        """Set the state as recovery found it."""
        self._enter(call, state)

    def _observe(self, call: Call, event: pacing.PacingEvent) -> None:
        if call.campaign:
            call.campaign.policy.observe(event)

    def _count(self, call: Call, *, abandoned: bool) -> None:
        """One live answer in the ledger, once a call."""
        live, campaign = self._live, call.campaign
        if campaign is None or call.counted_live:
            return
        call.counted_live = True
        hour = clock_hour(live.utc, campaign.record.zone)
        live.fact(
            LedgerAdded(
                at=live.utc,
                site=live.site.id,
                campaign_id=campaign.id,
                hour=hour,
                answered_live=1,
                abandoned=int(abandoned),
                connected=int(not abandoned),
            )
        )

    def machine_reported(self, call: Call) -> None:
        """An agent says it was a machine: no live answer, so the ledger takes the conversation back, in its hour."""
        live, campaign = self._live, call.campaign
        if campaign is None or call.outcome is Outcome.ABANDONED or not call.counted_live:
            return
        call.counted_live = False
        self._observe(call, pacing.MachineReported(call.attempt_id.hex, live.now))
        at = live.utc if call.connected_at is None else call.utc(call.connected_at)
        live.fact(
            LedgerAdded(
                at=live.utc,
                site=live.site.id,
                campaign_id=campaign.id,
                hour=clock_hour(at, campaign.record.zone),
                answered_live=-1,
                connected=-1,
            )
        )


def clock_hour(utc: datetime, zone_name: str) -> datetime:
    """The start, in UTC, of the clock hour that `utc` is in, as clocks in the zone strike it."""
    local = utc.astimezone(zone(zone_name))
    return (local.replace(minute=0, second=0, microsecond=0)).astimezone(UTC)


def _span(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 3)
