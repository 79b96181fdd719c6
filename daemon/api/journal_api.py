"""Who changed a campaign and how, old and new value: the Journal of its page, read from the audit log (journal.sql)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Id, Limit, Query
from daemon.calls.records import Campaign

routes = Routes("/api/v1", "configuration")
WAS = "_was"
"""The engine notes scalars only: the old value of `speed` stands beside it as `speed_was`."""


class JournalQuery(Query, kw_only=True):
    """`before`: only entries older than this one's id."""

    before: Id | None = None
    limit: Limit = 100


class Change(Answer, kw_only=True):
    """One field: its value before (null: not known) and after."""

    field: str
    was: Any = None
    now: Any = None


class Entry(Answer, kw_only=True):
    """`what`: created, changed, deleted, tuned, running, paused, stopped."""

    id: int
    at: datetime
    by: str
    what: str
    changes: list[Change]


@routes.get("/campaigns/{id}/journal", permission=Permission.WATCH, query=JournalQuery, reply=list[Entry])
async def campaign_journal(ask: Ask) -> Reply:
    """Who changed this campaign, newest first: its settings, state, mode and speed."""
    campaign = await scope.get(ask, Campaign, ask.id)
    query = ask.query
    rows = await ask.deps.store.report(
        "journal", target=str(campaign.id), kind="campaign", limit=query.limit, before=query.before
    )
    return Reply([_entry(row) for row in rows])


def _entry(row: dict[str, Any]) -> Entry:
    detail = row["detail"]
    changes = []
    for field, value in detail.items():
        if field.endswith(WAS):
            continue
        was, now = value if isinstance(value, list) and len(value) == 2 else (detail.get(field + WAS), value)
        changes.append(Change(field=field, was=was, now=now))
    what = row["what"].partition(".")[2]
    return Entry(id=row["id"], at=row["at"], by=row["by"], what=what, changes=changes)
