"""Click-to-call on a second line (TELC-11): the phone is picked up, but the line can't carry the person's leg.

The attempt ends for that reason, which does not count against the person; the phone stays in its park for a second, and
a new attempt rings the person on another line. With no other line, or the phone hung up meanwhile, that was it.
Called by daemon.engine.ending as such a call ends, and by the core's timer. The second's wait lets the first attempt's
end reach the store, which allows one live attempt a person.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.agents.states import LegState
from daemon.engine.clicked import ClickedCalls
from daemon.engine.desks import Desks
from daemon.engine.ending import NEXT_LINE_S, OF_THE_LINE
from daemon.engine.live import Call, Desk, Live


class SecondLine:
    """One a site. `obstacle`: what keeps the whole site from placing, "" if nothing does."""

    def __init__(self, live: Live, desks: Desks, clicked: ClickedCalls, obstacle: Callable[[], str]) -> None:
        self._live, self._desks, self._clicked, self._obstacle = live, desks, clicked, obstacle
        self._kept: dict[str, tuple[Desk, Call]] = {}

    def keeps(self, call: Call, desk: Desk) -> bool:
        """Whether the phone of a call that has just ended waits for another line; else it is hung up as ever."""
        live = self._live
        of_the_line = call.outcome in OF_THE_LINE and call.placed_at is not None and call.ringing_at is None
        if not (desk.passing and call.kind == "click2call" and of_the_line and call.answered_at is None):
            return False
        if desk.leg_state is not LegState.PARKED or self._obstacle():
            return False
        if not live.pool.other(self._clicked.trunks(call.group_id), call.line_id, live.now):
            return False
        desk.call = None
        self._kept[desk.leg] = (desk, call)
        live.timers.set(("second_line", desk.leg), live.now + NEXT_LINE_S + 0.1)
        return True

    def on_deadline(self, leg: str) -> None:
        """The second is over: ring the person on a line that did not fail of late."""
        live = self._live
        desk, call = self._kept.pop(leg)
        if desk.leg != leg or desk.leg_state is not LegState.PARKED or desk.call is not None:
            return  # whoever had picked it up has hung up
        id = live.new_id()
        trunks = [] if self._obstacle() else self._clicked.trunks(call.group_id)
        line = self._clicked.take_line(trunks, call.group_id, id)
        if line is None:
            self._desks.hang_up(desk)
            return
        live.event(call, "next_line", next=str(id), line_id=line.record.id)
        self._clicked.open(call, line, desk, id)
