"""Configuration rows on PostgreSQL: one generic create, find, update and delete for every Record of `tables`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from daemon.calls.records import Campaign, LeadList
from daemon.clock import Clock
from daemon.errors import StoreConflict
from daemon.store.database import Database
from daemon.store.entry import ask_review, reviewed
from daemon.store.tables import TABLES, R, check_changes, columns_of, plain, to_record


def _values(record: msgspec.Struct, columns: list[str]) -> list[Any]:
    return [plain(getattr(record, name)) for name in columns]


class ConfigRows:
    """Part of PostgresStore: configuration."""

    _database: Database
    _clock: Clock

    async def create(self, record: R) -> R:
        kind = type(record)
        columns = columns_of(kind)
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                f"INSERT INTO {TABLES[kind]} ({names}) VALUES ({marks}) RETURNING *", *_values(record, columns)
            )
            if isinstance(record, Campaign):
                await ask_review(connection, self._clock, reviewed(None, record))
        return to_record(kind, dict(row))

    async def get(self, kind: type[R], id: int) -> R | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"SELECT * FROM {TABLES[kind]} WHERE id = $1", id)
        return None if row is None else to_record(kind, dict(row))

    async def find(self, kind: type[R], **equals: Any) -> list[R]:
        known = {"id", "version", *columns_of(kind)}
        if unknown := sorted(set(equals) - known):
            raise StoreConflict(f"{kind.__name__} has no {unknown[0]}", unknown[0])
        where = " AND ".join(f'"{name}" = ${place}' for place, name in enumerate(equals, start=1)) or "true"
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"SELECT * FROM {TABLES[kind]} WHERE {where} ORDER BY id", *(plain(value) for value in equals.values())
            )
        return [to_record(kind, dict(row)) for row in rows]

    async def update(self, kind: type[R], id: int, changes: Mapping[str, Any], if_version: int | None) -> R:
        async with self._database.transaction() as connection:
            current = await self._locked(connection, kind, id, if_version)
            try:
                changed = check_changes(kind, current, changes)
            except msgspec.ValidationError as error:
                raise StoreConflict(str(error)) from error
            columns = [name for name in columns_of(kind) if name in changes]
            parts = [f'"{name}" = ${place}' for place, name in enumerate(columns, start=2)]
            row = await connection.fetchrow(
                f"UPDATE {TABLES[kind]} SET {', '.join([*parts, 'version = version + 1'])} WHERE id = $1 RETURNING *",
                id,
                *_values(changed, columns),
            )
            if isinstance(current, Campaign) and isinstance(changed, Campaign):
                await ask_review(connection, self._clock, reviewed(current, changed))
        return to_record(kind, dict(row))

    async def delete(self, kind: type[R], id: int, if_version: int | None) -> None:
        async with self._database.transaction() as connection:
            await self._locked(connection, kind, id, if_version)
            if kind is LeadList and await connection.fetchval(
                "SELECT EXISTS (SELECT FROM leads WHERE list_id = $1)", id
            ):
                raise StoreConflict(f"list {id} has leads", "leads")
            await connection.execute(f"DELETE FROM {TABLES[kind]} WHERE id = $1", id)

    async def _locked(self, connection: asyncpg.Connection, kind: type[R], id: int, if_version: int | None) -> R:
        row = await connection.fetchrow(f"SELECT * FROM {TABLES[kind]} WHERE id = $1 FOR UPDATE", id)
        if row is None:
            raise StoreConflict(f"no {kind.__name__} {id}", "id")
        if if_version is not None and row["version"] != if_version:
            raise StoreConflict(f"{kind.__name__} {id} is at version {row['version']}, not {if_version}", "version")
        return to_record(kind, dict(row))
