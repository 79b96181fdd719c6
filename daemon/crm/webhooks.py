"""Webhooks: what happened to a group's calls, told to other software (features CRMI-03).

In: outbox rows, put there with the facts they tell of. Out: signed POSTs, one a step of a call, in order for each call;
each is tried until a 2xx or for a day, then it is a dead letter that can be replayed. One worker a webhook, so that a
slow receiver holds up nobody else, and none of them is near a call: the rows wait in the database.

Signed as the Standard Webhooks convention has it, so that its libraries verify us: headers `webhook-id`,
`webhook-timestamp` and `webhook-signature: v1,<base64>`, the HMAC-SHA256 of `id.timestamp.body`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from daemon import keyfile
from daemon.calls.records import Group, Webhook
from daemon.clock import Clock
from daemon.crm.http import Outgoing, OutgoingError
from daemon.errors import StoreError
from daemon.ports import OutboxKey, Store, WebhookStore
from daemon.settings import WebhooksTable
from daemon.works import Works

log = structlog.get_logger("cadran.webhooks")

KEY_FILE = "webhook.key"
ANSWER_BYTES_MAX = 64 * 1024
"""Receivers have nothing to tell us but a status; a page of an error is read no further than this."""
REST_AFTER = 3
"""Failures in a row after which a receiver is taken as down, and asked with one row at a time."""
SWEEP_S = 3600.0
STAFF_S = 4.0
"""What another daemon changes of a webhook holds here after so long: its old address is told no more of its calls."""
DEAD_DAYS = 30
WRONG_KEY = "the key file differs from the one its secret was shown from: copy webhook.key, or rotate the secret"

UNEXPECTED = "an unexpected failure: the log has it"

Notify = Callable[[str, Mapping[str, Any]], None]


class WebhookKeys:
    """Secrets of webhooks, derived from one key that is a file: the database holds none, nor does a copy of it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def id(self) -> str:
        """Tells one key from another without telling anything of it."""
        return hmac.digest(self._key, b"which key", "sha256").hex()[:16]

    def secret(self, webhook_id: int, generation: int) -> str:
        """`whsec_` and base64, as verifying libraries take it; what is signed with is the decoded part."""
        raw = hmac.digest(self._key, f"webhook:{webhook_id}:{generation}".encode(), "sha256")
        return "whsec_" + base64.b64encode(raw).decode()

    def secrets(self, webhook: Webhook, now: datetime) -> list[str]:
        """Those in force at an instant, newest first: two while a rotation's overlap lasts."""
        found = [self.secret(webhook.id, webhook.generation)]
        if webhook.previous_until is not None and now < webhook.previous_until and webhook.generation > 1:
            found.append(self.secret(webhook.id, webhook.generation - 1))
        return found


