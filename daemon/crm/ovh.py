"""OVHcloud's telephony events of a line (OVH-01, 03): a long poll whose session is carried from answer to answer.

In: `GET {url}?token=T[&session=S]`, answered by `{"Session", "Events": […]}`. Out: `OvhEvent`s, each once and in order.
A session is given up only when the server refuses it, so what happened while we could not ask comes with the next
answer; what comes twice is known by its stamp. The token is taken ready-made or made with API keys. It stands in the
URL, so URLs are in no log and no error of ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import msgspec
import structlog

from daemon.clock import Clock
from daemon.crm.http import Answer, OutgoingError
from daemon.crm.wire import Http
from daemon.errors import DaemonError

log = structlog.get_logger("cadran.crm")

EVENTS_URL: Final = "https://events.voip.ovh.net/"
API_URL: Final = "https://eu.api.ovh.com/1.0"
POLL_S: Final = 75.0
"""A poll without an answer by then is asked again, with the same session."""
PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
QUIET_PAUSE_MAX_S: Final = 2.0
"""After a poll that timed out: a quiet line looks the same as a server that hangs, and must not be heard late."""
ANSWER_BYTES_MAX: Final = 1 << 20
SEEN_MAX: Final = 5000
TEXT_MAX: Final = 200

Sleep = Callable[[float], Awaitable[None]]


class OvhError(DaemonError):
    """An answer that is of no use. `refused`: the server does not know the token or the session; `quiet`: it said
    nothing in the time of a poll."""

    def __init__(self, message: str, *, refused: bool = False, quiet: bool = False) -> None:
        super().__init__(message)
        self.refused, self.quiet = refused, quiet


@dataclass(frozen=True, slots=True)
class OvhEvent:
    """What happened on a line. Numbers as OVH writes them, 0033…; `stamp_ns`: of the envelope, 0 without one."""

    event: str
    service: str = ""
    stamp_ns: int = 0
    call_id: str = ""
    calling: str = ""
    called: str = ""
    dialed: str = ""
    kind: str = ""
    key: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> OvhEvent:
        """From an element of `Events`; what is missing or of another kind is empty."""
        data, details = _mapping(raw.get("Data")), _mapping(raw.get("Details"))
        stamp = raw.get("Timestamp")
        names = ("CallId", "Cseq", "QueueMemberUUID", "QueueAgent", "Ts")
        key = (_text(raw, "Event"), _text(raw, "Service"), _text(raw, "Timestamp"), *(_text(data, n) for n in names))
        return cls(
            event=_text(raw, "Event") or _text(data, "Event"),
            service=_text(raw, "Service") or _text(raw, "Ressource"),
            stamp_ns=int(stamp) if isinstance(stamp, int | float) or str(stamp).isdecimal() else 0,  # type: ignore[arg-type]
            call_id=_text(data, "CallId"),
            calling=_text(data, "Calling"),
            called=_text(data, "Called"),
            dialed=_text(data, "Dialed"),
            kind=_text(details, "Type"),
            key=key,
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return str(value)[:TEXT_MAX] if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


class TokenSource(Protocol):
    """Where a line's token comes from."""

    async def token(self, refused: str) -> str:
        """One that the server has not refused yet, or the same if there is no other. Raises OvhError."""
        ...


@dataclass(slots=True)
class ReadyToken:
    """A token made by a person in OVHcloud's console."""

    value: str = field(repr=False)

    async def token(self, refused: str) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Credentials of OVHcloud's API (an application and the consumer key that was validated for it)."""

    application: str
    secret: str = field(repr=False)
    consumer: str = field(repr=False)


def signature(keys: ApiKeys, method: str, url: str, body: str, timestamp: int) -> str:
    """The signature of an API call: `$1$` and the SHA-1 of its parts between plus signs."""
    parts = (keys.secret, keys.consumer, method, url, body, str(timestamp))
    return "$1$" + hashlib.sha1("+".join(parts).encode(), usedforsecurity=False).hexdigest()


class MadeToken:
    """A token that we make: `POST /telephony/{billingAccount}/service/{serviceName}/eventToken` (OVH-01).

    The call is stamped with the API's own time, since it refuses stamps that are far off.
    """

    def __init__(
        self, http: Http, clock: Clock, keys: ApiKeys, account: str, service: str,
        *, expiration: str = "unlimited", api_url: str = API_URL,
    ) -> None:  # fmt: skip
        self._http, self._clock, self._keys = http, clock, keys
        self._url = (
            f"{api_url.rstrip('/')}/telephony/{quote(account, safe='')}/service/{quote(service, safe='')}/eventToken"
        )
        self._time_url = f"{api_url.rstrip('/')}/auth/time"
        self._expiration, self._value = expiration, ""

    async def token(self, refused: str) -> str:
        if not self._value or self._value == refused:
            self._value = await self._make()
        return self._value

    async def _make(self) -> str:
        body = msgspec.json.encode({"expiration": self._expiration}).decode()
        stamp = await self._time()
        headers = {
            "Content-Type": "application/json",
            "X-Ovh-Application": self._keys.application,
            "X-Ovh-Consumer": self._keys.consumer,
            "X-Ovh-Timestamp": str(stamp),
            "X-Ovh-Signature": signature(self._keys, "POST", self._url, body, stamp),
        }
        answer = await _asked(self._http, "POST", self._url, headers=headers, body=body.encode())
        made = _decoded(answer)
        if answer.status != 200 or not isinstance(made, str) or not made:
            said = _text(_mapping(made), "message")
            raise OvhError(f"no token from the API: status {answer.status} {said}".rstrip())
        return made

    async def _time(self) -> int:
        try:
            said = _decoded(await _asked(self._http, "GET", self._time_url))
        except OvhError:
            said = None
        return said if isinstance(said, int) and said > 0 else int(self._clock.utcnow().timestamp())


