"""A person has answered: greeting detection, the wait for an agent, the connect, and what is said if nobody is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daemon.agents.selection import longest_ready
from daemon.agents.states import LegState
from daemon.bounds import Spread
from daemon.calls import events as ev
from daemon.calls.actions import Connect, PlayMessage
from daemon.calls.causes import Outcome
from daemon.calls.states import CallState
from daemon.dialer import events as pacing
from daemon.engine.desks import Desks
from daemon.engine.ending import CallEnds
from daemon.engine.live import Call, Desk, Live

UNBRIDGED_GRACE_S = 2.0
"""A customer still there this long after the conversation is hung up by us."""

PARK_S, VERDICT_S = 1.0, 8.0
"""Seconds after an answer, or a verdict, within which the PBX says that the person waits; and from an answer to the
verdict of detection (its own limit is 5 s). Later, that event is taken to be lost."""


class AnsweredCalls(CallEnds):
    """The middle layer of a call's life, between daemon.engine.callflow and daemon.engine.ending. `on_back`: a customer
    who was held, or waited again, talks to an agent."""

    def __init__(self, live: Live, desks: Desks) -> None:
        super().__init__(live, desks)
        self.for_agent, self.to_connect = Spread(), Spread()
        """From a person's need of an agent until one is given to them; from then until both are joined."""
        self.on_back: Callable[[Call, Desk], None] = lambda call, desk: None
        self.before_connect: Callable[[Call], None] = lambda call: None
        self.choose: Callable[[Call, Iterable[Desk]], Desk | None] = lambda call, desks: longest_ready(desks)
        self.on_caller_granted: Callable[[Call], None] = lambda call: None
        self.on_caller_refused: Callable[[Call], None] = lambda call: None
        self.on_caller_overdue: Callable[[Call], None] = lambda call: None
        self.record_file: Callable[[Call], str] = lambda call: ""

    def _on_answer(self, call: Call) -> None:
        live = self._live
        call.answered_at = live.now
        live.timers.set(("verdict", call.attempt_id), live.now + (VERDICT_S if call.amd else PARK_S))
        live.pool.succeeded(call.line_id)
        live.event(call, "answered")
        if call.campaign and call.kind != "inbound":
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

    def park_unseen(self, call: Call) -> None:
        """Answered, but never seen to wait (or judged): the event was lost. The person is there all the same."""
        live = self._live
        if call.campaign is None or (call.desk is not None and not call.desk.stays):
            return  # joined by its answer; nobody waits
        live.counters["parks_lost"] += 1
        call.verdict = call.verdict or (ev.Amd.NOTSURE if call.amd else "")
        self._enter(call, CallState.WAITING)
        self._on_parked(call)

    def _on_verdict(self, call: Call, event: ev.AmdVerdict) -> None:
        live = self._live
        if call.verdict or call.state in (CallState.CLOSING, CallState.ENDED):
            return
        call.verdict = event.verdict
        if call.answered_at is None:
            self._on_answer(call)
        live.event(call, "amd", verdict=str(event.verdict), cause=event.cause)
        unsure_ends = call.campaign is not None and call.campaign.record.amd_settings.notsure_hangs_up
        human = event.verdict is ev.Amd.HUMAN or (event.verdict is ev.Amd.NOTSURE and not unsure_ends)
        self._observe(call, pacing.AmdVerdict(call.attempt_id.hex, live.now, human))
        if human:
            start = call.campaign.rules.clock_start if call.campaign else "answer"
            at = {"answer": call.answered_at, "greeting_end": live.now - event.greeting_end_s}.get(start)
            self._need(call, live.now if at is None else at)
            live.timers.set(("verdict", call.attempt_id), live.now + PARK_S)
            if call.state is CallState.WAITING:
                self.offer(call)
            return
        if event.verdict is ev.Amd.HANGUP:
            return
        call.outcome = Outcome.FAX if event.verdict is ev.Amd.FAX else Outcome.MACHINE
        message = self._voicemail_message(call) if call.outcome is Outcome.MACHINE else ""
        if message:
            self._enter(call, CallState.MESSAGE)
            live.act(PlayMessage(leg=call.leg, sound=message, wait_for_silence=True))
            live.timers.set(("message", call.attempt_id), live.now + 120.0)
            return
        self.hang_up(call, by="engine")

    def _voicemail_message(self, call: Call) -> str:
        """The campaign's message for answering machines, if this person agreed to such, for as long as that holds."""
        live = self._live
        if call.campaign is None or call.lead is None or not call.lead.consent_automated:
            return ""
        record = call.campaign.record
        return record.voicemail_message if live.law.may_play(call.lead, record, live.utc) else ""

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
        if live.now < call.offer_at:
            live.timers.set(("greeted", call.attempt_id), call.offer_at)
            return
        if desk is None and call.campaign is not None:
            ready = self._desks.ready_of(call.campaign)
            desk = self.choose(call, ready) if call.kind == "inbound" else longest_ready(d for d in ready if d.stays)
        if desk is None:
            self._arm_need(call)
        elif desk.stays or desk.leg_state is LegState.PARKED:
            self._connect(call, desk)
        else:
            self._ring_for(call, desk)

    def _ring_for(self, call: Call, desk: Desk) -> None:
        """A caller can wait for a phone that must ring first; nobody whom we called can. Connected once it is there."""
        self._desks.reserve(desk, call)
        call.desk = desk
        self._arm_need(call)
        self._desks.ring(desk)

    def on_phone_there(self, call: Call) -> None:
        """The phone that was rung for this call has been picked up, and waits."""
        self.offer(call)

    def give(self, call: Call, desk: Desk) -> None:
        """Give a waiting person this agent."""
        self._connect(call, desk)

    def _arm_need(self, call: Call) -> None:
        if call.connected_at is not None:
            return  # who has talked already and waits again (a failed transfer) is not given up
        deadline = self.deadline_s(call)
        need_at = call.need_at if call.need_at is not None else self._live.now
        self._live.timers.set(("need", call.attempt_id), need_at + deadline)

    def _connect(self, call: Call, desk: Desk) -> None:
        live = self._live
        if desk.call is not call:
            self._desks.reserve(desk, call)
            call.desk = desk
        desk.leg_state = LegState.CONNECTING
        desk.connecting = call
        call.given_at = live.now if call.given_at is None else call.given_at
        self._arm_need(call)
        self._enter(call, CallState.CONNECTING)
        self.before_connect(call)
        live.act(Connect(leg=desk.leg, customer=call.leg))
        live.timers.set(("bridge", desk.leg), live.now + live.dialer.bridge_deadline_s)

    def on_bridged(self, call: Call, desk: Desk, at: float | None = None) -> None:
        """Both are in the bridge, since `at` (on our clock) if that was not just now."""
        live = self._live
        at = live.now if at is None else at
        if call.state in (CallState.TALKING, CallState.CLOSING, CallState.ENDED):
            return
        if call.connected_at is not None:
            self.on_back(call, desk)
            return
        live.timers.clear(("bridge", desk.leg))
        live.timers.clear(("need", call.attempt_id))
        live.timers.clear(("verdict", call.attempt_id))
        call.waits_for_leg = ""
        desk.leg_state, desk.connecting, desk.call, call.desk = LegState.BRIDGED, None, call, desk
        if call.answered_at is None:
            self._on_answer(call)
        self._need(call, at)
        call.connected_at = at
        call.last_agent_id = desk.id
        wait = max(0.0, at - (call.need_at if call.need_at is not None else at))
        if call.given_at is not None and call.need_at is not None:
            self.for_agent.add(max(0.0, call.given_at - call.need_at))
            self.to_connect.add(max(0.0, at - call.given_at))
        if call.campaign:
            if call.kind == "inbound" and not call.counted_live:  # else in an earlier life
                call.campaign.callers["answered"] += 1
            self._observe(call, pacing.Connected(call.attempt_id.hex, str(desk.id), live.now, wait))
            self._count(call, abandoned=False)
        self._enter(call, CallState.TALKING)
        self._desks.on_call(desk, call)
        live.event(call, "connected", wait_s=round(wait, 3))

    def on_unbridged(self, call: Call) -> None:
        """The conversation is over for one of the two; the other's end follows, or is asked for."""
        live = self._live
        if call.room:
            return
        if call.state is CallState.TALKING and call.unbridged_at is None:
            call.unbridged_at = live.now
            live.event(call, "unbridged")
            live.timers.set(("unbridged", call.attempt_id), live.now + UNBRIDGED_GRACE_S)

    def connect_failed(self, call: Call) -> None:
        """The offer came to nothing and the agent is free of it: offer again, or the person has gone meanwhile."""
        if call.state is CallState.CONNECTING:
            call.desk = None
            self._enter(call, CallState.WAITING)
            if call.left:
                self.hang_up(call, by="customer", outcome=None if self._overdue(call) else Outcome.CANCELLED)
            elif self._overdue(call):
                self.abandon(call)
            else:
                self.offer(call)

    def abandon(self, call: Call) -> None:
        """Nobody was there in time: safe-harbour message, then the end (CAMP-09)."""
        live = self._live
        if call.kind == "inbound":
            self._drop_desk(call)
            self.on_caller_overdue(call)
            return
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
