"""A person's rights on PostgreSQL (features RGPD-01): all we hold of a number, its erasure, and its return.

Erased means: names, notes, own fields and the number are gone; attempts, refusals and the red list stay under a
pseudonym, because the law's limits and a "never again" must outlive the erasure. When the number is handed in again,
`take_back` puts it in the place of its pseudonym, before the row that brings it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from daemon.clock import Clock
from daemon.errors import SettingsError, StoreConflict
from daemon.ports import Pseudonyms
from daemon.store.database import Database
from daemon.store.pseudonyms import KEY_FILE
from daemon.store.tables import ATTEMPT_ROW, LEAD_ROW

_CLIENTS = "client_id IN (SELECT id FROM clients WHERE group_id = $1)"

_HELD: dict[str, str] = {
    "leads": f"SELECT {', '.join(LEAD_ROW)} FROM leads WHERE e164 = $2 AND group_id = $1 ORDER BY id",
    "attempts": f"SELECT {', '.join(ATTEMPT_ROW)} FROM attempts WHERE e164 = $2 AND group_id = $1 ORDER BY number",
    "refused_calls": "SELECT r.at, r.campaign_id, r.client_id, r.lead_id, r.rule, r.clause, r.rule_set, r.until"
    " FROM refusals r JOIN leads l ON l.id = r.lead_id WHERE l.e164 = $2 AND l.group_id = $1 ORDER BY r.at",
    "callbacks": "SELECT k.lead_id, k.campaign_id, k.client_id, k.agent_id, k.due_at, k.created_at, k.done_at, k.notes"
    " FROM callbacks k JOIN leads l ON l.id = k.lead_id WHERE l.e164 = $2 AND l.group_id = $1 ORDER BY k.created_at",
    "red_list": f"SELECT client_id, at, by, source FROM dnc WHERE e164 = $2 AND {_CLIENTS} ORDER BY client_id",
    "consents": "SELECT client_id, at, until, revoked_at, source, text_version, proof, ip, out_of_hours, automated"
    f" FROM consents WHERE e164 = $2 AND {_CLIENTS} ORDER BY client_id, id",
    "recordings": "SELECT r.attempt_id, r.started_at, r.duration_s, r.purged_at FROM recordings r"
    " JOIN attempts a ON a.id = r.attempt_id WHERE a.e164 = $2 AND a.group_id = $1 ORDER BY r.started_at",
    "click_to_call": "SELECT created_at, number_called, success FROM api_call_logs WHERE group_id = $1"
    " AND number_called <> '' AND regexp_replace(number_called, '[^0-9+]', '', 'g') = ANY($2) ORDER BY created_at",
}

_HISTORY = {name: _HELD[name].replace("e164 = $2", "e164 = ANY($2)") for name in ("attempts", "consents", "red_list")}

# $1 group, $2 number, $3 pseudonym, $4 now; each names all four, so that all can be called alike
_ERASE: dict[str, str] = {
    "drafts": "DELETE FROM desk_drafts d USING attempts a WHERE a.id = d.attempt_id AND a.e164 = $2 AND a.group_id = $1"
    " AND ($3::text IS NOT NULL) AND ($4::timestamptz IS NOT NULL)",
    "recordings": "UPDATE recordings r SET purged_at = coalesce(purged_at, $4::timestamptz),"
    " state = CASE state WHEN 'kept' THEN 'waiting' ELSE state END FROM attempts a"
    " WHERE a.id = r.attempt_id AND a.e164 = $2 AND a.group_id = $1 AND ($3::text IS NOT NULL)",
    "callbacks": "UPDATE callbacks k SET notes = '', done_at = coalesce(done_at, $4::timestamptz) FROM leads l"
    " WHERE l.id = k.lead_id AND l.e164 = $2 AND l.group_id = $1 AND ($3::text IS NOT NULL)",
    "attempts": "UPDATE attempts SET e164 = $3, notes = '' WHERE e164 = $2 AND group_id = $1"
    " AND ($4::timestamptz IS NOT NULL)",
    "leads": "UPDATE leads SET e164 = $3, first_name = '', last_name = '', company = '', email = '', alt_phone = '',"
    " address1 = '', address2 = '', address3 = '', city = '', postal_code = '', state = '', comments = '',"
    " vendor_lead_code = '', consent_source = '', consent_text_version = '', fields = '{}', callback_at = NULL,"
    " callback_agent_id = 0, eligible_at = NULL, blocked_by = 'erased'"
    " WHERE e164 = $2 AND group_id = $1 AND ($4::timestamptz IS NOT NULL)",
    "red_list": "WITH gone AS (DELETE FROM dnc WHERE e164 = $2 AND " + _CLIENTS + " RETURNING client_id, at)"
    " INSERT INTO dnc (client_id, e164, at, by, source) SELECT client_id, $3, at, '', 'erased' FROM gone"
    " WHERE $4::timestamptz IS NOT NULL ON CONFLICT DO NOTHING",
    "consents": "UPDATE consents SET e164 = $3, proof = '', ip = '', source = '' WHERE e164 = $2 AND " + _CLIENTS
    + " AND $4::timestamptz IS NOT NULL",
}  # fmt: skip

_BACK = (
    "UPDATE attempts SET e164 = $2 WHERE e164 = $3 AND group_id = $1",
    f"INSERT INTO dnc (client_id, e164, at, by, source) SELECT client_id, $2, at, by, source FROM dnc WHERE e164 = $3"
    f" AND {_CLIENTS} ON CONFLICT DO NOTHING",
    f"DELETE FROM dnc WHERE e164 = $3 AND $2::text IS NOT NULL AND {_CLIENTS}",
    f"UPDATE consents SET e164 = $2 WHERE e164 = $3 AND {_CLIENTS}",
)


def written(e164: str) -> list[str]:
    """How people write the number, spaces and dots apart."""
    forms = [e164, e164[1:], f"00{e164[1:]}"]
    return [*forms, f"0{e164[3:]}"] if e164.startswith("+33") else forms


async def take_back(
    connection: asyncpg.Connection, pseudonyms: Pseudonyms | None, group_id: int, e164s: Sequence[str]
) -> int:
    """Numbers about to be written: those that were erased get their attempts, red list and consents back. How many."""
    if pseudonyms is None or not e164s:
        return 0
    by_pseudonym = {pseudonyms.of(e164): e164 for e164 in dict.fromkeys(e164s)}
    rows = await connection.fetch(
        "DELETE FROM erased_numbers WHERE group_id = $1 AND pseudonym = ANY($2) RETURNING pseudonym",
        group_id,
        list(by_pseudonym),
    )
    for row in rows:
        for statement in _BACK:
            await connection.execute(statement, group_id, by_pseudonym[row["pseudonym"]], row["pseudonym"])
    return len(rows)


class Privacy:
    """Part of PostgresStore: a person's rights."""

    _database: Database
    _clock: Clock
    _pseudonyms: Pseudonyms | None = None

    async def use_pseudonyms(self, pseudonyms: Pseudonyms) -> None:
        async with self._database.transaction() as connection:
            known = await connection.fetchval("SELECT fingerprint FROM pseudonym_key FOR UPDATE")
            if known not in (None, pseudonyms.fingerprint):
                if await connection.fetchval("SELECT EXISTS (SELECT FROM erased_numbers)"):
                    reason = "is not the key that numbers in this database were erased with: bring that file back"
                    raise SettingsError("daemon.data_dir", KEY_FILE, reason)
                await connection.execute("DELETE FROM pseudonym_key")
            await connection.execute(
                "INSERT INTO pseudonym_key VALUES ($1) ON CONFLICT DO NOTHING", pseudonyms.fingerprint
            )
        self._pseudonyms = pseudonyms

    async def person(self, group_id: int, e164: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        async with self._database.transaction() as connection:
            for name, sql in _HELD.items():
                named = written(e164) if "ANY($2)" in sql else e164
                found[name] = [dict(row) for row in await connection.fetch(sql, group_id, named)]
            found["erased"] = None
            if self._pseudonyms is not None:
                pseudonym = self._pseudonyms.of(e164)
                at = await connection.fetchval(
                    "SELECT at FROM erased_numbers WHERE group_id = $1 AND pseudonym = $2", group_id, pseudonym
                )
                if at is not None:
                    kept = await connection.fetchval(
                        "SELECT count(*) FROM attempts WHERE e164 = $2 AND group_id = $1", group_id, pseudonym
                    )
                    listed = await connection.fetch(_HELD["red_list"], group_id, pseudonym)
                    found["erased"] = {"at": at, "attempts": kept, "red_lists": len(listed)}
        return found

    async def number_history(self, group_id: int, e164: str) -> dict[str, list[dict[str, Any]]]:
        names = [e164, self._pseudonyms.of(e164)] if self._pseudonyms is not None else [e164]
        async with self._database.transaction() as connection:
            return {
                name: [dict(row) for row in await connection.fetch(_HISTORY[name], group_id, names)]
                for name in _HISTORY
            }

    async def on_red_list(self, client_id: int, e164: str) -> bool:
        names = [e164, self._pseudonyms.of(e164)] if self._pseudonyms is not None else [e164]
        async with self._database.connection() as connection:
            found = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM dnc WHERE client_id = $1 AND e164 = ANY($2))", client_id, names
            )
        return bool(found)

    async def erase_person(self, group_id: int, e164: str) -> dict[str, Any]:
        if self._pseudonyms is None:
            raise StoreConflict("no key for erased numbers", "pseudonym_key")
        pseudonym, now = self._pseudonyms.of(e164), self._clock.utcnow()
        counts: dict[str, Any] = {}
        async with self._database.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = '60s'")
            open_ones = await connection.fetchval(
                "SELECT count(*) FROM attempts WHERE e164 = $2 AND group_id = $1 AND outcome IS NULL", group_id, e164
            )
            if open_ones:
                raise StoreConflict("a call to this number is in progress", "open")
            files = await connection.fetch(
                "SELECT r.path FROM recordings r JOIN attempts a ON a.id = r.attempt_id"
                " WHERE a.e164 = $2 AND a.group_id = $1 AND r.path <> '' ORDER BY r.id",
                group_id,
                e164,
            )
            for name, sql in _ERASE.items():
                done = await connection.execute(sql, group_id, e164, pseudonym, now, timeout=60)
                counts[name] = int(done.rpartition(" ")[2])
            forms = written(e164)
            for name, sql in _ELSEWHERE.items():
                done = await connection.execute(sql, group_id, forms, timeout=60)
                counts[name] = int(done.rpartition(" ")[2])
            await connection.execute(
                "INSERT INTO erased_numbers (group_id, pseudonym, at) VALUES ($1, $2, $3)"
                " ON CONFLICT (group_id, pseudonym) DO UPDATE SET at = EXCLUDED.at",
                group_id,
                pseudonym,
                now,
            )
        return {"counts": counts, "files": [row["path"] for row in files], "pseudonym": pseudonym}

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO audit_log (site, fence, n, at, by, what, target, detail)"
                " VALUES ('', 0, 0, $1, $2, $3, $4, $5)",
                self._clock.utcnow(),
                by,
                what,
                target,
                detail,
            )


# Indexes: leads_by_alt_digits, api_call_logs_of_number, whose expressions these repeat.
_ELSEWHERE = {
    "alt_phones": "UPDATE leads SET alt_phone = '' WHERE group_id = $1 AND alt_phone <> ''"
    " AND regexp_replace(alt_phone, '[^0-9+]', '', 'g') = ANY($2)",
    "click_to_call": "UPDATE api_call_logs SET number_called = '' WHERE group_id = $1 AND number_called <> ''"
    " AND regexp_replace(number_called, '[^0-9+]', '', 'g') = ANY($2)",
    "zadarma_calls": "DELETE FROM zadarma_calls WHERE group_id = $1 AND e164 = ANY($2)",
}


async def erased_of(connection: asyncpg.Connection, group_id: int) -> frozenset[str]:
    """The pseudonyms of a group: what an import compares its rows with, if there are any at all."""
    rows = await connection.fetch("SELECT pseudonym FROM erased_numbers WHERE group_id = $1", group_id)
    return frozenset(row["pseudonym"] for row in rows)
