"""The dialler's path on PostgreSQL: the lease, claims, the facts of a lead, and intents.

Claims read one partial index a campaign order (`leads_ready_…`), by list, zone group and turn, so that their cost is
the leads returned, not the leads looked at. Waiting leads whose instant has come are made ready by the claim itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg

from daemon.calls.lead_records import AgentStateRow, Intent, Lead, Lease, OpenAttempt
from daemon.calls.records import LeadOrder
from daemon.clock import Clock
from daemon.store.database import Database
from daemon.store.tables import ATTEMPT_HISTORY_DAYS, PROMOTED_MAX

COUNT_ROWS_MAX = 500
"""Changes of the counts of a campaign's lists that are read before they are folded into one row a state."""

CLAIM_ROUNDS = 4
"""How often one claim reads on past what others are claiming; what is short then comes with the next claim."""
CLAIM_WINDOW_2 = 256
"""The second reading is no shorter: whoever asks for one lead may stand behind others' hundreds."""
CLAIM_WINDOW_MAX = 4000
"""Leads read past those asked for, at most: what some twenty claims of 200 can hold between them."""

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

_CAMPAIGN = """
SELECT list_ids, "order", client_id, EXISTS (
    SELECT FROM leads l JOIN lists s ON s.id = l.list_id AND s.active
    WHERE l.list_id = ANY(c.list_ids) AND l.turn IN (0, 1, 2, 3, 4) AND l.claimed_by IS NULL AND l.eligible_at <= $2
    ) AS overdue
FROM campaigns c WHERE id = $1"""

_PROMOTE = """
WITH due AS (
    SELECT w.id FROM lists s CROSS JOIN generate_series(0, 4) AS t(turn)
    CROSS JOIN LATERAL (
        SELECT id FROM leads
        WHERE list_id = s.id AND turn = t.turn AND claimed_by IS NULL AND eligible_at IS NOT NULL AND eligible_at <= $2
        ORDER BY eligible_at, id LIMIT $3) w
    WHERE s.id = ANY($1) AND s.active),
locked AS (
    SELECT id FROM leads WHERE id IN (SELECT id FROM due) AND claimed_by IS NULL AND eligible_at <= $2
    FOR UPDATE SKIP LOCKED)
UPDATE leads SET eligible_at = NULL, blocked_by = '' WHERE id IN (SELECT id FROM locked)"""

# What the candidates are ordered by, inside a turn, and the same as one or two columns for the merge of the lists.
_ORDERS = {
    LeadOrder.OLDEST: ("id", "id", "0"),
    LeadOrder.NEWEST: ("id DESC", "-id", "0"),
    LeadOrder.RANDOM: ("((id * 2654435761) & 4294967295), id", "((id * 2654435761) & 4294967295)", "id"),
    LeadOrder.PRIORITY: ("priority DESC, id", "-priority", "id"),
    LeadOrder.ATTEMPTS: ("attempts, id", "attempts", "id"),
    LeadOrder.LIST_RANK: ("id", "q.rank", "id"),
}

_LAST_TURN, _LAST_KEY = "coalesce((SELECT turn FROM last), 9)", "coalesce((SELECT {} FROM last), 1::bigint << 62)"
_BOUNDS = {
    LeadOrder.OLDEST: f" AND (turn, id) <= ({_LAST_TURN}, {_LAST_KEY.format('key1')})",
    LeadOrder.RANDOM: f" AND (turn, ((id * 2654435761) & 4294967295)) <= ({_LAST_TURN}, {_LAST_KEY.format('key1')})",
    LeadOrder.ATTEMPTS: f" AND (turn, attempts) <= ({_LAST_TURN}, {_LAST_KEY.format('key1')})",
}
"""Where a queue's reading ends, for orders that an index can be told so of."""

