"""The legs beside a call: third parties who are asked, take the call over or meet all in a room.

Events of these legs come here, and those events of customer and agent that matter only while somebody else is there.
The commands that begin and end all this are daemon.engine.transfers', and a supervisor's daemon.engine.supervise's.
"""

from __future__ import annotations

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, Join, OriginateThird, Park
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.holding import Holding
from daemon.engine.live import Call, Desk, Live
from daemon.engine.sides import Goal, Side, SideState


class ThirdParties:
    """See the module's first lines. One a site."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks, holding: Holding) -> None:
        self._live, self._calls, self._desks, self._holding = live, calls, desks, holding
        desks.on_held_free = self.desk_parked
        desks.on_held_lost = self.agent_lost

    def third_of(self, call: Call) -> Side | None:
        """The third party of a call, if there is one that is not on its way out."""
        for side in self._live.sides.values():
            if side.call is call and side.purpose != "spy" and side.state is not SideState.CLOSING:
                return side
        return None

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
        self._holding.shown(call)

    def drop(self, side: Side) -> None:
        """Hang the third party up; its end says what follows."""
        live = self._live
        if side.state is not SideState.CLOSING:
            side.state = SideState.CLOSING
            live.act(Hangup(leg=side.leg))
            live.timers.set(("side", side.leg), live.now + live.dialer.verdict_grace_s)

    def on_event(self, side: Side, event: ev.LegEvent) -> None:
        """An event of a third party's leg."""
        live, call = self._live, side.call
        if isinstance(event, ev.LegHungUp | ev.LegFailed):
            self._gone(side)
        elif isinstance(event, ev.LegParked):
            live.timers.clear(("side", side.leg))
            if side.state is not SideState.CLOSING:
                side.state = SideState.PARKED
                self.on_free(side)
        elif isinstance(event, ev.LegBridged) and event.peer == call.leg:
            self._taken(side)
        elif isinstance(event, ev.LegUnbridged) and event.peer == call.leg and call.third is side:
            self._calls.on_unbridged(call)
        elif isinstance(event, ev.ConnectFailed):
            live.timers.clear(("side", side.leg))
            self.drop(side)
        elif isinstance(event, ev.LegJoined):
            side.state = SideState.ROOM
            self._holding.shown(call)
        elif isinstance(event, ev.ActionRefused) and event.action in ("park", "join"):
            self.drop(side)

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

    def settle(self, seen: dict[str, ev.LegSeen]) -> None:
        """After a resync: sides that are gone end; a hang-up that was perhaps never read is said again."""
        live = self._live
        for side in list(live.sides.values()):
            if side.leg not in seen:
                self._gone(side)
            elif side.state is SideState.CLOSING:
                live.act(Hangup(leg=side.leg))
                live.timers.set(("side", side.leg), live.now + live.dialer.verdict_grace_s)

    def call_over(self, call: Call) -> None:
        """The customer has gone: everybody beside the call goes too, the agent comes out of the room."""
        for side in list(self._live.sides.values()):
            if side.call is call:
                self.drop(side)
        desk = call.desk
        if desk is not None and call.room and desk.leg_state is LegState.BRIDGED:
            self.out_of_room(desk)
        self._live.timers.clear(("returned", call.attempt_id))

    # ---- on with what it is for ----------------------------------------------------------------------------------

    def on_free(self, side: Side) -> None:
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
        self._holding.shown(call)

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
            self._holding.shown(side.call)

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
            self._holding.release(call, desk)
        self._holding.shown(call)

    def _gone(self, side: Side) -> None:
        live, call = self._live, side.call
        live.sides.pop(side.leg, None)
        live.timers.clear(("side", side.leg))
        if side.purpose == "spy":
            return  # who only listened leaves nothing behind
        if side.lease is not None:
            live.pool.give_back(side.line_id, side.lease)
            live.touch("lines", side.line_id)
        self._holding.shown(call)
        if call.state is CallState.HELD:
            live.event(call, "third_gone", to=side.to)
            if side.purpose == "take_over" and self._agent_in(call):
                self._calls.enter(call, CallState.TALKING)
                return
            if side.goal is Goal.ROOM and call.room and call.desk is not None:
                return  # customer and agent are on their way into the room, and nothing calls that back
            call.room = ""
            call.returns = True
            self._holding.return_to_desk(call)
        elif call.state is CallState.TALKING and call.third is side:
            self._calls.on_unbridged(call)
        elif call.state is CallState.TALKING and call.room and call.desk is None:
            self._calls.hang_up(call, by="agent")  # nobody is left with the customer

    @staticmethod
    def _agent_in(call: Call) -> bool:
        return call.desk is not None and call.desk.leg_state is LegState.BRIDGED

    # ---- the customer beside it ----------------------------------------------------------------------------------

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
            if side is not None:
                self.drop(side)
            else:
                self._holding.return_to_desk(call)
        else:
            return isinstance(event, ev.LegLeft)
        return True

    def customer_parked(self, call: Call) -> None:
        """The held customer waits on the PBX."""
        call.parked = True
        side = self.third_of(call)
        if side is not None and side.goal is Goal.CUSTOMER and side.state is SideState.PARKED:
            self._give(side)
        elif side is None and call.returns:
            self._holding.return_to_desk(call)
        elif side is None:
            self._nobody(call)

    def _nobody(self, call: Call) -> None:
        """Parked with neither agent nor third party: the transfer failed while the customer was on the way."""
        if call.desk is None:
            self._holding.rescue(call)

    def _not_held(self, call: Call) -> None:
        """The PBX would not take the customer out: the conversation is as it was."""
        side = self.third_of(call)
        if side is not None:
            self.drop(side)
        self._calls.enter(call, CallState.TALKING)
        if call.desk is not None and call.desk.state is AgentState.ON_HOLD:
            self._desks.set_state(call.desk, AgentState.ON_CALL)

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
                self._holding.rescue(call)
            return
        desk.last_call = call
        if desk.state is not AgentState.ON_HOLD and not desk.passing:
            self._desks.set_state(desk, AgentState.ON_HOLD)

    # ---- the agent beside it -------------------------------------------------------------------------------------

    def desk_event(self, desk: Desk, event: ev.LegEvent) -> bool:
        """The same for the agent's leg."""
        call = desk.call
        if isinstance(event, ev.LegJoined):
            desk.leg_state = LegState.BRIDGED
            if call is not None and call.room == event.room:
                self._desks.set_state(desk, AgentState.ON_CALL)
            else:
                self.out_of_room(desk)
        elif isinstance(event, ev.LegBridged) and event.peer in self._live.sides:
            self.asked(desk, event.peer)
        elif not isinstance(event, ev.LegLeft | ev.ActionRefused):
            return False
        return True

    def desk_parked(self, desk: Desk, call: Call) -> None:
        """The agent's leg is free while the customer waits."""
        side = self.third_of(call)
        if side is not None and side.goal is Goal.AGENT and side.state is SideState.PARKED:
            self._ask(side, desk)
        elif call.room and (call.state is CallState.HELD or desk.call is call):
            self._live.act(Join(leg=desk.leg, room=call.room))
        elif call.returns:
            self._holding.return_to_desk(call)

    def out_of_room(self, desk: Desk) -> None:
        """The agent leaves the room, for the park."""
        self._live.act(Park(leg=desk.leg))

    def agent_lost(self, desk: Desk, call: Call) -> None:
        """The agent's leg is gone while the customer is held or in a room: a pending transfer goes on without the
        agent, a customer on the way back gets another one; a plain hold ends with the agent's hang-up."""
        side = self.third_of(call)
        self._holding.release(call, desk)
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
                    self.on_free(side)
            elif side.goal is Goal.ROOM:
                self.drop(side)
        elif call.returns:
            self._holding.return_to_desk(call)
        else:
            self._calls.hang_up(call, by="agent")
