"""Recordings: search, listen, download by range through links that expire (RECD-01). Every opening is audited.

A link is asked for with a token and opens one recording for a few minutes without one, so that an audio element or a
download can use it; its signature is made with a key that never leaves the machine.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import AfterId, Answer, Id, Instant, Limit, Query
from daemon.errors import CommandError
from daemon.ports import TapeStore
from daemon.tapes import Tapes

routes = Routes("/api/v1", "recordings")

Words = Annotated[str, Meta(max_length=40)]
HIDDEN = ("path", "file")


class RecordingQuery(Query, kw_only=True):
    """Filters; all given ones apply together. `number` is the other party's."""

    start: Instant | None = None
    end: Instant | None = None
    campaign_id: Id | None = None
    agent_id: Id | None = None
    lead_id: Id | None = None
    number: Words | None = None
    disposition: Words | None = None
    state: Annotated[str, Meta(pattern="^(recording|waiting|kept|purged|missing|failed)$")] | None = None
    duration_min: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    limit: Limit = 50
    after: AfterId | None = None


class RecordingPage(Answer, kw_only=True):
    """`muted`: (from, to) seconds in which silence was recorded."""

    rows: list[dict[str, Any]]
    next_after: str | None = None


class LinkAnswer(Answer, kw_only=True):
    url: str
    expires_at: datetime


class AudioQuery(Query, kw_only=True):
    expires: Annotated[int, Meta(ge=0, le=1 << 40)]
    signature: Annotated[str, Meta(max_length=64)]
    download: bool = False


def _store(ask: Ask) -> TapeStore:
    store = ask.deps.store
    if not isinstance(store, TapeStore):
        raise CommandError("not_found", {"what": "recordings"})
    return store


def _tapes(ask: Ask) -> Tapes:
    if ask.deps.tapes is None:
        raise CommandError("not_found", {"what": "recordings"})
    return ask.deps.tapes


async def _row(ask: Ask) -> dict[str, Any]:
    row = await _store(ask).recording(ask.id) if ask.id < 1 << 62 else None
    if row is None or not ask.who.sees_campaign(row["group_id"], row["campaign_id"]):
        raise CommandError("not_found", {"what": f"recording {ask.id}"})
    return row


@routes.get("/recordings", permission=Permission.WATCH, query=RecordingQuery, reply=RecordingPage)
async def search(ask: Ask) -> Reply:
    """Search recordings, newest first."""
    given = msgspec.structs.asdict(ask.query)
    limit, after = given.pop("limit"), given.pop("after")
    filters = {name: value for name, value in given.items() if value is not None}
    if "number" in filters:
        filters["number"] = e164_of(filters["number"], "number")
    if after is not None and not after.isdecimal():
        raise CommandError("field_invalid", {"field": "after", "value": after, "allowed": "as given by next_after"})
    who = ask.who
    group_id = None if who.all_groups else who.group_id
    page = await _store(ask).search_recordings(group_id, filters, limit, after)
    rows = [
        {name: value for name, value in row.items() if name not in HIDDEN}
        for row in page.rows
        if who.sees_campaign(row["group_id"], row["campaign_id"])
    ]
    return Reply(RecordingPage(rows=rows, next_after=page.next_after))


@routes.post("/recordings/{id}/link", permission=Permission.WATCH, reply=LinkAnswer, extra=(404, 410))
async def link(ask: Ask) -> Reply:
    """A link that opens this recording for a few minutes; noted with who asked."""
    tapes, row = _tapes(ask), await _row(ask)
    tapes.file_of(row)
    url, until = tapes.link(row["id"])
    target = str(row["attempt_id"])
    await ask.deps.store.note(ask.who.name, "recording.link", target, {"recording_id": row["id"]})
    return Reply(LinkAnswer(url=url, expires_at=until))


@routes.get(
    "/recordings/{id}/audio",
    permission=Permission.PUBLIC,
    query=AudioQuery,
    raw_body="audio/mpeg",
    extra=(403, 404, 410),
)
async def audio(ask: Ask) -> web.StreamResponse:
    """The sound, by a signed link; byte ranges are served, so that one can jump in it."""
    tapes, query = _tapes(ask), ask.query
    tapes.check(ask.id, query.expires, query.signature)
    row = await _store(ask).recording(ask.id)
    if row is None:
        raise CommandError("not_found", {"what": f"recording {ask.id}"})
    path = tapes.file_of(row)
    if ask.request.headers.get("Range", "bytes=0-").startswith("bytes=0-"):
        detail = {"recording_id": row["id"], "download": query.download}
        await ask.deps.store.note("link", "recording.played", str(row["attempt_id"]), detail)
    kind = "audio/mpeg" if path.suffix == ".mp3" else "audio/wav"
    how = "attachment" if query.download else "inline"
    headers = {
        "Content-Type": kind,
        "Content-Disposition": f'{how}; filename="call-{row["call_number"]}-{row["number"]}{path.suffix}"',
        "Cache-Control": "private, no-store",
    }
    return web.FileResponse(path, headers=headers)