# A queue is a list and a zone group (and a turn, where no index gives turns upwards and the rest downwards): what one
# range of an index holds in order. Of each the first $10 are read (`heads`); where those are fewer than the window,
# more of each, one and a half windows in all (`first`). None of the leads that come first comes after the last of a
# window of these: a queue is read on only if what was read of it ends before that one, and up to there.
#
# Claims of daemons that share lists don't wait for each other: each sees a window of $9 leads from the head of the
# order and takes the first $3 that nobody has locked. `seen` says how many it saw, `place` which it took: a claim left
# short with a full window asks again with a longer one.
_CLAIM = """
WITH kept AS (
    SELECT s.id AS list_id, s.rank, z.tz_group{turn_column}
    FROM lists s CROSS JOIN unnest($2::text[]) AS z(tz_group){turns} WHERE s.id = ANY($1) AND s.active),
heads AS MATERIALIZED (
    SELECT q.list_id, q.tz_group, q.rank, c.* FROM kept q CROSS JOIN LATERAL (
        SELECT {nth} AS nth, f.* FROM ({read} LIMIT {few}) f) c),
depth AS MATERIALIZED (
    SELECT $10::bigint + CASE WHEN count(*) < $9
        THEN 3 * $9 / greatest(2 * count(*) FILTER (WHERE nth = 1), 1) ELSE 0 END AS n
    FROM heads),
first AS MATERIALIZED (
    SELECT * FROM heads
    UNION ALL
    SELECT q.list_id, q.tz_group, q.rank, c.* FROM heads q CROSS JOIN LATERAL (
        SELECT $10 + row_number() OVER () AS nth, f.* FROM ({read} OFFSET $10 LIMIT (SELECT n - $10 FROM depth)) f) c
    WHERE q.nth = $10 AND (SELECT n FROM depth) > $10),
last AS MATERIALIZED (SELECT turn, key1, key2 FROM first ORDER BY turn, key1, key2 OFFSET $9 - 1 LIMIT 1),
picked AS MATERIALIZED (
    SELECT id, turn, key1, key2, row_number() OVER (ORDER BY turn, key1, key2 ROWS UNBOUNDED PRECEDING) AS place
    FROM (
        SELECT id, turn, key1, key2 FROM first
        UNION ALL
        SELECT c.* FROM first q CROSS JOIN LATERAL ({read_on} OFFSET (SELECT n FROM depth) LIMIT $9) c
        WHERE q.nth = (SELECT n FROM depth)
            AND coalesce((q.turn, q.key1, q.key2) < (SELECT turn, key1, key2 FROM last), true)) w
    ORDER BY turn, key1, key2 LIMIT $9),
locked AS (
    SELECT l.id, p.place FROM picked p JOIN leads l ON l.id = p.id
    WHERE l.claimed_by IS NULL AND l.blocked_by = '' AND l.eligible_at IS NULL
    ORDER BY p.turn, p.key1, p.key2 LIMIT $3
    FOR UPDATE OF l SKIP LOCKED),
claimed AS (
    UPDATE leads SET claimed_by = $4, claimed_fence = $5, claimed_campaign_id = $6
    FROM locked WHERE leads.id = locked.id
    RETURNING {columns}, locked.place)
{facts} ORDER BY l.place"""

# After a bulk load, statistics may not be there yet; these keep the claim on its index whatever the planner believes.
# One plan for all arguments: planning anew would cost more than the claim itself.
_BEGIN_ON_INDEX = (
    "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;"
    " SET LOCAL enable_mergejoin = off; SET LOCAL plan_cache_mode = force_generic_plan"
)

