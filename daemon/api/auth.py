"""Who asks: opaque tokens, their cookie for the pages, and the trusted proxy's user header.

In: a request. Out: a Principal, or CommandError token_missing / token_invalid. Only SHA-256 hashes are stored; the
token is shown once (features D1, C2C-04, ROLE-02, ROLE-03). The cookie holds the token itself: a restart signs nobody
out and a revocation is immediate; it is HttpOnly and SameSite=Strict; writes by cookie need a CSRF header.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from daemon.api.routes import NOBODY, Principal
from daemon.api.shared import Shared
from daemon.calls.records import ApiToken, Group, TokenKind
from daemon.clock import Clock
from daemon.errors import CommandError
from daemon.ports import Store
from daemon.settings import HttpTable

COOKIE = "cadran_session"
CSRF_HEADER = "X-CSRF-Token"
TOKEN_LENGTH_MAX = 256
CACHE_S = 1.0
"""How long a token row is believed without asking the store again: what a revocation by another process may take."""
CACHE_ENTRIES_MAX = 10_000
LAST_USE_S = 300.0
"""`last_used_at` is written this often at most: a row update a request would cost more than the request."""
PREFIXES = {TokenKind.OPERATOR: "cadran", TokenKind.CLICK2CALL: "clicsipx", TokenKind.LEADS: "clicsipx"}


def hash_of(token: str) -> str:
    """What is stored of a token. Unsalted on purpose: tokens have 160 random bits, so there is nothing to look up."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(kind: TokenKind, group_code: str, token_bytes: Callable[[int], bytes]) -> str:
    """A fresh token: `cadran_<GROUP>_<40 hex>`, or `clicsipx_…` for the compatible doors."""
    return f"{PREFIXES[kind]}_{group_code}_{token_bytes(20).hex()}"


