"""Actions upon one channel."""

import re
from bisect import bisect_left

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.apps.agi import add_command
from fake_asterisk.bridge import Bridge, impart, pull
from fake_asterisk.channel import UP, Channel
from fake_asterisk.message import Message
from fake_asterisk.render import bridge_snapshot
from fake_asterisk.session import Session

SYSTEM, CALL, REPORTING = rights.SYSTEM, rights.CALL, rights.REPORTING


@action("Hangup", SYSTEM | CALL)
def hangup(session: Session, message: Message) -> None:
    """One channel by name or Uniqueid, or all whose name fits `/expression/`."""
    name = message.get("Channel")
    number = int(message.get("Cause")) if message.get("Cause").isdigit() else 0
    cause = number if 0 < number <= 127 else None
    if not name:
        session.error(message, "No channel specified")
        return
    if name.startswith("/"):
        _hangup_all(session, message, name, cause)
        return
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, "No such channel")
        return
    session.success(message, "Channel Hungup")
    channel.soft_hangup(cause)


def _hangup_all(session: Session, message: Message, name: str, cause: int | None) -> None:
    if len(name) < 3 or not name.endswith("/"):
        session.error(message, "Regex format invalid, Channel param should be /regex/")
        return
    try:
        expression = re.compile(name[1:-1])
    except re.error:
        session.error(message, f"Regex compile failed on: {name}")
        return
    session.start_list(message, "Channels hung up will follow")
    matching = [c for n, c in session.pbx.by_name.items() if expression.search(n)]
    for channel in matching:
        session.direct_event(message, "ChannelHungup", f"Channel: {channel.name}\r\n", action_id_last=True)
    session.end_list(message, "ChannelsHungupListComplete", len(matching))
    for channel in matching:
        channel.soft_hangup(cause)


@action("Getvar", CALL | REPORTING)
def getvar(session: Session, message: Message) -> None:
    """An unset variable is a success with nothing in it."""
    variable, name = message.get("Variable"), message.get("Channel")
    if not variable:
        session.error(message, "No variable specified")
        return
    channel = None
    if name:
        channel = session.pbx.channel(name)
        if channel is None:
            session.error(message, "No such channel")
            return
    if channel is not None:
        value = channel.get_variable(variable)
    else:
        value = session.pbx.functions.read(None, variable)
    session.success(message, None, f"Variable: {variable}", f"Value: {value or ''}")


@action("Setvar", CALL)
def setvar(session: Session, message: Message) -> None:
    """Of a channel, or global."""
    variable, name, value = message.get("Variable"), message.get("Channel"), message.get("Value")
    if not variable:
        session.error(message, "No variable specified")
        return
    channel = None
    if name:
        channel = session.pbx.channel(name)
        if channel is None:
            session.error(message, "No such channel")
            return
    session.success(message, "Variable Set")
    if channel is not None:
        channel.set_variable(variable, value)
    elif variable.endswith(")"):
        session.pbx.functions.write(None, variable, value)
    else:
        session.pbx.global_variables[variable] = value
        if session.pbx.wanted & rights.DIALPLAN:
            body = f"Channel: none\r\nUniqueid: none\r\nVariable: {variable}\r\nValue: {value}\r\n"
            session.pbx.emit(rights.DIALPLAN, "VarSet", body)


@action("AGI", rights.AGI)
def agi(session: Session, message: Message) -> None:
    """Queue a command: success says nothing about its being run."""
    name, command = message.get("Channel"), message.get("Command")
    if not name or not command:
        session.error(message, "Both, Channel and Command are *required*")
        return
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, f"Channel {name} does not exist.")
        return
    if channel.agi_queue is None:
        session.error(message, f"Failed to add AGI command to channel {channel.name} queue")
        return
    session.success(message, "Added AGI command to queue")
    add_command(channel, command, message.get("CommandID"))