_FACTS_OF = """
SELECT l.*, p.times, p.technical, p.last_at, p.refused_last_at, p.abandoned_last_at,
    c.at AS person_consent_at, c.until AS person_consent_until, c.out_of_hours AS person_out_of_hours,
    c.automated AS person_automated,
    (SELECT max(revoked_at) FROM consents WHERE client_id = {client} AND e164 = l.e164) AS consent_revoked_at,
    EXISTS (SELECT FROM dnc WHERE client_id = {client} AND e164 = l.e164) AS dnc
FROM {leads} l
LEFT JOIN LATERAL (
    SELECT
        array_agg(at ORDER BY at) FILTER (WHERE counted IS NOT FALSE AND kind <> 'inbound' AND at > {since}) AS times,
        array_agg(at ORDER BY at) FILTER (WHERE counted IS FALSE AND kind <> 'inbound' AND at > {since}
            AND outcome NOT IN ('not_placed', 'agent_no_answer')) AS technical,
        max(at) FILTER (WHERE kind <> 'inbound') AS last_at,
        max(disposition_at) FILTER (WHERE refused) AS refused_last_at,
        max(ended_at) FILTER (WHERE outcome = 'abandoned') AS abandoned_last_at
    FROM attempts WHERE client_id = {client} AND e164 = l.e164) p ON true
LEFT JOIN LATERAL (
    SELECT at, until, out_of_hours, automated FROM consents
    WHERE client_id = {client} AND e164 = l.e164 AND at IS NOT NULL ORDER BY at DESC, id DESC LIMIT 1) c ON true"""

# What of a lead its claim carries, as `lead_of` reads it; few columns, since hundreds of rows a second come this way.
_READ = (
    "id, list_id, group_id, e164, tz_group, postal_code, first_name, last_name, company, email, priority, attempts,"
    " failures, recycled, last_attempt_at, refused_at, consent_at, consent_out_of_hours, consent_automated,"
    " running_contract, blocked_by, callback_at, callback_agent_id, abandoned_at, fields"
)

_FACTS = _FACTS_OF.format(leads="leads", client="$2", since="$3") + " WHERE l.id = ANY($1)"
_CLAIMED = "(SELECT c.*, n.seen FROM (SELECT count(*) AS seen FROM picked) n LEFT JOIN claimed c ON true)"
_CLAIMED_FACTS = _FACTS_OF.format(leads=_CLAIMED, client="$7", since="$8::timestamptz")

_INTENTS = """
INSERT INTO attempts (id, site, fence, kind, group_id, campaign_id, client_id, lead_id, e164, line_id, caller_id,
    agent_id, rule_set, at)
SELECT i.id, $1, $2, i.kind, i.group_id, i.campaign_id, i.client_id, i.lead_id, i.e164, i.line_id, i.caller_id,
    i.agent_id, i.rule_set, i.at
FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[],
    $11::text[], $12::bigint[], $13::text[], $14::integer[], $15::integer[], $16::timestamptz[])
    WITH ORDINALITY AS i(id, kind, group_id, campaign_id, client_id, lead_id, e164, line_id, caller_id, agent_id,
        rule_set, attempts_max, attempts_days, at, place)
WHERE EXISTS (
        SELECT FROM site_leases WHERE site = $1 AND fence = $2 AND until >= clock_timestamp() + interval '1 second')
    AND (i.attempts_max = 0 OR i.attempts_days = 0 OR i.attempts_max > (
        SELECT count(*) FROM attempts a WHERE a.client_id = i.client_id AND a.e164 = i.e164
            AND a.at > i.at - make_interval(days => i.attempts_days) AND a.counted IS NOT FALSE
            AND a.kind <> 'inbound'))
    AND NOT EXISTS (SELECT FROM attempt_voids v WHERE v.id = i.id)
ORDER BY i.place
ON CONFLICT DO NOTHING
RETURNING id, number"""

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
)

_RELEASE_CLAIMS = """
UPDATE leads SET claimed_by = NULL WHERE claimed_by = $1 AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.lead_id = leads.id AND a.outcome IS NULL)"""

_UNCLAIM = """
UPDATE leads SET claimed_by = NULL WHERE id = ANY($1) AND claimed_by = $2 AND claimed_fence = $3 AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.lead_id = leads.id AND a.outcome IS NULL)"""

# Sums of changes (migration 0002), and the waiting leads whose instant is past, which no change tells.
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


