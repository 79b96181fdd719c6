"""Rows of configuration as the daemon passes them around; one struct a table, same names as the columns.

`id` is the row's identity and `version` its ETag (both set by the store, 0 before). Times of day are "HH:MM" in the
zone of the campaign; durations end in `_s`; rates are 0..1. Leads and attempts are in `lead_records`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class CampaignMode(StrEnum):
    """How a campaign dials (features D6). PREDICTIVE is AUTOMATIQUE 1-3 by `level`; PROGRESSIVE is TURBO."""

    MANUAL = "manual"
    PREVIEW = "preview"
    PROGRESSIVE = "progressive"
    PREDICTIVE = "predictive"
    INBOUND = "inbound"


class CampaignState(StrEnum):
    """STOPPED: agents released; PAUSED: no new calls, agents stay; RUNNING: dials when everything else allows it."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"


class LineKind(StrEnum):
    """What carries a call: a trunk of the PBX, or one of its extensions (click-to-call pools)."""

    TRUNK = "trunk"
    EXTENSION = "extension"


class Strategy(StrEnum):
    """How a line is chosen among those free (C2C-06)."""

    RANDOM = "random"
    ROUND_ROBIN = "round_robin"
    LEAST_USED = "least_used"
    PRIORITY = "priority"


class PauseMode(StrEnum):
    """Whether a pause needs a code (PAUS-01: Désactiver, Optionnel, Obligatoire)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class LeadOrder(StrEnum):
    """Order of calling (CAMP-10); callbacks due and hot leads come before all of these."""

    OLDEST = "oldest"
    NEWEST = "newest"
    RANDOM = "random"
    PRIORITY = "priority"
    ATTEMPTS = "attempts"
    LIST_RANK = "list_rank"


class Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A configuration row."""

    id: int = 0
    version: int = 0


class Group(Record, kw_only=True):
    """A tenant: nothing of one group is visible or usable from another (C2C-04, ROLE-01)."""

    code: str
    name: str = ""
    c2c_strategy: Strategy = Strategy.ROUND_ROBIN
    c2c_per_hour: int = 1000
    cors_origins: list[str] = []
    click2call_rules: str = ""


class Client(Record, kw_only=True):
    """On whose behalf calls are made; the legal attempt limit is counted per (client, E.164)."""

    group_id: int
    name: str


class Line(Record, kw_only=True):
    """What carries a call: a trunk with a capacity, or an extension. `endpoint` is the PBX's name of it."""

    group_id: int
    site: str
    name: str
    kind: LineKind = LineKind.TRUNK
    endpoint: str
    capacity: int = 1
    enabled: bool = True
    priority: int = 5
    minutes_per_month: int = 0


class CallerIdNumber(Record, kw_only=True):
    """A DID we own and may present. `daily_cap` 0 = none; `pool`: the set of numbers it belongs to, "" = none."""

    group_id: int
    e164: str
    name: str = ""
    enabled: bool = True
    daily_cap: int = 0
    pool: str = ""


