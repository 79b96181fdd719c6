"""Named reports as JSON or CSV, one .sql file each, and the audit log."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from daemon.api import scope
from daemon.api.checks import zone_of
from daemon.api.csv_download import Columns, stream_csv
from daemon.api.leads_api import shown
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Id, IdOrZero, Instant, Limit, Query
from daemon.dialer.explain import sentence_of
from daemon.errors import CommandError

routes = Routes("/api/v1", "calls")
REPORT_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class ReportQuery(Query, kw_only=True):
    """`format` csv streams the rows: `;` and comma decimals in French, byte order mark, formula cells guarded."""

    start: Instant | None = None
    end: Instant | None = None
    campaign_id: Id | None = None
    agent_id: Id | None = None
    line_id: Id | None = None
    list_id: Id | None = None
    client_id: Id | None = None
    zone: Annotated[str, Meta(max_length=40)] | None = None
    group_id: IdOrZero = 0
    format: Annotated[str, Meta(pattern="^(json|csv)$")] = "json"
    columns: Columns | None = None
    language: Annotated[str, Meta(pattern="^(fr|en)$")] = "fr"


class ReportAnswer(Answer, kw_only=True):
    """Rows of a named query, the instant they were computed at, and the query's name for the tooltips."""

    name: str
    computed_at: datetime
    rows: list[dict[str, Any]]


@routes.get("/reports/{name}", permission=Permission.WATCH, query=ReportQuery, reply=ReportAnswer)
async def report(ask: Ask) -> Reply | web.StreamResponse:
    """Run a named report (one .sql file each); JSON, or CSV row by row."""
    name = ask.request.match_info["name"]
    if not REPORT_NAME.fullmatch(name) or name in ("audit", "journal"):
        raise CommandError("not_found", {"what": f"report {name[:40]}"})
    parameters = await _parameters(ask)
    if ask.query.format == "csv":
        return await _csv(ask, name, parameters)
    try:
        rows = await ask.deps.store.report(name, **parameters)
    except (KeyError, FileNotFoundError) as error:
        raise CommandError("not_found", {"what": f"report {name}"}) from error
    except (TypeError, ValueError) as error:
        raise CommandError("field_invalid", {"field": "query", "value": name, "allowed": str(error)[:200]}) from error
    if name == "pacing":  # the reason in words, as the live view says it
        language = ask.query.language
        rows = [{**r, "sentence": sentence_of(r["count"], r["limit"], r["figures"], language)} for r in rows]
    return Reply(ReportAnswer(name=name, computed_at=ask.deps.clock.utcnow(), rows=[shown(ask, r) for r in rows]))


class AuditQuery(Query, kw_only=True):
    start: Instant | None = None
    end: Instant | None = None
    limit: Limit = 200


@routes.get("/audit", permission=Permission.ADMINISTER, query=AuditQuery, reply=list[dict[str, Any]])
async def audit(ask: Ask) -> Reply:
    """Who did what, newest first. It spans all groups, so it needs a token that does."""
    if not ask.who.all_groups:
        raise CommandError("group_forbidden", {"group": "all"})
    values = msgspec.structs.asdict(ask.query)
    return Reply(await ask.deps.store.report("audit", **{k: v for k, v in values.items() if v is not None}))


async def _parameters(ask: Ask) -> dict[str, Any]:
    """The report's parameters within the principal's scope."""
    query: ReportQuery = ask.query
    values = msgspec.structs.asdict(query)
    parameters = {
        k: v for k, v in values.items() if v is not None and k not in ("format", "language", "group_id", "columns")
    }
    if query.zone is not None:
        zone_of(query.zone)
    await scope.check_campaign(ask, query.campaign_id)
    parameters["group_id"] = scope.home_group(ask, query.group_id)
    return parameters


async def _csv(ask: Ask, name: str, parameters: dict[str, Any]) -> web.StreamResponse:
    """Rows as they come from the store, never the whole table in memory."""
    rows = ask.deps.store.stream(name, **parameters)
    try:
        first = await anext(rows, None)
    except (KeyError, FileNotFoundError) as error:
        raise CommandError("not_found", {"what": f"report {name}"}) from error
    except (TypeError, ValueError) as error:
        raise CommandError("field_invalid", {"field": "query", "value": name, "allowed": str(error)[:200]}) from error
    return await stream_csv(ask, name, first, rows)
