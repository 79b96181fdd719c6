"""Webhooks: who is told of a group's calls (features CRMI-03): rows, secrets shown once and rotated, dead letters.

The sender is daemon.crm's, given by the composition root. Docs: docs/webhooks.md.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Body, IdOrZero, Limit, ListQuery, Name, Query
from daemon.calls.records import WEBHOOK_TOPICS, Webhook
from daemon.errors import CommandError
from daemon.ports import WebhookStore

routes = Routes("/api/v1/webhooks", "webhooks")
REPLAY_DAYS = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LETTER = re.compile(r"[a-z][a-z0-9]{0,15}-[0-9]{1,18}-[0-9]{1,18}")
AFTER = re.compile(r"([0-9]{1,17})-([0-9]{1,18})-([0-9]{1,18})")
Url = Annotated[str, Meta(pattern=r"^https?://[^\s<>\"\\]{1,1000}$")]
Topic = Annotated[str, Meta(pattern="^(" + "|".join(re.escape(topic) for topic in WEBHOOK_TOPICS) + ")$")]
Topics = Annotated[list[Topic], Meta(max_length=len(WEBHOOK_TOPICS))]


class Sender(Protocol):
    """What the routes need of the sender (daemon.crm.webhooks)."""

    @property
    def key_id(self) -> str: ...
    def secret(self, webhook: Webhook) -> str: ...
    def url_problem(self, url: str) -> str: ...
    def changed(self) -> None: ...
    def state(self, webhook_id: int) -> dict[str, Any]: ...
    async def tell(self, group_id: int, topic: str, payload: dict[str, Any], only: int = 0) -> int: ...


class WebhookCreate(Body, kw_only=True):
    """`topics` empty = all. `url`: https, or http to a network that the settings allow."""

    name: Name
    url: Url
    topics: Topics = []
    enabled: bool = True
    group_id: IdOrZero = 0


class WebhookPatch(Body, kw_only=True):
    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    topics: Topics | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhookView(Answer, kw_only=True):
    """A webhook and how it fares. `pending`: steps not delivered yet, the oldest of `oldest_at`; `dead`: given up.

    `previous_until`: until then the secret before the last rotation signs too. `delivered`, `refused`, `last_error`,
    `last_delivered_at`, `resting`: since this daemon started.
    """

    id: int
    version: int
    group_id: int
    name: str
    url: str
    topics: list[str]
    enabled: bool
    previous_until: datetime | None
    pending: int = 0
    dead: int = 0
    oldest_at: datetime | None = None
    delivered: int = 0
    refused: int = 0
    last_error: str = ""
    last_delivered_at: datetime | None = None
    resting: bool = False


class WebhookOnce(WebhookView, kw_only=True):
    """With its secret, which no other answer shows."""

    secret: str


class WebhookPage(Answer, kw_only=True):
    rows: list[WebhookView]
    next_after: int | None = None


class DeadQuery(Query, kw_only=True):
    limit: Limit = 100
    after: Annotated[str, Meta(max_length=60)] = ""


class DeadLetter(Answer, kw_only=True):
    """A message given up. `id` is the `webhook-id` it was sent under."""

    id: str
    at: datetime
    topic: str
    tries: int
    error: str
    dead_at: datetime
    data: dict[str, Any]


class DeadPage(Answer, kw_only=True):
    rows: list[DeadLetter]
    next_after: str | None = None


class ReplayBody(Body, kw_only=True):
    """Without `ids`: all dead letters of the webhook."""

    ids: Annotated[list[Annotated[str, Meta(pattern=f"^{LETTER.pattern}$")]], Meta(max_length=1000)] | None = None


class Replayed(Answer, kw_only=True):
    replayed: int


class Told(Answer, kw_only=True):
    """`queued`: a message with the topic `test` is in the outbox; see `delivered` and `last_error` soon after."""

    queued: bool


def _sender(ask: Ask) -> Sender:
    if ask.deps.webhooks is None:
        raise CommandError("not_available", {"what": "webhooks"})
    return ask.deps.webhooks


def _outbox(ask: Ask) -> WebhookStore:
    if not isinstance(ask.deps.store, WebhookStore):
        raise CommandError("not_available", {"what": "webhooks"})
    return ask.deps.store


def _check_url(ask: Ask, url: str) -> None:
    """The same refusals as at sending, as far as they need no name resolved."""
    if problem := _sender(ask).url_problem(url):
        raise CommandError("field_invalid", {"field": "url", "value": url[:80], "allowed": problem})


async def _views(ask: Ask, rows: list[Webhook]) -> list[WebhookView]:
    figures = await _outbox(ask).outbox_figures([row.id for row in rows])
    return [_view(ask, row, figures.get(row.id, {})) for row in rows]


def _view(ask: Ask, row: Webhook, figures: dict[str, Any]) -> WebhookView:
    names = ("id", "version", "group_id", "name", "url", "topics", "enabled", "previous_until")
    state = _sender(ask).state(row.id)
    return WebhookView(**{name: getattr(row, name) for name in names}, **figures, **state)


async def _once(ask: Ask, row: Webhook) -> WebhookOnce:
    view = (await _views(ask, [row]))[0]
    return WebhookOnce(**msgspec.structs.asdict(view), secret=_sender(ask).secret(row))


async def _noted(ask: Ask, what: str, row: Webhook) -> None:
    """Into the audit log, and to the sender."""
    _sender(ask).changed()
    await ask.deps.store.note(ask.who.name, what, f"webhook:{row.id}", {"name": row.name, "group_id": row.group_id})


@routes.get("", permission=Permission.ADMINISTER, query=ListQuery, reply=WebhookPage)
async def list_webhooks(ask: Ask) -> Reply:
    """Webhooks of the group and how they fare, without their secrets."""
    rows = [r for r in await scope.all_of(ask, Webhook, ask.query.group_id) if r.id > ask.query.after]
    rows.sort(key=lambda row: row.id)
    page, more = rows[: ask.query.limit], len(rows) > ask.query.limit
    return Reply(WebhookPage(rows=await _views(ask, page), next_after=page[-1].id if more else None))


@routes.get("/{id}", permission=Permission.ADMINISTER, reply=WebhookView)
async def read_webhook(ask: Ask) -> Reply:
    """One webhook and how it fares."""
    row = await scope.get(ask, Webhook, ask.id)
    return Reply((await _views(ask, [row]))[0], 200, {"ETag": scope.etag(row.version)})


@routes.post("", permission=Permission.ADMINISTER, body=WebhookCreate, reply=WebhookOnce, status=201)
async def create_webhook(ask: Ask) -> Reply:
    """Add a webhook. This answer is the only one that ever shows its secret."""
    body: WebhookCreate = ask.body
    _check_url(ask, body.url)
    row = await ask.deps.store.create(
        Webhook(
            group_id=scope.home_group(ask, body.group_id),
            name=body.name,
            url=body.url,
            topics=list(dict.fromkeys(body.topics)),
            enabled=body.enabled,
            key_id=_sender(ask).key_id,
        )
    )
    await _noted(ask, "webhook.created", row)
    headers = {"Location": f"/api/v1/webhooks/{row.id}", "ETag": scope.etag(row.version)}
    return Reply(await _once(ask, row), 201, headers)


@routes.patch("/{id}", permission=Permission.ADMINISTER, body=WebhookPatch, reply=WebhookView, if_match=True)
async def change_webhook(ask: Ask) -> Reply:
    """Change a webhook; steps waiting for it go to the new address."""
    current = await scope.get(ask, Webhook, ask.id)
    version = scope.if_match(ask, current)
    given = {k: v for k, v in msgspec.structs.asdict(ask.body).items() if v is not UNSET}
    if "url" in given:
        _check_url(ask, given["url"])
    changes = {k: v for k, v in given.items() if v != getattr(current, k)}
    if changes:
        current = await ask.deps.store.update(Webhook, current.id, changes, version)
        await _noted(ask, "webhook.changed", current)
    return Reply((await _views(ask, [current]))[0], 200, {"ETag": scope.etag(current.version)})


@routes.delete("/{id}", permission=Permission.ADMINISTER, status=204, if_match=True)
async def delete_webhook(ask: Ask) -> Reply:
    """Delete a webhook and all that waits for it."""
    current = await scope.get(ask, Webhook, ask.id)
    await ask.deps.store.delete(Webhook, current.id, scope.if_match(ask, current))
    await _noted(ask, "webhook.deleted", current)
    return Reply(None, 204)


@routes.post("/{id}/rotate", permission=Permission.ADMINISTER, reply=WebhookOnce)
async def rotate_secret(ask: Ask) -> Reply:
    """Give a webhook a new secret, shown once; the one before signs beside it for a while, so nothing is lost."""
    current = await scope.get(ask, Webhook, ask.id)
    now, overlap = ask.deps.clock.utcnow(), timedelta(seconds=ask.deps.webhook_overlap_s)
    same_key = current.key_id == _sender(ask).key_id
    changes = {
        "generation": current.generation + 1,
        "previous_until": now + overlap if same_key else None,
        "key_id": _sender(ask).key_id,
    }
    row = await ask.deps.store.update(Webhook, current.id, changes, current.version)
    await _noted(ask, "webhook.rotated", row)
    return Reply(await _once(ask, row))


@routes.post("/{id}/test", permission=Permission.ADMINISTER, reply=Told, status=202)
async def test_webhook(ask: Ask) -> Reply:
    """Send a message with the topic `test`, whatever the webhook's topics."""
    row = await scope.get(ask, Webhook, ask.id)
    queued = await _sender(ask).tell(row.group_id, "test", {"webhook_id": row.id, "name": row.name}, row.id)
    return Reply(Told(queued=bool(queued)), 202)


