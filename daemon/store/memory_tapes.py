"""Recordings in memory: what tapes.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.calls import facts as f
from daemon.errors import StoreConflict
from daemon.ports import Page
from daemon.store.memory_tables import MemoryTables
from daemon.store.tapes import CHANGEABLE, FILTERS, OF_ATTEMPT


def begun(tables: MemoryTables, fact: f.RecordingStarted) -> None:
    """A row, once."""
    if any((row["attempt_id"], row["number"]) == (fact.attempt_id, fact.number) for row in tables.recordings.values()):
        return
    id = len(tables.recordings) + 1
    tables.recordings[id] = {
        "id": id,
        "attempt_id": fact.attempt_id,
        "group_id": fact.group_id,
        "number": fact.number,
        "site": fact.site,
        "file": fact.file,
        "path": "",
        "started_at": fact.at,
        "duration_s": None,
        "bytes": None,
        "muted": [],
        "state": "recording",
        "started_by": fact.by,
        "purged_at": None,
    }


def over(tables: MemoryTables, fact: f.RecordingEnded) -> None:
    """It has ended."""
    for row in tables.recordings.values():
        if (row["attempt_id"], row["number"], row["state"]) == (fact.attempt_id, fact.number, "recording"):
            row["duration_s"], row["muted"] = fact.duration_s, [list(gap) for gap in fact.muted]
            row["state"] = "failed" if fact.failed else "waiting"


def missed(tables: MemoryTables, fact: f.MissedCall) -> None:
    """A task, once."""
    row = {"attempt_id": fact.attempt_id, "group_id": fact.group_id, "campaign_id": fact.campaign_id, "at": fact.at}
    row |= {"owner_agent_id": fact.owner_agent_id, "due_at": fact.due_at, "done_at": None, "done_by": ""}
    tables.missed.setdefault(fact.attempt_id, row)


class MemoryTapes:
    """Part of MemoryStore: recordings."""

    tables: MemoryTables
    _do: Callable[..., Any]

    def _shown(self, row: dict[str, Any]) -> dict[str, Any] | None:
        attempt = self.tables.attempts.get(row["attempt_id"])
        if attempt is None:
            return None
        return {**row, "call_number": attempt.number, **{name: getattr(attempt, name) for name in OF_ATTEMPT}}

    def _fits(self, row: dict[str, Any], filters: Mapping[str, Any]) -> bool:
        e164 = self.tables.attempts[row["attempt_id"]].e164
        for name, value in filters.items():
            if name == "start" and row["started_at"] < value:
                return False
            if name == "end" and row["started_at"] >= value:
                return False
            if name == "duration_min" and (row["duration_s"] or -1.0) < value:
                return False
            if name == "number" and e164 != value:
                return False
            if name not in ("start", "end", "duration_min", "number") and row[name] != value:
                return False
        return True

    async def search_recordings(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        if unknown := sorted(set(filters) - set(FILTERS)):
            raise StoreConflict(f"recordings have no filter {unknown[0]}", unknown[0])

        def work() -> Page:
            below = int(after) if after else 1 << 62
            found = []
            for row in sorted(self.tables.recordings.values(), key=lambda row: -row["id"]):
                shown = self._shown(row)
                seen = shown is not None and group_id in (None, row["group_id"]) and row["id"] < below
                if shown is not None and seen and self._fits(shown, filters):
                    found.append(shown)
            return Page(rows=found[:limit], next_after=str(found[limit - 1]["id"]) if len(found) > limit else None)

        page: Page = await self._do("search_recordings", work)
        return page

    async def missed_calls(
        self,
        group_id: int | None,
        *,
        done: bool,
        limit: int,
        owner: int | None = None,
        campaign_ids: Collection[int] = (),
        attempt_id: UUID | None = None,
    ) -> list[dict[str, Any]]:
        def fits(row: dict[str, Any]) -> bool:
            if group_id not in (None, row["group_id"]) or (row["done_at"] is not None) != done:
                return False
            if owner is not None and row["owner_agent_id"] not in (0, owner):
                return False
            if campaign_ids and row["campaign_id"] not in campaign_ids:
                return False
            return attempt_id in (None, row["attempt_id"])

        def work() -> list[dict[str, Any]]:
            found = []
            rows = sorted(self.tables.missed.values(), key=lambda row: row["attempt_id"])
            rows.sort(key=lambda row: row["done_at"] if row["done_at"] and done else row["at"], reverse=done)
            for row in rows:
                attempt = self.tables.attempts.get(row["attempt_id"])
                if attempt is None or not fits(row):
                    continue
                known = {"e164": attempt.e164, "call_number": attempt.number, "did": attempt.caller_id}
                found.append({**row, **known})
            return found[:limit]

        rows: list[dict[str, Any]] = await self._do("missed_calls", work)
        return rows

    async def missed_call_done(self, attempt_id: UUID, at: datetime, by: str) -> bool:
        def work() -> bool:
            row = self.tables.missed.get(attempt_id)
            if row is None or row["done_at"] is not None:
                return False
            row["done_at"], row["done_by"] = at, by
            return True

        done: bool = await self._do("missed_call_done", work)
        return done

    async def recording(self, id: int) -> dict[str, Any] | None:
        def work() -> dict[str, Any] | None:
            row = self.tables.recordings.get(id)
            return self._shown(row) if row is not None else None

        row: dict[str, Any] | None = await self._do("recording", work)
        return row

    async def set_recording(self, id: int, changes: Mapping[str, Any]) -> None:
        if unknown := sorted(set(changes) - CHANGEABLE):
            raise StoreConflict(f"recordings: {unknown[0]} can't be changed", unknown[0])

        def work() -> None:
            if id in self.tables.recordings:
                self.tables.recordings[id].update(changes)

        await self._do("set_recording", work)

    async def recordings_in(
        self, states: Sequence[str], before: datetime, limit: int, sites: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            rows = [r for r in self.tables.recordings.values() if r["state"] in states and r["started_at"] < before]
            rows = [row for row in rows if sites is None or row["site"] in sites]
            shown = [self._shown(row) for row in sorted(rows, key=lambda row: (row["started_at"], row["id"]))]
            return [row for row in shown if row is not None][:limit]

        rows: list[dict[str, Any]] = await self._do("recordings_in", work)
        return rows
