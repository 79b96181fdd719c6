"""What the engine asks of a PBX, imperative. A driver turns each into its protocol's commands and reports by events.

Numbers are already rendered to the site's dial format; leg ids are ours and were committed before the action leaves.
"""

from __future__ import annotations

from typing import Final

import msgspec

RELEASED_MAX_S: Final = 14_400.0
"""Whoever was given to another dialplan is ended by the PBX after so long, as the engine forgets them then."""


class Action(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all actions; `leg` is the leg it is about."""

    leg: str


class OriginateCustomer(Action, frozen=True, kw_only=True, gc=False):
    """Dial `number` on `trunk`; park the leg when it answers (after AMD, if `amd`).

    `ring_timeout_s`: give up ringing after that. `hold_s`: the PBX itself ends a parked customer after that, should the
    daemon be gone. `account` names the campaign in PBX records. `safe_message`: the sound the PBX itself plays
    at the end of `hold_s` in modes that can. `agent_leg`: the leg this call is for, if it was up first (click-to-call,
    preview): where the rights allow nothing but originating, the two are joined by the answer itself. `record`: the
    file for the conversation, for modes whose PBX must start recording by itself (capability `record` without
    `record_on_demand`); the others ignore it. `amd_arguments`: thresholds for the detection, as AMD() takes them;
    empty = the PBX's own.
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
    record: str = ""
    amd_arguments: str = ""


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


# -- moving calls: capability `hold` unless said otherwise. What is refused comes back as ActionRefused. ---------------


class Park(Action, frozen=True, kw_only=True, gc=False):
    """Take a leg out of its bridge or room: it waits again, with music; the peer of a bridge of two waits too.

    Answers LegUnbridged (or LegLeft) and LegParked, for the peer as well. Asked of the leg that was connected *to*
    (customer, third party): the one that does the connecting comes back by itself. `limit_s`: the PBX itself ends the
    wait after that, should the daemon be gone.
    """

    limit_s: float = 3600.0


class OriginateThird(Action, frozen=True, kw_only=True, gc=False):
    """Ring a third party (transfer, conference, take-over): an `extension`, or a `number` on `trunk`. It waits when it
    answers and can do the connecting, as an agent's leg does."""

    ring_timeout_s: float
    extension: str = ""
    number: str = ""
    trunk: str = ""
    caller_id: str = ""
    caller_name: str = "Cadran"


class Join(Action, frozen=True, kw_only=True, gc=False):
    """A waiting leg enters the conference `room`, made if new (capability `conference`). Answers LegJoined; out of it
    by Park. A room ends when nobody is left in it."""

    room: str


class Mute(Action, frozen=True, kw_only=True, gc=False):
    """Nobody hears this leg while `on`; it hears the others (capability `mute`)."""

    on: bool


class SendDigits(Action, frozen=True, kw_only=True, gc=False):
    """Send DTMF `digits` (0-9 A-D * #) to the far end of this leg (capability `dtmf`)."""

    digits: str


# -- supervision: capability `spy` -------------------------------------------------------------------------------------


class Spy(Action, frozen=True, kw_only=True, gc=False):
    """Ring `extension`, a supervisor's phone; when it answers it hears `target` and whoever `target` talks with.

    `mode`: listen (nobody hears the supervisor), whisper (only `target` does), barge (both do). Answers SpyStarted; the
    leg ends with the target's leg, or by Hangup. With capability `hold`, Park makes it a waiting leg (take-over).
    """

    extension: str
    target: str
    mode: str = "listen"
    ring_timeout_s: float = 20.0
    caller_name: str = "Cadran"


class SetSpyMode(Action, frozen=True, kw_only=True, gc=False):
    """From now on listen, whisper or barge."""

    mode: str


# -- recording: capability `record` ------------------------------------------------------------------------------------


class StartRecording(Action, frozen=True, kw_only=True, gc=False):
    """Record what this leg says and hears into `file` (a path as the PBX knows it), only while it is bridged; goes on
    through hold and transfers until the leg ends (capability `record_on_demand`). Answers RecordingStarted."""

    file: str


class StopRecording(Action, frozen=True, kw_only=True, gc=False):
    """End the leg's recording; the file is whole shortly after. Answers RecordingStopped."""


class MuteRecording(Action, frozen=True, kw_only=True, gc=False):
    """While `on`, silence is written instead of both sides (card numbers); the people go on hearing each other."""

    on: bool


# -- inbound: capability `inbound` -------------------------------------------------------------------------------------


class AdoptInbound(Action, frozen=True, kw_only=True, gc=False):
    """A call that InboundArrived told of is ours from now on, as `leg`: the PBX notes it, so that it is found after a
    restart. Answers LegParked (it waits for commands, unanswered), or LegHungUp if the caller has gone meanwhile."""

    channel: str
    hold_s: float = 3600.0


class Answer(Action, frozen=True, kw_only=True, gc=False):
    """Answer an adopted inbound leg, play `sound` if given, then music. Answers LegAnswered, and LegParked once more:
    from then on it may be connected."""

    sound: str = ""


class Announce(Action, frozen=True, kw_only=True, gc=False):
    """Play sounds one after the other to a waiting leg, then music again; it can be connected meanwhile."""

    sounds: tuple[str, ...]


class Release(Action, frozen=True, kw_only=True, gc=False):
    """Give the leg to the PBX's own dialplan (queue, voicemail, another office): `extension` in `context`. What becomes
    of it there is not ours; its end is still told."""

    context: str
    extension: str


AnyAction = (
    OriginateCustomer
    | OriginateAgent
    | Connect
    | Hangup
    | PlayMessage
    | ProbeParked
    | Park
    | OriginateThird
    | Join
    | Mute
    | SendDigits
    | Spy
    | SetSpyMode
    | StartRecording
    | StopRecording
    | MuteRecording
    | AdoptInbound
    | Answer
    | Announce
    | Release
)

ORIGINATES = (OriginateCustomer, OriginateAgent, OriginateThird, Spy)
"""Actions that make a leg: refused or in doubt, they end it (LegFailed)."""
