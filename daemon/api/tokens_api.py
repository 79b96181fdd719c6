"""Tokens: made (and shown once), listed without their secret, rotated, revoked at once (features C2C-04, ROLE-03)."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.api import scope
from daemon.api.auth import expiry_of, hash_of, new_token
from daemon.api.config_api import tell_engine
from daemon.api.routes import RIGHTS, Ask, Permission, Reply, Routes
from daemon.api.types import Answer, ListQuery, TokenCreate, TokenOnce, TokenView, token_view
from daemon.calls.records import Agent, ApiToken, Campaign, Group, Role
from daemon.engine.commands import ConfigChanged
from daemon.errors import CommandError

routes = Routes("/api/v1/tokens", "access")


class TokenPage(Answer, kw_only=True):
    rows: list[TokenView]
    next_after: int | None = None


def _check_rights(ask: Ask, body: TokenCreate) -> None:
    """Nobody gives a token more than they hold themselves."""
    if body.all_groups and not ask.who.all_groups:
        raise CommandError("group_forbidden", {"group": "all"})
    if not RIGHTS[body.role] <= RIGHTS[ask.who.role]:
        raise CommandError("forbidden", {"role": ask.who.role.value, "permission": body.role.value})
    if ask.who.campaign_ids and not (body.campaign_ids and set(body.campaign_ids) <= ask.who.campaign_ids):
        raise CommandError("field_invalid", _field("campaign_ids", body.campaign_ids, "campaigns of your own token"))


def _check_reach(ask: Ask, row: ApiToken) -> None:
    """Who renews a token is given it, and who ends one takes it away: neither for a token that reaches further."""
    if row.all_groups and not ask.who.all_groups:
        raise CommandError("group_forbidden", {"group": "all"})
    if ask.who.campaign_ids and not (row.campaign_ids and set(row.campaign_ids) <= ask.who.campaign_ids):
        raise CommandError("forbidden", {"role": ask.who.role.value, "permission": "all campaigns"})


def _field(name: str, value: Any, allowed: str) -> dict[str, Any]:
    return {"field": name, "value": value, "allowed": allowed}


async def _check_references(ask: Ask, body: TokenCreate, group_id: int) -> Group:
    store = ask.deps.store
    group = await store.get(Group, group_id)
    if group is None:
        raise CommandError("field_invalid", _field("group_id", group_id, "an existing group"))
    if body.agent_id:
        agent = await store.get(Agent, body.agent_id)
        if agent is None or agent.group_id != group_id:
            raise CommandError("field_invalid", _field("agent_id", body.agent_id, "an agent of this group"))
    elif body.role is Role.AGENT and body.kind.value == "operator":
        raise CommandError("field_missing", {"field": "agent_id"})
    if body.campaign_ids:
        known = {row.id for row in await store.find(Campaign, group_id=group_id)}
        if not set(body.campaign_ids) <= known:
            raise CommandError("field_invalid", _field("campaign_ids", body.campaign_ids, "campaigns of this group"))
    return group


def _once(ask: Ask, row: ApiToken, token: str) -> TokenOnce:
    view = msgspec.structs.asdict(token_view(row, ask.deps.clock.utcnow()))
    return TokenOnce(**view, token=token)


@routes.get("", permission=Permission.ADMINISTER, query=ListQuery, reply=TokenPage)
async def list_tokens(ask: Ask) -> Reply:
    """Tokens of the group, without their secrets."""
    now = ask.deps.clock.utcnow()
    rows = [r for r in await scope.all_of(ask, ApiToken, ask.query.group_id) if r.id > ask.query.after]
    rows.sort(key=lambda row: row.id)
    page, more = rows[: ask.query.limit], len(rows) > ask.query.limit
    return Reply(TokenPage(rows=[token_view(r, now) for r in page], next_after=page[-1].id if more else None))


@routes.get("/{id}", permission=Permission.ADMINISTER, reply=TokenView)
async def read_token(ask: Ask) -> Reply:
    """One token, without its secret."""
    row = await scope.get(ask, ApiToken, ask.id)
    return Reply(token_view(row, ask.deps.clock.utcnow()), 200, {"ETag": scope.etag(row.version)})


@routes.post("", permission=Permission.ADMINISTER, body=TokenCreate, reply=TokenOnce, status=201)
async def create_token(ask: Ask) -> Reply:
    """Make a token. This answer is the only one that ever shows it."""
    body: TokenCreate = ask.body
    group_id = scope.home_group(ask, body.group_id)
    _check_rights(ask, body)
    group = await _check_references(ask, body, group_id)
    now = ask.deps.clock.utcnow()
    token = new_token(body.kind, group.code, ask.deps.token_bytes)
    row = await ask.deps.store.create(
        ApiToken(
            group_id=group_id,
            kind=body.kind,
            name=body.name,
            role=body.role,
            all_groups=body.all_groups,
            campaign_ids=body.campaign_ids,
            agent_id=body.agent_id,
            sha256=hash_of(token),
            tail=token[-4:],
            expires_at=expiry_of(now, body.days),
            created_at=now,
        )
    )
    await _changed(ask, row, "created")
    return Reply(_once(ask, row, token), 201, {"Location": f"/api/v1/tokens/{row.id}"})


@routes.post("/{id}/rotate", permission=Permission.ADMINISTER, reply=TokenOnce)
async def rotate_token(ask: Ask) -> Reply:
    """Replace a token's secret: the old one stops at once, the new one is shown once."""
    current = await scope.get(ask, ApiToken, ask.id)
    _check_reach(ask, current)
    group = await ask.deps.store.get(Group, current.group_id)
    token = new_token(current.kind, group.code if group else "", ask.deps.token_bytes)
    changes = {"sha256": hash_of(token), "tail": token[-4:], "disabled_at": None, "last_used_at": None}
    row = await ask.deps.store.update(ApiToken, current.id, changes, None)
    await _changed(ask, row, "rotated")
    return Reply(_once(ask, row, token))


@routes.delete("/{id}", permission=Permission.ADMINISTER, status=204)
async def revoke_token(ask: Ask) -> Reply:
    """Disable a token now: its next request fails and its open streams close. The row stays, for the audit."""
    current = await scope.get(ask, ApiToken, ask.id)
    _check_reach(ask, current)
    if current.disabled_at is None:
        now = ask.deps.clock.utcnow()
        await ask.deps.store.update(ApiToken, current.id, {"disabled_at": now}, None)
        await _changed(ask, current, "revoked")
    return Reply(None, 204)


async def _changed(ask: Ask, row: ApiToken, done: str) -> None:
    """In force at once, then into the audit log (features ROLE-03)."""
    ask.deps.auth.forget()
    await ask.deps.store.note(ask.who.name, f"token.{done}", str(row.id), audited(row))
    await tell_engine(ask, ConfigChanged(table="ApiToken", ids=(row.id,), by=ask.who.name))


def audited(row: ApiToken) -> dict[str, Any]:
    """What the audit log holds of a token: enough to know it by, nothing to use it with."""
    what = {"name": row.name, "kind": row.kind.value, "role": row.role.value, "ends_with": row.tail}
    return {**what, "group_id": row.group_id, "all_groups": row.all_groups}
