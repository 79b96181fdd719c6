"""What a principal may see of the configuration: by group, by campaign. What it may not see does not exist (404)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from daemon.api.routes import Ask, Principal, Reply
from daemon.calls.records import Campaign, Group, LeadList, Record
from daemon.errors import CommandError

R = TypeVar("R", bound=Record)
HIDDEN = frozenset({"sha256", "sealed", "source"})
"""Fields that no answer shows: hashes of tokens, sealed secrets; and a template's text, which is long."""


def group_of(row: Record) -> int:
    """The tenant a row belongs to."""
    return row.id if isinstance(row, Group) else int(getattr(row, "group_id", 0))


def visible(who: Principal, row: Record) -> bool:
    """Whether the row exists for this principal."""
    if isinstance(row, Campaign):
        return who.sees_campaign(row.group_id, row.id)
    return who.sees_group(group_of(row))


async def get(ask: Ask, kind: type[R], id: int) -> R:
    """The row, or not_found."""
    row = await ask.deps.store.get(kind, id) if 0 < id <= 2_147_483_647 else None
    if row is None or not visible(ask.who, row):
        raise CommandError("not_found", {"what": f"{kind.__name__} {id}"})
    return row


async def all_of(ask: Ask, kind: type[R], group_id: int = 0) -> list[R]:
    """All rows of a kind the principal may see, by id; of one group if named."""
    who = ask.who
    if kind is Group:
        rows: list[R] = await ask.deps.store.find(kind)
        return [row for row in rows if visible(who, row) and group_id in (0, row.id)]
    if who.all_groups and not group_id:
        return list(await ask.deps.store.find(kind))
    wanted = group_id or who.group_id
    if not who.sees_group(wanted):
        return []
    return [row for row in await ask.deps.store.find(kind, group_id=wanted) if visible(who, row)]


async def lists_in_sight(ask: Ask, group_id: int) -> set[int] | None:
    """Of a token limited to some campaigns: the lists that these dial. None: every list of the group."""
    if not ask.who.campaign_ids:
        return None
    return {id for row in await all_of(ask, Campaign, group_id) for id in row.list_ids}


async def check_list(ask: Ask, row: LeadList) -> None:
    """Raises not_found for a list that none of the campaigns dials to which the token is limited."""
    lists = await lists_in_sight(ask, row.group_id)
    if lists is not None and row.id not in lists:
        raise CommandError("not_found", {"what": f"LeadList {row.id}"})


async def check_campaign(ask: Ask, campaign_id: int | None) -> None:
    """For a query over calls: the campaign named must be visible; who sees some campaigns only must name one."""
    if campaign_id:
        await get(ask, Campaign, campaign_id)
    elif ask.who.campaign_ids:
        raise CommandError("field_missing", {"field": "campaign_id"})


def home_group(ask: Ask, given: object) -> int:
    """The group a new row goes to: the one given if permitted, else the principal's own."""
    group_id = given if isinstance(given, int) and given else ask.who.group_id
    if not ask.who.sees_group(group_id):
        raise CommandError("group_forbidden", {"group": group_id})
    return group_id


def etag(version: int) -> str:
    return f'"{version}"'


def with_etag(row: Any, status: int = 200) -> Reply:
    """A row with its ETag."""
    return Reply(row, status, {"ETag": etag(row.version)})


def if_match(ask: Ask, current: Record) -> int | None:
    """The version a write is based on. Raises 428 without If-Match, 412 when stale; `*` means whatever is there."""
    header = ask.request.headers.get("If-Match", "").strip()
    if not header:
        raise CommandError("precondition_required")
    if header == "*":
        return None
    if header not in (etag(current.version), f"W/{etag(current.version)}"):
        shown = {k: v for k, v in msgspec.structs.asdict(current).items() if k not in HIDDEN}
        raise CommandError("changed_meanwhile", {"current": msgspec.to_builtins(shown), "version": current.version})
    return current.version
