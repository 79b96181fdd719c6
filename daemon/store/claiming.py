"""Claims on PostgreSQL, and the facts of a lead that a claim brings along.

Claims read one partial index a campaign order (`leads_ready_…`), by list, zone group and turn, so that their cost is
the leads returned, not the leads looked at. Waiting leads whose instant has come are made ready by the claim itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import asyncpg

from daemon.calls.lead_records import Lead
from daemon.calls.records import LeadOrder
from daemon.clock import Clock
from daemon.store.database import Database
from daemon.store.tables import ATTEMPT_HISTORY_DAYS, PROMOTED_MAX

CLAIM_ROUNDS = 4
"""How often one claim reads on past what others are claiming; what is short then comes with the next claim."""
CLAIM_WINDOW_2 = 256
"""The second reading is no shorter: whoever asks for one lead may stand behind others' hundreds."""
CLAIM_WINDOW_MAX = 4000
"""Leads read past those asked for, at most: what some twenty claims of 200 can hold between them."""

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
    "id, list_id, group_id, e164, tz_group, postal_code, city, state, first_name, last_name, company, email, priority,"
    " attempts, failures, recycled, last_attempt_at, refused_at, consent_at, consent_out_of_hours, consent_automated,"
    " running_contract, blocked_by, callback_at, callback_agent_id, abandoned_at, fields"
)

_FACTS = _FACTS_OF.format(leads="leads", client="$2", since="$3") + " WHERE l.id = ANY($1)"
_CLAIMED = "(SELECT c.*, n.seen FROM (SELECT count(*) AS seen FROM picked) n LEFT JOIN claimed c ON true)"
_CLAIMED_FACTS = _FACTS_OF.format(leads=_CLAIMED, client="$7", since="$8::timestamptz")

_RELEASE_CLAIMS = """
UPDATE leads SET claimed_by = NULL WHERE claimed_by = $1 AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.lead_id = leads.id AND a.outcome IS NULL)"""

_UNCLAIM = """
UPDATE leads SET claimed_by = NULL WHERE id = ANY($1) AND claimed_by = $2 AND claimed_fence = $3 AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.lead_id = leads.id AND a.outcome IS NULL)"""


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
        city=row["city"],
        state=row["state"],
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


class Claiming:
    """Part of PostgresStore: which leads are dialled next, and what is known of each."""

    _database: Database
    _clock: Clock
    _doubtful: dict[tuple[str, int], list[int]]
    _passed_over: dict[int, int]
    """Leads at the head of a campaign's order that its last claim found held by others' claims."""

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
