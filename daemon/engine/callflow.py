"""The life of each call, from intent to its one outcome. Parts of the engine meet here: law, lines, desks, pacing.

Here: how a call begins, and which event or deadline leads where. What an answer sets going is in
daemon.engine.answering, the end in daemon.engine.ending; `CallFlow` is all three. Every method takes and changes live
state only; what the outside must do or know goes to `Live.out`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from daemon.agents.states import LegState
from daemon.calls import events as ev
from daemon.calls.actions import OriginateCustomer
from daemon.calls.causes import Outcome
from daemon.calls.facts import AttemptPlaced
from daemon.calls.ids import customer_leg
from daemon.calls.lead_records import Intent, Lead
from daemon.calls.states import CallState, after
from daemon.dialer import events as pacing
from daemon.engine.answering import AnsweredCalls
from daemon.engine.live import LONG_AGO, Call, CampaignLive, Desk
from daemon.engine.refusals import refused_lead, refused_number

_GONE = (ev.LegHungUp, ev.LegFailed)
_RINGS = (ev.LegRinging, ev.LegProgress)
_UP = (ev.LegAnswered, ev.LegParked)
"""Tuples of the module: a union in each `isinstance` would be made anew for every event."""


class CallFlow(AnsweredCalls):
    """See the module's first lines."""

    # ---- birth -------------------------------------------------------------------------------------------------------

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
        live.out.intents.append(self._intent(call))
        if campaign:
            campaign.calls[id] = call
            self._observe(call, pacing.CallPlaced(id.hex, live.now))
        if desk:
            self._desks.reserve(desk, call)
        self._enter(call, CallState.INTENDED, first=True)
        return call

    def _intent(self, call: Call) -> Intent:
        """The row that the store is to accept before anything leaves, with what the law allows at most."""
        live = self._live
        rules = live.law.rules(call.rule_set, live.utc) if call.rule_set else None
        return Intent(
            attempt_id=call.attempt_id,
            site=live.site.id,
            kind=call.kind,
            group_id=call.group_id,
            campaign_id=call.campaign_id,
            client_id=call.client_id,
            lead_id=call.lead_id,
            e164=call.e164,
            line_id=call.line_id,
            caller_id=call.caller_id,
            agent_id=call.desk.id if call.desk else 0,
            rule_set=call.rule_set,
            attempts_max=rules.attempts_max if rules else 0,
            attempts_days=rules.attempts_days if rules else 0,
            at=live.utc,
            known_at=_known_at(call.lead),
        )

    def intents_done(self, granted: Mapping[UUID, int], asked: tuple[UUID, ...], committed_at: float) -> None:
        """The store's answer. A grant used too late, or no longer wanted, is closed `not_placed` (DESIGN 3.4)."""
        live = self._live
        for id in asked:
            call = live.calls.get(id)
            if call is None or call.state is not CallState.INTENDED:
                continue
            if id not in granted:
                live.counters["intents_refused"] += 1
                if call.kind == "inbound":
                    self.on_caller_refused(call)
                self._vanish(call)
                continue
            call.number = granted[id]
            late = live.now - committed_at > live.dialer.intent_use_s and call.kind != "inbound"
            if late or call.outcome is not None or not live.may_act() or not live.link.synced:
                call.outcome = call.outcome or Outcome.NOT_PLACED
                self.end(call)
            elif call.kind == "inbound":
                self.on_caller_granted(call)
            elif call.desk is not None and call.desk.leg_state is not LegState.PARKED:
                self._enter(call, CallState.AGENT_FIRST)
                self._desks.ring(call.desk)
            else:
                self.dial(call)

    def intents_in_doubt(self, asked: tuple[UUID, ...]) -> None:
        """The store failed while committing: rows may exist. Each is closed `not_placed`; nothing was dialled."""
        for id in asked:
            call = self._live.calls.get(id)
            if call is not None and call.state is CallState.INTENDED:
                if call.kind == "inbound":
                    self.on_caller_refused(call)
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
                amd_arguments=campaign.record.amd_settings.arguments() if campaign and call.amd else "",
                safe_message=self._safe_message(call),
                agent_leg=call.desk.leg if call.desk else "",
                record=self.record_file(call),
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
            refused = refused_lead(live, call.lead, call.campaign.record)
        else:
            refused = refused_number(live, call.group_id, call.e164, call.rule_set)
        if refused is None:
            return True
        call.outcome = Outcome.NOT_PLACED
        call.ended_by = refused.rule
        self.end(call)
        return False

    # ---- what the PBX says -------------------------------------------------------------------------------------------

    def on_event(self, call: Call, event: ev.LegEvent) -> None:
        """An event of the customer's leg."""
        live = self._live
        if isinstance(event, _GONE):
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
        if isinstance(event, _RINGS) and call.ringing_at is None:
            call.ringing_at = live.now
            live.event(call, "ringing")
            if call.campaign and call.kind != "inbound":
                call.campaign.policy.observe(pacing.CallRinging(call.attempt_id.hex, live.now))
        if isinstance(event, _UP) and call.answered_at is None:
            self._on_answer(call)
        state = after(call.state, event)
        if state is None:
            live.counters["events_meaningless"] += 1
            return
        self._enter(call, state)
        if state is CallState.WAITING and isinstance(event, ev.LegParked):
            self._on_parked(call)

    # ---- deadlines ---------------------------------------------------------------------------------------------------

    def on_deadline(self, kind: str, call: Call) -> None:
        """A timer of this call has come."""
        live = self._live
        if not live.link.synced:
            return  # nothing can be done or known now; the next snapshot reconciles each call
        if kind == "need":
            if call.state is CallState.WAITING:
                self.abandon(call)
        elif kind == "verdict":
            if call.state is CallState.ANSWERED:
                self.park_unseen(call)
            elif call.state in (CallState.DIALLING, CallState.RINGING):
                live.counters["silent_originates"] += 1
                self.hang_up(call, by="engine", outcome=None)
                live.timers.set(("gone", call.attempt_id), live.now + live.dialer.verdict_grace_s)
        elif kind in ("message", "unbridged", "returned"):
            if call.state is not CallState.ENDED:
                self.hang_up(call, by="engine")
        elif kind == "gone" and call.state is not CallState.ENDED:
            # Our hang-up was not followed by an end: the PBX does not know the leg, or its end was lost.
            live.counters["ends_lost"] += 1
            call.outcome = call.outcome or (Outcome.CONNECTED if call.connected_at is not None else Outcome.UNKNOWN)
            self.end(call)


def _known_at(lead: Lead | None) -> datetime | None:
    """The latest attempt or refusal that a claimed lead's facts know of; None if it comes from no claim."""
    if lead is None or not lead.list_id:
        return None
    return max([*lead.attempt_times, lead.refused_at or LONG_AGO], default=LONG_AGO)
