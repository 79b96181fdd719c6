"""The page that opens with a call (YPS-06, OVH-06, OVH-09): one a call and agent, at the chosen event.

In: the engine's published views, through `on_change`, which only puts a note in a bounded queue. Out: `Pop`s, asked for
by the desk's page; the display `silent` is a request of ours instead.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog

from daemon.clock import Clock
from daemon.crm import screenpop
from daemon.crm.journal import JournalWriter, Running
from daemon.crm.variables import call_variables
from daemon.crm.wire import CrmError, Exchange, Http, send
from daemon.engine.views import CallView, Changes
from daemon.errors import StoreError
from daemon.ports import Store
from daemon.works import Works

log = structlog.get_logger("cadran.crm")

QUEUE_MAX: Final = 1000
KEPT_MAX: Final = 2000
LIVE_MAX: Final = 10_000
"""Far more calls than agents have; one whose end is never told must not stay for good."""
ENDED_MAX: Final = 200
"""Ended calls that are still known, lest a view that comes once more shows their page again."""
LOOK_UP_S: Final = 2.0
"""YPS-07: what a look-up may take before the page is given up; the call itself waits for nothing."""
SILENT_TRIES: Final = 3


@dataclass(slots=True)
class Pop:
    """A page for an agent's call. `ready` is set when there is an answer, be it an empty URL."""

    attempt_id: str
    agent_id: int
    url: str = ""
    display: str = "popup"
    name: str = ""
    automatic: bool = True


@dataclass(slots=True)
class _Told:
    """Of a call: whose it is, and what of it was told."""

    agent: int = 0
    events: set[tuple[int, str]] = field(default_factory=set)