def load_or_make_key(folder: Path, random_bytes: Callable[[int], bytes]) -> WebhookKeys:
    """Those of the key in `folder`, made at the first start. Raises SettingsError."""
    return WebhookKeys(keyfile.load_or_make(folder / KEY_FILE, random_bytes))


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,<base64>`. `timestamp`: seconds since 1970, of this attempt."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def message_of(row: Mapping[str, Any]) -> tuple[str, bytes]:
    """(id, body) of an outbox row; both the same however often it is sent, so that receivers can drop repetitions."""
    message_id = f"{row['site']}-{row['fence']}-{row['n']}"
    body = {"id": message_id, "type": row["topic"], "timestamp": row["at"], "data": row["payload"]}
    return message_id, msgspec.json.encode(body)


@dataclass(slots=True)
class Receiver:
    """A webhook at work. `failures`: in a row; `rests_until_at`: monotonic."""

    webhook: Webhook
    failures: int = 0
    rests_until_at: float = 0.0
    delivered: int = 0
    refused: int = 0
    last_error: str = ""
    last_delivered_at: datetime | None = None


class WebhookSender:
    """All webhooks of the sites this daemon leads. `sites` says which; standby daemons have none and send nothing."""

    def __init__(
        self,
        store: Store,
        outgoing: Outgoing,
        keys: WebhookKeys,
        clock: Clock,
        rng: random.Random,
        table: WebhooksTable,
        *,
        sites: Callable[[], Sequence[str]],
        notify: Notify,
        works: Works | None = None,
    ) -> None:
        assert isinstance(store, WebhookStore)
        self._store, self._outbox, self._outgoing, self._keys = store, store, outgoing, keys
        self._clock, self._rng, self._table = clock, rng, table
        self._sites, self._notify, self._works = sites, notify, works or Works(clock)
        self.receivers: dict[int, Receiver] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._n = 0
        self._changed = asyncio.Event()

    # ---- what the doors ask -------------------------------------------------------------------------------------

    @property
    def key_id(self) -> str:
        return self._keys.id

    def secret(self, webhook: Webhook) -> str:
        """The newest secret, to be shown once."""
        return self._keys.secret(webhook.id, webhook.generation)

    def changed(self) -> None:
        """Rows of webhooks were written here: look at them now. Other daemons' writes are seen within STAFF_S."""
        self._changed.set()

    def url_problem(self, url: str) -> str:
        """Why a URL can't be used; "" if nothing speaks against it. Names are resolved when they are used, not here."""
        try:
            self._outgoing.check(url)
        except OutgoingError as error:
            return str(error)
        return ""

    def state(self, webhook_id: int) -> dict[str, Any]:
        """What is known of a receiver since this daemon started."""
        known = self.receivers.get(webhook_id)
        if known is None:
            return {}
        resting = known.rests_until_at > self._clock.now()
        return {
            "delivered": known.delivered,
            "refused": known.refused,
            "last_error": known.last_error,
            "last_delivered_at": known.last_delivered_at,
            "resting": resting,
        }

    async def tell(self, group_id: int, topic: str, payload: Mapping[str, Any], only: int = 0) -> int:
        """Put what is no step of a call into the outbox. How many webhooks will be told."""
        sites = self._sites()
        if not sites:
            return 0
        self._n += 1
        at = self._clock.utcnow()
        key = (sites[0], int(at.timestamp() * 1000), self._n)
        return await self._outbox.outbox_add(group_id, topic, payload, at, key, only)

    async def alert(self, topic: str, details: Mapping[str, Any]) -> None:
        """An alert that names a group, for that group's webhooks; others are no tenant's business."""
        groups = await self._store.find(Group, code=str(details["group"])) if details.get("group") else []
        for group in groups:
            await self.tell(group.id, "alert", {"alert": topic, **msgspec.to_builtins(dict(details))})

    # ---- work ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        swept_at = self._clock.now()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._staff()
                    if self._clock.now() - swept_at >= SWEEP_S:
                        swept_at = self._clock.now()
                        await self.sweep()
                except StoreError as error:
                    log.warning("webhooks wait for the database", error=type(error).__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(STAFF_S):
                        await self._changed.wait()
        finally:
            for task in self._workers.values():
                task.cancel()
            await asyncio.gather(*self._workers.values(), return_exceptions=True)
            self._workers.clear()

    async def sweep(self) -> None:
        """Rows past their time become dead letters, old dead letters go."""
        now = self._clock.utcnow()
        if expired := await self._outbox.outbox_sweep(now, now - timedelta(days=DEAD_DAYS)):
            log.warning("webhook rows not delivered in their time", count=expired)

    async def _staff(self) -> None:
        """One worker for each webhook that is on."""
        rows = {row.id: row for row in await self._store.find(Webhook, enabled=True)}
        for id in [id for id in self._workers if id not in rows or self._workers[id].done()]:
            self._workers.pop(id).cancel()
        for id in [id for id in self.receivers if id not in rows]:
            del self.receivers[id]
        for id, row in rows.items():
            known = self.receivers.setdefault(id, Receiver(row))
            if row.version != known.webhook.version:
                known.webhook, known.failures, known.rests_until_at = row, 0, 0.0  # repaired, perhaps: try at once
            if id not in self._workers:
                name, serve = f"webhook {id}", partial(self._serve, known)
                self._workers[id] = asyncio.create_task(self._works.keep(name, serve), name=name)

    async def _serve(self, receiver: Receiver) -> None:
        while True:
            try:
                busy = await self.look(receiver)
            except StoreError as error:
                log.warning("webhook waits for the database", webhook=receiver.webhook.id, error=type(error).__name__)
                busy = False
            if not busy:
                await asyncio.sleep(self._table.poll_s)

    async def look(self, receiver: Receiver) -> bool:
        """Deliver what is due, several calls at once. Whether there was anything; then more may be due already."""
        now = self._clock.now()
        if now < receiver.rests_until_at:
            return False
        limit = 1 if receiver.failures >= REST_AFTER else self._table.concurrency
        rows = await self._outbox.outbox_due(receiver.webhook.id, self._sites(), self._clock.utcnow(), limit)
        if not rows:
            return False
        errors = await asyncio.gather(*(self._tried(receiver.webhook, row) for row in rows))
        done = [_key(row) for row, error in zip(rows, errors, strict=True) if not error]
        if done:
            await self._outbox.outbox_done(done)
            receiver.delivered += len(done)
            receiver.last_delivered_at = self._clock.utcnow()
        for row, error in zip(rows, errors, strict=True):
            if error:
                await self._failed(receiver, row, error)
        self._judge(receiver, errors)
        return True

    def _judge(self, receiver: Receiver, errors: Sequence[str]) -> None:
        """A receiver that takes nothing is asked more and more rarely, and with one row: what it missed waits."""
        if not all(errors):
            receiver.failures, receiver.rests_until_at = 0, 0.0
            return
        receiver.failures += len(errors)
        if receiver.failures >= REST_AFTER:
            steps = min(20, receiver.failures - REST_AFTER)
            rest = min(self._table.rest_max_s, self._table.retry_first_s * 2.0**steps)
            receiver.rests_until_at = self._clock.now() + rest

    async def _tried(self, webhook: Webhook, row: Mapping[str, Any]) -> str:
        """As `_deliver`; a row that can't even be sent has failed like any other, and holds up none behind it."""
        error = await self._works.attempt(f"webhook {webhook.id}", self._deliver(webhook, row))
        return UNEXPECTED if error is None else error

    async def _deliver(self, webhook: Webhook, row: Mapping[str, Any]) -> str:
        """What went wrong; "" if nothing did."""
        if webhook.key_id != self._keys.id:
            return WRONG_KEY
        message_id, body = message_of(row)
        now = self._clock.utcnow()
        timestamp = int(now.timestamp())
        signatures = [sign(secret, message_id, timestamp, body) for secret in self._keys.secrets(webhook, now)]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }
        try:
            answer = await self._outgoing.request(
                "POST",
                webhook.url,
                headers=headers,
                body=body,
                timeout_s=self._table.timeout_s,
                bytes_max=ANSWER_BYTES_MAX,
                redirects_max=0,
            )
        except OutgoingError as error:
            if error.code == "too_large":
                return "its answer is too large"
            return f"{error.code}: {error}"
        return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"

    async def _failed(self, receiver: Receiver, row: Mapping[str, Any], error: str) -> None:
        """Later, with growing pauses and some chance in them so that a crowd does not come back at one instant."""
        now = self._clock.utcnow()
        pause = min(self._table.retry_max_s, self._table.retry_first_s * 2.0 ** min(20, row["tries"]))
        next_at: datetime | None = now + timedelta(seconds=pause * self._rng.uniform(0.75, 1.25))
        if next_at is not None and next_at >= row["expires_at"]:
            # The last try falls on the end of its time; past that it is a dead letter.
            next_at = row["expires_at"] if now < row["expires_at"] else None
        receiver.last_error = error[:300]
        receiver.refused += 1
        await self._outbox.outbox_failed(_key(row), next_at, error[:300], now)
        log.warning("webhook not delivered", webhook=receiver.webhook.id, tries=row["tries"] + 1, error=error[:300])
        if next_at is None:
            details = {"webhook": receiver.webhook.name, "webhook_id": receiver.webhook.id, "error": error[:300]}
            self._notify("webhook.dead", details)


def _key(row: Mapping[str, Any]) -> OutboxKey:
    return row["webhook_id"], row["site"], row["fence"], row["n"]
