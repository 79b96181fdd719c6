"""Calls past and present: search, read, end, follow."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta

from daemon.api import fraud, scope
from daemon.api.control import submit
from daemon.api.leads_api import shown
from daemon.api.numbers import e164_of, refuse_red_listed
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.stream import BEAT_S, frame
from daemon.api.types import Accepted, AfterId, Answer, Body, Id, IdOrZero, Instant, Limit, Query
from daemon.calls.ids import uuid7
from daemon.calls.records import Line
from daemon.engine.commands import CallExtension, HangUpCall
from daemon.engine.views import CallView, Changes
from daemon.errors import CommandError, StoreUnavailable

routes = Routes("/api/v1", "calls")
FOLLOW_S_MAX = 4 * 3600.0

Words = Annotated[str, Meta(max_length=40)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class CallFilters(Query, kw_only=True):
    """Filters of features TELC-06; all given ones apply together. `number` is one person's, `numbers` several, by
    comma; `status` what became of the call, `outcome` the same in our finer words (several, by comma)."""

    start: Instant | None = None
    end: Instant | None = None
    campaign_id: Id | None = None
    agent_id: Id | None = None
    lead_id: Id | None = None
    line_id: Id | None = None
    direction: Annotated[str, Meta(pattern="^(in|out|internal)$")] | None = None
    kind: Words | None = None
    outcome: Words | None = None
    disposition: Words | None = None
    number: Words | None = None
    numbers: Annotated[str, Meta(max_length=1000)] | None = None
    status: Annotated[str, Meta(pattern="^(answered|no_answer|busy|failed|in_progress)$")] | None = None
    caller_id: Words | None = None
    site: Words | None = None
    open: bool | None = None
    duration_min: Seconds | None = None
    duration_max: Seconds | None = None
    group_id: IdOrZero = 0


class CallQuery(CallFilters, kw_only=True):
    limit: Limit = 50
    after: AfterId | None = None


class CallPage(Answer, kw_only=True):
    rows: list[dict[str, Any]]
    next_after: str | None = None


def key_of(text: str) -> UUID | int:
    """A call's number or UUID (features D27). Raises not_found for anything else."""
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError("not_found", {"what": f"call {text[:40]}"}) from error


def live_call(ask: Ask, key: UUID | int) -> CallView | None:
    """The call among those in progress, if this principal may see it."""
    for view in ask.deps.door.view().get("calls", {}).values():
        if isinstance(view, CallView) and (UUID(view.id) == key if isinstance(key, UUID) else view.number == key):
            return view if _sees(ask, view) else None
    return None


def _sees(ask: Ask, view: CallView) -> bool:
    who = ask.who
    if who.kind.value == "operator" and who.role.value == "agent":
        return view.agent_id == who.agent_id and who.sees_group(view.group_id)
    if view.campaign_id:
        return who.sees_campaign(view.group_id, view.campaign_id)
    return who.sees_group(view.group_id)


async def _row(ask: Ask, key: UUID | int) -> dict[str, Any] | None:
    row = await ask.deps.store.attempt(key)
    if row is None or not ask.who.sees_campaign(int(row["group_id"]), int(row.get("campaign_id") or 0)):
        return None
    if ask.who.campaign_ids and row.get("campaign_id") not in ask.who.campaign_ids:
        return None
    return row


@routes.get("/calls", permission=Permission.WATCH, query=CallQuery, reply=CallPage)
async def search_calls(ask: Ask) -> Reply:
    """Search attempts, newest first; filters combine."""
    query: CallQuery = ask.query
    group_id, filters = await calls_asked(ask)
    page = await ask.deps.store.search_attempts(group_id, filters, query.limit, query.after)
    return Reply(CallPage(rows=[shown(ask, r) for r in page.rows], next_after=page.next_after))


async def calls_asked(ask: Ask) -> tuple[int | None, dict[str, Any]]:
    """(group or None for all, filters) of a CallFilters query, within what the principal may see."""
    query: CallFilters = ask.query
    await scope.check_campaign(ask, query.campaign_id)
    group_id: int | None = query.group_id or (None if ask.who.all_groups else ask.who.group_id)
    if group_id is not None and not ask.who.sees_group(group_id):
        raise CommandError("group_forbidden", {"group": group_id})
    return group_id, _filters(query)


def _filters(query: CallFilters) -> dict[str, Any]:
    """The store's names for the filters given."""
    names = [field.name for field in msgspec.structs.fields(CallFilters) if field.name != "group_id"]
    filters = {name: value for name in names if (value := getattr(query, name)) is not None}
    for ours, theirs in (("start", "from"), ("end", "to")):
        if ours in filters:
            filters[theirs] = filters.pop(ours)
    if "number" in filters:
        filters["number"] = e164_of(filters["number"], "number", allow_special=True)
    if "numbers" in filters:
        wanted = [each for each in filters["numbers"].split(",") if each.strip()]
        filters["numbers"] = [e164_of(each, "numbers", allow_special=True) for each in wanted]
    if "outcome" in filters:
        filters["outcome"] = filters["outcome"].split(",")
    return filters


