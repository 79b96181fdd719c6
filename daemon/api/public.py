"""The documented CLICSIPx click-to-call (features C2C-01…14): POST /api/public/click2call, GET /api/public/status.

Bodies, messages and codes are the documented ones; clients written for them work unchanged. The agent's phone rings
first; 200 is given once the PBX has queued that leg, 504 after the command deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from aiohttp import web

from daemon.api import c2c_log, cors
from daemon.api.c2c_calls import call_once, place_call, service_of
from daemon.api.c2c_types import C2CAnswer, C2CBody, LastHour, LinesStatus, RateLimit, StatusAnswer, StatusData
from daemon.api.deps import Deps
from daemon.api.guard import CORS_ORIGIN
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.calls.ids import uuid7
from daemon.calls.records import Group
from daemon.errors import CommandError

log = structlog.get_logger("cadran.api")
routes = Routes("/api/public", "click-to-call (CLICSIPx)")

KEY_CHARS_MAX = 200


async def _group(ask: Ask) -> Group:
    group = await ask.deps.auth.group(ask.who.group_id)
    if group is None:
        raise CommandError("token_invalid")
    return group


def _check_origin(ask: Ask, group: Group) -> None:
    """403 "Domaine non autorisé" for a browser on a site that is not listed."""
    origin = ask.request.headers.get("Origin", "")
    if not origin:
        return
    if not cors.allowed(origin, group.cors_origins):
        raise CommandError("origin_forbidden", {"origin": origin[:200]})
    if not group.cors_origins and group.id not in service_of(ask).warned:
        service_of(ask).warned.add(group.id)
        log.warning("click-to-call open to every web site: list the group's cors_origins", group=group.code)
    ask.request[CORS_ORIGIN] = origin


def preflight(deps: Deps) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """OPTIONS carries no token, so an origin is let in if any group lists it; the call is judged by its own."""

    async def answer(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        if not request.path.startswith("/api/public/") or not origin:
            raise CommandError("origin_forbidden", {"origin": origin[:200]})
        groups = await deps.store.find(Group)
        if not any(cors.allowed(origin, group.cors_origins) for group in groups):
            raise CommandError("origin_forbidden", {"origin": origin[:200]})
        request[CORS_ORIGIN] = origin
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
                "Access-Control-Max-Age": "600",
            },
        )

    return answer


@routes.post("/click2call", permission=Permission.C2C, body=C2CBody, reply=C2CAnswer, style="clicsipx", extra=(504,))
async def click2call(ask: Ask) -> web.StreamResponse | Reply:
    """Ring a phone of the pool, then dial the number."""
    ask.request[c2c_log.NUMBER] = str(ask.body.number_to_call).strip()
    group = await _group(ask)
    _check_origin(ask, group)
    key = ask.request.headers.get("Idempotency-Key", "")[:KEY_CHARS_MAX]
    if not key:
        return await place_call(ask, group, uuid7(ask.deps.clock.utcnow(), ask.deps.rng))
    return await call_once(ask, group, key)


@routes.get("/status", permission=Permission.C2C, reply=StatusAnswer, style="clicsipx")
async def status(ask: Ask) -> Reply:
    """Lines, last hour, and what is left of the quota."""
    group = await _group(ask)
    _check_origin(ask, group)
    available, total = await service_of(ask).pool.free(group.id)
    hour = await ask.deps.quotas.hour(group.id)
    used = hour.succeeded + hour.in_flight
    rate = hour.succeeded / hour.calls if hour.calls else None
    mean_ms = hour.response_ms / hour.calls if hour.calls else None
    reset_at = (hour.start + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    return Reply(
        StatusAnswer(
            success=True,
            data=StatusData(
                lines=LinesStatus(available=available, total=total, strategy=group.c2c_strategy.value),
                last_hour=LastHour(
                    calls=hour.calls,
                    succeeded=hour.succeeded,
                    failed=hour.calls - hour.succeeded,
                    success_rate=rate,
                    avg_response_ms=mean_ms,
                ),
                rate_limit=RateLimit(
                    limit=group.c2c_per_hour,
                    used=used,
                    remaining=max(0, group.c2c_per_hour - used),
                    reset_at=reset_at,
                ),
            ),
        )
    )
