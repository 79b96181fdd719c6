"""CRM integrations: templates, adding, testing step by step, users, journals, the page that opens with a call.

The work is daemon.crm's, given by the composition root. No answer ever holds a secret. Docs: docs/crm.md.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from aiohttp import web
from msgspec import UNSET

from daemon.api import scope
from daemon.api.crm_types import (
    AssignBody,
    Associated,
    CallbackQuery,
    Count,
    GoTo,
    IntegrationCreate,
    IntegrationPatch,
    IntegrationRows,
    IntegrationView,
    JournalQuery,
    JournalRow,
    JournalRows,
    LogoQuery,
    PopView,
    RemoveTemplates,
    ReplayBody,
    Steps,
    TemplateRows,
    TryBody,
    TryView,
    UserRows,
)
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import GroupQuery
from daemon.calls.crm_records import CrmTemplateFile, CrmUser, Integration
from daemon.calls.records import Agent
from daemon.errors import CommandError

routes = Routes("/api/v1/crm", "crm")
TEMPLATE_BYTES_MAX = (1 << 20) - 1
LOGO_BYTES_MAX = 500 * 1024 - 1
POP_WAIT_S = 2.5
"""A little more than what a look-up may take."""
CALLBACK = "/api/v1/crm/oauth/callback"


class CrmDoor(Protocol):
    """What the routes need of daemon.crm.door."""

    async def templates(self, group_id: int) -> list[dict[str, Any]]: ...
    async def upload(self, group_id: int, data: bytes) -> dict[str, Any]: ...
    async def source(self, group_id: int, key: str) -> str: ...
    async def set_logo(self, group_id: int, key: str, data: bytes) -> dict[str, Any]: ...
    async def logo(self, group_id: int, key: str) -> tuple[str, bytes]: ...
    async def view(self, row: Integration) -> dict[str, Any]: ...
    async def troubles(self, group_id: int) -> list[dict[str, Any]]: ...
    async def add(self, group_id: int, name: str, key: str, given: Mapping[str, Any]) -> Integration: ...
    async def change(self, row: Integration, given: Mapping[str, Any], if_version: int | None) -> Integration: ...
    async def remove(self, row: Integration, if_version: int | None) -> None: ...
    async def steps(self, row: Integration) -> list[str]: ...
    async def try_step(self, row: Integration, step: str, phone: str, user: str) -> dict[str, Any]: ...
    async def authorize(self, row: Integration, redirect_uri: str) -> str: ...
    async def authorized(self, state: str, code: str, error: str) -> None: ...
    async def users(self, row: Integration, refresh: bool) -> list[CrmUser]: ...
    async def associate(self, row: Integration) -> dict[str, Any]: ...
    async def assign(self, row: Integration, user_id: int, agent_id: int) -> CrmUser: ...
    async def journal(self, row: Integration, state: str, before: int, limit: int) -> list[dict[str, Any]]: ...
    async def replay(self, row: Integration, states: Sequence[str], attempt_ids: Any, now: Any) -> int: ...
    async def pop(self, attempt_id: str, agent_id: int, wait_s: float) -> dict[str, Any] | None: ...


def _door(ask: Ask) -> CrmDoor:
    if ask.deps.crm is None:
        raise CommandError("not_available", {"what": "crm"})
    return ask.deps.crm


async def _row(ask: Ask) -> tuple[CrmDoor, Integration]:
    row = await scope.get(ask, Integration, ask.id)
    return _door(ask), row


async def _noted(ask: Ask, what: str, target: str, group_id: int, **detail: Any) -> None:
    await ask.deps.store.note(ask.who.name, what, target, {"group_id": group_id, **detail})


def _origin(ask: Ask) -> str:
    """As the browser sees this daemon: behind a proxy the scheme is what the proxy says."""
    if ask.deps.http.public_url:
        return ask.deps.http.public_url
    said = ask.request.headers.get("X-Forwarded-Proto", "").strip().lower()
    origin = ask.request.url.origin()
    if ask.deps.http.behind_proxy and said in ("http", "https"):
        origin = origin.with_scheme(said)
    return str(origin)


async def _shown(ask: Ask, row: Integration, status: int = 200) -> Reply:
    view = IntegrationView(**await _door(ask).view(row))
    headers = {"ETag": scope.etag(row.version)}
    if status == 201:
        headers["Location"] = f"/api/v1/crm/integrations/{row.id}"
    return Reply(view, status, headers)


# -- templates --------------------------------------------------------------------------------------------------------


@routes.get("/templates", permission=Permission.ADMINISTER, query=GroupQuery, reply=TemplateRows)
async def list_templates(ask: Ask) -> Reply:
    """Templates that come with the daemon, and the group's own."""
    return Reply(TemplateRows(rows=await _door(ask).templates(scope.home_group(ask, ask.query.group_id))))


