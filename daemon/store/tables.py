"""Which record is which table, and the rules both stores keep: uniqueness, parents, the order of claims.

Nothing here does I/O. A rule's name ends in the field that is told to whoever broke it (`StoreConflict.field`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from daemon.calls import crm_records, records, zadarma_records
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadOrder, Record

R = TypeVar("R", bound=Record)

TABLES: Final[dict[type[Record], str]] = {
    records.Group: "groups",
    records.Client: "clients",
    records.Line: "lines",
    records.CallerIdNumber: "caller_ids",
    records.Campaign: "campaigns",
    records.Status: "statuses",
    records.PauseCode: "pause_codes",
    records.Blocked: "blacklist",
    records.LeadList: "lists",
    records.Agent: "agents",
    records.ApiToken: "api_tokens",
    records.Webhook: "webhooks",
    crm_records.CrmTemplateFile: "crm_templates",
    crm_records.Integration: "integrations",
    crm_records.CrmUser: "crm_users",
    crm_records.CrmTicket: "crm_tickets",
    zadarma_records.ZadarmaLink: "zadarma_links",
    zadarma_records.ZadarmaUser: "zadarma_users",
    zadarma_records.ZadarmaCall: "zadarma_calls",
}

FOLLOWED: Final[frozenset[type[Record]]] = frozenset(
    kind
    for kind in TABLES
    if TABLES[kind]
    in ("groups", "statuses", "pause_codes", "blacklist", "caller_ids", "lines", "lists", "campaigns", "agents")
)
"""What engines hold in memory: its changes are noted (migrations/0019_changed_rows.sql)."""

UNIQUE: Final[dict[type[Record], tuple[tuple[str, ...], ...]]] = {
    records.Group: (("code",),),
    records.Client: (("group_id", "name"),),
    records.Line: (("group_id", "name"),),
    records.CallerIdNumber: (("e164",),),
    records.Campaign: (("group_id", "name"),),
    records.Status: (("group_id", "campaign_id", "code"),),
    records.PauseCode: (("group_id", "code"),),
    records.Blocked: (("group_id", "e164"),),
    records.LeadList: (("group_id", "name"),),
    records.Agent: (("group_id", "login"),),
    records.ApiToken: (("sha256",),),
    records.Webhook: (("group_id", "name"),),
    crm_records.CrmTemplateFile: (("group_id", "key"),),
    crm_records.Integration: (("group_id", "name"),),
    crm_records.CrmUser: (("integration_id", "crm_id"),),
    crm_records.CrmTicket: (("integration_id", "attempt_id"),),
    zadarma_records.ZadarmaLink: (("group_id",),),
    zadarma_records.ZadarmaUser: (("link_id", "extension"), ("link_id", "agent_id")),
    zadarma_records.ZadarmaCall: (("link_id", "pbx_call_id"),),
}
"""The last field of each rule is the one named. An empty `sha256` is no value."""

PARENTS: Final[dict[type[Record], tuple[tuple[str, type[Record]], ...]]] = {
    kind: (("group_id", records.Group),) for kind in TABLES if kind is not records.Group
} | {
    records.Campaign: (("group_id", records.Group), ("client_id", records.Client)),
    crm_records.CrmUser: (("group_id", records.Group), ("integration_id", crm_records.Integration)),
    crm_records.CrmTicket: (("group_id", records.Group), ("integration_id", crm_records.Integration)),
    zadarma_records.ZadarmaUser: (("group_id", records.Group), ("link_id", zadarma_records.ZadarmaLink)),
    zadarma_records.ZadarmaCall: (("group_id", records.Group), ("link_id", zadarma_records.ZadarmaLink)),
}

LEAD_COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(LeadDraft))
"""What a draft brings; names are the columns'."""

LEAD_EDITABLE: Final = frozenset(LEAD_COLUMNS) | {
    "list_id",
    "eligible_at",
    "blocked_by",
    "callback_at",
    "callback_agent_id",
    "recycled",
    "refused_at",
}
"""What `update_lead` may change; the rest belongs to facts."""

CALL_LOG_COLUMNS: Final = (
    "created_at",
    "group_id",
    "token_id",
    "endpoint",
    "number_called",
    "phone_line_used",
    "call_id",
    "success",
    "status",
    "error",
    "ip_address",
    "response_time_ms",
)

STICKY: Final = frozenset({"dnc", "erased"})
"""Reasons that the end of a call in progress does not lift."""

ATTEMPT_HISTORY_DAYS: Final = 31

HOT_PRIORITY: Final = 8
"""A lead never tried whose priority is at least this is hot: it goes before everything but callbacks (LEAD-06)."""

TURN_CALLBACK, TURN_HOT, TURN_HIGH, TURN_NORMAL, TURN_LOW = range(5)
TURNS: Final = (TURN_CALLBACK, TURN_HOT, TURN_HIGH, TURN_NORMAL, TURN_LOW)
TURN_OF_RECYCLING: Final[Mapping[str, int]] = {"high": TURN_HIGH, "normal": TURN_NORMAL, "low": TURN_LOW}

