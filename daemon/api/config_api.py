"""Configuration rows over HTTP: groups, clients, campaigns, lists, lines, caller IDs, statuses, pause codes, agents.

One set of handlers for all tables. Reads are filtered by group and campaign scope; writes need If-Match, are validated
against the law's bounds where there are any, and tell the engine (ConfigChanged).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from daemon.api import scope
from daemon.api.checks import check_agent, check_campaign, check_line, seed_codes
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, ListQuery, derive
from daemon.calls.records import (
    Agent,
    Blocked,
    CallerIdNumber,
    Campaign,
    Client,
    Group,
    LeadList,
    Line,
    PauseCode,
    Record,
    Status,
    Webhook,
)
from daemon.engine.commands import AnyCommand, ConfigChanged, LeadsChanged
from daemon.engine.refusals import BLACKLIST
from daemon.errors import CommandError

log = structlog.get_logger("cadran.api")
routes = Routes("/api/v1", "configuration")

Check = Callable[[Ask, Any, set[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of row: its path, who may read and write it, what is checked beyond the types."""

    kind: type[Record]
    path: str
    read: Permission
    write: Permission
    check: Check | None = None


TABLES = (
    Table(Group, "groups", Permission.WATCH, Permission.ADMINISTER),
    Table(Client, "clients", Permission.WATCH, Permission.MANAGE),
    Table(Campaign, "campaigns", Permission.WATCH, Permission.MANAGE, check_campaign),
    Table(LeadList, "lists", Permission.WATCH, Permission.MANAGE),
    Table(Line, "lines", Permission.WATCH, Permission.ADMINISTER, check_line),
    Table(CallerIdNumber, "caller-ids", Permission.WATCH, Permission.ADMINISTER),
    Table(Status, "statuses", Permission.DESK, Permission.MANAGE),
    Table(Blocked, "blacklist", Permission.WATCH, Permission.MANAGE),
    Table(PauseCode, "pause-codes", Permission.DESK, Permission.MANAGE),
    Table(Agent, "agents", Permission.WATCH, Permission.MANAGE, check_agent),
)
USED_BY: dict[type[Record], str] = {
    Line: "line_ids",
    LeadList: "list_ids",
    CallerIdNumber: "caller_id_ids",
    Agent: "agent_ids",
    Client: "client_id",
}
"""Which field of a campaign names rows of a kind: they can't be deleted from under it."""
WARNING = "Cadran-Warning"
SHORT_CODE = 3
"""Codes of two or three characters fit everywhere they are shown; older systems bring up to twelve."""
CHILDREN = (Client, Campaign, LeadList, Line, Agent, Webhook)


async def tell_engine(ask: Ask, *commands: AnyCommand) -> bool:
    """Hand news of written rows to the engine. The rows are kept even if it is too busy to hear: it says False then."""
    try:
        for command in commands:
            await ask.deps.door.submit(command)
    except CommandError as error:
        log.warning("engine not told of a change", code=error.code)
        return False
    return True


def page_of(kind: type[Record]) -> Any:
    """The list type of a table: rows and where the next page begins."""
    rows: Any = list.__class_getitem__(kind)
    fields: list[Any] = [("rows", rows), ("next_after", int | None, None)]
    return msgspec.defstruct(f"{kind.__name__}Page", fields, bases=(Answer,), kw_only=True)


class _Rows:
    """The five doors to a table's rows: list, read, add, change, delete."""

    def __init__(self, table: Table) -> None:
        self.table, self.kind = table, table.kind

    async def list_rows(self, ask: Ask) -> Reply:
        rows = [r for r in await scope.all_of(ask, self.kind, ask.query.group_id) if r.id > ask.query.after]
        rows.sort(key=lambda row: row.id)
        page, more = rows[: ask.query.limit], len(rows) > ask.query.limit
        return Reply({"rows": page, "next_after": page[-1].id if more else None})

    async def read_row(self, ask: Ask) -> Reply:
        return scope.with_etag(await scope.get(ask, self.kind, ask.id))

    async def create_row(self, ask: Ask) -> Reply:
        fields = {k: v for k, v in msgspec.structs.asdict(ask.body).items() if v is not msgspec.UNSET}
        if self.kind is Group:
            if not ask.who.all_groups:
                raise CommandError("group_forbidden", {"group": fields["code"]})
        else:
            fields["group_id"] = scope.home_group(ask, fields.get("group_id"))
        fields = await _defaults(ask, self.kind, fields)
        row = _build(self.kind, fields)
        if self.table.check:
            await self.table.check(ask, row, set(fields))
        created = await ask.deps.store.create(row)
        await _note(ask, created, "created", {})
        if isinstance(created, Campaign):
            await seed_codes(ask, created)
        ask.deps.auth.forget()
        await tell_engine(ask, ConfigChanged(table=self.kind.__name__, ids=(created.id,), by=ask.who.name))
        reply = _warned(scope.with_etag(created, 201))
        reply.headers["Location"] = f"/api/v1/{self.table.path}/{created.id}"
        return reply

    async def change_row(self, ask: Ask) -> Reply:
        current = await scope.get(ask, self.kind, ask.id)
        version = scope.if_match(ask, current)
        given = {k: v for k, v in msgspec.structs.asdict(ask.body).items() if v is not msgspec.UNSET}
        changes = {k: v for k, v in given.items() if v != getattr(current, k)}
        after = _build(self.kind, {**msgspec.structs.asdict(current), **changes})
        if self.table.check and changes:
            await self.table.check(ask, after, set(changes))
        if not changes:
            return scope.with_etag(current)
        updated = await ask.deps.store.update(self.kind, current.id, {k: getattr(after, k) for k in changes}, version)
        await _note(ask, updated, "changed", {k: [getattr(current, k), getattr(after, k)] for k in changes})
        ask.deps.auth.forget()
        news: list[AnyCommand] = [ConfigChanged(table=self.kind.__name__, ids=(current.id,), by=ask.who.name)]
        if self.kind is LeadList:
            news.append(LeadsChanged(list_ids=(current.id,), by=ask.who.name))
        await tell_engine(ask, *news)
        if isinstance(current, Blocked) and "e164" in changes:
            await _let_go(ask, current)
        return _warned(scope.with_etag(updated))

    async def delete_row(self, ask: Ask) -> Reply:
        current = await scope.get(ask, self.kind, ask.id)
        version = scope.if_match(ask, current)
        await _check_unused(ask, current)
        await ask.deps.store.delete(self.kind, current.id, version)
        await _note(ask, current, "deleted", {})
        ask.deps.auth.forget()
        await tell_engine(ask, ConfigChanged(table=self.kind.__name__, ids=(current.id,), by=ask.who.name))
        if isinstance(current, Blocked):
            await _let_go(ask, current)
        return Reply(None, 204)


