"""A LeadSink of plain lists, as simple as its contract: what the import is tested against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.errors import StoreUnavailable
from daemon.leads.checking import email_key, name_key
from daemon.ports import ImportCounts, ImportTarget, StagedLead


@dataclass
class Base:
    """The leads there are. `fail_at`: the name of an operation that finds no database; `open`: stagings not dropped."""

    leads: dict[int, tuple[int, LeadDraft]] = field(default_factory=dict)
    fail_at: str = ""
    open: int = 0

    async def open_staging(self, target: ImportTarget) -> Staging:
        self.open += 1
        return Staging(self, target)

    def drafts(self) -> list[LeadDraft]:
        return [draft for _, draft in self.leads.values()]


class Staging:
    def __init__(self, base: Base, target: ImportTarget) -> None:
        self._base, self._target = base, target
        self._rows: list[StagedLead] = []
        self._dropped = False

    def _fails(self, operation: str) -> None:
        if self._base.fail_at == operation:
            raise StoreUnavailable("no database")

    async def stage(self, rows: Sequence[StagedLead]) -> None:
        self._fails("stage")
        self._rows += rows

    def _people(self) -> list[tuple[StagedLead, LeadDraft]]:
        """Each root with what its rows make of it."""
        made: dict[int, tuple[StagedLead, LeadDraft]] = {}
        for row in self._rows:
            if row.root in made:
                root, draft = made[row.root]
                made[row.root] = (root, self._combined(draft, row.draft))
            else:
                made[row.row] = (row, row.draft)
        return list(made.values())

    def _combined(self, old: LeadDraft, new: LeadDraft) -> LeadDraft:
        if self._target.duplicates == "replace":
            return new
        empty = LeadDraft(e164="")
        filled = {n: getattr(new, n) for n in new.__struct_fields__ if getattr(new, n) != getattr(empty, n)}
        filled["fields"] = {**old.fields, **new.fields}
        return msgspec.structs.replace(old, **filled)

    def _match(self, row: StagedLead) -> int | None:
        for lead_id, (list_id, draft) in self._base.leads.items():
            if self._target.scope == "list" and list_id != self._target.list_id:
                continue
            same = {
                "phone": row.draft.e164 == draft.e164,
                "email": bool(row.email_key) and row.email_key == email_key(draft),
                "name": bool(row.name_key) and row.name_key == name_key(draft),
            }
            if any(same[key] for key in self._target.keys):
                return lead_id
        return None

    async def matches(self) -> AsyncIterator[tuple[int, int]]:
        self._fails("matches")
        for row, _ in self._people():
            found = self._match(row)
            if found is not None:
                yield row.row, found

    async def finish(self, at: datetime) -> ImportCounts:
        self._fails("finish")
        inserted = updated = skipped = 0
        for row, draft in self._people():
            found = self._match(row)
            if found is None:
                self._base.leads[len(self._base.leads) + 1] = (self._target.list_id, draft)
                inserted += 1
            elif self._target.duplicates == "skip":
                skipped += 1
            else:
                list_id, old = self._base.leads[found]
                self._base.leads[found] = (list_id, self._combined(old, draft))
                updated += 1
        await self.discard()
        return ImportCounts(inserted=inserted, updated=updated, skipped=skipped)

    async def discard(self) -> None:
        if not self._dropped:
            self._base.open -= 1
        self._dropped = True
        self._rows = []
