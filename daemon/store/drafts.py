"""What agents are typing, on PostgreSQL: kept over a reload, another machine and a restart of the daemon."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.store.database import Database

DRAFT_KEPT = timedelta(days=1)
"""A draft nobody finished is of no use to the call any more, and is text about a person."""


class Drafts:
    """Part of PostgresStore: desk drafts."""

    _database: Database

    async def keep_draft(self, agent_id: int, attempt_id: UUID, body: dict[str, Any], now: datetime) -> None:
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM desk_drafts WHERE saved_at < $1", now - DRAFT_KEPT)
            await connection.execute(
                "INSERT INTO desk_drafts (agent_id, attempt_id, body, saved_at) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (agent_id) DO UPDATE SET attempt_id = EXCLUDED.attempt_id, body = EXCLUDED.body,"
                " saved_at = EXCLUDED.saved_at",
                agent_id,
                attempt_id,
                body,
                now,
            )

    async def draft_of(self, agent_id: int) -> dict[str, Any] | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT attempt_id, body, saved_at FROM desk_drafts WHERE agent_id = $1", agent_id
            )
        return None if row is None else {**row["body"], "attempt_id": row["attempt_id"], "saved_at": row["saved_at"]}

    async def drop_draft(self, agent_id: int, attempt_id: UUID | None = None) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "DELETE FROM desk_drafts WHERE agent_id = $1 AND ($2::uuid IS NULL OR attempt_id = $2)",
                agent_id,
                attempt_id,
            )
