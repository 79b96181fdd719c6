"""Facts into PostgreSQL: in order, in one transaction, each once.

Facts that commute with everything (steps of calls, ledger, pacing, audit) go in bulk; those about leads and attempts
keep their order, agents' states theirs. A lower fence adds history and upgrades `unknown`; it never overwrites.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import asyncpg

from daemon.calls import facts as f
from daemon.calls.facts import NumberedFact
from daemon.clock import Clock
from daemon.store import crm, tapes
from daemon.store.database import Database, to_json
from daemon.store.dialling import lock_key
from daemon.store.tables import BOOKED, TAKEN_BACK, TOPICS, TURN_OF_RECYCLING

Row = tuple[Any, ...]

# A lead's next state: "held until, for a reason" if both are given; callable at once if neither or if it is past.
_HELD = """
    eligible_at = CASE WHEN blocked_by IN ('dnc', 'erased') THEN eligible_at WHEN {until} <= {at} THEN NULL
        ELSE {until} END,
    blocked_by = CASE WHEN blocked_by IN ('dnc', 'erased') THEN blocked_by WHEN {until} <= {at} THEN ''
        ELSE {reason} END"""

_ENDED = """
WITH before AS (
    SELECT id, outcome, counted, lead_id, at, disposition IS NOT NULL AND NOT disposition_by_default AS decided
    FROM attempts WHERE id = $1 AND (outcome IS NULL OR (outcome = 'unknown' AND $2 <> 'unknown')) FOR UPDATE),
done AS (
    UPDATE attempts a SET outcome = $2, outcome_fence = $3, ended_at = $4::timestamptz, cause = $5, tech_cause = $6,
        ended_by = $7, agent_id = CASE WHEN $8::bigint = 0 THEN a.agent_id ELSE $8 END, ring_s = $9, answered_at = $10,
        connected_at = $11, wait_s = $12, talk_s = $13, amd = $14, counted = $15::boolean, live = $16
    FROM before b WHERE a.id = b.id),
kept AS (
    UPDATE callbacks c SET done_at = $4 FROM before b
    WHERE $2 = 'connected' AND b.outcome IS NULL AND b.lead_id <> 0 AND c.lead_id = b.lead_id AND c.done_at IS NULL
        AND c.due_at <= b.at),
counters AS (
    UPDATE leads l SET attempts = l.attempts + $15::integer - coalesce(b.counted::integer, 0) FROM before b
    WHERE l.id = b.lead_id AND b.lead_id <> 0 AND b.outcome IS NOT NULL)
UPDATE leads l SET claimed_by = NULL,
    attempts = l.attempts + $15::integer, failures = l.failures + (NOT $15)::integer,
    recycled = l.recycled + $19::integer, last_attempt_at = b.at, last_outcome = $2,
    status = CASE WHEN b.decided THEN l.status ELSE $2 END,
    last_agent_id = CASE WHEN $8 = 0 THEN l.last_agent_id ELSE $8 END,
    abandoned_at = CASE WHEN $2 = 'abandoned' THEN $4 ELSE l.abandoned_at END,
    callback_agent_id = CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN 0 ELSE l.callback_agent_id END,
    callback_at = CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN NULL ELSE l.callback_at END,
    turn = CASE WHEN l.turn = 0 THEN CASE WHEN $2 = 'connected' AND l.callback_at <= b.at THEN 3 ELSE 0 END
        WHEN $20::integer IS NOT NULL THEN $20 WHEN l.turn = 1 AND $15 THEN 3 ELSE l.turn END,
    eligible_at = CASE WHEN l.blocked_by IN ('dnc', 'erased') OR b.decided THEN l.eligible_at
        WHEN $17::timestamptz <= $4 THEN NULL ELSE $17 END,
    blocked_by = CASE WHEN l.blocked_by IN ('dnc', 'erased') OR b.decided THEN l.blocked_by
        WHEN $17::timestamptz <= $4 THEN '' ELSE $18 END
FROM before b WHERE l.id = b.lead_id AND b.lead_id <> 0 AND b.outcome IS NULL"""

_KNOWN = """
WITH done AS (
    UPDATE attempts SET outcome = $2, cause = $3 WHERE id = $1 AND outcome = 'unknown' AND $2 <> 'unknown'
    RETURNING lead_id)
