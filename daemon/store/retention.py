"""What is older than the operator's limits: whom nobody has called or heard of for so long, and steps of old calls.

People are found in pages along the primary key, since no index by age is worth what each call would pay for it; they
are then erased one by one, as at their own request. Steps go by whole days: a day of `call_event` is a table.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from daemon.store.database import Database

CONSENT_DAYS = 365
"""A consent without an end of its own is taken to hold for so long: its proof is counted from there (R. 223-1)."""

PURGED_PAGE = 20_000

_HEARD = (
    "greatest({row}.created_at, {row}.last_attempt_at, {row}.callback_at, {row}.refused_at,"
    f" {{row}}.consent_at + interval '{CONSENT_DAYS} days')"
)

_STALE_LEADS = f"""
SELECT id, group_id, e164, blocked_by <> 'erased' AND claimed_by IS NULL AND {_HEARD.format(row="l")} < $1
    AND NOT EXISTS (SELECT FROM leads y WHERE y.e164 = l.e164 AND y.group_id = l.group_id
        AND ({_HEARD.format(row="y")} >= $1 OR y.consent_at + interval '{CONSENT_DAYS} days' >= $4))
    AND NOT EXISTS (SELECT FROM attempts a WHERE a.e164 = l.e164 AND a.group_id = l.group_id AND a.at >= $1)
    AND NOT EXISTS (SELECT FROM consents k JOIN clients c ON c.id = k.client_id WHERE k.e164 = l.e164
        AND c.group_id = l.group_id
        AND greatest(coalesce(k.until, k.at + interval '{CONSENT_DAYS} days'), k.revoked_at) >= $4) AS stale
FROM leads l WHERE id > $2 ORDER BY id LIMIT $3"""

_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'call_event'::regclass ORDER BY 1"""

_PURGED = {
    "pacing_decisions": "DELETE FROM pacing_decisions WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM pacing_decisions WHERE at < $1 LIMIT $2))",
    "api_calls": "DELETE FROM api_call_logs WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM api_call_logs WHERE created_at < $1 LIMIT $2))",
}


class Retention:
    """Part of PostgresStore: what is older than the limits."""

    _database: Database

    async def stale_people(
        self, before: datetime, after: int, limit: int, proof_before: datetime | None = None
    ) -> tuple[list[tuple[int, str]], int | None]:
        proof = min(before, proof_before or before)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_STALE_LEADS, before, after, limit, proof)
        found = dict.fromkeys((row["group_id"], row["e164"]) for row in rows if row["stale"])
        return list(found), rows[-1]["id"] if len(rows) == limit else None

    async def purge_steps(self, before: datetime) -> dict[str, int]:
        last = before.astimezone(UTC).date()
        counts = {"days_of_steps": 0}
        async with self._database.connection() as connection:
            for row in await connection.fetch(_PARTITIONS):
                name: str = row["relname"]
                if date.fromisoformat(name.removeprefix("call_event_")) < last:
                    await connection.execute(f"DROP TABLE {name}")
                    counts["days_of_steps"] += 1
            for name, sql in _PURGED.items():
                counts[name] = 0
                while done := int((await connection.execute(sql, before, PURGED_PAGE)).rpartition(" ")[2]):
                    counts[name] += done
        return counts
