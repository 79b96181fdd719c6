"""What leaves the daemon towards other software and people: webhooks, alerts, and the guarded way out they share.

Built and run by the composition root; `daemon.app` gives the doors what they need of it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from daemon.clock import Clock
from daemon.crm import vault
from daemon.crm.alerts import Alerts, closing, smtp_sender
from daemon.crm.door import Door
from daemon.crm.http import Outgoing
from daemon.crm.ovh_door import OvhService
from daemon.crm.ovh_feed import OvhFeed
from daemon.crm.ovh_lines import OvhLines
from daemon.crm.service import CrmService
from daemon.crm.webhooks import WebhookKeys, WebhookSender, load_or_make_key
from daemon.crm.zadarma import ZadarmaService
from daemon.crm.zadarma_feed import ZadarmaFeed
from daemon.crm.zadarma_keys import ZadarmaKeys
from daemon.keyfile import KEY_BYTES
from daemon.ports import CrmStore, Store, WebhookStore
from daemon.settings import Settings
from daemon.settings_file import read_secret
from daemon.works import Works


class Outside:
    """One a daemon. `sites`: those it leads now."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        rng: random.Random,
        *,
        sites: Callable[[], Sequence[str]],
        works: Works,
        in_memory: bool,
    ) -> None:
        self._works = works
        self.outgoing = Outgoing(settings.outgoing)
        folder = Path(settings.daemon.data_dir)
        keys = WebhookKeys(rng.randbytes(KEY_BYTES)) if in_memory else load_or_make_key(folder, secrets.token_bytes)
        password_file = settings.alerts.smtp_password_file
        sender = smtp_sender(settings.alerts, lambda: read_secret("alerts.smtp_password_file", password_file))
        self.webhooks: WebhookSender | None = None
        self.alerts = Alerts(settings.alerts, clock, self._tell, sender)
        if isinstance(store, WebhookStore):
            tell = self.alerts.notify
            self.webhooks = WebhookSender(
                store, self.outgoing, keys, clock, rng, settings.webhooks, sites=sites, notify=tell, works=works
            )

        self.ovh = self._ovh(settings, store, clock, rng)
        self.crm: CrmService | None = None
        self.crm_door: Door | None = None
        self.zadarma: ZadarmaService | None = None
        self.zadarma_feed: ZadarmaFeed | None = None
        if isinstance(store, CrmStore):
            random_bytes = rng.randbytes if in_memory else secrets.token_bytes
            key = rng.randbytes(KEY_BYTES) if in_memory else vault.load_or_make_key(folder, random_bytes)
            sealing = vault.Vault(key, random_bytes)
            self.crm = CrmService(
                store, self.outgoing, sealing, clock, rng, sites=sites, random_bytes=random_bytes, works=works
            )
            self.crm_door = Door(self.crm, store)
            keys_of = ZadarmaKeys(store, sealing, settings.zadarma.accounts)
            self.zadarma = ZadarmaService(store, self.outgoing, keys_of, clock)
            self.zadarma_feed = ZadarmaFeed(store, self.outgoing, self.zadarma.secret, works)

    def _ovh(self, settings: Settings, store: Store, clock: Clock, rng: random.Random) -> OvhService:
        """A client of their own for the long polls: they last, and must not take the others' connections."""
        table = settings.ovh
        count = max(1, len(table.lines))
        bounds = {"timeout_s": table.poll_s + 5.0, "connections_max": count}
        self.polls = Outgoing(msgspec.structs.replace(settings.outgoing, **bounds))
        lines = OvhLines(store, self.outgoing, self.polls, clock, rng, table, read_secret)
        epoch = f"{rng.getrandbits(40):010x}" if table.feeds else ""
        return OvhService(lines, OvhFeed(store, clock, table.feeds, read_secret, epoch))

    async def _tell(self, topic: str, details: Mapping[str, Any]) -> None:
        if self.webhooks is not None:
            await self.webhooks.alert(topic, details)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver for the length of the block."""
        works = {"ovh": self.ovh.run, "alerts": self.alerts.run}
        if self.webhooks is not None:
            works["webhooks"] = self.webhooks.run
        if self.crm is not None:
            works["crm"] = self.crm.run
        if self.zadarma is not None:
            works["zadarma"] = self.zadarma.run
        if self.zadarma_feed is not None:
            works["zadarma feed"] = self.zadarma_feed.run
        tasks = [asyncio.create_task(self._works.keep(name, run), name=name) for name, run in works.items()]
        try:
            yield
        finally:
            for task in tasks:
                await closing(task)
            await self.ovh.close()
            await self.polls.close()
            await self.outgoing.close()
