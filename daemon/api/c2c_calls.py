"""Placing a click-to-call: quota, number, phone, call, log; at most once for an Idempotency-Key (features C2C-01…13).

A phone is leased, the engine rings it, and the answer is given once the PBX has its leg. Errors are CommandErrors; each
request leaves one row of the log (daemon.api.c2c_log).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web

from daemon.api import c2c_log, fraud
from daemon.api.c2c_alerts import C2CAlerts
from daemon.api.c2c_pool import PhonePool
from daemon.api.c2c_types import C2CAnswer, C2CData
from daemon.api.deps import Deps
from daemon.api.errors import clicsipx
from daemon.api.quota import Hour
from daemon.api.routes import Ask, Reply
from daemon.api.shared import Shared
from daemon.calls.records import Client, Group
from daemon.compliance.numbers import NumberRefusal, normalise
from daemon.engine.commands import CallExtension
from daemon.engine.views import CallView, Changes
from daemon.errors import CommandError, StoreUnavailable

FORBIDDEN = {NumberRefusal.EMERGENCY: "urgence", NumberRefusal.PREMIUM: "surtaxé", NumberRefusal.SHORT: "numéro court"}
TRY_NEXT = frozenset({"extension_busy", "extension_unregistered"})
IDEMPOTENT_MAX = 10_000
CLIENT_CACHE_S = 1.0
ERASED = "~"
"""How a pseudonym begins: whom that call was to can't be told any more."""


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
    """What click-to-call keeps between requests. `waiting`: by attempt id, those whose phone's leg is not there yet."""

    pool: PhonePool
    alerts: C2CAlerts
    answers: OrderedDict[tuple[int, str], tuple[str, asyncio.Future[Any]]] = field(default_factory=OrderedDict)
    waiting: dict[str, asyncio.Future[int]] = field(default_factory=dict)
    clients: dict[int, tuple[float, int]] = field(default_factory=dict)
    warned: set[int] = field(default_factory=set)
    reading: Shared = field(default_factory=Shared)

    def on_changes(self, changes: Changes) -> None:
        """Calls that moved: tell who waits for them, and give back the phones of those that are gone."""
        calls = changes.get("calls")
        if not calls:
            return
        self.pool.on_changes(changes)
        for id in [id for id in self.waiting if id in calls]:
            _look(calls[id], self.waiting[id])


SERVICE = web.AppKey("click2call", Service)


def service_of(ask: Ask) -> Service:
    """The app's service; see app.build_app."""
    return ask.request.app[SERVICE]


def make_service(deps: Deps) -> Service:
    """Pool and memory of an app; it hears of calls from the engine and of edited rows from the API."""
    service = Service(PhonePool(deps.store, deps.door, deps.clock, deps.rng), C2CAlerts(deps.notify))
    deps.door.listen(service.on_changes, ("calls",))
    deps.guard.refused = c2c_log.refusals(deps, service.alerts)
    deps.auth.listeners.append(service.pool.forget)
    return service


async def call_once(ask: Ask, group: Group, key: str) -> Reply:
    """The answer of the first request with this key; the attempt's id is derived from it, so that even a restart in
    between can't call twice: the store refuses a second row of that id. Raises key_used for another number: its answer
    would be of a call to somebody else, and nobody would be called."""
    answers, number = service_of(ask).answers, _dialled(ask)
    slot = (group.id, key)
    if (known := answers.get(slot)) is not None:
        if known[0] != number:
            raise CommandError("key_used", {"field": "Idempotency-Key", "value": key})
        reply: Reply = await asyncio.shield(known[1])
        return reply
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    answers[slot] = number, future
    while len(answers) > IDEMPOTENT_MAX:
        answers.popitem(last=False)
    try:
        reply = await _first(ask, group, key)
    except BaseException as error:
        answers.pop(slot, None)  # a failed call may be tried again under its key
        if not future.done():
            future.set_exception(error if isinstance(error, CommandError) else CommandError("timeout"))
            future.exception()  # whoever waits gets it; with nobody waiting it is not an error of ours
        raise
    future.set_result(reply)
    return reply


def _dialled(ask: Ask) -> str:
    """The number asked for, the same however it is written."""
    raw = _number(ask.body.number_to_call)
    return normalise(raw).e164 or raw