UPDATE leads SET last_outcome = $2 FROM done WHERE leads.id = done.lead_id AND done.lead_id <> 0"""

_RELEASED = (
    "UPDATE leads SET claimed_by = NULL,"
    + _HELD.format(until="$5::timestamptz", at="$4::timestamptz", reason="$6::text")
    + " WHERE id = $1 AND (claimed_by IS NULL OR (claimed_by = $2 AND claimed_fence <= $3))"
)

_REFUSED = """
INSERT INTO refusals (site, fence, n, at, lead_id, campaign_id, client_id, rule, clause, rule_set, until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING"""

_DISPOSED = (
    """
WITH done AS (
    UPDATE attempts SET disposition = $2, disposition_at = $3::timestamptz, disposition_by_default = $4::boolean,
        notes = CASE WHEN starts_with(e164, '~') THEN '' ELSE $5::text END, sale = $6, refused = $7::boolean, final = $8
    WHERE id = $1 AND (disposition IS NULL OR ((disposition_by_default OR NOT $4) AND disposition_at <= $3))
    RETURNING id, lead_id, campaign_id, client_id, notes),
called_back AS (
    INSERT INTO callbacks (attempt_id, lead_id, campaign_id, client_id, agent_id, due_at, created_at, created_by, notes)
    SELECT id, lead_id, campaign_id, client_id, $10, $9, $3, $13, notes FROM done WHERE $9::timestamptz IS NOT NULL
    ON CONFLICT (attempt_id) DO UPDATE SET due_at = EXCLUDED.due_at, agent_id = EXCLUDED.agent_id, done_at = NULL)
UPDATE leads SET status = $2, last_agent_id = CASE WHEN $13::bigint = 0 THEN last_agent_id ELSE $13 END,
    refused_at = CASE WHEN $7 THEN $3 ELSE refused_at END,
    callback_at = coalesce($9, callback_at),
    callback_agent_id = CASE WHEN $9 IS NULL THEN callback_agent_id ELSE $10::bigint END,
    recycled = recycled + $14::integer,
    turn = CASE WHEN $9 IS NOT NULL OR turn = 0 THEN 0 ELSE coalesce($15::smallint, turn) END,"""
    + _HELD.format(until="$11::timestamptz", at="$3", reason="$12::text")
    + " FROM done WHERE leads.id = done.lead_id AND done.lead_id <> 0"
)

_DNC = """
WITH person AS (
    SELECT e164 FROM leads WHERE id = $2 UNION ALL SELECT e164 FROM attempts WHERE id = $3 LIMIT 1),
listed AS (
    INSERT INTO dnc (client_id, e164, at, by, source) SELECT $1, e164, $4, $5, $6 FROM person ON CONFLICT DO NOTHING)
UPDATE leads SET blocked_by = 'dnc', eligible_at = NULL
WHERE e164 = (SELECT e164 FROM person) AND (blocked_by = '' OR eligible_at IS NOT NULL)
    AND (id = $2 OR list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE client_id = $1))"""

_AGENT = """
WITH open AS (SELECT fence FROM agent_states WHERE agent_id = $1 AND ended_at IS NULL FOR UPDATE),
closed AS (
    UPDATE agent_states SET ended_at = greatest($2::timestamptz, started_at)
    WHERE agent_id = $1 AND ended_at IS NULL AND fence <= $4 RETURNING ended_at)
INSERT INTO agent_states (agent_id, started_at, site, fence, n, state, code, campaign_id, attempt_id, leg,
    campaign_ids, by)
