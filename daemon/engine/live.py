"""The live state of one site: calls, desks (agents at work), campaigns, lines, timers. Plain mutable rows, one owner.

Nothing here decides or does I/O. `Live` is handed to the engine's parts; what they want done goes to `Live.out`.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.agents.states import AgentState, LegState
from daemon.calls.actions import AnyAction, Release
from daemon.calls.causes import Outcome
from daemon.calls.events import DeviceState
from daemon.calls.facts import AnyFact, CallEventFact
from daemon.calls.ids import uuid7
from daemon.calls.lead_records import Intent, Lead
from daemon.calls.records import Agent, Blocked, Campaign, CampaignMode, CampaignState, Group, PauseCode, Status
from daemon.calls.states import CallState
from daemon.dialer.ledger import Ledger
from daemon.dialer.pacing import Decision, PacingPolicy
from daemon.engine.law import Law, RuleFacts
from daemon.engine.sides import Side
from daemon.engine.timers import Timers
from daemon.engine.unsaved import Unsaved
from daemon.pool.caller_ids import CallerIds, Health
from daemon.pool.lines import LinePool
from daemon.settings import DialerTable, SiteTable

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_READY, _PARKED, _NO_LEG = AgentState.READY, LegState.PARKED, LegState.NONE
"""Python 3.11 takes ten times as long to find a member of an enumeration as a name of the module."""


@dataclass(slots=True, eq=False)
class Call:
    """An attempt in progress. `..._at` are monotonic seconds; UTC instants follow from `opened_utc` + monotonic."""

    attempt_id: UUID
    leg: str
    kind: str
    group_id: int
    client_id: int
    e164: str
    opened_at: float
    opened_utc: datetime
    campaign: CampaignLive | None = None
    lead: Lead | None = None
    lead_id: int = 0
    name: str = ""
    line_id: int = 0
    trunk: str = ""
    caller_id: str = ""
    desk: Desk | None = None
    state: CallState = CallState.INTENDED
    since_utc: datetime = LONG_AGO
    number: int = 0
    placed_at: float | None = None
    ringing_at: float | None = None
    answered_at: float | None = None
    need_at: float | None = None
    given_at: float | None = None
    connected_at: float | None = None
    unbridged_at: float | None = None
    talk_s: float = 0.0
    amd: bool = False
    verdict: str = ""
    left: bool = False
    """The PBX says that the person is not there any more; the event that says so is late, or lost."""
    outcome: Outcome | None = None
    ended_by: str = ""
    waits_for_leg: str = ""
    unsure: bool = False
    rule_set: str = ""
    ring_timeout_s: float = 25.0
    last_agent_id: int = 0
    counted_live: bool = False
    queued: bool = False
    """The PBX has taken the leg of the agent who is rung first."""
    parked: bool = False
    """Held, and seen waiting on the PBX."""
    returns: bool = False
    """Held, and on the way back to the agent."""
    room: str = ""
    third: Side | None = None
    """The third party who has taken the call over."""
    tape: int = 0
    """Number of its recording in progress; 0 = none."""
    tapes: int = 0
    taped_at: float = 0.0
    tape_muted_at: float | None = None
    tape_gaps: list[tuple[float, float]] = field(default_factory=list)
    channel: str = ""
    adopted: bool = False
    turned_away: str = ""
    """Inbound: the PBX's channel until it is ours; why the caller is not let in."""
    passed_on: Release | None = None
    """Inbound: given so to the PBX's own dialplan, where the caller is to be left alone."""
    offer_at: float = 0.0
    did: str = ""
    """The number an inbound caller dialled."""

    @property
    def campaign_id(self) -> int:
        return self.campaign.record.id if self.campaign else 0

    def utc(self, at: float) -> datetime:
        """The row's UTC of a monotonic instant of this call: UTC at open + monotonic (DESIGN 7, time)."""
        return self.opened_utc + timedelta(seconds=at - self.opened_at)


