"""Signing in and out of the pages, and the open endpoints: health, readiness, metrics.

The cookie carries the token; the page keeps only the CSRF value. In a demo, browsers on this machine are signed in with
the demo's token, if the Host header names this machine too (a rebound foreign name does not).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from daemon.api.auth import COOKIE, host_is_loopback, is_loopback
from daemon.api.guard import PEER, PEER_TRUSTED
from daemon.api.routes import NOBODY, RIGHTS, Ask, Permission, Principal, Reply, Routes
from daemon.api.types import Answer, SessionBody, SessionView
from daemon.calls.records import TokenKind
from daemon.engine.views import LinkView, SystemView
from daemon.errors import CommandError, StoreUnavailable

routes = Routes("", "session")
COOKIE_DAYS = 30


async def view_of(ask: Ask, who: Principal) -> SessionView:
    """What a page is told of who is signed in."""
    deps = ask.deps
    group = await deps.auth.group(who.group_id)
    row = await deps.auth.row(who.sha256)
    return SessionView(
        name=who.name,
        role=who.role,
        rights=sorted(right.value for right in RIGHTS[who.role]),
        group_id=who.group_id,
        group_code=group.code if group else "",
        all_groups=who.all_groups,
        campaign_ids=sorted(who.campaign_ids),
        agent_id=who.agent_id,
        csrf=who.csrf,
        demo=bool(deps.demo_token),
        version=deps.version,
        sites=list(deps.site_ids),
        expires_at=row.expires_at if row else None,
    )


def _demo_allowed(ask: Ask) -> bool:
    request = ask.request
    local = is_loopback(request.remote or "") and not request[PEER_TRUSTED] and is_loopback(request[PEER])
    return bool(ask.deps.demo_token) and local and host_is_loopback(request.headers.get("Host", ""))


def with_cookie(ask: Ask, view: Answer, token: str, days: int = COOKIE_DAYS) -> web.Response:
    """The answer that signs a browser in, for so many days."""
    from daemon.api.app import encode  # the composition imports us: late, to avoid a circle

    response = encode(Reply(view), 200)
    secure = bool(ask.deps.http.tls_certificate_file) or ask.deps.http.behind_proxy
    response.set_cookie(COOKIE, token, max_age=days * 86_400, httponly=True, samesite="Strict", secure=secure, path="/")
    return response


@routes.get("/api/v1/session", permission=Permission.PUBLIC, reply=SessionView, extra=(401,))
async def read_session(ask: Ask) -> Reply | web.StreamResponse:
    """Who is signed in. In a demo, a browser on this machine is signed in by asking."""
    request = ask.request
    try:
        who = await ask.deps.auth.identify(request, request[PEER], request[PEER_TRUSTED])
    except CommandError:
        if not _demo_allowed(ask):
            raise
        who = NOBODY
    if who is NOBODY and _demo_allowed(ask):
        who = await ask.deps.auth.by_token(ask.deps.demo_token)
        return with_cookie(ask, await view_of(ask, who), ask.deps.demo_token)
    if who is NOBODY or who.kind is not TokenKind.OPERATOR:
        raise CommandError("token_missing")
    return Reply(await view_of(ask, who))


@routes.post("/api/v1/session", permission=Permission.PUBLIC, body=SessionBody, reply=SessionView, extra=(401,))
async def sign_in(ask: Ask) -> web.StreamResponse:
    """Sign a browser in with a token; sets the cookie."""
    token = ask.body.token.strip()
    who = await ask.deps.auth.by_token(token)
    if who.kind is not TokenKind.OPERATOR:
        raise CommandError("token_invalid")
    return with_cookie(ask, await view_of(ask, who), token)


@routes.delete("/api/v1/session", permission=Permission.PUBLIC, status=204)
async def sign_out(ask: Ask) -> web.StreamResponse:
    """Forget the cookie. The token itself stays valid: revoke it under /tokens."""
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/")
    return response


@routes.get("/healthz", permission=Permission.PUBLIC, reply=dict[str, str])
async def healthz(ask: Ask) -> Reply:
    """The process answers."""
    return Reply({"status": "ok", "version": ask.deps.version})


@routes.get("/readyz", permission=Permission.PUBLIC, reply=dict[str, Any], extra=(503,))
async def readyz(ask: Ask) -> Reply:
    """200 when the database answers and this daemon is not stopping; links are reported, not required."""
    try:
        await ask.deps.store.ping()
        store_ok = True
    except StoreUnavailable:
        store_ok = False
    view = ask.deps.door.view()
    system = next(iter(view.get("system", {}).values()), None)
    draining = isinstance(system, SystemView) and system.draining
    links = {v.site: v.up for v in view.get("links", {}).values() if isinstance(v, LinkView)}
    ready = store_ok and not draining
    body = {"ready": ready, "store": store_ok, "draining": draining, "links": links}
    return Reply(body, 200 if ready else 503)


@routes.get("/metrics", permission=Permission.PUBLIC, raw_body="text/plain", extra=(401,))
async def metrics(ask: Ask) -> web.StreamResponse:
    """Prometheus text. Open on loopback; elsewhere it needs a supervisor's token."""
    request = ask.request
    if not is_loopback(request[PEER]):
        who = await ask.deps.auth.identify(request, request[PEER], request[PEER_TRUSTED])
        if not who.may(Permission.WATCH):
            raise CommandError("token_missing")
    deps = ask.deps
    deps.metrics.bounded(deps.door, deps.store, deps.guard, deps.streams, deps.crm)
    deps.metrics.failed(deps.works.failures)
    body = deps.metrics.render(deps.door.view())
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
