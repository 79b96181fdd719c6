"""A database address that can't be one: said at once, by its key, and never shown (it may hold a password)."""

from __future__ import annotations

import traceback

import asyncpg
import pytest

from daemon.errors import SettingsError, StoreUnavailable
from daemon.store.postgres import PostgresStore
from tests.store.world import FixedClock


def test_what_asyncpg_says_of_an_address_is_a_value_error() -> None:
    assert issubclass(asyncpg.ClientConfigurationError, ValueError)


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://u:s3cr3t@h/x", "postgresql://u:s3cr3t@[bad/x", "postgresql://u:s3cr3t#more@127.0.0.1/x",
        "postgresql://u:s3cr3t@127.0.0.1:1/x?sslmode=perhaps", "host=127.0.0.1 port=1 password=s3cr3t",
    ],
)  # fmt: skip
async def test_an_address_that_cannot_be_one(dsn: str) -> None:
    store = PostgresStore(dsn, FixedClock())
    with pytest.raises(SettingsError, match=r"database\.dsn = '•••': postgresql://") as refused:
        await store.open()
    told = "".join(traceback.format_exception(refused.value))
    assert "s3cr3t" not in str(refused.value) and "s3cr3t" not in told


async def test_an_address_where_nobody_is() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        await PostgresStore("postgresql://u:s3cr3t@127.0.0.1:1/x", FixedClock()).open()
    assert "s3cr3t" not in str(refused.value)
