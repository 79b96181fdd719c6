"""From what the PBX says about the end of a leg to one outcome of ours.

Order of trust (FIELD-NOTES 2.3): SIP status (TechCause) → Q.850 cause → DialStatus → nothing. An OriginateResponse's
Reason only tells "our timeout" (3) from "everything else" (0).
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The system result of an attempt: one, final. Words of the pages: pages.md §4."""

    CONNECTED = "connected"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    MACHINE = "machine"
    FAX = "fax"
    UNALLOCATED = "unallocated"
    REJECTED = "rejected"
    CONGESTION = "congestion"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    MISSED = "missed"
    AGENT_NO_ANSWER = "agent_no_answer"
    PBX_LOST = "pbx_lost"
    UNKNOWN = "unknown"
    NOT_PLACED = "not_placed"


NETWORK_OUR_SIDE = frozenset({Outcome.CONGESTION, Outcome.FAILED, Outcome.NOT_PLACED, Outcome.AGENT_NO_ANSWER})
"""Ends before the person's phone was reached: they have no legal weight (features D34)."""

NOT_COUNTED_BY_LAW = NETWORK_OUR_SIDE | {Outcome.UNALLOCATED}
"""Outcomes that are no attempt in the sense of the law (D34): own congestion, nothing placed, no such number."""

_BY_SIP = {
    404: Outcome.UNALLOCATED,
    410: Outcome.UNALLOCATED,
    484: Outcome.UNALLOCATED,
    604: Outcome.UNALLOCATED,
    486: Outcome.BUSY,
    600: Outcome.BUSY,
    480: Outcome.NO_ANSWER,
    408: Outcome.NO_ANSWER,
    487: Outcome.NO_ANSWER,
    403: Outcome.REJECTED,
    603: Outcome.REJECTED,
    607: Outcome.REJECTED,
    608: Outcome.REJECTED,
    401: Outcome.FAILED,
    407: Outcome.FAILED,
    488: Outcome.FAILED,
    606: Outcome.FAILED,
    500: Outcome.CONGESTION,
    502: Outcome.CONGESTION,
    503: Outcome.CONGESTION,
    504: Outcome.CONGESTION,
}

_BY_CAUSE = {
    1: Outcome.UNALLOCATED,
    2: Outcome.FAILED,
    3: Outcome.FAILED,
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,
    19: Outcome.NO_ANSWER,
    20: Outcome.NO_ANSWER,
    21: Outcome.REJECTED,
    22: Outcome.UNALLOCATED,
    26: Outcome.FAILED,
    27: Outcome.CONGESTION,
    28: Outcome.UNALLOCATED,
    34: Outcome.CONGESTION,
    38: Outcome.CONGESTION,
    41: Outcome.CONGESTION,
    42: Outcome.CONGESTION,
    44: Outcome.CONGESTION,
    58: Outcome.FAILED,
    127: Outcome.FAILED,
}

_BY_DIAL_STATUS = {
    "BUSY": Outcome.BUSY,
    "CONGESTION": Outcome.CONGESTION,
    "CHANUNAVAIL": Outcome.FAILED,
    "NOANSWER": Outcome.NO_ANSWER,
    "CANCEL": Outcome.NO_ANSWER,
}


def outcome_unanswered(
    cause: int, tech_cause: int | None = None, dial_status: str | None = None, rang: bool = False
) -> Outcome:
    """Outcome of a leg that ended before anybody picked up. Nothing known: no answer if it rang, else failed."""
    if tech_cause in _BY_SIP:
        return _BY_SIP[tech_cause]
    if cause in _BY_CAUSE:
        return _BY_CAUSE[cause]
    if dial_status in _BY_DIAL_STATUS:
        return _BY_DIAL_STATUS[dial_status]
    return Outcome.NO_ANSWER if rang else Outcome.FAILED


def counts_by_law(outcome: Outcome, *, reached_network: bool) -> bool:
    """Whether an attempt with this outcome is an attempt in the sense of the law (features D34)."""
    return reached_network and outcome not in NOT_COUNTED_BY_LAW
