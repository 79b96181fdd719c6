"""The composition root: builds every part from settings, runs them, drains and exits. The only module that knows all.

`build(settings, …)` takes clock, RNG, store and PBX drivers as arguments, so that a simulation is the same application
on another clock; `Application.run(stop)` works until `stop` is set.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from aiohttp import web

from daemon import __version__
from daemon.api.app import build_app
from daemon.api.auth import hash_of, new_token
from daemon.api.deps import log_alert
from daemon.bounds import Bound
from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.rates import Rates, parse_rates
from daemon.calls.records import ApiToken, Group, Lease, Role, TokenKind
from daemon.clock import Clock
from daemon.compliance import RuleSet, load_rule_sets, tzdata_version
from daemon.compliance.rules import Audience
from daemon.drivers import pbx_driver
from daemon.engine.commands import LeadsChanged
from daemon.engine.core import EngineCore
from daemon.engine.hub import Hub
from daemon.engine.rules import SiteLaw
from daemon.engine.runner import LeaseLost, SiteRunner
from daemon.engine.views import ImportView, SystemView
from daemon.errors import CommandError, SettingsError, StoreConflict, StoreError, StoreUnavailable
from daemon.leads.service import ImportService
from daemon.leads.upkeep import Upkeep
from daemon.outside import Outside
from daemon.ports import ConsentRules, LeadSink, Pbx, Store, TapeStore
from daemon.service import notify, watchdog_interval_s
from daemon.settings import HttpTable, Settings, SiteTable, read_secret
from daemon.store import mark
from daemon.store.embedded import EmbeddedPostgres
from daemon.store.journal import Files, Folder, Journal, MemoryFiles
from daemon.store.postgres import PostgresStore
from daemon.store.pseudonyms import load_or_make_key
from daemon.store.writer import FactWriter, backoff_s, keep_synced
from daemon.tapes import Tapes, load_or_make_links_key

log = structlog.get_logger(__name__)

SYSTEM_INTERVAL_S = 1.0
RESTARTS_MAX = 3
RESTARTS_WINDOW_S = 600.0
CLI_TOKEN_FILE = "cli-token"
STORE_RETRY_S = 2.0
CRM_LINK_S = 90 * 86_400.0
"""As long as a CRM's journal is kept here: people click months later."""

PbxFactory = Callable[[SiteTable], Pbx]
Sync = Coroutine[Any, Any, None]


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


class SiteLog:
    """A site's journal and its way into the store, as the engine sees them (daemon.engine.runner.FactLog)."""

    def __init__(self, journal: Journal, store: Store, clock: Clock, rng: random.Random, sync: Sync) -> None:
        self.journal, self._store, self._clock, self._sync = journal, store, clock, sync
        self.writer = FactWriter(journal, store, clock, rng, on_rejected=_rejected, on_return=self.verify)

    def append(self, facts: Sequence[AnyFact]) -> None:
        """Take facts for good, in order."""
        self.journal.append(facts)
        self.writer.wake()

    @property
    def full(self) -> bool:
        """No room for new attempts."""
        return self.journal.full

    @property
    def pending_count(self) -> int:
        """Facts not yet in the store."""
        return self.journal.pending_count

    @property
    def older(self) -> bool:
        """The store lacks facts that it had confirmed."""
        return self.journal.mark.older is not None

    def bounds(self) -> Iterator[Bound]:
        """See daemon.bounds."""
        yield Bound("journal_bytes", self.journal.size, self.journal.bytes_max)

    async def verify(self) -> None:
        """Compare the store with what it had confirmed: a restored database, or another, knows less."""
        known = self.journal.mark
        if known.older is not None or not known.fence:
            return
        fence, n = known.fence, known.n
        found = await self._store.last_n(self.journal.site, fence)
        if found >= n:
            return
        log.error("database.older", site=self.journal.site, fence=fence, confirmed=n, found=found, until=str(known.at))
        try:
            known.found_older(found, self._clock.utcnow())
        except OSError as error:
            log.error("database.older_not_kept", site=self.journal.site, error=str(error))

    def reconciled(self) -> None:
        """An operator has seen to what the store lacks."""
        self.journal.mark.reconciled()

    async def run(self) -> None:
        """Apply and sync until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writer.run(), name="facts to store")
            group.create_task(self._sync, name="journal sync")

    def close(self) -> None:
        """Let go of the journal, also when the lease was lost before `run`."""
        self._sync.close()
        self.journal.close()


def spare_collector() -> None:
    """What was imported and built so far lives as long as the process: the garbage collector need not look through it
    again, and what comes and goes by the thousand is mostly freed without it. A full collection of a busy daemon would
    be a pause of a quarter of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _rejected(fact: NumberedFact, error: StoreConflict) -> None:
    log.error("fact.rejected", site=fact.site, n=fact.n, fact=type(fact.fact).__name__, error=str(error))