@routes.post(
    "/templates", permission=Permission.ADMINISTER, query=GroupQuery, reply=dict[str, Any], status=201,
    raw_body="octets", extra=(422,),
)  # fmt: skip
async def upload_template(ask: Ask) -> Reply:
    """Upload a template: the XML file is the body. One of the same Key is replaced; at most 10 a group, below 1 MB."""
    door, group_id = _door(ask), scope.home_group(ask, ask.query.group_id)
    kept = await door.upload(group_id, await _body(ask, TEMPLATE_BYTES_MAX))
    await _noted(ask, "crm.template_uploaded", f"crm_template:{kept['id']}", group_id, key=kept["key"])
    return Reply(kept, 201)


@routes.get("/templates/{key}/file", permission=Permission.ADMINISTER, query=GroupQuery, raw_body="application/xml")
async def download_template(ask: Ask) -> web.Response:
    """A template's XML, the group's own before a shipped one."""
    key = ask.request.match_info["key"]
    source = await _door(ask).source(scope.home_group(ask, ask.query.group_id), key[:64])
    name = "".join(sign for sign in key[:64] if sign.isalnum() or sign in "-_")
    headers = {"Content-Disposition": f'attachment; filename="{name}.xml"'}
    return web.Response(text=source, content_type="application/xml", charset="utf-8", headers=headers)


async def _body(ask: Ask, bytes_max: int) -> bytes:
    data = bytearray()
    async for piece in ask.request.content.iter_chunked(1 << 16):
        data += piece
        if len(data) > bytes_max:
            raise CommandError("body_too_large", {"allowed": bytes_max})
    return bytes(data)


@routes.put(
    "/templates/{key}/logo", permission=Permission.ADMINISTER, query=GroupQuery, reply=dict[str, Any],
    raw_body="octets", extra=(404, 413, 422),
)  # fmt: skip
async def set_logo(ask: Ask) -> Reply:
    """The logo of an uploaded template: a PNG or JPEG below 500 KB as the body; an empty body takes it away."""
    group_id, key = scope.home_group(ask, ask.query.group_id), ask.request.match_info["key"][:64]
    kept = await _door(ask).set_logo(group_id, key, await _body(ask, LOGO_BYTES_MAX))
    await _noted(ask, "crm.logo_set", f"crm_template:{key}", group_id)
    return Reply(kept)


@routes.get(
    "/templates/{key}/logo", permission=Permission.ADMINISTER, query=LogoQuery, raw_body="image/png", extra=(404,)
)
async def read_logo(ask: Ask) -> web.Response:
    """A template's logo, as it came: image/png or image/jpeg."""
    group_id, key = scope.home_group(ask, ask.query.group_id), ask.request.match_info["key"][:64]
    media, data = await _door(ask).logo(group_id, key)
    return web.Response(body=data, content_type=media)


@routes.post("/templates/remove", permission=Permission.ADMINISTER, body=RemoveTemplates, reply=Count)
async def remove_templates(ask: Ask) -> Reply:
    """Delete uploaded templates; integrations made from them go on with the text they have."""
    rows = [await scope.get(ask, CrmTemplateFile, id) for id in dict.fromkeys(ask.body.ids)]
    for row in rows:
        await ask.deps.store.delete(CrmTemplateFile, row.id, None)
        await _noted(ask, "crm.template_removed", f"crm_template:{row.id}", row.group_id, key=row.key)
    return Reply(Count(count=len(rows)))


