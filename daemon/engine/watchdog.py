"""What ought never to be: a line leased to nobody, an agent held by a call that is over, a call nobody will end.

Looked at with each audit of the PBX (daemon.engine.recovery mends what the PBX contradicts; this, what the engine's own
tables contradict). What is wrong at two looks in a row is mended, and the audit log says what and why. Every mending is
a bug of ours that has been survived: counters `watchdog_*`.
"""

from __future__ import annotations

import structlog

from daemon.agents.states import AgentState
from daemon.calls.facts import AuditFact
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk, Live

log = structlog.get_logger(__name__)

OVERDUE_S = 60.0
"""A call that rings this long past its ring time, verdict and grace has lost its timers."""

_HELD = (AgentState.RESERVED, AgentState.ON_CALL, AgentState.ON_HOLD)


class Watchdog:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live, self._calls, self._desks = live, calls, desks
        self._suspects: set[tuple[str, object]] = set()
        self._seen: set[tuple[str, object]] = set()

    def look(self) -> None:
        """Once an audit, in the engine's own time."""
        self._seen = set()
        for line_id, line in self._live.pool.lines.items():
            spare = [lease for lease in line.leases if lease not in self._live.calls]  # few: in order, for the log
            for lease in sorted(spare, key=str):
                self._lease(line_id, lease)
        for desk in list(self._live.desks.values()):
            self._desk(desk)
        for call in list(self._live.calls.values()):
            self._call(call)
        self._suspects = self._seen

    def _twice(self, what: str, which: object) -> bool:
        """Whether it was so at the look before as well."""
        self._seen.add((what, which))
        return (what, which) in self._suspects

    def _mended(self, what: str, target: object, reason: str) -> None:
        live = self._live
        live.counters[f"watchdog_{what}"] += 1
        log.error("watchdog.mended", site=live.site.id, what=what, target=str(target), reason=reason)
        live.fact(
            AuditFact(
                at=live.utc,
                site=live.site.id,
                by="watchdog",
                what=f"watchdog.{what}",
                target=str(target),
                detail={"reason": reason},
            )
        )

    def _lease(self, line_id: int, lease: object) -> None:
        live = self._live
        if any(side.lease == lease for side in live.sides.values()) or not self._twice("line", lease):
            return
        live.pool.give_back(line_id, lease)
        live.touch("lines", line_id)
        self._mended("line", line_id, f"leased to call {lease}, which is over")

    def _desk(self, desk: Desk) -> None:
        alone = desk.preview is None and (desk.call is None or desk.call.state is CallState.ENDED)
        if desk.state in _HELD and alone and self._twice("agent", desk.id):
            reason = f"{desk.state} without a call"
            desk.call = None
            self._desks.set_state(desk, AgentState.READY if desk.campaign_ids else AgentState.PAUSED, by="watchdog")
            self._mended("agent", desk.id, reason)

    def _call(self, call: Call) -> None:
        """A leg that has long been asked for and neither answered nor ended."""
        live = self._live
        if call.state not in (CallState.DIALLING, CallState.RINGING) or call.placed_at is None:
            return
        overdue_s = live.now - call.placed_at - call.ring_timeout_s - live.dialer.verdict_grace_s
        if overdue_s > OVERDUE_S and self._twice("call", call.attempt_id):
            self._calls.hang_up(call, by="watchdog")
            self._mended("call", call.attempt_id.hex, f"no answer and no end {overdue_s:.0f} s after its time")
