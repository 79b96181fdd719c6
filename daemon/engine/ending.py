"""The end of a call, however it comes: one outcome, and what follows for lead, line, agent, ledger and pacing.

`CallEnds` is the lowest of three layers of one object: it moves the call's state, asks for hang-ups, and closes.
Above it are daemon.engine.answering (a person who waits for an agent) and daemon.engine.callflow (birth and events).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from daemon.calls import events as ev
from daemon.calls.actions import Hangup
from daemon.calls.causes import NETWORK_OUR_SIDE, Outcome, counts_by_law, outcome_unanswered
from daemon.calls.facts import AttemptEnded, AuditFact, LeadReleased, LedgerAdded, LineSet
from daemon.calls.states import STAGES, CallState
from daemon.compliance.zones import zone
from daemon.dialer import events as pacing
from daemon.dialer.recycling import LeadNext, after_outcome
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk, Live
from daemon.engine.own_numbers import ANSWERED_OR_NOT
from daemon.engine.pooling import share

RECENT_S = 60.0
"""How long an ended attempt's id is remembered, so that late events of it are told from orphans: those of one link come
in order, so later only by as much as is unread. An older one is hung up anew, which the PBX refuses. Each second of it
holds, at 100 calls a second, 25 kB that lie among what comes and goes (600 s: memory grew for ten minutes)."""

_ENDED, _WAITING = CallState.ENDED, CallState.WAITING
"""Python 3.11 takes ten times as long to find a member of an enumeration as a name of the module."""

_WAITS = frozenset({CallState.WAITING, CallState.CONNECTING})
"""While somebody who called in waits, campaigns on the same agents place nothing; once offered, they may again."""

_NO_ROOM = frozenset({pacing.CallPlaced, pacing.CallAnswered, pacing.NeedAgent, pacing.Connected})
"""What makes no room for another call: one more in flight, a person who needs an agent counted on, or has one. What it
changes of the odds is seen with the next look, half a second later at most."""

RELEASE_RETRY_S = 60.0
"""A lead whose intent was refused (fence, legal limit, person being called) is looked at again after that."""

NEXT_LINE_S = 1.0
"""A lead whose line was congested is called on another after that: the first attempt's end is in the store by then."""

OF_THE_LINE = frozenset({Outcome.CONGESTION, Outcome.FAILED})
"""Ends that speak against the line, not the number."""


