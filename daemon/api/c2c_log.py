"""The log of click-to-call: one row of `api_call_logs` a request, those refused at the door included (feature C2C-10).

A call that was tried notes its own row (daemon.api.c2c_calls). Here are those that never came so far: an origin or an
address that is not allowed, an unknown or lapsed token, a body that can't be read. The guard tells of them.

Left out: what the throttle turned away, since a row for each would hand a flood on to the database; a retry under its
Idempotency-Key, which gets the first request's answer; a preflight, which asks for no call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from daemon.api.auth import TOKEN_LENGTH_MAX, hash_of, shown_token
from daemon.api.c2c_alerts import C2CAlerts
from daemon.api.deps import Deps
from daemon.api.errors import clicsipx
from daemon.api.guard import PEER
from daemon.calls.records import Group
from daemon.errors import CommandError, StoreUnavailable

PATH = "/api/public/click2call"
NUMBER_CHARS_MAX = 40
NOTED = web.RequestKey("c2c_noted", bool)
"""Set once a request has its row."""
NUMBER = web.RequestKey("c2c_number", str)
"""The number asked for, once the body is read."""


def note(
    deps: Deps,
    request: web.Request,
    *,
    group_id: int,
    token_id: int,
    status: int,
    error: str,
    response_ms: float,
    line: str = "",
    call_id: int = 0,
) -> None:
    """Queue the request's row. `error` "" = it succeeded."""
    request[NOTED] = True
    deps.quotas.note(
        {
            "created_at": deps.clock.utcnow(),
            "group_id": group_id,
            "token_id": token_id,
            "endpoint": "click2call",
            "number_called": request.get(NUMBER, "")[:NUMBER_CHARS_MAX],
            "phone_line_used": line,
            "call_id": call_id or None,
            "success": not error,
            "status": status,
            "error": error,
            "ip_address": request[PEER],
            "response_time_ms": response_ms,
        }
    )


def refusals(deps: Deps, alerts: C2CAlerts) -> Callable[[web.Request, CommandError, float], Awaitable[None]]:
    """For Guard.refused: notes the requests that were turned away before a call was tried."""

    async def refused(request: web.Request, error: CommandError, response_ms: float) -> None:
        if request.path != PATH or request.method != "POST" or request.get(NOTED) or error.code == "bad_requests":
            return
        status, body = clicsipx(error)
        words = body["error"]
        try:
            token_id, group = await _whose(deps, request)
            if group is not None:
                await deps.quotas.settle(group.id, taken=False, error=words, response_ms=response_ms)
                alerts.look(group, await deps.quotas.hour(group.id), no_line=False)
        except StoreUnavailable:
            token_id, group = 0, None  # whose it was can't be told now
        group_id = group.id if group else 0
        note(deps, request, group_id=group_id, token_id=token_id, status=status, error=words, response_ms=response_ms)
        deps.metrics.c2c.labels(error.code).inc()

    return refused


async def _whose(deps: Deps, request: web.Request) -> tuple[int, Group | None]:
    """The token that was shown, lapsed ones too, and its group; (0, None) if there is none."""
    token = shown_token(request)
    row = await deps.auth.row(hash_of(token)) if 0 < len(token) <= TOKEN_LENGTH_MAX else None
    return (row.id, await deps.auth.group(row.group_id)) if row else (0, None)
