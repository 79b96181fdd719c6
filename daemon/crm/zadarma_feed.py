"""Our own calls as Zadarma's notifications: software written for that PBX hears of ours, signed with the link's secret.

In: the engine's published views, through `on_change`, which only puts notes in bounded queues. Out: one POST a step to
the link's `feed_url`, in a call's order; three tries, then it is dropped and counted: for what must not be lost there
are webhooks. A link without `feed_url` costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import structlog

from daemon.calls.records import Agent
from daemon.calls.zadarma_records import ZadarmaLink
from daemon.crm.http import OutgoingError
from daemon.crm.wire import Http
from daemon.crm.zadarma_api import signature_of
from daemon.engine.views import CallView, Changes, EngineDoor
from daemon.errors import CommandError, StoreError
from daemon.ports import Store
from daemon.works import Works

log = structlog.get_logger("cadran.zadarma")

QUEUE_MAX: Final = 1000
CALLS_MAX: Final = 5000
STAFF_S: Final = 5.0
TRIES: Final = 3
RETRY_S: Final = 2.0
TIMEOUT_S: Final = 5.0
ROW_TRIES: Final = 10
ROW_PAUSE_S: Final = 0.3
"""A call's row is written a moment after its view."""
DISPOSITIONS: Final[Mapping[str, str]] = {
    "connected": "answered",
    "machine": "answered",
    "abandoned": "answered",
    "fax": "answered",
    "busy": "busy",
    "no_answer": "no answer",
    "missed": "no answer",
    "cancelled": "cancel",
    "unallocated": "unallocated number",
    "congestion": "line limit",
}
"""Our outcomes in Zadarma's words; others are "failed"."""


@dataclass(frozen=True, slots=True)
class _Note:
    """`step`: start, internal, answer, end."""

    id: str
    inbound: bool
    agent_id: int
    step: str


@dataclass(slots=True)
class _Receiver:
    link: ZadarmaLink
    queue: asyncio.Queue[_Note] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    work: asyncio.Task[None] | None = None