@action("AbsoluteTimeout", SYSTEM | CALL)
def absolute_timeout(session: Session, message: Message) -> None:
    """Whole seconds, at least one."""
    timeout = message.get("Timeout")
    if not message.get("Channel"):
        session.error(message, "No channel specified")
        return
    if not timeout.isdigit() or int(timeout) <= 0:
        session.error(message, "No timeout specified")
        return
    channel = session.pbx.channel(message.get("Channel"))
    if channel is None:
        session.error(message, "No such channel")
        return
    channel.set_absolute_timeout(int(timeout))
    session.success(message, "Timeout Set")


@action("PlayDTMF", CALL)
def play_dtmf(session: Session, message: Message) -> None:
    """Sent to the far end without an event; with Receive the channel hears it itself, and its peer is sent it."""
    name, digit = message.get("Channel"), message.get("Digit")
    channel = session.pbx.channel(name) if name else None
    if channel is None:
        session.error(message, "Channel not found")
        return
    if not digit:
        session.error(message, "No digit specified")
        return
    session.success(message, "DTMF successfully queued")
    if not message.true("Receive"):
        return
    duration = message.get("Duration")
    length = int(duration) if duration.isdigit() else 0
    _dtmf_end(channel, digit, length, "Received")
    if channel.bridge is not None:
        for peer in channel.bridge.channels:
            if peer is not channel:
                peer.event(rights.DTMF, "DTMFBegin", f"Digit: {digit}\r\nDirection: Sent\r\n")
                _dtmf_end(peer, digit, length, "Sent")


def _dtmf_end(channel: Channel, digit: str, length: int, direction: str) -> None:
    extra = f"Digit: {digit}\r\nDurationMs: {length}\r\nDirection: {direction}\r\n"
    channel.event(rights.DTMF, "DTMFEnd", extra)


def _by_beginning(session: Session, name: str) -> Channel | None:
    """Bridge takes a name or Uniqueid, or the *beginning* of one: with ids that begin alike it may take the other."""
    exact = session.pbx.by_name.get(name)
    if exact is not None:
        return exact
    pbx = session.pbx
    if name in pbx.channels:  # no name of a channel begins like that: only ids need be looked through
        place, fitting = bisect_left(pbx.ids, name), []
        while place < len(pbx.ids) and pbx.ids[place].startswith(name):
            fitting.append(pbx.channels[pbx.ids[place]])
            place += 1
        return max(fitting, key=lambda channel: channel.number)
    fitting = [c for c in pbx.channels.values() if c.name.startswith(name) or c.uniqueid.startswith(name)]
    return fitting[-1] if fitting else None


@action("Bridge", CALL)
def bridge(session: Session, message: Message) -> None:
    """Join two channels; afterwards each goes on in its dialplan, or ends if it has none."""
    pbx = session.pbx
    names = message.get("Channel1"), message.get("Channel2")
    if not all(names):
        session.error(message, "Missing channel parameter in request")
        return
    channels = []
    for number, name in enumerate(names, 1):
        channel = _by_beginning(session, name)
        if channel is None:
            session.error(message, f"Channel{number} does not exist: {name}")
            return
        channels.append(channel)
    together: Bridge | None = None
    for number, channel in enumerate(channels, 1):
        if channel.hung or channel.fiber is None:
            session.error(message, f"Unable to add Channel{number} to bridge: {channel.name}")
            if together is not None:
                together.dissolve()
            return
        together = together or Bridge(pbx)
        channel.after_bridge = (channel.context, channel.exten, channel.priority + channel.runs_dialplan)
        channel.after_bridge_if_exists = False
        channel.displaced = channel.application.lower() == "bridge" and channel.bridge is not None
        impart(together, channel)
    session.success(message, "Channels have been bridged")


@action("Redirect", CALL)
def redirect(session: Session, message: Message) -> None:
    """Send a channel, or two that are bridged, elsewhere in the dialplan."""
    if not (first := _place(session, message, "", "Channel")):
        return
    second = None
    if message.get("ExtraChannel"):
        second = _place(session, message, "Extra", "ExtraChannel")
        if second is None:
            return
    elsewhere(*first)
    if second is not None:
        elsewhere(*second)
        session.success(message, "Dual Redirect successful")
    else:
        session.success(message, "Redirect successful")


