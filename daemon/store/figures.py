"""Calls in sums, by what is asked (features TELC-06, TELC-07), and calls one by one for exports; on PostgreSQL.

A sum is kept apart by the beginning of the number as well, as long as the rate table's longest prefix, so that costs
are worked out in one place (`daemon.api.stats_api`) for both stores. Attempts that never left (`not_placed`) are no
calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from daemon.store.database import Database
from daemon.store.people import ATTEMPT_CONDITIONS, STATUS, conditions
from daemon.store.tables import ATTEMPT_FILTERS, ATTEMPT_ROW, check_filters

_LOCAL = "(a.at AT TIME ZONE {zone})"
_KEYS: Final[Mapping[str, str]] = {
    "": "''::text",
    "hour": f"to_char({_LOCAL}, 'YYYY-MM-DD\"T\"HH24:00')",
    "hour_of_day": f"to_char({_LOCAL}, 'HH24')",
    "day": f"to_char({_LOCAL}, 'YYYY-MM-DD')",
    "week": f"to_char(date_trunc('week', {_LOCAL}), 'YYYY-MM-DD')",
    "campaign": "a.campaign_id::text",
    "agent": "a.agent_id::text",
    "line": "a.line_id::text",
    "outcome": "coalesce(a.outcome, 'in_progress')",
    "status": STATUS,
    "disposition": "coalesce(a.disposition, '')",
    "prefix": "left(a.e164, 4)",
    "department": """CASE WHEN l.country_code IS DISTINCT FROM 'FR' OR l.postal_code !~ '^[0-9]{{5}}$' THEN ''
        WHEN l.postal_code ~ '^9[78]' THEN left(l.postal_code, 3)
        WHEN l.postal_code ~ '^20[01]' THEN '2A' WHEN l.postal_code ~ '^20' THEN '2B'
        ELSE left(l.postal_code, 2) END""",
}
DIMENSIONS: Final = frozenset(_KEYS)

_SUMS = """
SELECT {key} AS key, left(a.e164, $2) AS prefix, count(*) AS calls,
    count(*) FILTER (WHERE {status} = 'answered') AS answered,
    count(*) FILTER (WHERE {status} = 'no_answer') AS no_answer,
    count(*) FILTER (WHERE {status} = 'busy') AS busy,
    count(*) FILTER (WHERE {status} = 'failed') AS failed,
    count(*) FILTER (WHERE {status} = 'in_progress') AS in_progress,
    coalesce(sum(a.talk_s), 0) AS talk_s, count(*) FILTER (WHERE a.talk_s > 0) AS talked, {billed} AS billed_s
FROM attempts a {join}
WHERE {where}
GROUP BY 1, 2 ORDER BY 1, 2"""
_UP = "extract(epoch FROM a.ended_at - a.answered_at)"


class Figures:
    """Part of PostgresStore: calls in sums and in rows."""

    _database: Database

    async def call_sums(
        self,
        group_id: int | None,
        filters: Mapping[str, Any],
        by: str,
        zone: str,
        digits: int,
        increments: Sequence[int],
    ) -> list[dict[str, Any]]:
        arguments: list[Any] = [group_id, digits]
        where = ["($1::bigint IS NULL OR a.group_id = $1)", "a.outcome IS DISTINCT FROM 'not_placed'"]
        where += conditions(check_filters(filters, ATTEMPT_FILTERS), ATTEMPT_CONDITIONS, arguments)
        key = _KEYS[by]
        if "{zone}" in key:
            arguments.append(zone)
            key = key.format(zone=f"${len(arguments)}::text")
        else:
            key = key.format()
        steps = [f"coalesce(sum(ceil({_UP} / {int(step)}) * {int(step)}), 0)::bigint" for step in increments]
        sql = _SUMS.format(
            key=key,
            status=STATUS,
            billed=f"ARRAY[{', '.join(steps)}]::bigint[]",
            join="LEFT JOIN leads l ON l.id = a.lead_id AND a.lead_id <> 0" if by == "department" else "",
            where=" AND ".join(where),
        )
        async with self._database.reading() as connection:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]

    async def stream_attempts(self, group_id: int | None, filters: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        arguments: list[Any] = [group_id]
        where = ["($1::bigint IS NULL OR a.group_id = $1)"]
        where += conditions(check_filters(filters, ATTEMPT_FILTERS), ATTEMPT_CONDITIONS, arguments)
        columns = ", ".join(f"a.{name}" for name in ATTEMPT_ROW)
        sql = f"SELECT {columns} FROM attempts a WHERE {' AND '.join(where)} ORDER BY a.number DESC"
        async with self._database.downloading() as connection:
            async for row in connection.cursor(sql, *arguments, prefetch=1000):
                yield dict(row)
