"""Leads in bulk: rows of a file go by COPY into a table of their own, and become leads in one last transaction.

Implements `daemon.ports.LeadSink` on PostgreSQL. The staging table is unlogged and named after the import, so that a
daemon's death leaves at worst a table that the next start drops; no half of a file is ever a lead. What leads of the
base take from the file is promised by that transaction, and written after it (`daemon.store.merging`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from itertools import count
from operator import attrgetter

import asyncpg

from daemon.calls.lead_records import LeadDraft
from daemon.clock import Clock
from daemon.errors import StoreConflict, StoreError
from daemon.ports import ConsentRules, ImportCounts, ImportTarget, Pseudonyms, StagedLead
from daemon.store import merging as merges
from daemon.store.database import Database
from daemon.store.entry import campaigns_of, entry_of, lacking
from daemon.store.privacy import erased_of, take_back
from daemon.store.pseudonyms import MARK
from daemon.store.tables import HOT_PRIORITY, LEAD_COLUMNS, TURN_HOT, TURN_NORMAL

PREFIX = "lead_staging_"
_EMPTY = LeadDraft(e164="")
_numbers = count(1)
_values = attrgetter(*LEAD_COLUMNS)

_TABLE = """
CREATE UNLOGGED TABLE {table} (
    row bigint NOT NULL, root bigint NOT NULL, email_key text NOT NULL, name_key text NOT NULL, lead_id bigint,
    {columns})"""

# Folded as `StagedLead.name_key` is: decomposed, combining marks away, lower case.
_FOLDED = "lower(regexp_replace(normalize({}, NFD), '[\\u0300-\\u036f]', '', 'g'))"

_SAME = {
    "phone": "SELECT s.row, min(l.id) AS lead_id FROM {t} s JOIN leads l ON l.e164 = s.e164 AND {scope}"
    " WHERE s.row = s.root GROUP BY s.row",
    "email": "SELECT s.row, min(l.id) AS lead_id FROM {t} s JOIN leads l ON lower(l.email) = s.email_key AND {scope}"
    " WHERE s.row = s.root AND s.email_key <> '' AND l.email <> '' GROUP BY s.row",
    "name": "SELECT s.row, min(l.id) AS lead_id FROM {t} s JOIN leads l"
    f" ON {_FOLDED.format('l.last_name')} || ' ' || {_FOLDED.format('l.first_name')} = s.name_key AND {{scope}}"
    " WHERE s.row = s.root AND s.name_key <> '' AND l.last_name <> '' AND l.first_name <> '' GROUP BY s.row",
}

_TYPES = {
    "priority": "integer",
    "consent_at": "timestamptz",
    "consent_out_of_hours": "boolean",
    "consent_automated": "boolean",
    "running_contract": "boolean",
    "fields": "jsonb",
}


def _filled(name: str, row: str) -> str:
    """Whether a staged value says something: differs from the draft's default."""
    match _TYPES.get(name, "text"):
        case "text":
            default = str(getattr(_EMPTY, name)).replace("'", "''")
            return f"{row}.{name} <> '{default}'"
        case "integer":
            return f"{row}.{name} <> {getattr(_EMPTY, name)}"
        case "boolean":
            return f"{row}.{name}"
        case _:
            return f"{row}.{name} IS NOT NULL"


def _merged(name: str, old: str, new: str) -> str:
    if name == "fields":
        return f"{old}.fields || {new}.fields"
    return f"CASE WHEN {_filled(name, new)} THEN {new}.{name} ELSE {old}.{name} END"


def update_sql(merging: str, policy: str) -> str:
    """The leads $1 take the values that the table has for them; what the dialler knows of them stays."""
    chosen = ", ".join(f"{name} = {_value(name, policy)}" for name in LEAD_COLUMNS if name != "vendor_lead_code")
    chosen += "".join(
        f", {name} = CASE WHEN strpos(l.blocked_by, 'consent') > 0 AND (s.consent_at IS NOT NULL"
        f" OR s.running_contract) THEN {freed} ELSE l.{name} END"
        for name, freed in (("eligible_at", "NULL"), ("blocked_by", "''"))
    )
    return f"UPDATE leads l SET {chosen} FROM {merging} s WHERE l.id = ANY($1) AND s.lead_id = l.id"


def _value(name: str, policy: str) -> str:
    if name.startswith("consent_"):  # a consent is replaced by another one, never by its absence
        return f"CASE WHEN s.consent_at IS NOT NULL THEN s.{name} ELSE l.{name} END"
    if policy == "replace" and name != "status":
        return f"s.{name}"
    return _merged(name, "l", "s")


