"""Action Originate."""

import re

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.conf import parse_caller
from fake_asterisk.message import Message
from fake_asterisk.originate import Originate, Request
from fake_asterisk.session import Session

CHANNEL_ID_MAX = 149
# Application names that could run commands, and words of their data that could: refused without class system.
_DANGEROUS_APPLICATIONS = ("agi", "exec", "mixmonitor", "originate", "system", "externalivr", "reload", "dbdeltree")
_DANGEROUS_DATA = ("CURL", "DB", "EVAL", "FILE", "ODBC", "REALTIME", "SHELL")


@action("Originate", rights.ORIGINATE)
def originate(session: Session, message: Message) -> None:
    """Asynchronous: `successfully queued` and later an OriginateResponse. Otherwise the session waits for the end."""
    request = _request(session, message)
    if request is None:
        return
    asynchronous = message.true("Async")
    if asynchronous:
        session.success(message, "Originate successfully queued")
        Originate(session.pbx, request, asynchronous=True)
        return
    session.block()
    pending = Originate(session.pbx, request, asynchronous=False)

    def finished(success: bool) -> None:
        if session.closed:
            return
        if success:
            session.success(message, "Originate successfully queued")
        else:
            session.error(message, "Originate failed")
        session.pbx.loop.call_soon(session.unblock)

    pending.finished = finished


def _request(session: Session, message: Message) -> Request | None:
    get = message.get
    for key in ("ChannelId", "OtherChannelId"):
        if len(get(key).encode()) > CHANNEL_ID_MAX:
            session.error(message, f"Uniqueid length exceeds maximum of {CHANNEL_ID_MAX}")
            return None
    if not get("Channel"):
        session.error(message, "Channel not specified")
        return None
    timeout, priority = get("Timeout"), get("Priority")
    number = 0
    if priority:
        found = (
            int(priority) if priority.isdigit() else session.pbx.dialplan.label(get("Context"), get("Exten"), priority)
        )
        if not found:
            session.error(message, "Invalid priority")
            return None
        number = found
    if timeout and not re.match(r"\s*-?\d", timeout):
        session.error(message, "Invalid timeout")
        return None
    tech, slash, resource = get("Channel").partition("/")
    if not slash or not resource:
        session.error(message, "Invalid channel")
        return None
    application, data = get("Application"), get("Data")
    if application and not session.may(rights.SYSTEM) and _forbidden(application, data):
        session.error(message, "Originate Access Forbidden: app or data blacklisted")
        return None
    context, exten = get("Context"), get("Exten")
    if not application:
        if not (exten and context and number):
            session.error(message, "Originate with 'Exten' requires 'Context' and 'Priority'")
            return None
        if session.pbx.dialplan.find(context, exten, number) is None:
            session.error(message, "Extension does not exist.")
            return None
    return Request(
        tech, resource, (int(timeout.split(".")[0]) if timeout else 30000) / 1000, application, data, context, exten,
        number or 1, parse_caller(get("CallerID")) if get("CallerID") else ("", ""), get("Account"),
        _variables(message), get("ChannelId"), get("OtherChannelId"), message.true("EarlyMedia"), message.action_id,
        session.user.name if session.user is not None else "",
    )  # fmt: skip


def _forbidden(application: str, data: str) -> bool:
    name = application.lower()
    return any(word in name for word in _DANGEROUS_APPLICATIONS) or any(word in data for word in _DANGEROUS_DATA)


def _variables(message: Message) -> list[tuple[str, str]]:
    found = []
    for value in message.all("Variable"):
        for part in _split(value):
            name, _, text = part.partition("=")
            if name.strip():
                found.append((name.strip(), text))
    return found


_DIVIDING = re.compile(r'[",()\[\]]')


def _split(value: str) -> list[str]:
    """Commas outside parentheses and quotes divide several settings in one header."""
    if "," not in value:
        return [value]
    parts, depth, quoted, start = [], 0, False, 0
    for found in _DIVIDING.finditer(value):
        n, character = found.start(), found[0]
        if character == '"':
            quoted = not quoted
        elif character in "([" and not quoted:
            depth += 1
        elif character in ")]" and not quoted:
            depth -= 1
        elif character == "," and depth <= 0 and not quoted:
            parts.append(value[start:n])
            start = n + 1
    return [*parts, value[start:]]
