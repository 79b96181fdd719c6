"""Import of files of leads through the page: upload, mapping and dry run, run, state. The work is daemon.leads'."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from daemon.api import scope
from daemon.api.decode import check_text
from daemon.api.deps import Importer
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Body, Id, Query
from daemon.calls.records import Client, LeadList
from daemon.errors import CommandError

routes = Routes("/api/v1/imports", "leads")
CHUNK_BYTES = 64 * 1024
FILE_NAME = re.compile(r"^[^/\\\x00-\x1f\x7f]{1,200}$")


class UploadQuery(Query, kw_only=True):
    """The file is the request's body, as it is."""

    list_id: Id
    file_name: Annotated[str, Meta(min_length=1, max_length=200)]


class ImportOptions(Body, kw_only=True):
    """`columns`: index or header → field ("" = leave out). `duplicates`: skip, replace or merge."""

    columns: dict[str, str] = {}
    duplicates: Annotated[str, Meta(pattern="^(skip|replace|merge)$")] = "skip"
    duplicate_keys: list[Annotated[str, Meta(pattern="^(phone|email|name)$")]] = msgspec.field(
        default_factory=lambda: ["phone"]
    )
    delimiter: Annotated[str, Meta(max_length=1)] = ""
    encoding: Annotated[str, Meta(max_length=40)] = ""
    header: bool | None = None
    sheet: Annotated[str, Meta(max_length=200)] = ""
    allow_special: bool = False
    profile: Annotated[str, Meta(max_length=80)] = ""


class OppositionQuery(Query, kw_only=True):
    """The file is the request's body, as it is."""

    client_id: Id
    file_name: Annotated[str, Meta(min_length=1, max_length=200)]


def _importer(ask: Ask) -> Importer:
    if ask.deps.importer is None:
        raise CommandError("not_available", {"what": "import"})
    return ask.deps.importer


async def _bounded(request: web.Request, bytes_max: int) -> AsyncIterator[bytes]:
    """The body in pieces. Raises body_too_large past the settings' limit."""
    seen = 0
    async for chunk in request.content.iter_chunked(CHUNK_BYTES):
        seen += len(chunk)
        if seen > bytes_max:
            raise CommandError("body_too_large", {"allowed": bytes_max})
        yield chunk


async def _state(ask: Ask) -> dict[str, Any]:
    """The import's state, if it belongs to a list the principal may see."""
    state = _importer(ask).state(ask.request.match_info["key"])
    if state is None:
        raise CommandError("not_found", {"what": "import"})
    await scope.get(ask, LeadList, int(state["list_id"]))
    return state


@routes.post(
    "/opposition", permission=Permission.MANAGE, query=OppositionQuery, reply=dict[str, Any], raw_body="octets"
)
async def oppose(ask: Ask) -> Reply:
    """Put every number of a file on a client's red list; effective on what is already queued (features LEGL-06)."""
    query: OppositionQuery = ask.query
    _check_name(query.file_name)
    client = await scope.get(ask, Client, query.client_id)
    body = _bounded(ask.request, ask.deps.http.upload_bytes_max)
    return Reply(await _importer(ask).oppose(body, query.file_name, client.id, ask.who.name))


def _check_name(name: str) -> None:
    if not FILE_NAME.match(name):
        details = {"field": "file_name", "value": name[:80], "allowed": "a file name without / or \\"}
        raise CommandError("field_invalid", details)


@routes.post("", permission=Permission.MANAGE, query=UploadQuery, reply=dict[str, Any], status=201, raw_body="octets")
async def upload(ask: Ask) -> Reply:
    """Upload a file; the answer shows what was recognised, ready for the mapping."""
    query: UploadQuery = ask.query
    _check_name(query.file_name)
    row = await scope.get(ask, LeadList, query.list_id)
    bytes_max = ask.deps.http.upload_bytes_max
    if (ask.request.content_length or 0) > bytes_max:
        raise CommandError("body_too_large", {"allowed": bytes_max})
    body = _bounded(ask.request, bytes_max)
    state = await _importer(ask).start(body, query.file_name, {"list_id": row.id, "by": ask.who.name})
    return Reply(state, 201)


@routes.get("/{key}", permission=Permission.MANAGE, reply=dict[str, Any], extra=(501,))
async def import_state(ask: Ask) -> Reply:
    """How far it is, and the report when it is done."""
    return Reply(await _state(ask))


@routes.get("/{key}/report", permission=Permission.MANAGE, raw_body="text/csv", extra=(501,))
async def report_file(ask: Ask) -> web.StreamResponse:
    """Every row that is no lead of its own, with the reason, as CSV that no spreadsheet runs (features IMPT-05)."""
    await _state(ask)
    path = _importer(ask).report_file(ask.request.match_info["key"])
    if path is None:
        raise CommandError("not_found", {"what": "report"})
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="import.csv"'}
    return web.FileResponse(path, headers=headers)


@routes.post("/{key}/check", permission=Permission.MANAGE, body=ImportOptions, reply=dict[str, Any])
async def check_import(ask: Ask) -> Reply:
    """Set mapping and choices and run dry: the report, nothing changed (features IMPT-10)."""
    await _state(ask)
    options = {name: getattr(ask.body, name) for name in ask.body.__struct_fields__}
    check_text(options)
    return Reply(await _importer(ask).configure(ask.request.match_info["key"], options))


@routes.post("/{key}/run", permission=Permission.MANAGE, reply=dict[str, Any], status=202)
async def run_import(ask: Ask) -> Reply:
    """Import for good."""
    await _state(ask)
    return Reply(await _importer(ask).run(ask.request.match_info["key"]), 202)