async def _first(ask: Ask, group: Group, key: str) -> Reply:
    attempt_id = _id_of(group.id, key)
    row = await ask.deps.store.attempt(attempt_id)
    if row is not None:
        if row["e164"] != _dialled(ask) and not row["e164"].startswith(ERASED):
            raise CommandError("key_used", {"field": "Idempotency-Key", "value": key})
        request = Request(group, _number(ask.body.number_to_call), ask.deps.clock.now(), call_id=int(row["number"]))
        return _success(ask, request, 0.0)
    return await place_call(ask, group, attempt_id)


def _id_of(group_id: int, key: str) -> UUID:
    """A UUID of version 8 (RFC 9562 §5.8: our own derivation) from group and key."""
    value = int.from_bytes(hashlib.sha256(f"{group_id}:{key}".encode("utf-8", "replace")).digest()[:16], "big")
    value = value & ~(0xF << 76) | 0x8 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


async def place_call(ask: Ask, group: Group, attempt_id: UUID) -> Reply:
    """Quota, number, phone, call; and the log row, whatever comes of it."""
    deps = ask.deps
    request = Request(group, _number(ask.body.number_to_call), deps.clock.now())
    try:
        await deps.quotas.take(group)
        request.taken = True
        e164 = _e164(request.number)
        async with ask.request.app[fraud.CAPS].hold(group.id, e164):
            await _place(ask, request, attempt_id, e164)
    except CommandError as error:
        await _finish(ask, request, error)
        raise
    except StoreUnavailable as error:
        await _finish(ask, request, CommandError("store_unavailable"))
        raise CommandError("store_unavailable") from error
    except BaseException:
        _break_off(ask, request)
        raise
    response_ms = (deps.clock.now() - request.started) * 1000.0
    await _finish(ask, request, None)
    return _success(ask, request, response_ms, await deps.quotas.hour(group.id))


def _break_off(ask: Ask, request: Request) -> None:
    """Its client is gone, or we failed: the phone may ring all the same, so the log has it; the quota is given back."""
    response_ms = (ask.deps.clock.now() - request.started) * 1000.0
    status, body = clicsipx(CommandError("broken_off"))
    if request.taken:
        ask.deps.quotas.release(request.group.id, body["error"], response_ms)
    _note(ask, request, status, body["error"], response_ms)


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


async def _place(ask: Ask, request: Request, attempt_id: UUID, e164: str) -> None:
    """Lease a phone and call; a phone that turns out busy or unregistered is passed over for the next."""
    deps, pool = ask.deps, service_of(ask).pool
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
            request.call_id = await place_and_wait(ask, command)
            return
        except CommandError as error:
            pool.give_back(attempt_id)
            if error.details.get("rule") == "blacklist":
                raise CommandError("call_forbidden", {"rule": "liste noire"}) from error
            if error.code in TRY_NEXT and wanted:
                raise CommandError("line_refused", {"value": wanted}) from error
            if error.code not in TRY_NEXT:
                raise
            excluded.append(leased.record.id)


async def _client_id(ask: Ask, group: Group) -> int:
    """On whose behalf: the group's first client, whose red list applies. At most CLIENT_CACHE_S old."""
    known, now = service_of(ask).clients, ask.deps.clock.now()
    cached = known.get(group.id)
    if cached is None or now - cached[0] >= CLIENT_CACHE_S:
        store = ask.deps.store
        clients = await service_of(ask).reading.once(group.id, lambda: store.find(Client, group_id=group.id))
        cached = known[group.id] = (now, min((client.id for client in clients), default=0))
    return cached[1]


async def place_and_wait(ask: Ask, command: CallExtension) -> int:
    """Submit, and wait until the PBX has queued the phone's leg; the call's number. Raises timeout."""
    deps, waiting, id = ask.deps, service_of(ask).waiting, str(command.attempt_id)
    seen = waiting[id] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(deps.http.command_deadline_s):
            result = await deps.door.submit(command)
            if (view := deps.door.view().get("calls", {}).get(id)) is not None:
                _look(view, seen)
            number: int = await seen
            return number or int(str(result.get("number") or 0))
    except TimeoutError as error:
        raise CommandError("timeout") from error
    finally:
        waiting.pop(id, None)


def _look(view: object, seen: asyncio.Future[int]) -> None:
    if seen.done():
        return
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
    _note(ask, request, status, body["error"], response_ms)


def _note(ask: Ask, request: Request, status: int, error: str, response_ms: float) -> None:
    c2c_log.note(
        ask.deps,
        ask.request,
        group_id=request.group.id,
        token_id=ask.who.token_id,
        status=status,
        error=error,
        response_ms=response_ms,
        line=request.line,
        call_id=request.call_id,
    )
