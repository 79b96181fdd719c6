"""Imports of leads in bulk, a part of a store: rows are staged, and become leads all at once or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from daemon.calls.lead_records import LeadDraft


class ImportTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where an import goes and what a duplicate is. `keys`: any of phone, email, name; empty = nothing is a duplicate.

    `duplicates`: skip (the row is left out), replace (its values take the place of the old lead's, empty ones too) or
    merge (its filled values do; an empty one never erases). Red list, consents, attempts, refusals, callbacks and the
    lead's id are always kept. `scope`: leads of the whole group ("group") or of the target list only ("list").
    """

    list_id: int
    group_id: int
    duplicates: str = "skip"
    keys: tuple[str, ...] = ("phone",)
    scope: str = "group"


class StagedLead(msgspec.Struct, frozen=True, kw_only=True):
    """A checked row of a file. `row`: its number there (rising). `root`: the first row of the file that is the same
    person, itself if there is none; only with replace and merge do rows with another root come. `email_key`,
    `name_key`: folded for comparison ("" = don't compare): e-mail in lower case; last and first name, NFD without
    combining marks, lower case, joined by one space."""

    row: int
    root: int
    draft: LeadDraft
    email_key: str = ""
    name_key: str = ""


class ImportCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What `LeadStaging.finish` did, in leads; `skipped` were duplicates of leads in the base, policy skip."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


class LeadStaging(Protocol):
    """One import under way: rows go to a place of its own, and become leads all at once or not at all."""

    async def stage(self, rows: Sequence[StagedLead]) -> None:
        """Take the next rows (a few thousand). Raises StoreUnavailable; then `discard`."""
        ...

    def matches(self) -> AsyncIterator[tuple[int, int]]:
        """(row, lead id) of each staged root that is a lead of the base by one of the keys; the lowest id, by row."""
        ...

    async def finish(self, at: datetime) -> ImportCounts:
        """Make the leads, in one transaction, created `at`; the staging is gone after it, and after a failure too.
        Leads that were there take their values right after it, a few hundred at a time: what cuts that is made good by
        `LeadSink.finish_merges`."""
        ...

    async def discard(self) -> None:
        """Drop the staging; nothing is left. Idempotent."""
        ...


@runtime_checkable
class LeadSink(Protocol):
    """Where checked leads go in bulk; PostgreSQL by COPY into a staging table, memory by a list."""

    async def open_staging(self, target: ImportTarget) -> LeadStaging: ...

    async def finish_merges(self) -> int:
        """Go on with imports that were cut while leads took their values. How many are over."""
        ...
