"""Missed calls: one task a caller whom nobody talked with, for its owner or for everybody (ZAD-08, ZAD-09)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from daemon.api.leads_api import shown
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Accepted, Answer, Limit, Query
from daemon.calls.records import Role
from daemon.errors import CommandError
from daemon.ports import TapeStore

routes = Routes("/api/v1", "inbound")


class MissedQuery(Query, kw_only=True):
    done: bool = False
    limit: Limit = 100


class MissedAnswer(Answer, kw_only=True):
    """`owner_agent_id` 0: everybody's; `due_at`: to be called back from then on."""

    rows: list[dict[str, Any]]


def _store(ask: Ask) -> TapeStore:
    store = ask.deps.store
    if not isinstance(store, TapeStore):
        raise CommandError("not_found", {"what": "missed calls"})
    return store


async def _rows(ask: Ask, *, done: bool, limit: int, key: UUID | None = None) -> list[dict[str, Any]]:
    """What the token may see: an agent the own tasks and those of everybody. The store leaves the others out, lest
    many of them stand before the own ones."""
    who = ask.who
    return await _store(ask).missed_calls(
        None if who.all_groups else who.group_id,
        done=done,
        limit=limit,
        owner=who.agent_id if who.role is Role.AGENT else None,
        campaign_ids=who.campaign_ids,
        attempt_id=key,
    )


@routes.get("/missed-calls", permission=Permission.DESK, query=MissedQuery, reply=MissedAnswer)
async def missed_calls(ask: Ask) -> Reply:
    """Missed calls that wait to be called back, oldest first; or those done, the last first. Agents, who are to call
    them, see the numbers of their tasks whole, as in all of their own desk; a supervisor sees them masked."""
    rows = await _rows(ask, done=ask.query.done, limit=ask.query.limit)
    return Reply(MissedAnswer(rows=rows if ask.who.role is Role.AGENT else [shown(ask, row) for row in rows]))


@routes.post("/missed-calls/{key}/done", permission=Permission.DESK, reply=Accepted, extra=(404,))
async def tick_off(ask: Ask) -> Reply:
    """The caller was called back, or needs no more. Idempotent."""
    try:
        key = UUID(ask.request.match_info["key"])
    except ValueError as error:
        raise CommandError("not_found", {"what": "missed call"}) from error
    if not (await _rows(ask, done=False, limit=1, key=key) or await _rows(ask, done=True, limit=1, key=key)):
        raise CommandError("not_found", {"what": "missed call"})
    if await _store(ask).missed_call_done(key, ask.deps.clock.utcnow(), ask.who.name):
        await ask.deps.store.note(ask.who.name, "missed_call.done", str(key), {})
    return Reply(Accepted())
