"""What webhooks have still to be told, on PostgreSQL: due rows, their ends, dead letters and replay (CRMI-03).

Rows are put in with the facts they tell of (`applying`), in the same transaction: a call never waits for a receiver,
and nothing is told that was not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from daemon.ports import OutboxKey
from daemon.store.database import Database

_DUE = """
SELECT o.webhook_id, o.site, o.fence, o.n, o.at, o.topic, o.attempt_id, o.payload, o.tries, o.error,
    coalesce(o.expires_at, o.at + interval '1 day') AS expires_at
FROM outbox o
WHERE o.webhook_id = $1 AND o.site = ANY($2) AND o.dead_at IS NULL AND o.next_at <= $3 AND NOT EXISTS (
    SELECT FROM outbox e WHERE e.webhook_id = o.webhook_id AND e.attempt_id = o.attempt_id AND e.dead_at IS NULL
        AND (e.fence, e.n) < (o.fence, o.n))
ORDER BY o.next_at, o.fence, o.n LIMIT $4"""

_KEY = "webhook_id = $1 AND site = $2 AND fence = $3 AND n = $4"

_FAILED = f"""
UPDATE outbox SET tries = tries + 1, error = $5, next_at = coalesce($6, next_at),
    dead_at = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz END
WHERE {_KEY}"""

_ADD = """
INSERT INTO outbox (webhook_id, site, fence, n, at, topic, payload, next_at)
SELECT w.id, $1, $2, $3, $4, $5, $6, $4 FROM webhooks w
WHERE w.group_id = $7 AND CASE WHEN $8 > 0 THEN w.id = $8 ELSE w.enabled AND (w.topics = '{}' OR $5 = ANY(w.topics)) END
ON CONFLICT DO NOTHING RETURNING webhook_id"""

_DEAD = """
SELECT webhook_id, site, fence, n, at, topic, attempt_id, payload, tries, error, dead_at FROM outbox
WHERE webhook_id = $1 AND dead_at IS NOT NULL AND (at, fence, n) > ($2, $3, $4) ORDER BY at, fence, n LIMIT $5"""

_REPLAY = """
UPDATE outbox SET dead_at = NULL, tries = 0, next_at = $2, expires_at = $3
WHERE webhook_id = $1 AND dead_at IS NOT NULL AND ($4::text[] IS NULL OR site || '-' || fence || '-' || n = ANY($4))"""

_FIGURES = """
SELECT webhook_id, count(*) FILTER (WHERE dead_at IS NULL) AS pending,
    count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead,
    min(at) FILTER (WHERE dead_at IS NULL) AS oldest_at
FROM outbox WHERE webhook_id = ANY($1) GROUP BY webhook_id"""

_EXPIRE = """
UPDATE outbox SET dead_at = $1, error = CASE WHEN error = '' THEN 'not delivered within its time' ELSE error END
WHERE dead_at IS NULL AND coalesce(expires_at, at + interval '1 day') <= $1"""


class Outbox:
    """Part of PostgresStore: webhooks. Implements daemon.ports.WebhookStore."""

    _database: Database

    async def outbox_due(
        self, webhook_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(_DUE, webhook_id, list(sites), now, limit)]

    async def outbox_done(self, keys: Sequence[OutboxKey]) -> None:
        async with self._database.connection() as connection:
            await connection.executemany(f"DELETE FROM outbox WHERE {_KEY}", list(keys))

    async def outbox_failed(self, key: OutboxKey, next_at: datetime | None, error: str, now: datetime) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_FAILED, *key, error, next_at, now)

    async def outbox_add(
        self,
        group_id: int,
        topic: str,
        payload: Mapping[str, Any],
        at: datetime,
        key: tuple[str, int, int],
        only: int = 0,
    ) -> int:
        async with self._database.connection() as connection:
            return len(await connection.fetch(_ADD, *key, at, topic, dict(payload), group_id, only))

    async def outbox_dead(
        self, webhook_id: int, after: tuple[datetime, int, int] | None, limit: int
    ) -> list[dict[str, Any]]:
        begin = after or (datetime(1970, 1, 1, tzinfo=UTC), 0, 0)
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(_DEAD, webhook_id, *begin, limit)]

    async def outbox_replay(
        self, webhook_id: int, ids: Sequence[str] | None, now: datetime, expires_at: datetime
    ) -> int:
        async with self._database.connection() as connection:
            chosen = None if ids is None else list(ids)
            done: str = await connection.execute(_REPLAY, webhook_id, now, expires_at, chosen)
        return int(done.rpartition(" ")[2])

    async def outbox_figures(self, webhook_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_FIGURES, list(webhook_ids))
        return {row["webhook_id"]: {name: row[name] for name in ("pending", "dead", "oldest_at")} for row in rows}

    async def outbox_sweep(self, now: datetime, dead_before: datetime) -> int:
        async with self._database.transaction() as connection:
            done: str = await connection.execute(_EXPIRE, now)
            await connection.execute("DELETE FROM outbox WHERE dead_at < $1", dead_before)
        return int(done.rpartition(" ")[2])
