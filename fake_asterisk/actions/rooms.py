"""Conference actions."""

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.apps.conference import Conference, admin_line
from fake_asterisk.channel import Channel
from fake_asterisk.message import Message
from fake_asterisk.render import snapshot
from fake_asterisk.session import Session

CALL, REPORTING = rights.CALL, rights.REPORTING


def _room(session: Session, message: Message) -> Conference | None:
    name = message.get("Conference")
    if not name:
        session.error(message, "No Conference name provided.")
        return None
    room = session.pbx.conferences.get(name)
    if room is None:
        text = "No active conferences." if not session.pbx.conferences else "No Conference by that name found."
        session.error(message, text)
    return room


@action("ConfbridgeList", REPORTING)
def room_list(session: Session, message: Message) -> None:
    """Who is in a room; an error if there is no room at all."""
    room = _room(session, message)
    if room is None:
        return
    session.start_list(message, "Confbridge user list will follow")
    for channel in room.bridge.channels:
        seconds = int(session.pbx.now() - room.entered_at.get(channel.uniqueid, session.pbx.now()))
        muted = "Yes" if channel.uniqueid in room.muted else "No"
        session.list_item(
            message,
            "ConfbridgeList",
            f"Conference: {room.name}\r\n{admin_line(channel)}MarkedUser: No\r\nWaitMarked: No\r\nEndMarked: No\r\n"
            f"EndMarkedAny: No\r\nWaiting: No\r\nMuted: {muted}\r\nTalking: No\r\nAnsweredTime: {seconds}\r\n"
            f"{snapshot(channel)}",
        )
    session.end_list(message, "ConfbridgeListComplete", len(room.bridge.channels))


@action("ConfbridgeListRooms", REPORTING)
def rooms(session: Session, message: Message) -> None:
    """Rooms; an error if there is none."""
    conferences = session.pbx.conferences
    if not conferences:
        session.error(message, "No active conferences.")
        return
    session.start_list(message, "Confbridge conferences will follow")
    for room in conferences.values():
        session.list_item(
            message,
            "ConfbridgeListRooms",
            f"Conference: {room.name}\r\nParties: {len(room.bridge.channels)}\r\nMarked: 0\r\n"
            f"Locked: {'Yes' if room.locked else 'No'}\r\nMuted: No\r\n",
        )
    session.end_list(message, "ConfbridgeListRoomsComplete", len(conferences))


def _members(session: Session, message: Message, room: Conference) -> list[Channel]:
    name = message.get("Channel")
    if name.lower() == "all":
        return list(room.bridge.channels)
    channel = session.pbx.by_name.get(name)  # a Uniqueid is not understood here (seen)
    return [channel] if channel is not None and channel.bridge is room.bridge else []


@action("ConfbridgeKick", CALL)
def kick(session: Session, message: Message) -> None:
    """A member, or all."""
    room = _room(session, message)
    if room is None:
        return
    members = _members(session, message, room)
    if not members:
        session.error(message, "No Channel by that name found in Conference.")
        return
    session.success(message, "All participants kicked" if message.get("Channel") == "all" else "User kicked")
    for channel in members:
        room.bridge.kick(channel)


def _mute(session: Session, message: Message, on: bool) -> None:
    if message.get("Conference") and not message.get("Channel"):
        session.error(message, "No channel name provided.")
        return
    room = _room(session, message)
    if room is None:
        return
    members = _members(session, message, room)
    if not members:
        session.error(message, "No Channel by that name found in Conference.")
        return
    session.success(message, "User muted" if on else "User unmuted")
    for channel in members:
        (room.muted.add if on else room.muted.discard)(channel.uniqueid)
        room.event("ConfbridgeMute" if on else "ConfbridgeUnmute", channel, admin_line(channel))


@action("ConfbridgeMute", CALL)
def mute(session: Session, message: Message) -> None:
    """A member, or all."""
    _mute(session, message, True)


@action("ConfbridgeUnmute", CALL)
def unmute(session: Session, message: Message) -> None:
    """A member, or all."""
    _mute(session, message, False)


@action("ConfbridgeLock", CALL)
def lock(session: Session, message: Message) -> None:
    """Nobody else may enter."""
    room = _room(session, message)
    if room is not None:
        room.locked = True
        session.success(message, "Conference locked")


@action("ConfbridgeUnlock", CALL)
def unlock(session: Session, message: Message) -> None:
    """Anybody may enter again."""
    room = _room(session, message)
    if room is not None:
        room.locked = False
        session.success(message, "Conference unlocked")
