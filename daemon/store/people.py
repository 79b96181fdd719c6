"""Leads and history on PostgreSQL: inserts, searches by keyset, red list, consents, one attempt with its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from daemon.calls.lead_records import LeadDraft
from daemon.clock import Clock
from daemon.errors import StoreConflict
from daemon.ports import Page, Pseudonyms
from daemon.store.database import Database
from daemon.store.entry import Entering, lacking
from daemon.store.privacy import take_back, written
from daemon.store.tables import (
    ATTEMPT_FILTERS,
    ATTEMPT_ROW,
    EVENT_ROW,
    LEAD_COLUMNS,
    LEAD_EDITABLE,
    LEAD_FILTERS,
    LEAD_ROW,
    check_filters,
    first_turn,
)

_SQL_TYPES = {
    "priority": "integer",
    "consent_at": "timestamptz",
    "consent_out_of_hours": "boolean",
    "consent_automated": "boolean",
    "running_contract": "boolean",
    "fields": "jsonb",
}


def _add_sql() -> str:
    """All drafts in one statement, in their order; one whose vendor code is in the list already is passed over."""
    names = ", ".join(LEAD_COLUMNS)
    arrays = ", ".join(f"${5 + i}::{_SQL_TYPES.get(name, 'text')}[]" for i, name in enumerate(LEAD_COLUMNS))
    values = ", ".join(f"t.{name}" for name in LEAD_COLUMNS)
    first = 5 + len(LEAD_COLUMNS)
    return f"""
INSERT INTO leads (list_id, group_id, created_at, turn, blocked_by, {names})
SELECT $1, $2, $3, t.turn, CASE WHEN EXISTS (
        SELECT FROM campaigns c JOIN dnc d ON d.client_id = c.client_id
        WHERE d.e164 = t.e164 AND $1 = ANY(c.list_ids)) THEN 'dnc'
    WHEN ${first}::boolean AND {lacking("t", f"${first + 1}", f"${first + 2}")} THEN 'consent' ELSE '' END, {values}
