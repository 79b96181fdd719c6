"""Desks: agents' phones as the PBX tells of them, and what follows for agent and call.

A desk's leg is nailed (stays parked between calls) or rung for each call. Agents' work is daemon.engine.desk_work's;
`Desks` is both.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.causes import Outcome
from daemon.calls.states import CallState
from daemon.engine.desk_work import DeskWork
from daemon.engine.live import Call, Desk, Live

CONNECTS_FAILED_MAX = 2
"""A desk whose connects fail so often in a row is not what we take it for (an event of its leg was lost)."""

RERING_S = (1.0, 5.0, 15.0, 30.0)
"""Waits before a nailed-up phone that was lost is rung again; the last one repeats."""


class Desks(DeskWork):
    """See the module's first lines."""

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self.on_leg_lost: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_leg_up: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_phone_there: Callable[[Call], None] = lambda call: None
        self.on_connect_failed: Callable[[Call], None] = lambda call: None
        self.on_bridged: Callable[[Call, Desk], None] = lambda call, desk: None
        self.on_unbridged: Callable[[Call], None] = lambda call: None
        self.on_held_free: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_held_lost: Callable[[Desk, Call], None] = lambda desk, call: None

    def on_event(self, desk: Desk, event: ev.LegEvent) -> None:
        """An event of the desk's own leg."""
        live = self._live
        if desk.call is not None and not desk.call.queued and not isinstance(event, ev.LegFailed):
            desk.call.queued = True
            live.touch("calls", desk.call.attempt_id)
        if isinstance(event, ev.LegParked):
            self._parked(desk)
        elif isinstance(event, ev.LegBridged):
            other = live.legs.get(event.peer)
            if isinstance(other, Call):
                self.on_bridged(other, desk)
        elif isinstance(event, ev.LegUnbridged):
            if desk.call is not None and desk.call.state is CallState.TALKING:
                self.on_unbridged(desk.call)
        elif isinstance(event, ev.ConnectFailed):
            self._connect_failed(desk, event.customer_gone)
        elif isinstance(event, ev.LegHungUp | ev.LegFailed):
            call = desk.call
            if isinstance(event, ev.LegFailed) and not event.sent and call and call.state is CallState.AGENT_FIRST:
                call.outcome = call.outcome or Outcome.NOT_PLACED  # its phone was never rung
            self._lost(desk)

    def _parked(self, desk: Desk) -> None:
        live = self._live
        live.timers.clear(("agentring", desk.leg))
        if desk.leg_state is LegState.CLOSING:
            return
        before, desk.leg_state = desk.leg_state, LegState.PARKED
        desk.leg_failures = 0
        live.touch("agents", desk.id)
        if before is LegState.CONNECTING:
            self._connect_failed(desk)
            return
        call = desk.call
        if call is not None and call.state is CallState.AGENT_FIRST:
            self.on_leg_up(desk, call)
            return
        if call is not None and call.state is CallState.WAITING and call.desk is desk:
            self.on_phone_there(call)
            return
        if call is not None and (call.state is CallState.HELD or call.room):
            self.on_held_free(desk, call)
            return
        if before is LegState.BRIDGED:
            if call is not None and call.state is CallState.TALKING:
                self.on_unbridged(call)
                self._after_talk(desk)
            if not self.nails(desk):
                self.hang_up(desk)
            else:
                self._idle(desk)  # who gave a call on was ready before the leg was free
            return
        if not self.nails(desk) and call is None:
            self.hang_up(desk)
            return
        self._settle(desk)

    def _settle(self, desk: Desk) -> None:
        """The phone is there (again): enter what was wanted, or go back to what was interrupted."""
        if desk.state is AgentState.RINGING:
            wanted, code = desk.next_state or AgentState.PAUSED, desk.next_code
            desk.next_state = None
            if wanted is AgentState.SIGNED_OUT:
                self._leave(desk, "engine")
                return
            self.set_state(desk, wanted, code)
        elif desk.state is AgentState.UNREACHABLE:
            back, code = desk.back_to or AgentState.PAUSED, desk.back_code
            if desk.next_state is AgentState.READY:  # asked for meanwhile
                back, code, desk.next_state = AgentState.READY, "", None
            self.set_state(desk, back, code)
            desk.back_to = None
        elif desk.next_state is AgentState.READY and desk.state is AgentState.PAUSED:
            desk.next_state = None
            self.set_state(desk, AgentState.READY)
        self._idle(desk)

    def _connect_failed(self, desk: Desk, customer_gone: bool = False) -> None:
        """The offered customer was not there (`customer_gone`: surely), or the leg is not fit: it is free again."""
        live = self._live
        live.timers.clear(("bridge", desk.leg))
        call, desk.connecting = desk.connecting, None
        if call is not None:
            call.left |= customer_gone
        if desk.leg_state is LegState.CONNECTING:
            desk.leg_state = LegState.PARKED
        live.counters["connects_failed"] += 1
        desk.connect_failures += not customer_gone
        if desk.connect_failures >= CONNECTS_FAILED_MAX:
            desk.connect_failures = 0
            self.hang_up(desk)
        held = desk.call
        if held is not None and held.state is CallState.HELD:
            self.on_held_free(desk, held)
            return
        if call is not None and desk.call is call:
            desk.call = None
            self.on_connect_failed(call)
            self._free(desk)
        else:
            self._idle(desk)

    def on_bridge_deadline(self, desk: Desk) -> None:
        """Both are not in the bridge in time. The command can't be withdrawn: end the agent's leg, and only when its
        end is seen may the person be offered to another (stale command)."""
        call, desk.connecting = desk.connecting, None
        if desk.leg_state is not LegState.CONNECTING:
            return
        self._live.counters["bridges_late"] += 1
        self.hang_up(desk)
        if call is not None:
            call.waits_for_leg = desk.leg

    def _lost(self, desk: Desk) -> None:
        """The desk's leg is gone."""
        live = self._live
        leg, before = desk.leg, desk.leg_state
        for kind in ("agentring", "agentgone", "bridge"):
            live.timers.clear((kind, leg))
        self._leg(desk, "")
        desk.leg_state, desk.connecting = LegState.NONE, None
        live.touch("agents", desk.id)
        call = desk.call
        if call is not None and (call.state is CallState.HELD or call.room):
            self.on_held_lost(desk, call)
        elif call is not None:
            if call.state is CallState.TALKING:
                self.on_unbridged(call)
                self._after_talk(desk)
            self.on_leg_lost(desk, call)
        waiting = (
            [c for c in live.calls.values() if c.waits_for_leg == leg] if leg and before is LegState.CLOSING else []
        )
        for held in waiting:
            held.waits_for_leg = ""
            self.on_leg_lost(desk, held)
        if desk.passing:
            if desk in live.passing:
                live.passing.remove(desk)
            return
        if desk.state is not AgentState.SIGNED_OUT and not self.nails(desk):
            self._settle(desk)
        if desk.state is AgentState.SIGNED_OUT or not self.nails(desk):
            return
        if before is LegState.RINGING:
            desk.leg_failures += 1
            self._unreachable(desk)
        if desk.signed_in:
            wait = RERING_S[min(desk.leg_failures, len(RERING_S) - 1)]
            live.timers.set(("rering", desk.id), live.now + wait)

    def _unreachable(self, desk: Desk) -> None:
        if desk.state is AgentState.UNREACHABLE:
            return
        if desk.state is AgentState.RINGING:
            desk.back_to, desk.back_code = desk.next_state or AgentState.PAUSED, desk.next_code
            desk.next_state = None
        elif desk.state in (AgentState.READY, AgentState.PAUSED):
            desk.back_to, desk.back_code = desk.state, desk.code
        else:
            return
        self.set_state(desk, AgentState.UNREACHABLE)

    def nailing_changed(self, desk: Desk) -> None:
        """Somebody at work may have been nailed up, or let go of, by an administrator: their phone follows, now if they
        are in no call."""
        before = desk.stays
        if self.nails(desk) is before or desk.call is not None or not desk.signed_in:
            return
        if not before:
            self.rering(desk)
        elif desk.leg_state is LegState.NONE:
            self._settle(desk)
        else:
            self.hang_up(desk)

    def rering(self, desk: Desk) -> None:
        """A nailed-up phone was lost some time ago: ring it, unless nobody wants it any more."""
        if desk.state is AgentState.SIGNED_OUT or desk.leg_state is not LegState.NONE or not self.nails(desk):
            return
        if not self._live.link.synced:
            self._live.timers.set(("rering", desk.id), self._live.now + RERING_S[-1])
            return
        self.ring(desk)
