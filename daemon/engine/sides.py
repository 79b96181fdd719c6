"""Legs beside a call: third parties (transfer, conference, take-over) and supervisors who listen. Plain rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from daemon.engine.live import Call, Desk


class SideState(StrEnum):
    """Where the leg is. CONNECTING: its Connect is outstanding; CLOSING: our hang-up was sent."""

    RINGING = "ringing"
    PARKED = "parked"
    CONNECTING = "connecting"
    TALKING = "talking"
    ROOM = "room"
    LISTENING = "listening"
    CLOSING = "closing"


class Goal(StrEnum):
    """What a third party is for, next. AGENT: the agent asks it something; CUSTOMER: it takes the call; ROOM: all three
    together."""

    AGENT = "agent"
    CUSTOMER = "customer"
    ROOM = "room"
    NONE = ""


@dataclass(slots=True, eq=False)
class Side:
    """One such leg. `purpose`: consult, transfer, take_over, spy. `to`: the extension, or "number" for an outside one
    (numbers are not shown, DESIGN 5). `mode`: of a spy. `line_id`, `lease`: the line an outside number holds."""

    leg: str
    call: Call
    desk: Desk | None
    purpose: str
    to: str
    by: str
    goal: Goal = Goal.NONE
    state: SideState = SideState.RINGING
    mode: str = ""
    line_id: int = 0
    lease: UUID | None = None
