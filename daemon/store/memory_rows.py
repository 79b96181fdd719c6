"""Configuration rows in memory: what config_rows.py says in SQL, said in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from daemon.calls.crm_records import Integration
from daemon.calls.records import Campaign, LeadList, Record, Webhook
from daemon.errors import StoreConflict
from daemon.store.entry import reviewed
from daemon.store.memory_tables import MemoryTables
from daemon.store.tables import PARENTS, TABLES, UNIQUE, R, check_changes, columns_of, plain


class MemoryRows:
    """Part of MemoryStore: rows of people's settings, by record class."""

    tables: MemoryTables
    _do: Callable[..., Any]

    def _check(self, record: Record, id: int) -> None:
        kind = type(record)
        for field, parent in PARENTS.get(kind, ()):
            if getattr(record, field) not in self.tables.config[parent]:
                raise StoreConflict(f"no {parent.__name__} {getattr(record, field)}", field)
        for fields in UNIQUE[kind]:
            value = tuple(getattr(record, field) for field in fields)
            if value == ("",):
                continue
            for other in self.tables.config[kind].values():
                if other.id != id and tuple(getattr(other, field) for field in fields) == value:
                    raise StoreConflict(f"{kind.__name__} {value} exists", fields[-1])

    async def create(self, record: R) -> R:
        kind = type(record)

        def work() -> R:
            row = check_changes(kind, record, {})
            self._check(row, 0)
            self.tables.last_id[kind] += 1
            row.id, row.version = self.tables.last_id[kind], 1
            self.tables.config[kind][row.id] = row
            self.tables.tell(kind, row.id)
            if isinstance(row, Campaign):
                self.tables.list_reviews |= dict.fromkeys(reviewed(None, row), 0)
            return check_changes(kind, row, {})

        created: R = await self._do("create", work)
        return created

    async def get(self, kind: type[R], id: int) -> R | None:
        def work() -> R | None:
            row = self.tables.config[kind].get(id)
            return None if row is None else check_changes(kind, row, {})

        row: R | None = await self._do("get", work)
        return row

    async def find(self, kind: type[R], **equals: Any) -> list[R]:
        known = {"id", "version", *columns_of(kind)}
        if unknown := sorted(set(equals) - known):
            raise StoreConflict(f"{kind.__name__} has no {unknown[0]}", unknown[0])
        wanted = {name: plain(value) for name, value in equals.items()}

        def work() -> list[R]:
            rows = sorted(self.tables.config[kind].items())
            return [
                check_changes(kind, row, {})
                for _, row in rows
                if all(plain(getattr(row, name)) == value for name, value in wanted.items())
            ]

        found: list[R] = await self._do("find", work)
        return found

    def _current(self, kind: type[R], id: int, if_version: int | None) -> R:
        row = self.tables.config[kind].get(id)
        if row is None:
            raise StoreConflict(f"no {kind.__name__} {id}", "id")
        if if_version is not None and row.version != if_version:
            raise StoreConflict(f"{kind.__name__} {id} is at version {row.version}, not {if_version}", "version")
        return row  # type: ignore[return-value]

    async def update(self, kind: type[R], id: int, changes: Mapping[str, Any], if_version: int | None) -> R:
        def work() -> R:
            current = self._current(kind, id, if_version)
            try:
                row = check_changes(kind, current, changes)
            except msgspec.ValidationError as error:
                raise StoreConflict(str(error)) from error
            self._check(row, id)
            row.id, row.version = id, current.version + 1
            self.tables.config[kind][id] = row
            self.tables.tell(kind, id)
            if isinstance(current, Campaign) and isinstance(row, Campaign):
                self.tables.list_reviews |= dict.fromkeys(reviewed(current, row), 0)
            return check_changes(kind, row, {})

        row: R = await self._do("update", work)
        return row

    async def delete(self, kind: type[R], id: int, if_version: int | None) -> None:
        def work() -> None:
            self._current(kind, id, if_version)
            if kind is LeadList and self.tables.leads_of_list.get(id):
                raise StoreConflict(f"list {id} has leads", "leads")
            for child, parents in PARENTS.items():
                for field, parent in parents:
                    used = any(getattr(row, field) == id for row in self.tables.config[child].values())
                    if parent is kind and used:
                        raise StoreConflict(f"{kind.__name__} {id} is used by {TABLES[child]}", field)
            del self.tables.config[kind][id]
            self.tables.tell(kind, id)
            if kind is Webhook:
                for key in [key for key in self.tables.outbox if key[0] == id]:
                    del self.tables.outbox[key]
            if kind is Integration:
                for row in [row for row in self.tables.crm_journal if row[0] == id]:
                    del self.tables.crm_journal[row]

        await self._do("delete", work)
