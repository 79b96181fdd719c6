"""The HTTP application: the route table behind the guard, the stream hub, the pages. Built by `daemon.app` and tests.

`build_app(...)` → aiohttp Application; the caller runs it (AppRunner) and owns TLS and sockets.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from daemon import __version__
from daemon.api import (
    agents_api,
    alerts_api,
    c2c_calls,
    c2c_stats,
    compliance_api,
    config_api,
    control,
    crm_api,
    external,
    files,
    first_api,
    fraud,
    held_api,
    history,
    imports_api,
    inbound_api,
    journal_api,
    law_figures_api,
    leads_api,
    openapi,
    ovh_api,
    people_api,
    public,
    recent_api,
    recordings_api,
    reports_api,
    rules_api,
    session_api,
    stats_api,
    stream,
    tokens_api,
    voice_api,
    wall_api,
    webhooks_api,
    zadarma_api,
    zadarma_calls_api,
)
from daemon.api.auth import Auth
from daemon.api.decode import query_of, read_json
from daemon.api.deps import Deps, Importer, log_alert
from daemon.api.guard import PEER, PEER_TRUSTED, ROUTE, Guard
from daemon.api.metrics import Metrics
from daemon.api.minutes import MinuteAlarms
from daemon.api.quota import Quotas
from daemon.api.routes import NOBODY, Ask, Permission, Principal, Reply, Route
from daemon.calls.rates import Rates
from daemon.clock import Clock
from daemon.compliance.rules import RuleSet
from daemon.engine.views import EngineDoor
from daemon.errors import CommandError
from daemon.ports import PbxStatus, Store
from daemon.settings import HttpTable
from daemon.tapes import Tapes
from daemon.works import Works

DEPS = web.AppKey("deps", Deps)
PATH_CHARS_MAX = 2000


def all_routes() -> list[Route]:
    """The whole table, in matching order."""
    tables = (
        session_api.routes,
        config_api.routes,
        control.routes,
        agents_api.routes,
        voice_api.routes,
        recordings_api.routes,
        inbound_api.routes,
        leads_api.routes,
        held_api.routes,
        imports_api.routes,
        history.routes,
        reports_api.routes,
        journal_api.routes,
        recent_api.routes,
        first_api.routes,
        rules_api.routes,
        people_api.routes,
        compliance_api.routes,
        law_figures_api.routes,
        stats_api.routes,
        c2c_stats.routes,
        tokens_api.routes,
        wall_api.routes,
        alerts_api.routes,
        webhooks_api.routes,
        crm_api.routes,
        ovh_api.routes,
        zadarma_api.routes,
        zadarma_calls_api.routes,
        stream.routes,
        public.routes,
        external.routes,
        openapi.routes,
    )
    return [route for table in tables for route in table.table]


def build_app(
    door: EngineDoor,
    store: Store,
    http: HttpTable,
    clock: Clock,
    rng: random.Random,
    *,
    site_ids: Sequence[str] = (),
    rule_sets: Mapping[str, RuleSet] | None = None,
    works: Works | None = None,
    extensions: Callable[[str], Collection[str]] = lambda site: (),
    pbx: Callable[[str], PbxStatus | None] = lambda site: None,
    importer: Importer | None = None,
    rates: Rates | None = None,
    notify: Callable[[str, Mapping[str, Any]], None] = log_alert,
    told: Callable[[], Sequence[alerts_api.Told]] = tuple,
    mail_to: int = 0,
    webhooks: webhooks_api.Sender | None = None,
    crm: crm_api.CrmDoor | None = None,
    ovh: ovh_api.OvhDoor | None = None,
    zadarma: zadarma_api.ZadarmaDoor | None = None,
    webhook_overlap_s: float = 86_400.0,
    tapes: Tapes | None = None,
    demo_token: str = "",
    version: str = __version__,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> web.Application:
    """The application. `demo_token`: browsers on this machine are signed in with it (demo only).

    `token_bytes` makes token secrets: the OS's generator in production, seeded in simulations. `rule_sets` bound
    what may be saved; `extensions` lists the phones a site's PBX is known to have; `notify`
    takes alerts (click2call.quota, .failures, .no_line) with their figures; `webhooks` is the sender, which knows the
    secrets (`webhook_overlap_s`: how long two of them sign after a rotation).
    """
    auth, metrics = Auth(store, clock, http), Metrics()
    deps = Deps(
        door=door,
        store=store,
        http=http,
        clock=clock,
        rng=rng,
        auth=auth,
        guard=Guard(http, clock, rng, auth, metrics),
        streams=stream.Streams(door, clock, rng, http.stream_interval_s, metrics),
        metrics=metrics,
        quotas=Quotas(store, clock),
        works=works or Works(clock),
        version=version,
        site_ids=tuple(site_ids),
        rule_sets=rule_sets or {},
        extensions=extensions,
        pbx=pbx,
        importer=importer,
        rates=rates,
        minutes=MinuteAlarms(store, clock, notify),
        notify=notify,
        alerts=alerts_api.AlertBook(door, clock, told, mail_to),
        webhooks=webhooks,
        crm=crm,
        ovh=ovh,
        zadarma=zadarma,
        tapes=tapes,
        webhook_overlap_s=webhook_overlap_s,
        demo_token=demo_token,
        token_bytes=token_bytes,
    )
    return _application(deps)


def _application(deps: Deps) -> web.Application:
    """The route table behind the guard, the pages beside it, and what begins and ends with them."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await deps.guard.wrap(request, handler)

    app = web.Application(middlewares=[guard], client_max_size=deps.http.body_bytes_max)
    app[DEPS] = deps
    app[fraud.CAPS] = fraud.Caps(deps.store, deps.clock, deps.http)
    app[c2c_calls.SERVICE] = c2c_calls.make_service(deps)
    for route in all_routes():
        app.router.add_route(route.method, route.path, _bind(route, deps))
    for path in ("/api/public/{rest:.*}", "/api/v1/{rest:.*}"):
        app.router.add_route("OPTIONS", path, public.preflight(deps))
    files.mount(app, deps)
    app.cleanup_ctx.append(_running(deps))
    app.on_shutdown.append(_good_bye(deps))
    return app


