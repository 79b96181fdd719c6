"""Connections to PostgreSQL: one pool, a deadline on everything, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import msgspec

from daemon.bounds import Bound
from daemon.errors import SettingsError, StoreBusy, StoreConflict, StoreUnavailable

ACQUIRE_TIMEOUT_S = 5.0
DSN_ALLOWED = (
    "postgresql://user@host:5432/name, with the parameters libpq knows; a password goes into database.password_file,"
    " or has its special characters as %xx"
)

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    # Nobody's row is at fault: the database itself is damaged, not ours to use, or of another version than this build.
    # A fact refused for that must wait in the journal until it is mended, not be set aside.
    asyncpg.InternalServerError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)


def field_of(constraint: str | None) -> str | None:
    """The field a constraint is about: what follows `__` in its name (`campaigns__name` → `name`)."""
    return constraint.partition("__")[2] or None if constraint else None


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Runs what talks to PostgreSQL: its exceptions leave as StoreUnavailable or StoreConflict."""
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise  # a ValueError, which is the settings' fault: see Database.open
    except asyncpg.IntegrityConstraintViolationError as error:
        raise StoreConflict(str(error), field_of(getattr(error, "constraint_name", None))) from error
    except _UNAVAILABLE as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncpg.PostgresError as error:  # bad data or a statement of ours: trying again won't help
        raise StoreConflict(f"{type(error).__name__}: {error}") from error


def to_json(value: Any) -> str:
    """JSON text for a jsonb column. NUL, which PostgreSQL can't hold, becomes the replacement character."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\ufffd")


def _encode_jsonb(value: Any) -> bytes:
    return b"\x01" + to_json(value).encode()


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])


async def _prepare(connection: asyncpg.Connection) -> None:
    # Binary, since COPY takes nothing else; the first byte is the version of jsonb's wire format.
    await connection.set_type_codec(
        "jsonb", encoder=_encode_jsonb, decoder=_decode_jsonb, schema="pg_catalog", format="binary"
    )


class Room:
    """So many at once; the next waits for ACQUIRE_TIMEOUT_S."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit, self.used = name, limit, 0
        self._free = asyncio.Semaphore(limit)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """For the length of the block. Raises StoreBusy."""
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._free.acquire()
        except TimeoutError as error:
            raise StoreBusy(f"{self.name}: all {self.limit} are in use") from error
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1
            self._free.release()


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Given back without a word to the server: nothing of ours outlives its transaction (SET LOCAL, locks of the
    transaction, no LISTEN, no cursors), and asking for a reset of it all doubled the trips of every short statement.
    A transaction left open is still rolled back."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool on one DSN. Statements end after `statement_timeout_s`, on the server and here."""

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 8,
        statement_timeout_s: float = 10.0,
        password: str | Callable[[], str] | None = None,
        application: str = "cadran",
    ) -> None:
        self.dsn = dsn
        self._pool_size, self._timeout_s = pool_size, statement_timeout_s
        self._readers = Room("store_readers", max(1, pool_size // 2))
        self._downloads = Room("store_downloads", max(1, pool_size // 4))
        self._password, self._application = password, application
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable; SettingsError for an address that can't be one, without showing it or what
        its reader says of it: either may hold a password."""
        if self._pool is not None:
            return
        try:
            with mapped():
                self._pool = await asyncpg.create_pool(
                    self.dsn,
                    min_size=1,
                    max_size=self._pool_size,
                    password=self._password,
                    timeout=ACQUIRE_TIMEOUT_S,
                    # A second longer here than there, so that the server's own, clearer word comes first.
                    command_timeout=self._timeout_s + 1.0,
                    max_inactive_connection_lifetime=300.0,
                    init=_prepare,
                    connection_class=_Connection,
                    server_settings={
                        "application_name": self._application,
                        "timezone": "UTC",
                        "statement_timeout": str(int(self._timeout_s * 1000)),
                        "idle_in_transaction_session_timeout": str(int(self._timeout_s * 3000)),
                        "jit": "off",
                    },
                )
        except ValueError:
            raise SettingsError("database.dsn", "•••", DSN_ALLOWED) from None

    def in_use(self) -> tuple[int, int]:
        """Connections at work now, and how many there may be."""
        busy = 0 if self._pool is None else self._pool.get_size() - self._pool.get_idle_size()
        return busy, self._pool_size

    def rooms(self) -> Iterator[Bound]:
        """How much of what people may use at once is in use."""
        for room in (self._readers, self._downloads):
            yield Bound(room.name, room.used, room.limit)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for what people ask and what may take seconds: reports, sums, searches. Half of all at most, so
        that the lease, the calls' intents and their facts never wait behind a page that is asked for again and again.
        Raises StoreBusy if none comes free in time."""
        async with self._readers.place(), self.connection() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def downloading(self) -> AsyncIterator[asyncpg.Connection]:
        """One in a transaction, for rows that go out as fast as somebody's line takes them: half of the readers' at
        most."""
        async with self._downloads.place(), self._readers.place(), self.transaction() as connection:
            yield connection

    async def close(self) -> None:
        """Give the connections back; within the deadline, or by force."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await pool.close()
        except Exception:
            pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection; what goes wrong inside leaves as our errors."""
        if self._pool is None:
            raise StoreUnavailable("the store is not open")
        with mapped():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in a transaction that commits at the end of the block."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def short_transaction(self, first: str) -> AsyncIterator[asyncpg.Connection]:
        """The same, one trip shorter: BEGIN goes with a first statement (text of ours, without arguments)."""
        async with self.connection() as connection:
            await connection.execute(f"BEGIN; {first}")
            yield connection  # whoever breaks off gives the connection back in its transaction: it is rolled back
            await connection.execute("COMMIT")
