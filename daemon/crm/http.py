"""The only way out to addresses that people typed: webhooks, CRM templates, notifications, alerts.

In: method, URL, headers, body. Out: an `Answer`, whatever its status, or OutgoingError with a stable code. What an
operator of one tenant types must not reach this host, its neighbours or a cloud's metadata service, so every address is
checked after its name was resolved, the connection is made to the addresses checked (a second look-up could give
others), and each redirect passes the same checks. Time, size and redirects are bounded by settings ([outgoing]).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from daemon import __version__
from daemon.errors import DaemonError, SettingsError
from daemon.settings import OutgoingTable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses as texts. OSError if the name is unknown."""

URL_CHARS_MAX = 8000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
METHOD = re.compile(r"[A-Z]{1,16}")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
"""A header's name, RFC 9110 §5.1."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEPT_ELSEWHERE = frozenset({"accept", "accept-language", "content-type"})
"""Headers that follow a redirect to another origin: any other may be a credential (Authorization, X-Api-Key, …)."""
HIDING = tuple(ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
"""IPv6 ranges that carry an IPv4 address inside (NAT64 RFC 6052 and 8215, 6to4 RFC 3056, Teredo RFC 4380): a gateway
would unwrap them behind our back, so they count as private whatever they carry."""


class OutgoingError(DaemonError):
    """A request that got no answer. `code`: url_invalid, header_invalid, address_forbidden, https_required,
    name_unknown, unreachable, tls, timeout, too_large, redirects, protocol. `refused` = ours: a retry can't help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def refused(self) -> bool:
        """Whether we refused to send it at all."""
        return self.code in {"url_invalid", "header_invalid", "address_forbidden", "https_required"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `url`: the last one, after redirects; header names are compared without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    def text(self) -> str:
        """The body in the charset it names, UTF-8 otherwise; what can't be decoded is replaced."""
        found = re.search(r"charset=\"?([\w.:-]{1,40})", self.headers.get("Content-Type", ""), re.IGNORECASE)
        try:
            return self.body.decode(found[1] if found else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses may be connected to: public ones, and those of `allowed` networks."""

    allowed: tuple[Network, ...] = ()
    plain_http: bool = False

    @classmethod
    def of(cls, table: OutgoingTable) -> Policy:
        """Raises SettingsError for what is no network."""
        try:
            networks = tuple(ipaddress.ip_network(text, strict=False) for text in table.allow_networks)
        except ValueError as error:
            raise SettingsError("outgoing.allow_networks", list(table.allow_networks), str(error)) from error
        return cls(networks, table.plain_http)

    def check(self, text: str, scheme: str, host: str) -> None:
        """Raises OutgoingError for an address that may not be connected to over this scheme."""
        address = _address(text)
        listed = address is not None and any(address in network for network in self.allowed)
        if not listed and (address is None or not _public(address)):
            shown = text if text == host else f"{host} ({text})"
            raise OutgoingError("address_forbidden", f"{shown} is not a public address; see outgoing.allow_networks")
        if scheme == "http" and not listed and not self.plain_http:
            raise OutgoingError("https_required", f"{host}: plain http goes to outgoing.allow_networks only")


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _public(address: Address) -> bool:
    """Whether an address is anyone's on the Internet. `is_global` follows IANA's special-purpose registries."""
    if address.is_multicast or not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return not address.is_site_local and not any(address in network for network in HIDING)


class _Resolver(AbstractResolver):
    """aiohttp's view of `resolve`, letting through only addresses that the policy permits for this scheme."""

    def __init__(self, resolve: Resolve, policy: Policy, scheme: str) -> None:
        self._resolve, self._policy, self._scheme = resolve, policy, scheme

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise OutgoingError("name_unknown", f"{host}: no such name") from error
        permitted: list[ResolveResult] = []
        refusal = OutgoingError("name_unknown", f"{host}: no address")
        for text in found:
            try:
                self._policy.check(text, self._scheme, host)
            except OutgoingError as error:
                refusal = error
                continue
            version = socket.AF_INET6 if ":" in text else socket.AF_INET
            permitted.append(
                ResolveResult(
                    hostname=host, host=text, port=port, family=version, proto=0, flags=int(socket.AI_NUMERICHOST)
                )
            )
        if not permitted:
            raise refusal
        return permitted

    async def close(self) -> None:
        return None


async def look_up(host: str, port: int) -> list[str]:
    """The system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


@dataclass(slots=True)
class _Sent:
    """A request as it stands before its next hop."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes
    hops: int = field(default=0)


class Outgoing:
    """One a daemon. Used inside a running loop; `close` lets go of its connections."""

    def __init__(self, table: OutgoingTable, *, resolve: Resolve = look_up) -> None:
        self._table = table
        self._policy = Policy.of(table)
        self._resolve = resolve
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
        bytes_max: int | None = None,
        redirects_max: int | None = None,
    ) -> Answer:
        """One request, its redirects followed; bounds default to the settings. Raises OutgoingError."""
        bound_s = min(timeout_s or self._table.timeout_s, self._table.timeout_s)
        size = bytes_max or self._table.answer_bytes_max
        hops = self._table.redirects_max if redirects_max is None else redirects_max
        sent = _Sent(_method(method), checked_url(url), _headers(headers or {}), body)
        try:
            async with asyncio.timeout(bound_s):
                while True:
                    answer = await self._one(sent, size)
                    if answer.status not in REDIRECTS or "Location" not in answer.headers:
                        return answer
                    sent = _redirected(sent, answer, hops)
        except TimeoutError as error:
            raise OutgoingError("timeout", f"{sent.url.host}: no answer within {bound_s:g} s") from error
        except OutgoingError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error, sent.url) from error

    def check(self, url: str) -> None:
        """Raises OutgoingError for a URL that can be refused before its name is resolved."""
        parsed = checked_url(url)
        host = parsed.host or ""
        if _address(host) is not None:
            self._policy.check(host, parsed.scheme, host)
        elif parsed.scheme == "http" and not self._policy.plain_http and not self._policy.allowed:
            raise OutgoingError("https_required", f"{host}: plain http goes to outgoing.allow_networks only")

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _one(self, sent: _Sent, size: int) -> Answer:
        host = sent.url.host or ""
        if _address(host) is not None:  # aiohttp connects to a literal address without asking the resolver
            self._policy.check(host, sent.url.scheme, host)
        session = self._session(sent.url.scheme)
        async with session.request(
            sent.method, sent.url, headers=sent.headers, data=sent.body or None, allow_redirects=False
        ) as response:
            raw = await _read(response, size)
            body = _unpacked(raw, response.headers.get("Content-Encoding", ""), size)
            return Answer(response.status, CIMultiDict(response.headers), body, str(sent.url))

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        if scheme not in self._sessions:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self._resolve, self._policy, scheme),
                use_dns_cache=False,
                limit=self._table.connections_max,
                ssl=ssl.create_default_context(cafile=self._table.ca_file or None),
            )
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._table.connect_timeout_s),
                headers={"User-Agent": f"cadran/{__version__}", "Accept-Encoding": "gzip"},
            )
        return self._sessions[scheme]


