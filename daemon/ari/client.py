"""One ARI link kept up: a WebSocket that events come by, and REST requests that each end in time.

Nothing is asked while the WebSocket is down: Asterisk would dial, and hang up at once whoever answers (FIELD-NOTES 9).
No POST is ever repeated: one that was written and not answered drops the link, so that a resync tells. Called by
`driver` only.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn

import aiohttp
import msgspec
import structlog

from daemon.ari.connector import LoopConnector
from daemon.errors import PbxInDoubt, PbxRejected, PbxUnavailable, SettingsError
from daemon.ports.driver import Backoff, code_of

log = structlog.get_logger(__name__)

CONNECTIONS_MAX: Final = 16
"""Asterisk serves 100 HTTP sessions by default (`session_limit`), other users' included; each request takes 1-3 ms."""
PENDING_MAX: Final = 2000
"""Requests not yet answered; more are refused here, as a PBX that far behind can't be helped by asking more."""
KEEPALIVE_S: Final = 8.0
"""Asterisk closes idle HTTP sessions after 15 s: ours are given up sooner, so that no request meets a closed one."""
MESSAGE_BYTES_MAX: Final = 1 << 20
FAREWELL_S: Final = 0.5
"""A close is answered at once; a link that is gone does not hold up the next one for longer."""
NEEDLESS_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent")
"""Asterisk heeds none of them; to make, send and read them costs both sides."""
FORBIDDEN: Final = 403

