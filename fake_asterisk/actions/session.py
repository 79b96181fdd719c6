"""Actions about the connection itself: login, masks, filters, ping, what is allowed."""

import hashlib
import re

from fake_asterisk import rights
from fake_asterisk.actions.registry import ACTIONS, action
from fake_asterisk.message import Message
from fake_asterisk.session import Session


@action("Challenge", 0)
def challenge(session: Session, message: Message) -> None:
    """A decimal challenge for Login with AuthType MD5."""
    if message.get("AuthType").upper() != "MD5":
        session.error(message, "Must specify AuthType")
        return
    if not session.challenge:
        session.challenge = str(session.pbx.rng.getrandbits(28))
    session.respond(message, "Success", None, f"Challenge: {session.challenge}")


@action("Login", 0)
def login(session: Session, message: Message) -> None:
    """Plain or MD5. A wrong secret is answered after a second, and the connection closed."""
    if session.user is not None:
        session.success(message, "Already authenticated")
        return
    pbx = session.pbx
    user = pbx.config.users.get(message.get("Username"))
    if user is None or not _secret_fits(session, message, user):

        def refuse() -> None:
            if not session.closed:
                session.error(message, "Authentication failed")
                session.close()

        session.block()
        pbx.loop.call_later(pbx.config.login_delay_s, refuse)
        return
    events = message.get("Events")
    session.success(message, "Authentication accepted")
    session.logged_in(user, rights.parse_event_mask(events) if events else rights.ALL)
    pbx.power.greet(session)


def _secret_fits(session: Session, message: Message, user: rights.ManagerUser) -> bool:
    if message.get("AuthType").upper() == "MD5":
        digest = hashlib.md5((session.challenge + user.secret).encode(), usedforsecurity=False).hexdigest()
        return bool(session.challenge) and message.get("Key").lower() == digest
    return message.get("Secret") == user.secret


@action("Logoff", 0)
def logoff(session: Session, message: Message) -> None:
    """Goodbye."""
    session.respond(message, "Goodbye", "Thanks for all the fish.")
    session.close()


@action("Ping", 0)
def ping(session: Session, message: Message) -> None:
    """Pong, with the time."""
    session.success(message, None, "Ping: Pong", f"Timestamp: {session.pbx.wall():.6f}")


@action("Events", 0)
def events(session: Session, message: Message) -> None:
    """Which classes are sent. A class nobody knows counts for nothing; no mask at all is refused."""
    if not message.get("EventMask"):
        session.error(message, "Invalid event mask")
        return
    mask = rights.parse_event_mask(message.get("EventMask"))
    session.set_mask(mask)
    session.success(message, None, f"Events: {'On' if mask else 'Off'}")


@action("Filter", rights.SYSTEM)
def add_filter(session: Session, message: Message) -> None:
    """Operation Add, Filter: a regular expression."""
    if message.get("Operation").lower() != "add":
        session.error(message, "Unknown operation")
        return
    try:
        session.add_filter(message.get("Filter"))
    except re.error:
        session.error(message, "Filter did not compile.  Check the syntax of the filter given.")
        return
    session.success(message, "Success")


@action("ListCommands", 0)
def list_commands(session: Session, message: Message) -> None:
    """The actions this user may run, one header each."""
    lines = [
        f"{entry.name}: understood by this fake (Priv: {rights.class_text(entry.needs)})"
        for entry in sorted(ACTIONS.values(), key=lambda a: a.name)
        if session.may(entry.needs)
    ]
    session.success(message, None, *lines)


@action("UserEvent", rights.USER)
def user_event(session: Session, message: Message) -> None:
    """Every line but Action and UserEvent is passed on as it came."""
    body = "".join(
        f"{line}\r\n" for line in message.lines if line.partition(":")[0].lower() not in ("action", "userevent")
    )
    session.success(message, "Event Sent")
    session.pbx.emit(rights.USER, "UserEvent", f"UserEvent: {message.get('UserEvent')}\r\n{body}")


@action("WaitEvent", 0)
def wait_event(session: Session, message: Message) -> None:
    """Made for HTTP sessions; a TCP one gets the empty list at once."""
    session.success(message, "Waiting for Event completed.")
    session.direct_event(message, "WaitEventComplete", "")
