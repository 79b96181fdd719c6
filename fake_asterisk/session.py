"""One AMI connection: framing with Asterisk's limits, login, rights, and the order of answers and events."""

import asyncio
import re
from typing import TYPE_CHECKING, cast

from fake_asterisk import rights
from fake_asterisk.message import FramingError, Message, Reader
from fake_asterisk.old import UNKNOWN, OldSpeech
from fake_asterisk.render import ENCODING, ENCODING_ERRORS

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

_UNKNOWN_WRITE_TIMEOUT_S = 0.1
ALLOWED_BEFORE_LOGIN = ("login", "logoff", "challenge")


class Session(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self.pbx = pbx
        self.transport: asyncio.Transport | None = None
        self.user: rights.ManagerUser | None = None
        self.mask = 0
        self.challenge = ""
        self.filters: list[tuple[bool, re.Pattern[str]]] = []  # (includes, expression)
        self.closed = False
        self.logging_in = False
        self.link = pbx.faults.link(self)
        self.old = OldSpeech(pbx) if pbx.config.ami_version.startswith("1.") else None
        self._reader = Reader()
        self._queue: list[Message | FramingError] = []
        self._blocked = False
        self._held: list[bytes] = []
        self._auth_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._read_mask = 0

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # some loops' transports are not of asyncio's class
        peer = transport.get_extra_info("peername")
        if not self.pbx.power.accepts(peer[0] if peer else ""):
            self.closed = True
            transport.close()
            return
        unauthenticated = sum(1 for s in self.pbx.sessions if s.user is None)
        if unauthenticated >= self.pbx.config.auth_limit:
            self.closed = True
            transport.close()
            return
        self.pbx.sessions.append(self)
        self._auth_timer = self.pbx.loop.call_later(self.pbx.config.auth_timeout_s, self._auth_late)
        self.send(f"Asterisk Call Manager/{self.pbx.config.ami_version}\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self.link.received(data)

    def take(self, data: bytes) -> None:
        """Bytes that came through whatever the link does to them."""
        self._queue.extend(self._reader.feed(data))
        self._work()

    def pause_writing(self) -> None:
        """The peer reads too slowly: it has `writetimeout` to catch up, then it is cut off."""
        timeout = self.user.write_timeout_s if self.user is not None else _UNKNOWN_WRITE_TIMEOUT_S
        self._write_timer = self.pbx.loop.call_later(timeout, self.abort)

    def resume_writing(self) -> None:
        """It caught up."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _forget(self) -> None:
        self.closed = True
        if self._auth_timer is not None:
            self._auth_timer.cancel()
        self.resume_writing()
        if self in self.pbx.sessions:
            self.pbx.sessions.remove(self)
            self.pbx.refresh_wanted()

    def _auth_late(self) -> None:
        if self.user is None:
            self.close()

    def close(self) -> None:
        """Finish what is written, then close."""
        self._forget()
        self.link.close()

    def abort(self) -> None:
        """Reset."""
        self._forget()
        if self.transport is not None:
            self.transport.abort()

    # ---- sending

    def send(self, data: bytes) -> None:
        """A greeting or a response, past the faults that are set."""
        self.link.send(data)

    def send_event(self, name: str, data: bytes) -> None:
        """An event, unless a filter keeps it. While a slow action runs, events wait as they do on Asterisk."""
        if self.filters and not self._passes(data):
            return
        send = self._held.append if self._blocked else self.link.send_event
        if self.old is None:
            send(data)
            return
        for piece in self.old.events(name, data):
            send(piece)

    def respond(self, message: Message, response: str, text: str | None = None, *lines: str) -> None:
        """A response: `Response`, the ActionID if one came, `Message` if given, and more lines."""
        out = [f"Response: {response}"]
        if message.action_id:
            out.append(f"ActionID: {message.action_id}")
        if text is not None:
            out.append(f"Message: {text}")
        out.extend(lines)
        self.link.send_response(("\r\n".join(out) + "\r\n\r\n").encode(ENCODING, ENCODING_ERRORS))

    def success(self, message: Message, text: str | None = None, *lines: str) -> None:
        """A positive response."""
        self.respond(message, "Success", text, *lines)

    def error(self, message: Message, text: str) -> None:
        """A refusal."""
        self.respond(message, "Error", text)

    def start_list(self, message: Message, text: str) -> None:
        """The response before a list."""
        self.respond(message, "Success", None, "EventList: start", f"Message: {text}")

    def list_item(self, message: Message, event: str, body: str) -> None:
        """An event of a list: no Privilege, no Timestamp."""
        self.direct_event(message, event, body)

    def direct_event(self, message: Message, event: str, body: str, *, action_id_last: bool = False) -> None:
        """An event for this session alone."""
        if self.old is not None and event == "Status":
            body = self.old.status(body)
        action_id = f"ActionID: {message.action_id}\r\n" if message.action_id else ""
        text = f"Event: {event}\r\n{'' if action_id_last else action_id}{body}{action_id if action_id_last else ''}\r\n"
        self.link.send(text.encode(ENCODING, ENCODING_ERRORS))

    def end_list(self, message: Message, event: str, count: int, *lines: str) -> None:
        """The event after a list."""
        extra = "".join(f"{line}\r\n" for line in lines)
        self.direct_event(message, event, f"EventList: Complete\r\nListItems: {count}\r\n{extra}")

    # ---- rights

    def read_mask(self) -> int:
        """Classes this session reads now."""
        return self._read_mask

    def set_mask(self, mask: int) -> None:
        """Login, or action Events."""
        self.mask = mask
        self._read_mask = self.user.read & mask if self.user is not None else 0
        self.pbx.refresh_wanted()

    def may(self, needed: int) -> bool:
        """Whether any of the classes an action asks for is among the user's; 0 asks for none."""
        return self.user is not None and (needed == 0 or bool(self.user.write & needed))

    def logged_in(self, user: rights.ManagerUser, mask: int) -> None:
        """From here on actions are carried out and events sent."""
        self.user = user
        if self._auth_timer is not None:
            self._auth_timer.cancel()
        for text in user.eventfilters:
            self.add_filter(text)
        self.set_mask(mask)

    def add_filter(self, text: str) -> None:
        """A regular expression over the event, `!` in front excludes. Raises re.error."""
        includes = not text.startswith("!")
        self.filters.append((includes, re.compile(text if includes else text[1:])))

    def _passes(self, data: bytes) -> bool:
        text = data.decode(ENCODING, ENCODING_ERRORS)
        including = [expression for includes, expression in self.filters if includes]
        if including and not any(e.search(text) for e in including):
            return False
        return not any(e.search(text) for includes, e in self.filters if not includes)

    # ---- actions, strictly in order

    def block(self) -> None:
        """A slow action runs: later ones and events wait."""
        self._blocked = True

    def unblock(self) -> None:
        """The slow action is done."""
        self._blocked = False
        held, self._held = self._held, []
        for data in held:
            self.link.send_event(data)
        self._work()

    def _work(self) -> None:
        while self._queue and not self._blocked and not self.closed:
            self._handle(self._queue.pop(0))

    def _handle(self, message: "Message | FramingError") -> None:
        if isinstance(message, FramingError):
            self.error(message.message, message.text)
            return
        if self.old is not None:
            message = self.old.request(message)
        action = message.get("Action")
        if not action:
            self.error(message, "Missing action in request")
            return
        if self.pbx.faults.swallow_action(self, message):
            return
        if self.user is None and action.lower() not in ALLOWED_BEFORE_LOGIN:
            self.error(message, "Permission denied")
            return
        if self.pbx.power.refuses_actions and self.user is not None:
            self.error(message, "Asterisk is shutting down")
            return
        entry = self.pbx.power.actions.get(action.lower())
        if entry is None or (self.old is not None and action.lower() in UNKNOWN):
            self.error(
                message,
                f"Invalid/unknown command: {action}. Use Action: ListCommands to show available commands.",
            )
        elif self.user is not None and not self.may(entry.needs):
            self.error(message, "Permission denied")
        else:
            entry.run(self, message)
