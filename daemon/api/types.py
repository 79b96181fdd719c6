"""What the API takes and gives: the types that validate, from which OpenAPI is drawn.

Creates and patches are derived from the records of `daemon.calls.records`, with the bounds of BOUNDS; so a field added
to a record is in the API, and in its document, at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.calls.records import (
    Agent,
    ApiToken,
    Blocked,
    CallerIdNumber,
    Campaign,
    Client,
    Group,
    LeadList,
    Line,
    PauseCode,
    Record,
    Role,
    Status,
    TokenKind,
)

Id = Annotated[int, Meta(ge=1, le=2_147_483_647)]
IdOrZero = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Name = Annotated[str, Meta(min_length=1, max_length=120)]
Text = Annotated[str, Meta(max_length=200)]
PoolName = Annotated[str, Meta(max_length=40)]
Instant = Annotated[datetime, Meta(tz=True)]
"""With its offset: which hour was meant without one would depend on where the daemon runs."""
LongText = Annotated[str, Meta(max_length=20_000)]
Site = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,15}$")]
AnySite = Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]{0,15})?$")]
"""A campaign's: "" = every site dials it."""
Extension = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Endpoint = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,79}$")]
Number = Annotated[str, Meta(min_length=1, max_length=40)]
E164 = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{5,14}$")]
Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{2,12}$")]
PauseCodeText = Annotated[str, Meta(max_length=20)]
Days = Annotated[int, Meta(ge=0, le=3650)]
Limit = Annotated[int, Meta(ge=1, le=500)]
After = Annotated[str, Meta(max_length=200)]
AfterId = Annotated[str, Meta(pattern=r"^[0-9]{0,18}$", max_length=18)]
"""`next_after` of pages that go by ids."""
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")]
Sound = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_/-]{0,119}$|^$")]
Url = Annotated[str, Meta(pattern=r"^(https?://[^\s<>\"]{1,1000})?$")]
Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Weekday = Annotated[int, Meta(ge=1, le=7)]


class HoursBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    days: Annotated[list[Weekday], Meta(min_length=1, max_length=7)]
    start: Clock
    end: Clock


class AmdBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of machine detection, milliseconds or words; 0 = the PBX's own (features AMD-01)."""

    initial_silence: Annotated[int, Meta(ge=0, le=10_000)] = 0
    greeting: Annotated[int, Meta(ge=0, le=10_000)] = 0
    after_greeting_silence: Annotated[int, Meta(ge=0, le=5_000)] = 0
    total_analysis_time: Annotated[int, Meta(ge=0, le=15_000)] = 0
    min_word_length: Annotated[int, Meta(ge=0, le=1_000)] = 0
    between_words_silence: Annotated[int, Meta(ge=0, le=1_000)] = 0
    maximum_words: Annotated[int, Meta(ge=0, le=20)] = 0
    silence_threshold: Annotated[int, Meta(ge=0, le=32_767)] = 0
    notsure_hangs_up: bool = False


class InboundBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a campaign does with calls to its numbers (features TELC-05); see the record `Inbound`."""

    dids: Annotated[list[E164], Meta(max_length=100)] = []
    open: Annotated[list[HoursBody], Meta(max_length=100)] = []
    greeting: Sound = ""
    greeting_s: Annotated[float, Meta(ge=0, le=120)] = 0.0
    closed_message: Sound = ""
    closed_message_s: Annotated[float, Meta(ge=1, le=120)] = 10.0
    overflow: Annotated[str, Meta(pattern=r"^$|^[A-Za-z0-9_.*#-]{1,40}@[A-Za-z0-9_.-]{1,80}$")] = ""
    wait_max_s: Annotated[float, Meta(ge=5, le=3600)] = 120.0
    queue_max: Annotated[int, Meta(ge=0, le=10_000)] = 0
    announce_every_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    skill: Annotated[str, Meta(max_length=40)] = ""
    missed_call_owner: Annotated[str, Meta(pattern="^(default_user|pool)$")] = "pool"
    default_agent_id: IdOrZero = 0
    call_back: bool = False
    show_name: bool = False


class RecyclingBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """RECY-01…04: `max_count` 1 to 10."""

    on: Annotated[str, Meta(min_length=2, max_length=20)]
    delay_s: Annotated[float, Meta(ge=60, le=31_536_000)]
    max_count: Annotated[int, Meta(ge=1, le=10)] = 3
    priority: Annotated[str, Meta(pattern="^(high|normal|low)$")] = "normal"


Skill = Annotated[str, Meta(max_length=40)]
Level = Annotated[int, Meta(ge=0, le=100)]


def _float(low: float, high: float) -> Any:
    return Annotated[float, Meta(ge=low, le=high)]


def _int(low: int, high: int) -> Any:
    return Annotated[int, Meta(ge=low, le=high)]


Ids = Annotated[list[Id], Meta(max_length=10_000)]
BOUNDS: dict[type[Record], dict[str, Any]] = {
    Group: {
        "code": Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")],
        "c2c_per_hour": _int(0, 1_000_000),
        "cors_origins": Annotated[
            list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:/-]{1,200}$")]], Meta(max_length=100)
        ],
    },
    Client: {"name": Name},
    Line: {
        "name": Name,
        "site": Site,
        "endpoint": Endpoint,
        "capacity": _int(1, 10_000),
        "priority": _int(0, 1000),
        "minutes_per_month": _int(0, 100_000_000),
    },
    CallerIdNumber: {"e164": E164, "daily_cap": _int(0, 1_000_000), "pool": PoolName},
    Campaign: {
        "client_id": Id,
        "name": Name,
        "site": AnySite,
        "level": _int(1, 3),
        "speed": _int(0, 10),
        "zone": Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")],
        "rule_set": Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")],
        "list_ids": Ids,
        "line_ids": Ids,
        "caller_id_ids": Ids,
        "caller_id_pool": PoolName,
        "agent_ids": Ids,
        "priority": _int(0, 100),
        "attempts_max": _int(1, 100),
        "gap_min_s": _float(0, 31_536_000),
        "ring_timeout_s": _float(15, 120),
        "wrap_up_max_s": _float(0, 86_400),
        "max_channels": _int(0, 100_000),
        "calls_per_second": _float(0.1, 1000),
        "abandonment_rate_max": _float(0, 0.03),
        "preview_timeout_s": _float(5, 3600),
        "extend_s": _float(0, 600),
        "hours": Annotated[list[HoursBody], Meta(max_length=100)],
        "recycling": Annotated[list[RecyclingBody], Meta(max_length=50)],
        "safe_message": Sound,
        "voicemail_message": Sound,
        "screen_pop_url": Url,
        "script": LongText,
        "default_status": Code,
        "inbound": InboundBody,
        "amd_settings": AmdBody,
    },
    Status: {"code": Code, "name": Name, "campaign_id": IdOrZero, "sort": _int(-1000, 1000)},
    PauseCode: {
        "code": Annotated[str, Meta(pattern=r"^[A-ZÉÈÊÀÇ0-9]{2,20}$")],
        "name": Name,
        "expected_s": _float(1, 86_400),
    },
    Blocked: {"e164": E164},
    LeadList: {"name": Name, "rank": _int(-1000, 1000)},
    Agent: {
        "site": Site,
        "login": Extension,
        "name": Name,
        "extension": Extension,
        "skills": Annotated[dict[Skill, Level], Meta(max_length=100)],
    },
}
LIVE_ONLY: dict[type[Record], frozenset[str]] = {
    Campaign: frozenset({"state"}),
}
"""Set by commands, never by writing the row."""
TUNED = {Campaign: frozenset({"mode", "level", "speed"}), Line: frozenset({"enabled"})}
"""May be given at creation; later only by command, because the engine must say when they are in force."""
OPTIONAL_AT_CREATION = {"group_id", "client_id", "extension"}


def _bounded(kind: Any) -> Any:
    """A plain `str` gets the common bound; other types stand as they are."""
    return Text if kind is str else kind


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.NODEFAULT


def derive(kind: type[Record]) -> tuple[Any, Any]:
    """(create, patch) types of a record: bounds applied, what the store or the engine sets left out."""
    bounds = BOUNDS[kind]
    skip = {"id", "version"} | LIVE_ONLY.get(kind, frozenset())
    create: list[Any] = []
    patch: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name in skip:
            continue
        bounded = bounds.get(field.name, IdOrZero if field.name == "group_id" else _bounded(field.type))
        default = _default(field)
        if default is msgspec.NODEFAULT and field.name in OPTIONAL_AT_CREATION:
            create.append((field.name, bounded | UnsetType, UNSET))
        elif default is msgspec.NODEFAULT:
            create.append((field.name, bounded))
        else:
            create.append((field.name, bounded, default))
        if field.name not in TUNED.get(kind, frozenset()) and field.name != "group_id":
            patch.append((field.name, bounded | UnsetType, UNSET))
    options: dict[str, Any] = {"kw_only": True, "forbid_unknown_fields": True}
    name = kind.__name__
    return (
        msgspec.defstruct(f"{name}Create", create, **options),
        msgspec.defstruct(f"{name}Patch", patch, **options),
    )


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send."""


