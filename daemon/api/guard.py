"""What every request passes before its handler: address, throttle, concurrency, ids; and its errors and headers after.

Bounds come from settings ([http]); each has a metric. Refusals name what is allowed and never the secret.
"""

from __future__ import annotations

import ipaddress
import random
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog
from aiohttp import web

from daemon.api.auth import Auth
from daemon.api.errors import PROBLEM_TYPE, clicsipx, problem
from daemon.api.metrics import Metrics
from daemon.bounds import Bound
from daemon.clock import Clock
from daemon.errors import CommandError, StoreBusy, StoreConflict, StoreUnavailable
from daemon.settings import HttpTable

log = structlog.get_logger("cadran.api")

REQUEST_ID = web.RequestKey("request_id", str)
PEER = web.RequestKey("peer", str)
PEER_TRUSTED = web.RequestKey("peer_trusted", bool)
STYLE = web.RequestKey("style", str)
ROUTE = web.RequestKey("route", str)
CORS_ORIGIN = web.RequestKey("cors_origin", str)
REFUSED = web.RequestKey("refused", CommandError)

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "media-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), screen-wake-lock=(self)",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",  # the desk steers the CRM's window it opened
    "Cross-Origin-Resource-Policy": "same-origin",
}
THROTTLE_WINDOW_S = 60.0
THROTTLE_ADDRESSES_MAX = 50_000
BAD_STATUSES = frozenset({400, 401, 403, 413, 415})
"""What counts against an address: token guesses and malformed requests, not 404, 409 or 412 of an honest page."""
STREAMS = ("/stream", "/events")
"""Open for hours by nature: they have their own bound (stream.READERS_MAX) and take no place of short requests."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refused = Callable[[web.Request, CommandError, float], Awaitable[None]]


class Guard:
    """One per app. `wrap` is the middleware's body. `refused`: told of each request that ends in an error, and of the
    milliseconds it took; not of those that a neighbour who guesses tokens sends past his measure."""

    def __init__(self, http: HttpTable, clock: Clock, rng: random.Random, auth: Auth, metrics: Metrics) -> None:
        self._http, self._clock, self._rng, self._auth, self._metrics = http, clock, rng, auth, metrics
        self._allow = [ipaddress.ip_network(network, strict=False) for network in http.allow]
        self._trusted = [ipaddress.ip_network(network, strict=False) for network in http.trusted_proxies]
        self._bad: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._active = 0
        self.refused: Refused | None = None

    async def wrap(self, request: web.Request, call: Next) -> web.StreamResponse:
        """Run a request through all checks; its errors become bodies, and headers are added."""
        given = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else f"{self._rng.getrandbits(64):016x}"
        request[PEER], request[PEER_TRUSTED] = self._peer(request)
        compatible = request.path.startswith(("/api/public/", "/api/external/"))
        request[STYLE] = "clicsipx" if compatible else "problem"
        started = self._clock.now()
        counted = 0 if request.path.endswith(STREAMS) else 1
        self._active += counted
        try:
            response = await self._answer(request, call)
        finally:
            self._active -= counted
        if (error := request.get(REFUSED)) is not None and self.refused is not None and not self._floods(request):
            await self.refused(request, error, (self._clock.now() - started) * 1000.0)
        if response.status in BAD_STATUSES:
            self._count_bad(request[PEER])
        self._metrics.request(request, response.status, self._clock.now() - started)
        if not response.prepared:
            self.add_headers(request, response)
        return response

    def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Security headers and the request's id; also called by streams before they start."""
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        if origin := request.get(CORS_ORIGIN):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining"
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            response.headers["Vary"] = "Origin"
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        yield Bound("http_requests", self._active, self._http.requests_max)

    async def _answer(self, request: web.Request, call: Next) -> web.StreamResponse:
        try:
            self._check_address(request)
            self._check_throttle(request)
            if self._active > self._http.requests_max:
                self._metrics.refused("concurrency")
                raise CommandError("too_busy")
            return await call(request)
        except CommandError as error:
            return self.error(request, error)
        except StoreBusy:
            return self.error(request, CommandError("too_busy"))
        except StoreUnavailable:
            return self.error(request, CommandError("store_unavailable"))
        except StoreConflict as conflict:
            return self.error(request, _of_conflict(conflict))
        except web.HTTPException as error:
            return self.error(request, self._of_http(request, error), keep=error)
        except ConnectionError:
            raise  # the peer went away: nobody to answer
        except Exception:
            log.exception("request failed", request_id=request[REQUEST_ID], method=request.method)
            return self.error(request, CommandError("internal", {"request_id": request[REQUEST_ID]}))

    def error(
        self, request: web.Request, error: CommandError, keep: web.HTTPException | None = None
    ) -> web.StreamResponse:
        """The body of an error in the style of the door that was used."""
        if keep is not None and keep.status < 400:
            return keep
        request[REFUSED] = error
        language = language_of(request)
        if request[STYLE] == "clicsipx":
            status, body = clicsipx(error)
            content_type = "application/json"
        else:
            body = problem(error, language=language, request_id=request[REQUEST_ID])
            status, content_type = int(body["status"]), PROBLEM_TYPE
        response = web.Response(body=msgspec.json.encode(body), status=status, content_type=content_type)
        if status in (429, 503):
            response.headers["Retry-After"] = str(error.details.get("retry_after_s", 1 if status == 503 else 60))
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if keep is not None and (allow := keep.headers.get("Allow")):
            response.headers["Allow"] = allow
        response.headers["Content-Language"] = "fr" if request[STYLE] == "clicsipx" else language
        return response

    def _peer(self, request: web.Request) -> tuple[str, bool]:
        """The client's address. X-Forwarded-For is believed only from a trusted proxy, right to left: over all of its
        lines, since some proxies add a line of their own below the one that the client sent."""
        peer = (request.remote or "").partition("%")[0]
        trusted = self._http.behind_proxy and self._in(peer, self._trusted)
        if not trusted:
            return peer, False
        for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
            hop = hop.strip()
            if not hop:
                continue
            if not self._in(hop, self._trusted):
                return hop[:64], True
        return peer, True

    @staticmethod
    def _in(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in networks)

    def _check_address(self, request: web.Request) -> None:
        if self._allow and not self._in(request[PEER], self._allow):
            self._metrics.refused("address")
            raise CommandError("address_not_allowed", {"address": request[PEER]})

    def _check_throttle(self, request: web.Request) -> None:
        if self._floods(request):
            self._metrics.refused("throttle")
            left = THROTTLE_WINDOW_S - (self._clock.now() - self._bad[request[PEER]][0])
            raise CommandError("bad_requests", {"retry_after_s": max(1, round(left))})

    def _floods(self, request: web.Request) -> bool:
        """Whether the address has used up its bad requests of the minute; not for one that shows a good token."""
        since, count = self._bad.get(request[PEER], (0.0, 0))
        over = count >= self._http.bad_requests_per_minute and self._clock.now() - since < THROTTLE_WINDOW_S
        return over and not self._auth.known(request)

    def _count_bad(self, peer: str) -> None:
        now = self._clock.now()
        since, count = self._bad.get(peer, (now, 0))
        if now - since >= THROTTLE_WINDOW_S:
            since, count = now, 0
        self._bad[peer] = (since, count + 1)
        self._bad.move_to_end(peer)
        while len(self._bad) > THROTTLE_ADDRESSES_MAX:
            self._bad.popitem(last=False)

    def _of_http(self, request: web.Request, error: web.HTTPException) -> CommandError:
        if isinstance(error, web.HTTPMethodNotAllowed):
            allowed = sorted(error.allowed_methods)
            return CommandError("method_not_allowed", {"method": request.method[:16], "allowed": allowed})
        if isinstance(error, web.HTTPRequestEntityTooLarge):
            return CommandError("body_too_large", {"allowed": self._http.body_bytes_max})
        if error.status == 404:
            return CommandError("not_found", {"what": request.path[:200]})
        return CommandError("json_invalid", {"reason": error.reason})


def _of_conflict(conflict: StoreConflict) -> CommandError:
    if conflict.field:
        return CommandError("conflict", {"field": conflict.field, "value": ""})
    return CommandError("changed_meanwhile")


def language_of(request: web.Request) -> str:
    """fr or en by the first of the two that Accept-Language names; French by default, as the trade's users are."""
    for part in request.headers.get("Accept-Language", "").lower().split(","):
        tag = part.partition(";")[0].strip().partition("-")[0]
        if tag in ("fr", "en"):
            return tag
    return "fr"
