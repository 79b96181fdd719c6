"""Lines at OVHcloud: an incoming call's event opens the page of the settings' URL (OVH-04…08; D12, D13).

In: the lines' events (daemon.crm.ovh). Out: pages for the desk of the line's agent, asked for with a long poll; with
display `silent` a request of ours. All events are kept for a while, newest first, for who supervises.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from daemon.calls.records import Agent, Group
from daemon.clock import Clock
from daemon.crm.ovh import ApiKeys, EventStream, MadeToken, OvhError, OvhEvent, ReadyToken, Sleep, TokenSource
from daemon.crm.pops import ask_silently
from daemon.crm.screenpop import hook_url
from daemon.crm.wire import Http
from daemon.errors import SettingsError
from daemon.ports import Store
from daemon.settings import OvhLineTable, OvhTable

log = structlog.get_logger("cadran.crm")

TRIGGERS: Final = frozenset({"start_ringing", "member-queue-start"})
"""Somebody calls the line, or its queue. `start_calling` is a call that the line makes itself."""
KEPT_MAX: Final = 500
SILENT_MAX: Final = 20
TRY_WAIT_S: Final = 5.0
"""A refusal comes at once; a poll that is still unanswered then was taken."""
Secret = Callable[[str, str], str]
"""A settings key and a file to its secret (daemon.settings_file.read_secret)."""


@dataclass(frozen=True, slots=True)
class LinePop:
    """A page for an agent; `number` grows by one with each."""

    number: int
    agent_id: int
    at: datetime
    url: str
    display: str
    event: str
    calling: str


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as it is listed."""

    group: str
    line: str
    at: datetime
    event: OvhEvent


class _LineToken:
    """The line's token or keys, read from their files when needed: a mended file is used at the next try."""

    def __init__(self, line: OvhLineTable, table: OvhTable, http: Http, clock: Clock, secret: Secret) -> None:
        self._line, self._table, self._http, self._clock, self._secret = line, table, http, clock, secret
        self._made: MadeToken | None = None

    async def token(self, refused: str) -> str:
        try:
            return await self._source().token(refused)
        except SettingsError as error:
            raise OvhError(str(error)) from error

    def _source(self) -> TokenSource:
        line = self._line
        if line.token_file:
            return ReadyToken(self._secret("ovh.lines.token_file", line.token_file))
        if self._made is None:
            keys = ApiKeys(
                line.application_key,
                self._secret("ovh.lines.application_secret_file", line.application_secret_file),
                self._secret("ovh.lines.consumer_key_file", line.consumer_key_file),
            )
            self._made = MadeToken(
                self._http, self._clock, keys, line.billing_account, line.service,
                expiration=line.token_expiration, api_url=self._table.api_url,
            )  # fmt: skip
        return self._made


def _digits(number: str) -> str:
    return re.sub(r"^00|[^0-9]", "", number)


def rings(event: OvhEvent, service: str) -> bool:
    """Whether somebody calls this line. A token of a whole account brings the events of its other lines too."""
    if event.event not in TRIGGERS or _digits(event.calling) == _digits(service):
        return False
    return not event.service or _digits(event.service) == _digits(service)