def csrf_of(token: str) -> str:
    """The value a page sends beside its cookie; another site can't read it, and can't derive it."""
    return hashlib.sha256(b"csrf:" + token.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Auth:
    """Tokens → principals, with a short cache. `forget` is called whenever token or group rows change here."""

    def __init__(self, store: Store, clock: Clock, http: HttpTable) -> None:
        self._store, self._clock, self._http = store, clock, http
        self._rows: OrderedDict[str, tuple[float, ApiToken]] = OrderedDict()
        self._groups: dict[int, tuple[float, Group]] = {}
        self._used: dict[int, float] = {}
        self._reading = Shared()
        self._version = 0
        self.listeners: list[Callable[[], None]] = []

    def forget(self) -> None:
        """Drop what is cached and tell the streams to look at their tokens again."""
        self._rows.clear()
        self._groups.clear()
        self._reading.forget()
        self._version += 1
        for listener in list(self.listeners):
            listener()

    def known(self, request: web.Request) -> bool:
        """Whether the request carries a token accepted before: it is not locked out by its neighbour's errors."""
        token = shown_token(request) or request.cookies.get(COOKIE, "")
        return bool(token) and hash_of(token) in self._rows

    async def identify(self, request: web.Request, peer: str, peer_trusted: bool) -> Principal:
        """The principal of a request; NOBODY if it shows no credential. Raises token_invalid, csrf_missing."""
        if token := shown_token(request):
            return await self.by_token(token)
        header = self._http.proxy_user_header
        if header and peer_trusted and (users := [user for user in request.headers.getall(header, ()) if user]):
            who = await self._by_proxy_user(users)
            self._check_csrf(request, who.csrf)
            return who
        if token := request.cookies.get(COOKIE, ""):
            who = await self.by_token(token)
            self._check_csrf(request, csrf_of(token))
            return who
        return NOBODY

    def _check_csrf(self, request: web.Request, expected: str) -> None:
        """A credential that browsers send by themselves must be joined by a header that only our page can set."""
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode("utf-8", "replace"), expected.encode()):
            raise CommandError("csrf_missing")

    async def by_token(self, token: str) -> Principal:
        """The principal of a token. Raises token_invalid for unknown, expired and disabled ones alike."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise CommandError("token_invalid")
        sha256 = hash_of(token)
        row = await self.row(sha256)
        if row is None or not hmac.compare_digest(row.sha256, sha256) or not self.alive(row):
            raise CommandError("token_invalid")
        await self._note_use(row)
        return principal(row, csrf_of(token))

    async def _by_proxy_user(self, users: list[str]) -> Principal:
        """The operator token row named like the user the proxy signed in (features ROLE-02). Two names: one of them is
        the client's own, and nobody can tell which."""
        rows = await self._store.find(ApiToken, name=users[0]) if len(users) == 1 else []
        rows = [row for row in rows if row.kind is TokenKind.OPERATOR and self.alive(row)]
        if len(rows) != 1:
            raise CommandError("token_invalid")
        return principal(rows[0], csrf_of(f"proxy:{rows[0].sha256}"))

    async def row(self, sha256: str) -> ApiToken | None:
        """The token's row, at most CACHE_S old."""
        now = self._clock.now()
        cached = self._rows.get(sha256)
        if cached is not None and now - cached[0] < CACHE_S:
            return cached[1]
        version = self._version
        rows = await self._reading.once(("token", sha256), lambda: self._store.find(ApiToken, sha256=sha256))
        if version != self._version:
            return await self.row(sha256)  # changed while it was read: what was found may be what was revoked
        if len(rows) != 1:
            self._rows.pop(sha256, None)
            return None
        self._rows[sha256] = (now, rows[0])
        self._rows.move_to_end(sha256)
        while len(self._rows) > CACHE_ENTRIES_MAX:
            self._rows.popitem(last=False)
        return rows[0]

    def alive(self, row: ApiToken) -> bool:
        """Neither disabled nor expired at this instant."""
        now = self._clock.utcnow()
        return (row.disabled_at is None or row.disabled_at > now) and (row.expires_at is None or row.expires_at > now)

    def known_alive(self, who: Principal) -> bool | None:
        """As `still_valid`, without asking the store; None if it has to be asked."""
        cached = self._rows.get(who.sha256)
        if cached is None or self._clock.now() - cached[0] >= CACHE_S:
            return None
        return self.alive(cached[1])

    async def still_valid(self, who: Principal) -> bool:
        """Whether the token behind an open stream still stands."""
        row = await self.row(who.sha256)
        return row is not None and self.alive(row)

    async def group(self, group_id: int) -> Group | None:
        """A tenant's row, at most CACHE_S old."""
        now = self._clock.now()
        cached = self._groups.get(group_id)
        if cached is not None and now - cached[0] < CACHE_S:
            return cached[1]
        group = await self._reading.once(("group", group_id), lambda: self._store.get(Group, group_id))
        if group is not None:
            self._groups[group_id] = (now, group)
        return group

    async def _note_use(self, row: ApiToken) -> None:
        now = self._clock.now()
        last = self._used.get(row.id)
        if last is not None and now - last < LAST_USE_S:
            return
        self._used[row.id] = now
        updated = await self._store.update(ApiToken, row.id, {"last_used_at": self._clock.utcnow()}, None)
        self._rows[row.sha256] = (now, updated)


def principal(row: ApiToken, csrf: str) -> Principal:
    """What a token row allows."""
    return Principal(
        token_id=row.id,
        group_id=row.group_id,
        name=row.name,
        kind=row.kind,
        role=row.role,
        all_groups=row.all_groups,
        campaign_ids=frozenset(row.campaign_ids),
        agent_id=row.agent_id,
        sha256=row.sha256,
        csrf=csrf,
    )


def shown_token(request: web.Request) -> str:
    """The token a program sends; "" if none. Not the pages' cookie."""
    return _bearer(request) or request.headers.get("X-API-Key", "")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def host_is_loopback(host_header: str) -> bool:
    """Whether the Host header names this machine: a foreign name that resolves here (rebinding) does not."""
    host = host_header.strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    return name == "localhost" or is_loopback(name)


def expiry_of(now: datetime, days: int) -> datetime | None:
    """`days` from now; None for 0."""
    return now + timedelta(days=days) if days else None
