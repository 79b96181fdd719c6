"""The dialler's path on PostgreSQL, beside its claims: the lease, what is open at a start, counts, and intents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.calls.lead_records import AgentStateRow, Intent, Lease, OpenAttempt
from daemon.store.claiming import Claiming
from daemon.store.tables import ATTEMPT_HISTORY_DAYS

COUNT_ROWS_MAX = 500
"""Changes of the counts of a campaign's lists that are read before they are folded into one row a state."""

_ACQUIRE = """
WITH former AS (SELECT until FROM site_leases WHERE site = $1)
INSERT INTO site_leases AS held (site, holder, fence, until)
VALUES ($1, $2, $4::bigint + 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (site) DO UPDATE
    SET holder = EXCLUDED.holder, fence = greatest(held.fence, $4::bigint) + 1, until = EXCLUDED.until
    WHERE held.until <= clock_timestamp() OR held.holder = EXCLUDED.holder
RETURNING fence,
    coalesce((SELECT greatest(0, $3 + extract(epoch FROM clock_timestamp() - until)) FROM former), 0)::float8
        AS silent_s"""

_RENEW = """
UPDATE site_leases SET until = clock_timestamp() + make_interval(secs => $4)
WHERE site = $1 AND holder = $2 AND fence = $3 RETURNING fence"""

_RELEASE = "UPDATE site_leases SET until = clock_timestamp() WHERE site = $1 AND holder = $2 AND fence = $3"

_INTENTS = f"""
INSERT INTO attempts (id, site, fence, kind, group_id, campaign_id, client_id, lead_id, e164, line_id, caller_id,
    agent_id, rule_set, at)
SELECT i.id, $1, $2, i.kind, i.group_id, i.campaign_id, i.client_id, i.lead_id, i.e164, i.line_id, i.caller_id,
    i.agent_id, i.rule_set, i.at
FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[],
    $11::text[], $12::bigint[], $13::text[], $14::integer[], $15::integer[], $16::timestamptz[], $17::timestamptz[])
    WITH ORDINALITY AS i(id, kind, group_id, campaign_id, client_id, lead_id, e164, line_id, caller_id, agent_id,
        rule_set, attempts_max, attempts_days, at, known_at, place)
WHERE EXISTS (
        SELECT FROM site_leases WHERE site = $1 AND fence = $2 AND until >= clock_timestamp() + interval '1 second')
    AND (i.attempts_max = 0 OR i.attempts_days = 0 OR i.attempts_max > (
        SELECT count(*) FROM attempts a WHERE a.client_id = i.client_id AND a.e164 = i.e164
            AND a.at > i.at - make_interval(days => i.attempts_days) AND a.counted IS NOT FALSE
            AND a.kind <> 'inbound'))
    AND (i.known_at IS NULL OR NOT EXISTS (
        SELECT FROM attempts a WHERE a.client_id = i.client_id AND a.e164 = i.e164
            AND (a.refused AND a.disposition_at > i.known_at OR a.kind <> 'inbound' AND a.counted IS NOT FALSE
                AND a.at > greatest(i.known_at, i.at - interval '{ATTEMPT_HISTORY_DAYS} days'))))
    AND (i.known_at IS NULL OR NOT EXISTS (SELECT FROM dnc d WHERE d.client_id = i.client_id AND d.e164 = i.e164))
    AND NOT EXISTS (SELECT FROM attempt_voids v WHERE v.id = i.id)
ORDER BY i.place
ON CONFLICT DO NOTHING
RETURNING id, number"""
"""Facts of a lead are as old as its claim: the person may have been called, have refused or been red-listed since, as
somebody on another list, campaign or site of the same client (its last three conditions)."""

_INTENT_COLUMNS = (
    "attempt_id",
    "kind",
    "group_id",
    "campaign_id",
    "client_id",
    "lead_id",
    "e164",
    "line_id",
    "caller_id",
    "agent_id",
    "rule_set",
    "attempts_max",
    "attempts_days",
    "at",
    "known_at",
)

