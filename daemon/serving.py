"""How a daemon is served: its doors (API, pages, imports, recordings) over HTTP, with what leads out of it beside them.

Built and opened by the composition root once the store is there.
"""

from __future__ import annotations

import random
import secrets
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from aiohttp import web

from daemon.api.app import build_app
from daemon.api.deps import log_alert
from daemon.clock import Clock
from daemon.compliance import RuleSet
from daemon.engine.commands import LeadsChanged
from daemon.engine.hub import Hub
from daemon.engine.views import ImportView
from daemon.errors import SettingsError
from daemon.leads.service import ImportService
from daemon.outside import Outside
from daemon.ports import LeadSink, PbxStatus, Store, TapeStore
from daemon.resources import rates_of, tls_of
from daemon.settings import Settings
from daemon.tapes import Tapes, load_or_make_links_key
from daemon.works import Works

log = structlog.get_logger(__name__)

CRM_LINK_S = 90 * 86_400.0
"""As long as a CRM's journal is kept here: people click months later."""


class Serving:
    """One a daemon. `in_memory`: nothing of it is kept on disk, so there are no recordings either."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        store: Store,
        hub: Hub,
        rule_sets: Mapping[str, RuleSet],
        works: Works,
        in_memory: bool,
        demo_token: str,
    ) -> None:
        self.settings, self.clock, self.rng, self.store = settings, clock, rng, store
        self.hub, self.rule_sets, self.works = hub, rule_sets, works
        self._demo_token = demo_token
        self._tls: ssl.SSLContext | None = None
        self.tapes = None if in_memory else self._make_tapes()

    async def open(self, stack: AsyncExitStack, outside: Outside) -> str:
        """Serve for the length of the stack; the address. Raises SettingsError for one that can't be listened on."""
        app = build_app(
            self.hub,
            self.store,
            self.settings.http,
            self.clock,
            self._child_rng(),
            site_ids=[site.id for site in self.settings.sites],
            rule_sets=self.rule_sets,
            works=self.works,
            extensions=self._extensions,
            pbx=self._pbx,
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
        await stack.enter_async_context(outside.running())
        if self.settings.ovh.feeds:
            stack.callback(self.hub.listen(outside.ovh.feed.on_change, ("calls",)))
        if outside.crm is not None:
            stack.callback(outside.crm.listen(self.hub))
            outside.crm.writer.recording_url = self._recording_url
        return await self._listen(app, stack)

    async def _listen(self, app: web.Application, stack: AsyncExitStack) -> str:
        http = self.settings.http
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        self._tls = tls = tls_of(http)
        site = web.TCPSite(runner, http.host, http.tcp_port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                "http.tcp_port", http.tcp_port, f"can't listen on {http.host}: {error.strerror}"
            ) from error
        port = runner.addresses[0][1] if runner.addresses else http.tcp_port
        host = f"[{http.host}]" if ":" in http.host else http.host
        address = f"{'https' if tls else 'http'}://{host}:{port}"
        log.info("http.serving", address=address)
        return address

    def renew_certificate(self) -> str:
        """Take up the files of the certificate as they are now, for connections from now on; what became of it."""
        http = self.settings.http
        if self._tls is None:
            return "none"
        try:
            tls_of(http)  # a pair that does not fit would spoil the context in use
            self._tls.load_cert_chain(http.tls_certificate_file, http.tls_key_file)
        except (SettingsError, OSError) as error:
            log.error("http.certificate_refused", error=str(error))
            return "refused, the one in use stays"
        return "renewed"

    def _make_tapes(self) -> Tapes | None:
        """Recordings' files, if the store keeps their rows and this daemon has a folder of its own."""
        if not isinstance(self.store, TapeStore):
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
            lambda: [site for site, runner in self.hub.runners.items() if runner.leading],
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
            works=self.works,
            announce=self._show_import,
            imported=lambda by: self.hub.submit(LeadsChanged(by=by)),
            held=lambda numbers, by: self.hub.submit(LeadsChanged(e164s=numbers, by=by)),
        )
        stack.push_async_callback(service.close)
        return service

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

    def _extensions(self, site: str) -> Sequence[str]:
        runner = self.hub.runners.get(site)
        return runner.pbx.status().extensions if runner is not None else ()

    def _pbx(self, site: str) -> PbxStatus | None:
        runner = self.hub.runners.get(site)
        return runner.pbx.status() if runner is not None else None

    def _child_rng(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))
