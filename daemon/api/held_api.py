"""What holds leads back: counts by list, and the leads behind each count with their instant of release (pages.md 2)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from daemon.api import scope
from daemon.api.leads_api import shown
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import After, Answer, GroupQuery, Id, IdOrZero, Limit, Query
from daemon.calls.records import Campaign, LeadList
from daemon.errors import CommandError

routes = Routes("/api/v1", "leads")


class ListCounts(Answer, kw_only=True):
    """A list's leads: `total` = `due` + `held`, always; `by_reason` splits those held."""

    list_id: int
    total: int
    due: int
    held: int
    by_reason: dict[str, int]


class CountsAnswer(Answer, kw_only=True):
    computed_at: datetime
    lists: list[ListCounts]


class HeldQuery(Query, kw_only=True):
    """Of one list, of all lists of a campaign, or of a group. `reason`: `due`, or what a count names."""

    reason: Annotated[str, Meta(pattern=r"^[a-z_]{1,40}$")] = "due"
    list_id: Id | None = None
    campaign_id: Id | None = None
    group_id: IdOrZero = 0
    limit: Limit = 50
    after: After | None = None


class HeldPage(Answer, kw_only=True):
    """Leads in order of release: `eligible_at`; null = ready, or (`blocked_by` named) freed by no instant."""

    computed_at: datetime
    rows: list[dict[str, Any]]
    next_after: str | None = None


@routes.get("/lead-counts", permission=Permission.WATCH, query=GroupQuery, reply=CountsAnswer)
async def lead_counts(ask: Ask) -> Reply:
    """How many leads each list has: all, due, held by reason. Sums kept as leads change: no list is read for it."""
    group_id = scope.home_group(ask, ask.query.group_id)
    now = ask.deps.clock.utcnow()
    found = await ask.deps.store.list_counts(group_id, now)
    lists = await _lists(ask, group_id)
    return Reply(CountsAnswer(computed_at=now, lists=[_counts(id, found.get(id, {})) for id in lists]))


async def _lists(ask: Ask, group_id: int) -> list[int]:
    """The group's lists, as far as the token sees them."""
    seen = await scope.lists_in_sight(ask, group_id)
    return [row.id for row in await scope.all_of(ask, LeadList, group_id) if seen is None or row.id in seen]


def _counts(list_id: int, counts: dict[str, int]) -> ListCounts:
    due, total = counts.get("due", 0), sum(counts.values())
    held = {reason: n for reason, n in counts.items() if reason != "due"}
    return ListCounts(list_id=list_id, total=total, due=due, held=total - due, by_reason=held)


@routes.get("/held-leads", permission=Permission.WATCH, query=HeldQuery, reply=HeldPage)
async def held_leads(ask: Ask) -> Reply:
    """The leads that a count by reason counts, with their instant of release; pages read along an index."""
    query: HeldQuery = ask.query
    if query.campaign_id:
        lists = (await scope.get(ask, Campaign, query.campaign_id)).list_ids
    elif query.list_id:
        row = await scope.get(ask, LeadList, query.list_id)
        await scope.check_list(ask, row)
        lists = [row.id]
    else:
        lists = await _lists(ask, scope.home_group(ask, query.group_id))
    now = ask.deps.clock.utcnow()
    try:
        page = await ask.deps.store.held_leads(lists, query.reason, now, query.limit, query.after)
    except ValueError as error:
        allowed = "next_after of the page before"
        raise CommandError("field_invalid", {"field": "after", "value": query.after, "allowed": allowed}) from error
    rows = [shown(ask, row) for row in page.rows]
    return Reply(HeldPage(computed_at=now, rows=rows, next_after=page.next_after))