BOOKED: Final = 1
TAKEN_BACK: Final = 2
"""What the ledger holds of an attempt (`attempts.booked`): its live answer; and, since it was a machine, no more."""
PROMOTED_MAX: Final = 500
"""Waiting leads one claim makes ready at most, per list and turn: bounds a claim when 100,000 fall due at once."""

TOPICS: Final[Mapping[str, str]] = {
    "ringing": "call.ringing",
    "answered": "call.answered",
    "connected": "call.connected",
}
"""Steps of a call that webhooks may ask for, besides `call.ended` and `call.disposition`."""


def first_turn(priority: int) -> int:
    """The turn of a lead never tried."""
    return TURN_HOT if priority >= HOT_PRIORITY else TURN_NORMAL


def shuffled(lead_id: int) -> int:
    """A fixed pseudo-random place for LeadOrder.RANDOM; the same arithmetic as the index `leads_ready_by_chance`."""
    return (lead_id * 2654435761) & 0xFFFFFFFF


def order_key(order: LeadOrder, list_rank: int, lead_id: int, priority: int, attempts: int) -> tuple[int, int]:
    """Sort key of a lead within its turn."""
    match order:
        case LeadOrder.NEWEST:
            return (-lead_id, 0)
        case LeadOrder.RANDOM:
            return (shuffled(lead_id), lead_id)
        case LeadOrder.PRIORITY:
            return (-priority, lead_id)
        case LeadOrder.ATTEMPTS:
            return (attempts, lead_id)
        case LeadOrder.LIST_RANK:
            return (list_rank, lead_id)
        case _:
            return (lead_id, 0)


def consent_reason(reason: str) -> bool:
    """Whether a block is for want of consent, so that a consent lifts it."""
    return "consent" in reason


@cache
def field_names(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Names of all fields. Kept: msgspec reads the annotations anew each time, which costs more than a whole row."""
    return frozenset(field.name for field in msgspec.structs.fields(kind))


@cache
def _columns_of(kind: type[Record]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.name not in ("id", "version"))


def columns_of(kind: type[Record]) -> list[str]:
    """Columns of the record's own values: all but id and version."""
    return list(_columns_of(kind))


def plain(value: Any) -> Any:
    """A value as a column takes it: enums as their words, structs as mappings, times as they are."""
    if isinstance(value, StrEnum):
        return value.value
    return msgspec.to_builtins(value, builtin_types=(datetime,))


def to_record(kind: type[R], row: Mapping[str, Any]) -> R:
    """The record of a row. Columns the record does not know (a newer schema's) are left out."""
    known = field_names(kind)
    return msgspec.convert({name: row[name] for name in row if name in known}, kind, builtin_types=(datetime,))


def check_changes(kind: type[R], record: Record, changes: Mapping[str, Any]) -> R:
    """`record` with `changes`, as the type validates it. Raises msgspec.ValidationError for an unknown name or type."""
    merged = {name: plain(value) for name, value in msgspec.structs.asdict(record).items()}
    return msgspec.convert(
        merged | {name: plain(value) for name, value in changes.items()}, kind, builtin_types=(datetime,)
    )


LEAD_ROW: Final = (
    "id",
    "list_id",
    "group_id",
    *LEAD_COLUMNS,
    "created_at",
    "eligible_at",
    "blocked_by",
    "claimed_by",
    "callback_at",
    "callback_agent_id",
    "attempts",
    "failures",
    "recycled",
    "last_attempt_at",
    "last_outcome",
    "last_agent_id",
    "abandoned_at",
    "refused_at",
)
"""A lead as searches and exports show it."""

ATTEMPT_ROW: Final = (
    "id",
    "number",
    "site",
    "kind",
    "group_id",
    "campaign_id",
    "client_id",
    "lead_id",
    "line_id",
    "agent_id",
    "e164",
    "caller_id",
    "rule_set",
    "at",
    "placed_at",
    "answered_at",
    "connected_at",
    "ended_at",
    "outcome",
    "cause",
    "tech_cause",
    "ended_by",
    "ring_s",
    "wait_s",
    "talk_s",
    "amd",
    "counted",
    "live",
    "disposition",
    "disposition_at",
    "disposition_by_default",
    "notes",
    "sale",
    "refused",
    "final",
)
"""An attempt as searches and exports show it."""

EVENT_ROW: Final = ("fence", "n", "at", "kind", "agent_id", "detail")
"""A step of an attempt, as `attempt()` shows it."""

LEAD_FILTERS: Final = frozenset(
    {"list_id", "campaign_id", "q", "phone", "email", "status", "outcome", "blocked_by", "agent_id", "vendor_lead_code"}
    | {"last_attempt_from", "last_attempt_to"}
)
ATTEMPT_FILTERS: Final = frozenset(
    {"from", "to", "direction", "kind", "campaign_id", "agent_id", "line_id", "lead_id", "number", "caller_id", "site"}
    | {"duration_min", "duration_max", "outcome", "disposition", "open", "numbers", "status"}
)


def check_filters(filters: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The filters that are set. Raises ValueError for a name that is not one: a typo must not widen a search."""
    if unknown := sorted(set(filters) - known):
        raise ValueError(f"unknown filter {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return {name: value for name, value in filters.items() if value is not None and value != ""}
