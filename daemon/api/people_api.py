"""A person's rights, one address each (features RGPD-01): access, rectification, erasure, portability, objection.

The person is named by number, in the body: an address with a number in it would end up in every log on its way. Each
right exercised leaves an audit row, which names leads by id or the pseudonym, never the number.
"""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from daemon.api import scope
from daemon.api.config_api import tell_engine
from daemon.api.csv_download import cells
from daemon.api.leads_api import PersonPatch, Short
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Body, IdOrZero, Number, Text
from daemon.calls.records import Client
from daemon.compliance.zones import tz_group
from daemon.engine.commands import LeadsChanged
from daemon.errors import CommandError, StoreConflict

routes = Routes("/api/v1/people", "people")
TABLES = (
    "leads", "attempts", "refused_calls", "callbacks", "red_list", "consents", "recordings", "click_to_call",
)  # fmt: skip
PROVIDED = ("leads", "consents")
"""What portability covers: what the person gave, not what we noted about our own calls."""


class PersonBody(Body, kw_only=True):
    """Whom it is about. `group_id` 0 = the token's own group."""

    number: Number
    group_id: IdOrZero = 0


class PersonHeld(Answer, kw_only=True):
    """All rows that name the number, by table. `erased`: what is left, under a pseudonym, of an earlier erasure."""

    number: str
    at: datetime
    leads: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    refused_calls: list[dict[str, Any]]
    callbacks: list[dict[str, Any]]
    red_list: list[dict[str, Any]]
    consents: list[dict[str, Any]]
    recordings: list[dict[str, Any]]
    click_to_call: list[dict[str, Any]]
    erased: dict[str, Any] | None = None


class Corrections(PersonPatch, kw_only=True):
    """The right values; what is not named stays."""

    postal_code: Annotated[str, Meta(max_length=20)] | UnsetType = UNSET
    fields: Annotated[dict[Short, Text], Meta(max_length=100)] | UnsetType = UNSET


class RectifyBody(PersonBody, kw_only=True):
    changes: Corrections


class EraseBody(PersonBody, kw_only=True):
    """`reason` goes to the audit log: leave names and numbers out of it."""

    reason: Text = ""


class ExportBody(PersonBody, kw_only=True):
    format: Annotated[str, Meta(pattern="^(json|csv)$")] = "json"
    language: Annotated[str, Meta(pattern="^(fr|en)$")] = "fr"


class ObjectBody(PersonBody, kw_only=True):
    """`client_id` 0 = every client of the group."""

    client_id: IdOrZero = 0
    reason: Text = ""


class Rectified(Answer, kw_only=True):
    leads: int


class Erased(Answer, kw_only=True):
    """Rows changed by table; `files_left`: recordings whose file could not be deleted from here."""

    rows: dict[str, int]
    files_deleted: int
    files_left: int


class Objected(Answer, kw_only=True):
    clients: int
    leads: int


async def _who(ask: Ask) -> tuple[int, str]:
    """(group, E.164). Rights concern a whole group: a token bound to some of its campaigns can't exercise them."""
    if ask.who.campaign_ids:
        raise CommandError("forbidden", {"role": ask.who.role.value, "permission": "all campaigns"})
    return scope.home_group(ask, ask.body.group_id), e164_of(ask.body.number, "number", allow_special=True)


async def _note(ask: Ask, right: str, target: str, **detail: Any) -> None:
    await ask.deps.store.note(ask.who.name, f"person.{right}", target, detail)


def _leads_of(held: dict[str, Any]) -> str:
    return "leads:" + ",".join(str(row["id"]) for row in held["leads"][:50])


@routes.post("/access", permission=Permission.MANAGE, body=PersonBody, reply=PersonHeld)
async def access(ask: Ask) -> Reply:
    """All that is held of a person (right of access)."""
    group_id, e164 = await _who(ask)
    held = await ask.deps.store.person(group_id, e164)
    await _note(ask, "access", _leads_of(held), rows=sum(len(held[name]) for name in TABLES))
    return Reply(PersonHeld(number=e164, at=ask.deps.clock.utcnow(), **held))


@routes.post("/export", permission=Permission.MANAGE, body=ExportBody, reply=dict[str, Any])
async def export(ask: Ask) -> Reply | web.Response:
    """What a person gave us, to take along (right to portability): JSON, or CSV of table, row, field and value."""
    group_id, e164 = await _who(ask)
    held = await ask.deps.store.person(group_id, e164)
    await _note(ask, "export", _leads_of(held), format=ask.body.format)
    provided = {name: held[name] for name in PROVIDED}
    if ask.body.format == "json":
        return Reply({"number": e164, "at": ask.deps.clock.utcnow(), **provided})
    french = ask.body.language == "fr"
    return web.Response(
        body=b"\xef\xbb\xbf" + _long_table(provided, french).encode(),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": 'attachment; filename="person.csv"'},
    )