def _good_bye(deps: Deps) -> Callable[[web.Application], Awaitable[None]]:
    async def say(_: web.Application) -> None:
        if deps.ovh is not None:
            await deps.ovh.close()
        await deps.streams.close()  # before aiohttp waits for open requests: streams would hold it up

    return say


def _running(deps: Deps) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_: web.Application) -> AsyncIterator[None]:
        deps.streams.start(deps.works)
        await deps.quotas.start(deps.works)
        deps.minutes.start(deps.works)
        deaf = deps.alerts.start()
        yield
        deaf()
        await deps.minutes.close()
        await deps.quotas.close()

    return context


def _bind(route: Route, deps: Deps) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler of aiohttp's kind: identify, permit, decode, run, encode."""

    async def run(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = route.path
        _check_path(request)
        who = await permit(route, deps, request)
        ask = Ask(request, deps, who)
        if route.query is not None:
            ask.query = query_of(request, route.query)
        elif request.query_string and not route.raw_body:
            ask.query = query_of(request, NoQueryAllowed)
        if route.body is not None:
            ask.body = await read_json(request, route.body, deps.http.body_bytes_max)
        answer = await route.handler(ask)
        return answer if isinstance(answer, web.StreamResponse) else encode(answer, route.status)

    return run


class NoQueryAllowed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """For routes that take no query: a misspelt filter is refused instead of silently showing everything."""


def _check_path(request: web.Request) -> None:
    """Control characters in a path are no resource of ours."""
    if len(request.path) > PATH_CHARS_MAX or any(ord(c) < 32 or ord(c) == 127 for c in unquote(request.path)):
        raise CommandError("not_found", {"what": "path"})


async def permit(route: Route, deps: Deps, request: web.Request) -> Principal:
    """The principal, if the route's permission is among its rights. PUBLIC routes ask for none."""
    if route.permission is Permission.PUBLIC:
        return NOBODY
    who = await deps.auth.identify(request, request[PEER], request[PEER_TRUSTED])
    if who is NOBODY:
        raise CommandError("token_missing")
    if not who.may(route.permission):
        if route.style == "clicsipx" or who.kind.value != "operator":
            raise CommandError("token_invalid")
        raise CommandError("forbidden", {"role": who.role.value, "permission": route.permission.value})
    return who


def encode(reply: Reply, status: int) -> web.Response:
    """A Reply as JSON; times RFC 3339 in UTC."""
    chosen = reply.status if reply.status != 200 else status
    if chosen == 204:
        return web.Response(status=204, headers=reply.headers)
    body = msgspec.json.encode(reply.data)
    return web.Response(body=body, status=chosen, content_type="application/json", headers=reply.headers)