Query = Mapping[str, str]
Watch = Callable[[], Awaitable[NoReturn]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AriOptions:
    """Where and how to log in, and every bound. `password` is read anew at each connection, so that a mended file
    heals. `app`: the Stasis application; a second connection with the same name takes the events over."""

    host: str
    username: str
    password: Callable[[], str]
    app: str
    tcp_port: int = 8088
    prefix: str = ""
    """Path before /ari, as http.conf's `prefix` has it."""
    tls: ssl.SSLContext | None = None
    connect_deadline_s: float = 5.0
    request_deadline_s: float = 5.0
    ping_interval_s: float = 10.0
    retry_first_s: float = 0.5
    retry_max_s: float = 30.0


class AriRefused(PbxRejected):
    """A REST request was answered with an error. `status`: the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("Permission denied" if status == FORBIDDEN else message)
        self.status = status


class AriClient:
    """Keeps one link up from `run`. `ask` raises PbxUnavailable (nothing was written), AriRefused (the PBX said no)
    and PbxInDoubt (written, then no answer: the link is dropped)."""

    def __init__(
        self,
        options: AriOptions,
        *,
        rng: random.Random,
        on_event: Callable[[dict[str, Any]], None],
        on_down: Callable[[PbxUnavailable, float], None],
    ) -> None:
        """`on_down(why, next_try_in_s)` is called after each failed try and each loss."""
        self.options = options
        self.messages_in = 0
        self.requests = 0
        self.request_s = 0.0
        """How long the latest request took."""
        self._pbx_date = ""
        """The PBX's clock, as its latest answer told it."""
        self._on_event, self._on_down = on_event, on_down
        self._backoff = Backoff(rng, options.retry_first_s, options.retry_max_s)
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._loss: PbxUnavailable | None = None
        self._dropped = asyncio.Event()
        self._pending = 0
        self._parted = True
        """The last WebSocket, if there was one, ended with a farewell."""
        scheme = "https" if options.tls else "http"
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._where = f"{host}:{options.tcp_port}"
        self._root = f"{scheme}://{self._where}{options.prefix}/ari"

    @property
    def connected(self) -> bool:
        return self._socket is not None and not self._socket.closed

    @property
    def pending(self) -> int:
        return self._pending

    @property
    def pbx_utc(self) -> datetime | None:
        """The PBX's clock, as its latest answer told it, to the second; None if it told none."""
        return _date(self._pbx_date) if self._pbx_date else None

    # -- life of the link -----------------------------------------------------------------------------------------
    async def run(self, on_connected: Callable[[], Awaitable[None]], watch: Watch | None = None) -> NoReturn:
        """Connect, await `on_connected` (probe, resync), hold the link, and all over again, until cancelled. `watch`
        runs from then to the link's end."""
        while True:
            try:
                await self._one_life(on_connected, watch)
            except PbxUnavailable as error:
                wait_s = self._next_wait(error)
                log.warning("ari.down", host=self._where, code=error.code, reason=str(error), next_try_in_s=wait_s)
                self._on_down(error, wait_s)
                await asyncio.sleep(wait_s)

    def drop(self, why: PbxUnavailable) -> None:
        """End the link now; `run` connects anew after its wait."""
        self._lose(why)
        self._dropped.set()

    def _next_wait(self, why: PbxUnavailable) -> float:
        """Who was replaced waits longest: two instances that take the application from each other would both hear half
        of the events."""
        return round(self._backoff.next_s(longest=why.code == "replaced"), 3)

    async def _one_life(self, on_connected: Callable[[], Awaitable[None]], watch: Watch | None) -> NoReturn:
        self._loss = None
        self._dropped.clear()
        timeout = aiohttp.ClientTimeout(total=None)
        connector = LoopConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_S, tls=self.options.tls)
        session = aiohttp.ClientSession(
            connector=connector,
            headers=self._credentials(),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=NEEDLESS_HEADERS,
        )
        self._session = session
        abandoned = False
        try:
            if not self._parted:
                await self._clear_the_way(session)
            self._parted = False
            self._socket = await self._open(session)
            # The reader runs from the first moment: events wait for the resync in the driver, not in the socket.
            reading = asyncio.get_running_loop().create_task(self._read(self._socket), name="ARI events")
            try:
                await self._beside(reading, on_connected, watch)
            finally:
                reading.cancel()
        except (PbxInDoubt, PbxRejected) as error:
            raise self._loss or PbxUnavailable(str(error), "timeout") from error
        except GeneratorExit:
            abandoned = True  # thrown away with its loop, as by a kill in simulated time: nothing can be awaited
            raise
        finally:
            self._session = None
            socket_, self._socket = self._socket, None
            if abandoned:
                if socket_ is not None:
                    socket_._response.close()
                session.detach()
                connector.abandon()
            else:
                if socket_ is not None:
                    self._parted = not socket_.closed and await self._farewell(socket_)
                await session.close()
        raise self._loss or PbxUnavailable("the PBX closed the connection", "lost")

    async def _beside(
        self, reading: asyncio.Task[None], on_connected: Callable[[], Awaitable[None]], watch: Watch | None
    ) -> None:
        """`on_connected`, then `watch` until the reader ends or the link is dropped; either may come first."""
        loop = asyncio.get_running_loop()
        resync = loop.create_task(_awaited(on_connected()), name="ARI resync")
        dropped = loop.create_task(self._dropped.wait(), name="ARI dropped")
        waiting: set[asyncio.Future[Any]] = {reading, resync, dropped}
        watching: asyncio.Task[None] | None = None
        steady: asyncio.TimerHandle | None = None
        try:
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if resync in done:
                    resync.result()
                    # A PBX that drops us after each login is not to be asked for all it has several times a second.
                    steady = loop.call_later(self.options.ping_interval_s, self._backoff.reset)
                    if watch is not None:
                        watching = loop.create_task(_awaited(watch()), name="ARI watch")
                        waiting.add(watching)
                if watching in done:
                    watching.result()
                if reading in done:
                    return reading.result()
                if dropped in done:
                    return None
        finally:
            resync.cancel()
            dropped.cancel()
            if steady is not None:
                steady.cancel()
            if watching is not None:
                watching.cancel()

    async def _farewell(self, open_socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Close politely, but never wait for a peer that does not answer. True: it answered, and so has done with this
        WebSocket altogether (Asterisk lets go of the application before it says so)."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await open_socket.close()
        except TimeoutError:
            log.info("ari.no_farewell", host=self._where)
            return False
        return open_socket.close_code != aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    async def _clear_the_way(self, session: aiohttp.ClientSession) -> None:
        """After a link that ended without a farewell: one WebSocket for nothing, closed politely. The old one's end may
        coincide with the beginning of the next, which then stays deaf (see `hearing`). Who has connected has either
        taken the application from the old one, or waited for its end; so whoever comes after this one is heard."""
        way = await self._open(session)
        if not await self._farewell(way):
            raise PbxUnavailable(f"{self._where}: no answer to a farewell within {FAREWELL_S:g} s", "half_open")

    def _credentials(self) -> dict[str, str]:
        try:
            password = self.options.password()
        except (OSError, SettingsError) as error:
            raise PbxUnavailable(f"the password can't be read: {error}", "no_secret") from error
        return {"Authorization": aiohttp.encode_basic_auth(self.options.username, password)}

    async def _open(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        options = self.options
        query = {"app": options.app, "subscribeAll": "false"}
        try:
            async with asyncio.timeout(options.connect_deadline_s):
                return await session.ws_connect(
                    f"{self._root}/events",
                    params=query,
                    heartbeat=options.ping_interval_s,
                    max_msg_size=MESSAGE_BYTES_MAX,
                )
        except TimeoutError as error:
            what = f"{self._where}: no answer within {options.connect_deadline_s:g} s"
            raise PbxUnavailable(what, "timeout") from error
        except aiohttp.WSServerHandshakeError as error:
            raise self._handshake_refused(error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PbxUnavailable(f"{self._where}: {_words(error)}", code_of(_cause(error))) from error

    def _handshake_refused(self, status: int) -> PbxUnavailable:
        if status in (401, FORBIDDEN):
            return PbxUnavailable(f"ARI user {self.options.username!r} was refused", "auth_failed")
        if status == 404:
            return PbxUnavailable(f"{self._where} has no ARI: `enabled = yes` in ari.conf", "no_ari")
        if status == 503:
            return PbxUnavailable(f"{self._where}: Asterisk is starting or stopping", "booting")
        return PbxUnavailable(f"{self._where}: HTTP {status} instead of a WebSocket", "protocol")

    async def _read(self, open_socket: aiohttp.ClientWebSocketResponse) -> None:
        """The only reader of the socket. Ends with the link; `_loss` says why."""
        async for message in open_socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            self.messages_in += 1
            try:
                event = msgspec.json.decode(message.data)
            except msgspec.DecodeError as error:
                self._lose(PbxUnavailable(f"{self._where}: an event that is not JSON: {error}", "protocol"))
                return
            if isinstance(event, dict):
                if event.get("type") == "ApplicationReplaced":
                    what = f"another instance has taken over the application {self.options.app!r}"
                    self._lose(PbxUnavailable(what, "replaced"))
                    return
                self._on_event(event)
        failure = open_socket.exception()
        if isinstance(failure, TimeoutError):
            self._lose(PbxUnavailable(f"no answer to a Ping of every {self.options.ping_interval_s:g} s", "half_open"))
        else:
            self._lose(
                PbxUnavailable(f"connection lost: {failure}" if failure else "the PBX closed the connection", "lost")
            )

    def _lose(self, why: PbxUnavailable) -> None:
        if self._loss is None:
            self._loss = why

    # -- requests -------------------------------------------------------------------------------------------------
    async def ask(
        self, method: str, path: str, query: Query | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """One REST request below /ari; the decoded answer, None if it is empty."""
        session = self._session
        if session is None or self._loss is not None or not self.connected:
            raise self._loss or PbxUnavailable("no link", "no_link")
        if self._pending >= PENDING_MAX:
            raise PbxUnavailable(f"{PENDING_MAX} requests wait for an answer", "busy")
        loop = asyncio.get_running_loop()
        asked = loop.time()
        self._pending += 1
        self.requests += 1
        try:
            async with asyncio.timeout(self.options.request_deadline_s):
                return await self._exchange(session, method, path, query, body)
        except TimeoutError as error:
            raise self._silent(f"{method} {path}: no answer within {self.options.request_deadline_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            why = PbxUnavailable(f"{self._where}: {_words(error)}", code_of(_cause(error)))
            self.drop(why)
            raise why from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._silent(f"{method} {path}: the connection went before its answer ({_words(error)})") from error
        finally:
            self._pending -= 1
            self.request_s = loop.time() - asked

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
    ) -> Any:
        data = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else None
        async with session.request(method, self._root + path, params=query, data=data, headers=headers) as answer:
            content = await answer.read()
            self._pbx_date = answer.headers.get("Date", self._pbx_date)
            if answer.status >= 400:
                raise AriRefused(answer.status, _message_of(content) or f"HTTP {answer.status}")
            try:
                return msgspec.json.decode(content) if content else None
            except msgspec.DecodeError as error:
                raise AriRefused(answer.status, f"{method} {path}: the answer is not JSON") from error

    def _silent(self, what: str) -> PbxInDoubt:
        self.drop(PbxUnavailable(what, "half_open"))
        return PbxInDoubt(what)


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _message_of(content: bytes) -> str:
    """What an error's body says: `message`, or `error` of a failed allocation."""
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return ""
    return str(said.get("message") or said.get("error") or "") if isinstance(said, dict) else ""


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _cause(error: BaseException) -> BaseException:
    """What the connector wrapped, if it did."""
    wrapped: BaseException | None = getattr(error, "os_error", None)
    return wrapped or error


def _words(error: BaseException) -> str:
    cause = _cause(error)
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