@cache
def _claim_sql(order: LeadOrder, few: int = 1) -> str:
    """The claim in an order; each queue is read along its index, one lead first or `few`."""
    ready = (
        "list_id = q.list_id AND tz_group = q.tz_group AND claimed_by IS NULL AND blocked_by = ''"
        " AND eligible_at IS NULL"
    )
    sort, key1, key2 = _ORDERS[order]
    if order is LeadOrder.NEWEST:
        turns = {"turn_column": ", t.turn", "turns": " CROSS JOIN generate_series(0, 4) AS t(turn)"}
        ready += " AND turn = q.turn"
    else:
        turns, sort = {"turn_column": "", "turns": ""}, f"turn, {sort}"
    read = f"SELECT id, turn, {key1} AS key1, {key2} AS key2 FROM leads WHERE {ready}{{}} ORDER BY {sort}"
    reads = {"read": read.format(""), "read_on": read.format(_BOUNDS.get(order, ""))}
    reads |= {"nth": "1::bigint", "few": "1"} if few == 1 else {"nth": "row_number() OVER ()", "few": "$10"}
    columns = ", ".join(f"leads.{name}" for name in _READ.split(", "))
    return _CLAIM.format(columns=columns, facts=_CLAIMED_FACTS, **reads, **turns)


def lock_key(site: str) -> int:
    """The advisory lock of a site's intents: shared by commits, exclusive while an unseen attempt is closed."""
    return 0x6361_0000_0000_0000 | int.from_bytes(site.encode()[:6].ljust(6, b"\0"), "big")