FROM unnest($4::smallint[], {arrays}) WITH ORDINALITY AS t(turn, {names}, place)
ORDER BY t.place
ON CONFLICT (list_id, vendor_lead_code) WHERE vendor_lead_code <> '' DO NOTHING
RETURNING id, vendor_lead_code"""


_ADD = _add_sql()

_MOVED = """
UPDATE callbacks SET agent_id = $2, due_at = coalesce($3::timestamptz, due_at)
WHERE lead_id = $1 AND done_at IS NULL"""

_TOUCHED = """
SELECT id FROM leads WHERE e164 = $2
    AND list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE client_id = $1) ORDER BY id"""

_LEAD_FILTERS = {
    "list_id": "l.list_id = {}::bigint",
    "campaign_id": "l.list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE id = {}::bigint)",
    "q": "concat_ws(' ', l.first_name, l.last_name, l.company) ILIKE {}",
    "phone": "(l.e164 = ({0}::text[])[1] OR (l.alt_phone <> ''"
    " AND regexp_replace(l.alt_phone, '[^0-9+]', '', 'g') = ANY({0}::text[])))",
    "email": "lower(l.email) = lower({})",
    "status": "l.status = {}",
    "outcome": "l.last_outcome = {}",
    "blocked_by": "l.blocked_by = {}",
    "agent_id": "l.last_agent_id = {}::bigint",
    "vendor_lead_code": "l.vendor_lead_code = {}",
    "last_attempt_from": "l.last_attempt_at >= {}::timestamptz",
    "last_attempt_to": "l.last_attempt_at < {}::timestamptz",
}
STATUS = """CASE WHEN a.outcome IS NULL THEN 'in_progress' WHEN a.answered_at IS NOT NULL THEN 'answered'
    WHEN a.outcome IN ('no_answer', 'cancelled') THEN 'no_answer' WHEN a.outcome = 'busy' THEN 'busy'
    ELSE 'failed' END"""
"""What became of a call in one word, as the call statistics filter by it (TELC-06)."""

ATTEMPT_CONDITIONS = {
    "from": "a.at >= {}::timestamptz",
    "to": "a.at < {}::timestamptz",
    "direction": "CASE a.kind WHEN 'inbound' THEN 'in' WHEN 'internal' THEN 'internal' ELSE 'out' END = {}::text",
    "numbers": "a.e164 = ANY({}::text[])",
    "status": STATUS + " = {}::text",
    "kind": "a.kind = {}",
    "campaign_id": "a.campaign_id = {}::bigint",
    "agent_id": "a.agent_id = {}::bigint",
    "line_id": "a.line_id = {}::bigint",
    "lead_id": "a.lead_id = {}::bigint",
    "number": "a.e164 = {}",
    "caller_id": "a.caller_id = {}",
    "site": "a.site = {}",
    "duration_min": "a.talk_s >= {}::double precision",
    "duration_max": "a.talk_s <= {}::double precision",
    "outcome": "a.outcome = ANY({}::text[])",
    "disposition": "a.disposition = {}",
    "open": "(a.outcome IS NULL) = {}::boolean",
}


def conditions(filters: Mapping[str, Any], known: Mapping[str, str], arguments: list[Any]) -> list[str]:
    """SQL conditions of `filters`; their values are appended to `arguments`."""
    parts = []
    for name, value in filters.items():
        if name == "q":
            escaped = str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            value = f"%{escaped}%"
        elif name == "outcome" and "text[]" in known[name]:
            value = [str(each) for each in ([value] if isinstance(value, str) else value)]
        elif name == "phone":
            value = written(value)  # a second number stands as it was sent; index leads_by_alt_digits
        arguments.append(value)
        parts.append(known[name].format(f"${len(arguments)}"))
    return parts


class People(Entering):
    """Part of PostgresStore: leads and history."""

    _database: Database
    _clock: Clock
    _pseudonyms: Pseudonyms | None

    async def add_leads(self, list_id: int, drafts: Sequence[LeadDraft]) -> list[int]:
        if not drafts:
            return []
        columns = [[getattr(draft, name) for draft in drafts] for name in LEAD_COLUMNS]
        turns = [first_turn(draft.priority) for draft in drafts]
        async with self._database.transaction() as connection:
            group_id = await connection.fetchval("SELECT group_id FROM lists WHERE id = $1 FOR KEY SHARE", list_id)
            if group_id is None:
                raise StoreConflict(f"no list {list_id}", "list_id")
            await take_back(connection, self._pseudonyms, group_id, [draft.e164 for draft in drafts])
            entry = await self.entry(connection, list_id)
            holding = (entry.hold, entry.contract, list(entry.clients))
            rows = await connection.fetch(_ADD, list_id, group_id, self._clock.utcnow(), turns, *columns, *holding)
            if len(rows) == len(drafts):
                return [row["id"] for row in rows]
            known = await connection.fetch(
                "SELECT id, vendor_lead_code FROM leads WHERE list_id = $1 AND vendor_lead_code = ANY($2::text[])",
                list_id,
                [draft.vendor_lead_code for draft in drafts if draft.vendor_lead_code],
            )
        by_code = {row["vendor_lead_code"]: row["id"] for row in known}
        without_code = iter([row["id"] for row in rows if not row["vendor_lead_code"]])
        return [by_code[d.vendor_lead_code] if d.vendor_lead_code else next(without_code) for d in drafts]

    async def update_lead(self, lead_id: int, changes: Mapping[str, Any]) -> bool:
        if unknown := sorted(set(changes) - LEAD_EDITABLE):
            raise StoreConflict(f"a lead's {unknown[0]} can't be changed", unknown[0])
        arguments: list[Any] = [lead_id, *changes.values()]
        parts = ["list_id = list_id", *(f"{name} = ${place}" for place, name in enumerate(changes, start=2))]
        if "callback_at" in changes:
            parts.append(
                "turn = 0" if changes["callback_at"] is not None else "turn = CASE turn WHEN 0 THEN 3 ELSE turn END"
            )
        elif "priority" in changes:
            turn = first_turn(changes["priority"])
            parts.append(f"turn = CASE WHEN attempts = 0 AND turn <> 0 THEN {turn} ELSE turn END")
        if changes.get("consent_at") is not None or changes.get("running_contract"):
            parts += [
                f"{name} = CASE WHEN strpos(blocked_by, 'consent') > 0 THEN {freed} ELSE {name} END"
                for name, freed in (("eligible_at", "NULL"), ("blocked_by", "''"))
                if name not in changes
            ]
        if "list_id" in changes:
            parts[0] = ""
        async with self._database.transaction() as connection:
            sql = f"UPDATE leads SET {', '.join(filter(None, parts))} WHERE id = $1 RETURNING id"
            found = await connection.fetchval(sql, *arguments)
            if found is not None and "callback_agent_id" in changes:
                await connection.execute(_MOVED, lead_id, changes["callback_agent_id"], changes.get("callback_at"))
        return found is not None

    async def search_leads(self, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None) -> Page:
        arguments: list[Any] = [group_id, int(after) if after else 1 << 62, limit + 1]
        where = ["l.group_id = $1", "l.id < $2"]
        where += conditions(check_filters(filters, LEAD_FILTERS), _LEAD_FILTERS, arguments)
        columns = ", ".join(f"l.{name}" for name in LEAD_ROW)
        sql = f"SELECT {columns} FROM leads l WHERE {' AND '.join(where)} ORDER BY l.id DESC LIMIT $3"
        return await self._page(sql, arguments, limit, "id", long="q" in filters)

    async def search_attempts(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        arguments: list[Any] = [group_id, int(after) if after else 1 << 62, limit + 1]
        where = ["($1::bigint IS NULL OR a.group_id = $1)", "a.number < $2"]
        where += conditions(check_filters(filters, ATTEMPT_FILTERS), ATTEMPT_CONDITIONS, arguments)
        columns = ", ".join(f"a.{name}" for name in ATTEMPT_ROW)
        sql = f"SELECT {columns} FROM attempts a WHERE {' AND '.join(where)} ORDER BY a.number DESC LIMIT $3"
        return await self._page(sql, arguments, limit, "number", long=True)

    async def _page(self, sql: str, arguments: Sequence[Any], limit: int, key: str, *, long: bool) -> Page:
        async with self._database.reading() if long else self._database.connection() as connection:
            rows = [dict(row) for row in await connection.fetch(sql, *arguments)]
        more = len(rows) > limit
        return Page(rows=rows[:limit], next_after=str(rows[limit - 1][key]) if more else None)

    async def lead_history(self, lead_id: int) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            attempts = await connection.fetch(
                f"SELECT {', '.join(ATTEMPT_ROW)} FROM attempts WHERE lead_id = $1 AND lead_id <> 0", lead_id
            )
            refusals = await connection.fetch(
                "SELECT at, campaign_id, rule, clause, rule_set, until FROM refusals WHERE lead_id = $1", lead_id
            )
            callbacks = await connection.fetch(
                "SELECT attempt_id, created_at, due_at, agent_id, done_at FROM callbacks WHERE lead_id = $1", lead_id
            )
        entries = [{"type": "attempt", **dict(row)} for row in attempts]
        entries += [{"type": "refusal", **dict(row)} for row in refusals]
        entries += [{"type": "callback", "at": row["created_at"], **dict(row)} for row in callbacks]
        return sorted(entries, key=lambda entry: (entry["at"], entry["type"]))

    async def attempt(self, key: UUID | int) -> dict[str, Any] | None:
        column = "id" if isinstance(key, UUID) else "number"
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"SELECT {', '.join(ATTEMPT_ROW)} FROM attempts WHERE {column} = $1", key)
            if row is None:
                return None
            events = await connection.fetch(
                f"SELECT {', '.join(EVENT_ROW)} FROM call_event WHERE attempt_id = $1 ORDER BY fence, n", row["id"]
            )
        return dict(row) | {"events": [dict(event) for event in events]}

    async def set_dnc(self, client_id: int, e164: str, on: bool, by: str, source: str) -> list[int]:
        async with self._database.transaction() as connection:
            if on:
                await connection.execute(
                    "INSERT INTO dnc (client_id, e164, at, by, source) VALUES ($1, $2, $3, $4, $5)"
                    " ON CONFLICT DO NOTHING",
                    client_id,
                    e164,
                    self._clock.utcnow(),
                    by,
                    source,
                )
                change = "SET blocked_by = 'dnc', eligible_at = NULL WHERE (blocked_by = '' OR eligible_at IS NOT NULL)"
            else:
                names = [e164, self._pseudonyms.of(e164)] if self._pseudonyms is not None else [e164]
                await connection.execute("DELETE FROM dnc WHERE client_id = $1 AND e164 = ANY($2)", client_id, names)
                change = "SET blocked_by = '' WHERE blocked_by = 'dnc'"
            ids = [row["id"] for row in await connection.fetch(_TOUCHED, client_id, e164)]
            await connection.execute(f"UPDATE leads {change} AND id = ANY($1)", ids)
        return ids

    async def add_dnc(self, client_id: int, e164s: Sequence[str], by: str, source: str) -> tuple[int, int]:
        numbers = sorted(e164s)  # in one order, so that two imports never wait for each other in a circle
        async with self._database.transaction() as connection:
            added = await connection.execute(
                "INSERT INTO dnc (client_id, e164, at, by, source) SELECT $1, unnest($2::text[]), $3, $4, $5"
                " ON CONFLICT DO NOTHING",
                client_id,
                numbers,
                self._clock.utcnow(),
                by,
                source,
            )
            held = await connection.execute(
                "UPDATE leads SET blocked_by = 'dnc', eligible_at = NULL WHERE e164 = ANY($2::text[])"
                " AND list_id IN (SELECT unnest(list_ids) FROM campaigns WHERE client_id = $1)"
                " AND (blocked_by = '' OR eligible_at IS NOT NULL)",
                client_id,
                numbers,
            )
        return int(added.split()[-1]), int(held.split()[-1])

    async def add_consent(self, client_id: int, e164: str, consent: Mapping[str, Any]) -> list[int]:
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO consents (client_id, e164, at, until, source, text_version, proof, ip, out_of_hours,"
                " automated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                client_id,
                e164,
                consent["at"],
                consent.get("until"),
                consent.get("source", ""),
                consent.get("text_version", ""),
                consent.get("proof", ""),
                consent.get("ip", ""),
                consent.get("out_of_hours", False),
                consent.get("automated", False),
            )
            ids = [row["id"] for row in await connection.fetch(_TOUCHED, client_id, e164)]
            await connection.execute(
                "UPDATE leads SET blocked_by = '', eligible_at = NULL"
                " WHERE id = ANY($1) AND strpos(blocked_by, 'consent') > 0",
                ids,
            )
        return ids

    async def revoke_consent(self, client_id: int, e164: str, at: datetime) -> list[int]:
        async with self._database.transaction() as connection:
            done: str = await connection.execute(
                "UPDATE consents SET revoked_at = $3 WHERE client_id = $1 AND e164 = $2 AND revoked_at IS NULL",
                client_id,
                e164,
                at,
            )
            if done.endswith(" 0"):  # the consent came with the lead: the revocation stands by itself
                await connection.execute(
                    "INSERT INTO consents (client_id, e164, revoked_at) VALUES ($1, $2, $3)", client_id, e164, at
                )
            return [row["id"] for row in await connection.fetch(_TOUCHED, client_id, e164)]

    async def ledger_rows(self, campaign_id: int, since: datetime) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT campaign_id, site, hour, answered_live, abandoned, connected, false_positives FROM ledger"
                " WHERE campaign_id = $1 AND hour >= $2 ORDER BY hour, site",
                campaign_id,
                since,
            )
        return [dict(row) for row in rows]

    async def log_api_call(self, row: Mapping[str, Any]) -> None:
        await self.log_api_calls([row])

    async def log_api_calls(self, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = list(rows[0])
        marks = ", ".join(f"${i + 1}" for i in range(len(columns)))
        async with self._database.connection() as connection:
            await connection.executemany(
                f"INSERT INTO api_call_logs ({', '.join(columns)}) VALUES ({marks})",
                [[row[name] for name in columns] for row in rows],
            )
