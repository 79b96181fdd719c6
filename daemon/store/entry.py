"""Leads that nobody may call for want of a consent are held from the start, so that they never count as due.

Only what is certain for every campaign that works a list is said here: all of them need a consent, and the lead has
none. Everything finer (age, revocation, the instant) stays with the law, which is asked before each call. When the
rules of a campaign change, its lists are put down in `list_reviews` and looked through in pages (`review_consent`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from daemon.calls.records import Campaign
from daemon.clock import Clock
from daemon.ports import ConsentRules
from daemon.store.database import Database

RULE = "consent"
"""The reason a held lead carries: the law's own name for it."""

REVIEWED_FIELDS = frozenset({"rule_set", "list_ids", "client_id", "running_contract", "business"})
"""Fields of a campaign that decide who needs a consent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How leads come into a list. `hold`: each campaign that works it needs a consent; `contract`: one of them takes a
    running contract instead; `clients`: whose consents count."""

    hold: bool
    contract: bool
    clients: tuple[int, ...]


def entry_of(campaigns: Sequence[Campaign], rules: ConsentRules) -> Entry:
    """For a list that these campaigns work. Without a campaign nothing is known, and nothing held."""
    needing = [
        c for c in campaigns if c.rule_set in rules.required and not (c.business and c.rule_set in rules.business)
    ]
    contract = any(c.running_contract and c.rule_set in rules.contract for c in needing)
    hold = bool(campaigns) and len(needing) == len(campaigns)
    return Entry(hold, contract, tuple(sorted({c.client_id for c in campaigns})))


def lacking(row: str, contract: str, clients: str) -> str:
    """SQL: the lead `row` has nothing that a consent could be read from."""
    return (
        f"({row}.consent_at IS NULL AND NOT ({contract}::boolean AND {row}.running_contract) AND NOT EXISTS ("
        f"SELECT FROM consents k WHERE k.e164 = {row}.e164 AND k.client_id = ANY({clients}::bigint[])"
        " AND k.at IS NOT NULL AND k.revoked_at IS NULL))"
    )


def reviewed(before: Campaign | None, after: Campaign) -> list[int]:
    """The lists to look through again because of a campaign's change."""
    if before is None:
        return sorted(set(after.list_ids))
    if all(getattr(before, name) == getattr(after, name) for name in sorted(REVIEWED_FIELDS)):
        return []
    return sorted({*before.list_ids, *after.list_ids})


_CAMPAIGNS = "SELECT * FROM campaigns WHERE $1 = ANY(list_ids)"
_ASK = """
INSERT INTO list_reviews (list_id, asked_at) SELECT unnest($1::bigint[]), $2
ON CONFLICT (list_id) DO UPDATE SET after_id = 0, asked_at = EXCLUDED.asked_at"""

_HOLD = (
    "UPDATE leads l SET blocked_by = 'consent' WHERE l.list_id = $1 AND l.id > $2 AND l.id <= $3 AND $4::boolean"
    " AND l.claimed_by IS NULL AND l.blocked_by = '' AND l.eligible_at IS NULL AND " + lacking("l", "$5", "$6")
)
_LIFT = (
    "UPDATE leads l SET blocked_by = '' WHERE l.list_id = $1 AND l.id > $2 AND l.id <= $3"
    " AND l.blocked_by = 'consent' AND l.eligible_at IS NULL AND NOT ($4::boolean AND " + lacking("l", "$5", "$6") + ")"
)


async def ask_review(connection: asyncpg.Connection, clock: Clock, list_ids: Sequence[int]) -> None:
    """Put lists down to be looked through, from their first lead."""
    if list_ids:
        await connection.execute(_ASK, list(list_ids), clock.utcnow())


async def campaigns_of(connection: asyncpg.Connection, list_id: int) -> list[Campaign]:
    """The campaigns that work a list, as far as consent goes."""
    return [_campaign(row) for row in await connection.fetch(_CAMPAIGNS, list_id)]


def _campaign(row: Mapping[str, Any]) -> Campaign:
    return Campaign(
        group_id=row["group_id"],
        client_id=row["client_id"],
        name="",
        site="",
        rule_set=row["rule_set"],
        running_contract=row["running_contract"],
        business=row["business"],
    )


class Entering:
    """Part of PostgresStore: what is known of consent as leads come in."""

    _database: Database
    _clock: Clock
    _consent_rules: ConsentRules = ConsentRules()

    def use_consent_rules(self, rules: ConsentRules) -> None:
        self._consent_rules = rules

    async def entry(self, connection: asyncpg.Connection, list_id: int) -> Entry:
        """How leads come into a list now."""
        return entry_of(await campaigns_of(connection, list_id), self._consent_rules)

    async def review_consent(self, limit: int) -> list[int]:
        async with self._database.transaction() as connection:
            asked = await connection.fetchrow(
                "SELECT list_id, after_id FROM list_reviews ORDER BY asked_at, list_id LIMIT 1 FOR UPDATE SKIP LOCKED"
            )
            if asked is None:
                return []
            list_id, after = asked["list_id"], asked["after_id"]
            last = await connection.fetchval("SELECT max(id) FROM leads")
            upto = after + limit
            entry = await self.entry(connection, list_id)
            for statement in (_HOLD, _LIFT):
                await connection.execute(
                    statement, list_id, after, upto, entry.hold, entry.contract, list(entry.clients)
                )
            if last is None or upto >= last:
                await connection.execute("DELETE FROM list_reviews WHERE list_id = $1", list_id)
            else:
                await connection.execute("UPDATE list_reviews SET after_id = $2 WHERE list_id = $1", list_id, upto)
        return [list_id]
