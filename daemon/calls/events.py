"""What a PBX says, in our words. Drivers (AMI in three modes, ARI) translate into these; the engine knows no other.

Every event names a leg by our own id (see `ids`); `at` is monotonic seconds of the daemon's clock at reception.
Any arrival order is accepted by the engine (FIELD-NOTES 1.4): a driver never holds an event back to put it in order.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Amd(StrEnum):
    """Verdict of the answering-machine detection (AMDSTATUS, plus FAX from the fax tone)."""

    HUMAN = "human"
    MACHINE = "machine"
    NOTSURE = "notsure"
    HANGUP = "hangup"
    FAX = "fax"


class DeviceState(StrEnum):
    """A phone as the PBX sees it (AMI DeviceStateChange.State, folded)."""

    IDLE = "idle"
    RINGING = "ringing"
    IN_USE = "in_use"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class PbxEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all events. `at`: monotonic seconds at reception."""

    at: float


class LinkUp(PbxEvent, frozen=True, kw_only=True, gc=False):
    """Logged in, probed, resync about to come. `restarted`: the PBX lost all channels since we last saw it; `unheard`:
    the class of events that it tells this user nothing of, so that no call may be placed."""

    mode: str
    capabilities: frozenset[str]
    missing: tuple[str, ...] = ()
    unheard: str = ""
    version: str = ""
    restarted: bool = False


class LinkDown(PbxEvent, frozen=True, kw_only=True, gc=False):
    """No link: what happens on the PBX is unknown until the next snapshot. `code` is stable (see PbxUnavailable);
    `next_try_in_s`: what the driver waits before it tries again, None if it does not say."""

    code: str
    message: str
    next_try_in_s: float | None = None


class PbxStopping(PbxEvent, frozen=True, kw_only=True, gc=False):
    """The PBX announced its end (AMI Shutdown) or refuses actions ("Asterisk is shutting down")."""

    restart: bool


class LegSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One leg of ours in a snapshot. `bridged_with` is the other leg's id, if the bridge is of two."""

    leg: str
    up: bool
    ringing: bool = False
    parked: bool = False
    bridged_with: str | None = None
    seconds: float = 0.0


class PbxSnapshot(PbxEvent, frozen=True, kw_only=True, gc=False):
    """All legs of ours that exist now; anything of ours not listed is gone. Follows each LinkUp."""

    legs: tuple[LegSeen, ...]


class LegEvent(PbxEvent, frozen=True, kw_only=True, gc=False):
    """Something about one leg of ours."""

    leg: str


class LegCreated(LegEvent, frozen=True, kw_only=True, gc=False):
    """The channel exists (AMI Newchannel)."""


class LegProgress(LegEvent, frozen=True, kw_only=True, gc=False):
    """Early media, not ringing (SIP 183; AMI DialState PROGRESS)."""


class LegRinging(LegEvent, frozen=True, kw_only=True, gc=False):
    """The far phone rings (AMI Newstate 5 or DialState RINGING, whichever comes first)."""


class LegAnswered(LegEvent, frozen=True, kw_only=True, gc=False):
    """The far end picked up (AMI Newstate 6, DialEnd ANSWER or OriginateResponse Success, whichever first)."""


class LegParked(LegEvent, frozen=True, kw_only=True, gc=False):
    """The leg waits for our commands; also each time it comes back from a bridge."""


class AmdVerdict(LegEvent, frozen=True, kw_only=True, gc=False):
    """Machine detection has decided. `greeting_end_s`: seconds before `at` at which the greeting ended, if known."""

    verdict: Amd
    cause: str = ""
    greeting_end_s: float = 0.0


class LegBridged(LegEvent, frozen=True, kw_only=True, gc=False):
    """`leg` and `peer` are in one bridge of two, both seen. Emitted once, for the agent's leg."""

    peer: str


class LegUnbridged(LegEvent, frozen=True, kw_only=True, gc=False):
    """The leg left the bridge it shared with `peer`."""

    peer: str


class MessagePlayed(LegEvent, frozen=True, kw_only=True, gc=False):
    """A PlayMessage is over; `heard` is False if the person hung up before its end."""

    heard: bool


class LegHungUp(LegEvent, frozen=True, kw_only=True, gc=False):
    """The leg is gone. `cause` is Q.850 (0 = unknown or normal), `tech_cause` the SIP status where the PBX tells it."""

    cause: int = 0
    cause_text: str = ""
    tech_cause: int | None = None
    dial_status: str | None = None
    was_up: bool = False


class LegFailed(LegEvent, frozen=True, kw_only=True, gc=False):
    """The originate failed without a channel ever existing (unregistered, unknown endpoint, refused action, …).
    `sent` False: nothing was written, since there was no link to the PBX, or no room in its queue."""

    reason: int = 0
    message: str = ""
    sent: bool = True


class ActionInDoubt(LegEvent, frozen=True, kw_only=True, gc=False):
    """The link went between writing an action about this leg and its answer; the next snapshot tells."""

    action: str


class ConnectFailed(LegEvent, frozen=True, kw_only=True, gc=False):
    """The PBX refused a Connect for this agent's leg (customer gone, channel not bridgeable). `customer_gone`: it says
    that the customer's channel does not exist, so the agent's leg is not to blame."""

    peer: str
    message: str
    customer_gone: bool = False


class LegJoined(LegEvent, frozen=True, kw_only=True, gc=False):
    """The leg is in a conference room."""

    room: str


class LegLeft(LegEvent, frozen=True, kw_only=True, gc=False):
    """The leg has left its conference room; LegParked follows if it waits again, LegHungUp if it is gone."""

    room: str


class SpyStarted(LegEvent, frozen=True, kw_only=True, gc=False):
    """The supervisor's leg hears `target`."""

    target: str


class RecordingStarted(LegEvent, frozen=True, kw_only=True, gc=False):
    """The PBX records this leg."""


class RecordingStopped(LegEvent, frozen=True, kw_only=True, gc=False):
    """The PBX no longer records this leg."""


class ActionRefused(LegEvent, frozen=True, kw_only=True, gc=False):
    """The PBX refused an action that has no refusal event of its own; nothing has changed. `action`: its class' name
    in small letters (park, join, mute, spy, startrecording, …)."""

    action: str
    message: str


class InboundArrived(PbxEvent, frozen=True, kw_only=True, gc=False):
    """A call came in by our line of the dialplan and waits for AdoptInbound. `channel`: the PBX's id of it; `did`: the
    number called, `caller`: the caller's, both as the PBX has them ("" = withheld)."""

    channel: str
    did: str
    caller: str = ""
    caller_name: str = ""


class MediaQuality(PbxEvent, frozen=True, kw_only=True, gc=False):
    """What a leg's RTP told of itself (AMI RTCPReceived/RTCPSent): `loss` 0..1, times in seconds, None if not told."""

    leg: str
    trunk: str
    loss: float | None = None
    jitter_s: float | None = None
    round_trip_s: float | None = None


class ExtensionChanged(PbxEvent, frozen=True, kw_only=True, gc=False):
    """A phone's state changed (AMI DeviceStateChange), or was listed at resync."""

    extension: str
    state: DeviceState


class TrunkChanged(PbxEvent, frozen=True, kw_only=True, gc=False):
    """A trunk's device state changed, or was listed at resync."""

    trunk: str
    state: DeviceState
