"""What handlers need, built once by `build_app` and handed to each of them. No globals."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from daemon.calls.rates import Rates
from daemon.clock import Clock
from daemon.compliance.rules import RuleSet
from daemon.engine.views import EngineDoor
from daemon.ports import PbxStatus, Store
from daemon.settings import HttpTable
from daemon.tapes import Tapes
from daemon.works import Works

if TYPE_CHECKING:
    from daemon.api.alerts_api import AlertBook
    from daemon.api.auth import Auth
    from daemon.api.crm_api import CrmDoor
    from daemon.api.guard import Guard
    from daemon.api.metrics import Metrics
    from daemon.api.minutes import MinuteAlarms
    from daemon.api.ovh_api import OvhDoor
    from daemon.api.quota import Quotas
    from daemon.api.stream import Streams
    from daemon.api.webhooks_api import Sender
    from daemon.api.zadarma_api import ZadarmaDoor


class Importer(Protocol):
    """The lead import as the pages use it; given by `app` (daemon.leads), since doors are strangers to each other."""

    async def start(self, upload: AsyncIterator[bytes], file_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Take a file; the import's state with its `id`. Raises CommandError (import_no_phone, import_failed)."""
        ...

    async def configure(self, import_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Set the mapping and choices; runs the dry run."""
        ...

    async def run(self, import_id: str) -> dict[str, Any]:
        """Import for good; the state, to be polled."""
        ...

    def state(self, import_id: str) -> dict[str, Any] | None: ...

    async def oppose(self, upload: AsyncIterator[bytes], file_name: str, client_id: int, by: str) -> dict[str, Any]:
        """Put a file of numbers on a client's red list; the report."""
        ...

    def report_file(self, import_id: str) -> Path | None:
        """The CSV with every row's reasons; None before the first try."""
        ...


def log_alert(topic: str, details: Mapping[str, Any]) -> None:
    """Where alerts go when nothing else is given."""
    structlog.get_logger("cadran.api").warning(topic, **details)


@dataclass(kw_only=True)
class Deps:
    """The doors' surroundings. `extensions`: site → phones its PBX is known to have
    (empty: not known); `pbx`: site → its link, None where no engine runs it."""

    door: EngineDoor
    store: Store
    http: HttpTable
    clock: Clock
    rng: random.Random
    auth: Auth
    guard: Guard
    streams: Streams
    metrics: Metrics
    quotas: Quotas
    minutes: MinuteAlarms
    works: Works
    version: str
    site_ids: tuple[str, ...] = ()
    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)
    importer: Importer | None = None
    tapes: Tapes | None = None
    rates: Rates | None = None
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    extensions: Callable[[str], Collection[str]] = lambda site: ()
    pbx: Callable[[str], PbxStatus | None] = lambda site: None
    notify: Callable[[str, Mapping[str, Any]], None] = log_alert
    webhooks: Sender | None = None
    crm: CrmDoor | None = None
    ovh: OvhDoor | None = None
    zadarma: ZadarmaDoor | None = None
    webhook_overlap_s: float = 86_400.0
    demo_token: str = ""
    walls: dict[str, Any] = field(default_factory=dict)
    consents: dict[tuple[int, int], tuple[datetime, list[dict[str, Any]]]] = field(default_factory=dict)
    """Consents by state as last counted, by group and days of validity: counting reads them all."""
    alerts: AlertBook
