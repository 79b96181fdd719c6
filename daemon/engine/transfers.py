"""What an agent does with a call: hold, mute, digits, ask somebody, transfer, conference; and what a supervisor's
take-over shares with them.

A held customer waits on the PBX in state HELD. Every way out of it ends with somebody talking to the customer: the
agent again, the third party, or, if a transfer came to nothing and the agent is busy elsewhere, whoever is ready next.
Only the customer's own hang-up, or the agent's on a plain hold, ends the call.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, Join, Mute, OriginateThird, Park, SendDigits
from daemon.calls.facts import AuditFact
from daemon.calls.ids import third_leg
from daemon.calls.records import Strategy
from daemon.calls.states import CallState
from daemon.compliance.numbers import HOME, destination
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk, Live
from daemon.engine.sides import Goal, Side, SideState
from daemon.errors import CommandError

RETURN_MAX_S = 600.0
"""A customer whose transfer failed waits so long for an agent at most; then nobody is there at all."""


class Transfers:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live, self._calls, self._desks = live, calls, desks
        self.on_release: Callable[[Desk], None] = lambda desk: None
        """The agent talks to this customer no longer."""
        desks.on_held_free = self.desk_parked
        desks.on_held_lost = self.agent_lost
        calls.on_back = self.back

    # ---- commands ----------------------------------------------------------------------------------------------------

    def _call_of(self, command: c.CallCommand) -> tuple[Call, Desk]:
        """The call and its agent, by agent or by attempt. Raises CommandError."""
        live = self._live
        if command.agent_id:
            desk = live.desks.get(command.agent_id)
            if desk is None:
                raise CommandError("agent_unknown", {"agent_id": command.agent_id})
            call = desk.call
        else:
            call = live.calls.get(command.attempt_id) if command.attempt_id else None
            if call is None:
                raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
            desk = call.desk
        if desk is None or call is None or call.state not in (CallState.TALKING, CallState.HELD):
            raise CommandError("agent_not_in_call", {"agent_id": command.agent_id})
        return call, desk

    def conversation(self, command: c.CallCommand) -> tuple[Call, Desk]:
        """The conversation that a command is about. Raises CommandError."""
        return self._call_of(command)

    def need(self, capability: str) -> None:
        """Raises CommandError if these rights, this mode, can't."""
        link = self._live.link
        if not link.synced:
            raise CommandError("pbx_unreachable", {"site": self._live.site.id})
        if capability not in link.capabilities:
            raise CommandError("not_possible_here", {"capability": capability, "mode": link.mode})

    def audit(self, by: str, what: str, call: Call, **detail: str | int | bool | None) -> None:
        """Who did it, to which call."""
        live = self._live
        target = str(call.attempt_id)
        live.fact(AuditFact(at=live.utc, site=live.site.id, by=by, what=what, target=target, detail=dict(detail)))

    def _HoldCall(self, command: c.HoldCall) -> None:
        call, desk = self._call_of(command)
        self.need("hold")
        if call.state is CallState.TALKING and not call.room:
            self._hold(call, desk)

    def _ResumeCall(self, command: c.ResumeCall) -> None:
        call, _ = self._call_of(command)
        if call.state is not CallState.HELD:
            return
        call.returns = True
        side = self.third_of(call)
        if side is not None:
            self.drop(side)  # its end brings the agent back
        self._return_to_desk(call)

    def _MuteAgent(self, command: c.MuteAgent) -> None:
        _, desk = self._call_of(command)
        self.need("mute")
        desk.muted = command.on
        self._live.act(Mute(leg=desk.leg, on=command.on))
        self._live.touch("agents", desk.id)

    def _SendDtmf(self, command: c.SendDtmf) -> None:
        call, _ = self._call_of(command)
        self.need("dtmf")
        self._live.act(SendDigits(leg=call.leg, digits=command.digits))

    def _Consult(self, command: c.Consult) -> dict[str, str]:
        call, desk = self._call_of(command)
        self.need("hold")
        side = self._third(call, desk, command, "consult", Goal.AGENT)
        if call.state is CallState.TALKING:
            self._hold(call, desk)
        return {"leg": side.leg}

    def _TransferCall(self, command: c.TransferCall) -> dict[str, str]:
        """Blind: the agent is free at once if the phone stays up; it gets the customer back if nobody answers."""
        call, desk = self._call_of(command)
        self.need("hold")
        side = self._third(call, desk, command, "transfer", Goal.CUSTOMER)
        if call.state is CallState.TALKING:
            self._hold(call, desk)
        if desk.stays:
            self._release(call, desk)
        return {"leg": side.leg}

    def _CompleteTransfer(self, command: c.CompleteTransfer) -> None:
        call, _ = self._call_of(command)
        side = self._asked(call)
        side.goal = Goal.CUSTOMER
        if side.state is SideState.TALKING:
            self._live.act(Park(leg=side.leg))
        elif side.state is SideState.PARKED:
            self._side_free(side)

    def _Conference(self, command: c.Conference) -> dict[str, str]:
        call, _ = self._call_of(command)
        self.need("conference")
        side = self._asked(call)
        if side.state is not SideState.TALKING or not call.parked:
            raise CommandError("third_not_there", {"state": str(side.state)})
        call.room = f"r{call.attempt_id.hex[-12:]}"
        side.goal = Goal.ROOM
        self._live.act(Join(leg=call.leg, room=call.room))
        self._live.act(Park(leg=side.leg))
        return {"room": call.room}

    def _LeaveConference(self, command: c.LeaveConference) -> None:
        call, desk = self._call_of(command)
        if not call.room:
            raise CommandError("agent_not_in_call", {"agent_id": desk.id})
        self._live.event(call, "left_conference")
        if self.third_of(call) is None:
            self._calls.hang_up(call, by="agent")  # there is nobody to leave the customer with
            return
        self._out_of_room(desk)
        self._release(call, desk)

    def _asked(self, call: Call) -> Side:
        side = self.third_of(call)
        if side is None or call.state is not CallState.HELD or side.purpose != "consult":
            raise CommandError("third_not_there", {"state": "none"})
        return side

    def _third(self, call: Call, desk: Desk, command: c.Consult | c.TransferCall, purpose: str, goal: Goal) -> Side:
        """Ring somebody: an extension of the PBX, or an outside number on a line of its own. Raises CommandError."""
        live = self._live
        if self.third_of(call) is not None or call.room:
            raise CommandError("third_there_already", {"attempt_id": str(call.attempt_id)})
        side = Side(
            leg=third_leg(live.site.id, call.attempt_id, live.rng),
            call=call,
            desk=desk,
            purpose=purpose,
            to=command.extension or "number",
            by=command.by,
            goal=goal,
        )
        number, trunk = self._outside(call, side, command.e164) if command.e164 else ("", "")
        self.ring(side, extension=command.extension, number=number, trunk=trunk)
        self.audit(command.by, f"call.{purpose}", call, to=side.to, agent_id=desk.id)
        dear = {"destination": where} if command.e164 and (where := destination(command.e164)) != HOME else {}
        live.event(call, purpose, to=side.to, **dear)
        return side

    def _outside(self, call: Call, side: Side, e164: str) -> tuple[str, str]:
        """(dial string, trunk) of an outside number, with a line leased. Raises CommandError."""
        live = self._live
        refused = live.law.refuses_number(e164, "", live.utc)
        if refused is not None:
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": None})
        if (call.group_id, e164) in live.blacklist:
            raise CommandError("call_forbidden", {"rule": "blacklist", "clause": "blacklist", "until": None})
        lease = live.new_id()
        lines = call.campaign.record.line_ids if call.campaign else [call.line_id]
        line = live.pool.take(lines, Strategy.PRIORITY, lease, live.now)
        if line is None:
            raise CommandError("line_unavailable", {"lines": len(lines)})
        side.line_id, side.lease = line.record.id, lease
        live.touch("lines", line.record.id)
        return live.law.dial_string(e164), line.record.endpoint

    def ring(self, side: Side, *, extension: str = "", number: str = "", trunk: str = "") -> None:
        """Make the third party's leg."""
        live, call = self._live, side.call
        live.sides[side.leg] = side
        ring_s = live.dialer.agent_ring_s
        name = call.campaign.record.name if call.campaign else "Cadran"
        live.act(
            OriginateThird(
                leg=side.leg,
                ring_timeout_s=ring_s,
                extension=extension,
                number=number,
                trunk=trunk,
                caller_id=call.caller_id,
                caller_name=name,
            )
        )
        live.timers.set(("side", side.leg), live.now + ring_s + live.dialer.verdict_grace_s)
        self._shown(call)

    # ---- holding -----------------------------------------------------------------------------------------------------

    def _hold(self, call: Call, desk: Desk) -> None:
        live = self._live
        self._calls.enter(call, CallState.HELD)
        call.parked = call.returns = False
        live.act(Park(leg=call.leg))
        self._desks.set_state(desk, AgentState.ON_HOLD)
        live.event(call, "hold")

    def third_of(self, call: Call) -> Side | None:
        """The third party of a call, if there is one that is not on its way out."""
        for side in self._live.sides.values():
            if side.call is call and side.purpose != "spy" and side.state is not SideState.CLOSING:
                return side
        return None

    def customer_parked(self, call: Call) -> None:
        """The held customer waits on the PBX."""
        call.parked = True
        side = self.third_of(call)
        if side is not None and side.goal is Goal.CUSTOMER and side.state is SideState.PARKED:
            self._give(side)
        elif side is None:
            self._return_to_desk(call) if call.returns else self._nobody(call)

    def _nobody(self, call: Call) -> None:
        """Parked with neither agent nor third party: the transfer failed while the customer was on the way."""
        if call.desk is None:
            self.rescue(call)

    def held_meanwhile(self, call: Call, parked: bool, back: bool) -> None:
        """After a resync: a customer on hold stays so for the agent who holds; with `back` (a third party of an earlier
        life is hung up) the customer comes back to the agent, or to whoever is ready next. Not `parked`: both come out
        of the room they are in first."""
        live, desk = self._live, call.desk
        self._calls.enter(call, CallState.HELD)
        call.parked, call.room = parked, ""
        call.returns = call.returns or back
        if not parked:
            live.act(Park(leg=call.leg))
            if desk is not None and desk.leg:
                live.act(Park(leg=desk.leg))
        if desk is None:
            if call.campaign is None:  # click-to-call: its phone can't be told from others, and nobody else could come
                self._calls.hang_up(call, by="daemon_down")
            elif parked and self.third_of(call) is None:
                self.rescue(call)
            return
        desk.last_call = call
        if desk.state is not AgentState.ON_HOLD and not desk.passing:
            self._desks.set_state(desk, AgentState.ON_HOLD)

    def desk_parked(self, desk: Desk, call: Call) -> None:
        """The agent's leg is free while the customer waits."""
        side = self.third_of(call)
        if side is not None and side.goal is Goal.AGENT and side.state is SideState.PARKED:
            self._ask(side, desk)
        elif (call.room and call.state is CallState.HELD) or (call.room and desk.call is call):
            self._live.act(Join(leg=desk.leg, room=call.room))
        elif call.returns:
            self._return_to_desk(call)

    def _return_to_desk(self, call: Call) -> None:
        """The customer goes back to their agent as soon as both wait."""
        live, desk = self._live, call.desk
        if call.state is not CallState.HELD or not call.parked:
            return
        if desk is None:
            self.rescue(call)
        elif desk.leg_state is LegState.PARKED:
            desk.leg_state, desk.connecting = LegState.CONNECTING, call
            live.act(Connect(leg=desk.leg, customer=call.leg))
            live.timers.set(("bridge", desk.leg), live.now + live.dialer.bridge_deadline_s)

    def back(self, call: Call, desk: Desk) -> None:
        """Customer and agent talk again, perhaps another agent than before."""
        live = self._live
        for kind in ("need", "unbridged", "returned"):
            live.timers.clear((kind, call.attempt_id))
        live.timers.clear(("bridge", desk.leg))
        call.parked = call.returns = False
        call.unbridged_at = None
        desk.leg_state, desk.connecting, desk.call, call.desk = LegState.BRIDGED, None, call, desk
        self._calls.enter(call, CallState.TALKING)
        if desk.state is AgentState.ON_HOLD:
            self._desks.set_state(desk, AgentState.ON_CALL)
        else:
            self._desks.on_call(desk, call)
        call.last_agent_id = desk.id
        live.event(call, "resumed")
        self._shown(call)

    def _release(self, call: Call, desk: Desk) -> None:
        """The call goes on without this agent."""
        call.desk = None
        if call.state is CallState.HELD:
            self._live.timers.set(("returned", call.attempt_id), self._live.now + RETURN_MAX_S)
        self.on_release(desk)
        self._desks.released(desk, call)
        self._live.touch("calls", call.attempt_id)

    def rescue(self, call: Call) -> None:
        """A customer whose transfer came to nothing, and no agent beside: the same agent if free, else the next."""
        live = self._live
        call.returns = False
        live.event(call, "transfer_failed")
        before = live.desks.get(call.last_agent_id)
        self._calls.enter(call, CallState.WAITING)
        live.timers.set(("returned", call.attempt_id), live.now + RETURN_MAX_S)
        free = before is not None and before.stays and before.call is None and before.leg_state is LegState.PARKED
        if before is not None and free and before.state in (AgentState.READY, AgentState.WRAP_UP):
            live.timers.clear(("wrap", before.id))
            before.wrap_until_utc = None
            self._calls.give(call, before)
            return
        self._calls.offer(call)

    # ---- the third party ---------------------------------------------------------------------------------------------

    def on_event(self, side: Side, event: ev.LegEvent) -> None:
        """An event of a third party's leg."""
        live, call = self._live, side.call
        if isinstance(event, ev.LegHungUp | ev.LegFailed):
            self._gone(side)
        elif isinstance(event, ev.LegParked):
            live.timers.clear(("side", side.leg))
            if side.state is not SideState.CLOSING:
                side.state = SideState.PARKED
                self._side_free(side)
        elif isinstance(event, ev.LegBridged) and event.peer == call.leg:
            self._taken(side)
        elif isinstance(event, ev.LegUnbridged) and event.peer == call.leg and call.third is side:
            self._calls.on_unbridged(call)
        elif isinstance(event, ev.ConnectFailed):
            live.timers.clear(("side", side.leg))
            self.drop(side)
        elif isinstance(event, ev.LegJoined):
            side.state = SideState.ROOM
            self._shown(call)
        elif isinstance(event, ev.ActionRefused) and event.action in ("park", "join"):
            self.drop(side)

    def _side_free(self, side: Side) -> None:
        """The third party waits: on with what it is for; nothing any more = its end."""
        call, desk = side.call, side.desk
        if call.state is CallState.ENDED or side.goal is Goal.NONE:
            self.drop(side)
        elif side.goal is Goal.ROOM:
            self._live.act(Join(leg=side.leg, room=call.room))
        elif side.goal is Goal.CUSTOMER:
            if call.parked or side.purpose == "take_over":
                self._give(side)
        elif desk is not None and desk.call is call and desk.leg_state is LegState.PARKED:
            self._ask(side, desk)
        self._shown(call)

    def _ask(self, side: Side, desk: Desk) -> None:
        """Agent and third party talk; the customer waits."""
        live = self._live
        desk.leg_state, desk.connecting = LegState.CONNECTING, None
        side.state = SideState.CONNECTING
        live.act(Connect(leg=desk.leg, customer=side.leg))
        live.timers.set(("bridge", desk.leg), live.now + live.dialer.bridge_deadline_s)

    def asked(self, desk: Desk, leg: str) -> None:
        """The agent is in a bridge with a leg that is no customer's."""
        side = self._live.sides.get(leg)
        if side is not None:
            self._live.timers.clear(("bridge", desk.leg))
            desk.leg_state, desk.connect_failures = LegState.BRIDGED, 0
            side.state = SideState.TALKING
            self._live.event(side.call, "consulting", to=side.to)
            self._shown(side.call)

    def _give(self, side: Side) -> None:
        """Customer and third party are to talk."""
        live, call = self._live, side.call
        side.state = SideState.CONNECTING
        if call.state is CallState.TALKING:  # a take-over: the customer comes straight out of the conversation
            self._calls.enter(call, CallState.HELD)
        live.act(Connect(leg=side.leg, customer=call.leg))
        live.timers.set(("side", side.leg), live.now + live.dialer.bridge_deadline_s)

    def _taken(self, side: Side) -> None:
        """Customer and third party talk: the agent is free."""
        live, call, desk = self._live, side.call, side.call.desk
        live.timers.clear(("side", side.leg))
        for kind in ("unbridged", "returned"):
            live.timers.clear((kind, call.attempt_id))
        side.state, side.goal, call.third = SideState.TALKING, Goal.NONE, side
        call.parked, call.unbridged_at = False, None
        self._calls.enter(call, CallState.TALKING)
        live.event(call, "transferred", to=side.to, how=side.purpose)
        if desk is not None:
            self._release(call, desk)
        self._shown(call)

    def drop(self, side: Side) -> None:
        """Hang the third party up; its end says what follows."""
        live = self._live
        if side.state is not SideState.CLOSING:
            side.state = SideState.CLOSING
            live.act(Hangup(leg=side.leg))
            live.timers.set(("side", side.leg), live.now + live.dialer.verdict_grace_s)

    def on_deadline(self, leg: str) -> None:
        """A side's ring, connect or hang-up took too long."""
        side = self._live.sides.get(leg)
        if side is None or not self._live.link.synced:
            return
        if side.state is SideState.CLOSING:
            self._live.counters["ends_lost"] += 1
            self._gone(side)
        else:
            self.drop(side)

    def _gone(self, side: Side) -> None:
        live, call = self._live, side.call
        live.sides.pop(side.leg, None)
        live.timers.clear(("side", side.leg))
        if side.lease is not None:
            live.pool.give_back(side.line_id, side.lease)
            live.touch("lines", side.line_id)
        self._shown(call)
        if call.state is CallState.HELD:
            live.event(call, "third_gone", to=side.to)
            if call.room and not self._agent_in(call):
                call.room = ""
            if side.purpose == "take_over" and call.desk is not None and call.desk.leg_state is LegState.BRIDGED:
                self._calls.enter(call, CallState.TALKING)
                return
            call.room = ""
            call.returns = True
            self._return_to_desk(call)
        elif call.state is CallState.TALKING and call.third is side:
            self._calls.on_unbridged(call)
        elif call.state is CallState.TALKING and call.room and call.desk is None:
            self._calls.hang_up(call, by="agent")  # nobody is left with the customer

    @staticmethod
    def _agent_in(call: Call) -> bool:
        return call.desk is not None and call.desk.leg_state is LegState.BRIDGED

    # ---- rooms -------------------------------------------------------------------------------------------------------

    def customer_event(self, call: Call, event: ev.LegEvent) -> bool:
        """Events of the customer's leg that only matter here; whether this was one."""
        if isinstance(event, ev.LegParked) and call.state is CallState.HELD:
            self.customer_parked(call)
        elif isinstance(event, ev.LegJoined):
            call.parked = False
            self._calls.enter(call, CallState.TALKING)
            self._live.event(call, "conference")
        elif isinstance(event, ev.ActionRefused) and event.action == "park" and call.state is CallState.HELD:
            self._not_held(call)
        elif isinstance(event, ev.ActionRefused) and event.action == "join" and call.room:
            call.room, call.returns = "", True
            side = self.third_of(call)
            self.drop(side) if side is not None else self._return_to_desk(call)
        else:
            return isinstance(event, ev.LegLeft)
        return True

    def _not_held(self, call: Call) -> None:
        """The PBX would not take the customer out: the conversation is as it was."""
        side = self.third_of(call)
        if side is not None:
            self.drop(side)
        self._calls.enter(call, CallState.TALKING)
        if call.desk is not None and call.desk.state is AgentState.ON_HOLD:
            self._desks.set_state(call.desk, AgentState.ON_CALL)

    def desk_event(self, desk: Desk, event: ev.LegEvent) -> bool:
        """The same for the agent's leg."""
        call = desk.call
        if isinstance(event, ev.LegJoined):
            desk.leg_state = LegState.BRIDGED
            if call is not None and call.room == event.room:
                self._desks.set_state(desk, AgentState.ON_CALL)
            else:
                self._out_of_room(desk)
        elif isinstance(event, ev.LegBridged) and event.peer in self._live.sides:
            self.asked(desk, event.peer)
        elif not isinstance(event, ev.LegLeft | ev.ActionRefused):
            return False
        return True

    def _out_of_room(self, desk: Desk) -> None:
        self._live.act(Park(leg=desk.leg))

    def agent_lost(self, desk: Desk, call: Call) -> None:
        """The agent's leg is gone while the customer is held or in a room: a pending transfer goes on without the
        agent, a customer on the way back gets another one; a plain hold ends with the agent's hang-up."""
        side = self.third_of(call)
        self._release(call, desk)
        if call.room and call.state is CallState.TALKING:
            if side is None:
                self._calls.hang_up(call, by="agent")
            return
        if side is not None:
            side.desk = None
            if side.goal is Goal.AGENT:
                side.goal = Goal.CUSTOMER
                if side.state in (SideState.PARKED, SideState.CONNECTING):  # the command went with the agent's leg
                    side.state = SideState.PARKED
                    self._side_free(side)
            elif side.goal is Goal.ROOM:
                self.drop(side)
        elif call.returns:
            self._return_to_desk(call)
        else:
            self._calls.hang_up(call, by="agent")

    # ---- the end -----------------------------------------------------------------------------------------------------

    def call_over(self, call: Call) -> None:
        """The customer has gone: everybody beside the call goes too, the agent comes out of the room."""
        for side in list(self._live.sides.values()):
            if side.call is call:
                self.drop(side)
        desk = call.desk
        if desk is not None and call.room and desk.leg_state is LegState.BRIDGED:
            self._out_of_room(desk)
        self._live.timers.clear(("returned", call.attempt_id))

    def _shown(self, call: Call) -> None:
        self._live.touch("calls", call.attempt_id)
        if call.desk is not None:
            self._live.touch("agents", call.desk.id)

    def settle(self, seen: dict[str, ev.LegSeen]) -> None:
        """After a resync: sides that are gone end."""
        for side in list(self._live.sides.values()):
            if side.leg not in seen:
                self._gone(side)
