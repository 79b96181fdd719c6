"""Calls that integrations have still to be told, on PostgreSQL: due rows with what their journal says, their ends.

Rows are put in with the fact that ends a call (`applying`), in the same transaction: a call never waits for a CRM, and
each is told once. A row is `sending` before its request leaves, so that a crash leaves a doubt, never a second record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.ports import CrmKey
from daemon.store.database import Database

ENDED = """
INSERT INTO crm_journal (integration_id, attempt_id, agent_id, site, at, next_at)
SELECT i.id, a.id, a.agent_id, a.site, a.ended_at, a.ended_at
FROM attempts a JOIN integrations i ON i.group_id = a.group_id AND i.enabled AND i.journal
WHERE a.id = $1 AND a.outcome_fence = $2 AND a.ended_at = $3 AND a.outcome <> 'not_placed'
    AND (a.placed_at IS NOT NULL OR a.kind = 'inbound')
ON CONFLICT DO NOTHING"""

_DUE = """
SELECT j.integration_id, j.agent_id, j.state, j.tries, j.at AS queued_at, a.id, a.number, a.kind, a.group_id,
    a.campaign_id, a.lead_id, a.e164, a.caller_id, a.at, a.answered_at, a.connected_at, a.ended_at, a.outcome, a.talk_s,
    a.disposition, a.notes, coalesce(g.name, '') AS agent_name, coalesce(g.extension, '') AS extension,
    coalesce(l.first_name, '') AS lead_first_name, coalesce(l.last_name, '') AS lead_last_name
FROM crm_journal j JOIN attempts a ON a.id = j.attempt_id LEFT JOIN agents g ON g.id = j.agent_id
    LEFT JOIN leads l ON l.id = a.lead_id AND a.lead_id <> 0
WHERE j.integration_id = $1 AND j.site = ANY($2) AND j.state IN ('pending', 'doubt') AND j.next_at <= $3
ORDER BY j.next_at, a.number LIMIT $4"""

_MARK = """
UPDATE crm_journal SET state = $5, tries = tries + $6::integer, next_at = coalesce($7, next_at), error = $8,
    journal_id = CASE WHEN $9 = '' THEN journal_id ELSE $9 END,
    done_at = CASE WHEN $5 IN ('done', 'skipped', 'dead') THEN $10::timestamptz END
WHERE integration_id = $1 AND attempt_id = $2 AND agent_id = $3 AND state = ANY($4) RETURNING 1"""

_LOST = """
UPDATE crm_journal SET state = 'doubt', next_at = $2, error = 'the daemon ended while this was being sent'
WHERE state = 'sending' AND site = ANY($1) RETURNING 1"""

_REPLAY = """
UPDATE crm_journal SET state = 'pending', tries = 0, next_at = $4, error = '', done_at = NULL
WHERE integration_id = $1 AND state = ANY($2) AND ($3::uuid[] IS NULL OR attempt_id = ANY($3)) RETURNING 1"""

_FIGURES = """
SELECT integration_id, state, count(*) AS count, min(at) AS oldest_at FROM crm_journal WHERE integration_id = ANY($1)
GROUP BY integration_id, state"""

_ROWS = """
SELECT j.attempt_id, a.number, j.agent_id, j.at, j.state, j.tries, j.next_at, j.error, j.journal_id, j.done_at
FROM crm_journal j JOIN attempts a ON a.id = j.attempt_id
WHERE j.integration_id = $1 AND ($2 = '' OR j.state = $2) AND ($3 = 0 OR a.number < $3)
ORDER BY a.number DESC LIMIT $4"""

_TRIM = "DELETE FROM crm_journal WHERE state IN ('done', 'skipped') AND done_at < $1 RETURNING 1"


class CrmRows:
    """Part of PostgresStore: CRM journals. Implements daemon.ports.CrmStore."""

    _database: Database

    async def crm_due(
        self, integration_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(_DUE, integration_id, list(sites), now, limit)]

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
        values = (*key, list(expected), state, int(tried), next_at, error, journal_id, now)
        async with self._database.connection() as connection:
            return await connection.fetchval(_MARK, *values) is not None

    async def crm_lost(self, sites: Sequence[str], now: datetime) -> int:
        async with self._database.connection() as connection:
            return len(await connection.fetch(_LOST, list(sites), now))

    async def crm_replay(
        self, integration_id: int, states: Sequence[str], attempt_ids: Sequence[UUID] | None, now: datetime
    ) -> int:
        ids = None if attempt_ids is None else list(attempt_ids)
        async with self._database.connection() as connection:
            return len(await connection.fetch(_REPLAY, integration_id, list(states), ids, now))

    async def crm_figures(self, integration_ids: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
        found: dict[int, dict[str, dict[str, Any]]] = {id: {} for id in integration_ids}
        async with self._database.connection() as connection:
            for row in await connection.fetch(_FIGURES, list(integration_ids)):
                figures = {"count": row["count"], "oldest_at": row["oldest_at"]}
                found[row["integration_id"]][row["state"]] = figures
        return found

    async def crm_rows(self, integration_id: int, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return [dict(row) for row in await connection.fetch(_ROWS, integration_id, state, before, limit)]

    async def crm_trim(self, before: datetime) -> int:
        async with self._database.connection() as connection:
            return len(await connection.fetch(_TRIM, before))
