"""Our own calls as OVHcloud's events: software that reads its feed reads ours (features §2, issue of integrations).

In: the engine's published views, through `on_change`, which only puts a note in a bounded queue. Out: `poll`, a long
poll with a session, of one line's events; a line is an agent's phone, and has a token of its own. An event stays until
LOG_MAX others came, so a reader that was away finds what it missed.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog

from daemon.calls.records import Agent, Group
from daemon.clock import Clock
from daemon.crm.ovh import Sleep
from daemon.crm.variables import spelled
from daemon.engine.views import CallView, Changes
from daemon.errors import SettingsError, StoreError
from daemon.ports import Store
from daemon.settings import OvhFeedTable

log = structlog.get_logger("cadran.crm")

LOG_MAX: Final = 500
QUEUE_MAX: Final = 1000
CALLS_MAX: Final = 5000
ROW_TRIES: Final = 5
ROW_PAUSE_S: Final = 0.2
"""A call's row is written a moment after its view."""


@dataclass(slots=True)
class _Line:
    """One feed: its events, the number of the first one kept, and how many polls began."""

    table: OvhFeedTable
    events: deque[dict[str, Any]] = field(default_factory=deque)
    first: int = 0
    polls: int = 0


@dataclass(frozen=True, slots=True)
class _Note:
    id: str
    agent_id: int
    event: str


