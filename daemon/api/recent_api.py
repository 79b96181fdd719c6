"""The last minutes, for plots and lists that would else begin empty: calls and agents' time by minute, what changed.

A query of at most RECENT_MINUTES_MAX minutes over rows by time (calls_by_minute.sql, agents_by_minute.sql,
changes.sql); the pages ask when they open, and go on by the stream.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Id, IdOrZero, Query

routes = Routes("/api/v1", "live")
RECENT_MINUTES_MAX = 240
EVENTS_MAX = 500


class RecentQuery(Query, kw_only=True):
    """`minutes` back from now; of one campaign, or of all that the token sees."""

    minutes: Annotated[int, Meta(ge=1, le=RECENT_MINUTES_MAX)] = 120
    campaign_id: Id | None = None
    group_id: IdOrZero = 0


class MinuteOfCalls(Answer, kw_only=True):
    """Calls placed in the minute that begins at `minute`; `live`: answered by a person."""

    campaign_id: int
    minute: datetime
    placed: int
    connected: int
    live: int
    abandoned: int


class MinuteOfAgents(Answer, kw_only=True):
    """Agents' seconds in a minute; `waits` ended in it by a call, `waited_s` long together."""

    minute: datetime
    handling_s: float
    ready_s: float
    waits: int
    waited_s: float


class Happened(Answer, kw_only=True):
    """`kind` campaign, link, agent or call (a conversation began); `id`: campaign, site, agent or the call's number;
    `what`: campaign.tuned, campaign.paused, down, signed_out, talking, …"""

    at: datetime
    kind: str
    id: str
    what: str
    by: str
    detail: dict[str, Any]


class Recent(Answer, kw_only=True):
    """Minutes without anything are left out; `events` newest first."""

    computed_at: datetime
    start: datetime
    calls: list[MinuteOfCalls]
    agents: list[MinuteOfAgents]
    events: list[Happened]


@routes.get("/recent", permission=Permission.WATCH, query=RecentQuery, reply=Recent)
async def recent(ask: Ask) -> Reply:
    """Calls and agents' time of the last minutes, and what changed in them."""
    query: RecentQuery = ask.query
    await scope.check_campaign(ask, query.campaign_id)
    now = ask.deps.clock.utcnow()
    start = (now - timedelta(minutes=query.minutes)).replace(second=0, microsecond=0)
    given: dict[str, Any] = {"start": start, "end": now}
    if query.group_id or not ask.who.all_groups:  # else all groups, as the live view shows them
        given["group_id"] = scope.home_group(ask, query.group_id)
    if query.campaign_id:
        given["campaign_id"] = query.campaign_id
    store = ask.deps.store
    return Reply(
        Recent(
            computed_at=now,
            start=start,
            calls=[MinuteOfCalls(**row) for row in await store.report("calls_by_minute", **given)],
            agents=[MinuteOfAgents(**row) for row in await store.report("agents_by_minute", **given)],
            events=[Happened(**row) for row in await store.report("changes", **given, limit=EVENTS_MAX)],
        )
    )