def lead_of(row: asyncpg.Record, campaign_id: int, client_id: int) -> Lead:
    """A Lead from a row of `_FACTS`: of two consents the later counts; refusals and times are the person's."""
    by_person = row["person_consent_at"] is not None and (
        row["consent_at"] is None or row["person_consent_at"] >= row["consent_at"]
    )
    return Lead(
        id=row["id"],
        list_id=row["list_id"],
        campaign_id=campaign_id,
        group_id=row["group_id"],
        client_id=client_id,
        e164=row["e164"],
        tz_group=row["tz_group"],
        postal_code=row["postal_code"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        company=row["company"],
        email=row["email"],
        priority=row["priority"],
        attempts=row["attempts"],
        failures=row["failures"],
        recycled=row["recycled"],
        attempt_times=list(row["times"] or ()),
        technical_times=list(row["technical"] or ()),
        last_attempt_at=latest(row["last_attempt_at"], row["last_at"]),
        refused_at=latest(row["refused_at"], row["refused_last_at"]),
        consent_at=row["person_consent_at"] if by_person else row["consent_at"],
        consent_until=row["person_consent_until"] if by_person else None,
        consent_revoked_at=row["consent_revoked_at"],
        consent_out_of_hours=bool(row["person_out_of_hours"] if by_person else row["consent_out_of_hours"]),
        consent_automated=bool(row["person_automated"] if by_person else row["consent_automated"]),
        running_contract=row["running_contract"],
        dnc=row["dnc"] or row["blocked_by"] == "dnc",
        callback_at=row["callback_at"],
        callback_agent_id=row["callback_agent_id"],
        abandoned_at=latest(row["abandoned_at"], row["abandoned_last_at"]),
        fields=row["fields"],
    )


def latest(*instants: datetime | None) -> datetime | None:
    """The latest of those known."""
    return max((instant for instant in instants if instant is not None), default=None)


_UNDISPOSED = """
SELECT a.id AS attempt_id, a.site, a.kind, a.group_id, a.campaign_id, a.client_id, a.lead_id, a.e164, a.line_id,
    a.caller_id, a.agent_id, a.at, a.number
FROM agent_states AS s JOIN attempts AS a ON a.id = s.attempt_id
WHERE s.ended_at IS NULL AND s.site = $1 AND s.state = 'wrap_up' AND a.disposition IS NULL AND a.lead_id IS NOT NULL
"""
"""Conversations whose agent is still in wrap-up. Index: agent_states of the open intervals, attempts' key."""


class Dialling:
    """Part of PostgresStore: what the engine does to dial."""

    _database: Database
    _clock: Clock
    _doubtful: dict[tuple[str, int], list[int]]
    _passed_over: dict[int, int]
    """Leads at the head of a campaign's order that its last claim found held by others' claims."""

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

    async def open_attempts(self, site: str) -> list[OpenAttempt]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _OPEN_ATTEMPTS,
                site,
            )
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

    async def release_claims(self, site: str) -> int:
        async with self._database.connection() as connection:
            done: str = await connection.execute(_RELEASE_CLAIMS, site)
        return int(done.rpartition(" ")[2])

    async def claim_leads(
        self, campaign_id: int, count: int, now: datetime, open_tz_groups: Sequence[str], site: str, fence: int
    ) -> list[Lead]:
        if count <= 0 or not open_tz_groups:
            return []
        async with self._database.connection() as connection:
            await connection.execute(_BEGIN_ON_INDEX)
            doubtful = self._doubtful.pop((site, fence), [])
            rows: list[asyncpg.Record] = []
            try:
                if doubtful:
                    await connection.execute(_UNCLAIM, doubtful, site, fence)
                rows, client_id = await self._claim(
                    connection, campaign_id, count, now, list(dict.fromkeys(open_tz_groups)), (site, fence)
                )
                await connection.execute("COMMIT")
            except BaseException:
                # Was it committed? Nobody has these leads, so the next claim gives them back if it was.
                self._doubtful[site, fence] = doubtful + [row["id"] for row in rows]
                # On a broken or cancelled connection this fails too, and the server rolls back by itself.
                with contextlib.suppress(Exception):
                    await connection.execute("ROLLBACK")
                raise
        return [lead_of(row, campaign_id, client_id) for row in rows]

    async def _claim(
        self,
        connection: asyncpg.Connection,
        campaign_id: int,
        count: int,
        now: datetime,
        zones: list[str],
        holder: tuple[str, int],
    ) -> tuple[list[asyncpg.Record], int]:
        """Few round trips, since a claim is short: the campaign, what fell due (if any), the claim with its facts.

        Again, with a longer window, where other daemons' claims held the head of the order; and the next claim begins
        with a window half as long again as what this one passed over.
        """
        campaign = await connection.fetchrow(_CAMPAIGN, campaign_id, now)
        if campaign is None or not campaign["list_ids"]:
            return [], 0
        lists = list(dict.fromkeys(campaign["list_ids"]))
        if campaign["overdue"]:
            await connection.execute(_PROMOTE, lists, now, max(PROMOTED_MAX, 4 * count))
        order, client_id = LeadOrder(campaign["order"]), int(campaign["client_id"])
        rows: list[asyncpg.Record] = []
        passed_over = self._passed_over.get(campaign_id, 0)
        window = count + 3 * passed_over // 2
        for _ in range(CLAIM_ROUNDS):
            window, missing = min(window, count + CLAIM_WINDOW_MAX), count - len(rows)
            few = -(-3 * window // (2 * len(lists) * len(zones)))
            more = (campaign_id, client_id, self._history_since(), window, few)
            seen = await connection.fetch(_claim_sql(order, min(few, 2)), lists, zones, missing, *holder, *more)
            found = [row for row in seen if row["id"] is not None]
            rows += found
            held = (found[-1]["place"] if found else seen[0]["seen"]) - len(found)
            self._passed_over[campaign_id] = max(held, passed_over * 3 // 4)
            if len(rows) == count or seen[0]["seen"] < window:
                break
            window = max(2 * window, CLAIM_WINDOW_2)
        return rows, client_id

    def _history_since(self) -> datetime:
        return self._clock.utcnow() - timedelta(days=ATTEMPT_HISTORY_DAYS)

    async def lead_facts(self, lead_id: int) -> Lead | None:
        async with self._database.connection() as connection:
            owner = await connection.fetchrow(
                "SELECT c.id, c.client_id FROM leads l LEFT JOIN campaigns c ON CASE WHEN l.claimed_by IS NULL"
                " THEN l.list_id = ANY(c.list_ids) ELSE c.id = l.claimed_campaign_id END"
                " WHERE l.id = $1 ORDER BY c.id LIMIT 1",
                lead_id,
            )
            if owner is None:
                return None
            campaign_id, client_id = owner["id"] or 0, owner["client_id"] or 0
            row = await connection.fetchrow(_FACTS, [lead_id], client_id, self._history_since())
        return None if row is None else lead_of(row, campaign_id, client_id)

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