class PostgresStaging:
    """One import under way (daemon.ports.LeadStaging)."""

    def __init__(
        self,
        database: Database,
        target: ImportTarget,
        table: str,
        pseudonyms: Pseudonyms | None = None,
        consent_rules: ConsentRules = ConsentRules(),
    ) -> None:
        self._database, self._target, self._table = database, target, table
        self._consent_rules = consent_rules
        self._pseudonyms = pseudonyms
        self._erased: frozenset[str] = frozenset()
        self._returning: list[str] = []
        self._matched = False

    async def create(self) -> None:
        columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in LEAD_COLUMNS)
        async with self._database.connection() as connection:
            await connection.execute(_TABLE.format(table=self._table, columns=columns))
            if self._pseudonyms is not None:
                self._erased = await erased_of(connection, self._target.group_id)

    async def stage(self, rows: Sequence[StagedLead]) -> None:
        records = [
            (
                staged.row,
                staged.root,
                staged.email_key,
                staged.name_key,
                *_values(staged.draft),
            )
            for staged in rows
        ]
        if self._erased and self._pseudonyms is not None:
            of = self._pseudonyms.of
            self._returning += [r.draft.e164 for r in rows if of(r.draft.e164) in self._erased]
        async with self._database.connection() as connection:
            await connection.copy_records_to_table(
                self._table, records=records, columns=["row", "root", "email_key", "name_key", *LEAD_COLUMNS]
            )

    async def _match(self) -> None:
        """Note on each root the lead it already is."""
        if self._matched or not self._target.keys:
            return
        scope = "l.list_id = $1" if self._target.scope == "list" else "l.group_id = $1"
        wanted = self._target.list_id if self._target.scope == "list" else self._target.group_id
        same = " UNION ALL ".join(_SAME[key].format(t=self._table, scope=scope) for key in self._target.keys)
        async with self._database.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute(f"ANALYZE {self._table}")
            await connection.execute(
                f"UPDATE {self._table} s SET lead_id = m.lead_id FROM"
                f" (SELECT row, min(lead_id) AS lead_id FROM ({same}) u GROUP BY row) m WHERE s.row = m.row",
                wanted,
                timeout=3600,
            )
        self._matched = True

    async def matches(self) -> AsyncIterator[tuple[int, int]]:
        await self._match()
        async with self._database.transaction() as connection:
            sql = f"SELECT row, lead_id FROM {self._table} WHERE lead_id IS NOT NULL ORDER BY row"
            async for row in connection.cursor(sql, prefetch=5000):
                yield row["row"], row["lead_id"]

    async def finish(self, at: datetime) -> ImportCounts:
        try:
            await self._match()
            async with self._database.transaction() as connection:
                await connection.execute("SET LOCAL statement_timeout = 0")
                known = await connection.fetchval(
                    "SELECT group_id FROM lists WHERE id = $1 FOR KEY SHARE", self._target.list_id
                )
                if known is None:
                    raise StoreConflict(f"no list {self._target.list_id}", "list_id")
                await self._erased_meanwhile(connection, known)
                await take_back(connection, self._pseudonyms, known, self._returning)
                if self._target.duplicates != "skip":
                    await connection.execute(self._fold_sql(), timeout=3600)
                people = await connection.fetchval(f"SELECT count(*) FROM {self._table} WHERE row = root", timeout=3600)
                entry = entry_of(await campaigns_of(connection, self._target.list_id), self._consent_rules)
                arguments = (self._target.list_id, known, at, entry.hold, entry.contract, list(entry.clients))
                inserted = await _count(connection.execute(self._insert_sql(), *arguments, timeout=3600))
                updated, merging = 0, ""
                if self._target.duplicates != "skip":
                    merging = self._table.replace(PREFIX, f"{merges.PREFIX}{self._target.duplicates}_")
                    updated = await _count(connection.execute(self._promise_sql(merging), timeout=3600))
                    await connection.execute(f"ALTER TABLE {merging} ADD PRIMARY KEY (lead_id)", timeout=3600)
        finally:
            await self.discard()
        if merging:
            await merges.Merge(self._database, merging, update_sql).run()
        skipped = people - inserted if self._target.duplicates == "skip" else 0
        return ImportCounts(inserted=inserted, updated=updated, skipped=skipped)

    async def _erased_meanwhile(self, connection: asyncpg.Connection, group_id: int) -> None:
        """Whoever was erased since the import began comes back as anybody erased before: red list and attempts bind.
        The lead that they were when the file was compared is nobody's any more."""
        if self._pseudonyms is None or not (fresh := await erased_of(connection, group_id) - self._erased):
            return
        of = self._pseudonyms.of
        async for row in connection.cursor(f"SELECT DISTINCT e164 FROM {self._table}", prefetch=5000):
            if of(row["e164"]) in fresh:
                self._returning.append(row["e164"])
        await connection.execute(
            f"UPDATE {self._table} s SET lead_id = NULL FROM leads l"
            f" WHERE l.id = s.lead_id AND starts_with(l.e164, '{MARK}')",
            timeout=3600,
        )

    def _fold_sql(self) -> str:
        """Rows of the file that are one person become one row: the root, with the later rows' values in it."""
        if self._target.duplicates == "replace":
            chosen = ", ".join(f"{name} = n.{name}" for name in LEAD_COLUMNS)
            later = f"SELECT DISTINCT ON (root) * FROM {self._table} WHERE row <> root ORDER BY root, row DESC"
            return f"UPDATE {self._table} s SET {chosen} FROM ({later}) n WHERE s.row = n.root"
        parts = []
        for name in LEAD_COLUMNS:
            if name == "fields":
                continue
            last = f"(array_agg({name} ORDER BY row DESC) FILTER (WHERE {_filled(name, 't')}))[1]"
            parts.append(f"{last} AS {name}")
        chosen = ", ".join(f"{name} = coalesce(n.{name}, s.{name})" for name in LEAD_COLUMNS if name != "fields")
        folded = f"SELECT root, {', '.join(parts)} FROM {self._table} t WHERE row <> root GROUP BY root"
        fields = (
            f"SELECT jsonb_object_agg(e.key, e.value ORDER BY t.row) FROM {self._table} t, jsonb_each(t.fields) e"
            " WHERE t.root = s.row"
        )
        return (
            f"UPDATE {self._table} s SET {chosen}, fields = coalesce(({fields}), '{{}}')"
            f" FROM ({folded}) n WHERE s.row = n.root"
        )

    def _promise_sql(self, merging: str) -> str:
        """A table of what leads of the base will take. Where two people of the file are one lead, the later counts."""
        names = ", ".join(LEAD_COLUMNS)
        return (
            f"CREATE TABLE {merging} AS SELECT DISTINCT ON (lead_id) lead_id, {names} FROM {self._table}"
            " WHERE row = root AND lead_id IS NOT NULL ORDER BY lead_id, row DESC"
        )

    def _insert_sql(self) -> str:
        names = ", ".join(LEAD_COLUMNS)
        values = ", ".join(f"s.{name}" for name in LEAD_COLUMNS)
        return f"""
INSERT INTO leads (list_id, group_id, created_at, turn, blocked_by, {names})
SELECT $1, $2, $3, CASE WHEN s.priority >= {HOT_PRIORITY} THEN {TURN_HOT} ELSE {TURN_NORMAL} END,
    CASE WHEN d.e164 IS NOT NULL THEN 'dnc' WHEN $4::boolean AND {lacking("s", "$5", "$6")} THEN 'consent'
        ELSE '' END, {values}
FROM {self._table} s LEFT JOIN (
    SELECT DISTINCT dnc.e164 FROM dnc JOIN campaigns c ON c.client_id = dnc.client_id WHERE $1 = ANY(c.list_ids)) d
    ON d.e164 = s.e164
WHERE s.row = s.root AND s.lead_id IS NULL
ORDER BY s.row
ON CONFLICT (list_id, vendor_lead_code) WHERE vendor_lead_code <> '' DO NOTHING"""

    async def discard(self) -> None:
        with contextlib.suppress(StoreError):  # the database is away: the next start drops it
            async with self._database.connection() as connection:
                await connection.execute(f"DROP TABLE IF EXISTS {self._table}")


