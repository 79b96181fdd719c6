"""Numbered migrations, each applied once, in order, under an advisory lock; an applied one must never change.

Expand, then contract: a migration only adds what the previous binary can ignore; what it no longer needs is dropped by
a later release. So daemons of two versions may share a database while one is being replaced.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from daemon.errors import StoreError
from daemon.store.database import mapped

_LOCK = 0x6361_6472_616E  # "cadran"
STEP_S = 12 * 3600.0
"""A step may take so long: an index over years of calls is minutes of work, and one cut short would begin anew at each
start, for ever. The pool's own deadline is for what is asked while people wait."""
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Of its text: what was applied must stay what is shipped."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this release, by number. Raises StoreError if the numbers have a hole."""
    steps = [
        Migration(int(match[1]), entry.name, entry.read_text("utf-8"))
        for entry in files("daemon.store").joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    steps.sort(key=lambda step: step.number)
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise StoreError("the migrations are not numbered 1, 2, 3 …")
    return steps


async def pending(connection: asyncpg.Connection) -> list[Migration]:
    """What this database still lacks. Raises StoreError if an applied migration differs from the shipped one."""
    with mapped():
        if not await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
            return shipped()
        rows = await connection.fetch("SELECT number, name, sha256 FROM schema_migrations")
    applied = {row["number"]: row["sha256"] for row in rows}
    steps = shipped()
    for step in steps:
        if applied.get(step.number, step.sha256) != step.sha256:
            raise StoreError(f"migration {step.name} was applied with another text: this database is of another build")
    return [step for step in steps if step.number not in applied]


async def migrate(connection: asyncpg.Connection) -> list[str]:
    """Apply what is missing; the names of what was applied. Safe to run from several daemons at once."""
    with mapped():
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        with mapped():
            await connection.execute(_TABLE)
        done = []
        for step in await pending(connection):
            with mapped():
                async with connection.transaction():
                    await connection.execute("SET LOCAL statement_timeout = 0")
                    await connection.execute(step.sql, timeout=STEP_S)
                    await connection.execute(
                        "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                        step.number,
                        step.name,
                        step.sha256,
                    )
            done.append(step.name)
        return done
    finally:
        with mapped():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
