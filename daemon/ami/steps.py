"""What happens to a leg that a control mode may have to act upon."""

from __future__ import annotations

from enum import Enum, auto


class Step(Enum):
    """What a control mode may have to act upon."""

    CREATED = auto()
    """The channel exists."""
    AGI_STARTED = auto()
    """The channel takes AsyncAGI commands; a leg with `amd` is not parked yet."""
    AMD_MISSED = auto()
    """The link was away while machine detection ran: its result is to be asked for."""
    PARKED = auto()
    BRIDGED = auto()
    COMMAND_DONE = auto()
    """An AsyncAGI command of ours is over; the detail is its kind."""
