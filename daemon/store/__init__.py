"""Leads, calls and history: PostgreSQL and its in-memory twin under one contract, and the journal in front of both.

`postgres_store(dsn, clock)` or `memory_store(clock)` gives a `daemon.ports.Store`; `Journal.open` and `FactWriter`
carry facts to it; `EmbeddedPostgres` is the server where none is given.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daemon.clock import Clock
from daemon.errors import SettingsError
from daemon.store.embedded import EmbeddedPostgres, usable_folder
from daemon.store.journal import Journal
from daemon.store.journal_files import Folder, MemoryFiles
from daemon.store.memory import Faults, MemoryStore
from daemon.store.memory_tables import MemoryTables
from daemon.store.postgres import PostgresStore
from daemon.store.writer import FactWriter, keep_synced

__all__ = [
    "EmbeddedPostgres",
    "FactWriter",
    "Faults",
    "Folder",
    "Journal",
    "MemoryFiles",
    "MemoryStore",
    "MemoryTables",
    "PostgresStore",
    "keep_synced",
    "memory_store",
    "postgres_store",
    "usable_folder",
]


def postgres_store(
    dsn: str,
    clock: Clock,
    *,
    pool_size: int = 8,
    statement_timeout_s: float = 10.0,
    password_file: str = "",
    migrations: bool = True,
) -> PostgresStore:
    """The store on PostgreSQL; the password is read from its file at each connection, so that it may be renewed."""
    password = _reader(password_file) if password_file else None
    return PostgresStore(
        dsn,
        clock,
        pool_size=pool_size,
        statement_timeout_s=statement_timeout_s,
        password=password,
        migrations=migrations,
    )


def _reader(path: str) -> Callable[[], str]:
    def read() -> str:
        try:
            return Path(path).read_text("utf-8").rstrip("\n")
        except OSError as error:
            raise SettingsError("database.password_file", path, f"can't be read: {error.strerror}") from error

    return read


def memory_store(clock: Clock, *, tables: MemoryTables | None = None, faults: Faults | None = None) -> MemoryStore:
    """The store in memory."""
    return MemoryStore(clock, tables=tables, faults=faults)
