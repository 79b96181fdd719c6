"""Leads in bulk into the in-memory store: what staging.py says in SQL, said in Python."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList
from daemon.errors import StoreConflict
from daemon.ports import ConsentRules, ImportCounts, ImportTarget, Pseudonyms, StagedLead
from daemon.store.entry import RULE, entry_of
from daemon.store.memory_people import free_of_consent, insert, lacking
from daemon.store.memory_privacy import take_back
from daemon.store.memory_tables import LeadRow, MemoryTables
from daemon.store.tables import LEAD_COLUMNS, first_turn

_EMPTY = LeadDraft(e164="")
Do = Callable[[str, Callable[[], Any]], Awaitable[Any]]


def _fold(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower()


def _filled(draft: LeadDraft) -> dict[str, Any]:
    """What a draft says: the values that are not the default."""
    values = msgspec.structs.asdict(draft)
    return {name: value for name, value in values.items() if value != getattr(_EMPTY, name)}


class MemoryStaging:
    """One import under way (daemon.ports.LeadStaging)."""

    def __init__(
        self,
        tables: MemoryTables,
        target: ImportTarget,
        do: Do,
        pseudonyms: Pseudonyms | None = None,
        consent_rules: ConsentRules = ConsentRules(),
    ) -> None:
        self._tables, self._target, self._do, self._pseudonyms = tables, target, do, pseudonyms
        self._consent_rules = consent_rules
        self._rows: list[StagedLead] = []

    async def stage(self, rows: Sequence[StagedLead]) -> None:
        await self._do("stage", lambda: self._rows.extend(rows))

    async def matches(self) -> AsyncIterator[tuple[int, int]]:
        found: dict[int, int] = await self._do("matches", self._matches)
        for row, lead_id in sorted(found.items()):
            yield row, lead_id

    async def finish(self, at: datetime) -> ImportCounts:
        try:
            counts: ImportCounts = await self._do("finish", lambda: self._finish(at))
        finally:
            await self.discard()
        return counts

    async def discard(self) -> None:
        self._rows = []

    def _matches(self) -> dict[int, int]:
        """Root row → the lowest id of a lead that is the same person."""
        known: dict[tuple[str, str], int] = {}
        for lead_id, lead in sorted(self._tables.leads.items(), reverse=True):
            same_list = lead.list_id == self._target.list_id
            if same_list if self._target.scope == "list" else lead.group_id == self._target.group_id:
                named = lead.last_name and lead.first_name
                known["phone", lead.e164] = lead_id
                known["email", lead.email.lower()] = lead_id
                known["name", f"{_fold(lead.last_name)} {_fold(lead.first_name)}" if named else ""] = lead_id
        found = {}
        for staged in self._rows:
            keys = {"phone": staged.draft.e164, "email": staged.email_key, "name": staged.name_key}
            ids = [known.get((kind, keys[kind])) for kind in self._target.keys if keys[kind]]
            if staged.row == staged.root and (there := [id for id in ids if id is not None]):
                found[staged.row] = min(there)
        return found

    def _people(self) -> dict[int, LeadDraft]:
        """Root row → what its rows make of it."""
        made: dict[int, LeadDraft] = {}
        for staged in self._rows:
            if staged.root not in made or self._target.duplicates == "replace":
                made[staged.root] = staged.draft
            elif self._target.duplicates == "merge":
                old = made[staged.root]
                values = _filled(staged.draft) | {"fields": {**old.fields, **staged.draft.fields}}
                made[staged.root] = msgspec.structs.replace(old, **values)
        return made

    def _finish(self, at: datetime) -> ImportCounts:
        listed = self._tables.config[LeadList].get(self._target.list_id)
        if not isinstance(listed, LeadList):
            raise StoreConflict(f"no list {self._target.list_id}", "list_id")
        take_back(self._tables, self._pseudonyms, listed.group_id, [staged.draft.e164 for staged in self._rows])
        matches, people = self._matches(), self._people()
        if self._target.duplicates != "skip":
            latest = {lead_id: people[row] for row, lead_id in sorted(matches.items())}
            for lead_id, draft in latest.items():
                self._update(self._tables.leads[lead_id], draft)
        new = [draft for row, draft in sorted(people.items()) if row not in matches]
        inserted = self._insert(listed, new, at)
        if self._target.duplicates == "skip":
            return ImportCounts(inserted=inserted, skipped=len(people) - inserted)
        return ImportCounts(inserted=inserted, updated=len(set(matches.values())))

    def _update(self, lead: LeadRow, draft: LeadDraft) -> None:
        filled = _filled(draft)
        free_of_consent(lead, filled)
        self._tables.leads_of_number[lead.e164].remove(lead.id)
        for name in LEAD_COLUMNS:
            if name == "vendor_lead_code":
                continue
            if name == "fields" and self._target.duplicates == "merge":
                lead.fields = lead.fields | draft.fields
                continue
            if name.startswith("consent_"):
                take = draft.consent_at is not None
            else:
                take = name in filled or (self._target.duplicates == "replace" and name != "status")
            if take:
                setattr(lead, name, getattr(draft, name))
        self._tables.leads_of_number[lead.e164].append(lead.id)
        self._tables.touch(lead)

    def _insert(self, listed: LeadList, drafts: Sequence[LeadDraft], at: datetime) -> int:
        t = self._tables
        campaigns = [each for each in t.config[Campaign].values() if isinstance(each, Campaign)]
        working = [each for each in campaigns if listed.id in each.list_ids]
        clients, entry = {each.client_id for each in working}, entry_of(working, self._consent_rules)
        codes = {t.leads[id].vendor_lead_code for id in t.leads_of_list[listed.id]} - {""}
        count = 0
        for draft in drafts:
            if draft.vendor_lead_code in codes:
                continue
            lead = LeadRow(
                id=len(t.leads) + 1,
                list_id=listed.id,
                group_id=listed.group_id,
                created_at=at,
                turn=first_turn(draft.priority),
                blocked_by="dnc" if any((client, draft.e164) in t.dnc for client in clients) else "",
                **msgspec.structs.asdict(draft),
            )
            if not lead.blocked_by and entry.hold and lacking(t, lead, entry):
                lead.blocked_by = RULE
            insert(t, lead)
            count += 1
            if draft.vendor_lead_code:
                codes.add(draft.vendor_lead_code)
        return count