class OvhLines:
    """All lines of the settings. `polls`: a client whose time bound lets a long poll last."""

    def __init__(
        self, store: Store, http: Http, polls: Http, clock: Clock, rng: random.Random, table: OvhTable, secret: Secret,
        *, sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store, self._http, self._clock, self._sleep = store, http, clock, sleep
        self._lines = table.lines
        self._streams = [
            EventStream(
                polls, _LineToken(line, table, http, clock, secret), rng,
                url=table.events_url, poll_s=table.poll_s, sleep=sleep,
            )
            for line in table.lines
        ]  # fmt: skip
        self._heard: deque[Heard] = deque(maxlen=KEPT_MAX)
        self._pops: deque[LinePop] = deque(maxlen=KEPT_MAX)
        self._rung: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._changed = asyncio.Condition()
        self._silent: set[asyncio.Task[bool]] = set()
        self._number = 0
        self._closed = False

    async def run(self) -> None:
        """Follow all lines until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line, stream in zip(self._lines, self._streams, strict=True):
                group.create_task(self._follow(line, stream), name=f"ovh line {line.service}")

    async def _follow(self, line: OvhLineTable, stream: EventStream) -> None:
        async def take(event: OvhEvent) -> None:
            await self.take(line, event)

        await stream.run(take)

    async def take(self, line: OvhLineTable, event: OvhEvent) -> None:
        """One event: listed, and a page for the line's agent if somebody calls."""
        self._heard.appendleft(Heard(line.group, line.service, self._clock.utcnow(), event))
        if not line.hook_url or not rings(event, line.service) or self._again(line, event):
            return
        values = {"CALLING": event.calling, "CALLED": event.called, "DIALED": event.dialed, "EVENT": event.event}
        url = hook_url(line.hook_url, values, line.number_format)
        if line.display == "silent":
            self._ask(url)
            return
        agent_id = await self._agent(line)
        if agent_id:
            await self._push(agent_id, url, line.display, event)

    def _again(self, line: OvhLineTable, event: OvhEvent) -> bool:
        """Whether this call has opened its page: a line with several phones says that each of them rings."""
        key = (line.service, event.call_id) if event.call_id else (line.service, *event.key)
        known = key in self._rung
        self._rung[key] = None
        while len(self._rung) > KEPT_MAX:
            self._rung.popitem(last=False)
        return known

    async def _agent(self, line: OvhLineTable) -> int:
        for group in await self._store.find(Group, code=line.group):
            for agent in await self._store.find(Agent, group_id=group.id, login=line.agent):
                return agent.id
        log.warning("ovh.no_agent", line=line.service, group=line.group, agent=line.agent)
        return 0

    async def _push(self, agent_id: int, url: str, display: str, event: OvhEvent) -> None:
        async with self._changed:
            self._number += 1
            now = self._clock.utcnow()
            self._pops.append(LinePop(self._number, agent_id, now, url, display, event.event, event.calling))
            self._changed.notify_all()

    def _ask(self, url: str) -> None:
        if len(self._silent) >= SILENT_MAX:
            log.warning("ovh.silent_dropped", under_way=len(self._silent))
            return
        task = asyncio.create_task(ask_silently(self._http, url, self._sleep), name="ovh silent")
        self._silent.add(task)
        task.add_done_callback(self._silent.discard)

    # -- for the doors -----------------------------------------------------------------------------------------------

    async def pops(self, agent_id: int, after: int, wait_s: float) -> tuple[int, list[LinePop]]:
        """The last number, and an agent's pages above `after`; waits for one if there is none. `after` beyond what
        was ever given is from before a restart: everything is new then."""

        def found() -> list[LinePop]:
            since = after if after <= self._number else 0
            return [pop for pop in self._pops if pop.agent_id == agent_id and pop.number > since]

        if wait_s > 0 and self._lines:
            try:
                async with asyncio.timeout(wait_s), self._changed:
                    await self._changed.wait_for(lambda: self._closed or bool(found()))
            except TimeoutError:
                pass
        return self._number, found()

    def heard(self, group: str, limit: int) -> Sequence[Heard]:
        """A group's events, newest first ("" = all groups)."""
        return [each for each in self._heard if group in ("", each.group)][:limit]

    def status(self, group: str) -> list[dict[str, Any]]:
        """How each line of a group fares ("" = all groups). No secret is in it."""
        return [
            {
                "service": line.service, "group": line.group, "agent": line.agent, "display": line.display,
                "connected": bool(stream.session) and not stream.failures, "waiting": stream.waiting,
                "failures": stream.failures, "last_error": stream.last_error, "events": stream.events,
            }
            for line, stream in zip(self._lines, self._streams, strict=True)
            if group in ("", line.group)
        ]  # fmt: skip

    async def try_line(self, group: str, service: str) -> dict[str, Any] | None:
        """Poll a line now if it pauses after a failure; how it fares then. None: no such line."""
        for line, stream in zip(self._lines, self._streams, strict=True):
            if line.service == service and group in ("", line.group):
                await stream.try_now(TRY_WAIT_S)
                return next(row for row in self.status(group) if row["service"] == service)
        return None

    async def close(self) -> None:
        """Let go of who waits."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
        for task in list(self._silent):
            task.cancel()
        await asyncio.gather(*self._silent, return_exceptions=True)