def _place(session: Session, message: Message, prefix: str, key: str) -> tuple[Channel, str, str, int] | None:
    name = message.get(key)
    context = message.get(f"{prefix}Context") or message.get("Context")
    exten = message.get(f"{prefix}Exten") or message.get("Exten")
    priority = message.get(f"{prefix}Priority") or message.get("Priority")
    if not name:
        session.error(message, "Channel not specified")
        return None
    for value, what in ((context, "Context"), (exten, "Exten"), (priority, "Priority")):
        if not value:
            session.error(message, f"{prefix}{what} not specified")
            return None
    number = int(priority) if priority.isdigit() else session.pbx.dialplan.label(context, exten, priority)
    if number is None:
        session.error(message, f"{prefix}Priority is invalid")
        return None
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, f"{key} does not exist: {name}")
        return None
    if channel.hung:
        session.error(message, f"Redirect failed, {'extra ' if prefix else ''}channel not up.")
        return None
    return channel, context, exten, number


def elsewhere(channel: Channel, context: str, exten: str, priority: int) -> None:
    """Whatever runs on the channel ends, and the dialplan goes on there."""
    if channel.bridge is not None or channel.runs_dialplan:
        channel.divert(context, exten, priority)
        return
    channel.music = None  # it ends without an event when the dialplan takes over (seen)
    pull(channel)
    channel.context, channel.exten, channel.priority = context, exten, priority
    channel.pbx.start(channel, channel.pbx.dialplan_run(channel))


@action("BlindTransfer", CALL)
def blind_transfer(session: Session, message: Message) -> None:
    """The peer of a bridged channel goes to a context and extension."""
    name = message.get("Channel")
    if not name:
        session.error(message, "No channel specified")
        return
    exten = message.get("Exten")
    if not exten:
        session.error(message, "No extension specified")
        return
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, "Channel specified does not exist")
        return
    context = message.get("Context") or channel.context
    peers = [c for c in channel.bridge.channels if c is not channel] if channel.bridge is not None else []
    if not peers:
        where = f"IsExternal: Yes\r\nContext: {context}\r\nExtension: {exten}\r\n"
        session.pbx.emit(CALL, "BlindTransfer", f"Result: Invalid\r\n{channel.snapshot('Transferer')}{where}")
        session.error(message, "Transfer invalid")
        return
    peer = peers[0]
    assert channel.bridge is not None
    channel.event(CALL, "Unhold")
    peer.set_variable("BLINDTRANSFER", channel.name)
    channel.set_variable("BLINDTRANSFER", peer.name)
    if session.pbx.wanted & CALL:
        session.pbx.emit(
            CALL,
            "BlindTransfer",
            f"Result: Success\r\n{channel.snapshot('Transferer')}{peer.snapshot('Transferee')}"
            f"{bridge_snapshot(channel.bridge)}IsExternal: Yes\r\nContext: {context}\r\nExtension: {exten}\r\n",
        )
    session.success(message, "Transfer succeeded")
    peer.divert(context, exten, 1)


@action("Atxfer", CALL)
def attended_transfer(session: Session, message: Message) -> None:
    """Needs a feature code in features.conf, which this PBX has not."""
    if not message.get("Channel"):
        session.error(message, "No channel specified")
    elif not message.get("Exten"):
        session.error(message, "No extension specified")
    elif session.pbx.channel(message.get("Channel")) is None:
        session.error(message, "Channel specified does not exist")
    else:
        session.error(message, "No attended transfer feature code found")


@action("SendText", CALL)
def send_text(session: Session, message: Message) -> None:
    """Accepted for a channel that is up."""
    channel = session.pbx.channel(message.get("Channel"))
    if not message.get("Channel"):
        session.error(message, "No channel specified")
    elif not message.get("Message"):
        session.error(message, "No Message specified")
    elif channel is None:
        session.error(message, "No such channel")
    else:
        session.respond(
            message, "Success" if channel.state == UP else "Error", "Success" if channel.state == UP else "Failure"
        )
