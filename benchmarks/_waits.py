"""How long people who answered waited, told apart as the PBX sees it: for an agent to be free, and for the daemon.

Source: what a fake PBX writes to, and reads from, the daemon's socket; nothing of it is the daemon's own word. A person
waits from the write of the answer to the read of the action that connects them. In that time an agent *is there* for
them from the first instant at which more agents are free than people wait who answered before: then every one of those
could have been served, and this person too. What is before that instant is a matter of pacing; what is after it is the
daemon's (reading, deciding, a late timer, writing). An agent is free from the write of the event that their leg waits;
after a conversation `wrap_up_s` later, when the daemon's own timer for it should end, not when it does.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

_UNIQUE_ID = re.compile(rb"\r\nUniqueid: (\S+)")
_CHANNEL = re.compile(rb"\r\nChannel: (\S+)")
_CONNECT = re.compile(rb"EXEC Bridge (\S+?)(?:,|\r\n|$)")
_AGENT = b"-ag-"
_END = b"\r\n\r\n"
_UP = b"\r\nChannelState: 6\r\n"


@dataclass(slots=True)
class _Person:
    answered_at: float
    agent_at: float | None = None
    """When an agent was there for them."""


class Waits:
    """Seconds, one entry for each person who was connected: `whole` is the sum of `for_agent` and `for_daemon`.

    `untold`: connected though by this account nobody was free; their whole wait is put down to the daemon. `missed`:
    their call ended unconnected though an agent was there for them.
    """

    def __init__(self, wrap_up_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.whole: list[float] = []
        self.for_agent: list[float] = []
        self.for_daemon: list[float] = []
        self.untold = self.missed = 0
        self._wrap_up_s, self._clock = wrap_up_s, clock
        self._people: dict[bytes, _Person] = {}
        self._free: set[bytes] = set()
        self._taken: dict[bytes, bool] = {}
        """Agents' channels with a connect under way; whether a bridge formed."""
        self._due: list[tuple[float, bytes]] = []

    def clear(self) -> None:
        """Count from now."""
        for values in (self.whole, self.for_agent, self.for_daemon):
            values.clear()
        self.untold = self.missed = 0

    def written(self, data: bytes) -> None:
        """Events on their way to the daemon."""
        now = self._clock()
        for message in data.split(_END):
            event = message[7 : message.find(b"\r\n")] if message.startswith(b"Event: ") else b""
            handler = _EVENTS.get(event)
            if handler is None or (found := _UNIQUE_ID.search(message)) is None:
                continue
            if _AGENT not in found[1]:
                self._of_person(event, found[1], message, now)
            elif (channel := _CHANNEL.search(message)) is not None:
                handler(self, channel[1], now)

    def read(self, data: bytes) -> None:
        """Actions of the daemon."""
        now = self._clock()
        for message in data.split(_END):
            connect = _CONNECT.search(message)
            channel = _CHANNEL.search(message) if connect is not None else None
            if connect is not None and channel is not None:
                self._connect(channel[1], connect[1], now)

    def _connect(self, agent: bytes, customer: bytes, now: float) -> None:
        self._advance(now)
        self._free.discard(agent)
        self._taken[agent] = False
        person = self._people.pop(customer, None)
        if person is None:
            return
        whole = now - person.answered_at
        self.untold += person.agent_at is None
        since = person.answered_at if person.agent_at is None else person.agent_at
        self.whole.append(whole)
        self.for_agent.append(since - person.answered_at)
        self.for_daemon.append(now - since)

    def _of_person(self, event: bytes, person: bytes, message: bytes, now: float) -> None:
        if event == b"Newstate" and _UP in message + b"\r\n":
            self._advance(now)
            self._people.setdefault(person, _Person(now))
            self._serve(now)
        elif event == b"Hangup" and person in self._people:
            self._advance(now)
            self.missed += self._people.pop(person).agent_at is not None
            self._serve(now)

    def _waits(self, agent: bytes, now: float) -> None:
        """The agent's leg is there."""
        self._due_at(agent, now)

    def _bridged(self, agent: bytes, now: float) -> None:
        if agent in self._taken:
            self._taken[agent] = True

    def _done(self, agent: bytes, now: float) -> None:
        """The command on the agent's leg is over."""
        talked = self._taken.pop(agent, None)
        if talked is not None:
            self._due_at(agent, now + self._wrap_up_s if talked else now)

    def _gone(self, agent: bytes, now: float) -> None:
        self._free.discard(agent)
        self._taken.pop(agent, None)
        self._due = [due for due in self._due if due[1] != agent]
        heapq.heapify(self._due)

    def _nothing(self, agent: bytes, now: float) -> None:
        """Says something of people only."""

    def _due_at(self, agent: bytes, at: float) -> None:
        heapq.heappush(self._due, (at, agent))
        self._advance(self._clock())

    def _advance(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            at, agent = heapq.heappop(self._due)
            self._free.add(agent)
            self._serve(at)

    def _serve(self, at: float) -> None:
        """An agent more is free, or somebody fewer waits: for whom is one there now?"""
        for _, person in zip(range(len(self._free)), self._people.values(), strict=False):
            if person.agent_at is None:
                person.agent_at = max(at, person.answered_at)


_EVENTS: dict[bytes, Callable[[Waits, bytes, float], None]] = {
    b"Newstate": Waits._nothing,
    b"AsyncAGIStart": Waits._waits,
    b"BridgeEnter": Waits._bridged,
    b"AsyncAGIExec": Waits._done,
    b"Hangup": Waits._gone,
}
