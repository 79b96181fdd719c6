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
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from daemon import __version__
from daemon.api.auth import hash_of, new_token
from daemon.api.deps import log_alert
from daemon.calls.records import ApiToken, Group, Role, TokenKind
from daemon.clock import Clock
from daemon.compliance import tzdata_version
from daemon.drivers import pbx_driver
from daemon.engine.commands import LeadsChanged
from daemon.engine.hub import Hub
from daemon.engine.views import SystemView
from daemon.errors import CommandError, StoreUnavailable
from daemon.leads.upkeep import Upkeep
from daemon.outside import Outside
from daemon.ports import Pbx, Store
from daemon.resources import consent_rules_of, proof_years_of, rule_sets_of
from daemon.service import notify, watchdog_interval_s
from daemon.serving import Serving
from daemon.settings import Settings, SiteTable
from daemon.sites import PbxFactory, Sites
from daemon.store.pseudonyms import load_or_make_key
from daemon.tapes import Tapes
from daemon.works import Works

log = structlog.get_logger(__name__)

SYSTEM_INTERVAL_S = 1.0
CLI_TOKEN_FILE = "cli-token"
STORE_RETRY_S = 2.0
STOP_GRACE_S = 60.0
"""So much longer than `drain_s` the service manager is asked to wait: journals, database, open requests."""


def spare_collector() -> None:
    """What was imported and built so far lives as long as the process: the garbage collector need not look through it
    again, and what comes and goes by the thousand is mostly freed without it. A full collection of a busy daemon would
    be a pause of a quarter of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


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
        self._demo_token = demo_token
        self._journal_in_memory = journal_in_memory
        self.rule_sets = rule_sets_of(settings)
        store.use_consent_rules(consent_rules_of(self.rule_sets))
        self.upkeep = Upkeep(
            store, clock, settings.retention, self._lists_changed, proof_years=proof_years_of(self.rule_sets)
        )
        self.works = Works(clock)
        self.hub = Hub(settings.http.command_deadline_s, self.works)
        self.holder = settings.daemon.instance or socket.gethostname()
        self.sites = Sites(
            settings,
            clock=clock,
            rng=rng,
            store=store,
            pbx_factory=pbx_factory,
            rule_sets=self.rule_sets,
            hub=self.hub,
            works=self.works,
            holder=self.holder,
            journal_in_memory=journal_in_memory,
        )
        self.started = clock.utcnow()
        self.store_since = self.started
        self._draining = False
        self._notify: Callable[[str, Mapping[str, Any]], None] = log_alert
        self.http_address = ""
        self.tapes: Tapes | None = None
        self._serving: Serving | None = None

    def reload(self) -> None:
        """SIGHUP (`systemctl reload`): a renewed certificate is taken up; calls, streams and requests go on. Settings
        are read at the start alone, secrets at each use."""
        certificate = self._serving.renew_certificate() if self._serving is not None else "not yet serving"
        log.info("reload", certificate=certificate, settings="read at the start only")

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set, then drain. Raises SettingsError for what can't be used at all, FactsLost if what
        the store lacks at the end could not be kept either."""
        await self._open_store(stop)
        if stop.is_set():
            return
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.store.close)
            if not self._journal_in_memory:
                folder = Path(self.settings.daemon.data_dir)
                await self.store.use_pseudonyms(load_or_make_key(folder, secrets.token_bytes))
            await self._write_cli_token()
            await self._serve(stack)
            tasks = [asyncio.create_task(self.sites.keep(site), name=f"site {site.id}") for site in self.settings.sites]
            beside = {"system": self.show_system, "upkeep": self.upkeep.run}
            if self.tapes is not None:
                beside["recordings"] = self.tapes.run
            tasks += [asyncio.create_task(self.works.keep(name, run), name=name) for name, run in beside.items()]
            if watchdog_interval_s() is not None:
                tasks.append(asyncio.create_task(self._watchdog(), name="watchdog"))
            spare_collector()
            notify("READY=1", f"STATUS=serving on {self.http_address}")
            ready()
            try:
                await self._until(stop, tasks)
            finally:
                patience_s = self.settings.daemon.drain_s + STOP_GRACE_S
                notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={patience_s * 1e6:.0f}")
                self._draining = True
                await self.sites.drain()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                notify(f"STATUS=stopped; {self.sites.close()}")

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
        outside = Outside(
            self.settings,
            self.store,
            self.clock,
            random.Random(f"{self.holder} {self.started}"),  # pauses between tries: no draw from the calls' sequence
            sites=self.sites.leading,
            works=self.works,
            in_memory=self._journal_in_memory,
        )
        serving = Serving(
            self.settings,
            clock=self.clock,
            rng=self.rng,
            store=self.store,
            hub=self.hub,
            rule_sets=self.rule_sets,
            works=self.works,
            in_memory=self._journal_in_memory,
            demo_token=self._demo_token,
        )
        self.http_address = await serving.open(stack, outside)
        self._serving, self.tapes = serving, serving.tapes
        self._notify = outside.alerts.notify

    async def _lists_changed(self, list_ids: tuple[int, ...]) -> None:
        """Leads of these lists were held or lifted; an engine too busy to hear of it looks again by itself."""
        with suppress(CommandError):
            await self.hub.submit(LeadsChanged(list_ids=list_ids, by="upkeep"))

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

    async def show_system(self) -> None:
        """The daemon's own state, published when it changes; an alert that is new goes to the sinks."""
        store_ok = True
        known: tuple[str, ...] = ()
        while True:
            alerts = (*self.sites.alerts(), *self.works.alerts())
            for key in alerts:
                if key not in known:
                    code, _, about = key.partition(": ")
                    self._notify("engine", {"code": code, "about": about})
            known = alerts
            ok = all(found.writer.store_ok for found in self.sites.logs.values())
            if ok is not store_ok:
                store_ok, self.store_since = ok, self.clock.utcnow()
            self.hub.set_system(
                SystemView(
                    version=__version__,
                    started=self.started,
                    now=self.clock.utcnow(),
                    store_ok=ok,
                    store_since=self.store_since,
                    journal_pending=sum(found.pending_count for found in self.sites.logs.values()),
                    leader={site: runner.leading for site, runner in self.hub.runners.items()},
                    draining=self._draining,
                    tzdata=tzdata_version(),
                    alerts=alerts,
                )
            )
            await asyncio.sleep(SYSTEM_INTERVAL_S)

    async def _watchdog(self) -> None:
        """Fed by the engines' ticks: one that no longer ticks lets the service manager act."""
        interval = watchdog_interval_s() or 10.0
        while True:
            if self.sites.ticking(interval):
                notify("WATCHDOG=1")
            await asyncio.sleep(min(1.0, interval / 2))


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
