"""An agent's states and what leads from one to another.

    signed_out → paused | ready (a nailed-up phone rings in between: `ringing`)
    ready → reserved → on_call → wrap_up → ready | paused | signed_out
    any → unreachable when the phone is lost, and back to what it was

Intervals are contiguous: entering a state closes the previous one at the same instant (PAUS-03).
"""

from __future__ import annotations

from enum import StrEnum


class AgentState(StrEnum):
    """The states of pages.md §4; `next_state` of a desk says what follows the call in progress."""

    SIGNED_OUT = "signed_out"
    PAUSED = "paused"
    READY = "ready"
    RESERVED = "reserved"
    RINGING = "ringing"
    ON_CALL = "on_call"
    ON_HOLD = "on_hold"
    WRAP_UP = "wrap_up"
    UNREACHABLE = "unreachable"


class LegState(StrEnum):
    """The agent's own leg. CONNECTING: a Connect is outstanding, at most one; CLOSING: our hang-up was sent, the leg
    is not offered anything until its end is seen (stale command rule)."""

    NONE = "none"
    RINGING = "ringing"
    PARKED = "parked"
    CONNECTING = "connecting"
    BRIDGED = "bridged"
    CLOSING = "closing"


TALKING = frozenset({AgentState.ON_CALL, AgentState.ON_HOLD})
"""With a person, spoken to or on hold."""

HANDLING = frozenset({AgentState.ON_CALL, AgentState.ON_HOLD, AgentState.WRAP_UP})
"""Counted as work in occupancy: handling / (handling + ready + reserved)."""

BUSY = frozenset({AgentState.RESERVED, AgentState.ON_CALL, AgentState.ON_HOLD, AgentState.WRAP_UP})
"""A pause or sign-out asked now takes effect after this."""
