"""What the doors of CRM integrations take and give (daemon.api.crm_api)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from daemon.api.types import E164, Answer, Body, GroupQuery, IdOrZero, Limit, Name, Query, Uuid
from daemon.calls.crm_records import CrmUser

Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Field = Annotated[str, Meta(max_length=2000)]


class LogoQuery(GroupQuery, kw_only=True):
    """`v`: whatever makes a browser ask anew."""

    v: Annotated[str, Meta(max_length=20)] = ""


class TemplateRows(Answer, kw_only=True):
    """`id` 0: shipped. `fields`: what an integration asks for. `logo`: "", or its version."""

    rows: list[dict[str, Any]]


class RemoveTemplates(Body, kw_only=True):
    ids: Annotated[list[Annotated[int, Meta(ge=1, le=2_147_483_647)]], Meta(min_length=1, max_length=100)]


class Count(Answer, kw_only=True):
    count: int


class IntegrationCreate(Body, kw_only=True):
    """`template`: a template's Key. It begins switched off."""

    name: Name
    template: Key
    fields: dict[Name, Field] = {}
    options: dict[str, Any] = {}
    group_id: IdOrZero = 0


class IntegrationPatch(Body, kw_only=True):
    """`fields`: only those named change; "" takes one away. `template`: takes the template's text anew, whole."""

    name: Name | UnsetType = UNSET
    template: Key | UnsetType = UNSET
    fields: dict[Name, Field] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class IntegrationView(Answer, kw_only=True):
    """`journal`: calls by state; `status`: since this daemon started; `secrets_set`: which secrets have a value."""

    id: int
    version: int
    group_id: int
    name: str
    enabled: bool
    template: dict[str, Any] | None
    fields: dict[str, str]
    secrets_set: list[str]
    options: dict[str, Any]
    journal: dict[str, Any]
    status: dict[str, Any]


class IntegrationRows(Answer, kw_only=True):
    rows: list[IntegrationView]


class TryBody(Body, kw_only=True):
    """`phone`: the number of the made-up call; `user`: the CRM's user it is booked to."""

    step: Literal["connect", "globals", "users", "contact", "create_contact", "ticket", "journal"]
    phone: E164 = "+33123456789"
    user: Annotated[str, Meta(max_length=200)] = ""


class TryView(Answer, kw_only=True):
    """`exchanges`: requests and answers as they went, secrets masked."""

    step: str
    ok: bool
    code: str
    error: str
    found: dict[str, str]
    exchanges: list[dict[str, Any]]


class Steps(Answer, kw_only=True):
    steps: list[str]


class GoTo(Answer, kw_only=True):
    """Open it in a browser: the CRM asks for consent there and comes back."""

    url: str
    redirect_uri: str


class CallbackQuery(Query, kw_only=True):
    code: Annotated[str, Meta(max_length=4000)] = ""
    state: Annotated[str, Meta(max_length=200)] = ""
    error: Annotated[str, Meta(max_length=500)] = ""
    error_description: Annotated[str, Meta(max_length=2000)] = ""
    location: Annotated[str, Meta(max_length=200)] = ""
    scope: Annotated[str, Meta(max_length=4000)] = ""


class UserRows(Answer, kw_only=True):
    rows: list[CrmUser]


class AssignBody(Body, kw_only=True):
    agent_id: IdOrZero


class Associated(Answer, kw_only=True):
    """`ambiguous`: addresses that two users share; they are left to a person."""

    associated: int
    ambiguous: list[str]


class JournalQuery(Query, kw_only=True):
    state: Literal["", "pending", "sending", "done", "doubt", "held", "dead", "skipped"] = ""
    before: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    limit: Limit = 100


class JournalRow(Answer, kw_only=True):
    """`held`: it may have arrived and nothing can tell; replay it if the CRM does not show it."""

    attempt_id: UUID
    number: int
    agent_id: int
    at: datetime
    state: str
    tries: int
    next_at: datetime
    error: str
    journal_id: str
    done_at: datetime | None


class JournalRows(Answer, kw_only=True):
    rows: list[JournalRow]


class ReplayBody(Body, kw_only=True):
    """Without `attempt_ids`: all calls in these states."""

    states: Annotated[list[Literal["held", "dead", "skipped"]], Meta(min_length=1, max_length=3)]
    attempt_ids: Annotated[list[Uuid], Meta(max_length=1000)] | None = None


class PopView(Answer, kw_only=True):
    """`url` "": nothing to open. `automatic` false: open it when the agent asks."""

    attempt_id: str
    url: str = ""
    display: str = "popup"
    name: str = ""
    automatic: bool = True
