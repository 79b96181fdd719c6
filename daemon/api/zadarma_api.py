"""Zadarma's cloud PBX: the link's settings, its account, and whose extension is whose.

The work is daemon.crm.zadarma's, given by the composition root. No answer holds key or secret. Docs: docs/zadarma.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Body, GroupQuery, Id, IdOrZero
from daemon.calls.records import Agent, LeadList, MissedOwner
from daemon.calls.zadarma_records import ZadarmaLink, ZadarmaUser
from daemon.errors import CommandError

routes = Routes("/api/v1/zadarma", "crm")
Phone = Annotated[str, Meta(pattern=r"^[0-9]{2,10}$")]
Words = Annotated[str, Meta(max_length=200)]
HttpsUrl = Annotated[str, Meta(pattern=r"^https?://[^\s<>\"\\?#]{1,300}$")]
FeedUrl = Annotated[str, Meta(pattern=r"^(https?://[^\s<>\"\\]{1,500})?$")]


class ZadarmaDoor(Protocol):
    """What the routes need of daemon.crm.zadarma."""

    def seal(self, link_group: int, secret: str) -> str: ...
    async def from_files(self, group_id: int) -> bool: ...
    async def extensions(self, link: ZadarmaLink) -> list[str]: ...
    async def balance(self, link: ZadarmaLink) -> dict[str, Any]: ...
    async def callback(self, link: ZadarmaLink, start: str, to: str, sip: str, predicted: bool) -> None: ...
    async def notified(
        self, link: ZadarmaLink, peer: str, signature: str, body: bytes, tell: Callable[[int, dict[str, Any]], None]
    ) -> dict[str, Any]: ...


class ZadarmaLinkView(Answer, kw_only=True):
    """`notify_path`: where Zadarma is to send its notifications, behind this daemon's address. `from_files`: key and
    secret are files named by the settings, and can't be entered."""

    id: int
    version: int
    group_id: int
    enabled: bool
    key_set: bool
    secret_set: bool
    from_files: bool
    notify_path: str
    addresses: list[str]
    api_url: str
    create_lead: bool
    redirect: bool
    show_name: bool
    call_back: bool
    blacklist: bool
    list_id: int
    missed_call_owner: str
    default_agent_id: int
    feed_url: str


class ZadarmaLinks(Answer, kw_only=True):
    rows: list[ZadarmaLinkView]


class ZadarmaPatch(Body, kw_only=True):
    """What is left out stays as it is; the link is made at the first time. An empty `secret` is none given."""

    group_id: IdOrZero = 0
    enabled: bool | UnsetType = UNSET
    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,100}$")] | UnsetType = UNSET
    secret: Words = ""
    addresses: Annotated[list[Annotated[str, Meta(max_length=60)]], Meta(max_length=20)] | UnsetType = UNSET
    api_url: HttpsUrl | UnsetType = UNSET
    create_lead: bool | UnsetType = UNSET
    redirect: bool | UnsetType = UNSET
    show_name: bool | UnsetType = UNSET
    call_back: bool | UnsetType = UNSET
    blacklist: bool | UnsetType = UNSET
    list_id: IdOrZero | UnsetType = UNSET
    missed_call_owner: MissedOwner | UnsetType = UNSET
    default_agent_id: IdOrZero | UnsetType = UNSET
    feed_url: FeedUrl | UnsetType = UNSET


class ZadarmaUserBody(Body, kw_only=True):
    agent_id: Id
    extension: Phone
    group_id: IdOrZero = 0


class ZadarmaUserRow(Answer, kw_only=True):
    id: int
    agent_id: int
    extension: str


class ZadarmaUsers(Answer, kw_only=True):
    """`free_agents`: of the group, without an extension yet."""

    rows: list[ZadarmaUserRow]
    free_agents: list[int]


class ZadarmaExtensions(Answer, kw_only=True):
    """`free`: those nobody has yet."""

    all: list[str]
    free: list[str]


class ZadarmaBalance(Answer, kw_only=True):
    balance: float
    currency: str


