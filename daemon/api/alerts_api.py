"""What is amiss now, who has seen it, what was told to whom: the page's *Alertes*.

Open alerts are the engine's own (SystemView), with since when this daemon sees them; they close by themselves.
Acknowledging one says that somebody looks after it, and is audited; it silences nothing. Told ones are what went to the
sinks (log, webhooks with the topic "alert", mail) since the daemon started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Accepted, Answer, Body
from daemon.calls.records import Webhook
from daemon.clock import Clock
from daemon.engine.views import Changes, EngineDoor, SystemView
from daemon.errors import CommandError

TEST_TOPIC = "alert.test"
TOLD_SHOWN_MAX = 100

routes = Routes("/api/v1/alerts", "live")


Told = tuple[datetime, str, Mapping[str, Any]]
"""When an alert went to the sinks, its topic, its details."""


@dataclass(slots=True)
class _Open:
    since: datetime
    by: str = ""
    seen_at: datetime | None = None


class AlertBook:
    """Since when each open alert is open, and who acknowledged it. `told` lists what went out, oldest first."""

    def __init__(self, door: EngineDoor, clock: Clock, told: Callable[[], Sequence[Told]], mail_to: int) -> None:
        self._clock, self.told, self.mail_to = clock, told, mail_to
        self.open: dict[str, _Open] = {}
        self._door = door
        self._look(door.view().get("system", {}))

    def start(self) -> Callable[[], None]:
        """Follow the engine; returns what ends it."""

        def heard(changes: Changes) -> None:
            if "system" in changes:
                self._look(changes["system"])

        return self._door.listen(heard, ("system",))

    def _look(self, rows: Any) -> None:
        now = self._clock.utcnow()
        for view in rows.values():
            if isinstance(view, SystemView):
                self.open = {key: self.open.get(key) or _Open(now) for key in view.alerts}

    def acknowledge(self, key: str, by: str) -> bool:
        """Note who looks after an open alert; False if somebody does already. Raises not_found."""
        entry = self.open.get(key)
        if entry is None:
            raise CommandError("not_found", {"what": f"alert {key[:80]}"})
        if entry.by:
            return False
        entry.by, entry.seen_at = by, self._clock.utcnow()
        return True


class OpenAlert(Answer, kw_only=True):
    """`key` names it; `code` is one of the page's words; `about` what it concerns."""

    key: str
    code: str
    about: str
    since: datetime
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None


class ToldAlert(Answer, kw_only=True):
    at: datetime
    topic: str
    details: dict[str, Any]


class Alerts(Answer, kw_only=True):
    """`mail_to`: how many mail addresses the settings name; `webhooks`: how many of the group take alerts."""

    open: list[OpenAlert]
    told: list[ToldAlert]
    mail_to: int
    webhooks: int


class KeyBody(Body, kw_only=True):
    key: Annotated[str, Meta(min_length=1, max_length=300)]


@routes.get("", permission=Permission.WATCH, reply=Alerts)
async def list_alerts(ask: Ask) -> Reply:
    """Open alerts, oldest first; what the sinks were told of this group, newest first."""
    return Reply(await _alerts(ask))


async def _alerts(ask: Ask) -> Alerts:
    book, who = ask.deps.alerts, ask.who
    group = await ask.deps.auth.group(who.group_id)
    code = group.code if group else ""
    told = [t for t in reversed(book.told()) if who.all_groups or t[2].get("group") == code]
    hooks = await ask.deps.store.find(Webhook, group_id=who.group_id)
    return Alerts(
        open=[_shown(key, entry) for key, entry in book.open.items()],
        told=[ToldAlert(at=at, topic=topic, details=dict(details)) for at, topic, details in told[:TOLD_SHOWN_MAX]],
        mail_to=book.mail_to,
        webhooks=sum(1 for hook in hooks if hook.enabled and (not hook.topics or "alert" in hook.topics)),
    )


def _shown(key: str, entry: _Open) -> OpenAlert:
    code, _, about = key.partition(": ")
    return OpenAlert(
        key=key, code=code, about=about, since=entry.since, acknowledged_by=entry.by, acknowledged_at=entry.seen_at
    )


@routes.post("/acknowledge", permission=Permission.STEER, body=KeyBody, reply=Alerts)
async def acknowledge(ask: Ask) -> Reply:
    """Say that this operator looks after an open alert. The first one stays noted. Idempotent."""
    if ask.deps.alerts.acknowledge(ask.body.key, ask.who.name):
        await ask.deps.store.note(ask.who.name, "alert.acknowledged", "", {"alert": ask.body.key})
    return Reply(await _alerts(ask))


@routes.post("/try", permission=Permission.ADMINISTER, reply=Accepted, status=202)
async def try_sinks(ask: Ask) -> Reply:
    """Send a test alert to every sink: log, webhooks of the group that take alerts, mail."""
    group = await ask.deps.auth.group(ask.who.group_id)
    ask.deps.notify(TEST_TOPIC, {"group": group.code if group else "", "by": ask.who.name})
    return Reply(Accepted(), 202)
