"""Faults on demand, between the server and its clients.

Set on `fake.faults`, for all sessions present and to come (or one: `session.link`). Times are loop seconds.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from fake_asterisk.message import Message
    from fake_asterisk.pbx import FakeAsterisk
    from fake_asterisk.session import Session

T = TypeVar("T")


class Disturbed(Generic[T]):
    """The events of one listener, whose every n-th may be lost, doubled, or come after the one behind it."""

    def __init__(self, faults: "Faults", write: Callable[[T], None]) -> None:
        self._faults, self._write = faults, write
        self._seen = 0
        self._kept: T | None = None

    @property
    def at_work(self) -> bool:
        """Whether the faults disturb events, or an event that was kept back is still to come."""
        return self._faults.disturbs_events or self._kept is not None

    def send(self, event: T) -> None:
        """One event, while `at_work`."""
        faults = self._faults
        self._seen += 1
        n = self._seen
        if faults.lose_every and n % faults.lose_every == 0:
            faults.counts["events lost"] += 1
            return
        if faults.reorder_every and n % faults.reorder_every == 0 and self._kept is None:
            faults.counts["events reordered"] += 1
            self._kept = event
            return
        self._write(event)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._write(kept)
        if faults.duplicate_every and n % faults.duplicate_every == 0:
            faults.counts["events doubled"] += 1
            self._write(event)


class Link:
    """What stands between one session and its transport."""

    def __init__(self, faults: "Faults", session: "Session") -> None:
        self._faults = faults
        self._session = session
        self._pending: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._busy_until = 0.0
        self._flush_scheduled = False
        self._events = Disturbed(faults, self._write)
        self._events_until = 0.0
        self._closing = False

    # ---- towards the client

    def send(self, data: bytes) -> None:
        """Bytes that no fault but time and silence touches."""
        self._write(data)

    def send_response(self, data: bytes) -> None:
        """A response, which may be lost."""
        if not self._faults.loses_response():
            self._write(data)

    def send_event(self, data: bytes) -> None:
        """An event, which may be lost, doubled or overtaken."""
        faults = self._faults
        if faults.lag is not None:
            self._send_late(data, *faults.lag())
            return
        if self._events.at_work:
            self._events.send(data)
        else:
            self._write(data)

    def _send_late(self, data: bytes, lag_s: float, lost: bool) -> None:
        """An event as it comes through a busy server: late, still in order, perhaps never."""
        faults, loop = self._faults, self._faults.pbx.loop
        if lost:
            faults.counts["events lost"] += 1
            return
        self._events_until = max(self._events_until, loop.time() + lag_s)
        loop.call_at(self._events_until, self._write, data)

    def _write(self, data: bytes) -> None:
        faults, loop = self._faults, self._faults.pbx.loop
        if faults.silent:
            self._pending.append(data)
            return
        if faults.delay_s or faults.bytes_per_s:
            now = loop.time()
            start = max(now + faults.delay_s, self._busy_until)
            self._busy_until = start + (len(data) / faults.bytes_per_s if faults.bytes_per_s else 0.0)
            loop.call_at(self._busy_until, self._out, data)
            return
        self._pending.append(data)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is pending: what one turn of the loop produced goes out as one."""
        self._flush_scheduled = False
        if self._faults.silent or not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._out(data)

    def _out(self, data: bytes) -> None:
        transport = self._session.transport
        if transport is None or transport.is_closing():
            return
        if self._faults.split_utf8:
            for piece in _split_inside_characters(data):
                transport.write(piece)
        else:
            transport.write(data)
        if self._closing and not self._pending:
            transport.close()

    def close(self) -> None:
        """Close once all is written."""
        self.flush()
        self._closing = True
        if self._session.transport is not None and not (self._faults.delay_s or self._faults.silent):
            self._session.transport.close()

    # ---- towards the server

    def received(self, data: bytes) -> None:
        """Bytes from the client."""
        faults = self._faults
        if faults.silent:
            return  # a half-open connection: nobody reads; what came is lost
        if faults.delay_s:
            faults.pbx.loop.call_later(faults.delay_s, self._session.take, data)
        else:
            self._session.take(data)