class Pops:
    """Of all integrations of this daemon."""

    def __init__(
        self,
        store: Store,
        http: Http,
        clock: Clock,
        running: Callable[[], Iterable[Running]],
        writer: JournalWriter,
        works: Works,
    ) -> None:
        self._store, self._http, self._clock = store, http, clock
        self._running, self._writer, self._works = running, writer, works
        self._queue: asyncio.Queue[tuple[str, int, int, str]] = asyncio.Queue(QUEUE_MAX)
        self._live: dict[str, _Told] = {}
        self._ended: OrderedDict[str, _Told] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], Pop] = OrderedDict()
        self._changed = asyncio.Condition()
        self.dropped = self.made = self.late = 0

    # -- from the engine: returns at once ----------------------------------------------------------------------------

    def on_change(self, changes: Changes) -> None:
        """A batch of views. A call has rung somebody once it has an agent; it has ended once it is gone."""
        for id, view in changes.get("calls", {}).items():
            if view is None:
                self._over(id)
            elif isinstance(view, CallView) and view.agent_id:
                told = self._live.get(id)
                if told is None:
                    told = self._live[id] = self._ended.pop(id, _Told())
                    if len(self._live) > LIVE_MAX:
                        del self._live[next(iter(self._live))]
                told.agent = view.agent_id
                self._event(told, id, view.group_id, "ringing")
                if view.stage == "talking":
                    self._event(told, id, view.group_id, "answered")

    def _over(self, id: str) -> None:
        told = self._live.pop(id, None)
        if told is None:
            return
        self._event(told, id, 0, "end")
        self._ended[id] = told
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)

    def _event(self, told: _Told, id: str, group: int, event: str) -> None:
        agent = told.agent
        if (agent, event) in told.events:
            return
        told.events.add((agent, event))
        wanted = any(each.options.popup == event or (event == "ringing" and self._at_ring(each))
                     for each in self._running())  # fmt: skip
        if not wanted:
            return
        try:
            self._queue.put_nowait((id, agent, group, event))
        except asyncio.QueueFull:
            self.dropped += 1

    @staticmethod
    def _at_ring(running: Running) -> bool:
        manual = running.options.popup == "manual"
        return manual or (running.caller.template.on("CreateNewTicket") and running.options.tickets)

    # -- for the desk ------------------------------------------------------------------------------------------------

    async def of(self, attempt_id: str, agent_id: int, wait_s: float) -> Pop | None:
        """The page of a call, once it is known; None if there is none within `wait_s`."""
        key = (attempt_id, agent_id)
        try:
            async with asyncio.timeout(wait_s), self._changed:
                await self._changed.wait_for(lambda: key in self._kept)
        except TimeoutError:
            return None
        return self._kept[key]

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: events in order, their look-ups beside each other."""
        async with asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(20)
            while True:
                event = await self._queue.get()
                await room.acquire()
                group.create_task(self._works.attempt("crm pops", self._one(event, room)), name=f"pop {event[0]}")

    async def _one(self, event: tuple[str, int, int, str], room: asyncio.Semaphore) -> None:
        id, agent, _, name = event
        try:
            row = await self._store.attempt(UUID(id))
            if row is None:
                return
            for running in self._running():
                if running.row.group_id == row["group_id"]:
                    await self._pop(running, row, agent, name)
        except (StoreError, ValueError) as error:
            log.warning("crm.pop_failed", error=type(error).__name__)
        finally:
            room.release()

    async def _pop(self, running: Running, row: Mapping[str, Any], agent: int, event: str) -> None:
        options, inbound = running.options, row["kind"] == "inbound"
        if event == "ringing" and self._at_ring(running):
            await self._ticket_at_ring(running, row)
        if not inbound and options.popup_calls != "all":
            return
        if options.popup != event and not (options.popup == "manual" and event == "ringing"):
            return
        pop = Pop(str(row["id"]), agent, display=options.display, automatic=options.popup != "manual")
        try:
            async with asyncio.timeout(LOOK_UP_S):
                contact = await running.contacts.of(row["e164"], inbound=inbound, create=False)
                if contact is not None:
                    pop.url, pop.name = contact.url, contact.name
        except TimeoutError:
            self.late += 1
        except CrmError as error:
            self._writer.note(running, error)
        if options.hook_url:
            pop.url = self.hook(running, row, event)
        if pop.url and options.display == "silent":
            await self._silent(pop.url)
            return
        await self._keep(pop)

    def hook(self, running: Running, row: Mapping[str, Any], event: str) -> str:
        """The integration's own URL with the call's numbers (OVH-05). CALLING is who rings, CALLED who is rung."""
        inbound = row["kind"] == "inbound"
        calling, called = (row["e164"], row["caller_id"]) if inbound else (row["caller_id"], row["e164"])
        values = {"CALLING": calling, "CALLED": called, "DIALED": called, "EVENT": _EVENTS[event]}
        return screenpop.hook_url(running.options.hook_url, values, running.options.number_format)

    async def _keep(self, pop: Pop) -> None:
        async with self._changed:
            self._kept[pop.attempt_id, pop.agent_id] = pop
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
            self._changed.notify_all()
        self.made += bool(pop.url)

    async def _silent(self, url: str) -> None:
        self.made += await ask_silently(self._http, url)

    async def _ticket_at_ring(self, running: Running, row: Mapping[str, Any]) -> None:
        """YPS-10: the ticket is there while they talk; its end brings the rest."""
        if not (running.caller.template.on("CreateNewTicket") and running.options.tickets):
            return
        shown = {**row, "ended_at": row["at"], "outcome": row.get("outcome") or "connected", "talk_s": 0.0}
        known = call_variables(shown, running.options.number_format, running.options.tz)
        try:
            contact = await running.contacts.of(row["e164"], inbound=row["kind"] == "inbound", create=False)
            if contact is not None:
                known |= contact.variables
            await self._writer.ticket(running, str(row["id"]), known, ended=False)
        except CrmError as error:
            self._writer.note(running, error)


async def ask_silently(http: Http, url: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> bool:
    """OVH-06: a request that nobody sees, three tries with growing pauses. Whether it arrived."""
    for attempt in range(SILENT_TRIES):
        if attempt:
            await sleep(2.0 ** (attempt - 1))
        try:
            if (await send(http, Exchange("silent", "GET", url, {}))).status < 500:
                return True
        except CrmError as error:
            if error.ours:
                return False
    return False


_EVENTS = {"ringing": "start_ringing", "answered": "answered", "end": "end_ringing"}
