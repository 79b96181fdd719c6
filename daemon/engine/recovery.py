"""Adoption and reconciliation: what the store says was open, against what the PBX says exists.

At start every open attempt becomes an `unsure` call; each snapshot of the PBX then settles all calls and desks: what
exists goes on from its true state, what does not exist is over. Until the first snapshot nothing is placed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.actions import Hangup, ProbeParked
from daemon.calls.causes import Outcome
from daemon.calls.ids import agent_of, customer_leg, is_ours, is_supervisor, third_of
from daemon.calls.lead_records import AgentStateRow, OpenAttempt
from daemon.calls.records import Agent
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk, Live
from daemon.engine.pbx_link import answered_unheard
from daemon.engine.sides import Side, SideState

AUDIT_AGE_S = 5.0
"""A leg younger than this at the audit's asking may not be listed yet."""

_SIGNED_IN = frozenset(AgentState) - {AgentState.SIGNED_OUT}


class Recovery:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live = live
        self._calls = calls
        self._desks = desks
        self._suspects: set[str] = set()
        self.on_settled: Callable[[dict[str, ev.LegSeen]], None] = lambda seen: None
        self.on_talking: Callable[[Call], None] = lambda call: None
        self.on_held: Callable[[Call, bool, bool], None] = lambda call, parked, back: None
        """A customer waits (`parked`) or is in a room, mid-conversation; `back`: for what an earlier life knew."""
        self.spared: set[str] = set()  # legs with our prefix that are left alone, though nobody here knows them
        self._known: dict[UUID, OpenAttempt] = {}
        """What was open when this life began; as many as there were lines in use."""

    def adopt(self, attempts: Iterable[OpenAttempt], agents: Iterable[AgentStateRow]) -> None:
        """At start, before the link is up: everything the store knows as open."""
        for attempt in attempts:
            self._adopt_call(attempt)
        for row in agents:
            self._adopt_desk(row)

    def _call_of(self, row: OpenAttempt) -> Call:
        live = self._live
        line = live.pool.lines.get(row.line_id)
        return Call(
            attempt_id=row.attempt_id,
            leg=customer_leg(live.site.id, row.attempt_id),
            kind=row.kind,
            group_id=row.group_id,
            client_id=row.client_id,
            e164=row.e164,
            opened_at=live.now - (live.utc - row.at).total_seconds(),
            opened_utc=row.at,
            campaign=live.campaigns.get(row.campaign_id),
            lead_id=row.lead_id,
            line_id=row.line_id,
            trunk=line.record.endpoint if line else "",
            caller_id=row.caller_id,
            number=row.number,
            state=CallState.DIALLING,
            since_utc=live.utc,
            placed_at=live.now,
            last_agent_id=row.agent_id,
            unsure=True,
            adopted=True,
        )

    def _adopt_call(self, row: OpenAttempt) -> None:
        live = self._live
        call = self._call_of(row)
        campaign = call.campaign
        # Who was counted in an earlier life is in the ledger already; who was abandoned then stays so.
        call.counted_live = row.connected_at is not None or row.abandoned_at is not None
        self._known[row.attempt_id] = row
        if row.abandoned_at is not None and row.connected_at is None:
            call.outcome = Outcome.ABANDONED
            call.answered_at = self._since(call, "answered_at") or self._since(call, "abandoned_at")
        live.calls[row.attempt_id] = call
        live.legs[call.leg] = call
        live.pool.adopt(row.line_id, row.attempt_id)
        if campaign:
            campaign.calls[row.attempt_id] = call
            campaign.stages["dialling"] += 1
        live.touch("calls", row.attempt_id)

    def _adopt_desk(self, row: AgentStateRow) -> None:
        live = self._live
        desk = live.desks.get(row.agent_id)
        if desk is None or row.state not in _SIGNED_IN:
            return
        desk.state, desk.code = AgentState(row.state), row.code
        if desk.state is AgentState.READY:
            live.ready[desk.id] = desk
        desk.since_utc = row.since
        desk.since_at = live.now - max(0.0, (live.utc - row.since).total_seconds())
        desk.campaign_ids = tuple(id for id in row.campaign_ids if id in live.campaigns)
        for campaign in self._desks.campaigns_of(desk):
            campaign.agents[desk.state] += 1
        if row.leg:
            self._desks.adopt_leg(desk, row.leg, LegState.RINGING)
        if desk.state in (AgentState.ON_CALL, AgentState.ON_HOLD, AgentState.RESERVED) and row.attempt_id:
            desk.call = live.calls.get(row.attempt_id)
            desk.last_call = desk.call
            if desk.call is not None:
                desk.call.desk, desk.last_campaign = desk, desk.call.campaign
        if row.undisposed is not None:
            self._adopt_wrap_up(desk, row.undisposed)
        self._desks.watch_pause(desk)
        live.touch("agents", desk.id)

    def _adopt_wrap_up(self, desk: Desk, row: OpenAttempt) -> None:
        """The conversation is over, its disposition is still to come: the agent stays in wrap-up (STAT-05)."""
        call = self._call_of(row)
        call.state, call.outcome, call.unsure = CallState.ENDED, Outcome.CONNECTED, False
        call.counted_live = True
        desk.last_call, desk.last_campaign, desk.disposed = call, call.campaign, False
        if call.campaign is not None:
            desk.wrap_until_utc = desk.since_utc + timedelta(seconds=call.campaign.record.wrap_up_max_s)

    # ---- the snapshot ------------------------------------------------------------------------------------------

    def reconcile(self, snapshot: ev.PbxSnapshot) -> None:
        """The PBX's truth, once a login: every call and desk is settled against it, orphans are hung up."""
        live = self._live
        seen = {leg.leg: leg for leg in snapshot.legs}
        live.link.synced = True
        for leg in snapshot.legs:
            self._found_phone(leg)
        for desk in [owner for owner in live.legs.values() if isinstance(owner, Desk)]:  # also of agents deleted since
            self._settle_desk_leg(desk, seen)
        for call in list(live.calls.values()):
            self._settle_call(call, seen.get(call.leg), seen)
        for desk in list(live.desks.values()):
            self._settle_desk(desk)
        for leg in snapshot.legs:
            if leg.leg not in live.legs and leg.leg not in live.sides:
                self._stranger(leg)
        self.on_settled(seen)
        live.link.restarted = False

    def _stranger(self, leg: ev.LegSeen) -> None:
        """A leg that nobody here knows. While the database lacks calls it had, people who talk are left alone."""
        if self._live.database_older and leg.bridged_with:
            self.spared.add(leg.leg)
        self.orphan(leg.leg)

    def orphan(self, leg: str) -> None:
        """A leg with our prefix that nobody here knows: end it, so that no person waits for nobody."""
        live = self._live
        if leg in self.spared or not is_ours(leg, live.site.id):
            return
        live.counters["orphans"] += 1
        live.act(Hangup(leg=leg))

    def _found_phone(self, leg: ev.LegSeen) -> None:
        """An agent's phone is rung after the agent was reserved, so the store may know the one without the other."""
        desk = self._live.desks.get(agent_of(leg.leg) or 0)
        if desk is not None and not desk.leg and desk.call is not None:
            self._desks.adopt_leg(desk, leg.leg, LegState.RINGING)

    def _settle_desk_leg(self, desk: Desk, seen: dict[str, ev.LegSeen]) -> None:
        live = self._live
        if not desk.leg:
            return
        leg = seen.get(desk.leg)
        if leg is None:
            if desk.call is not None and desk.call.state is CallState.AGENT_FIRST:
                # The phone did not fail to answer: the PBX went. The agent stays at work.
                desk.call.outcome = desk.call.outcome or Outcome.PBX_LOST
                desk.next_state = desk.next_state or AgentState.READY
            self._desks.on_event(desk, ev.LegHungUp(at=live.now, leg=desk.leg))
        elif desk.leg_state is LegState.CLOSING and not self._joined_late(leg):
            # Our hang-up was perhaps never read. Again, with a new bound: the old one would end a later conversation.
            live.act(Hangup(leg=desk.leg))
            live.timers.set(("agentgone", desk.leg), live.now + live.dialer.verdict_grace_s)
        elif leg.parked:
            live.timers.clear(("bridge", desk.leg))
            desk.leg_state = LegState.RINGING  # sure only when it answers a probe
            live.act(ProbeParked(leg=desk.leg))
            live.timers.set(("agentring", desk.leg), live.now + live.dialer.verdict_grace_s)
        elif leg.bridged_with:
            live.timers.clear(("bridge", desk.leg))
            live.timers.clear(("agentgone", desk.leg))
            desk.leg_state = LegState.BRIDGED

    def _adopt_side(self, call: Call, leg: str) -> None:
        """Somebody to whom an earlier life gave the customer, in a bridge of two or a room: whichever of them hangs up
        first, the other is let go."""
        live = self._live
        if leg in live.sides:
            return
        purpose = "take_over" if is_supervisor(leg) else "transfer"
        side = Side(leg=leg, call=call, desk=None, purpose=purpose, to="", by="", state=SideState.TALKING)
        live.sides[leg] = call.third = side

    def _joined_late(self, leg: ev.LegSeen) -> bool:
        """A Connect given up for too slow was obeyed after all: two people have begun to talk, and stay together."""
        customer = self._live.legs.get(leg.bridged_with or "")
        return isinstance(customer, Call) and customer.waits_for_leg == leg.leg

    def recall(self, call: Call) -> None:
        """The end of an adopted call is told before any snapshot: what its history knew is true of it all the same."""
        if call.answered_at is None:
            call.answered_at = call.need_at = self._since(call, "answered_at")
        call.connected_at = call.connected_at or self._since(call, "connected_at")

    def _settle_call(self, call: Call, leg: ev.LegSeen | None, seen: dict[str, ev.LegSeen]) -> None:
        live = self._live
        if call.state in (CallState.INTENDED, CallState.AGENT_FIRST) and not call.unsure:
            return  # nothing of the customer's leg was sent yet
        if leg is None:
            self._gone_meanwhile(call)
            return
        call.unsure = False
        if call.passed_on is not None and call.state is CallState.MESSAGE:
            if leg.parked:
                live.act(call.passed_on)  # it was never read
            return
        if call.state is CallState.CLOSING or call.outcome is not None:
            live.act(Hangup(leg=call.leg))
            live.timers.set(("gone", call.attempt_id), live.now + live.dialer.verdict_grace_s)
            return
        if call.room and call.state is CallState.TALKING and not leg.bridged_with and not leg.parked:
            return  # with the others in their room, as before
        if leg.up and call.answered_at is None:
            known = self._since(call, "answered_at")
            call.answered_at = call.need_at = answered_unheard(live, call, leg.seconds) if known is None else known
        if leg.bridged_with:
            self._bridged_meanwhile(call, leg.bridged_with)
        elif leg.parked and (call.state is CallState.HELD or self._talked_before(call)):
            self._held_meanwhile(call, seen)
        elif leg.parked:
            self._calls.enter(call, CallState.WAITING)
            self._calls.offer(call)
        elif leg.up and self._talked_before(call):
            self._held_meanwhile(call, seen, parked=False)
        elif leg.up:
            self._calls.enter(call, CallState.ANSWERED)
            live.timers.set(("need", call.attempt_id), live.now + live.dialer.connect_deadline_s)
        else:
            self._calls.enter(call, CallState.RINGING if leg.ringing else CallState.DIALLING)
            live.timers.set(("verdict", call.attempt_id), live.now + call.ring_timeout_s + live.dialer.verdict_grace_s)

    def _bridged_meanwhile(self, call: Call, peer: str) -> None:
        live = self._live
        if third_of(peer) is not None or is_supervisor(peer):  # given to somebody, who talks with the customer still
            self._adopt_side(call, peer)
            if call.state is not CallState.TALKING:
                call.connected_at = self._since(call, "connected_at") or call.answered_at
                self._calls.enter(call, CallState.TALKING)
            return
        desk = live.legs.get(peer)
        if not isinstance(desk, Desk):
            agent = agent_of(peer)
            desk = live.desks.get(agent) if agent is not None else None
            if desk is None and agent == 0:
                desk = self._passing(call)
            if desk is None:
                return
            self._desks.adopt_leg(desk, peer, LegState.BRIDGED)
        if call.state is CallState.TALKING:
            desk.leg_state = LegState.BRIDGED
            return
        self._calls.on_bridged(call, desk, self._began_at(call, desk))
        self.on_talking(call)

    def _began_at(self, call: Call, desk: Desk) -> float:
        """When two whom we find in conversation began it, on our clock.

        A daemon that was killed may take its last facts with it: no history, then, tells of the beginning. It was
        later than whatever the history does tell, and about when that daemon was last heard of, so nobody's talk time
        is short by what a standby took to come.
        """
        live = self._live
        known = self._since(call, "connected_at")
        if known is not None or not call.adopted or call.answered_at is None:
            return live.now if known is None else known
        told = self._since(call, "answered_at")
        if told is None:
            told = call.answered_at = call.need_at = max(call.answered_at, min(live.former_seen_at, live.now))
        return max(told, desk.since_at) if desk.call is call else told

    def _talked_before(self, call: Call) -> bool:
        """Whether an earlier life saw the conversation begin, and this one knows nothing of the call yet."""
        return call.state is CallState.DIALLING and self._since(call, "connected_at") is not None

    def _held_meanwhile(self, call: Call, seen: dict[str, ev.LegSeen], *, parked: bool = True) -> None:
        """The conversation had begun, so this is a customer on hold, whom nobody may count as waiting in vain; or, not
        `parked`, one in a room with others (a conference of an earlier life), who comes out of it."""
        first = call.state is not CallState.HELD
        if first:
            call.connected_at = self._since(call, "connected_at")
        held = call.desk is not None and call.desk.state is AgentState.ON_HOLD
        asked = any(third_of(leg) == call.attempt_id for leg in seen)
        self.on_held(call, parked, first and (asked or not held or not parked))

    def _passing(self, call: Call) -> Desk:
        """A phone that click-to-call rang in an earlier life, in conversation now; the PBX alone knows which it is."""
        live = self._live
        record = Agent(group_id=call.group_id, site=live.site.id, login="", name="", extension="", nailed=False)
        desk = Desk(record=record, passing=True)
        live.passing.append(desk)
        return desk

    def _since(self, call: Call, name: str) -> float | None:
        """When a step of an adopted call was, by the history of an earlier life, on our clock; None if not told."""
        row = self._known.get(call.attempt_id)
        at: datetime | None = getattr(row, name) if row is not None else None
        return None if at is None else self._live.now - max(0.0, (self._live.utc - at).total_seconds())

    def _gone_meanwhile(self, call: Call) -> None:
        """Not on the PBX: it ended while we could not see. A conversation known to have begun was one."""
        live = self._live
        if call.answered_at is None:
            call.answered_at = self._since(call, "answered_at")
        if call.outcome is None:
            unseen = Outcome.PBX_LOST if live.link.restarted else Outcome.UNKNOWN
            call.outcome = Outcome.CONNECTED if call.connected_at is not None else unseen
        call.ended_by = "daemon_down" if call.unsure else "pbx" if live.link.restarted else "link_down"
        self._calls.end(call)

    def _settle_desk(self, desk: Desk) -> None:
        """An agent who was in a call that is over goes to wrap-up or ready; a lost nailed-up phone is rung again."""
        live = self._live
        call = desk.call
        if call is not None and call.adopted and desk.leg_state is LegState.NONE and desk.state is AgentState.RESERVED:
            self._desks.on_event(desk, ev.LegHungUp(at=live.now, leg=desk.leg))  # reserved, and the phone is gone
        alone = desk.call is None and desk.preview is None
        if desk.state in (AgentState.ON_CALL, AgentState.ON_HOLD, AgentState.RESERVED) and alone:
            self._desks.set_state(desk, AgentState.PAUSED if not desk.campaign_ids else AgentState.READY)
        if desk.state is AgentState.WRAP_UP and not desk.disposed:
            record = desk.last_campaign.record if desk.last_campaign else None
            most = record.wrap_up_max_s + record.extend_s if record else 60.0
            left = most if desk.wrap_until_utc is None else (desk.wrap_until_utc - live.utc).total_seconds()
            live.timers.set(("wrap", desk.id), live.now + min(most, max(1.0, left)))
        elif desk.state is AgentState.WRAP_UP:
            self._desks.set_state(desk, AgentState.READY)
        if desk.signed_in and self._desks.nails(desk) and desk.leg_state is LegState.NONE:
            self._desks.rering(desk)

    # ---- the audit ---------------------------------------------------------------------------------------------

    def audited(self, legs: Iterable[ev.LegSeen], asked_at: float) -> None:
        """Events get lost even on a link that is up: what two audits in a row contradict is mended from the PBX's
        truth. A leg that is gone ends; a desk that waits is free; a leg that nobody knows is hung up."""
        live = self._live
        seen = {leg.leg: leg for leg in legs}
        suspects: set[str] = set()
        for leg, owner in list(live.legs.items()):
            wrong = self._contradicted(leg, owner, seen.get(leg), asked_at)
            if wrong is None:
                continue
            if leg not in self._suspects:
                suspects.add(leg)
                continue
            live.counters["audit_mended"] += 1
            if isinstance(owner, Desk):
                self._desks.on_event(owner, wrong)
                continue
            if owner.outcome is None and owner.answered_at is None:
                owner.outcome = Outcome.UNKNOWN  # busy, refused, answered and gone: nobody saw how it ended
            self._calls.on_event(owner, wrong)
        for leg in seen:
            if leg not in live.legs and leg not in live.sides:
                if leg in self._suspects:
                    self._stranger(seen[leg])
                else:
                    suspects.add(leg)
        self._suspects = suspects

    def _contradicted(
        self, leg: str, owner: Call | Desk, seen: ev.LegSeen | None, asked_at: float
    ) -> ev.LegEvent | None:
        """The event that must have been lost, if what is known of a leg is not what the PBX says."""
        live = self._live
        if isinstance(owner, Call):
            dialled = owner.placed_at is not None and owner.placed_at < asked_at - AUDIT_AGE_S
            if dialled and seen is None and owner.state is not CallState.ENDED:
                return ev.LegHungUp(at=live.now, leg=leg)
            return None
        if owner.leg_state in (LegState.PARKED, LegState.BRIDGED) and seen is None:
            return ev.LegHungUp(at=live.now, leg=leg)
        if owner.leg_state is LegState.BRIDGED and seen is not None and seen.parked:
            return ev.LegParked(at=live.now, leg=leg)
        return None
