"""Click-to-call: the line of the person's leg, and the call itself, begun for a phone that rings first.

Shared by the command (daemon.engine.by_hand) and by a new try on another line (daemon.engine.second_line).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from daemon.calls.records import LineKind, Strategy
from daemon.engine.callflow import CallFlow
from daemon.engine.commands import CallExtension
from daemon.engine.live import Call, Desk, Live
from daemon.pool.lines import LineState


class ClickedCalls:
    """See the module's first lines. One a site."""

    def __init__(self, live: Live, calls: CallFlow) -> None:
        self._live, self._calls = live, calls

    def trunks(self, group_id: int) -> list[int]:
        """The trunk lines that the group may use; 0 = of all groups."""
        return [
            line.record.id
            for line in self._live.pool.lines.values()
            if line.record.kind is LineKind.TRUNK and group_id in (0, line.record.group_id)
        ]

    def take_line(self, line_ids: Sequence[int], group_id: int, attempt_id: UUID) -> LineState | None:
        """One of these lines, leased by the group's strategy; None if none is free."""
        live = self._live
        group = live.groups.get(group_id)
        return live.pool.take(line_ids, group.c2c_strategy if group else Strategy.PRIORITY, attempt_id, live.now)

    def open(self, wanted: CallExtension | Call, line: LineState, desk: Desk, attempt_id: UUID) -> None:
        """The call that was asked for, or tried before, on a line that was taken for it."""
        self._calls.open(
            kind=wanted.kind,
            e164=wanted.e164,
            group_id=wanted.group_id,
            client_id=wanted.client_id,
            campaign=None,
            lead=None,
            line_id=line.record.id,
            trunk=line.record.endpoint,
            caller_id=wanted.caller_id,
            desk=desk,
            rule_set=wanted.rule_set,
            attempt_id=attempt_id,
        )
