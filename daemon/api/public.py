"""The documented CLICSIPx click-to-call (features C2C-01…14): POST /api/public/click2call, GET /api/public/status.

Bodies, messages and codes are the documented ones; clients written for them work unchanged. The agent's phone rings
first; 200 is given once the PBX has queued that leg, 504 after the command deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from daemon.api import cors, fraud
from daemon.api.c2c_alerts import C2CAlerts
from daemon.api.c2c_pool import PhonePool
from daemon.api.deps import Deps
from daemon.api.errors import clicsipx
from daemon.api.guard import CORS_ORIGIN, PEER
from daemon.api.quota import Hour
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer
from daemon.calls.ids import uuid7
from daemon.calls.records import Client, Group
from daemon.compliance.numbers import NumberRefusal, normalise
from daemon.engine.commands import CallExtension
from daemon.engine.views import CallView, Changes
from daemon.errors import CommandError

log = structlog.get_logger("cadran.api")
routes = Routes("/api/public", "click-to-call (CLICSIPx)")

FORBIDDEN = {NumberRefusal.EMERGENCY: "urgence", NumberRefusal.PREMIUM: "surtaxé", NumberRefusal.SHORT: "numéro court"}
TRY_NEXT = frozenset({"extension_busy", "extension_unregistered"})
IDEMPOTENT_MAX = 10_000
KEY_CHARS_MAX = 200


class C2CBody(msgspec.Struct, kw_only=True):
    """As documented. Unknown fields are let pass: deployed clients send some."""

    number_to_call: Annotated[str, Meta(max_length=60)] | int
    phone_line_used: Annotated[str, Meta(max_length=60)] | int | None = None


class C2CData(Answer, kw_only=True):
    call_id: int
    phone_line_used: str
    number_called: str
    group: str
    response_time_ms: int


class C2CAnswer(Answer, kw_only=True):
    """Nested as one page of the source documents it, and flat as the other does (features D2)."""

    success: bool
    message: str
    call_id: int
    phone_line_used: str
    data: C2CData


class LinesStatus(Answer, kw_only=True):
    available: int
    total: int
    strategy: str


class LastHour(Answer, kw_only=True):
    calls: int
    succeeded: int
    failed: int
    success_rate: float | None
    avg_response_ms: float | None


class RateLimit(Answer, kw_only=True):
    limit: int
    used: int
    remaining: int
    reset_at: str


class StatusData(Answer, kw_only=True):
    lines: LinesStatus
    last_hour: LastHour
    rate_limit: RateLimit


class StatusAnswer(Answer, kw_only=True):
    """Features C2C-09, D28."""

    success: bool
    data: StatusData


@dataclass(slots=True)
class Request:
    """One click-to-call on its way: what the log will say of it."""

    group: Group
    number: str
    started: float
    taken: bool = False
    line: str = ""
    call_id: int = 0


@dataclass(slots=True)
class Service:
    """What click-to-call keeps between requests. Made on first use, one an app."""

    pool: PhonePool
    alerts: C2CAlerts
    answers: OrderedDict[tuple[int, str], asyncio.Future[Any]] = field(default_factory=OrderedDict)
    warned: set[int] = field(default_factory=set)


SERVICE = web.AppKey("click2call", Service)


def service_of(ask: Ask) -> Service:
    """The app's service; see app.build_app."""
    return ask.request.app[SERVICE]


def make_service(deps: Deps) -> Service:
    """Pool and memory of an app; the pool hears of ended calls from the engine and of edited rows from the API."""
    pool = PhonePool(deps.store, deps.door, deps.clock, deps.rng)
    deps.door.listen(pool.on_changes, ("calls",))
    deps.auth.listeners.append(pool.forget)
    return Service(pool, C2CAlerts(deps.notify))


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
    group = await _group(ask)
    _check_origin(ask, group)
    key = ask.request.headers.get("Idempotency-Key", "")[:KEY_CHARS_MAX]
    if not key:
        return await _call(ask, group, uuid7(ask.deps.clock.utcnow(), ask.deps.rng))
    return await _once(ask, group, key)