class CallBody(Body, kw_only=True):
    """Click-to-call by an operator: `extension` rings first, `number` is dialled when it answers (S100-01).

    `line_id` 0 = a free trunk of the group; `site` may be left out when there is only one.
    """

    extension: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
    number: Annotated[str, Meta(min_length=1, max_length=40)]
    site: str = ""
    line_id: IdOrZero = 0
    group_id: IdOrZero = 0


@routes.post("/calls", permission=Permission.STEER, body=CallBody, reply=Accepted, status=202)
async def place_call(ask: Ask) -> Reply:
    """Ring an extension, then the number; follow it under the `attempt_id` given back."""
    body: CallBody = ask.body
    sites = ask.deps.site_ids
    if body.site and body.site not in sites:
        raise CommandError("site_unknown", {"site": body.site, "allowed": sorted(sites)})
    if not body.site and len(sites) != 1:
        raise CommandError("field_missing", {"field": "site"})
    group_id = scope.home_group(ask, body.group_id or None)
    if body.line_id:
        await scope.get(ask, Line, body.line_id)
    e164 = e164_of(body.number, "number", allow_special=True)
    await refuse_red_listed(ask.deps.store, group_id, e164)
    command = CallExtension(
        attempt_id=uuid7(ask.deps.clock.utcnow(), ask.deps.rng),
        site=body.site or sites[0],
        group_id=0 if ask.who.all_groups and not body.group_id else group_id,
        extension=body.extension,
        e164=e164,
        line_id=body.line_id,
        kind="test",
        by=ask.who.name,
    )
    async with ask.request.app[fraud.CAPS].hold(group_id, e164, settle_s=fraud.SETTLE_S):
        return await submit(ask, command)


@routes.get("/calls/{key}", permission=Permission.WATCH, reply=dict[str, Any])
async def read_call(ask: Ask) -> Reply:
    """One call by number or UUID, with its events; `live` while it is in progress."""
    key = key_of(ask.request.match_info["key"])
    live = live_call(ask, key)
    row = await _row(ask, key)
    if row is None and live is None:
        raise CommandError("not_found", {"what": f"call {ask.request.match_info['key'][:40]}"})
    return Reply({**shown(ask, row or {}), "live": live})


@routes.post("/calls/{key}/hang-up", permission=Permission.STEER, reply=Accepted, status=202)
async def hang_up(ask: Ask) -> Reply:
    """End a call in progress."""
    view = live_call(ask, key_of(ask.request.match_info["key"]))
    if view is None:
        raise CommandError("call_gone")
    return await submit(ask, HangUpCall(attempt_id=UUID(view.id), by=ask.who.name))


@routes.get("/calls/{key}/events", permission=Permission.WATCH, raw_body="text/event-stream")
async def follow_call(ask: Ask) -> web.StreamResponse:
    """Follow one call: `call` at each change, `end` with the stored attempt when it is over."""
    key = key_of(ask.request.match_info["key"])
    view = live_call(ask, key)
    if view is None and await _row(ask, key) is None:
        raise CommandError("not_found", {"what": "call"})
    return await follow(ask, key, view)


async def follow(ask: Ask, key: UUID | int, view: CallView | None) -> web.StreamResponse:
    """The stream of one call. Bounded: last states only, so a slow reader skips steps instead of piling them up."""
    latest: list[CallView | None] = [view]
    wake = asyncio.Event()
    wake.set()

    def heard(changes: Changes) -> None:
        if view is not None and view.id in changes.get("calls", {}):
            row = changes["calls"][view.id]
            latest[0] = row if isinstance(row, CallView) else None
            wake.set()

    auth, streams = ask.deps.auth, ask.deps.streams
    remove = ask.deps.door.listen(heard, ("calls",))
    auth.listeners.append(wake.set)
    streams.followers.append(wake)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    ask.deps.guard.add_headers(ask.request, response)
    try:
        await response.prepare(ask.request)
        async with asyncio.timeout(FOLLOW_S_MAX):
            await _tell(ask, response, key, latest, wake)
    except (TimeoutError, ConnectionError):
        pass
    finally:
        streams.followers.remove(wake)
        auth.listeners.remove(wake.set)
        remove()
    return response


async def _tell(
    ask: Ask, response: web.StreamResponse, key: UUID | int, latest: list[CallView | None], wake: asyncio.Event
) -> None:
    """Write the call's last state at each change, until it, the token or the daemon ends."""
    shown: CallView | None = None
    while True:
        with suppress(TimeoutError):  # a token revoked by another process is noticed as soon as on the live stream
            async with asyncio.timeout(BEAT_S):
                await wake.wait()
        wake.clear()
        if ask.deps.streams.closing or not await _stands(ask):
            return
        if latest[0] is None:
            await response.write(frame("end", {"call": await _ended(ask, key)}))
            return
        if latest[0] is not shown:
            shown = latest[0]
            await response.write(frame("call", shown))
        else:  # for proxies, which close what is silent, and to learn whether anybody reads
            await response.write(b": beat\n\n")


async def _stands(ask: Ask) -> bool:
    """Whether the token still stands; a lost database revokes nobody."""
    try:
        return await ask.deps.auth.still_valid(ask.who)
    except StoreUnavailable:
        return True


async def _ended(ask: Ask, key: UUID | int) -> dict[str, Any] | None:
    """The call as stored; None if the database can't be asked: the call is over all the same."""
    try:
        return await _row(ask, key)
    except StoreUnavailable:
        return None