async def _asked(http: Http, method: str, url: str, **more: Any) -> Answer:
    try:
        return await http.request(method, url, bytes_max=ANSWER_BYTES_MAX, redirects_max=0, **more)
    except OutgoingError as error:
        raise OvhError(f"{error.code}: {error}", quiet=error.code == "timeout") from error


def _decoded(answer: Answer) -> object:
    try:
        return msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return None


class EventStream:
    """One line's events. `sleep` waits between tries; figures are for the page."""

    def __init__(
        self, http: Http, source: TokenSource, rng: random.Random, *, url: str = EVENTS_URL, poll_s: float = POLL_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._http, self._source, self._rng, self._sleep = http, source, rng, sleep
        self._url, self._poll_s = url, poll_s
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._token = self._refused = ""
        self.session = ""
        self.failures = self.events = self.repeated = self.polls = 0
        self.last_error = ""
        self.waiting = False
        self._asked = asyncio.Event()
        self._told = asyncio.Condition()

    async def run(self, handle: Callable[[OvhEvent], Awaitable[None]]) -> None:
        """Until cancelled. `handle` is given each event once, in order; one that fails does not stop the others."""
        while True:
            self.waiting = True
            try:
                session, found = await self._poll()
            except OvhError as error:
                await self._failed(error)
                continue
            finally:
                self.waiting = False
            for event in found:
                await self._give(event, handle)
            self.failures, self.last_error, self.session = 0, "", session
            await self._tell()

    async def try_now(self, wait_s: float) -> None:
        """End the pause after a failure, and wait until that poll is answered, or for `wait_s`: a quiet line's poll
        that is not refused stays without an answer for long."""
        if self.waiting or (self.session and not self.failures):
            return
        before = self.polls
        self._asked.set()
        try:
            async with asyncio.timeout(wait_s), self._told:
                await self._told.wait_for(lambda: self.polls > before)
        except TimeoutError:
            pass

    async def _tell(self) -> None:
        async with self._told:
            self.polls += 1
            self._told.notify_all()

    async def _poll(self) -> tuple[str, list[OvhEvent]]:
        """The next session and what it brings. Raises OvhError."""
        self._token = await self._source.token(self._refused)
        named = {"token": self._token} | ({"session": self.session} if self.session else {})
        url = f"{self._url}{'&' if '?' in self._url else '?'}{urlencode(named)}"
        answer = await _asked(self._http, "GET", url, timeout_s=self._poll_s)
        if answer.status != 200:
            known = answer.status in (408, 429) or answer.status >= 500
            raise OvhError(f"status {answer.status}", refused=not known)
        said = _decoded(answer)
        if not isinstance(said, dict):
            raise OvhError("the answer is not a JSON object")
        events = said.get("Events")
        found = [OvhEvent.of(raw) for raw in events if isinstance(raw, dict)] if isinstance(events, list) else []
        return _text(said, "Session") or self.session, found

    async def _give(self, event: OvhEvent, handle: Callable[[OvhEvent], Awaitable[None]]) -> None:
        if event.key in self._seen:
            self.repeated += 1
            return
        self._seen[event.key] = None
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        self.events += 1
        try:
            await handle(event)
        except Exception:
            log.exception("ovh.event_failed", what=event.event)

    async def _failed(self, error: OvhError) -> None:
        """Growing pauses with some chance in them. A refusal costs the session first, the token only after it."""
        if error.refused and self.session:
            self.session = ""
        elif error.refused:
            self._refused = self._token
        self.last_error = str(error)
        log.warning("ovh.no_events", error=self.last_error, tries=self.failures + 1)
        longest = QUIET_PAUSE_MAX_S if error.quiet else PAUSE_MAX_S
        pause = min(longest, PAUSE_FIRST_S * 2.0 ** min(20, self.failures))
        if not error.quiet or self.failures < 2:
            self.failures += 1
        self._asked.clear()
        self.waiting = False
        await self._tell()
        await self._pause(pause * self._rng.uniform(0.75, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Until the time has passed, or somebody asks for a try."""
        works = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._asked.wait())]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            if works[0].done():
                works[0].result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
