"""One message of a run rewritten so that two runs can be compared: roles for ids, marks for values that always differ.

In: a message and the run's roles. Out: whether it counts, and the message as compared. A value that is allowed to
differ must still have its form; if it has not, it stays as it is and therefore shows as a difference.
"""

import re
import urllib.parse
from collections.abc import Mapping

from fake_asterisk.replay.roles import Roles, is_channel_id_header
from fake_asterisk.replay.wire import Message

LEFT_OUT = frozenset({"RTCPSent", "RTCPReceived", "TestEvent", "SuccessfulAuth", "ChallengeSent", "ContactStatus"})
LEFT_OUT_UNLESS_BOOTED = frozenset({"PeerStatus", "ExtensionStatus", "MessageWaiting"})
LOCAL_HALF_REQUESTS = frozenset({"HangupRequest", "SoftHangupRequest"})  # which half gets it differs between runs

_DECIMAL = re.compile(r"\d+")
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d:\d\d:\d\d")
FORMS: Mapping[str, re.Pattern[str]] = {
    "Timestamp": re.compile(r"\d{10}\.\d{6}"),
    "Uptime": _DECIMAL,
    "LastReload": _DECIMAL,
    "Challenge": _DECIMAL,
    "Duration": re.compile(r"\d\d:\d\d:\d\d|\d+"),
    "Seconds": _DECIMAL,
    "DurationMs": _DECIMAL,
    "CoreStartupDate": _DATE,
    "CoreStartupTime": _TIME,
    "CoreReloadDate": _DATE,
    "CoreReloadTime": _TIME,
    "CoreCurrentCalls": _DECIMAL,
    "CoreProcessedCalls": _DECIMAL,
    "AsteriskVersion": re.compile(r"\S.*"),
    "MixMonitorID": re.compile(r"0x[0-9a-f]+"),
}
FORMS_BY_EVENT: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("AGIExecStart", "CommandId"): _DECIMAL,
    ("AGIExecEnd", "CommandId"): _DECIMAL,
    ("LocalOptimizationBegin", "Id"): _DECIMAL,
    ("LocalOptimizationEnd", "Id"): _DECIMAL,
}
ENCODED_IN = frozenset({("AsyncAGIStart", "Env"), ("AsyncAGIEnd", "Env"), ("AsyncAGIExec", "Result")})
ENCODED = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()]|%[0-9A-F]{2})*")
AGI_FORMS = re.compile(r"^(agi_threadid: )-?\d+$|^(agi_version: )\S.*$", re.MULTILINE)
COUNTING_VARIABLES = re.compile(r"(?:RTPAUDIO|ANSWEREDTIME|DIALEDTIME|PROGRESSTIME|RINGTIME)\w*|AMDCAUSE")
FREE_VARIABLE = "BRIDGEPVTCALLID"
KEEPS_TECHNOLOGY = frozenset({"BridgeCreate", "BridgeEnter"})


def left_out(message: Message, roles: Roles, *, booted: bool) -> bool:
    """True if this event is no part of the comparison. `booted`: the scenario starts the server."""
    event = message.event
    if event is None:
        return False
    if event in LEFT_OUT or (event in LEFT_OUT_UNLESS_BOOTED and not booted):
        return True
    if event == "DeviceStateChange" and (message.get("Device") or "").startswith("CBAnn/"):
        return True
    if event in LOCAL_HALF_REQUESTS and (message.get("Channel") or "").startswith("Local/"):
        return True
    named = [value for name, value in message.headers if is_channel_id_header(name)]
    return bool(named) and all(roles.role(value) is None for value in named)


def normalise(message: Message, roles: Roles) -> Message:
    """The message with roles for ids and marks for values that always differ."""
    event = message.event or ""
    variable = message.get("Variable") or "" if event == "VarSet" else ""
    return Message(tuple((name, _value(event, variable, name, value, roles)) for name, value in message.headers))


def _value(event: str, variable: str, name: str, value: str, roles: Roles) -> str:
    form = FORMS.get(name) or FORMS_BY_EVENT.get((event, name))
    if form is not None:
        return f"<{name}>" if form.fullmatch(value) else value
    if (event, name) in ENCODED_IN:
        value = _decoded(value)
    elif name == "Output":
        head, separator, tail = value.partition(": ")
        value = head + separator + re.sub(r"\d+", "#", tail)
    elif event == "VarSet" and name == "Value":
        value = variable_value(variable, value)
    elif name in {"Variable", "ChanVariable"} and "=" in value:  # the variables in a Status list
        variable, _, content = value.partition("=")
        value = f"{variable}={variable_value(variable, content)}"
    elif name == "BridgeTechnology" and event not in KEEPS_TECHNOLOGY and value == "native_rtp":
        value = "simple_bridge"
    return roles.replace(value)


def variable_value(variable: str, value: str) -> str:
    """Value of a channel variable without the figures that no two runs share."""
    plain = variable.lstrip("_")
    if plain == FREE_VARIABLE:
        return "<any>"
    return re.sub(r"\d+", "#", value) if COUNTING_VARIABLES.fullmatch(plain) else value


def _decoded(value: str) -> str:
    """The text behind a URL-encoded header. One that was sent plain is marked: a client would decode it wrongly."""
    if not ENCODED.fullmatch(value):
        return f"<not encoded>{value}"
    text = urllib.parse.unquote(value, errors="surrogateescape")
    return AGI_FORMS.sub(lambda match: f"{match.group(1) or match.group(2)}<any>", text)