_LOST = """
SELECT l.site FROM site_leases l WHERE l.until < clock_timestamp() - make_interval(secs => $1)
    AND (EXISTS (SELECT FROM leads WHERE claimed_by = l.site)
        OR EXISTS (SELECT FROM attempts WHERE site = l.site AND outcome IS NULL)) ORDER BY 1"""
"""Indexes: leads_claimed, attempts_open."""

_OPEN_ATTEMPTS = """
SELECT a.id AS attempt_id, a.site, a.kind, a.group_id, a.campaign_id, a.client_id, a.lead_id, a.e164, a.line_id,
    a.caller_id, a.agent_id, a.at, a.number, e.answered_at, e.connected_at, e.abandoned_at
FROM attempts a
LEFT JOIN LATERAL (
    SELECT min(at) FILTER (WHERE kind = 'answered') AS answered_at,
        min(at) FILTER (WHERE kind = 'connected') AS connected_at,
        min(at) FILTER (WHERE kind = 'abandoned') AS abandoned_at
    FROM call_event WHERE attempt_id = a.id) e ON true
WHERE a.site = $1 AND a.outcome IS NULL ORDER BY a.number"""

_UNDISPOSED = """
SELECT a.id AS attempt_id, a.site, a.kind, a.group_id, a.campaign_id, a.client_id, a.lead_id, a.e164, a.line_id,
    a.caller_id, a.agent_id, a.at, a.number
FROM agent_states AS s JOIN attempts AS a ON a.id = s.attempt_id
WHERE s.ended_at IS NULL AND s.site = $1 AND s.state = 'wrap_up' AND a.disposition IS NULL AND a.lead_id IS NOT NULL
"""
"""Conversations whose agent is still in wrap-up. Index: agent_states of the open intervals, attempts' key."""

# Sums of changes (migration 0002), and the waiting leads whose instant is past, which no change tells.
_CALLABLE = """
WITH worked AS (
    SELECT id, active FROM lists WHERE id = ANY(SELECT unnest(list_ids) FROM campaigns WHERE id = $1)),
kept AS (
    SELECT w.active, c.state, c.reason, c.n FROM lead_counts c JOIN worked w ON w.id = c.list_id),
late AS (
    SELECT w.active, l.blocked_by AS reason, count(*) AS n FROM worked w
    JOIN leads l ON l.list_id = w.id AND l.turn IN (0, 1, 2, 3, 4) AND l.claimed_by IS NULL AND l.eligible_at <= $2
    GROUP BY 1, 2)
SELECT reason, sum(n)::bigint AS n FROM (
    SELECT CASE
            WHEN state = 'claimed' THEN 'in_progress'
            WHEN state = 'blocked' THEN reason
            WHEN NOT active THEN 'list_off'
            WHEN state = 'ready' THEN 'due'
            WHEN reason = '' THEN 'waiting' ELSE reason END AS reason, n FROM kept
    UNION ALL SELECT 'due', n FROM late WHERE active
    UNION ALL SELECT CASE WHEN reason = '' THEN 'waiting' ELSE reason END, -n FROM late WHERE active) c
GROUP BY 1 HAVING sum(n) <> 0 ORDER BY 1"""

_FOLD_NEEDED = """
SELECT count(*) > $2 FROM (
    SELECT FROM lead_counts WHERE list_id = ANY(SELECT unnest(list_ids) FROM campaigns WHERE id = $1) LIMIT $2 + 1) c"""

_FOLD = """
WITH gone AS (
    DELETE FROM lead_counts WHERE list_id = ANY(SELECT unnest(list_ids) FROM campaigns WHERE id = $1)
    RETURNING list_id, state, reason, n)
INSERT INTO lead_counts (list_id, state, reason, n)
SELECT list_id, state, reason, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0"""

# One index probe a distinct value, however many leads there are.
_TZ_GROUPS = """
WITH RECURSIVE found(list_id, tz_group) AS (
    SELECT s.id, (SELECT min(tz_group) FROM leads WHERE list_id = s.id)
    FROM lists s WHERE s.id = ANY(SELECT unnest(list_ids) FROM campaigns WHERE id = $1)
    UNION ALL
    SELECT f.list_id, (SELECT min(tz_group) FROM leads WHERE list_id = f.list_id AND tz_group > f.tz_group)
    FROM found f WHERE f.tz_group IS NOT NULL)
SELECT DISTINCT tz_group FROM found WHERE tz_group IS NOT NULL ORDER BY 1"""