SELECT $1, coalesce((SELECT ended_at FROM closed), $2), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE NOT EXISTS (SELECT FROM open WHERE fence > $4)"""

_CAMPAIGN = """
UPDATE campaigns SET state = coalesce($2, state), mode = coalesce($3, mode), level = coalesce($4, level),
    speed = coalesce($5, speed), version = version + 1 WHERE id = $1"""

_LINE = """
UPDATE lines SET enabled = coalesce($2, enabled),
    resting_until = CASE WHEN $2 THEN $3 ELSE coalesce($3, resting_until) END,
    version = version + ($2 IS NOT NULL)::integer WHERE id = $1"""

_LINK = """
INSERT INTO sites (site, up, code, message, mode, changed_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (site) DO UPDATE SET up = EXCLUDED.up, code = EXCLUDED.code, message = EXCLUDED.message,
    mode = CASE WHEN EXCLUDED.mode = '' THEN sites.mode ELSE EXCLUDED.mode END, changed_at = EXCLUDED.changed_at
    WHERE sites.changed_at <= EXCLUDED.changed_at"""

_LINK_CHANGE = """
INSERT INTO link_changes (site, fence, n, at, up, code, message, mode) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING"""

_PLACED = "UPDATE attempts SET placed_at = $2 WHERE id = $1 AND placed_at IS NULL"

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


class _Batch:
    """Facts sorted into lanes: what commutes goes in bulk, what does not keeps its order within its lane."""

    def __init__(self) -> None:
        self.events: list[Row] = []
        self.placed: list[Row] = []
        self.people: list[tuple[str, Row]] = []
        self.agents: list[Row] = []
        self.settings: list[tuple[str, Row]] = []
        self.ledger: dict[tuple[int, str, datetime], list[float]] = {}
        self.booked: dict[int, list[Row]] = {BOOKED: [], TAKEN_BACK: []}
        self.pacing: list[Row] = []
        self.audit: list[Row] = []
        self.outbox: list[Row] = []
        self.crm: list[Row] = []
        self.ended: list[f.AttemptEnded] = []

    def add(self, numbered: NumberedFact) -> None:
        fact, site, fence = numbered.fact, numbered.site, numbered.fence
        row: Row
        key = (site, fence, numbered.n, fact.at)
        match fact:
            case f.CallEventFact():
                detail = to_json(fact.detail)
                self.events.append((*key, fact.attempt_id, fact.campaign_id, fact.agent_id, fact.kind, detail))
                if topic := TOPICS.get(fact.kind):
                    self.outbox.append((*key, topic, fact.attempt_id, {"at": fact.at, "agent_id": fact.agent_id}))
            case f.AttemptPlaced():
                self.placed.append((fact.attempt_id, fact.at))
            case f.AttemptEnded():
                self._ended(key, fact)
            case f.AttemptOutcomeKnown():
                self.people.append((_KNOWN, (fact.attempt_id, fact.outcome.value, fact.cause)))
            case f.LeadReleased():
                row = (fact.lead_id, site, fence, fact.at, fact.eligible_at, fact.blocked_by)
                self.people.append((_RELEASED, row))
            case f.DispositionSet():
                self._disposed(key, fact)
            case f.RefusalFact():
                refusal = (*key, fact.lead_id, fact.campaign_id, fact.client_id, fact.rule, fact.clause, fact.rule_set)
                self.people.append((_REFUSED, (*refusal, fact.until)))
                self.people.append((_RELEASED, (fact.lead_id, site, fence, fact.at, fact.until, fact.rule)))
            case f.DncAdded():
                row = (fact.client_id, fact.lead_id, fact.attempt_id, fact.at, fact.by, fact.source)
                self.people.append((_DNC, row))
            case f.AgentStateSet():
                row = (fact.agent_id, fact.at, site, fence, numbered.n, fact.state, fact.code, fact.campaign_id)
                self.agents.append((*row, fact.attempt_id, fact.leg, list(fact.campaign_ids), fact.by))
            case f.LedgerAdded():
                added = (fact.answered_live, fact.abandoned, fact.connected, fact.false_positives)
                if fact.attempt_id is not None:
                    step = BOOKED if fact.answered_live > 0 else TAKEN_BACK
                    self.booked[step].append((fact.attempt_id, fact.campaign_id, site, fact.hour, *added))
                else:
                    sums = self.ledger.setdefault((fact.campaign_id, site, fact.hour), [0, 0, 0, 0.0])
                    sums[:] = [a + b for a, b in zip(sums, added, strict=True)]
            case f.PacingDecided():
                self.pacing.append((*key, fact.campaign_id, fact.count, fact.limit, fact.figures))
            case f.AuditFact():
                self.audit.append((*key, fact.by, fact.what, fact.target, fact.detail))
            case _:
                self._setting(key, fact)

    def _ended(self, key: Row, fact: f.AttemptEnded) -> None:
        self.ended.append(fact)
        self.crm.append((fact.attempt_id, key[1], fact.at))
        row: Row = (fact.attempt_id, fact.outcome.value, key[1], fact.at, fact.cause, fact.tech_cause, fact.ended_by)
        row += (fact.agent_id, fact.ring_s, fact.answered_at, fact.connected_at, fact.wait_s, fact.talk_s, fact.amd)
        row += (fact.counted, fact.live, fact.lead_eligible_at, fact.lead_blocked_by, fact.lead_recycled)
        self.people.append((_ENDED, (*row, TURN_OF_RECYCLING.get(fact.lead_recycle_priority))))
        payload = {
            "at": fact.at,
            "outcome": fact.outcome.value,
            "agent_id": fact.agent_id,
            "ring_s": fact.ring_s,
            "wait_s": fact.wait_s,
            "talk_s": fact.talk_s,
        }
        self.outbox.append((*key, "call.ended", fact.attempt_id, payload))

    def _disposed(self, key: Row, fact: f.DispositionSet) -> None:
        row: Row = (
            fact.attempt_id,
            fact.code,
            fact.at,
            fact.by_default,
            fact.notes,
            fact.sale,
            fact.refused,
            fact.final,
        )
        row += (fact.callback_at, fact.callback_agent_id, fact.lead_eligible_at, fact.lead_blocked_by, fact.agent_id)
        row += (fact.lead_recycled, TURN_OF_RECYCLING.get(fact.lead_recycle_priority))
        self.people.append((_DISPOSED, row))
        payload = {
            "at": fact.at,
            "code": fact.code,
            "agent_id": fact.agent_id,
            "sale": fact.sale,
            "callback_at": fact.callback_at,
        }
        self.outbox.append((*key, "call.disposition", fact.attempt_id, payload))

    def _setting(self, key: Row, fact: f.AnyFact) -> None:
        match fact:
            case f.CampaignSet():
                row: Row = (fact.campaign_id, fact.state, fact.mode, fact.level, fact.speed)
                self.settings.append((_CAMPAIGN, row))
                named = {"state": fact.state, "mode": fact.mode, "level": fact.level, "speed": fact.speed}
                self._note(key, fact.by, "campaign.set", f"campaign:{fact.campaign_id}", named, fact.reason)
            case f.LineSet():
                self.settings.append((_LINE, (fact.line_id, fact.enabled, fact.resting_until)))
                if fact.enabled is not None:
                    named = {"enabled": fact.enabled}
                    self._note(key, fact.by, "line.set", f"line:{fact.line_id}", named, fact.reason)
            case f.MissedCall():
                self.settings.append((tapes.MISSED, tapes.missed(fact)))
            case f.RecordingStarted():
                self.settings.append((tapes.BEGUN, tapes.begun(fact)))
            case f.RecordingEnded():
                self.settings.append((tapes.OVER, tapes.over(fact)))
            case f.LinkChanged():
                row = (fact.up, fact.code, fact.message, fact.mode)
                self.settings.append((_LINK, (key[0], *row, fact.at)))
                self.settings.append((_LINK_CHANGE, (*key, *row)))

    def _note(self, key: Row, by: str, what: str, target: str, named: dict[str, Any], reason: str) -> None:
        detail = {name: value for name, value in named.items() if value is not None}
        self.audit.append((*key, by, what, target, detail | ({"reason": reason} if reason else {})))


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
            batch = _Batch()
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
                await connection.execute(_RELEASED, *row)


async def _write(connection: asyncpg.Connection, batch: _Batch) -> None:
    if batch.events:
        await connection.execute(_EVENTS, *(list(column) for column in zip(*batch.events, strict=True)))
    if batch.placed:
        await connection.executemany(_PLACED, batch.placed)
    await _in_order(connection, batch.people)
    await _in_order(connection, batch.settings)
    if batch.agents:
        await connection.executemany(_AGENT, batch.agents)
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


async def make_partitions(connection: asyncpg.Connection, days: Sequence[date]) -> None:
    """Partitions of `call_event` for these UTC days; those that exist are left alone."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('call_event'))")
    for day in days:
        name, until = f"call_event_{day:%Y%m%d}", day + timedelta(days=1)
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF call_event"
            f" FOR VALUES FROM ('{day} 00:00:00+00') TO ('{until} 00:00:00+00')"
        )
