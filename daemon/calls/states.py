"""The life of a call as one table of transitions; the docs' diagram is drawn from it.

Only legs' events move a call here. What the engine decides (placing, connecting, hanging up) sets the state itself, by
the words of `Call`; whatever the PBX then says, in whatever order, is read from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from daemon.calls.events import (
    LegAnswered,
    LegBridged,
    LegCreated,
    LegEvent,
    LegFailed,
    LegHungUp,
    LegParked,
    LegProgress,
    LegRinging,
)


class CallState(StrEnum):
    """Where a call is. INTENDED: its row is being committed; AGENT_FIRST: the agent rings before the customer is
    dialled; ANSWERED: up, detection may run; WAITING: parked, needs an agent; HELD: parked in the middle of a
    conversation, by the agent; CLOSING: our hang-up is sent."""

    INTENDED = "intended"
    AGENT_FIRST = "agent_first"
    DIALLING = "dialling"
    RINGING = "ringing"
    ANSWERED = "answered"
    WAITING = "waiting"
    CONNECTING = "connecting"
    TALKING = "talking"
    HELD = "held"
    MESSAGE = "message"
    CLOSING = "closing"
    ENDED = "ended"


_S = CallState

BEFORE_ANSWER = (_S.DIALLING, _S.RINGING)

TRANSITIONS: Mapping[tuple[CallState, type[LegEvent]], CallState] = {
    (_S.DIALLING, LegCreated): _S.DIALLING,
    (_S.DIALLING, LegProgress): _S.DIALLING,
    (_S.DIALLING, LegRinging): _S.RINGING,
    **{(state, LegAnswered): _S.ANSWERED for state in BEFORE_ANSWER},  # a trunk may never say that it rings
    **{(state, LegParked): _S.WAITING for state in (*BEFORE_ANSWER, _S.ANSWERED)},  # parking may overtake the answer
    **{(state, LegBridged): _S.TALKING for state in (*BEFORE_ANSWER, _S.ANSWERED, _S.WAITING, _S.CONNECTING)},
    **{(state, LegHungUp): _S.ENDED for state in _S if state not in (_S.ENDED, _S.INTENDED, _S.AGENT_FIRST)},
    **{(state, LegFailed): _S.ENDED for state in _S if state not in (_S.ENDED, _S.INTENDED, _S.AGENT_FIRST)},
}


def after(state: CallState, event: LegEvent) -> CallState | None:
    """The state that follows; None if the event means nothing there (the engine counts it, and goes on)."""
    return TRANSITIONS.get((state, type(event)))


STAGES: Mapping[CallState, str] = {
    _S.INTENDED: "dialling",
    _S.AGENT_FIRST: "agent_ringing",
    _S.DIALLING: "dialling",
    _S.RINGING: "ringing",
    _S.ANSWERED: "answered",
    _S.WAITING: "waiting",
    _S.CONNECTING: "waiting",
    _S.TALKING: "talking",
    _S.HELD: "talking",
    _S.MESSAGE: "message",
    _S.CLOSING: "ending",
}
"""What the pages call each state."""
