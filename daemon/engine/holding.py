"""A customer on hold, and the ways back into a conversation: with the same agent, or with whoever is ready next.

A held customer waits on the PBX in state HELD. Every way out of it ends with somebody talking to the customer: the
agent again, the third party (daemon.engine.third_parties), or, if a transfer came to nothing and the agent is busy
elsewhere, whoever is ready next. Only the customer's own hang-up, or the agent's on a plain hold, ends the call.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.agents.states import AgentState, LegState
from daemon.calls.actions import Connect, Park
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk, Live

RETURN_MAX_S = 600.0
"""A customer whose transfer failed waits so long for an agent at most; then nobody is there at all."""


class Holding:
    """See the module's first lines. One a site."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live, self._calls, self._desks = live, calls, desks
        self.on_release: Callable[[Desk], None] = lambda desk: None
        """The agent talks to this customer no longer."""
        calls.on_back = self.back

    def hold(self, call: Call, desk: Desk) -> None:
        """The customer goes to wait on the PBX; the agent stays theirs."""
        live = self._live
        self._calls.enter(call, CallState.HELD)
        call.parked = call.returns = False
        live.act(Park(leg=call.leg))
        self._desks.set_state(desk, AgentState.ON_HOLD)
        live.event(call, "hold")

    def return_to_desk(self, call: Call) -> None:
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
        self.shown(call)

    def release(self, call: Call, desk: Desk) -> None:
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
        wraps_up = before is not None and before.state is AgentState.WRAP_UP and before.last_call is call
        if before is not None and free and (before.state is AgentState.READY or wraps_up):
            live.timers.clear(("wrap", before.id))
            before.wrap_until_utc = None
            self._calls.give(call, before)
            return
        self._calls.offer(call)

    def shown(self, call: Call) -> None:
        """Call and agent look different now."""
        self._live.touch("calls", call.attempt_id)
        if call.desk is not None:
            self._live.touch("agents", call.desk.id)
