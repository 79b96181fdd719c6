"""What is older than the operator's limits: whom nobody has called or heard of for so long, and steps of old calls.

People are found in pages along the primary key, since no index by age is worth what each call would pay for it; they
are then erased one by one, as at their own request. Steps go by whole days: a day of `call_event` is a table.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import structlog

from daemon.clock import Clock
from daemon.errors import StoreUnavailable
from daemon.store.database import Database
from daemon.store.pseudonyms import MARK
from daemon.store.staging import drop_left_over

log = structlog.get_logger(__name__)

CONSENT_DAYS = 365
"""A consent without an end of its own is taken to hold for so long: its proof is counted from there (R. 223-1)."""

PURGED_PAGE = 20_000
DROP_WAIT = "300ms"
"""A day's table is dropped only if nobody reads steps of calls right now: who waits for that lock lets nobody else have
it, and a backup holds it for hours."""

_HEARD = (
    "greatest({row}.created_at, {row}.last_attempt_at, {row}.callback_at, {row}.refused_at,"
    f" {{row}}.consent_at + interval '{CONSENT_DAYS} days')"
)

# Each of a page is asked about by number; asked of all at once, PostgreSQL would read the three tables whole for it.
_STALE_LEADS = f"""
SELECT l.id, l.group_id, l.e164, NOT starts_with(l.e164, '{MARK}') AND l.claimed_by IS NULL
    AND {_HEARD.format(row="l")} < $1 AND heard.of IS NULL AND called.of IS NULL AND agreed.of IS NULL AS stale
FROM (SELECT * FROM leads WHERE id > $2 ORDER BY id LIMIT $3) l
LEFT JOIN LATERAL (
    SELECT true AS of FROM leads y WHERE y.e164 = l.e164 AND y.group_id = l.group_id
        AND ({_HEARD.format(row="y")} >= $1 OR y.consent_at + interval '{CONSENT_DAYS} days' >= $4) LIMIT 1
    ) heard ON true
LEFT JOIN LATERAL (
    SELECT true AS of FROM attempts a WHERE a.e164 = l.e164 AND a.group_id = l.group_id AND a.at >= $1 LIMIT 1
    ) called ON true
LEFT JOIN LATERAL (
    SELECT true AS of FROM consents k JOIN clients c ON c.id = k.client_id
    WHERE k.e164 = l.e164 AND c.group_id = l.group_id
        AND greatest(coalesce(k.until, k.at + interval '{CONSENT_DAYS} days'), k.revoked_at) >= $4 LIMIT 1
    ) agreed ON true
ORDER BY l.id"""

_DAY = re.compile(r"call_event_([0-9]{8})")
_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'call_event'::regclass ORDER BY 1"""

# Index: pacing_decisions_of_campaign, one campaign after the other: else the table would be read whole each night.
_OLD_PACING = """
WITH RECURSIVE known(id) AS (
    (SELECT campaign_id FROM pacing_decisions ORDER BY campaign_id LIMIT 1)
    UNION ALL
    SELECT (SELECT campaign_id FROM pacing_decisions WHERE campaign_id > k.id ORDER BY campaign_id LIMIT 1)
    FROM known k WHERE k.id IS NOT NULL)
DELETE FROM pacing_decisions WHERE ctid = ANY(ARRAY(
    SELECT p.ctid FROM known k CROSS JOIN LATERAL (
        SELECT ctid FROM pacing_decisions WHERE campaign_id = k.id AND at < $1 LIMIT $2) p
    WHERE k.id IS NOT NULL LIMIT $2))"""

_PURGED = {
    "pacing_decisions": _OLD_PACING,
    "api_calls": "DELETE FROM api_call_logs WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM api_call_logs WHERE created_at < $1 LIMIT $2))",
}


class Retention:
    """Part of PostgresStore: what is older than the limits."""

    _database: Database
    _clock: Clock
    _days: set[date]

    async def stale_people(
        self, before: datetime, after: int, limit: int, proof_before: datetime | None = None
    ) -> tuple[list[tuple[int, str]], int | None]:
        proof = min(before, proof_before or before)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_STALE_LEADS, before, after, limit, proof)
        found = dict.fromkeys((row["group_id"], row["e164"]) for row in rows if row["stale"])
        return list(found), rows[-1]["id"] if len(rows) == limit else None

    async def purge_steps(self, before: datetime) -> dict[str, int]:
        counts = {"days_of_steps": await self._drop_days(before.astimezone(UTC).date())}
        async with self._database.connection() as connection:
            for name, sql in _PURGED.items():
                counts[name] = 0
                while done := int((await connection.execute(sql, before, PURGED_PAGE)).rpartition(" ")[2]):
                    counts[name] += done
            await drop_left_over(connection, self._clock.utcnow())
        return counts

    async def _drop_days(self, first_kept: date) -> int:
        """Days of steps before this one; those in use stay until the next night."""
        async with self._database.connection() as connection:
            names = [row["relname"] for row in await connection.fetch(_PARTITIONS)]
        dropped = 0
        for name in names:
            day = _DAY.fullmatch(name)
            if day is None or date.fromisoformat(day[1]) >= first_kept:
                continue
            try:
                async with self._database.transaction() as connection:
                    await connection.execute(f"SET LOCAL lock_timeout = '{DROP_WAIT}'")
                    await connection.execute(f"DROP TABLE IF EXISTS {name}")
            except StoreUnavailable as error:
                log.info("retention.day_in_use", table=name, error=str(error))
                break
            self._days.discard(date.fromisoformat(day[1]))
            dropped += 1
        return dropped