class Query(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of query strings."""


class Answer(msgspec.Struct, kw_only=True):
    """Base of what clients get."""


class ListQuery(Query, kw_only=True):
    limit: Limit = 100
    after: IdOrZero = 0
    group_id: IdOrZero = 0


class GroupQuery(Query, kw_only=True):
    """Of one group; 0: the token's own."""

    group_id: IdOrZero = 0


class NoQuery(Query, kw_only=True):
    pass


class Accepted(Answer, kw_only=True):
    """202: asked of the engine; done when its fact arrives on the stream."""

    accepted: bool = True
    result: dict[str, Any] = {}


class Problem(Answer, kw_only=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    details: dict[str, Any] = {}


class SessionBody(Body, kw_only=True):
    token: Annotated[str, Meta(max_length=256)] = ""


class SessionView(Answer, kw_only=True):
    """Who is signed in, and what the page needs to know of the daemon. `rights` are Permission names."""

    name: str
    role: Role
    rights: list[str]
    group_id: int
    group_code: str
    all_groups: bool
    campaign_ids: list[int]
    agent_id: int
    csrf: str
    demo: bool
    version: str
    sites: list[str]
    expires_at: datetime | None = None


class TokenCreate(Body, kw_only=True):
    """`days` 0 = no expiry. A token for an agent's desk names the agent."""

    name: Name
    kind: TokenKind = TokenKind.OPERATOR
    role: Role = Role.SUPERVISOR
    group_id: IdOrZero = 0
    all_groups: bool = False
    campaign_ids: Ids = []
    agent_id: IdOrZero = 0
    days: Days = 0


class TokenView(Answer, kw_only=True):
    """A token without its secret; `tail` are its last four characters."""

    id: int
    version: int
    group_id: int
    kind: TokenKind
    name: str
    role: Role
    all_groups: bool
    campaign_ids: list[int]
    agent_id: int
    tail: str
    active: bool
    expires_at: datetime | None
    disabled_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime | None


class TokenOnce(TokenView, kw_only=True):
    """Only the answer to creating or rotating shows the token."""

    token: str


def token_view(row: ApiToken, now: datetime) -> TokenView:
    """The row without its hash."""
    active = (row.disabled_at is None or row.disabled_at > now) and (row.expires_at is None or row.expires_at > now)
    return TokenView(
        id=row.id,
        version=row.version,
        group_id=row.group_id,
        kind=row.kind,
        name=row.name,
        role=row.role,
        all_groups=row.all_groups,
        campaign_ids=list(row.campaign_ids),
        agent_id=row.agent_id,
        tail=row.tail,
        active=active,
        expires_at=row.expires_at,
        disabled_at=row.disabled_at,
        last_used_at=row.last_used_at,
        created_at=row.created_at,
    )