async def _once(ask: Ask, group: Group, key: str) -> Reply:
    """The answer of the first request with this key; the attempt's id is derived from it, so that even a restart in
    between can't call twice: the store refuses a second row of that id."""
    answers = service_of(ask).answers
    slot = (group.id, key)
    if (pending := answers.get(slot)) is not None:
        reply: Reply = await asyncio.shield(pending)
        return reply
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    answers[slot] = future
    while len(answers) > IDEMPOTENT_MAX:
        answers.popitem(last=False)
    try:
        reply = await _first(ask, group, _id_of(group.id, key))
    except BaseException as error:
        answers.pop(slot, None)  # a failed call may be tried again under its key
        if not future.done():
            future.set_exception(error if isinstance(error, CommandError) else CommandError("timeout"))
            future.exception()  # whoever waits gets it; with nobody waiting it is not an error of ours
        raise
    future.set_result(reply)
    return reply


async def _first(ask: Ask, group: Group, attempt_id: UUID) -> Reply:
    row = await ask.deps.store.attempt(attempt_id)
    if row is not None:
        request = Request(group, _number(ask.body.number_to_call), ask.deps.clock.now(), call_id=int(row["number"]))
        return _success(ask, request, 0.0)
    return await _call(ask, group, attempt_id)


def _id_of(group_id: int, key: str) -> UUID:
    """A UUID of version 8 (RFC 9562 §5.8: our own derivation) from group and key."""
    value = int.from_bytes(hashlib.sha256(f"{group_id}:{key}".encode("utf-8", "replace")).digest()[:16], "big")
    value = value & ~(0xF << 76) | 0x8 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


async def _call(ask: Ask, group: Group, attempt_id: UUID) -> Reply:
    """Quota, number, phone, call; and the log row, whatever comes of it."""
    deps = ask.deps
    request = Request(group, _number(ask.body.number_to_call), deps.clock.now())
    try:
        await deps.quotas.take(group)
        request.taken = True
        await _place(ask, request, attempt_id)
    except CommandError as error:
        await _finish(ask, request, error)
        raise
    except asyncio.CancelledError:
        if request.taken:
            deps.quotas.release(group.id)
        raise
    response_ms = (deps.clock.now() - request.started) * 1000.0
    await _finish(ask, request, None)
    return _success(ask, request, response_ms, await deps.quotas.hour(group.id))


def _number(value: str | int) -> str:
    return str(value).strip()


def _success(ask: Ask, request: Request, response_ms: float, hour: Hour | None = None) -> Reply:
    answer = C2CAnswer(
        success=True,
        message=f"Appel lancé vers {request.number}",
        call_id=request.call_id,
        phone_line_used=request.line,
        data=C2CData(
            call_id=request.call_id,
            phone_line_used=request.line,
            number_called=request.number,
            group=request.group.code,
            response_time_ms=round(response_ms),
        ),
    )
    headers = {}
    if hour is not None:
        headers["X-RateLimit-Limit"] = str(request.group.c2c_per_hour)
        headers["X-RateLimit-Remaining"] = str(max(0, request.group.c2c_per_hour - hour.succeeded - hour.in_flight))
    return Reply(answer, 200, headers)


def _e164(raw: str) -> str:
    """Features D26: emergency and premium numbers are forbidden, what is no number is a bad request."""
    number = normalise(raw)
    if number.refused in FORBIDDEN:
        raise CommandError("call_forbidden", {"rule": FORBIDDEN[number.refused]})
    if number.refused is not None:
        raise CommandError("number_invalid", {"value": raw[:40], "reason": number.refused.value})
    return number.e164


