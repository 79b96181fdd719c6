"""What the engine asks of a PBX, imperative. A driver turns each into its protocol's commands and reports by events.

Numbers are already rendered to the site's dial format; leg ids are ours and were committed before the action leaves.
"""

from __future__ import annotations

import msgspec


class Action(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all actions; `leg` is the leg it is about."""

    leg: str


class OriginateCustomer(Action, frozen=True, kw_only=True, gc=False):
    """Dial `number` on `trunk`; park the leg when it answers (after AMD, if `amd`).

    `ring_timeout_s`: give up ringing after that. `hold_s`: the PBX itself ends a parked customer after that, should the
    daemon be gone. `account` names the campaign in PBX records. `safe_message`: the sound the PBX itself plays
    at the end of `hold_s` in modes that can. `agent_leg`: the leg this call is for, if it was up first (click-to-call,
    preview): where the rights allow nothing but originating, the two are joined by the answer itself.
    """

    number: str
    trunk: str
    caller_id: str
    ring_timeout_s: float
    hold_s: float
    account: str = ""
    amd: bool = False
    safe_message: str = ""
    agent_leg: str = ""


class OriginateAgent(Action, frozen=True, kw_only=True, gc=False):
    """Ring an agent's phone; park the leg when it answers. The caller's name tells the agent why the phone rings."""

    agent_id: int
    extension: str
    ring_timeout_s: float
    caller_id: str = ""
    caller_name: str = "Cadran"


class Connect(Action, frozen=True, kw_only=True, gc=False):
    """Bridge the parked agent's `leg` with `customer`. At most one outstanding an agent."""

    customer: str


class Hangup(Action, frozen=True, kw_only=True, gc=False):
    """End a leg; `cause` Q.850."""

    cause: int = 16


class PlayMessage(Action, frozen=True, kw_only=True, gc=False):
    """Play `sound` to a parked customer, then end the leg (safe-harbour message, voicemail drop)."""

    sound: str
    wait_for_silence: bool = False


class ProbeParked(Action, frozen=True, kw_only=True, gc=False):
    """A harmless command with a deadline to a leg believed parked (after adoption). Answers LegParked or LegHungUp."""


AnyAction = OriginateCustomer | OriginateAgent | Connect | Hangup | PlayMessage | ProbeParked
