"""Calls of Zadarma's cloud PBX: its notifications, the calls they told of, and calls asked for from an extension there.

Docs: docs/zadarma.md.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from daemon.api import scope
from daemon.api.decode import read_bytes
from daemon.api.guard import PEER
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import E164, Accepted, Answer, Body, IdOrZero, Query
from daemon.api.zadarma_api import door_of, link_of
from daemon.api.zadarma_law import note_attempt, refuse_unlawful
from daemon.calls.records import Role
from daemon.calls.zadarma_records import ASKED, ZadarmaCall, ZadarmaLink, ZadarmaUser
from daemon.errors import CommandError

routes = Routes("/api/v1/zadarma", "crm")
BODY_BYTES_MAX = 32_768


class EchoQuery(Query, kw_only=True):
    zd_echo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ZadarmaCallBody(Body, kw_only=True):
    """`predicted`: the number is rung first (managers only, since nobody may be there when it answers). `campaign_id`:
    on whose behalf; campaigns that know the number weigh in any case."""

    to: E164
    predicted: bool = False
    sip: Annotated[str, Meta(pattern=r"^[0-9-]{0,20}$")] = ""
    campaign_id: IdOrZero = 0


class ZadarmaCallsQuery(Query, kw_only=True):
    """`task`: open or done, calls of that kind; else those of a `day` (in UTC, today's without one)."""

    task: Annotated[str, Meta(pattern="^(open|done)?$")] = ""
    day: Annotated[str, Meta(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")] = ""
    group_id: IdOrZero = 0


class ZadarmaCallRow(Answer, kw_only=True):
    """See the record ZadarmaCall. `recording_until`: as Zadarma writes it, in its own zone."""

    id: int
    pbx_call_id: str
    at: datetime
    direction: str
    state: str
    e164: str
    extension: str
    agent_id: int
    lead_id: int
    disposition: str
    duration_s: int
    task: str
    owner_agent_id: int
    due_at: datetime | None
    recording_id: str
    recording_state: str
    recording_url: str
    recording_until: str
    events: list[dict[str, Any]]


class ZadarmaCalls(Answer, kw_only=True):
    rows: list[ZadarmaCallRow]


async def _public_link(ask: Ask) -> ZadarmaLink:
    key = ask.request.match_info["key"]
    id = int(key) if re.fullmatch(r"[1-9][0-9]{0,8}", key) else 0
    link = await ask.deps.store.get(ZadarmaLink, id) if id else None
    if link is None or not link.enabled:
        raise CommandError("not_found", {"what": "zadarma"})
    return link


@routes.get("/notify/{key}", permission=Permission.PUBLIC, query=EchoQuery, raw_body="text/plain")
async def echo(ask: Ask) -> web.Response:
    """Zadarma's check that the address is ours: the value itself and nothing else."""
    await _public_link(ask)
    return web.Response(body=ask.query.zd_echo.encode(), content_type="text/plain")


@routes.post("/notify/{key}", permission=Permission.PUBLIC, reply=dict[str, Any], raw_body="octets", extra=(413,))
async def notify(ask: Ask) -> Reply:
    """A notification, as a form, signed. The answer is what the PBX is to do with a call that comes in."""
    link = await _public_link(ask)
    body = await read_bytes(ask.request, BODY_BYTES_MAX)
    if len(body) > BODY_BYTES_MAX:
        raise CommandError("body_too_large", {"allowed": BODY_BYTES_MAX})
    signature = ask.request.headers.get("Signature", "")

    def tell(agent_id: int, shown: dict[str, Any]) -> None:
        ask.deps.streams.tell(agent_id, "phone", shown)

    return Reply(await door_of(ask).notified(link, ask.request[PEER], signature, body, tell))


@routes.post("/call", permission=Permission.DESK, body=ZadarmaCallBody, reply=Accepted, status=202, extra=(502,))
async def call(ask: Ask) -> Reply:
    """Call a number from the agent's own extension there, if the law lets any other door call it now."""
    link = await link_of(ask, 0)
    if not link.enabled:
        raise CommandError("not_found", {"what": "zadarma"})
    if ask.body.predicted and not ask.who.may(Permission.MANAGE):
        raise CommandError("forbidden", {"role": ask.who.role.value, "permission": Permission.MANAGE.value})
    users = await ask.deps.store.find(ZadarmaUser, link_id=link.id, agent_id=ask.who.agent_id)
    if not ask.who.agent_id or not users:
        raise CommandError("not_found", {"what": "an extension of yours"})
    to = e164_of(ask.body.to, "to")
    await refuse_unlawful(ask, link, to, ask.body.campaign_id)
    await door_of(ask).callback(link, users[0].extension, to, ask.body.sip, ask.body.predicted)
    await note_attempt(ask, link, to, users[0].extension)
    await ask.deps.store.note(ask.who.name, "zadarma.call", f"agent:{ask.who.agent_id}", {"group_id": link.group_id})
    return Reply(Accepted(), 202)


@routes.get("/calls", permission=Permission.DESK, query=ZadarmaCallsQuery, reply=ZadarmaCalls)
async def list_calls(ask: Ask) -> Reply:
    """Calls that notifications told of: an agent sees the own ones, and the tasks of everybody."""
    group_id = scope.home_group(ask, ask.query.group_id)
    day = ask.query.day or f"{ask.deps.clock.utcnow():%Y-%m-%d}"
    wanted = {"task": ask.query.task} if ask.query.task else {"day": day}
    rows = await ask.deps.store.find(ZadarmaCall, group_id=group_id, **wanted)
    return Reply(ZadarmaCalls(rows=[_row(row) for row in rows if row.direction != ASKED and _may(ask, row)]))


@routes.post("/calls/{id}/done", permission=Permission.DESK, reply=Accepted)
async def tick_off(ask: Ask) -> Reply:
    """The caller was called back, or needs no more. Idempotent."""
    row = await scope.get(ask, ZadarmaCall, ask.id)
    if not row.task or not _may(ask, row):
        raise CommandError("not_found", {"what": f"ZadarmaCall {row.id}"})
    if row.task == "open":
        await ask.deps.store.update(ZadarmaCall, row.id, {"task": "done"}, None)
        await ask.deps.store.note(ask.who.name, "zadarma.task_done", f"zadarma_call:{row.id}",
                                  {"group_id": row.group_id})  # fmt: skip
    return Reply(Accepted())


def _may(ask: Ask, row: ZadarmaCall) -> bool:
    who = ask.who
    if who.role is not Role.AGENT:
        return True
    if row.task:
        return row.owner_agent_id in (0, who.agent_id)
    return bool(who.agent_id) and row.agent_id == who.agent_id


def _row(row: ZadarmaCall) -> ZadarmaCallRow:
    known = msgspec.structs.asdict(row)
    return ZadarmaCallRow(**{name: known[name] for name in ZadarmaCallRow.__struct_fields__})