def checked_url(text: str) -> URL:
    """An absolute http(s) URL without credentials in it. Raises OutgoingError."""
    if len(text) > URL_CHARS_MAX or CONTROL.search(text) or "\\" in text:
        raise OutgoingError("url_invalid", "the URL is too long or holds control characters or backslashes")
    try:
        url = URL(text)
        usable = url.scheme in ("http", "https") and bool(url.host) and 0 < (url.port or 0) < 65_536
    except ValueError as error:
        raise OutgoingError("url_invalid", "not a URL") from error
    if not usable:
        raise OutgoingError("url_invalid", "an absolute http or https URL is needed")
    if url.user or url.password:
        raise OutgoingError("url_invalid", "a URL with a user or password in it would end in logs; use a header")
    return url


def _method(method: str) -> str:
    if not METHOD.fullmatch(method):
        raise OutgoingError("header_invalid", "the method is not a word of capital letters")
    return method


def _headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Checked: a line break in a value would begin another header, or another request."""
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            raise OutgoingError("header_invalid", f"header name {CONTROL.sub('?', name)[:40]!r} is not allowed")
        if CONTROL.search(value.replace("\t", " ")):
            raise OutgoingError("header_invalid", f"header {name}: control characters in its value")
    return CIMultiDict(headers)


def _redirected(sent: _Sent, answer: Answer, hops_max: int) -> _Sent:
    """The next hop (RFC 9110 §15.4): credentials stay with the origin they were given for; https never becomes http."""
    if sent.hops >= hops_max:
        raise OutgoingError("redirects", f"{sent.url.host}: more than {hops_max} redirects")
    try:
        url = checked_url(str(sent.url.join(URL(answer.headers["Location"]))))
    except ValueError as error:
        raise OutgoingError("redirects", f"{sent.url.host}: redirected to what is no URL") from error
    if sent.url.scheme == "https" and url.scheme == "http":
        raise OutgoingError("redirects", f"{sent.url.host}: redirected from https to http")
    headers = sent.headers.copy()
    if url.origin() != sent.url.origin():
        headers = CIMultiDict((name, value) for name, value in headers.items() if name.lower() in KEPT_ELSEWHERE)
    method, body = sent.method, sent.body
    if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
        method, body = ("HEAD" if method == "HEAD" else "GET"), b""
        headers.popall("Content-Type", None)
    return _Sent(method, url, headers, body, sent.hops + 1)


async def _read(response: aiohttp.ClientResponse, size: int) -> bytes:
    if (response.content_length or 0) > size:
        raise OutgoingError("too_large", f"{response.url.host}: an answer of more than {size} bytes")
    parts, total = [], 0
    async for part in response.content.iter_any():
        total += len(part)
        if total > size:
            raise OutgoingError("too_large", f"{response.url.host}: an answer of more than {size} bytes")
        parts.append(part)
    return b"".join(parts)


def _unpacked(raw: bytes, encoding: str, size: int) -> bytes:
    """gzip and deflate undone within the bound: a small answer may unpack to gigabytes."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not raw:
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise OutgoingError("protocol", f"content encoding {CONTROL.sub('?', encoding)[:20]} was not asked for")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32 if encoding != "deflate" else zlib.MAX_WBITS)
    try:
        body = unpacking.decompress(raw, size + 1)
    except zlib.error as error:
        raise OutgoingError("protocol", "the answer's compression is broken") from error
    if len(body) > size:
        raise OutgoingError("too_large", f"an answer that unpacks to more than {size} bytes")
    return body


def _mapped(error: Exception, url: URL) -> OutgoingError:
    """Third-party errors as ours, once. A refusal of our resolver comes wrapped in aiohttp's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OutgoingError):
            return cause
        cause = cause.__cause__ or cause.__context__
    host = url.host
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return OutgoingError("tls", f"{host}: the TLS certificate or handshake was refused")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return OutgoingError("timeout", f"{host}: no connection in time")
    if isinstance(error, aiohttp.InvalidURL):
        return OutgoingError("url_invalid", "not a URL")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return OutgoingError("unreachable", f"{host}: {type(error).__name__}")
    return OutgoingError("protocol", f"{host}: {type(error).__name__}")