def door_of(ask: Ask) -> ZadarmaDoor:
    """Raises CommandError `not_available`."""
    if ask.deps.zadarma is None:
        raise CommandError("not_available", {"what": "zadarma"})
    return ask.deps.zadarma


async def link_of(ask: Ask, group_id: int) -> ZadarmaLink:
    """The link of the group, 0 = the principal's own. Raises CommandError `not_found`."""
    rows = await ask.deps.store.find(ZadarmaLink, group_id=scope.home_group(ask, group_id))
    if not rows:
        raise CommandError("not_found", {"what": "zadarma"})
    return rows[0]


async def _shown(ask: Ask, link: ZadarmaLink) -> ZadarmaLinkView:
    known = msgspec.structs.asdict(link)
    shown = {name: known[name] for name in ZadarmaLinkView.__struct_fields__ if name in known}
    path = f"{routes.prefix}/notify/{link.id}"
    files = await _from_files(ask, link.group_id)
    key_set, secret_set = files or bool(link.key), files or bool(link.sealed)
    return ZadarmaLinkView(**shown, key_set=key_set, secret_set=secret_set, from_files=files, notify_path=path)


async def _from_files(ask: Ask, group_id: int) -> bool:
    return ask.deps.zadarma is not None and await ask.deps.zadarma.from_files(group_id)


async def _view(ask: Ask, link: ZadarmaLink) -> Reply:
    return Reply(await _shown(ask, link), headers={"ETag": scope.etag(link.version)})


@routes.get("/links", permission=Permission.ADMINISTER, query=GroupQuery, reply=ZadarmaLinks)
async def list_links(ask: Ask) -> Reply:
    """The link of the group, if it has one: what the page asks."""
    rows = await ask.deps.store.find(ZadarmaLink, group_id=scope.home_group(ask, ask.query.group_id))
    return Reply(ZadarmaLinks(rows=[await _shown(ask, link) for link in rows]))


@routes.get("/link", permission=Permission.ADMINISTER, query=GroupQuery, reply=ZadarmaLinkView, extra=(404,))
async def read_link(ask: Ask) -> Reply:
    """The group's link with Zadarma."""
    return await _view(ask, await link_of(ask, ask.query.group_id))


@routes.patch("/link", permission=Permission.ADMINISTER, body=ZadarmaPatch, reply=ZadarmaLinkView)
async def change_link(ask: Ask) -> Reply:
    """Make or change the group's link. The secret goes in and never comes out."""
    store, group_id = ask.deps.store, scope.home_group(ask, ask.body.group_id)
    known = await store.find(ZadarmaLink, group_id=group_id)
    link = known[0] if known else ZadarmaLink(group_id=group_id)
    names = [name for name in ZadarmaPatch.__struct_fields__ if name not in ("group_id", "secret")]
    changes = {name: value for name in names if (value := getattr(ask.body, name)) is not UNSET}
    files = await _from_files(ask, group_id)
    if files and (ask.body.secret or changes.get("key")):
        allowed = "none: key and secret of this group are the files named in the settings"
        raise CommandError("field_invalid", {"field": "secret", "value": "", "allowed": allowed})
    if ask.body.secret:
        changes["sealed"] = door_of(ask).seal(group_id, ask.body.secret)
    after = msgspec.structs.replace(link, **changes)
    await _check(ask, after, files)
    row = await store.update(ZadarmaLink, link.id, changes, link.version) if known else await store.create(after)
    shown = ", ".join("secret" if name == "sealed" else name for name in sorted(changes))
    await store.note(ask.who.name, "zadarma.changed", f"zadarma:{row.id}", {"group_id": group_id, "changed": shown})
    return await _view(ask, row)


