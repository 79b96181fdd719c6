"""CRM journals in memory: the same answers as `crm` gives on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.calls.crm_records import Integration
from daemon.calls.records import Agent
from daemon.ports import CrmKey
from daemon.store.memory_tables import AttemptRow, MemoryTables

_SHOWN = ("attempt_id", "agent_id", "at", "state", "tries", "next_at", "error", "journal_id", "done_at")
_OF_ATTEMPT = (
    "id",
    "number",
    "kind",
    "group_id",
    "campaign_id",
    "lead_id",
    "e164",
    "caller_id",
    "at",
    "answered_at",
    "connected_at",
    "ended_at",
    "outcome",
    "talk_s",
    "disposition",
    "notes",
)


def queue(tables: MemoryTables, attempt: AttemptRow) -> None:
    """A call has ended: one row for each integration of its group that keeps a journal."""
    if attempt.outcome == "not_placed" or (attempt.placed_at is None and attempt.kind != "inbound"):
        return
    for id, each in tables.config[Integration].items():
        if isinstance(each, Integration) and each.group_id == attempt.group_id and each.enabled and each.journal:
            key = (id, attempt.id, attempt.agent_id)
            row = {"integration_id": id, "attempt_id": attempt.id, "agent_id": attempt.agent_id, "site": attempt.site}
            row |= {"at": attempt.ended_at, "next_at": attempt.ended_at, "state": "pending", "tries": 0}
            tables.crm_journal.setdefault(key, row | {"error": "", "journal_id": "", "done_at": None})


def _due_row(tables: MemoryTables, row: dict[str, Any]) -> dict[str, Any]:
    attempt = tables.attempts[row["attempt_id"]]
    agent, lead = tables.config[Agent].get(row["agent_id"]), tables.leads.get(attempt.lead_id)
    shown = {name: row[name] for name in ("integration_id", "agent_id", "state", "tries")} | {"queued_at": row["at"]}
    shown |= {name: getattr(attempt, name) for name in _OF_ATTEMPT}
    return shown | {
        "agent_name": getattr(agent, "name", ""),
        "extension": getattr(agent, "extension", ""),
        "lead_first_name": lead.first_name if lead else "",
        "lead_last_name": lead.last_name if lead else "",
    }


class MemoryCrm:
    """Part of MemoryStore: CRM journals. Implements daemon.ports.CrmStore."""

    tables: MemoryTables
    _do: Callable[..., Any]

    async def crm_due(
        self, integration_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            due = [
                row
                for key, row in self.tables.crm_journal.items()
                if key[0] == integration_id
                and row["state"] in ("pending", "doubt")
                and row["next_at"] <= now
                and row["site"] in sites
            ]
            due.sort(key=lambda row: (row["next_at"], self.tables.attempts[row["attempt_id"]].number))
            return [_due_row(self.tables, row) for row in due[:limit]]

        rows: list[dict[str, Any]] = await self._do("crm_due", work)
        return rows

    async def crm_mark(
        self,
        key: CrmKey,
        expected: Sequence[str],
        state: str,
        now: datetime,
        *,
        tried: bool = False,
        next_at: datetime | None = None,
        error: str = "",
        journal_id: str = "",
    ) -> bool:
        def work() -> bool:
            row = self.tables.crm_journal.get(key)
            if row is None or row["state"] not in expected:
                return False
            row["state"], row["tries"] = state, row["tries"] + tried
            row["next_at"], row["error"] = next_at or row["next_at"], error
            row["journal_id"] = journal_id or row["journal_id"]
            row["done_at"] = now if state in ("done", "skipped", "dead") else None
            return True

        return bool(await self._do("crm_mark", work))

    async def crm_lost(self, sites: Sequence[str], now: datetime) -> int:
        def work() -> int:
            lost = [
                row for row in self.tables.crm_journal.values() if row["state"] == "sending" and row["site"] in sites
            ]
            for row in lost:
                row |= {"state": "doubt", "next_at": now, "error": "the daemon ended while this was being sent"}
            return len(lost)

        return int(await self._do("crm_lost", work))

    async def crm_replay(
        self, integration_id: int, states: Sequence[str], attempt_ids: Sequence[UUID] | None, now: datetime
    ) -> int:
        def work() -> int:
            found = [
                row
                for key, row in self.tables.crm_journal.items()
                if key[0] == integration_id
                and row["state"] in states
                and (attempt_ids is None or row["attempt_id"] in attempt_ids)
            ]
            for row in found:
                row |= {"state": "pending", "tries": 0, "next_at": now, "error": "", "done_at": None}
            return len(found)

        return int(await self._do("crm_replay", work))

    async def crm_figures(self, integration_ids: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
        def work() -> dict[int, dict[str, dict[str, Any]]]:
            found: dict[int, dict[str, dict[str, Any]]] = {id: {} for id in integration_ids}
            for (id, _, _), row in self.tables.crm_journal.items():
                if id in found:
                    figures = found[id].setdefault(row["state"], {"count": 0, "oldest_at": row["at"]})
                    figures["count"] += 1
                    figures["oldest_at"] = min(figures["oldest_at"], row["at"])
            return found

        figures: dict[int, dict[str, dict[str, Any]]] = await self._do("crm_figures", work)
        return figures

    async def crm_rows(self, integration_id: int, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            found = []
            for key, row in self.tables.crm_journal.items():
                number = self.tables.attempts[row["attempt_id"]].number
                if key[0] == integration_id and state in ("", row["state"]) and (not before or number < before):
                    found.append({"number": number} | {name: row[name] for name in _SHOWN})
            return sorted(found, key=lambda row: -row["number"])[:limit]

        rows: list[dict[str, Any]] = await self._do("crm_rows", work)
        return rows

    async def crm_trim(self, before: datetime) -> int:
        def work() -> int:
            old = [
                key
                for key, row in self.tables.crm_journal.items()
                if row["state"] in ("done", "skipped") and row["done_at"] < before
            ]
            for key in old:
                del self.tables.crm_journal[key]
            return len(old)

        return int(await self._do("crm_trim", work))
