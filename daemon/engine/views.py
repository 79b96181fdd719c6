"""What the engine shows: plain, immutable-by-convention structs, replaced whole when anything in them changes.

Views carry surrogate ids only, never a person's number or name (DESIGN 5), so the same bytes go to every reader of a
scope. Times are UTC; durations seconds; rates 0..1. `None` is "unknown", 0 is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from daemon.engine.commands import AnyCommand

LISTEN = "listen"
"""Of a supervisor who hears the call and is heard by nobody."""


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One site's PBX link. `next_try_at`: while down, when the driver tries again; once it has passed, a try is under
    way."""

    site: str
    up: bool
    since: datetime
    driver: str = "ami"
    mode: str = ""
    mode_reason: str = ""
    version: str = ""
    code: str = ""
    message: str = ""
    capabilities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    synced: bool = False
    next_try_at: datetime | None = None


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """Abandonment in one window: `abandoned` of `live` answered by persons; `room` = how many more are allowed."""

    name: str
    abandoned: int
    live: int
    room: int
    ceiling: float


class CauseView(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six causes of "why is it not dialling", in order links, campaign, agents, leads, lines, pacing."""

    name: str
    ok: bool
    code: str
    figures: dict[str, float | int | str | None] = {}


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign live. `stages`: dialling, ringing, answered, waiting, talking. `agents`: count by state."""

    id: int
    group_id: int
    name: str
    site: str
    state: str
    mode: str
    level: int
    speed: int
    rule_set: str
    version: int
    since: datetime
    stages: dict[str, int]
    agents: dict[str, int]
    outcomes: dict[str, int]
    answer_rate: float | None
    occupancy: float | None
    wait_s: float | None
    windows: tuple[WindowView, ...]
    causes: tuple[CauseView, ...]
    binding: str
    why: str
    why_fr: str
    pacing: dict[str, float | int | str | None]
    leads: dict[str, int]
    suspended: str = ""
    callers: dict[str, float] = {}


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent live. `phone`: device state. `recording`: "", on, muted. `third`: "" or what the third party does
    (ringing, parked, talking, room). `preview_until`, `wrap_until`: when the person shown, or the form, goes;
    `extend_s`: seconds the agent may still add to that, 0 = none. `listeners`: who supervises, as `name mode`;
    `silent_listening`: the site does not tell its agents who only listens. `today`: calls, talk_s, sales, ready_s,
    handling_s."""

    id: int
    group_id: int
    site: str
    name: str
    login: str
    extension: str
    nailed: bool
    state: str
    code: str
    since: datetime
    campaign_ids: tuple[int, ...]
    campaign_id: int
    attempt_id: str
    lead_id: int
    phone: str
    next_state: str = ""
    over_run: bool = False
    wrap_until: datetime | None = None
    preview_until: datetime | None = None
    extend_s: float = 0.0
    last_attempt_id: str = ""
    muted: bool = False
    recording: str = ""
    third: str = ""
    listeners: tuple[str, ...] = ()
    silent_listening: bool = True
    today: dict[str, float] = {}


def for_the_agent(view: AgentView) -> AgentView:
    """The view as the agent's own desk gets it: without who only listens, where the site listens silently."""
    if not view.silent_listening or not view.listeners:
        return view
    heard = tuple(name for name in view.listeners if not name.endswith(f" {LISTEN}"))
    return msgspec.structs.replace(view, listeners=heard)


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call in progress. `stage`: agent_ringing, dialling, ringing, answered, waiting, talking, message, ending.
    `queued`: the PBX has taken the leg of the agent who is rung first."""

    id: str
    number: int
    kind: str
    group_id: int
    campaign_id: int
    lead_id: int
    agent_id: int
    line_id: int
    site: str
    stage: str
    since: datetime
    started: datetime
    queued: bool = False


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line live. `state`: active, off, resting, unavailable; `in_use` counts legs being set up too."""

    id: int
    group_id: int
    site: str
    name: str
    kind: str
    state: str
    capacity: int
    in_use: int
    priority: int
    calls: int
    succeeded: int
    last_used: datetime | None = None
    resting_until: datetime | None = None
    reason: str = ""
    quality: dict[str, float | None] = {}


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon itself."""

    version: str
    started: datetime
    now: datetime
    store_ok: bool
    store_since: datetime
    journal_pending: int
    leader: dict[str, bool]
    draining: bool = False
    tzdata: str = ""
    alerts: tuple[str, ...] = ()


TABLES = ("links", "campaigns", "agents", "calls", "lines", "system")


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """An import of a file of leads. `state`: uploaded, checked, running, done, failed; `part`: of the file read, 0..1;
    `counts`: of its report, once there is one; `error`: its code."""

    id: str
    group_id: int
    list_id: int
    state: str
    rows: int
    part: float
    counts: dict[str, int] = {}
    error: str = ""


AnyView = LinkView | CampaignView | AgentView | CallView | LineView | SystemView | ImportView

Changes = Mapping[str, Mapping[str, AnyView | None]]
"""What changed since the last publication: {table: {id: view, or None when gone}}; tables: links, campaigns, agents,
calls, lines, system, imports. Ids are text."""


class EngineDoor(Protocol):
    """What the doors (API, CLI) see of the engines of all sites together."""

    async def submit(self, command: AnyCommand) -> dict[str, object]:
        """Apply a command; returns what is known at once (e.g. {"attempt_id": …}). Raises CommandError.

        The effect is on the stream when its fact is journalled; bounded by the settings' command deadline
        (CommandError `engine_busy`).
        """
        ...

    def view(self) -> Mapping[str, Mapping[str, AnyView]]:
        """All current views by table and id; those that nobody follows are made now."""
        ...

    def listen(self, listener: Callable[[Changes], None], tables: Sequence[str] = TABLES) -> Callable[[], None]:
        """Call `listener` after each batch that changed something; it must return at once. Returns its remover. It may
        be told of more than `tables`, but only these are sure to be made for it: views cost, so name what is read."""
        ...