# -- integrations -----------------------------------------------------------------------------------------------------


@routes.get("/integrations", permission=Permission.ADMINISTER, query=GroupQuery, reply=IntegrationRows)
async def list_integrations(ask: Ask) -> Reply:
    """Integrations and how they fare."""
    door = _door(ask)
    rows = await scope.all_of(ask, Integration, ask.query.group_id)
    return Reply(IntegrationRows(rows=[IntegrationView(**await door.view(row)) for row in rows]))


@routes.post(
    "/integrations", permission=Permission.ADMINISTER, body=IntegrationCreate, reply=IntegrationView, status=201,
    extra=(422,),
)  # fmt: skip
async def add_integration(ask: Ask) -> Reply:
    """Add an integration, switched off: try it step by step, then enable it."""
    group_id = scope.home_group(ask, ask.body.group_id)
    given = {"fields": ask.body.fields, "options": ask.body.options}
    row = await _door(ask).add(group_id, ask.body.name, ask.body.template, given)
    await _noted(ask, "crm.added", f"integration:{row.id}", group_id, name=row.name)
    return await _shown(ask, row, 201)


@routes.get("/integrations/{id}", permission=Permission.ADMINISTER, reply=IntegrationView)
async def read_integration(ask: Ask) -> Reply:
    """One integration and how it fares."""
    return await _shown(ask, (await _row(ask))[1])


@routes.patch(
    "/integrations/{id}", permission=Permission.ADMINISTER, body=IntegrationPatch, reply=IntegrationView, if_match=True,
    extra=(422,),
)  # fmt: skip
async def change_integration(ask: Ask) -> Reply:
    """Change, enable or disable an integration; calls that wait for it keep waiting."""
    door, row = await _row(ask)
    version = scope.if_match(ask, row)
    names = ("name", "template", "fields", "options", "enabled")
    given = {name: value for name in names if (value := getattr(ask.body, name)) is not UNSET}
    after = await door.change(row, given, version)
    await _noted(ask, "crm.changed", f"integration:{row.id}", row.group_id, changed=", ".join(given))
    return await _shown(ask, after)


@routes.delete("/integrations/{id}", permission=Permission.ADMINISTER, status=204, if_match=True)
async def remove_integration(ask: Ask) -> Reply:
    """Remove an integration with its users and its journal; the CRM keeps what it was told."""
    door, row = await _row(ask)
    await door.remove(row, scope.if_match(ask, row))
    await _noted(ask, "crm.removed", f"integration:{row.id}", row.group_id, name=row.name)
    return Reply(status=204)


@routes.get("/integrations/{id}/steps", permission=Permission.ADMINISTER, reply=Steps)
async def list_steps(ask: Ask) -> Reply:
    """What can be tried of an integration, in order."""
    door, row = await _row(ask)
    return Reply(Steps(steps=await door.steps(row)))


@routes.post("/integrations/{id}/try", permission=Permission.ADMINISTER, body=TryBody, reply=TryView)
async def try_step(ask: Ask) -> Reply:
    """Try one step: its requests and answers, secrets masked. The steps that create leave a test record in the CRM."""
    door, row = await _row(ask)
    found = await door.try_step(row, ask.body.step, ask.body.phone, ask.body.user)
    await _noted(ask, "crm.tried", f"integration:{row.id}", row.group_id, step=ask.body.step, ok=found["ok"])
    return Reply(TryView(**found))


@routes.post("/integrations/{id}/authorize", permission=Permission.ADMINISTER, reply=GoTo, extra=(502,))
async def authorize(ask: Ask) -> Reply:
    """Begin OAuth2's code flow: where to send the browser. Good for 10 minutes."""
    door, row = await _row(ask)
    redirect_uri = f"{_origin(ask)}{CALLBACK}"
    return Reply(GoTo(url=await door.authorize(row, redirect_uri), redirect_uri=redirect_uri))


