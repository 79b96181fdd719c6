"""What happened, for good: facts are journalled before their effect is shown, then applied to the store, each once.

A fact is (site, fence, n): applying one again changes nothing. A daemon that has been replaced may still add history
and settle an `unknown` outcome; an outcome that stands is never touched (DESIGN 3, journal). Numbers and names are not
in facts: only surrogate ids are (DESIGN 5).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from daemon.calls.causes import Outcome


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact", omit_defaults=True):
    """Base. `at`: UTC instant; `site` empty for what belongs to no site."""

    at: datetime
    site: str = ""


class CallEventFact(Fact, frozen=True, kw_only=True):
    """One step of a call (kind: placed, created, ringing, progress, answered, amd, waiting, connecting, connected,
    unbridged, hold, message, hangup_sent, ended, …), appended to `call_event`."""

    attempt_id: UUID
    campaign_id: int
    kind: str
    agent_id: int = 0
    detail: dict[str, str | int | float | bool | None] = {}


class AttemptPlaced(Fact, frozen=True, kw_only=True):
    """The originate of the customer's leg left for the PBX: from here on the attempt may weigh in law."""

    attempt_id: UUID
    campaign_id: int


class AttemptEnded(Fact, frozen=True, kw_only=True):
    """An attempt is over: exactly one a attempt. Durations in seconds; `ring_s` is None if it never rang.

    `lead_eligible_at`/`lead_blocked_by`: what the lead's row becomes (None/"" = callable at once, per the recycling
    rules; both: held until then for that reason; a reason alone: until it is lifted). `lead_recycle_priority`: its
    place in the queue (RECY-04: high, normal, low; "" = as it was). `counted`: weighs as an attempt in law (D34).
    """

    attempt_id: UUID
    campaign_id: int
    lead_id: int = 0
    client_id: int = 0
    outcome: Outcome
    cause: int = 0
    tech_cause: int | None = None
    ended_by: str = ""
    agent_id: int = 0
    ring_s: float | None = None
    answered_at: datetime | None = None
    connected_at: datetime | None = None
    wait_s: float | None = None
    talk_s: float = 0.0
    amd: str = ""
    counted: bool = True
    live: bool = False
    lead_eligible_at: datetime | None = None
    lead_blocked_by: str = ""
    lead_recycled: bool = False
    lead_recycle_priority: str = ""


class AttemptOutcomeKnown(Fact, frozen=True, kw_only=True):
    """Late knowledge upgrades an `unknown` outcome (never another)."""

    attempt_id: UUID
    outcome: Outcome
    cause: int = 0


class LeadReleased(Fact, frozen=True, kw_only=True):
    """A claimed lead goes back undialled, callable from `eligible_at`, for the reason named."""

    lead_id: int
    campaign_id: int
    eligible_at: datetime | None = None
    blocked_by: str = ""


class DispositionSet(Fact, frozen=True, kw_only=True):
    """The agent's status code for an attempt; the status' flags already folded into the lead's next state."""

    attempt_id: UUID
    campaign_id: int
    lead_id: int
    client_id: int
    agent_id: int
    code: str
    by_default: bool = False
    notes: str = ""
    sale: bool = False
    refused: bool = False
    final: bool = False
    callback_at: datetime | None = None
    callback_agent_id: int = 0
    lead_eligible_at: datetime | None = None
    lead_blocked_by: str = ""
    lead_recycled: bool = False
    lead_recycle_priority: str = ""


class RefusalFact(Fact, frozen=True, kw_only=True):
    """A call that the law or consent forbade at the instant of dialling; the lead returns at `until` (None: never)."""

    lead_id: int
    campaign_id: int
    client_id: int
    rule: str
    clause: str
    rule_set: str
    until: datetime | None = None


class DncAdded(Fact, frozen=True, kw_only=True):
    """A person asked not to be called again (LEGL-07); by client. The number is the lead's or the attempt's."""

    client_id: int
    lead_id: int = 0
    attempt_id: UUID | None = None
    by: str = ""
    source: str = "agent"


class AgentStateSet(Fact, frozen=True, kw_only=True):
    """An agent enters a state: closes the previous interval and opens the next at the same instant."""

    agent_id: int
    state: str
    code: str = ""
    campaign_id: int = 0
    attempt_id: UUID | None = None
    leg: str = ""
    campaign_ids: tuple[int, ...] = ()
    by: str = ""


class CampaignSet(Fact, frozen=True, kw_only=True):
    """A campaign's live values changed by command: only the given fields."""

    campaign_id: int
    state: str | None = None
    mode: str | None = None
    level: int | None = None
    speed: int | None = None
    by: str = ""
    reason: str = ""


class LineSet(Fact, frozen=True, kw_only=True):
    """A line was switched on or off (by hand), or rests after failures until `resting_until`."""

    line_id: int
    enabled: bool | None = None
    resting_until: datetime | None = None
    by: str = ""
    reason: str = ""


class LedgerAdded(Fact, frozen=True, kw_only=True):
    """Additions to the abandonment ledger row (campaign, site, clock hour in the campaign's zone, as UTC instant).

    `attempt_id`: whose live answer it is; it is counted once, and taken back once (`answered_live` < 0), whichever
    daemons tell of it. None: in a journal of before there was this field.
    """

    campaign_id: int
    hour: datetime
    attempt_id: UUID | None = None
    answered_live: int = 0
    abandoned: int = 0
    connected: int = 0
    false_positives: float = 0.0


class PacingDecided(Fact, frozen=True, kw_only=True):
    """A sampled pacing decision with its figures (`pacing_decisions`)."""

    campaign_id: int
    count: int
    limit: str
    figures: dict[str, float | int | str | None]


class LinkChanged(Fact, frozen=True, kw_only=True):
    """The link to a site's PBX came up or went down."""

    up: bool
    code: str = ""
    message: str = ""
    mode: str = ""


class RecordingStarted(Fact, frozen=True, kw_only=True):
    """A conversation's recording has begun. `number`: counts an attempt's recordings; `file`: its name in the site's
    folder; `by`: "campaign", or who asked."""

    attempt_id: UUID
    group_id: int
    number: int
    file: str
    by: str = ""


class RecordingEnded(Fact, frozen=True, kw_only=True):
    """It is over. `muted`: (from, to) seconds since its start in which silence was recorded; `failed`: the PBX would
    not record, there is no file."""

    attempt_id: UUID
    number: int
    duration_s: float
    muted: list[tuple[float, float]] = []
    failed: bool = False


class MissedCall(Fact, frozen=True, kw_only=True):
    """A caller whom nobody talked with: one task. `owner_agent_id` 0 = everybody's; `due_at`: to be called back from
    then on."""

    attempt_id: UUID
    group_id: int
    campaign_id: int
    owner_agent_id: int = 0
    due_at: datetime | None = None


class AuditFact(Fact, frozen=True, kw_only=True):
    """Who did what (audit_log, append-only)."""

    by: str
    what: str
    target: str = ""
    detail: dict[str, str | int | float | bool | None] = {}


AnyFact = (
    CallEventFact
    | AttemptPlaced
    | AttemptEnded
    | AttemptOutcomeKnown
    | LeadReleased
    | DispositionSet
    | RefusalFact
    | DncAdded
    | AgentStateSet
    | CampaignSet
    | LineSet
    | LedgerAdded
    | PacingDecided
    | LinkChanged
    | RecordingStarted
    | RecordingEnded
    | MissedCall
    | AuditFact
)


class NumberedFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact with its place in the site's history."""

    site: str
    fence: int
    n: int
    fact: AnyFact