@routes.get("/{id}/dead-letters", permission=Permission.ADMINISTER, query=DeadQuery, reply=DeadPage)
async def dead_letters(ask: Ask) -> Reply:
    """Messages given up after a day, oldest first; kept for 30 days."""
    row = await scope.get(ask, Webhook, ask.id)
    found = await _outbox(ask).outbox_dead(row.id, _after(ask.query.after), ask.query.limit + 1)
    page, more = found[: ask.query.limit], len(found) > ask.query.limit
    letters = [
        DeadLetter(
            id=f"{each['site']}-{each['fence']}-{each['n']}",
            at=each["at"],
            topic=each["topic"],
            tries=each["tries"],
            error=each["error"],
            dead_at=each["dead_at"],
            data=each["payload"],
        )
        for each in page
    ]
    return Reply(DeadPage(rows=letters, next_after=_mark(page[-1]) if more else None))


def _mark(row: dict[str, Any]) -> str:
    """Where the next page begins: microseconds since 1970, fence, number."""
    return f"{(row['at'] - EPOCH) // timedelta(microseconds=1)}-{row['fence']}-{row['n']}"


def _after(text: str) -> tuple[datetime, int, int] | None:
    if not text:
        return None
    found = AFTER.fullmatch(text)
    if found is None:
        raise CommandError("field_invalid", {"field": "after", "value": text, "allowed": "next_after of a page"})
    return EPOCH + timedelta(microseconds=int(found[1])), int(found[2]), int(found[3])


@routes.post("/{id}/replay", permission=Permission.ADMINISTER, body=ReplayBody, reply=Replayed)
async def replay(ask: Ask) -> Reply:
    """Send dead letters again, in their calls' order, for another day."""
    row = await scope.get(ask, Webhook, ask.id)
    now = ask.deps.clock.utcnow()
    count = await _outbox(ask).outbox_replay(row.id, ask.body.ids, now, now + timedelta(days=REPLAY_DAYS))
    await _noted(ask, "webhook.replayed", row)
    return Reply(Replayed(replayed=count))
