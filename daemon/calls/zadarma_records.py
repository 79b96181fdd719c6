"""Rows of a group's link with Zadarma's cloud PBX: the link, whose extension is whose, and the calls it told of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from daemon.calls.records import MissedOwner, Record

SENDER = "185.45.152.42"
"""The address notifications come from (ZAD-04)."""
API_URL = "https://api.zadarma.com"
ASKED = "asked"


class ZadarmaLink(Record, kw_only=True):
    """At most one a group. `sealed`: the secret, encrypted under a key that is a file. `addresses`: who may notify.
    The five options are off until switched on (ZAD-19); `list_id`: where leads for new callers go.
    `feed_url`: software that is sent our own calls in the shape of these notifications, "" = none."""

    group_id: int
    key: str = ""
    sealed: str = ""
    enabled: bool = False
    addresses: list[str] = msgspec.field(default_factory=lambda: [SENDER])
    api_url: str = API_URL
    create_lead: bool = False
    redirect: bool = False
    show_name: bool = False
    call_back: bool = False
    blacklist: bool = False
    list_id: int = 0
    missed_call_owner: MissedOwner = MissedOwner.POOL
    default_agent_id: int = 0
    feed_url: str = ""


class ZadarmaUser(Record, kw_only=True):
    """An agent's extension there: one agent one extension, one extension one agent (ZAD-06)."""

    group_id: int
    link_id: int
    agent_id: int
    extension: str


class ZadarmaCall(Record, kw_only=True):
    """A call as its notifications tell it. `direction`: in, out, ASKED (a call that an
    agent asked for here: kept for the law's count, not listed), or unknown (an event we do not know). `state`: begun,
    answered, ended. `task`: "" or, of a missed call, open, done. `day`: of `at`, in UTC: what retention goes by.
    `recording_state`: "", due (to be asked for at `fetch_at`), done, failed. `events`: as they came, oldest first."""

    group_id: int
    link_id: int
    pbx_call_id: str
    at: datetime
    day: str
    direction: str
    state: str = "begun"
    e164: str = ""
    extension: str = ""
    agent_id: int = 0
    lead_id: int = 0
    disposition: str = ""
    duration_s: int = 0
    task: str = ""
    owner_agent_id: int = 0
    due_at: datetime | None = None
    recording_id: str = ""
    recording_state: str = ""
    recording_url: str = ""
    recording_until: str = ""
    fetch_at: datetime | None = None
    fetch_tries: int = 0
    events: list[dict[str, Any]] = []