class OvhFeed:
    """All feeds of the settings. `epoch` tells this run's sessions from those of earlier ones."""

    def __init__(
        self, store: Store, clock: Clock, feeds: Sequence[OvhFeedTable], secret: Callable[[str, str], str], epoch: str,
        *, sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store, self._clock, self._secret, self._sleep = store, clock, secret, sleep
        self._lines = [_Line(each) for each in feeds]
        self._epoch = epoch
        self._queue: asyncio.Queue[_Note] = asyncio.Queue(QUEUE_MAX)
        self._calls: OrderedDict[str, tuple[int, bool, bool]] = OrderedDict()
        self._changed = asyncio.Condition()
        self._closed = False
        self.dropped = 0

    # -- from the engine: returns at once ----------------------------------------------------------------------------

    def on_change(self, changes: Changes) -> None:
        """A batch of views: a call rings a phone or is made by it, is answered, is gone."""
        if not self._lines:
            return
        for id, view in changes.get("calls", {}).items():
            if view is None:
                agent, inbound, over = self._calls.pop(id, (0, False, True))
                if agent and not over:
                    self._note(id, agent, "end_ringing" if inbound else "end_calling")
            elif isinstance(view, CallView) and view.agent_id:
                self._seen(id, view)

    def _seen(self, id: str, view: CallView) -> None:
        agent, inbound, over = self._calls.get(id, (0, view.kind == "inbound", False))
        if agent != view.agent_id:
            if agent and not over:  # it rings somebody else now
                self._note(id, agent, "end_ringing" if inbound else "end_calling")
            over = False
            self._note(id, view.agent_id, "start_ringing" if inbound else "start_calling")
        if inbound and not over and view.stage == "talking":
            over = True
            self._note(id, view.agent_id, "end_ringing")
        self._calls[id] = (view.agent_id, inbound, over)
        while len(self._calls) > CALLS_MAX:
            self._calls.popitem(last=False)

    def _note(self, id: str, agent_id: int, event: str) -> None:
        try:
            self._queue.put_nowait(_Note(id, agent_id, event))
        except asyncio.QueueFull:
            self.dropped += 1

    def listed(self, group: str) -> list[dict[str, str]]:
        """Whose phones are in it ("" = of all groups). No secret is in it."""
        tables = [line.table for line in self._lines]
        return [{"group": table.group, "agent": table.agent} for table in tables if group in ("", table.group)]

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: notes to events, in order."""
        while True:
            note = await self._queue.get()
            try:
                await self._tell(note)
            except StoreError as error:
                self.dropped += 1
                log.warning("ovh.feed_waits_for_store", error=type(error).__name__)

    async def _tell(self, note: _Note) -> None:
        agent = await self._store.get(Agent, note.agent_id)
        group = await self._store.get(Group, agent.group_id) if agent is not None else None
        if agent is None or group is None:
            return
        lines = [each for each in self._lines if (each.table.group, each.table.agent) == (group.code, agent.login)]
        row = await self._row(note.id) if lines else None
        if row is None:
            return
        event = self._event(note, agent, row)
        async with self._changed:
            for line in lines:
                number = line.first + len(line.events)
                line.events.append({**event, "Data": {**event["Data"], "Cseq": number}})
                if len(line.events) > LOG_MAX:
                    line.events.popleft()
                    line.first += 1
            self._changed.notify_all()

    async def _row(self, id: str) -> dict[str, Any] | None:
        for attempt in range(ROW_TRIES):
            if attempt:
                await self._sleep(ROW_PAUSE_S)
            row = await self._store.attempt(UUID(id))
            if row is not None:
                return row
        self.dropped += 1
        return None

    def _event(self, note: _Note, agent: Agent, row: dict[str, Any]) -> dict[str, Any]:
        now = self._clock.utcnow()
        seconds = int(now.timestamp())
        stamp = seconds * 1_000_000_000 + now.microsecond * 1000
        theirs, ours = spelled(row["e164"] or "", "00"), spelled(row["caller_id"] or "", "00")
        calling, called = (theirs, ours) if row["kind"] == "inbound" else (ours, theirs)
        details = {"Description": agent.name, "Id": agent.id, "IdBillingAccount": "", "SimultaneousLine": 1}
        data = {
            "Billing": "", "CallId": note.id, "Called": called, "Calling": calling, "Dialed": called,
            "Event": note.event, "Protocol": "sip", "RelevantInfo": "", "Ts": seconds, "TsGet": stamp, "Body": "",
        }  # fmt: skip
        return {
            "Event": note.event, "Ressource": agent.extension, "Service": agent.extension, "Timestamp": stamp,
            "Date": now.isoformat(), "Details": {**details, "Type": "sipCirpack"}, "Data": data,
        }  # fmt: skip

    # -- for the door ------------------------------------------------------------------------------------------------

    async def poll(self, token: str, session: str, wait_s: float) -> dict[str, Any] | None:
        """`{"Session", "Events"}` of the token's line, from where the session stands; None for a token of nobody.

        Without a session the reading begins now. One of an earlier run begins with all that is kept. A line has one
        reader: a second poll ends the first, without events.
        """
        line = self._line(token)
        if line is None:
            return None
        at = self._position(line, session)
        line.polls += 1
        mine = line.polls
        async with self._changed:
            self._changed.notify_all()

            def due() -> bool:
                return self._closed or line.polls != mine or line.first + len(line.events) > at

            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(due)
            except TimeoutError:
                pass
            if line.polls != mine:
                return {"Session": f"{self._epoch}-{at}", "Events": []}
            found = [{**event, "Token": token} for event in list(line.events)[max(0, at - line.first) :]]
            return {"Session": f"{self._epoch}-{line.first + len(line.events)}", "Events": found}

    def _line(self, token: str) -> _Line | None:
        for line in self._lines:
            try:
                kept = self._secret("ovh.feeds.token_file", line.table.token_file)
            except SettingsError as error:
                log.warning("ovh.feed_token_unreadable", error=str(error))
                continue
            if hmac.compare_digest(kept.encode(), token.encode()):
                return line
        return None

    def _position(self, line: _Line, session: str) -> int:
        end = line.first + len(line.events)
        if not session:
            return end
        found = re.fullmatch(rf"{re.escape(self._epoch)}-([0-9]{{1,15}})", session)
        return min(end, int(found[1])) if found else line.first

    async def close(self) -> None:
        """Let go of who waits."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
