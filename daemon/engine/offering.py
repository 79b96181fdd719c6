"""Where persons who wait and agents who are free meet: whoever becomes free takes who waits for longest, and an agent
whose phone goes leaves the person to others.
"""

from __future__ import annotations

from daemon.agents.states import AgentState
from daemon.calls.causes import Outcome
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.inbound import Inbound
from daemon.engine.live import Call, Desk, Live


class Offering:
    """See the module's first lines. One a site."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks, inbound: Inbound) -> None:
        self._live, self._calls, self._desks, self._inbound = live, calls, desks, inbound

    def desk_idle(self, desk: Desk) -> None:
        """A desk can take a call: whoever waits for longest comes first, then placing looks again."""
        live = self._live
        waiting = [
            call
            for campaign in self._desks.campaigns_of(desk)
            if campaign.stages["waiting"] > 0
            for call in campaign.calls.values()
            if call.state is CallState.WAITING
            and call.desk is None
            and not call.waits_for_leg
            and live.now >= call.offer_at
            and self._inbound.suits(call, desk)
            and (desk.stays or call.kind == "inbound")
        ]
        if waiting:
            self._calls.offer(min(waiting, key=lambda call: (-_priority(call), call.need_at or live.now)))
        for campaign in self._desks.campaigns_of(desk):
            campaign.dirty = True

    def agent_leg_lost(self, desk: Desk, call: Call) -> None:
        """The agent's side of a call is gone."""
        live = self._live
        if call.state is CallState.AGENT_FIRST:
            call.outcome = call.outcome or Outcome.AGENT_NO_ANSWER
            unrung = call.outcome is Outcome.NOT_PLACED
            call.ended_by = call.ended_by or ("engine" if unrung else "agent")
            if not desk.passing and desk.next_state is None and not unrung:
                desk.next_state, desk.next_code = AgentState.PAUSED, ""
            self._calls.end(call)
        elif call.state in (CallState.CONNECTING, CallState.WAITING) or _is_there(call):
            unheard = call.kind == "inbound" and call.state is CallState.WAITING and not desk.stays
            given = call.desk is desk
            if given:
                call.desk = None
                desk.call = None
            if call.state is CallState.CONNECTING:
                self._calls.enter(call, CallState.WAITING)
            self._calls.offer(call)
            if given:
                if unheard and desk.next_state in (None, AgentState.READY):
                    desk.next_state, desk.next_code = AgentState.PAUSED, ""
                self._desks.let_go(desk)
        elif call.state in (CallState.INTENDED, CallState.DIALLING, CallState.RINGING, CallState.ANSWERED):
            self._calls.hang_up(call, by="agent")
            live.counters["agents_lost_reserved"] += 1


def _is_there(call: Call) -> bool:
    """Answered, and not seen to wait yet: nobody who is there is hung up on while others may be free for them."""
    return call.state is CallState.ANSWERED and call.campaign is not None


def _priority(call: Call) -> int:
    return call.campaign.record.priority if call.campaign else 0
