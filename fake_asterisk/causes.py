"""Hang-up causes: Q.850 numbers with Asterisk's texts, and the SIP statuses they come from and go to."""

UNALLOCATED = 1
NO_ROUTE = 3
NORMAL_CLEARING = 16
USER_BUSY = 17
NO_ANSWER = 19
UNREGISTERED = 20
CONGESTION = 34
NO_SUCH_DRIVER = 66

TEXT = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    2: "No route to specified transmit network",
    3: "No route to destination",
    6: "Channel unacceptable",
    7: "Call awarded and being delivered in an established channel",
    16: "Normal Clearing",
    17: "User busy",
    18: "No user responding",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    22: "Number changed",
    26: "Answered elsewhere",
    27: "Destination out of order",
    28: "Invalid number format",
    29: "Facility rejected",
    31: "Normal, unspecified",
    34: "Circuit/channel congestion",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Switching equipment congestion",
    44: "Requested channel not available",
    50: "Facility not subscribed",
    58: "Bearer capability not available",
    65: "Bearer capability not implemented",
    66: "Channel not implemented",
    69: "Facility not implemented",
    88: "Incompatible destination",
    102: "Recover on timer expiry",
    111: "Protocol error, unspecified",
    127: "Interworking, unspecified",
}

# Seen per SIP status (field notes 2.3); anything else is classed by its hundred.
FROM_SIP = {
    400: 41,
    401: 21,
    402: 21,
    403: 21,
    404: 1,
    405: 31,
    406: 31,
    407: 21,
    408: 18,
    409: 31,
    410: 22,
    414: 127,
    415: 127,
    416: 127,
    420: 127,
    480: 19,
    481: 127,
    482: 127,
    483: 19,
    484: 28,
    485: 1,
    486: 17,
    487: 127,
    488: 58,
    500: 38,
    501: 79,
    502: 27,
    503: 34,
    504: 102,
    505: 127,
    513: 127,
    600: 17,
    603: 21,
    604: 1,
    606: 58,
}

_TO_SIP = {
    1: 404,
    2: 404,
    3: 404,
    17: 486,
    18: 408,
    19: 480,
    20: 480,
    21: 403,
    22: 410,
    27: 502,
    28: 484,
    29: 501,
    31: 480,
    34: 503,
    38: 500,
    42: 503,
    58: 488,
    66: 503,
    127: 500,
}


def text(cause: int) -> str:
    """Asterisk's text for a Q.850 cause."""
    return TEXT.get(cause, "Unknown")


def from_sip(status: int) -> int:
    """Q.850 cause that chan_pjsip gives a final SIP status."""
    if status in FROM_SIP:
        return FROM_SIP[status]
    return 127 if status >= 400 else 16


def to_sip(cause: int) -> int:
    """SIP status chan_pjsip sends when *we* hang up with this cause; 0: an ordinary BYE or CANCEL."""
    return _TO_SIP.get(cause, 0)


def dial_status(cause: int) -> str:
    """DialEnd's DialStatus for a leg that failed with this cause (404 and 603 are NOANSWER, as seen)."""
    if cause == USER_BUSY:
        return "BUSY"
    if cause == CONGESTION:
        return "CONGESTION"
    if cause in (NO_ROUTE, UNREGISTERED):
        return "CHANUNAVAIL"
    return "NOANSWER"
