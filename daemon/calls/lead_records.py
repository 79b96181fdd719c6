"""Rows of the dialler's path: leads, attempts, and what a daemon finds of its site as it starts.

Names are the columns'. Times are UTC; durations end in `_s`. Rows of configuration are in `records`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class Lead(msgspec.Struct, kw_only=True):
    """A person to call, as claimed for dialling. `facts_*` feed may_call; times are UTC.

    `eligible_at`/`blocked_by` are the maintained verdict (DESIGN 3.1); the instant re-check decides.
    """

    id: int
    list_id: int
    campaign_id: int
    group_id: int
    client_id: int
    e164: str
    tz_group: str = "Europe/Paris"
    postal_code: str = ""
    city: str = ""
    state: str = ""
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    email: str = ""
    priority: int = 5
    attempts: int = 0
    failures: int = 0
    recycled: int = 0
    attempt_times: list[datetime] = []
    technical_times: list[datetime] = []
    last_attempt_at: datetime | None = None
    refused_at: datetime | None = None
    consent_at: datetime | None = None
    consent_until: datetime | None = None
    consent_revoked_at: datetime | None = None
    consent_out_of_hours: bool = False
    consent_automated: bool = False
    running_contract: bool = False
    dnc: bool = False
    callback_at: datetime | None = None
    callback_agent_id: int = 0
    abandoned_at: datetime | None = None
    fields: dict[str, Any] = {}


class LeadDraft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A lead to insert: what an import row or the leads API gives, already normalised and checked."""

    e164: str
    tz_group: str = "Europe/Paris"
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    email: str = ""
    alt_phone: str = ""
    address1: str = ""
    address2: str = ""
    address3: str = ""
    city: str = ""
    postal_code: str = ""
    state: str = ""
    country_code: str = "FR"
    comments: str = ""
    vendor_lead_code: str = ""
    status: str = ""
    priority: int = 5
    consent_at: datetime | None = None
    consent_source: str = ""
    consent_text_version: str = ""
    consent_out_of_hours: bool = False
    consent_automated: bool = False
    running_contract: bool = False
    fields: dict[str, Any] = {}


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Who is called, on whose behalf, over what, and when: what an attempt's row begins with.

    `kind` is the column's (campaign, inbound and so on); `caller_id` the number shown, E.164. An id of 0: a call of no
    campaign, of no lead, without a line, or whose agent is not known yet.
    """

    attempt_id: UUID
    site: str
    kind: str
    group_id: int
    campaign_id: int
    client_id: int
    lead_id: int
    e164: str
    line_id: int
    caller_id: str
    agent_id: int
    at: datetime


class Intent(Placement, frozen=True, kw_only=True):
    """An attempt about to be placed; committed before any action leaves (DESIGN 3.4). `rule_set` allows `attempts_max`
    attempts to this person in `attempts_days` days; 0: as many as one likes.

    `known_at`: of what was known of the person as the lead was claimed, the latest attempt or refusal; the store
    refuses an intent that overlooks a later one, or the red list. None: not from a claim, nothing to compare.
    """

    rule_set: str
    attempts_max: int
    attempts_days: int
    known_at: datetime | None = None


class OpenAttempt(Placement, frozen=True, kw_only=True):
    """An attempt row without outcome, as found at start: to be adopted or closed.

    `answered_at`, `connected_at`, `abandoned_at`: when its history says so; a call that outlived a daemon keeps its
    true times.
    """

    number: int = 0
    answered_at: datetime | None = None
    connected_at: datetime | None = None
    abandoned_at: datetime | None = None


class AgentStateRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's last known state, to be restored after a restart. `undisposed`: in wrap-up, the attempt that still
    waits for its disposition."""

    agent_id: int
    state: str
    code: str = ""
    since: datetime
    attempt_id: UUID | None = None
    leg: str = ""
    campaign_ids: tuple[int, ...] = ()
    undisposed: OpenAttempt | None = None


class ShownCall(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that showed one of our numbers. `outcome` None: still open."""

    caller_id: str
    at: datetime
    outcome: str | None
    answered: bool


class NumberRest(msgspec.Struct, frozen=True, kw_only=True):
    """One of our numbers was sent to rest."""

    caller_id_id: int
    at: datetime
    until: datetime


class NumbersShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a site's own numbers went through, oldest first."""

    calls: tuple[ShownCall, ...] = ()
    rests: tuple[NumberRest, ...] = ()


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A site's lease: who may act on its PBX. `fence` rises with each holder. `silent_s`: how long before this its
    holder was last heard of, by the database's clock."""

    site: str
    holder: str
    fence: int
    ttl_s: float
    silent_s: float = 0.0
