"""Supervision: listen to an agent's conversation, whisper, barge in, take over (SUPV-01). Every step is audited.

A supervisor's phone is a leg beside the call, for the length of that conversation; one a supervisor and agent.
"""

from __future__ import annotations

from daemon.calls import events as ev
from daemon.calls.actions import Park, SetSpyMode, Spy
from daemon.calls.ids import supervisor_leg
from daemon.calls.states import CallState
from daemon.engine import commands as c
from daemon.engine.live import Call, Desk, Live
from daemon.engine.named import audit, desk_of
from daemon.engine.sides import Goal, Side, SideState
from daemon.engine.third_parties import ThirdParties
from daemon.engine.transfers import Transfers
from daemon.engine.views import LISTEN
from daemon.errors import CommandError

MODES = (LISTEN, "whisper", "barge")


class Supervision:
    """See the module's first lines."""

    def __init__(self, live: Live, transfers: Transfers, thirds: ThirdParties) -> None:
        self._live, self._transfers, self._thirds = live, transfers, thirds

    def _conversation(self, agent_id: int) -> tuple[Call, Desk]:
        desk = desk_of(self._live, agent_id)
        call = desk.call
        if call is None or call.state not in (CallState.TALKING, CallState.HELD):
            raise CommandError("agent_not_in_call", {"agent_id": agent_id})
        return call, desk

    def _spy_of(self, call: Call, by: str) -> Side | None:
        for side in self._live.sides.values():
            if side.call is call and side.purpose == "spy" and side.by == by and side.state is not SideState.CLOSING:
                return side
        return None

    def _Supervise(self, command: c.Supervise) -> dict[str, str]:
        live = self._live
        call, desk = self._conversation(command.agent_id)
        if command.mode not in MODES:
            raise CommandError("field_invalid", {"field": "mode", "value": command.mode, "allowed": list(MODES)})
        self._transfers.need("spy")
        side = self._spy_of(call, command.by)
        if side is None:
            side = Side(
                leg=supervisor_leg(live.site.id, desk.id, live.utc, live.rng),
                call=call,
                desk=desk,
                purpose="spy",
                to=command.extension,
                by=command.by,
                mode=command.mode,
            )
            live.sides[side.leg] = side
            ring_s = live.dialer.agent_ring_s
            live.act(
                Spy(
                    leg=side.leg,
                    extension=command.extension,
                    target=desk.leg,
                    mode=command.mode,
                    ring_timeout_s=ring_s,
                    caller_name=f"{desk.record.name}",
                )
            )
            live.timers.set(("side", side.leg), live.now + ring_s + live.dialer.verdict_grace_s)
        elif side.mode != command.mode:
            side.mode = command.mode
            if side.state is SideState.LISTENING:
                live.act(SetSpyMode(leg=side.leg, mode=command.mode))
        audit(
            self._live,
            command.by,
            f"supervision.{command.mode}",
            call.attempt_id,
            agent_id=desk.id,
            to=command.extension,
        )
        live.event(call, "supervised", mode=command.mode)
        live.touch("agents", desk.id)
        return {"leg": side.leg}

    def _StopSupervising(self, command: c.StopSupervising) -> None:
        call, desk = self._conversation(command.agent_id)
        side = self._spy_of(call, command.by)
        if side is not None:
            audit(self._live, command.by, "supervision.stop", call.attempt_id, agent_id=desk.id)
            self._thirds.drop(side)
            self._live.touch("agents", desk.id)

    def _TakeOver(self, command: c.TakeOver) -> dict[str, str]:
        """The phone that listens becomes a third party; without one, `extension` rings first."""
        call, desk = self._conversation(command.agent_id)
        self._transfers.need("hold")
        if self._thirds.third_of(call) is not None or call.room:
            raise CommandError("third_there_already", {"attempt_id": str(call.attempt_id)})
        side = self._spy_of(call, command.by)
        if side is not None and side.state is SideState.LISTENING:
            side.purpose, side.goal = "take_over", Goal.CUSTOMER
            self._live.act(Park(leg=side.leg))
        elif command.extension:
            leg = supervisor_leg(self._live.site.id, desk.id, self._live.utc, self._live.rng)
            side = Side(
                leg=leg,
                call=call,
                desk=desk,
                purpose="take_over",
                to=command.extension,
                by=command.by,
                goal=Goal.CUSTOMER,
            )
            self._thirds.ring(side, extension=command.extension)
        else:
            raise CommandError("field_missing", {"field": "extension"})
        audit(self._live, command.by, "supervision.take_over", call.attempt_id, agent_id=desk.id, to=side.to)
        self._live.event(call, "take_over", to=side.to)
        return {"leg": side.leg}

    def on_event(self, side: Side, event: ev.LegEvent) -> None:
        """An event of a supervisor's leg that only listens."""
        live = self._live
        if isinstance(event, ev.SpyStarted):
            live.timers.clear(("side", side.leg))
            side.state = SideState.LISTENING
        elif isinstance(event, ev.LegHungUp | ev.LegFailed):
            live.sides.pop(side.leg, None)
            live.timers.clear(("side", side.leg))
            failed = isinstance(event, ev.LegFailed) or side.state is SideState.RINGING
            live.event(side.call, "supervision_failed" if failed else "supervision_over", mode=side.mode)
        if side.desk is not None:
            live.touch("agents", side.desk.id)

    def left_alone(self, desk: Desk) -> None:
        """The agent talks to this customer no longer: who listened goes."""
        for side in list(self._live.sides.values()):
            if side.purpose == "spy" and side.desk is desk:
                self._thirds.drop(side)
