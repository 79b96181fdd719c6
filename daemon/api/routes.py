"""The route table: every route declares who may use it, what it takes and what it gives; OpenAPI is drawn from it.

Deny by default: a route without a permission cannot be added, and the app is built from this table alone (features
ROLE-01). Handlers take an `Ask` and return a `Reply`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aiohttp import web

from daemon.calls.records import Role, TokenKind
from daemon.errors import CommandError

if TYPE_CHECKING:
    from daemon.api.deps import Deps


class Permission(StrEnum):
    """A right. Roles hold them (RIGHTS); PUBLIC needs no token; C2C and LEADS_API belong to the token kinds."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    LIVE = "live"
    DESK = "desk"
    WATCH = "watch"
    STEER = "steer"
    MANAGE = "manage"
    ADMINISTER = "administer"
    C2C = "click2call"
    LEADS_API = "leads_api"


_WALL = frozenset({Permission.SIGNED_IN, Permission.LIVE})
_AGENT = _WALL | {Permission.DESK}
_SUPERVISOR = _AGENT | {Permission.WATCH, Permission.STEER}
_MANAGER = _SUPERVISOR | {Permission.MANAGE}
RIGHTS: dict[Role, frozenset[Permission]] = {
    Role.WALL: _WALL,
    Role.AGENT: _AGENT,
    Role.SUPERVISOR: _SUPERVISOR,
    Role.MANAGER: _MANAGER,
    Role.ADMINISTRATOR: _MANAGER | {Permission.ADMINISTER},
}
KIND_RIGHTS: dict[TokenKind, frozenset[Permission]] = {
    TokenKind.CLICK2CALL: frozenset({Permission.C2C}),
    TokenKind.LEADS: frozenset({Permission.LEADS_API}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: one token. `campaign_ids` empty = all campaigns of the group; `all_groups` = every tenant."""

    token_id: int = 0
    group_id: int = 0
    name: str = ""
    kind: TokenKind = TokenKind.OPERATOR
    role: Role = Role.AGENT
    all_groups: bool = False
    campaign_ids: frozenset[int] = frozenset()
    agent_id: int = 0
    sha256: str = ""
    csrf: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether this token holds the right."""
        if permission is Permission.PUBLIC:
            return True
        if self.kind is not TokenKind.OPERATOR:
            return permission in KIND_RIGHTS[self.kind]
        return permission in RIGHTS[self.role]

    def sees_group(self, group_id: int) -> bool:
        return self.all_groups or group_id == self.group_id

    def sees_campaign(self, group_id: int, campaign_id: int) -> bool:
        return self.sees_group(group_id) and (not self.campaign_ids or campaign_id in self.campaign_ids)


NOBODY = Principal()


@dataclass(slots=True)
class Reply:
    """What a handler gives back: data (encoded as JSON), status, headers."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Ask:
    """A request as handlers see it: authenticated, permitted, its body and query already of their declared types."""

    request: web.Request
    deps: Deps
    who: Principal
    body: Any = None
    query: Any = None

    @property
    def id(self) -> int:
        """The `{id}` of the path. Raises not_found for what can't be an id."""
        return self.path_int("id")

    def path_int(self, name: str) -> int:
        text = self.request.match_info[name]
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise CommandError("not_found", {"what": self.request.path})
        return int(text)


Handler = Callable[[Ask], Awaitable[Reply | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the table. `told`: the body as the document tells it, where the handler reads it more leniently than
    a type can say (several missing fields named at once, nulls let pass); else the document tells of `body`."""

    method: str
    path: str
    permission: Permission
    handler: Handler
    summary: str
    tag: str
    body: Any = None
    told: Any = None
    query: Any = None
    reply: Any = None
    status: int = 200
    if_match: bool = False
    raw_body: str = ""
    style: str = "problem"
    extra: tuple[int, ...] = ()

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)


class Routes:
    """The table under construction. `prefix` goes before each path."""

    def __init__(self, prefix: str = "", tag: str = "") -> None:
        self.prefix, self.tag = prefix, tag
        self.table: list[Route] = []

    def add(self, method: str, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        """Decorator: adds the handler. Raises TypeError without a real permission: the build stops there."""
        if not isinstance(permission, Permission):
            raise TypeError(f"{method} {path}: a route needs a declared permission, got {permission!r}")

        def keep(handler: Handler) -> Handler:
            summary = more.pop("summary", "") or (handler.__doc__ or "").strip().split("\n")[0].rstrip(".")
            tag = more.pop("tag", self.tag)
            self.table.append(
                Route(
                    method=method,
                    path=self.prefix + path,
                    permission=permission,
                    handler=handler,
                    summary=summary,
                    tag=tag,
                    **more,
                )
            )
            return handler

        return keep

    def get(self, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("GET", path, permission=permission, **more)

    def post(self, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("POST", path, permission=permission, **more)

    def patch(self, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("PATCH", path, permission=permission, **more)

    def put(self, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("PUT", path, permission=permission, **more)

    def delete(self, path: str, *, permission: Permission, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("DELETE", path, permission=permission, **more)