class HoursWindow(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A weekly opening: ISO weekdays 1-7, "HH:MM" to "HH:MM" (end not included)."""

    days: list[int]
    start: str
    end: str


class RecyclingRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """RECY-01…05: leads whose attempt ended with `on` (outcome or status code) come back after `delay_s`."""

    on: str
    delay_s: float
    max_count: int = 3
    priority: str = "normal"


class AmdSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Machine detection of a campaign. Thresholds are AMD()'s, milliseconds or words; 0 = the PBX's own (amd.conf).
    `notsure_hangs_up`: who can't be told from a machine is hung up, instead of meeting an agent."""

    initial_silence: int = 0
    greeting: int = 0
    after_greeting_silence: int = 0
    total_analysis_time: int = 0
    min_word_length: int = 0
    between_words_silence: int = 0
    maximum_words: int = 0
    silence_threshold: int = 0
    notsure_hangs_up: bool = False

    def arguments(self) -> str:
        """AMD()'s arguments, up to the last one given; an empty one leaves the PBX's."""
        values = [str(value or "") for name, value in msgspec.structs.asdict(self).items() if name in AMD_ARGUMENTS]
        return ",".join(values).rstrip(",")


AMD_ARGUMENTS = (
    "initial_silence", "greeting", "after_greeting_silence", "total_analysis_time", "min_word_length",
    "between_words_silence", "maximum_words", "silence_threshold",
)  # fmt: skip


class MissedOwner(StrEnum):
    """Whose task a missed call is (ZAD-09): the campaign's default agent's, or everybody's."""

    DEFAULT_USER = "default_user"
    POOL = "pool"


class Inbound(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a campaign does with calls to its numbers. `dids`: E.164, which must be ours. `open`: weekly hours in the
    campaign's zone, empty = always. `greeting`, `closed_message`: sounds of the PBX with their length in seconds.
    `overflow`: `extension@context` of the PBX for who finds it closed, full, or waits over `wait_max_s`; empty = busy,
    or the end. `queue_max` 0 = no limit. `announce_every_s` 0 = the place is not told. `skill`: agents without it get
    none of these calls. `call_back`: a missed call is due to be called back at once. `show_name`: the phone that rings
    for it shows number and name of who calls, if the number is a lead's of the group."""

    dids: list[str] = []
    open: list[HoursWindow] = []
    greeting: str = ""
    greeting_s: float = 0.0
    closed_message: str = ""
    closed_message_s: float = 10.0
    overflow: str = ""
    wait_max_s: float = 120.0
    queue_max: int = 0
    announce_every_s: float = 0.0
    skill: str = ""
    missed_call_owner: MissedOwner = MissedOwner.POOL
    default_agent_id: int = 0
    call_back: bool = False
    show_name: bool = False


class Campaign(Record, kw_only=True):
    """What is dialled, how, by which rules. Limits are the operator's; the rule set's are stricter where they bind.

    `business`: declared to call companies alone (for rule sets that make a difference). Numbers shown: those named, and
    those of the pool named. `site`: "" = every site dials it, each with its own lines and agents.
    """

    group_id: int
    client_id: int
    name: str
    site: str
    mode: CampaignMode = CampaignMode.PROGRESSIVE
    level: int = 1
    speed: int = 5
    state: CampaignState = CampaignState.STOPPED
    rule_set: str = "fr-b2c-2026"
    zone: str = "Europe/Paris"
    list_ids: list[int] = []
    line_ids: list[int] = []
    strategy: Strategy = Strategy.PRIORITY
    caller_id_ids: list[int] = []
    agent_ids: list[int] = []
    priority: int = 5
    order: LeadOrder = LeadOrder.OLDEST
    attempts_max: int = 4
    gap_min_s: float = 14_400.0
    ring_timeout_s: float = 25.0
    wrap_up_max_s: float = 60.0
    max_channels: int = 0
    calls_per_second: float = 5.0
    abandonment_rate_max: float = 0.03
    pool_ledger: bool = False
    amd: bool = False
    safe_message: str = ""
    voicemail_message: str = ""
    recording: bool = False
    pause_mode: PauseMode = PauseMode.OPTIONAL
    default_status: str = "INJOIGN"
    preview_timeout_s: float = 60.0
    extend_s: float = 30.0
    hours: list[HoursWindow] = []
    recycling: list[RecyclingRule] = []
    running_contract: bool = False
    business: bool = False
    caller_id_pool: str = ""
    screen_pop_url: str = ""
    script: str = ""
    inbound: Inbound = msgspec.field(default_factory=Inbound)
    amd_settings: AmdSettings = msgspec.field(default_factory=AmdSettings)


class Status(Record, kw_only=True):
    """A disposition agents choose (STAT-01, STAT-02). `campaign_id` 0 = all campaigns of the group."""

    group_id: int
    campaign_id: int = 0
    code: str
    name: str
    category: str = "Commercial"
    sale: bool = False
    machine: bool = False
    callback: bool = False
    not_interested: bool = False
    final: bool = False
    not_workable: bool = False
    sort: int = 0


class PauseCode(Record, kw_only=True):
    """A reason to pause with its expected duration (PAUS-02); a longer pause is flagged."""

    group_id: int
    code: str
    name: str
    expected_s: float = 600.0


class Blocked(Record, kw_only=True):
    """A number that is not let in and never called (ZAD-18)."""

    group_id: int
    e164: str
    reason: str = ""


class LeadList(Record, kw_only=True):
    """A list of leads; inactive lists stop at once (IMPT-14)."""

    group_id: int
    name: str
    active: bool = True
    rank: int = 0


class Agent(Record, kw_only=True):
    """A person with a phone. `nailed`: the phone stays connected between calls; otherwise it rings for each call."""

    group_id: int
    site: str
    login: str
    name: str
    extension: str
    nailed: bool = True
    enabled: bool = True
    skills: dict[str, int] = {}


class Role(StrEnum):
    """ROLE-01, in rising order of rights. A wall screen sees counts, never a person."""

    WALL = "wall"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    MANAGER = "manager"
    ADMINISTRATOR = "administrator"


class TokenKind(StrEnum):
    """What a token opens: the /api/v1 and pages, the click-to-call API, or the leads API."""

    OPERATOR = "operator"
    CLICK2CALL = "click2call"
    LEADS = "leads"


class ApiToken(Record, kw_only=True):
    """A credential; only its SHA-256 is stored, the token itself is shown once."""

    group_id: int
    kind: TokenKind = TokenKind.OPERATOR
    name: str
    role: Role = Role.SUPERVISOR
    all_groups: bool = False
    campaign_ids: list[int] = []
    agent_id: int = 0
    sha256: str = ""
    tail: str = ""
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    last_used_at: datetime | None = None
    created_at: datetime | None = None


WEBHOOK_TOPICS = ("call.ringing", "call.answered", "call.connected", "call.ended", "call.disposition", "alert")
"""What a webhook may be told of: the steps of its group's calls, and the group's alerts."""


class Webhook(Record, kw_only=True):
    """Who is told of a group's calls (CRMI-03). `topics` empty = all of WEBHOOK_TOPICS.

    Its secrets are derived, never stored: from a key file, the id and `generation`. After a rotation the generation
    before signs too, until `previous_until`. `key_id` names the key file the secrets were shown from.
    """

    group_id: int
    name: str
    url: str
    topics: list[str] = []
    enabled: bool = True
    generation: int = 1
    previous_until: datetime | None = None
    key_id: str = ""