class Application:
    """Everything built and wired; nothing runs before `run`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        store: Store,
        pbx_factory: PbxFactory,
        demo_token: str = "",
        journal_in_memory: bool = False,
    ) -> None:
        self.settings = settings
        self.clock, self.rng, self.store = clock, rng, store
        self._pbx_factory = pbx_factory
        self._demo_token = demo_token
        self._journal_in_memory = journal_in_memory
        self.rule_sets = rule_sets_of(settings)
        store.use_consent_rules(consent_rules_of(self.rule_sets))
        self.upkeep = Upkeep(store, clock, settings.retention, self._lists_changed)
        self.hub = Hub(settings.http.command_deadline_s)
        self.holder = settings.daemon.instance or socket.gethostname()
        self.logs: dict[str, SiteLog] = {}
        self.memory_files: dict[str, MemoryFiles] = {}
        self.started = clock.utcnow()
        self.store_since = self.started
        self._restarts: dict[str, list[float]] = {}
        self._draining = False
        self._notify: Callable[[str, Mapping[str, Any]], None] = log_alert
        self._originating_off: set[str] = set()
        self._beats: dict[str, float] = {}
        self.http_address = ""
        self.tapes: Tapes | None = None

    # ---- one site ----------------------------------------------------------------------------------------------

    def _runner(self, site: SiteTable) -> SiteRunner:
        core = EngineCore(site, self.settings.dialer, SiteLaw(site, self.rule_sets), self._child_rng())
        runner = SiteRunner(
            core,
            self._pbx_factory(site),
            self.store,
            clock=self.clock,
            rng=self._child_rng(),
            lease_settings=self.settings.lease,
            holder=self.holder,
            open_log=lambda lease: self._open_log(site.id, lease),
            publish=self.hub.publish,
            beat=lambda: self._beat(site.id),
            followed=lambda: self.hub.followed,
            fence_floor=lambda: mark.read(self._files(site.id)).fence,
        )
        self.hub.add(runner)
        return runner

    def _child_rng(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def _beat(self, site: str) -> None:
        self._beats[site] = self.clock.now()

    async def _open_log(self, site: str, lease: Lease) -> SiteLog:
        """The site's journal under the lease's fence; what an earlier life left in it is applied first."""
        journal = Journal.open(self._files(site), site, bytes_max=self.settings.journal.bytes_max)
        sync = keep_synced(journal, self.settings.journal.sync_interval_s, in_thread=not self._journal_in_memory)
        found = self.logs[site] = SiteLog(journal, self.store, self.clock, self._child_rng(), sync)
        attempt = 0
        while True:
            try:
                await found.verify()
                await found.writer.flush()
                last_n = await self.store.last_n(site, lease.fence)
                break
            except StoreUnavailable as error:
                log.warning("journal.replay_waits", site=site, pending=journal.pending_count, error=str(error))
                await asyncio.sleep(backoff_s(attempt, self.rng))
                attempt += 1
        journal.begin(lease.fence, last_n)
        return found

    def _files(self, site: str) -> Files:
        """Where a site's journal is kept."""
        if self._journal_in_memory:
            return self.memory_files.setdefault(site, MemoryFiles())
        return Folder(Path(self.settings.daemon.data_dir) / "journal" / site / site)

    async def _site(self, site: SiteTable) -> None:
        """A site's runner for ever: a lost lease stands by, a broken engine table starts anew from the stores."""
        while True:
            runner = self._runner(site)
            if site.id in self._originating_off:
                runner.core.live.draining = True
                runner.core.live.alerts[f"site {site.id}"] = "originating_off"
            # A task of its own: a task group that fails while it is cancelled tells only of the failure, and our own
            # count of cancellations must say that the end was asked for all the same.
            working = asyncio.create_task(runner.run(), name=f"runner {site.id}")
            try:
                await working
            except* LeaseLost:
                log.warning("site.standby", site=site.id)
            except* Exception:
                log.exception("site.failed", site=site.id)
                if self._too_many_restarts(site.id):
                    log.error("site.originating_off", site=site.id)
                    self._originating_off.add(site.id)
            self._close_log(site.id)
            if (this := asyncio.current_task()) is not None and this.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(1.0)

    def _too_many_restarts(self, site: str) -> bool:
        """Three ends in ten minutes: come up again, but place nothing (DESIGN 3, blast radius)."""
        now = self.clock.now()
        ends = [at for at in self._restarts.get(site, []) if now - at < RESTARTS_WINDOW_S] + [now]
        self._restarts[site] = ends
        return len(ends) >= RESTARTS_MAX

    # ---- all of it ---------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set, then drain. Raises SettingsError for what can't be used at all."""
        await self._open_store(stop)
        if stop.is_set():
            return
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.store.close)
            if not self._journal_in_memory:
                folder = Path(self.settings.daemon.data_dir)
                await self.store.use_pseudonyms(load_or_make_key(folder, secrets.token_bytes))
            await self._write_cli_token()
            self.tapes = self._make_tapes()
            await self._serve(stack)
            tasks = [asyncio.create_task(self._site(site), name=f"site {site.id}") for site in self.settings.sites]
            tasks.append(asyncio.create_task(self._system(), name="system"))
            tasks.append(asyncio.create_task(self.upkeep.run(), name="upkeep"))
            if self.tapes is not None:
                tasks.append(asyncio.create_task(self.tapes.run(), name="recordings"))
            if watchdog_interval_s() is not None:
                tasks.append(asyncio.create_task(self._watchdog(), name="watchdog"))
            spare_collector()
            notify("READY=1", f"STATUS=serving on {self.http_address}")
            ready()
            try:
                await self._until(stop, tasks)
            finally:
                notify("STOPPING=1")
                await self._drain()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for site_id in list(self.logs):
                    self._close_log(site_id)

    async def _open_store(self, stop: asyncio.Event) -> None:
        """Wait for a database that does not answer yet; anything else that is wrong with it ends the start."""
        while not stop.is_set():
            try:
                await self.store.open()
                return
            except StoreUnavailable as error:
                log.warning("store.unavailable_at_start", error=str(error), retry_s=STORE_RETRY_S)
                notify("STATUS=waiting for the database")
                await asyncio.sleep(STORE_RETRY_S)

    async def _until(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done - {stopping}:
            task.result()

    async def _serve(self, stack: AsyncExitStack) -> None:
        http = self.settings.http
        outside = Outside(
            self.settings,
            self.store,
            self.clock,
            random.Random(f"{self.holder} {self.started}"),  # pauses between tries: no draw from the calls' sequence
            sites=self._led,
            in_memory=self._journal_in_memory,
        )
        app = build_app(
            self.hub,
            self.store,
            http,
            self.clock,
            self._child_rng(),
            site_ids=[site.id for site in self.settings.sites],
            rule_sets=self.rule_sets,
            extensions=self._extensions,
            demo_token=self._demo_token,
            importer=self._importer(stack),
            tapes=self.tapes,
            rates=rates_of(self.settings),
            notify=outside.alerts.notify,
            told=lambda: tuple(outside.alerts.told),
            mail_to=len(self.settings.alerts.mail_to) if self.settings.alerts.smtp_host else 0,
            webhooks=outside.webhooks,
            crm=outside.crm_door,
            ovh=outside.ovh,
            zadarma=outside.zadarma,
            webhook_overlap_s=self.settings.webhooks.rotation_overlap_s,
        )
        if outside.zadarma_feed is not None:
            outside.zadarma_feed.door = self.hub
        self._notify = outside.alerts.notify
        await stack.enter_async_context(outside.running())
        if self.settings.ovh.feeds:
            stack.callback(self.hub.listen(outside.ovh.feed.on_change, ("calls",)))
        if outside.crm is not None:
            stack.callback(outside.crm.listen(self.hub))
            outside.crm.writer.recording_url = self._recording_url
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        tls = tls_of(http)
        site = web.TCPSite(runner, http.host, http.tcp_port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                "http.tcp_port", http.tcp_port, f"can't listen on {http.host}: {error.strerror}"
            ) from error
        port = runner.addresses[0][1] if runner.addresses else http.tcp_port
        self.http_address = f"{'https' if tls else 'http'}://{http.host}:{port}"
        log.info("http.serving", address=self.http_address)

    def _make_tapes(self) -> Tapes | None:
        """Recordings' files, if the store keeps their rows and this daemon has a folder of its own."""
        if self._journal_in_memory or not isinstance(self.store, TapeStore):
            return None
        folder = Path(self.settings.daemon.data_dir)
        return Tapes(
            self.store,
            {site.id: site.recordings_dir for site in self.settings.sites},
            self.settings.recordings,
            folder,
            self.clock,
            load_or_make_links_key(folder, secrets.token_bytes),
            log_alert,
            self._recordings_alert,
        )

    async def _recording_url(self, attempt_id: UUID, group_id: int) -> str:
        """A link to a call's recording for a CRM, good for 90 days; "" without one, or without http.public_url."""
        base = self.settings.http.public_url
        if self.tapes is None or not base:
            return ""
        return await self.tapes.public_link(base, attempt_id, group_id, CRM_LINK_S)

    def _recordings_alert(self, on: bool) -> None:
        for runner in self.hub.runners.values():
            if on:
                runner.core.live.alerts["recordings"] = "recordings_disk_full"
            else:
                runner.core.live.alerts.pop("recordings", None)

    def _importer(self, stack: AsyncExitStack) -> ImportService | None:
        """Imports of files, if the store takes leads in bulk."""
        if not isinstance(self.store, LeadSink):
            return None
        directory = Path(self.settings.daemon.data_dir) / "imports"
        service = ImportService(
            self.store,
            self.store,
            self.clock,
            self._child_rng(),
            directory,
            announce=self._show_import,
            imported=lambda by: self.hub.submit(LeadsChanged(by=by)),
            held=lambda numbers, by: self.hub.submit(LeadsChanged(e164s=numbers, by=by)),
        )
        stack.push_async_callback(service.close)
        return service

    def _led(self) -> list[str]:
        return [site for site, runner in self.hub.runners.items() if runner.leading]

    def _show_import(self, state: Mapping[str, Any]) -> None:
        """An import's progress on the stream, without a name or number of anybody (features IMPT-05)."""
        report = state["report"] or {}
        counts = {name: value for name, value in report.items() if type(value) is int}
        view = ImportView(
            id=state["id"],
            group_id=state["group_id"],
            list_id=state["list_id"],
            state=state["state"],
            rows=state["rows"],
            part=state["part"],
            counts=counts,
            error=(state["error"] or {}).get("code", ""),
        )
        self.hub.set_import(view.id, None if view.state == "forgotten" else view)

    async def _lists_changed(self, list_ids: tuple[int, ...]) -> None:
        """Leads of these lists were held or lifted; an engine too busy to hear of it looks again by itself."""
        with suppress(CommandError):
            await self.hub.submit(LeadsChanged(list_ids=list_ids, by="upkeep"))

    def _extensions(self, site: str) -> Sequence[str]:
        runner = self.hub.runners.get(site)
        return runner.pbx.status().extensions if runner is not None else ()

    async def _write_cli_token(self) -> None:
        """A token for the command line on this machine, new at each start, readable by the daemon's user alone."""
        if self._journal_in_memory:
            return
        groups = await self.store.find(Group)
        group = groups[0] if groups else await self.store.create(Group(code="MAIN", name="Main"))
        name = f"cli:{self.holder}"
        for old in await self.store.find(ApiToken, name=name):
            await self.store.delete(ApiToken, old.id, None)
        token = new_token(TokenKind.OPERATOR, group.code, secrets.token_bytes)
        now = self.clock.utcnow()
        await self.store.create(
            ApiToken(
                group_id=group.id,
                name=name,
                role=Role.ADMINISTRATOR,
                all_groups=True,
                sha256=hash_of(token),
                tail=token[-4:],
                created_at=now,
                expires_at=now + timedelta(days=365),
            )
        )
        path = Path(self.settings.daemon.data_dir) / CLI_TOKEN_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{self.settings.http.host} {token}\n")
        fresh.replace(path)

    async def _system(self) -> None:
        """The daemon's own state, published when it changes; an alert that is new goes to the sinks."""
        store_ok = True
        known: tuple[str, ...] = ()
        while True:
            alerts = tuple(self._alerts())
            for key in alerts:
                if key not in known:
                    code, _, about = key.partition(": ")
                    self._notify("engine", {"code": code, "about": about})
            known = alerts
            ok = all(found.writer.store_ok for found in self.logs.values())
            if ok is not store_ok:
                store_ok, self.store_since = ok, self.clock.utcnow()
            self.hub.set_system(
                SystemView(
                    version=__version__,
                    started=self.started,
                    now=self.clock.utcnow(),
                    store_ok=ok,
                    store_since=self.store_since,
                    journal_pending=sum(found.pending_count for found in self.logs.values()),
                    leader={site: runner.leading for site, runner in self.hub.runners.items()},
                    draining=self._draining,
                    tzdata=tzdata_version(),
                    alerts=alerts,
                )
            )
            await asyncio.sleep(SYSTEM_INTERVAL_S)

    def _alerts(self) -> Iterator[str]:
        for site, found in self.logs.items():
            if found.older:
                yield f"database_older: site {site}"
        for runner in self.hub.runners.values():
            for what, code in runner.core.live.alerts.items():
                yield f"{code}: {what}"

    async def _watchdog(self) -> None:
        """Fed by the engines' ticks: one that no longer ticks lets the service manager act."""
        interval = watchdog_interval_s() or 10.0
        while True:
            now = self.clock.now()
            leading = [site for site, runner in self.hub.runners.items() if runner.leading]
            if all(now - self._beats.get(site, now) < interval for site in leading):
                notify("WATCHDOG=1")
            await asyncio.sleep(min(1.0, interval / 2))

    async def _drain(self) -> None:
        """No new calls; calls being set up finish within the bound; conversations live on in the PBX."""
        self._draining = True
        bound = self.settings.daemon.drain_s
        runners = [runner for runner in self.hub.runners.values() if runner.leading]
        try:
            await asyncio.wait_for(asyncio.gather(*(runner.drain(bound) for runner in runners)), bound + 5.0)
        except (TimeoutError, StoreError) as error:
            log.warning("drain.incomplete", error=str(error) or "bound reached")
        for runner in runners:
            if runner.lease is not None:
                try:
                    await self.store.release_lease(runner.lease)
                except StoreError as error:
                    log.warning("lease.not_released", site=runner.site, error=str(error))

    def _close_log(self, site: str) -> None:
        found = self.logs.pop(site, None)
        if found is not None:
            found.close()


def build(
    settings: Settings,
    *,
    clock: Clock,
    rng: random.Random,
    store: Store,
    pbx_factory: PbxFactory | None = None,
    demo_token: str = "",
    journal_in_memory: bool = False,
) -> Application:
    """The application from its parts; `pbx_factory` None = the drivers that the settings name."""

    def drivers(site: SiteTable) -> Pbx:
        return pbx_driver(site, clock, random.Random(rng.getrandbits(64)))

    return Application(
        settings,
        clock=clock,
        rng=rng,
        store=store,
        pbx_factory=pbx_factory or drivers,
        demo_token=demo_token,
        journal_in_memory=journal_in_memory,
    )


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
