"""What the settings name outside themselves, read or opened once: rule sets, rates, the certificate, the database.

Used by the composition root and by the commands that look at the same things without it. Raises SettingsError for what
can't be used: it names the key, the value and why.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from daemon.calls.rates import Rates, parse_rates
from daemon.clock import Clock
from daemon.compliance import RuleSet, load_rule_sets
from daemon.compliance.rules import Audience
from daemon.errors import SettingsError
from daemon.ports import ConsentRules
from daemon.settings import HttpTable, Settings
from daemon.settings_file import read_secret
from daemon.store.embedded import EmbeddedPostgres
from daemon.store.postgres import PostgresStore


def rule_sets_of(settings: Settings) -> Mapping[str, RuleSet]:
    """The shipped rule sets and those of the operator's folder; the operator's win under the same name."""
    found = dict(load_rule_sets())
    if settings.daemon.rules_dir:
        folder = Path(settings.daemon.rules_dir)
        if not folder.is_dir():
            raise SettingsError("daemon.rules_dir", str(folder), "is not a folder")
        found |= load_rule_sets(folder)
    return found


def consent_rules_of(rule_sets: Mapping[str, RuleSet]) -> ConsentRules:
    """What the store needs to know of the rule sets as leads come in."""
    required = {name: found for name, found in rule_sets.items() if found.consent.required}
    exempt = [n for n, r in required.items() if r.consent.business_exempt and r.audience is Audience.ANY]
    contract = [name for name, found in required.items() if found.consent.contract_exception]
    return ConsentRules(required=frozenset(required), business=frozenset(exempt), contract=frozenset(contract))


def proof_years_of(rule_sets: Mapping[str, RuleSet]) -> int:
    """How long the proof of a consent is kept after its end: the longest that a rule set which requires one asks."""
    return max((found.consent.proof_years for found in rule_sets.values() if found.consent.required), default=0)


def tls_of(http: HttpTable) -> ssl.SSLContext | None:
    """What the pages and the API are served with; None for plain HTTP. Raises SettingsError."""
    if not http.tls_certificate_file:
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_cert_chain(http.tls_certificate_file, http.tls_key_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "is no certificate with its key"
        raise SettingsError("http.tls_certificate_file", http.tls_certificate_file, reason) from error
    return tls


def rates_of(settings: Settings) -> Rates | None:
    """The operator's rate table, if there is one. Raises SettingsError for one that can't be used."""
    name = settings.daemon.rates_file
    if not name:
        return None
    try:
        return parse_rates(Path(name).read_text("utf-8"))
    except OSError as error:
        raise SettingsError("daemon.rates_file", name, f"can't be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError("daemon.rates_file", name, str(error)) from error


async def open_database(settings: Settings, clock: Clock, stack: AsyncExitStack, *, tied: bool = True) -> PostgresStore:
    """The store of the settings: the DSN's, or the embedded server's, started here unless it runs already."""
    database = settings.database
    dsn = database.dsn
    password: Callable[[], str] | None = None
    if not dsn:
        server = EmbeddedPostgres(
            Path(settings.daemon.data_dir) / "postgres", tied=tied, start_timeout_s=database.start_timeout_s
        )
        dsn = await stack.enter_async_context(_started(server))
    elif database.password_file:
        file = database.password_file
        password = lambda: read_secret("database.password_file", file)  # noqa: E731 - asyncpg asks at each connection
    return PostgresStore(
        dsn,
        clock,
        pool_size=database.pool_size,
        statement_timeout_s=database.statement_timeout_s,
        password=password,
    )


class _started:
    """An embedded server for the length of a stack; gives its DSN."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    async def __aenter__(self) -> str:
        return await self._server.start()

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