async def _check(ask: Ask, link: ZadarmaLink, files: bool) -> None:
    """Raises field_invalid for what can't work."""
    for each in link.addresses:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError as error:
            allowed = "addresses or networks such as 185.45.152.42"
            raise CommandError("field_invalid", {"field": "addresses", "value": each, "allowed": allowed}) from error
    wanted: list[tuple[str, type[LeadList] | type[Agent], int]]
    wanted = [("list_id", LeadList, link.list_id), ("default_agent_id", Agent, link.default_agent_id)]
    for field, kind, id in wanted:
        row = await ask.deps.store.get(kind, id) if id else None
        if id and (row is None or row.group_id != link.group_id):
            raise CommandError("field_invalid", {"field": field, "value": id, "allowed": "one of the group's own"})
    if link.create_lead and not link.list_id:
        raise CommandError("field_missing", {"field": "list_id"})
    if link.missed_call_owner is MissedOwner.DEFAULT_USER and not link.default_agent_id:
        raise CommandError("field_missing", {"field": "default_agent_id"})
    if link.enabled and not files and not (link.key and link.sealed):
        raise CommandError("field_missing", {"field": "secret" if link.key else "key"})


@routes.get("/balance", permission=Permission.ADMINISTER, query=GroupQuery, reply=ZadarmaBalance, extra=(404, 501, 502))
async def read_balance(ask: Ask) -> Reply:
    """The account's balance; Zadarma is asked once a minute at most."""
    link = await link_of(ask, ask.query.group_id)
    return Reply(ZadarmaBalance(**await door_of(ask).balance(link)))


@routes.get(
    "/extensions", permission=Permission.ADMINISTER, query=GroupQuery, reply=ZadarmaExtensions, extra=(404, 501, 502)
)
async def list_extensions(ask: Ask) -> Reply:
    """The account's extensions, and which of them can still be given to somebody."""
    link = await link_of(ask, ask.query.group_id)
    taken = {user.extension for user in await ask.deps.store.find(ZadarmaUser, link_id=link.id)}
    found = await door_of(ask).extensions(link)
    return Reply(ZadarmaExtensions(all=found, free=[each for each in found if each not in taken]))


@routes.get("/users", permission=Permission.ADMINISTER, query=GroupQuery, reply=ZadarmaUsers, extra=(404,))
async def list_users(ask: Ask) -> Reply:
    """Whose extension is whose."""
    link = await link_of(ask, ask.query.group_id)
    users = await ask.deps.store.find(ZadarmaUser, link_id=link.id)
    taken = {user.agent_id for user in users}
    agents = await ask.deps.store.find(Agent, group_id=link.group_id)
    rows = [ZadarmaUserRow(id=user.id, agent_id=user.agent_id, extension=user.extension) for user in users]
    return Reply(ZadarmaUsers(rows=rows, free_agents=[agent.id for agent in agents if agent.id not in taken]))


@routes.post("/users", permission=Permission.ADMINISTER, body=ZadarmaUserBody, reply=ZadarmaUserRow, status=201)
async def add_user(ask: Ask) -> Reply:
    """Give an extension to an agent: each has one at most, and nobody shares one (409)."""
    link = await link_of(ask, ask.body.group_id)
    agent = await scope.get(ask, Agent, ask.body.agent_id)
    if agent.group_id != link.group_id:
        raise CommandError("not_found", {"what": f"Agent {agent.id}"})
    user = await ask.deps.store.create(
        ZadarmaUser(group_id=link.group_id, link_id=link.id, agent_id=agent.id, extension=ask.body.extension)
    )
    await ask.deps.store.note(ask.who.name, "zadarma.user_added", f"agent:{agent.id}",
                              {"group_id": link.group_id, "extension": user.extension})  # fmt: skip
    shown = ZadarmaUserRow(id=user.id, agent_id=user.agent_id, extension=user.extension)
    return Reply(shown, 201, {"ETag": scope.etag(user.version)})


@routes.delete("/users/{id}", permission=Permission.ADMINISTER, status=204)
async def remove_user(ask: Ask) -> Reply:
    """Take an agent's extension away; it is offered again."""
    user = await scope.get(ask, ZadarmaUser, ask.id)
    await ask.deps.store.delete(ZadarmaUser, user.id, None)
    await ask.deps.store.note(ask.who.name, "zadarma.user_removed", f"agent:{user.agent_id}",
                              {"group_id": user.group_id, "extension": user.extension})  # fmt: skip
    return Reply(status=204)
