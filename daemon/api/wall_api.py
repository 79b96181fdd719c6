"""Pairing a wall screen: it shows six digits, a supervisor types them in, and the screen gets a token of its own.

The screen keeps a key that nobody sees; the digits only say which screen is meant. The token has the role `wall`: live
counts of the supervisor's group and campaigns, no person's name, no number, no command. Nothing is kept over a restart:
an unpaired screen then shows new digits.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from daemon.api import scope
from daemon.api.auth import hash_of, new_token
from daemon.api.guard import PEER
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.session_api import view_of, with_cookie
from daemon.api.types import Answer, Body, Name, SessionView, TokenView, token_view
from daemon.calls.records import ApiToken, Group, Role, TokenKind
from daemon.errors import CommandError

CODE_TTL_S = 600.0
WAITING_MAX = 200
"""Screens waiting at once; more than any site has, few enough that digits can't be guessed by asking for many."""
WAITING_OF_ADDRESS_MAX = 20
"""Of one address: who asks for more loses the own oldest, and takes no place from the screens of others."""
SCREEN_DAYS = 400
"""A screen stays signed in for as long as browsers keep a cookie: nobody signs in there each month."""

routes = Routes("/api/v1/wall", "access")


@dataclass(slots=True)
class Waiting:
    """A screen that shows its digits. `token` once it is paired."""

    key: str
    until: float
    address: str = ""
    token: str = field(default="", repr=False)


class WallCode(Answer, kw_only=True):
    """`code` is for the screen, `key` for its script: it asks with it whether somebody has typed the code."""

    code: str
    key: str
    expires_in_s: float


class ClaimBody(Body, kw_only=True):
    key: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")]


class Claim(Answer, kw_only=True):
    """`session` once the code was typed: the screen is then signed in; null until then."""

    session: SessionView | None = None


class PairBody(Body, kw_only=True):
    """`name`: how the screen is called in the list of tokens."""

    code: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    name: Name


def _swept(ask: Ask) -> dict[str, Waiting]:
    """The screens that still wait, by code."""
    now, waiting = ask.deps.clock.now(), ask.deps.walls
    for code in [code for code, entry in waiting.items() if entry.until <= now]:
        del waiting[code]
    return waiting


@routes.post("/codes", permission=Permission.PUBLIC, reply=WallCode, status=201)
async def new_code(ask: Ask) -> Reply:
    """Digits for a screen to show, good for ten minutes."""
    waiting, address = _swept(ask), ask.request[PEER]
    of_address = [code for code, entry in waiting.items() if entry.address == address and not entry.token]
    for code in of_address[: max(0, len(of_address) + 1 - WAITING_OF_ADDRESS_MAX)]:
        del waiting[code]
    if len(waiting) >= WAITING_MAX:
        raise CommandError("too_busy", {"what": "wall codes", "allowed": WAITING_MAX})
    while (code := f"{int.from_bytes(ask.deps.token_bytes(8)) % 1_000_000:06d}") in waiting:
        pass
    key = ask.deps.token_bytes(20).hex()
    waiting[code] = Waiting(key, ask.deps.clock.now() + CODE_TTL_S, address)
    return Reply(WallCode(code=code, key=key, expires_in_s=CODE_TTL_S), 201)


@routes.post("/claim", permission=Permission.PUBLIC, body=ClaimBody, reply=Claim, extra=(404,))
async def claim(ask: Ask) -> Reply | web.StreamResponse:
    """Sign the screen in if its code was typed; 404 once the code is too old."""
    for code, entry in _swept(ask).items():
        if hmac.compare_digest(entry.key, ask.body.key):
            if not entry.token:
                return Reply(Claim())
            del ask.deps.walls[code]
            who = await ask.deps.auth.by_token(entry.token)
            return with_cookie(ask, Claim(session=await view_of(ask, who)), entry.token, SCREEN_DAYS)
    raise CommandError("not_found", {"what": "wall code"})


@routes.post("/pair", permission=Permission.STEER, body=PairBody, reply=TokenView, status=201)
async def pair(ask: Ask) -> Reply:
    """Let the screen that shows these digits see the live counts of this supervisor's group and campaigns."""
    deps, who = ask.deps, ask.who
    entry = _swept(ask).get(ask.body.code)
    if entry is None or entry.token:
        raise CommandError("not_found", {"what": f"wall code {ask.body.code}"})
    group_id = scope.home_group(ask, 0)
    group = await deps.store.get(Group, group_id)
    token = new_token(TokenKind.OPERATOR, group.code if group else "", deps.token_bytes)
    now = deps.clock.utcnow()
    row = await deps.store.create(
        ApiToken(
            group_id=group_id,
            name=ask.body.name,
            role=Role.WALL,
            campaign_ids=sorted(who.campaign_ids),
            sha256=hash_of(token),
            tail=token[-4:],
            created_at=now,
        )
    )
    entry.token = token
    await deps.store.note(who.name, "token.wall", str(row.id), {"name": row.name})
    return Reply(token_view(row, now), 201)
