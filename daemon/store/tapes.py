"""Recordings on PostgreSQL: the rows that facts make, their search, and what becomes of their files (RECD-01…04)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from daemon.calls import facts as f
from daemon.errors import StoreConflict
from daemon.ports import Page
from daemon.store.database import Database

BEGUN: Final = """
INSERT INTO recordings (attempt_id, group_id, path, started_at, number, site, file, started_by)
VALUES ($1, $2, '', $3, $4, $5, $6, $7) ON CONFLICT (attempt_id, number) DO NOTHING"""

OVER: Final = """
UPDATE recordings SET duration_s = $3, muted = $4, state = CASE WHEN $5 THEN 'failed' ELSE 'waiting' END
WHERE attempt_id = $1 AND number = $2 AND state = 'recording'"""

MISSED: Final = """
INSERT INTO missed_calls (attempt_id, group_id, campaign_id, owner_agent_id, at, due_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (attempt_id) DO NOTHING"""

MISSED_COLUMNS: Final = (
    "attempt_id",
    "group_id",
    "campaign_id",
    "owner_agent_id",
    "at",
    "due_at",
    "done_at",
    "done_by",
)

FILTERS: Final[Mapping[str, str]] = {
    "start": "r.started_at >= ${n}",
    "end": "r.started_at < ${n}",
    "campaign_id": "a.campaign_id = ${n}",
    "agent_id": "a.agent_id = ${n}",
    "lead_id": "a.lead_id = ${n}",
    "number": "a.e164 = ${n}",
    "attempt_id": "r.attempt_id = ${n}",
    "disposition": "a.disposition = ${n}",
    "state": "r.state = ${n}",
    "duration_min": "r.duration_s >= ${n}",
}
COLUMNS: Final = (
    "id", "attempt_id", "group_id", "number", "site", "file", "path", "started_at", "duration_s", "bytes", "muted",
    "state", "started_by", "purged_at",
)  # fmt: skip
OF_ATTEMPT: Final = ("campaign_id", "agent_id", "lead_id", "kind", "disposition")
CHANGEABLE: Final = frozenset({"path", "bytes", "state", "purged_at"})

_SELECT = (
    "SELECT " + ", ".join(f"r.{name}" for name in COLUMNS) + ", a.number AS call_number, "
    + ", ".join(f"a.{name}" for name in OF_ATTEMPT)
    + " FROM recordings r JOIN attempts a ON a.id = r.attempt_id"
)  # fmt: skip


def begun(fact: f.RecordingStarted) -> tuple[Any, ...]:
    """The arguments of BEGUN."""
    return fact.attempt_id, fact.group_id, fact.at, fact.number, fact.site, fact.file, fact.by


def over(fact: f.RecordingEnded) -> tuple[Any, ...]:
    """The arguments of OVER."""
    return fact.attempt_id, fact.number, fact.duration_s, [list(gap) for gap in fact.muted], fact.failed


def missed(fact: f.MissedCall) -> tuple[Any, ...]:
    """The arguments of MISSED."""
    return fact.attempt_id, fact.group_id, fact.campaign_id, fact.owner_agent_id, fact.at, fact.due_at


class TapeRows:
    """Part of PostgresStore: recordings."""

    _database: Database

    async def search_recordings(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        if unknown := sorted(set(filters) - set(FILTERS)):
            raise StoreConflict(f"recordings have no filter {unknown[0]}", unknown[0])
        arguments: list[Any] = [group_id, int(after) if after else 1 << 62, limit + 1]
        where = ["($1::bigint IS NULL OR r.group_id = $1)", "r.id < $2"]
        for name, value in filters.items():
            arguments.append(value)
            where.append(FILTERS[name].replace("{n}", str(len(arguments))))
        sql = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY r.id DESC LIMIT $3"
        async with self._database.reading() as connection:
            rows = [dict(row) for row in await connection.fetch(sql, *arguments)]
        return Page(rows=rows[:limit], next_after=str(rows[limit - 1]["id"]) if len(rows) > limit else None)

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
        columns = ", ".join(f"m.{name}" for name in MISSED_COLUMNS)
        sql = (
            f"SELECT {columns}, a.e164, a.number AS call_number, a.caller_id AS did FROM missed_calls m"
            " JOIN attempts a ON a.id = m.attempt_id WHERE ($1::bigint IS NULL OR m.group_id = $1)"
            " AND (m.done_at IS NOT NULL) = $2 AND ($4::bigint IS NULL OR m.owner_agent_id IN (0, $4))"
            " AND (cardinality($5::bigint[]) = 0 OR m.campaign_id = ANY($5::bigint[]))"
            " AND ($6::uuid IS NULL OR m.attempt_id = $6)"
            f" ORDER BY {'m.done_at DESC' if done else 'm.at'}, m.attempt_id LIMIT $3"
        )
        arguments = (group_id, done, limit, owner, sorted(campaign_ids), attempt_id)
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]

    async def missed_call_done(self, attempt_id: UUID, at: datetime, by: str) -> bool:
        sql = "UPDATE missed_calls SET done_at = $2, done_by = $3 WHERE attempt_id = $1 AND done_at IS NULL"
        async with self._database.connection() as connection:
            return str(await connection.execute(sql, attempt_id, at, by)) == "UPDATE 1"

    async def recording(self, id: int) -> dict[str, Any] | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"{_SELECT} WHERE r.id = $1", id)
        return dict(row) if row else None

    async def set_recording(self, id: int, changes: Mapping[str, Any]) -> None:
        if unknown := sorted(set(changes) - CHANGEABLE):
            raise StoreConflict(f"recordings: {unknown[0]} can't be changed", unknown[0])
        sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(changes, start=2))
        async with self._database.connection() as connection:
            await connection.execute(f"UPDATE recordings SET {sets} WHERE id = $1", id, *changes.values())

    async def recordings_in(
        self, states: Sequence[str], before: datetime, limit: int, sites: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        sql = (
            f"{_SELECT} WHERE r.state = ANY($1) AND r.started_at < $2 AND ($4::text[] IS NULL OR r.site = ANY($4))"
            " ORDER BY r.started_at, r.id LIMIT $3"
        )
        among = None if sites is None else list(sites)
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(sql, list(states), before, limit, among)]