def _long_table(tables: dict[str, list[dict[str, Any]]], french: bool) -> str:
    """One line a value, so that tables of any shape fit one file."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";" if french else ",")
    writer.writerow(("table", "row", "field", "value"))
    for table, rows in tables.items():
        for number, row in enumerate(rows, start=1):
            own = row.get("fields") or {}
            values = {k: v for k, v in row.items() if k != "fields"} | {f"fields.{k}": v for k, v in own.items()}
            for name, value in values.items():
                if value not in (None, ""):
                    writer.writerow((table, number, *cells({"f": name, "v": value}, ["f", "v"], french)))
    return text.getvalue()


@routes.post("/rectify", permission=Permission.MANAGE, body=RectifyBody, reply=Rectified)
async def rectify(ask: Ask) -> Reply:
    """Put right what is held of a person, in every list (right to rectification)."""
    group_id, e164 = await _who(ask)
    changes = {k: v for k, v in msgspec.structs.asdict(ask.body.changes).items() if v is not UNSET}
    if not changes:
        raise CommandError("field_missing", {"field": "changes"})
    held = await ask.deps.store.person(group_id, e164)
    if "postal_code" in changes:
        changes["tz_group"] = tz_group(e164, changes["postal_code"])
    for row in held["leads"]:
        await ask.deps.store.update_lead(row["id"], changes)
    ids = tuple(row["id"] for row in held["leads"])
    await _note(ask, "rectify", _leads_of(held), fields=",".join(sorted(changes)))
    if ids:
        await tell_engine(ask, LeadsChanged(lead_ids=ids, e164s=(e164,), by=ask.who.name))
    return Reply(Rectified(leads=len(ids)))


@routes.post("/erase", permission=Permission.MANAGE, body=EraseBody, reply=Erased)
async def erase(ask: Ask) -> Reply:
    """Forget a person; what binds us (red list, counted attempts) stays under a pseudonym (right to erasure)."""
    group_id, e164 = await _who(ask)
    store = ask.deps.store
    held = await store.person(group_id, e164)
    for row in held["leads"]:  # first of all nobody may dial it any more: not from the base, not from the queue
        await store.update_lead(row["id"], {"blocked_by": "erased", "eligible_at": None})
    ids = tuple(row["id"] for row in held["leads"])
    if ids:
        await tell_engine(ask, LeadsChanged(lead_ids=ids, e164s=(e164,), by=ask.who.name))
    try:
        done = await store.erase_person(group_id, e164)
    except StoreConflict as conflict:
        if conflict.field == "open":
            raise CommandError("person_in_call") from conflict
        if conflict.field == "pseudonym_key":
            raise CommandError("not_available", {"what": "erasure: no key for pseudonyms"}) from conflict
        raise
    deleted = await asyncio.to_thread(_delete, done["files"])
    await _note(ask, "erase", f"person:{done['pseudonym'][:17]}", reason=ask.body.reason, **done["counts"])
    return Reply(Erased(rows=done["counts"], files_deleted=deleted, files_left=len(done["files"]) - deleted))


def _delete(files: list[str]) -> int:
    count = 0
    for name in files:
        if Path(name).is_absolute():
            with suppress(OSError):
                Path(name).unlink()
                count += 1
    return count


@routes.post("/object", permission=Permission.MANAGE, body=ObjectBody, reply=Objected)
async def object_to_calls(ask: Ask) -> Reply:
    """Never call this person again, for one client or for all of the group's (right to object); at once."""
    group_id, e164 = await _who(ask)
    store = ask.deps.store
    if ask.body.client_id:
        client = await scope.get(ask, Client, ask.body.client_id)
        clients = [client]
    else:
        clients = await store.find(Client, group_id=group_id)
    ids: set[int] = set()
    for client in clients:
        ids.update(await store.set_dnc(client.id, e164, True, ask.who.name, "objection"))
    leads = tuple(sorted(ids))
    await _note(ask, "object", f"leads:{','.join(map(str, leads[:50]))}", clients=len(clients), reason=ask.body.reason)
    await tell_engine(ask, LeadsChanged(lead_ids=leads, e164s=(e164,), by=ask.who.name))
    return Reply(Objected(clients=len(clients), leads=len(leads)))