class Faults:
    """All switches. `counts` says how often each struck."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self.pbx = pbx
        self.silent = False
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.lose_actions = 0
        self.lose_responses = 0
        self.lose_every = 0
        self.duplicate_every = 0
        self.reorder_every = 0
        self.deaf_sockets = 0
        self.split_utf8 = False
        self.disturbs_events = False
        self.lag: Callable[[], tuple[float, bool]] | None = None
        self.counts: dict[str, int] = dict.fromkeys(
            ("cuts", "actions lost", "responses lost", "events lost", "events doubled", "events reordered", "deaf"), 0
        )

    def link(self, session: "Session") -> Link:
        """The link of a new session."""
        return Link(self, session)

    def swallow_action(self, session: "Session", message: "Message") -> bool:
        """Whether this action is lost on its way; the login never is."""
        return session.user is not None and self.loses_action()

    def loses_action(self) -> bool:
        """Whether the action that comes now is lost."""
        if self.lose_actions <= 0:
            return False
        self.lose_actions -= 1
        self.counts["actions lost"] += 1
        return True

    def loses_response(self) -> bool:
        """Whether the response that goes now is lost."""
        if self.lose_responses <= 0:
            return False
        self.lose_responses -= 1
        self.counts["responses lost"] += 1
        return True

    def deafens(self) -> bool:
        """Whether the WebSocket that opens now hears nothing."""
        if self.deaf_sockets <= 0:
            return False
        self.deaf_sockets -= 1
        self.counts["deaf"] += 1
        return True

    # ---- what a test or a schedule calls

    def cut(self) -> int:
        """Reset every connection; how many."""
        sessions = list(self.pbx.sessions)
        for session in sessions:
            session.abort()
        count = len(sessions) + self.pbx.ari.reset()
        self.counts["cuts"] += count
        return count

    def half_open(self, on: bool = True) -> None:
        """Neither read nor write any more, with the connections open; off: write what was held back."""
        self.silent = on
        if not on:
            for session in self.pbx.sessions:
                session.link.flush()
            if self.pbx.ari.server is not None:
                self.pbx.ari.server.flush()

    def slow(self, delay_s: float = 0.0, bytes_per_s: float = 0.0) -> None:
        """Delay each piece, and let no more than so many bytes pass in a second; zeros: as fast as can be."""
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s

    def lose_next_action(self, count: int = 1) -> None:
        """The next actions of any session are never carried out nor answered."""
        self.lose_actions += count

    def lose_next_response(self, count: int = 1) -> None:
        """The next actions are carried out, but their responses never arrive."""
        self.lose_responses += count

    def deaf(self, count: int = 1) -> None:
        """The next WebSockets of ARI are open and hear nothing."""
        self.deaf_sockets += count

    def deafen(self) -> None:
        """The WebSockets of ARI that are open hear nothing any more."""
        self.counts["deaf"] += 1
        self.pbx.ari.deafen()

    def disturb_events(self, *, lose_every: int = 0, duplicate_every: int = 0, reorder_every: int = 0) -> None:
        """Every n-th event of a session, or of a WebSocket of ARI, is lost, doubled, or comes after the one behind it;
        zeros: none."""
        self.lose_every, self.duplicate_every, self.reorder_every = lose_every, duplicate_every, reorder_every
        self.disturbs_events = bool(lose_every or duplicate_every or reorder_every)

    def late_events(self, upto_s: float, lost_share: float, rng: Random) -> None:
        """Events come up to so late (the lag is drawn anew every second or two, their order kept), and so many of them
        (0..1) never; zeros: as they happen."""
        if not upto_s and not lost_share:
            self.lag = None
            return
        lag_s = until = 0.0

        def lag() -> tuple[float, bool]:
            nonlocal lag_s, until
            now = self.pbx.loop.time()
            if now >= until:
                lag_s, until = rng.uniform(0.0, upto_s), now + rng.uniform(0.5, 2.0)
            return lag_s, rng.random() < lost_share

        self.lag = lag

    def clear(self) -> None:
        """All faults off."""
        self.half_open(False)
        self.slow()
        self.disturb_events()
        self.lag = None
        self.lose_actions = self.lose_responses = self.deaf_sockets = 0
        self.split_utf8 = False


def _split_inside_characters(data: bytes) -> list[bytes]:
    """Pieces cut inside each character of several bytes."""
    pieces, start = [], 0
    for n, byte in enumerate(data):
        if byte >= 0xC0 and n + 1 < len(data):
            pieces.append(data[start : n + 1])
            start = n + 1
    return [*pieces, data[start:]]
