"""What holds leads back, on PostgreSQL: counts by list, the leads behind each count, when the next one falls due.

Counts are sums of changes (migration 0002). A page of leads is read along an index whatever the list's size: a few
probes for each list, zone group and turn, never more than a page of rows from each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from daemon.calls.lead_counts import LeadCounts
from daemon.ports import Page
from daemon.store.dialling import Dialling

HELD_ROW: Final = (
    "id",
    "list_id",
    "e164",
    "first_name",
    "last_name",
    "company",
    "city",
    "postal_code",
    "state",
    "country_code",
    "attempts",
    "status",
    "last_outcome",
    "last_attempt_at",
    "blocked_by",
    "eligible_at",
    "callback_at",
    "callback_agent_id",
)
"""A lead as the lists of held leads show it; `eligible_at` is its instant of release, None = no instant frees it."""

READY, WAITING, NEVER, CLAIMED = range(4)
"""Stretches a page is put together from, in this order: ready now, by id; waiting, by their instant; held for good, by
id. Leads in somebody's hands, by id, are a reason of their own."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COLUMNS = ", ".join(f"l.{name}" for name in HELD_ROW)
_TURNS = "(VALUES (0), (1), (2), (3), (4)) AS t(turn)"

_COUNTS = """
WITH worked AS (SELECT id, active FROM lists WHERE group_id = $1),
late AS (
    SELECT w.id, l.blocked_by AS reason, count(*) AS n FROM worked w
    JOIN leads l ON l.list_id = w.id AND l.turn IN (0, 1, 2, 3, 4) AND l.claimed_by IS NULL AND l.eligible_at <= $2
    WHERE w.active GROUP BY 1, 2)
SELECT id AS list_id, reason, sum(n)::bigint AS n FROM (
    SELECT w.id, CASE
            WHEN c.state = 'claimed' THEN 'in_progress'
            WHEN c.state = 'blocked' THEN c.reason
            WHEN NOT w.active THEN 'list_off'
            WHEN c.state = 'ready' THEN 'due'
            WHEN c.reason = '' THEN 'waiting' ELSE c.reason END AS reason, c.n
        FROM worked w JOIN lead_counts c ON c.list_id = w.id
    UNION ALL SELECT id, 'due', n FROM late
    UNION ALL SELECT id, CASE WHEN reason = '' THEN 'waiting' ELSE reason END, -n FROM late) c
GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2"""

_NEXT = f"""
SELECT min(l.eligible_at) FROM lists w CROSS JOIN {_TURNS} CROSS JOIN LATERAL (
    SELECT l.eligible_at FROM leads l
    WHERE l.list_id = w.id AND l.turn = t.turn AND l.claimed_by IS NULL AND l.eligible_at > $2
    ORDER BY l.eligible_at LIMIT 1) l
WHERE w.active AND w.id = ANY(SELECT unnest(list_ids) FROM campaigns WHERE id = $1)"""

# Of the leads nothing holds: each zone group and turn of a list is a range of `leads_ready_by_id`, in order of id.
_READY = f"""
WITH RECURSIVE worked AS (SELECT id FROM lists WHERE id = ANY($1::bigint[]) AND active = $4::boolean),
zones(list_id, tz_group) AS (
    SELECT w.id, (SELECT min(tz_group) FROM leads WHERE list_id = w.id) FROM worked w
    UNION ALL
    SELECT z.list_id, (SELECT min(tz_group) FROM leads WHERE list_id = z.list_id AND tz_group > z.tz_group)
    FROM zones z WHERE z.tz_group IS NOT NULL)
SELECT {_COLUMNS} FROM zones z CROSS JOIN {_TURNS} CROSS JOIN LATERAL (
    SELECT * FROM leads l WHERE l.list_id = z.list_id AND l.tz_group = z.tz_group AND l.turn = t.turn
        AND l.claimed_by IS NULL AND l.blocked_by = '' AND l.eligible_at IS NULL AND l.id > $2
    ORDER BY l.id LIMIT $3) l
WHERE z.tz_group IS NOT NULL ORDER BY l.id LIMIT $3"""

# Waiting leads whatever they wait for, or for no named reason: along `leads_waiting`, each turn in order of instant.
_WAITING = f"""
SELECT {_COLUMNS} FROM lists w CROSS JOIN {_TURNS} CROSS JOIN LATERAL (
    SELECT * FROM leads l WHERE l.list_id = w.id AND l.turn = t.turn AND l.claimed_by IS NULL
        AND (l.eligible_at, l.id) > ($5::timestamptz, $2){{more}}
    ORDER BY l.eligible_at, l.id LIMIT $3) l
WHERE w.id = ANY($1::bigint[]) AND w.active = $4::boolean ORDER BY l.eligible_at, l.id LIMIT $3"""