async def _count(execution: Awaitable[str]) -> int:
    """How many rows a statement changed, from its command tag."""
    return int((await execution).rpartition(" ")[2])


class Importing:
    """Part of PostgresStore: daemon.ports.LeadSink."""

    _database: Database
    _clock: Clock
    _pseudonyms: Pseudonyms | None
    _consent_rules: ConsentRules

    async def open_staging(self, target: ImportTarget) -> PostgresStaging:
        async with self._database.connection() as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
        day = int(self._clock.utcnow().timestamp()) // 86_400
        staging = PostgresStaging(
            self._database, target, f"{PREFIX}{day}_{backend}_{next(_numbers)}", self._pseudonyms, self._consent_rules
        )
        await staging.create()
        return staging

    async def finish_merges(self) -> int:
        tables = await merges.left_over(self._database)
        return sum([await merges.Merge(self._database, table, update_sql).run() for table in tables])

    async def drop_old_staging(self) -> None:
        """See `drop_left_over`."""
        async with self._database.connection() as connection:
            await drop_left_over(connection, self._clock.utcnow())


async def drop_left_over(connection: asyncpg.Connection, now: datetime) -> None:
    """What dead daemons, and imports that lost the database, have left: staging tables from before yesterday. They hold
    names and numbers, so that each night looks for them."""
    today = int(now.timestamp()) // 86_400
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1)", PREFIX)
    for row in rows:
        if int(row["tablename"].split("_")[2]) < today - 1:
            await connection.execute(f"DROP TABLE IF EXISTS {row['tablename']}")