class ZadarmaFeed:
    """One a daemon. `secret` opens a link's; `door` is the engine's, listened to while somebody wants to hear."""

    def __init__(
        self, store: Store, http: Http, secret: Callable[[ZadarmaLink], Awaitable[str]], works: Works,
        *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store, self._http, self._secret, self._works, self._sleep = store, http, secret, works, sleep
        self.door: EngineDoor | None = None
        self._deaf: Callable[[], None] | None = None
        self.receivers: dict[int, _Receiver] = {}
        self._calls: OrderedDict[str, tuple[int, bool, int, frozenset[str]]] = OrderedDict()
        self.sent = self.dropped = 0

    # -- from the engine: returns at once ----------------------------------------------------------------------------

    def on_change(self, changes: Changes) -> None:
        """A batch of views: a call begins, rings an agent, is talked on, is gone."""
        if not self.receivers:
            return
        for id, view in changes.get("calls", {}).items():
            if view is None:
                group, inbound, agent, steps = self._calls.pop(id, (0, False, 0, frozenset()))
                if steps:
                    self._note(group, _Note(id, inbound, agent, "end"))
            elif isinstance(view, CallView) and view.group_id in self.receivers:
                self._seen(id, view)

    def _seen(self, id: str, view: CallView) -> None:
        inbound = view.kind == "inbound"
        group, _, agent, steps = self._calls.get(id, (view.group_id, inbound, 0, frozenset()))
        now = ["start"]
        if inbound and view.agent_id and view.agent_id != agent:
            steps -= {"internal"}
            now.append("internal")
        if view.stage == "talking":
            now.append("answer")
        for step in now:
            if step not in steps:
                self._note(group, _Note(id, inbound, view.agent_id or agent, step))
        self._calls[id] = (group, inbound, view.agent_id or agent, steps | set(now))
        while len(self._calls) > CALLS_MAX:
            self._calls.popitem(last=False)

    def _note(self, group_id: int, note: _Note) -> None:
        receiver = self.receivers.get(group_id)
        if receiver is None:
            return
        try:
            receiver.queue.put_nowait(note)
        except asyncio.QueueFull:
            self.dropped += 1

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: one worker a link that wants to hear."""
        try:
            while True:
                with suppress(StoreError):
                    await self.staff()
                await asyncio.sleep(STAFF_S)
        finally:
            self._listen(False)
            tasks = [each.work for each in self.receivers.values() if each.work is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.receivers.clear()

    async def staff(self) -> None:
        """Take up links as they are now."""
        links = {row.group_id: row for row in await self._store.find(ZadarmaLink, enabled=True) if row.feed_url}
        for group in [group for group in self.receivers if group not in links]:
            work = self.receivers.pop(group).work
            if work is not None:
                work.cancel()
        for group, link in links.items():
            receiver = self.receivers.setdefault(group, _Receiver(link))
            receiver.link = link
            if receiver.work is None or receiver.work.done():
                name, deliver = f"zadarma feed {link.id}", partial(self._deliver, receiver)
                receiver.work = asyncio.create_task(self._works.keep(name, deliver), name=name)
        self._listen(bool(links))

    def _listen(self, wanted: bool) -> None:
        if wanted and self._deaf is None and self.door is not None:
            self._deaf = self.door.listen(self.on_change, ("calls",))
        elif not wanted and self._deaf is not None:
            self._deaf()
            self._deaf = None
            self._calls.clear()

    async def _deliver(self, receiver: _Receiver) -> None:
        while True:
            note = await receiver.queue.get()
            try:
                fields = await self.fields(note)
                done = fields is not None and await self._send(receiver.link, fields)
            except (StoreError, CommandError) as error:
                log.warning("zadarma.feed_failed", error=type(error).__name__)
                done = False
            self.sent += done
            self.dropped += not done

    async def _send(self, link: ZadarmaLink, fields: Mapping[str, str]) -> bool:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Signature": signature_of(await self._secret(link), fields),
        }
        body = urlencode(fields).encode()
        for attempt in range(TRIES):
            if attempt:
                await self._sleep(RETRY_S)
            try:
                answer = await self._http.request(
                    "POST", link.feed_url, headers=headers, body=body, timeout_s=TIMEOUT_S, redirects_max=0
                )
                if answer.status < 300:
                    return True
                reason = str(answer.status)
            except OutgoingError as error:
                reason = str(error)[:200]
        log.warning("zadarma.feed_refused", link=link.id, reason=reason)
        return False

    async def fields(self, note: _Note) -> dict[str, str] | None:
        """A step as the notification that says it; None if the call's row is not to be had."""
        row = await self._row(note)
        if row is None:
            return None
        agent = await self._store.get(Agent, note.agent_id) if note.agent_id else None
        internal = agent.extension if agent is not None else ""
        person, ours = row["e164"], str(row["caller_id"]).lstrip("+")
        start = {
            "call_start": f"{row['at']:%Y-%m-%d %H:%M:%S}",
            "pbx_call_id": f"{'in' if note.inbound else 'out'}_{UUID(note.id).hex}",
        }
        who = {"internal": internal} if internal else {}
        if note.step == "answer":
            caller, called = (person, internal or ours) if note.inbound else (ours, person.lstrip("+"))
            return {"event": "NOTIFY_ANSWER", "caller_id": caller, "destination": called, **start, **who}
        if note.inbound:
            fields = {"caller_id": person, "called_did": ours, **start}
            fields |= who if note.step != "start" else {}
            event = {"start": "NOTIFY_START", "internal": "NOTIFY_INTERNAL", "end": "NOTIFY_END"}[note.step]
        else:
            fields = {"internal": internal, "destination": person.lstrip("+"), **start}
            event = "NOTIFY_OUT_START" if note.step == "start" else "NOTIFY_OUT_END"
        return {"event": event, **fields, **(_end(row, note, ours) if note.step == "end" else {})}

    async def _row(self, note: _Note) -> dict[str, Any] | None:
        for attempt in range(ROW_TRIES):
            if attempt:
                await self._sleep(ROW_PAUSE_S)
            row = await self._store.attempt(UUID(note.id))
            if row is not None and (note.step != "end" or row["ended_at"] is not None):
                return row
        return None


def _end(row: Mapping[str, Any], note: _Note, ours: str) -> dict[str, str]:
    """What a call's last notification adds. Recordings stay here: they are for those who may hear them."""
    more = {} if note.inbound else {"caller_id": ours}
    return more | {
        "duration": str(round(row["talk_s"] or 0)),
        "disposition": DISPOSITIONS.get(str(row["outcome"]), "failed"),
        "status_code": str(row["cause"] or 0),
        "is_recorded": "0",
    }