def lock_key(site: str) -> int:
    """The advisory lock of a site's intents: shared by commits, exclusive while an unseen attempt is closed."""
    return 0x6361_0000_0000_0000 | int.from_bytes(site.encode()[:6].ljust(6, b"\0"), "big")


class Dialling(Claiming):
    """Part of PostgresStore: what the engine does to dial."""

    async def acquire_lease(self, site: str, holder: str, ttl_s: float, above: int = 0) -> Lease | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_ACQUIRE, site, holder, ttl_s, above)
        return None if row is None else Lease(site=site, holder=holder, ttl_s=ttl_s, **dict(row))

    async def renew_lease(self, lease: Lease) -> bool:
        async with self._database.connection() as connection:
            fence = await connection.fetchval(_RENEW, lease.site, lease.holder, lease.fence, lease.ttl_s)
        return fence is not None

    async def release_lease(self, lease: Lease) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_RELEASE, lease.site, lease.holder, lease.fence)

    async def last_n(self, site: str, fence: int) -> int:
        async with self._database.connection() as connection:
            n = await connection.fetchval("SELECT n FROM fact_marks WHERE site = $1 AND fence = $2", site, fence)
        return n or 0

    async def lost_sites(self, silent_s: float) -> list[str]:
        async with self._database.connection() as connection:
            return [row["site"] for row in await connection.fetch(_LOST, silent_s)]

    async def open_attempts(self, site: str) -> list[OpenAttempt]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_OPEN_ATTEMPTS, site)
        return [OpenAttempt(**dict(row)) for row in rows]

    async def agent_states(self, site: str) -> list[AgentStateRow]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT agent_id, state, code, started_at, attempt_id, leg, campaign_ids FROM agent_states"
                " WHERE ended_at IS NULL AND site = $1 ORDER BY agent_id",
                site,
            )
            waiting = [OpenAttempt(**dict(row)) for row in await connection.fetch(_UNDISPOSED, site)]
        undisposed = {attempt.attempt_id: attempt for attempt in waiting}
        return [
            AgentStateRow(
                agent_id=row["agent_id"],
                state=row["state"],
                code=row["code"],
                since=row["started_at"],
                attempt_id=row["attempt_id"],
                leg=row["leg"],
                campaign_ids=tuple(row["campaign_ids"]),
                undisposed=undisposed.get(row["attempt_id"]) if row["state"] == "wrap_up" else None,
            )
            for row in rows
        ]

    async def callable_counts(self, campaign_id: int, now: datetime) -> dict[str, int]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CALLABLE, campaign_id, now)
            if await connection.fetchval(_FOLD_NEEDED, campaign_id, COUNT_ROWS_MAX):
                async with connection.transaction():
                    # One at a time: two that fold the same rows would wait for each other, and one would have none.
                    if await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('lead_counts'))"):
                        await connection.execute(_FOLD, campaign_id)
        return {"due": 0} | {row["reason"]: row["n"] for row in rows}

    async def tz_groups(self, campaign_id: int) -> list[str]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_TZ_GROUPS, campaign_id)
        return [row["tz_group"] for row in rows]

    async def commit_intents(self, intents: Sequence[Intent], lease: Lease) -> dict[UUID, int]:
        if not intents:
            return {}
        columns: list[list[Any]] = [[getattr(intent, name) for intent in intents] for name in _INTENT_COLUMNS]
        # Its own statement: the next one's snapshot must be younger than any void written under the lock.
        first = f"SELECT pg_advisory_xact_lock_shared({lock_key(lease.site)})"
        async with self._database.short_transaction(first) as connection:
            rows = await connection.fetch(_INTENTS, lease.site, lease.fence, *columns)
        return {row["id"]: row["number"] for row in rows}