@routes.get("/oauth/callback", permission=Permission.PUBLIC, query=CallbackQuery, raw_body="text/html")
async def oauth_callback(ask: Ask) -> web.Response:
    """Where the CRM sends the browser back. The state proves that we began it; it is good once."""
    try:
        await _door(ask).authorized(ask.query.state, ask.query.code, ask.query.error)
        said = "Accès accordé, vous pouvez fermer cette page. / Access granted, you may close this page."
    except CommandError as error:
        said = f"Accès refusé. / Access not granted. {error.details.get('reason', error.code)}"
    page = f"<!doctype html><meta charset=utf-8><title>Cadran</title><p role=status>{html.escape(said)}</p>"
    return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-store"})


# -- users, journal, pages --------------------------------------------------------------------------------------------


@routes.get("/integrations/{id}/users", permission=Permission.ADMINISTER, reply=UserRows)
async def list_users(ask: Ask) -> Reply:
    """The CRM's people and the agents they are here."""
    door, row = await _row(ask)
    return Reply(UserRows(rows=await door.users(row, False)))


@routes.post("/integrations/{id}/users/refresh", permission=Permission.ADMINISTER, reply=UserRows, extra=(502,))
async def refresh_users(ask: Ask) -> Reply:
    """Fetch the CRM's people anew; associations stay."""
    door, row = await _row(ask)
    return Reply(UserRows(rows=await door.users(row, True)))


@routes.post("/integrations/{id}/users/associate", permission=Permission.ADMINISTER, reply=Associated)
async def associate_users(ask: Ask) -> Reply:
    """Associate by e-mail: users whose address is an agent's login, whatever the case."""
    door, row = await _row(ask)
    return Reply(Associated(**await door.associate(row)))


@routes.post("/integrations/{id}/users/{key}", permission=Permission.ADMINISTER, body=AssignBody, reply=CrmUser)
async def assign_user(ask: Ask) -> Reply:
    """Associate one user by hand; agent 0 takes the association away."""
    door, row = await _row(ask)
    if ask.body.agent_id:
        agent = await scope.get(ask, Agent, ask.body.agent_id)
        if agent.group_id != row.group_id:
            raise CommandError("not_found", {"what": f"Agent {agent.id}"})
    return Reply(await door.assign(row, ask.path_int("key"), ask.body.agent_id))


@routes.get("/integrations/{id}/journal", permission=Permission.ADMINISTER, query=JournalQuery, reply=JournalRows)
async def list_journal(ask: Ask) -> Reply:
    """Calls and how the CRM was told of them, newest first; the next page is `before` the last number."""
    door, row = await _row(ask)
    rows = await door.journal(row, ask.query.state, ask.query.before, ask.query.limit)
    return Reply(JournalRows(rows=[JournalRow(**each) for each in rows]))


@routes.post("/integrations/{id}/journal/replay", permission=Permission.ADMINISTER, body=ReplayBody, reply=Count)
async def replay_journal(ask: Ask) -> Reply:
    """Send again what was given up, held or skipped."""
    door, row = await _row(ask)
    ids = None if ask.body.attempt_ids is None else [UUID(id) for id in ask.body.attempt_ids]
    count = await door.replay(row, ask.body.states, ids, ask.deps.clock.utcnow())
    await _noted(ask, "crm.replayed", f"integration:{row.id}", row.group_id, count=count)
    return Reply(Count(count=count))


@routes.get("/pops/{key}", permission=Permission.DESK, reply=PopView)
async def read_pop(ask: Ask) -> Reply:
    """The CRM's page for the agent's own call; waits a moment while it is being looked up."""
    attempt_id = ask.request.match_info["key"]
    if ask.deps.crm is None or not ask.who.agent_id or len(attempt_id) > 40:
        return Reply(PopView(attempt_id=attempt_id[:40]))
    found = await ask.deps.crm.pop(attempt_id, ask.who.agent_id, POP_WAIT_S)
    if found is None:
        return Reply(PopView(attempt_id=attempt_id))
    del found["agent_id"]
    return Reply(PopView(**found))