_WAITING_FOR = f"""
SELECT {_COLUMNS} FROM lists w CROSS JOIN LATERAL (
    SELECT * FROM leads l WHERE l.list_id = w.id AND l.blocked_by = $4 AND l.claimed_by IS NULL AND l.blocked_by <> ''
        AND (l.eligible_at, l.id) > ($5::timestamptz, $2)
    ORDER BY l.eligible_at, l.id LIMIT $3) l
WHERE w.id = ANY($1::bigint[]) AND w.active ORDER BY l.eligible_at, l.id LIMIT $3"""

_NEVER = f"""
SELECT {_COLUMNS} FROM unnest($1::bigint[]) AS w(id) CROSS JOIN LATERAL (
    SELECT * FROM leads l WHERE l.list_id = w.id AND l.blocked_by = $4 AND l.claimed_by IS NULL AND l.blocked_by <> ''
        AND l.eligible_at IS NULL AND l.id > $2
    ORDER BY l.id LIMIT $3) l
ORDER BY l.id LIMIT $3"""

_CLAIMED = f"""
SELECT {_COLUMNS} FROM leads l WHERE l.claimed_by IS NOT NULL AND l.list_id = ANY($1::bigint[]) AND l.id > $2
ORDER BY l.id LIMIT $3"""


def stretches(reason: str) -> tuple[int, ...]:
    """What a reason's leads are: `due` and `list_off` are ready or waiting; others wait or are held for good."""
    if reason == "in_progress":
        return (CLAIMED,)
    return (READY, WAITING) if reason in ("due", "list_off") else (WAITING, NEVER)


def place_of(stretch: int, at: datetime | None, id: int) -> str:
    """Where a page ends: the next one begins after it."""
    micros = 0 if at is None else (at - EPOCH) // timedelta(microseconds=1)
    return f"{stretch}.{micros}.{id}"


def place_from(after: str | None, reason: str) -> tuple[int, datetime, int]:
    """(stretch, instant, id) after which a page begins. Raises ValueError for what no page ever ended with."""
    if not after:
        return stretches(reason)[0], EPOCH, 0
    stretch, micros, id = (int(part) for part in after.split("."))
    if stretch not in stretches(reason) or not 0 <= micros < 1 << 58 or not 0 <= id < 1 << 62:
        raise ValueError(f"no page of {reason} ends at {after}")
    return stretch, EPOCH + timedelta(microseconds=micros), id


class Holding(Dialling):
    """Part of PostgresStore: what holds leads back."""

    async def lead_counts(self, campaign_id: int, now: datetime) -> LeadCounts:
        counts = await self.callable_counts(campaign_id, now)
        if counts["due"]:
            return LeadCounts(by_reason=counts)
        async with self._database.connection() as connection:
            return LeadCounts(by_reason=counts, next_at=await connection.fetchval(_NEXT, campaign_id, now))

    async def list_counts(self, group_id: int, now: datetime) -> dict[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = {}
        async with self._database.connection() as connection:
            for row in await connection.fetch(_COUNTS, group_id, now):
                found.setdefault(row["list_id"], {})[row["reason"]] = row["n"]
        return found

    async def held_leads(
        self, list_ids: Sequence[int], reason: str, now: datetime, limit: int, after: str | None
    ) -> Page:
        first, at, id = place_from(after, reason)
        found: list[tuple[int, dict[str, Any]]] = []
        async with self._database.connection() as connection:
            for stretch in stretches(reason):
                if stretch < first or len(found) > limit:
                    continue
                if stretch == WAITING and reason not in ("due", "list_off"):  # whoever is due already is not held
                    at, id = max((at, id), (now + timedelta(microseconds=1), 0))
                sql, more = _statement(stretch, reason, now, at)
                rows = await connection.fetch(sql, sorted(set(list_ids)), id, limit + 1 - len(found), *more)
                found += [(stretch, dict(row)) for row in rows]
                at, id = EPOCH, 0
        return page_of(found, limit)


def _statement(stretch: int, reason: str, now: datetime, at: datetime) -> tuple[str, list[Any]]:
    """The statement of a stretch and what it takes after the lists, the id and the limit."""
    if stretch == CLAIMED:
        return _CLAIMED, []
    if stretch == READY:
        return _READY, [reason == "due"]
    if stretch == NEVER:
        return _NEVER, [reason]
    if reason == "due":
        return _WAITING.format(more=" AND l.eligible_at <= $6"), [True, at, now]
    if reason == "list_off":
        return _WAITING.format(more=""), [False, at]
    if reason == "waiting":
        return _WAITING.format(more=" AND l.blocked_by = ''"), [True, at]
    return _WAITING_FOR, [reason, at]


def page_of(found: Sequence[tuple[int, dict[str, Any]]], limit: int) -> Page:
    """A page of (stretch, row), which are at most one more than it holds."""
    shown = found[:limit]
    if len(found) <= limit:
        return Page(rows=[row for _, row in shown])
    stretch, last = shown[-1]
    at = last["eligible_at"] if stretch == WAITING else None
    return Page(rows=[row for _, row in shown], next_after=place_of(stretch, at, last["id"]))
