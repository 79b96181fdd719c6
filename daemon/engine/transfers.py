"""What an agent asks for in a call: hold, mute, digits, ask somebody, transfer, conference.

Commands only: who waits on hold is daemon.engine.holding's, who else is there daemon.engine.third_parties'.
"""

from __future__ import annotations

from daemon.calls.actions import Join, Mute, Park, SendDigits
from daemon.calls.ids import third_leg
from daemon.calls.records import Strategy
from daemon.calls.states import CallState
from daemon.compliance.numbers import HOME, destination
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.holding import Holding
from daemon.engine.live import Call, Desk, Live
from daemon.engine.named import audit, desk_of
from daemon.engine.refusals import refused_number
from daemon.engine.sides import Goal, Side, SideState
from daemon.engine.third_parties import ThirdParties
from daemon.errors import CommandError


class Transfers:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, holding: Holding, thirds: ThirdParties) -> None:
        self._live, self._calls, self._holding, self._thirds = live, calls, holding, thirds

    def conversation(self, command: c.CallCommand) -> tuple[Call, Desk]:
        """The conversation that a command is about and its agent, by agent or by attempt. Raises CommandError."""
        live = self._live
        call: Call | None
        desk: Desk | None
        if command.agent_id:
            call = (desk := desk_of(live, command.agent_id)).call
        else:
            call = live.calls.get(command.attempt_id) if command.attempt_id else None
            if call is None:
                raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
            desk = call.desk
        if desk is None or call is None or call.state not in (CallState.TALKING, CallState.HELD):
            raise CommandError("agent_not_in_call", {"agent_id": command.agent_id})
        return call, desk

    def need(self, capability: str) -> None:
        """Raises CommandError if these rights, this mode, can't."""
        link = self._live.link
        if not link.synced:
            raise CommandError("pbx_unreachable", {"site": self._live.site.id})
        if capability not in link.capabilities:
            raise CommandError("not_possible_here", {"capability": capability, "mode": link.mode})

    def _HoldCall(self, command: c.HoldCall) -> None:
        call, desk = self.conversation(command)
        self.need("hold")
        if call.state is CallState.TALKING and not call.room:
            self._holding.hold(call, desk)

    def _ResumeCall(self, command: c.ResumeCall) -> None:
        call, _ = self.conversation(command)
        if call.state is not CallState.HELD:
            return
        call.returns = True
        side = self._thirds.third_of(call)
        if side is not None:
            self._thirds.drop(side)  # its end brings the agent back
        self._holding.return_to_desk(call)

    def _MuteAgent(self, command: c.MuteAgent) -> None:
        _, desk = self.conversation(command)
        self.need("mute")
        desk.muted = command.on
        self._live.act(Mute(leg=desk.leg, on=command.on))
        self._live.touch("agents", desk.id)

    def _SendDtmf(self, command: c.SendDtmf) -> None:
        call, _ = self.conversation(command)
        self.need("dtmf")
        self._live.act(SendDigits(leg=call.leg, digits=command.digits))

    def _Consult(self, command: c.Consult) -> dict[str, str]:
        call, desk = self.conversation(command)
        self.need("hold")
        side = self._third(call, desk, command, "consult", Goal.AGENT)
        if call.state is CallState.TALKING:
            self._holding.hold(call, desk)
        return {"leg": side.leg}

    def _TransferCall(self, command: c.TransferCall) -> dict[str, str]:
        """Blind: the agent is free at once if the phone stays up; it gets the customer back if nobody answers."""
        call, desk = self.conversation(command)
        self.need("hold")
        side = self._third(call, desk, command, "transfer", Goal.CUSTOMER)
        if call.state is CallState.TALKING:
            self._holding.hold(call, desk)
        if desk.stays:
            self._holding.release(call, desk)
        return {"leg": side.leg}

    def _CompleteTransfer(self, command: c.CompleteTransfer) -> None:
        call, _ = self.conversation(command)
        side = self._asked(call)
        side.goal = Goal.CUSTOMER
        if side.state is SideState.TALKING:
            self._live.act(Park(leg=side.leg))
        elif side.state is SideState.PARKED:
            self._thirds.on_free(side)

    def _Conference(self, command: c.Conference) -> dict[str, str]:
        call, _ = self.conversation(command)
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
        call, desk = self.conversation(command)
        if not call.room:
            raise CommandError("agent_not_in_call", {"agent_id": desk.id})
        self._live.event(call, "left_conference")
        if self._thirds.third_of(call) is None:
            self._calls.hang_up(call, by="agent")  # there is nobody to leave the customer with
            return
        self._thirds.out_of_room(desk)
        self._holding.release(call, desk)

    def _asked(self, call: Call) -> Side:
        side = self._thirds.third_of(call)
        if side is None or call.state is not CallState.HELD or side.purpose != "consult":
            raise CommandError("third_not_there", {"state": "none"})
        return side

    def _third(self, call: Call, desk: Desk, command: c.Consult | c.TransferCall, purpose: str, goal: Goal) -> Side:
        """Ring somebody: an extension of the PBX, or an outside number on a line of its own. Raises CommandError."""
        live = self._live
        if self._thirds.third_of(call) is not None or call.room:
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
        self._thirds.ring(side, extension=command.extension, number=number, trunk=trunk)
        audit(live, command.by, f"call.{purpose}", call.attempt_id, to=side.to, agent_id=desk.id)
        dear = {"destination": where} if command.e164 and (where := destination(command.e164)) != HOME else {}
        live.event(call, purpose, to=side.to, **dear)
        return side

    def _outside(self, call: Call, side: Side, e164: str) -> tuple[str, str]:
        """(dial string, trunk) of an outside number, with a line leased. Raises CommandError."""
        live = self._live
        refused = refused_number(live, call.group_id, e164, "")
        if refused is not None:
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": None})
        lease = live.new_id()
        lines = call.campaign.record.line_ids if call.campaign else [call.line_id]
        line = live.pool.take(lines, Strategy.PRIORITY, lease, live.now)
        if line is None:
            raise CommandError("line_unavailable", {"lines": len(lines)})
        side.line_id, side.lease = line.record.id, lease
        live.touch("lines", line.record.id)
        return live.law.dial_string(e164), line.record.endpoint