@dataclass(slots=True, eq=False)
class Desk:
    """An agent at work, or (`passing`) just a phone that click-to-call rings, which no agent session stands behind."""

    record: Agent
    passing: bool = False
    state: AgentState = AgentState.SIGNED_OUT
    code: str = ""
    since_at: float = 0.0
    since_utc: datetime = LONG_AGO
    campaign_ids: tuple[int, ...] = ()
    leg: str = ""
    leg_state: LegState = LegState.NONE
    call: Call | None = None
    connecting: Call | None = None
    next_state: AgentState | None = None
    next_code: str = ""
    preview: Lead | None = None
    preview_campaign_id: int = 0
    phone: DeviceState = DeviceState.UNKNOWN
    last_call: Call | None = None
    last_campaign: CampaignLive | None = None
    disposed: bool = True
    back_to: AgentState | None = None
    back_code: str = ""
    pause_kept: str | None = None
    """Code of the pause out of which a call was asked for by hand: entered again if nobody says otherwise."""
    leg_failures: int = 0
    connect_failures: int = 0
    """Connects in a row that came to nothing: from the second on the leg itself is doubted, and rung anew."""
    wrap_until_utc: datetime | None = None
    preview_until_utc: datetime | None = None
    extended: bool = False
    """Whether this wrap-up or preview has had its one extension."""
    today: Counter[str] = field(default_factory=Counter)
    """Begun anew at midnight (daemon.engine.day)."""
    today_from_at: float = float("-inf")
    muted: bool = False
    stays: bool = False
    """Whether the phone is nailed up in the control mode in force."""

    @property
    def id(self) -> int:
        return self.record.id

    @property
    def can_take(self) -> bool:
        """Ready, and either parked or reachable on demand."""
        if self.call is not None or self.preview is not None or self.state is not _READY:
            return False
        return self.leg_state is (_PARKED if self.stays else _NO_LEG)

    @property
    def nailed(self) -> bool:
        return self.record.nailed and not self.passing

    @property
    def signed_in(self) -> bool:
        return self.state is not AgentState.SIGNED_OUT


@dataclass(slots=True, eq=False)
class CampaignLive:
    """A campaign at work: its hopper, calls in progress, pacing policy, today's figures."""

    record: Campaign
    rules: RuleFacts
    policy: PacingPolicy
    ledger: Ledger
    state: CampaignState
    since_utc: datetime
    hopper: deque[Lead] = field(default_factory=deque)
    claiming: bool = False
    claim_after_at: float = 0.0
    claim_epoch: int = 0
    handed_over: dict[int, None] = field(default_factory=dict)
    """Leads whose line was congested: to be claimed again at once, for another line (TELC-11)."""
    calls: dict[UUID, Call] = field(default_factory=dict)
    waiting: dict[Call, None] = field(default_factory=dict)
    """Those of them in the state WAITING; kept by daemon.engine.ending, as `stages` are."""
    stages: Counter[str] = field(default_factory=Counter)
    agents: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)
    """Of calls coming in: arrived, answered, missed, overflow, closed, full, blacklisted."""
    placed: int = 0
    answered: int = 0
    false_positives: float = 0.0
    """Persons that detection is estimated to have taken for machines since the daemon started."""
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    ready_s: float = 0.0
    handling_s: float = 0.0
    today_from_at: float = float("-inf")
    tokens: float = 1.0
    tokens_at: float = 0.0
    decision: Decision | None = None
    decided_at: float = float("-inf")
    look_at: float = float("-inf")
    """When time alone, without news, makes it worth another look (daemon.engine.placing)."""
    sampled_at: float = float("-inf")
    dirty: bool = True
    suspended: str = ""
    lead_counts: dict[str, int] = field(default_factory=dict)
    next_due_utc: datetime | None = None
    """When a lead falls due by itself, where none is due now."""
    claim_empty: bool = False
    """The last claim brought nobody, though zones were open."""
    limit: str = ""
    tz_groups: tuple[str, ...] = ()
    open_zones: tuple[str, ...] = ()
    zones_until: datetime | None = None
    opens_utc: datetime | None = None
    """When the next of the zones shut now opens; None if none is shut, or none ever opens."""
    calling: tuple[tuple[datetime, datetime], ...] = ()
    """When anybody of its lists may be called, from now to the end of the day's calling."""
    promised: dict[int, float] = field(default_factory=dict)
    """Agents for whom a due callback waits: until when (monotonic) that is remembered."""
    loaded: bool = False

    @property
    def id(self) -> int:
        return self.record.id

    @property
    def reserves(self) -> bool:
        """Whether each call has its agent reserved before it is dialled (so nothing can be abandoned)."""
        return self.record.mode is not CampaignMode.PREDICTIVE


@dataclass(slots=True)
class LinkState:
    """The link to the PBX as the engine knows it. `synced`: a snapshot has been reconciled since the login;
    `next_try_utc`: when the driver tries again, None while up and where it does not say."""

    up: bool = False
    synced: bool = False
    since_utc: datetime = LONG_AGO
    code: str = "starting"
    message: str = ""
    mode: str = ""
    version: str = ""
    capabilities: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    unheard: str = ""
    restarted: bool = False
    stopping: bool = False
    next_try_utc: datetime | None = None
    lost_at: float = float("-inf")
    """Monotonic: from when on nothing was heard, the last time the link was lost."""

    @property
    def right_missing(self) -> str:
        """Why this link can't originate, as a code; "" if it can."""
        if "originate" in self.capabilities:
            return ""
        return "read_missing" if self.unheard else "right_missing"