async def _place(ask: Ask, request: Request, attempt_id: UUID) -> None:
    """Lease a phone and call; a phone that turns out busy or unregistered is passed over for the next."""
    deps, pool = ask.deps, service_of(ask).pool
    e164 = _e164(request.number)
    await fraud.check(deps, request.group.id, e164, "click2call")
    wanted = "" if ask.body.phone_line_used is None else str(ask.body.phone_line_used).strip()
    client_id = await _client_id(ask, request.group)
    if client_id and await deps.store.on_red_list(client_id, e164):
        raise CommandError("call_forbidden", {"rule": "liste rouge"})
    lines = await pool.lines(request.group.id)
    excluded: list[int] = []
    while True:
        leased = pool.take(lines, request.group.c2c_strategy, attempt_id, wanted, excluded)
        request.line = leased.record.endpoint
        try:
            command = CallExtension(
                attempt_id=attempt_id,
                site=leased.record.site,
                group_id=request.group.id,
                extension=leased.record.endpoint,
                e164=e164,
                client_id=client_id,
                rule_set=request.group.click2call_rules,
                by=ask.who.name,
            )
            request.call_id = await place_and_wait(deps, command)
            return
        except CommandError as error:
            pool.give_back(attempt_id)
            if error.code in TRY_NEXT and wanted:
                raise CommandError("line_refused", {"value": wanted}) from error
            if error.code not in TRY_NEXT:
                raise
            excluded.append(leased.record.id)


async def _client_id(ask: Ask, group: Group) -> int:
    """On whose behalf: the group's first client, whose red list applies."""
    clients = await ask.deps.store.find(Client, group_id=group.id)
    return min((client.id for client in clients), default=0)


async def place_and_wait(deps: Deps, command: CallExtension) -> int:
    """Submit, and wait until the PBX has queued the phone's leg; the call's number. Raises timeout."""
    seen = asyncio.get_running_loop().create_future()

    def heard(changes: Changes) -> None:
        for id, view in changes.get("calls", {}).items():
            if not seen.done() and UUID(id) == command.attempt_id:
                _look(view, seen)

    remove = deps.door.listen(heard, ("calls",))
    try:
        async with asyncio.timeout(deps.http.command_deadline_s):
            result = await deps.door.submit(command)
            for id, view in deps.door.view().get("calls", {}).items():
                if not seen.done() and UUID(id) == command.attempt_id:
                    _look(view, seen)
            number: int = await seen
            return number or int(str(result.get("number") or 0))
    except TimeoutError as error:
        raise CommandError("timeout") from error
    finally:
        remove()


def _look(view: object, seen: asyncio.Future[int]) -> None:
    if view is None:
        seen.set_exception(CommandError("line_unavailable"))
    elif isinstance(view, CallView) and view.number and view.queued:
        seen.set_result(view.number)


async def _finish(ask: Ask, request: Request, error: CommandError | None) -> None:
    """Count and log. The log holds the number called: it is the one table the source documents for it (C2C-10)."""
    deps = ask.deps
    response_ms = (deps.clock.now() - request.started) * 1000.0
    status, body = clicsipx(error) if error else (200, {"error": ""})
    await deps.quotas.settle(request.group.id, taken=request.taken, error=body["error"], response_ms=response_ms)
    deps.metrics.c2c.labels(error.code if error else "ok").inc()
    no_line = error is not None and error.code == "line_unavailable"
    service_of(ask).alerts.look(request.group, await deps.quotas.hour(request.group.id), no_line=no_line)
    deps.quotas.note(
        {
            "created_at": deps.clock.utcnow(),
            "group_id": request.group.id,
            "token_id": ask.who.token_id,
            "endpoint": "click2call",
            "number_called": request.number[:40],
            "phone_line_used": request.line,
            "call_id": request.call_id or None,
            "success": error is None,
            "status": status,
            "error": body["error"],
            "ip_address": ask.request[PEER],
            "response_time_ms": response_ms,
        }
    )


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
