"""What holds leads back, in memory: what holding.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from daemon.calls.lead_counts import LeadCounts
from daemon.calls.records import Campaign, LeadList
from daemon.ports import Page
from daemon.store.holding import CLAIMED, EPOCH, HELD_ROW, NEVER, READY, WAITING, page_of, place_from
from daemon.store.memory_people import held_by
from daemon.store.memory_tables import LeadRow, MemoryTables


class MemoryHolding:
    """Part of MemoryStore: what holds leads back."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def lead_counts(self, campaign_id: int, now: datetime) -> LeadCounts:
        def work() -> LeadCounts:
            campaign = self.tables.config[Campaign].get(campaign_id)
            lists = list(dict.fromkeys(campaign.list_ids)) if isinstance(campaign, Campaign) else []
            counts = {"due": 0}
            for list_id in lists:
                for reason, n in _counts(self.tables, list_id, now).items():
                    counts[reason] = counts.get(reason, 0) + n
            next_at = None if counts["due"] else _next(self.tables, lists, now)
            return LeadCounts(by_reason=counts, next_at=next_at)

        found: LeadCounts = await self._do("callable_counts", work)
        return found

    async def list_counts(self, group_id: int, now: datetime) -> dict[int, dict[str, int]]:
        def work() -> dict[int, dict[str, int]]:
            lists = [each.id for each in _lists(self.tables) if each.group_id == group_id]
            return {id: counts for id in lists if (counts := _counts(self.tables, id, now))}

        found: dict[int, dict[str, int]] = await self._do("list_counts", work)
        return found

    async def held_leads(
        self, list_ids: Sequence[int], reason: str, now: datetime, limit: int, after: str | None
    ) -> Page:
        first, at, id = place_from(after, reason)

        def work() -> Page:
            found: list[tuple[int, LeadRow]] = []
            for each in _lists(self.tables):
                if each.id in list_ids:
                    rows = (self.tables.leads[id] for id in self.tables.leads_of_list[each.id])
                    found += [(_stretch(row, reason), row) for row in rows if held_by(row, each.active, now) == reason]
            keyed = sorted(((_place(stretch, row), stretch, row) for stretch, row in found), key=lambda each: each[0])
            begin = (first, at, id)
            if first == WAITING and reason not in ("due", "list_off"):
                begin = max(begin, (first, now + timedelta(microseconds=1), 0))
            page = [(stretch, row) for place, stretch, row in keyed if place > begin][: limit + 1]
            shown = [(stretch, {name: getattr(row, name) for name in HELD_ROW}) for stretch, row in page]
            return page_of(shown, limit)

        page: Page = await self._do("held_leads", work)
        return page


def _lists(tables: MemoryTables) -> list[LeadList]:
    return [each for _, each in sorted(tables.config[LeadList].items()) if isinstance(each, LeadList)]


def _counts(tables: MemoryTables, list_id: int, now: datetime) -> dict[str, int]:
    listed = tables.config[LeadList].get(list_id)
    return tables.tally.counts(list_id, listed.active, now) if isinstance(listed, LeadList) else {}


def _next(tables: MemoryTables, list_ids: Sequence[int], now: datetime) -> datetime | None:
    """The earliest instant after now that frees a lead of an active list."""
    active = [each.id for each in _lists(tables) if each.active and each.id in list_ids]
    leads = (tables.leads[lead_id] for list_id in active for lead_id in tables.leads_of_list[list_id])
    instants = (lead.eligible_at for lead in leads if lead.claimed_by is None and lead.eligible_at is not None)
    return min((instant for instant in instants if instant > now), default=None)


def _stretch(lead: LeadRow, reason: str) -> int:
    if reason == "in_progress":
        return CLAIMED
    if lead.eligible_at is not None:
        return WAITING
    return READY if reason in ("due", "list_off") else NEVER


def _place(stretch: int, lead: LeadRow) -> tuple[int, datetime, int]:
    return stretch, (lead.eligible_at or EPOCH) if stretch == WAITING else EPOCH, lead.id