@dataclass(slots=True, frozen=True)
class Claim:
    """Ask the store for `count` leads of a campaign."""

    campaign_id: int
    count: int
    open_zones: tuple[str, ...]
    epoch: int


@dataclass(slots=True)
class Output:
    """What one batch wants done; the runner empties it."""

    actions: list[AnyAction] = field(default_factory=list)
    facts: list[AnyFact] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


class Live:
    """All state of a site. `now` (monotonic) and `utc` are set by the engine before each batch."""

    def __init__(self, site: SiteTable, dialer: DialerTable, law: Law, rng: random.Random) -> None:
        self.site = site
        self.dialer = dialer
        self.law = law
        self.rng = rng
        self.now = 0.0
        self.utc = LONG_AGO
        self.out = Output()
        self.timers = Timers()
        self.link = LinkState()
        self.store_ok = False
        self.journal_full = False
        self.acts_until_at = float("-inf")
        self.former_seen_at = float("-inf")
        self.draining = False
        self.database_older = False
        self.calls: dict[UUID, Call] = {}
        self.legs: dict[str, Call | Desk] = {}
        self.sides: dict[str, Side] = {}
        self.desks: dict[int, Desk] = {}
        self.ready: dict[int, Desk] = {}
        """Those of `desks` that are ready; kept by daemon.engine.desks."""
        self.passing: list[Desk] = []
        self.campaigns: dict[int, CampaignLive] = {}
        self.groups: dict[int, Group] = {}
        self.statuses: dict[int, Status] = {}
        self.pause_codes: dict[int, PauseCode] = {}
        self.phones: dict[str, DeviceState] = {}
        self.trunks: dict[str, DeviceState] = {}
        self.pool = LinePool(rng, dialer.line_failures_rest, dialer.line_rest_s)
        self.caller_ids = CallerIds(
            Health(
                calls_min=dialer.caller_id_calls_min,
                ratio_min=dialer.caller_id_ratio_min,
                rest_s=dialer.caller_id_rest_s,
            )
        )
        self.quality: dict[int, Any] = {}
        """Line id → LineQuality (daemon.engine.quality)."""
        self.unsaved = Unsaved()
        self.blocked: dict[int, Blocked] = {}
        self.blacklist: dict[tuple[int, str], int] = {}
        """(group, E.164) of each row of `blocked`, with its id."""
        self.recent: dict[UUID, float] = {}
        self.counters: Counter[str] = Counter()
        self.alerts: dict[str, str] = {}
        self.changed: dict[str, dict[object, None]] = {}

    @property
    def alone(self) -> bool:
        """Whether the site has one campaign, so that nobody else dials for its agents and lines."""
        return len(self.campaigns) == 1

    def takes_turns(self, campaign: CampaignLive) -> bool:
        """Whether news that make no room for another call are a reason to look at the campaign all the same: where
        several share agents, each such instant is a turn; where each call has its agent, a look costs next to nothing.
        """
        return campaign.reserves or len(self.campaigns) != 1

    def touch(self, table: str, id: object) -> None:
        """Mark a view for publication with this batch. `id`: as the rows are keyed in here."""
        ids = self.changed.get(table)
        if ids is None:
            ids = self.changed[table] = {}
        ids[id] = None

    def fact(self, fact: AnyFact) -> None:
        """Record what happened."""
        self.out.facts.append(fact)

    def act(self, action: AnyAction) -> None:
        """Ask the PBX."""
        self.out.actions.append(action)

    def event(self, call: Call, kind: str, **detail: str | int | float | bool | None) -> None:
        """One step of a call, for its history."""
        self.fact(
            CallEventFact(
                at=call.utc(self.now),
                site=self.site.id,
                attempt_id=call.attempt_id,
                campaign_id=call.campaign_id,
                kind=kind,
                agent_id=call.desk.id if call.desk else 0,
                detail=detail,
            )
        )

    def new_id(self) -> UUID:
        """A fresh UUIDv7."""
        return uuid7(self.utc, self.rng)

    def pause_code(self, desk: Desk) -> PauseCode | None:
        """The code of the pause this desk is in; None if it is in none, or the code is not known."""
        if desk.state is not AgentState.PAUSED or not desk.code:
            return None
        group = desk.record.group_id
        return next((p for p in self.pause_codes.values() if p.code == desk.code and p.group_id == group), None)

    def may_act(self) -> bool:
        """Whether this daemon still holds the site's lease by its own monotonic clock."""
        return self.now < self.acts_until_at
