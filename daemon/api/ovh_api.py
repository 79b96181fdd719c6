"""Telephony events in OVHcloud's shape: our feed for other software, and OVHcloud's lines for desks and supervisors.

The work is daemon.crm's, given by the composition root. Docs: docs/ovh.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from msgspec import Meta

from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Limit, Query
from daemon.calls.records import Group
from daemon.errors import CommandError

routes = Routes("", "ovh")
FEED_PATH = "/api/public/ovh/events"
FEED_WAIT_S = 25.0
"""An answer without events by then: proxies close what is silent for longer."""


class FeedQuery(Query, kw_only=True):
    """`token`: the line's. `session`: of the last answer; without one the reading begins now."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    session: Annotated[str, Meta(max_length=100)] = ""


class FeedAnswer(Answer, kw_only=True):
    """In OVHcloud's words, capitals included."""

    Session: str
    Events: list[dict[str, Any]]


class PopsQuery(Query, kw_only=True):
    """`after`: the `last` of the answer before; `wait_s`: how long to wait for a page if there is none."""

    after: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    wait_s: Annotated[float, Meta(ge=0, le=25)] = 0.0


class LinePopView(Answer, kw_only=True):
    number: int
    at: datetime
    url: str
    display: str
    event: str
    calling: str


class LinePops(Answer, kw_only=True):
    last: int
    rows: list[LinePopView]


class LineRow(Answer, kw_only=True):
    """`connected`: its last poll was answered; `waiting`: a poll is under way, not refused so far; `failures`: polls in
    a row that were not answered."""

    service: str
    group: str
    agent: str
    display: str
    connected: bool
    waiting: bool
    failures: int
    last_error: str
    events: int


class FeedRow(Answer, kw_only=True):
    """A phone of ours in the feed; its token is in a file and shown nowhere."""

    group: str
    agent: str


class LineRows(Answer, kw_only=True):
    """`feeds`: whose calls other software may read at `feed_path`."""

    rows: list[LineRow]
    feeds: list[FeedRow]
    feed_path: str


class HeardQuery(Query, kw_only=True):
    limit: Limit = 500


class HeardRow(Answer, kw_only=True):
    """Numbers as OVHcloud writes them, 0033…."""

    at: datetime
    line: str
    event: str
    calling: str
    called: str
    dialed: str
    call_id: str
    kind: str


class HeardRows(Answer, kw_only=True):
    rows: list[HeardRow]


class OvhDoor(Protocol):
    """What the routes need of daemon.crm.ovh_lines and ovh_feed."""

    async def poll(self, token: str, session: str, wait_s: float) -> dict[str, Any] | None: ...
    async def pops(self, agent_id: int, after: int, wait_s: float) -> tuple[int, Sequence[Any]]: ...
    def heard(self, group: str, limit: int) -> Sequence[Any]: ...
    def status(self, group: str) -> list[dict[str, Any]]: ...
    def feeds(self, group: str) -> list[dict[str, str]]: ...
    async def try_line(self, group: str, service: str) -> dict[str, Any] | None: ...
    async def close(self) -> None: ...


@routes.get(FEED_PATH, permission=Permission.PUBLIC, query=FeedQuery, reply=FeedAnswer, extra=(401,))
async def feed(ask: Ask) -> Reply:
    """A line's events since the session, in OVHcloud's shape; waits for one if there is none."""
    door: OvhDoor | None = ask.deps.ovh
    found = await door.poll(ask.query.token, ask.query.session, FEED_WAIT_S) if door is not None else None
    if found is None:
        raise CommandError("token_invalid")
    return Reply(FeedAnswer(**found), headers={"Cache-Control": "no-store"})


@routes.get("/api/v1/ovh/pops", permission=Permission.DESK, query=PopsQuery, reply=LinePops)
async def pops(ask: Ask) -> Reply:
    """Pages that calls on the agent's OVHcloud line open, in order."""
    door: OvhDoor | None = ask.deps.ovh
    if door is None or not ask.who.agent_id:
        return Reply(LinePops(last=0, rows=[]))
    last, found = await door.pops(ask.who.agent_id, ask.query.after, ask.query.wait_s)
    names = LinePopView.__struct_fields__
    return Reply(LinePops(last=last, rows=[LinePopView(**{n: getattr(pop, n) for n in names}) for pop in found]))


async def _group(ask: Ask) -> str | None:
    """The code of the group whose lines may be seen; "" = all, None = none."""
    if ask.who.all_groups:
        return ""
    group = await ask.deps.store.get(Group, ask.who.group_id)
    return group.code if group is not None else None


@routes.get("/api/v1/ovh/lines", permission=Permission.ADMINISTER, reply=LineRows)
async def lines(ask: Ask) -> Reply:
    """The lines at OVHcloud and how they fare."""
    door, code = ask.deps.ovh, await _group(ask)
    if door is None or code is None:
        return Reply(LineRows(rows=[], feeds=[], feed_path=FEED_PATH))
    feeds = [FeedRow(**row) for row in door.feeds(code)]
    return Reply(LineRows(rows=[LineRow(**row) for row in door.status(code)], feeds=feeds, feed_path=FEED_PATH))


@routes.post("/api/v1/ovh/lines/{key}/try", permission=Permission.ADMINISTER, reply=LineRow)
async def try_line(ask: Ask) -> Reply:
    """Poll a line now instead of after its pause; how it fares then."""
    door, code, service = ask.deps.ovh, await _group(ask), ask.request.match_info["key"]
    row = await door.try_line(code, service) if door is not None and code is not None else None
    if row is None:
        raise CommandError("not_found", {"what": f"line {service[:40]}"})
    return Reply(LineRow(**row))


@routes.get("/api/v1/ovh/events", permission=Permission.WATCH, query=HeardQuery, reply=HeardRows)
async def events(ask: Ask) -> Reply:
    """Events of the group's lines since the daemon began, newest first, 500 at most."""
    door, code = ask.deps.ovh, await _group(ask)
    heard = door.heard(code, ask.query.limit) if door is not None and code is not None else []
    rows = [
        HeardRow(
            at=each.at, line=each.line, event=each.event.event, calling=each.event.calling, called=each.event.called,
            dialed=each.event.dialed, call_id=each.event.call_id, kind=each.event.kind,
        )
        for each in heard
    ]  # fmt: skip
    return Reply(HeardRows(rows=rows))
