"""One AMI link kept up: connect, log in, notice when it is dead, answer each action once, never send one twice.

Events go to `on_messages` in the order of the wire; responses and list events go to whoever awaits them. Called by
`driver` only. Facts: FIELD-NOTES 7 (session, requests, responses) and 8 (disconnects).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from daemon.ami.codec import MESSAGE_BYTES_MAX, HeaderValue, Message
from daemon.ami.transport import AmiProtocol, format_action, open_connection
from daemon.bounds import Bound
from daemon.errors import PbxInDoubt, PbxProtocolError, PbxRejected, PbxUnavailable, SettingsError
from daemon.ports.driver import Backoff, code_of

log = structlog.get_logger(__name__)

PENDING_MAX: Final = 2000
"""Actions without an answer yet. A PBX that answers nothing is caught by the Ping long before."""
LIST_ITEMS_MAX: Final = 100_000
_LIST_END: Final = "\r\nEventList: Complete"
_OF_THE_LINK: Final = frozenset({"FullyBooted", "Shutdown"})
JUST_BOOTED_S: Final = 30.0
"""A FullyBooted later than we waited for it means a boot under way only if the PBX is this young; else a slow link."""
STOPPING_TEXT: Final = "Asterisk is shutting down"


EVENT_MASK: Final = ("system", "call", "agi", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class AmiOptions:
    """Where and how to log in, and every bound. `secret` is read anew at each login, so that a mended file heals."""

    host: str
    username: str
    secret: Callable[[], str]
    tcp_port: int = 5038
    tls: ssl.SSLContext | None = None
    auth: Literal["md5", "plain"] = "md5"
    event_mask: Sequence[str] = EVENT_MASK
    """Classes we use: not `dialplan` (VarSet, Newexten: most of the volume), not `reporting`."""
    connect_deadline_s: float = 5.0
    action_deadline_s: float = 5.0
    boot_wait_s: float = 2.0
    """FullyBooted comes within 0.5 s of an open port, and never to a user who may not read class system."""
    ping_interval_s: float = 10.0
    ping_deadline_s: float = 5.0
    retry_first_s: float = 0.5
    retry_max_s: float = 30.0


@dataclass(slots=True)
class Link:
    """What one login found out. `uptime_s`: of the PBX, where FullyBooted told it."""

    banner: str = ""
    commands: tuple[str, ...] = ()
    fully_booted: bool = False
    uptime_s: float | None = None
    stopping: bool = False
    refusing: bool = False
    """It refused an action because it is to stop when the last call has ended; somebody may call that off."""

    @property
    def version(self) -> tuple[int, ...]:
        """AMI version of the greeting, such as (11, 0, 0); () if it has none."""
        parts = self.banner.rpartition("/")[2].split(".")
        return tuple(int(part) for part in parts if part.isdecimal())


@dataclass(slots=True)
class _Pending:
    name: str
    is_list: bool
    future: asyncio.Future[Message] = field(default_factory=asyncio.Future)
    items: list[Message] = field(default_factory=list)


class AmiClient:
    """Keeps one link up from `run`. `send` and `collect` raise PbxUnavailable (nothing was written), PbxRejected
    (refused) and PbxInDoubt (written, then no answer: the link is dropped, so that a resync tells)."""

    def __init__(
        self,
        options: AmiOptions,
        *,
        rng: random.Random,
        on_messages: Callable[[list[Message]], None],
        on_down: Callable[[PbxUnavailable, float], None],
    ) -> None:
        """`on_down(why, next_try_in_s)` is called after each failed try and each loss."""
        self.options = options
        self.link = Link()
        self.messages_in = 0
        self.ping_s = 0.0
        self._on_messages, self._on_down = on_messages, on_down
        self._backoff = Backoff(rng, options.retry_first_s, options.retry_max_s)
        self._action_prefix = f"{rng.getrandbits(32):08x}"
        self._action_n = 0
        self._protocol: AmiProtocol | None = None
        self._pending: dict[str, _Pending] = {}
        self._lists_pending = 0
        self._greeted, self._booted, self._lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._loss: PbxUnavailable | None = None
        self._unbooted = False

    @property
    def connected(self) -> bool:
        """Whether a write can reach the socket (not whether we are logged in)."""
        return self._protocol is not None and not self._protocol.closed

    @property
    def bytes_in(self) -> int:
        return self._protocol.bytes_in if self._protocol else 0

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        yield Bound("pbx_actions_waiting", len(self._pending), PENDING_MAX)
        yield Bound("pbx_buffer_bytes", self._protocol.codec.held if self._protocol else 0, MESSAGE_BYTES_MAX)

    # -- life of the link -----------------------------------------------------------------------------------------
    async def run(self, on_login: Callable[[], Awaitable[None]]) -> NoReturn:
        """Connect, log in, await `on_login` (probe, resync), hold the link, and all over again, until cancelled."""
        retrying = AsyncRetrying(
            wait=lambda _: self._backoff.next_s(),  # tenacity's own random waits read the global generator
            retry=retry_if_exception_type(PbxUnavailable),
            before_sleep=self._report,
            sleep=asyncio.sleep,
        )
        await retrying(self._one_life, on_login)
        raise AssertionError("a life ends by an exception only")

    def drop(self, why: PbxUnavailable) -> None:
        """End the link now; `run` connects anew after its wait. Unanswered actions become PbxInDoubt."""
        if self._loss is None:
            self._loss = why
        if self._protocol is not None:
            self._protocol.close()

    def _report(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, PbxUnavailable)
        wait_s = state.next_action.sleep if state.next_action else 0.0
        event = "ami.not_permitted" if error.code == "not_permitted" else "ami.down"
        log.warning(event, host=self.options.host, code=error.code, reason=str(error), next_try_in_s=round(wait_s, 2))
        self._on_down(error, wait_s)

    async def _one_life(self, on_login: Callable[[], Awaitable[None]]) -> NoReturn:
        try:
            await self._open()
            await self._log_in()
            await self._wait_for_boot()
            await on_login()
            await self._hold()
        except (PbxInDoubt, PbxRejected) as error:
            raise self._loss or PbxUnavailable(str(error), "timeout") from error
        finally:
            self.drop(PbxUnavailable("closed by us", "closed"))

    async def _open(self) -> None:
        self.link, self._loss, self._unbooted = Link(), None, False
        self._greeted, self._booted, self._lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        options = self.options
        where = f"{options.host}:{options.tcp_port}"
        try:
            async with asyncio.timeout(options.connect_deadline_s):
                self._protocol = await open_connection(
                    options.host, options.tcp_port, options.tls, self._received, self._connection_lost
                )
                await self._until(self._greeted)
                self.link.banner = self._protocol.codec.banner or ""
        except TimeoutError as error:
            what = "no greeting" if self.connected else "no connection"
            raise PbxUnavailable(f"{where}: {what} within {options.connect_deadline_s:g} s", "timeout") from error
        except OSError as error:
            raise PbxUnavailable(f"{where}: {error.strerror or error}", code_of(error)) from error

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for `event`; PbxUnavailable as soon as the link is lost instead."""
        if event is self._lost:
            await event.wait()
            assert self._loss is not None
            raise self._loss
        waiting = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._lost.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self._loss is not None:
            raise self._loss

    async def _log_in(self) -> None:
        options = self.options
        login: dict[str, HeaderValue] = {"Action": "Login", "Username": options.username}
        try:
            secret = options.secret()
        except (OSError, SettingsError) as error:
            raise PbxUnavailable(f"the secret can't be read: {error}", "no_secret") from error
        try:
            if options.auth == "md5":
                challenge = (await self.send({"Action": "Challenge", "AuthType": "MD5"})).get("Challenge")
                key = hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()
                login |= {"AuthType": "MD5", "Key": key}
            else:
                login |= {"Secret": secret}
            await self.send({**login, "Events": ",".join(options.event_mask)})
        except PbxRejected as error:
            code = "pbx_stopped" if self.link.stopping else "auth_failed"
            raise PbxUnavailable(f"login of {options.username!r} refused: {error}", code) from error
        await self._turn_events_on()

    async def _turn_events_on(self) -> None:
        """An unknown class in the mask silently means Off: ask again, and check what the PBX says."""
        for mask in (",".join(self.options.event_mask), "on"):
            answer = await self.send({"Action": "Events", "EventMask": mask})
            if answer.get("Events", "On").lower() == "on":
                return
            log.warning("ami.event_mask_refused", host=self.options.host, mask=mask)
        raise PbxUnavailable(f"user {self.options.username!r} gets no events: give it read rights", "no_events")

    async def _wait_for_boot(self) -> None:
        try:
            async with asyncio.timeout(self.options.boot_wait_s):
                await self._until(self._booted)
        except TimeoutError:
            self._unbooted = True
            log.info("ami.no_fullybooted", host=self.options.host, after_s=self.options.boot_wait_s)

    async def _hold(self) -> NoReturn:
        """Until the link is lost. A Ping without an answer in its deadline is a loss (PbxInDoubt): TCP alone would take
        minutes to notice a cable pulled. Only a link that lasted until a Ping makes the next wait short again: a PBX
        that drops us after each login is not to be asked for all its lists several times a second."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(self.options.ping_interval_s):
                    await self._until(self._lost)
            except TimeoutError:
                asked = loop.time()
            with contextlib.suppress(PbxRejected):  # `core stop gracefully` refuses even Ping, which is an answer
                await self.send({"Action": "Ping"}, deadline_s=self.options.ping_deadline_s)
                if self.link.refusing:
                    raise PbxUnavailable("the PBX takes actions again, its stop was called off: once more", "stays")
            self.ping_s = loop.time() - asked
            self._backoff.reset()

    # -- actions --------------------------------------------------------------------------------------------------
    async def send(self, action: Mapping[str, HeaderValue], *, deadline_s: float | None = None) -> Message:
        """Write one action and return its response. Its ActionID is set if absent."""
        return (await self._ask(action, is_list=False, deadline_s=deadline_s))[0]

    async def collect(self, action: Mapping[str, HeaderValue], *, deadline_s: float | None = None) -> list[Message]:
        """Write a listing action and return its items, without the response and the closing event."""
        return (await self._ask(action, is_list=True, deadline_s=deadline_s))[1]

    async def _ask(
        self, action: Mapping[str, HeaderValue], *, is_list: bool, deadline_s: float | None
    ) -> tuple[Message, list[Message]]:
        protocol = self._protocol
        if protocol is None or protocol.closed:
            raise self._loss or PbxUnavailable("no link", "no_link")
        if len(self._pending) >= PENDING_MAX:
            raise PbxUnavailable(f"{PENDING_MAX} actions wait for an answer", "busy")
        action_id = str(action.get("ActionID") or self._next_action_id())
        if action_id in self._pending:
            raise PbxRejected(f"ActionID: {action_id} is in use")
        data = format_action({**action, "ActionID": action_id})
        pending = _Pending(str(action["Action"]), is_list)
        self._pending[action_id] = pending
        self._lists_pending += is_list
        deadline_s = self.options.action_deadline_s if deadline_s is None else deadline_s
        deadline = asyncio.get_running_loop().call_later(deadline_s, self._silent, pending, deadline_s)
        try:
            protocol.write(data)
            return await pending.future, pending.items
        finally:
            deadline.cancel()
            self._pending.pop(action_id, None)
            self._lists_pending -= is_list

    def _silent(self, pending: _Pending, deadline_s: float) -> None:
        """An action without its answer: the link is taken for half open."""
        silent = f"{pending.name}: no answer within {deadline_s:g} s"
        _fail(pending, PbxInDoubt(silent))
        self.drop(PbxUnavailable(silent, "half_open"))

    def _next_action_id(self) -> str:
        self._action_n += 1
        return f"{self._action_prefix}-{self._action_n}"

    # -- what the transport calls ---------------------------------------------------------------------------------
    def _received(self, messages: list[Message]) -> None:
        self._greeted.set()
        self.messages_in += len(messages)
        if self._lists_pending:
            events = [message for message in messages if not self._consumed(message)]
        else:  # most events need no look at all
            events = [m for m in messages if (m.event and m.event not in _OF_THE_LINK) or not self._consumed(m)]
        if events:
            self._on_messages(events)

    def _consumed(self, message: Message) -> bool:
        """Take what is ours: responses, and the items of lists asked for."""
        if not message.event:
            self._answered(message)
            return True
        if self._lists_pending and (pending := self._pending.get(message.get("ActionID"))) and pending.is_list:
            last = _LIST_END in message.text and message.get("EventList") == "Complete"
            if last or message.event.endswith("Complete"):
                _settle(pending, message)
            elif len(pending.items) < LIST_ITEMS_MAX:
                pending.items.append(message)
            return True
        if message.event == "FullyBooted":
            self.link.fully_booted = True
            uptime = message.get("Uptime")
            self.link.uptime_s = float(uptime) if uptime.isdecimal() else None
            self._booted.set()
            if self._unbooted and self.link.uptime_s is not None and self.link.uptime_s < JUST_BOOTED_S:
                # What was asked before may have been half the truth: the rights, the calls.
                self.drop(PbxUnavailable("the PBX was still booting: once more", "booting"))
        elif message.event == "Shutdown":
            self.link.stopping = True
        return False

    def _answered(self, message: Message) -> None:
        pending = self._pending.get(message.get("ActionID"))
        if pending is None:
            log.info("ami.unexpected_response", response=message.response, text=message.get("Message"))
            return
        if message.response in ("Error", "Fail", "Failure"):
            text = message.get("Message") or message.get("Output") or "refused"
            if text == STOPPING_TEXT:
                self.link.stopping = self.link.refusing = True
            _fail(pending, PbxRejected(text))
        elif not pending.is_list:
            _settle(pending, message)

    def _connection_lost(self, exc: Exception | None) -> None:
        if self._loss is None:
            self._loss = self._why_lost(exc)
        for pending in self._pending.values():
            _fail(pending, PbxInDoubt(f"{pending.name}: the link went before its answer ({self._loss})"))
        self._lost.set()

    def _why_lost(self, exc: Exception | None) -> PbxUnavailable:
        if isinstance(exc, PbxProtocolError):
            return PbxUnavailable(str(exc), "protocol")
        if not self._greeted.is_set():
            where = f"{self.options.host}:{self.options.tcp_port}"
            return PbxUnavailable(
                f"{where} closed the connection before its greeting: this host is not in its permitted addresses, "
                "or too many connections wait there for a login",
                "not_permitted",
            )
        if self.link.stopping:
            return PbxUnavailable("the PBX was stopped", "pbx_stopped")
        return PbxUnavailable(f"connection lost: {exc}" if exc else "the PBX closed the connection", "lost")


def _settle(pending: _Pending, message: Message) -> None:
    if not pending.future.done():
        pending.future.set_result(message)


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