def _mount(table: Table) -> None:
    rows, kind = _Rows(table), table.kind
    create_type, patch_type = derive(kind)
    one, many = f"/{table.path}/{{id}}", f"/{table.path}"
    label = table.path.replace("-", " ")
    read, write = table.read, table.write
    listed = routes.get(many, permission=read, query=ListQuery, reply=page_of(kind), summary=f"List {label}")
    listed(rows.list_rows)
    routes.get(one, permission=read, reply=kind, summary=f"Read one of {label}")(rows.read_row)
    added = routes.post(many, permission=write, body=create_type, reply=kind, status=201, summary=f"Add to {label}")
    added(rows.create_row)
    summary = f"Change one of {label}"
    changed = routes.patch(one, permission=write, body=patch_type, reply=kind, if_match=True, summary=summary)
    changed(rows.change_row)
    gone = routes.delete(one, permission=write, status=204, if_match=True, summary=f"Delete one of {label}")
    gone(rows.delete_row)


async def _note(ask: Ask, row: Record, done: str, detail: dict[str, Any]) -> None:
    """Into the audit log: who made, changed (field: [old, new]) or deleted which row."""
    what = f"{type(row).__name__.lower()}.{done}"
    await ask.deps.store.note(ask.who.name, what, str(row.id), msgspec.to_builtins(detail))


async def _let_go(ask: Ask, gone: Blocked) -> None:
    """Leads of a number that has left the blacklist are due at once; the engine has heard of it before."""
    ids = await ask.deps.store.free_leads(gone.group_id, gone.e164, BLACKLIST)
    if ids:
        await tell_engine(ask, LeadsChanged(lead_ids=tuple(ids), e164s=(gone.e164,), by=ask.who.name))


def _warned(reply: Reply) -> Reply:
    """What was accepted but is not advised is said in a header (features STAT-01)."""
    if isinstance(reply.data, Status) and len(reply.data.code) > SHORT_CODE:
        reply.headers[WARNING] = f"status code {reply.data.code} is longer than {SHORT_CODE} characters"
    return reply


def _build(kind: type[Record], fields: dict[str, Any]) -> Record:
    """A record from field values that were checked one by one; nested bodies become the record's own structs."""
    try:
        return msgspec.convert(msgspec.to_builtins(fields), kind)
    except msgspec.ValidationError as error:
        raise CommandError("field_invalid", {"field": kind.__name__, "value": "", "allowed": str(error)}) from error


async def _defaults(ask: Ask, kind: type[Record], fields: dict[str, Any]) -> dict[str, Any]:
    """What a creation may leave out: an agent's extension (its login), a campaign's client (the group's only one)."""
    if kind is Agent and not fields.get("extension"):
        fields = {**fields, "extension": fields["login"]}
    if kind is Campaign and not fields.get("client_id"):
        clients = await ask.deps.store.find(Client, group_id=fields["group_id"])
        if len(clients) != 1:
            raise CommandError("field_missing", {"field": "client_id"})
        fields = {**fields, "client_id": clients[0].id}
    return fields


async def _check_unused(ask: Ask, row: Record) -> None:
    """Refuse to delete what a campaign (or, for a group, anything) still uses."""
    store = ask.deps.store
    if isinstance(row, Group):
        for child in CHILDREN:
            if await store.find(child, group_id=row.id):
                raise CommandError("in_use", {"used_by": [child.__name__]})
        return
    if isinstance(row, Campaign) and row.state != "stopped":
        raise CommandError("in_use", {"used_by": [f"state {row.state}"]})
    if field := USED_BY.get(type(row)):
        users = []
        for campaign in await store.find(Campaign, group_id=scope.group_of(row)):
            value = getattr(campaign, field)
            if row.id == value or (isinstance(value, list) and row.id in value):
                users.append(campaign.name)
        if users:
            raise CommandError("in_use", {"used_by": users[:10]})


for _table in TABLES:
    _mount(_table)
