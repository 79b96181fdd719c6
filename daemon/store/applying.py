"""Facts into PostgreSQL: in order, in one transaction, each once.

Facts that commute with everything (steps of calls, ledger, pacing, audit) go in bulk; those about leads and attempts
keep their order, agents' states theirs. A lower fence adds history and upgrades `unknown`; it never overwrites.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, timedelta
from itertools import groupby

import asyncpg

from daemon.calls import facts as f
from daemon.calls.facts import NumberedFact
from daemon.clock import Clock
from daemon.store import crm
from daemon.store.database import Database
from daemon.store.dialling import lock_key
from daemon.store.fact_lanes import AGENT, PLACED, RELEASED, Batch, Row

_EVENTS = """
INSERT INTO call_event (site, fence, n, at, attempt_id, campaign_id, agent_id, kind, detail)
SELECT site, fence, n, at, attempt_id, campaign_id, agent_id, kind, detail::jsonb
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::uuid[], $6::bigint[], $7::bigint[],
    $8::text[], $9::text[]) AS e(site, fence, n, at, attempt_id, campaign_id, agent_id, kind, detail)
ON CONFLICT DO NOTHING"""

_LEDGER = """
INSERT INTO ledger AS l (campaign_id, site, hour, answered_live, abandoned, connected, false_positives)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (campaign_id, hour, site) DO UPDATE SET answered_live = l.answered_live + EXCLUDED.answered_live,
    abandoned = l.abandoned + EXCLUDED.abandoned, connected = l.connected + EXCLUDED.connected,
    false_positives = l.false_positives + EXCLUDED.false_positives"""

_BOOKED = """
WITH asked AS (
    SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::int[], $7::int[], $8::int[],
        $9::float8[]) AS a(attempt_id, campaign_id, site, hour, answered_live, abandoned, connected, false_positives)
), marked AS (
    UPDATE attempts AS t SET booked = $1 FROM asked WHERE t.id = asked.attempt_id AND t.booked < $1 RETURNING t.id
)
INSERT INTO ledger AS l (campaign_id, site, hour, answered_live, abandoned, connected, false_positives)
SELECT campaign_id, site, hour, sum(answered_live), sum(abandoned), sum(connected), sum(false_positives) FROM asked
WHERE attempt_id IN (SELECT id FROM marked) OR NOT EXISTS (SELECT FROM attempts AS t WHERE t.id = asked.attempt_id)
GROUP BY campaign_id, site, hour ORDER BY campaign_id, site, hour
ON CONFLICT (campaign_id, hour, site) DO UPDATE SET answered_live = l.answered_live + EXCLUDED.answered_live,
    abandoned = l.abandoned + EXCLUDED.abandoned, connected = l.connected + EXCLUDED.connected,
    false_positives = l.false_positives + EXCLUDED.false_positives"""

_PACING = """
INSERT INTO pacing_decisions (site, fence, n, at, campaign_id, count, "limit", figures)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"""

_AUDIT = "INSERT INTO audit_log (site, fence, n, at, by, what, target, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"

_OUTBOX = """
INSERT INTO outbox (webhook_id, site, fence, n, at, topic, attempt_id, payload, next_at)
SELECT w.id, $1, $2, $3, $4, $5, a.id, $7::jsonb || jsonb_build_object('call_id', a.number, 'attempt_id', a.id,
    'kind', a.kind, 'campaign_id', a.campaign_id, 'lead_id', a.lead_id, 'line_id', a.line_id), $4
