"""What was ordered of campaigns and lines until the store has it: a row read meanwhile still says what was before.

In: each batch's facts as the journal has taken them. Out: rows as they will be once the store has all facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from daemon.calls.facts import AnyFact, CampaignSet, LineSet
from daemon.calls.records import Campaign, CampaignMode, CampaignState, Line, Record

R = TypeVar("R", bound=Record)


class Unsaved:
    """The last order of each live value, with a number that its fact does not exceed. One a site."""

    def __init__(self) -> None:
        self._orders: dict[tuple[type[Record], int], dict[str, tuple[int, Any]]] = {}

    def note(self, facts: Sequence[AnyFact], last_n: int) -> None:
        """The journal has these; the last it took has the number `last_n`."""
        for fact in facts:
            if isinstance(fact, CampaignSet | LineSet):
                kind, id, values = _order(fact)
                known = self._orders.setdefault((kind, id), {})
                known.update((name, (last_n, value)) for name, value in values.items())

    def over(self, row: R, saved_n: int, facts: Sequence[AnyFact]) -> R:
        """The row with what it may lack. `saved_n`: up to there the store had every fact before the row was read;
        `facts`: of the batch at work, not in the journal yet."""
        key = (type(row), row.id)
        values = {name: value for name, (n, value) in self._orders.get(key, {}).items() if n > saved_n}
        for fact in facts:
            if isinstance(fact, CampaignSet | LineSet):
                kind, id, ordered = _order(fact)
                values |= ordered if (kind, id) == key else {}
        return msgspec.structs.replace(row, **values) if values else row


def _order(fact: CampaignSet | LineSet) -> tuple[type[Record], int, dict[str, Any]]:
    """Which row a fact is about, and the fields it sets."""
    if isinstance(fact, LineSet):
        return Line, fact.line_id, {} if fact.enabled is None else {"enabled": fact.enabled}
    values = {
        "state": None if fact.state is None else CampaignState(fact.state),
        "mode": None if fact.mode is None else CampaignMode(fact.mode),
        "level": fact.level,
        "speed": fact.speed,
    }
    return Campaign, fact.campaign_id, {name: value for name, value in values.items() if value is not None}