class CallEnds:
    """See the module's first lines."""

    def __init__(self, live: Live, desks: Desks) -> None:
        self._live = live
        self._desks = desks
        self.patience_s: Callable[[Call], float] = lambda call: 60.0
        self.on_over: Callable[[Call], None] = lambda call: None
        """The call has ended: whoever is beside it goes."""
        self.keeps_phone: Callable[[Call, Desk], bool] = lambda call, desk: False
        """Whether the phone stays for another attempt (daemon.engine.second_line)."""

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

    def _on_gone(self, call: Call, event: ev.LegHungUp | ev.LegFailed) -> None:
        """The PBX says the customer's leg is over (or never was)."""
        if call.state in (CallState.INTENDED, CallState.AGENT_FIRST, CallState.ENDED):
            self._live.counters["events_meaningless"] += 1
            return
        if isinstance(event, ev.LegFailed):
            hung = ev.LegHungUp(at=event.at, leg=event.leg)
            if not event.sent:
                call.outcome, call.ended_by = call.outcome or Outcome.NOT_PLACED, call.ended_by or "engine"
        else:
            hung = event
        if hung.was_up and call.answered_at is None:
            call.answered_at = self._live.now  # its answer was never told: it was no later than this
            if call.campaign and call.kind != "inbound":
                call.campaign.answered += 1
        if call.outcome is None:
            call.outcome = self._outcome(call, hung, channel=isinstance(event, ev.LegHungUp))
        if not call.ended_by:
            call.ended_by = "customer"
        self.end(call, hung.cause, hung.tech_cause)

    def _outcome(self, call: Call, hung: ev.LegHungUp, *, channel: bool) -> Outcome:
        if call.connected_at is not None:
            return Outcome.CONNECTED
        if call.kind == "inbound":
            return Outcome.MISSED
        if call.verdict == ev.Amd.HANGUP:
            return Outcome.NO_ANSWER
        if call.answered_at is not None or hung.was_up:
            if call.desk is not None and (call.unsure or (call.adopted and call.state is CallState.ANSWERED)):
                return Outcome.UNKNOWN  # given to an agent in an earlier life: whether they talked nobody saw
            if call.desk is not None and not self._overdue(call):
                return Outcome.CANCELLED  # a person who left while an agent was being given to them, in time
            return Outcome.ABANDONED
        if call.state is CallState.CLOSING and call.ended_by not in ("", "customer"):
            return Outcome.CANCELLED
        if not channel:
            return Outcome.FAILED
        return outcome_unanswered(hung.cause, hung.tech_cause, hung.dial_status, call.ringing_at is not None)

    def deadline_s(self, call: Call) -> float:
        """How long a person may wait for an agent: the law's seconds, or a caller's patience."""
        if call.kind == "inbound":
            return self.patience_s(call)
        return call.campaign.rules.connect_deadline_s if call.campaign else self._live.dialer.connect_deadline_s

    def _overdue(self, call: Call) -> bool:
        deadline = self.deadline_s(call)
        waited = call.need_at is not None and self._live.now >= call.need_at + deadline
        return waited and call.connected_at is None

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
            if call.kind != "inbound":
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
        if outcome in OF_THE_LINE and call.ringing_at is None and self._other_line(call):
            campaign.handed_over[call.lead_id] = None
            self._live.timers.set(("next_line", campaign.id), self._live.now + NEXT_LINE_S + 0.1)
            return LeadNext(self._live.utc + timedelta(seconds=NEXT_LINE_S), "", priority="high")
        if outcome is Outcome.NOT_PLACED or (outcome in NETWORK_OUR_SIDE and call.placed_at is None):
            return LeadNext(self._live.utc + timedelta(seconds=1.0), "")
        following = after_outcome(outcome, rules, lead.recycled, lead.failures + 1, record.gap_min_s, self._live.utc)
        if outcome is Outcome.CANCELLED and call.ringing_at is not None and following.eligible_at is not None:
            rested = self._live.utc + timedelta(seconds=record.gap_min_s)  # the phone has rung: not at once again
            return LeadNext(max(following.eligible_at, rested), following.blocked_by, following.recycled)
        recall = campaign.rules.recall_after_s
        if outcome is Outcome.ABANDONED and recall and following.eligible_at is not None:
            at = max(following.eligible_at, self._live.utc + timedelta(seconds=recall))
            return LeadNext(at, following.blocked_by, following.recycled, following.priority)
        return following

    def _other_line(self, call: Call) -> bool:
        """Whether another line can take the call that this one could not (TELC-11). The attempt that failed is not
        counted; the next one is."""
        assert call.campaign is not None
        return self._live.pool.other(call.campaign.record.line_ids, call.line_id, self._live.now)

    def _line_verdict(self, call: Call, outcome: Outcome) -> None:
        """Congestion and failures in a row send the line to rest, with the reason (TELC-11)."""
        live = self._live
        if call.placed_at is None or outcome is Outcome.NOT_PLACED:
            return
        if call.caller_id and outcome in ANSWERED_OR_NOT:
            self._caller_id_verdict(call)
        if outcome in OF_THE_LINE:
            rested = live.pool.failed(call.line_id, str(outcome), live.now)
            if rested is not None:
                until: datetime = live.utc + timedelta(seconds=live.dialer.line_rest_s)
                live.fact(
                    LineSet(
                        at=live.utc, site=live.site.id, line_id=call.line_id, resting_until=until, reason=str(outcome)
                    )
                )
                live.alerts[f"line {call.line_id}"] = "line_resting"
                live.timers.set(("line_rest", call.line_id), rested.rests_until_at)
        elif call.answered_at is None and outcome is not Outcome.CANCELLED:
            live.pool.succeeded(call.line_id)

    def _caller_id_verdict(self, call: Call) -> None:
        """A number that people no longer answer goes to rest, and somebody is told (features LEGL-10, D8)."""
        live = self._live
        rested = live.caller_ids.result(call.caller_id, call.answered_at is not None, live.now)
        if rested is None:
            return
        until = live.utc + timedelta(seconds=live.caller_ids.health.rest_s)
        live.fact(
            AuditFact(
                at=live.utc, site=live.site.id, by="engine", what="caller_id.rest", target=str(rested.record.id),
                detail={"number": rested.record.e164, "until": until.isoformat()},
            )
        )  # fmt: skip
        live.alerts[f"caller ID {rested.record.e164}"] = "caller_id_resting"
        live.timers.set(("caller_id", rested.record.id), live.now + live.caller_ids.health.rest_s)

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
        self.on_over(call)
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
        if desk is not None and not self.keeps_phone(call, desk):
            self._desks.call_over(desk, call)

    # ---- state and books ---------------------------------------------------------------------------------------------

    def _enter(self, call: Call, state: CallState, *, first: bool = False) -> None:
        live, campaign = self._live, call.campaign
        if campaign:
            if not first:
                campaign.stages[STAGES.get(call.state, "")] -= 1
            if state is not _ENDED:
                campaign.stages[STAGES[state]] += 1
            if state is _WAITING:
                campaign.waiting[call] = None
            elif call.state is _WAITING:
                campaign.waiting.pop(call, None)
            if state is _ENDED or (state in _WAITS and (call.kind == "inbound" or live.takes_turns(campaign))):
                campaign.dirty = True
            live.touch("campaigns", campaign.id)
        if state is not call.state:
            call.since_utc = live.utc
        call.state = state
        live.touch("calls", call.attempt_id)

    def enter(self, call: Call, state: CallState, *, first: bool = False) -> None:
        """Set the state as recovery found it; `first`: of a call that has just come, and is counted nowhere yet."""
        self._enter(call, state, first=first)

    def _observe(self, call: Call, event: pacing.PacingEvent) -> None:
        if call.campaign and call.kind != "inbound":
            call.campaign.policy.observe(event)
            if type(event) not in _NO_ROOM or self._live.takes_turns(call.campaign):
                call.campaign.dirty = True

    def _count(self, call: Call, *, abandoned: bool) -> None:
        """One live answer in the ledger, once a call."""
        live, campaign = self._live, call.campaign
        if campaign is None or call.counted_live or call.kind == "inbound":
            return
        call.counted_live = True
        hour = clock_hour(live.utc, campaign.record.zone)
        missed = 0.0
        if call.amd and call.verdict:  # for each person let through, so many were taken for machines
            rate = live.dialer.amd_false_positive_rate
            missed = rate / (1.0 - rate)
            campaign.false_positives += missed
        live.fact(
            LedgerAdded(
                at=live.utc,
                site=live.site.id,
                campaign_id=campaign.id,
                attempt_id=call.attempt_id,
                hour=hour,
                answered_live=1,
                abandoned=int(abandoned),
                connected=int(not abandoned),
                false_positives=missed,
            )
        )
        share(live, campaign)

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
                attempt_id=call.attempt_id,
                hour=clock_hour(at, campaign.record.zone),
                answered_live=-1,
                connected=-1,
            )
        )
        share(live, campaign)


def clock_hour(utc: datetime, zone_name: str) -> datetime:
    """The start, in UTC, of the clock hour that `utc` is in, as clocks in the zone strike it."""
    local = utc.astimezone(zone(zone_name))
    return (local.replace(minute=0, second=0, microsecond=0)).astimezone(UTC)


def _span(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 3)