FROM attempts a JOIN webhooks w ON w.group_id = a.group_id AND w.enabled AND (w.topics = '{}' OR $5 = ANY(w.topics))
WHERE a.id = $6 AND ($5 <> 'call.ended' OR (a.outcome_fence = $2 AND a.ended_at = $4))
ON CONFLICT DO NOTHING"""

_UNSEEN = """
SELECT u.id FROM unnest($1::uuid[]) AS u(id) WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.id = u.id)"""

_MARK = """
INSERT INTO fact_marks (site, fence, n) VALUES ($1, $2, $3)
ON CONFLICT (site, fence) DO UPDATE SET n = greatest(fact_marks.n, EXCLUDED.n)"""


class Applying:
    """Part of PostgresStore: facts."""

    _database: Database
    _clock: Clock
    _days: set[date]

    async def apply_facts(self, facts: Sequence[NumberedFact]) -> None:
        if not facts:
            return
        days = sorted({fact.fact.at.astimezone(UTC).date() for fact in facts if isinstance(fact.fact, f.CallEventFact)})
        if missing := [day for day in days if day not in self._days]:
            async with self._database.transaction() as connection:
                await make_partitions(connection, missing)
            self._days.update(missing)
        async with self._database.transaction() as connection:
            fresh = await self._fresh(connection, facts)
            if not fresh:
                return
            batch = Batch()
            for fact in fresh:
                batch.add(fact)
            await self._void_unseen(connection, fresh[0].site, batch.ended)
            await _write(connection, batch)
            marks: dict[tuple[str, int], int] = {}
            for fact in fresh:
                marks[fact.site, fact.fence] = fact.n
            await connection.executemany(_MARK, [(*key, n) for key, n in marks.items()])
            await connection.execute("SELECT pg_notify('cadran', $1)", ",".join(sorted({fact.site for fact in fresh})))

    async def _fresh(self, connection: asyncpg.Connection, facts: Sequence[NumberedFact]) -> list[NumberedFact]:
        """The facts above their mark. The rows are locked, so that two appliers of one site can't both pass."""
        keys = sorted({(fact.site, fact.fence) for fact in facts})
        await connection.executemany(
            "INSERT INTO fact_marks (site, fence, n) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", keys
        )
        marks: dict[tuple[str, int], int] = defaultdict(int)
        for row in await connection.fetch(
            "SELECT m.site, m.fence, m.n FROM fact_marks m JOIN unnest($1::text[], $2::bigint[]) AS k(site, fence)"
            " USING (site, fence) ORDER BY m.site, m.fence FOR UPDATE OF m",
            [site for site, _ in keys],
            [fence for _, fence in keys],
        ):
            marks[row["site"], row["fence"]] = row["n"]
        fresh = []
        for fact in facts:
            if fact.n > marks[fact.site, fact.fence]:
                marks[fact.site, fact.fence] = fact.n
                fresh.append(fact)
        return fresh

    async def _void_unseen(self, connection: asyncpg.Connection, site: str, ended: list[f.AttemptEnded]) -> None:
        """An attempt that ended without a row here: its intent's commit failed, or is still on its way. Wait for those
        on their way, then forbid the id for good."""
        if not ended:
            return
        ids = [fact.attempt_id for fact in ended]
        if not (missing := [row["id"] for row in await connection.fetch(_UNSEEN, ids)]):
            return
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key(site))
        missing = [row["id"] for row in await connection.fetch(_UNSEEN, missing)]
        await connection.execute(
            "INSERT INTO attempt_voids (id, at) SELECT unnest($1::uuid[]), $2 ON CONFLICT DO NOTHING",
            missing,
            ended[0].at,
        )
        for fact in ended:
            if fact.attempt_id in missing and fact.lead_id:  # nothing was dialled, but the lead must come back
                row = (fact.lead_id, site, 1 << 62, fact.at, fact.lead_eligible_at, fact.lead_blocked_by)
                await connection.execute(RELEASED, *row)


async def _write(connection: asyncpg.Connection, batch: Batch) -> None:
    if batch.events:
        await connection.execute(_EVENTS, *(list(column) for column in zip(*batch.events, strict=True)))
    if batch.placed:
        await connection.executemany(PLACED, batch.placed)
    await _in_order(connection, batch.people)
    await _in_order(connection, batch.settings)
    if batch.agents:
        await connection.executemany(AGENT, batch.agents)
    if batch.ledger:
        await connection.executemany(_LEDGER, [(*key, *sums) for key, sums in sorted(batch.ledger.items())])
    for step, rows in batch.booked.items():
        if rows:
            await connection.execute(_BOOKED, step, *(list(column) for column in zip(*rows, strict=True)))
    if batch.pacing:
        await connection.executemany(_PACING, batch.pacing)
    if batch.audit:
        await connection.executemany(_AUDIT, batch.audit)
    if batch.outbox and await connection.fetchval("SELECT EXISTS (SELECT FROM webhooks WHERE enabled)"):
        await connection.executemany(_OUTBOX, batch.outbox)
    if batch.crm and await connection.fetchval("SELECT EXISTS (SELECT FROM integrations WHERE enabled AND journal)"):
        await connection.executemany(crm.ENDED, batch.crm)


async def _in_order(connection: asyncpg.Connection, steps: Iterable[tuple[str, Row]]) -> None:
    """Runs of the same statement travel together."""
    for sql, run in groupby(steps, key=lambda step: step[0]):
        await connection.executemany(sql, [row for _, row in run])


_ATTACHED = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'call_event'::regclass"""


async def make_partitions(connection: asyncpg.Connection, days: Sequence[date]) -> None:
    """Partitions of `call_event` for these UTC days; those that exist are left alone.

    Made beside the table and attached to it, which waits for no reader: made as its part, each would need the whole
    table for itself, and a backup that runs would keep the daemon from starting, and facts from being applied.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('call_event'))")
    there = {row["relname"] for row in await connection.fetch(_ATTACHED)}
    for day in days:
        name, until = f"call_event_{day:%Y%m%d}", day + timedelta(days=1)
        if name in there:
            continue
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} (LIKE call_event INCLUDING ALL);"
            f" ALTER TABLE call_event ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{day} 00:00:00+00') TO ('{until} 00:00:00+00')"
        )
