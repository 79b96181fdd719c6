"""Recording and muting."""

import os.path

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.channel import Channel
from fake_asterisk.message import Message
from fake_asterisk.session import Session

SYSTEM, CALL = rights.SYSTEM, rights.CALL


def start_recording(channel: Channel, file: str, options: str) -> str:
    """Start a recording; its id. `i(NAME)` in the options stores the id in a variable."""
    pbx = channel.pbx
    number = f"0x7f{pbx.rng.getrandbits(40):010x}"
    path = file if file.startswith("/") else os.path.join(pbx.config.recordings_folder, file)
    channel.recordings[number] = path
    channel.set_variable("MIXMONITOR_FILENAME", path)
    _, has_id, rest = options.partition("i(")
    if has_id:
        channel.set_variable(rest.partition(")")[0], number)
    if channel.bridge is not None:
        channel.bridge.hooked()
    channel.event(CALL, "MixMonitorStart")
    return number


def stop_recordings(channel: Channel, wanted: str = "") -> None:
    """Stop the recording with this id, or all."""
    for number in [n for n in channel.recordings if not wanted or n == wanted]:
        del channel.recordings[number]
        channel.event(CALL, "MixMonitorStop")


def _channel(session: Session, message: Message) -> Channel | None:
    name = message.get("Channel")
    if not name:
        session.error(message, "No channel specified")
        return None
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, "No such channel")
    return channel


@action("MixMonitor", SYSTEM)
def mix_monitor(session: Session, message: Message) -> None:
    """The response names the recording only if the options ask for its id."""
    channel = _channel(session, message)
    if channel is None:
        return
    if not message.get("File"):
        session.error(message, "Could not start monitoring channel")
        return
    options = message.get("Options")
    number = start_recording(channel, message.get("File"), options)
    lines = [f"MixMonitorID: {number}"] if "i(" in options else []
    session.success(message, None, *lines)


@action("StopMixMonitor", SYSTEM | CALL)
def stop_mix_monitor(session: Session, message: Message) -> None:
    """One recording or all; refused if there is none."""
    channel = _channel(session, message)
    if channel is None:
        return
    wanted = message.get("MixMonitorID")
    if not any(not wanted or number == wanted for number in channel.recordings):
        session.error(message, "Could not stop monitoring channel")
        return
    session.success(message)
    stop_recordings(channel, wanted)


@action("MixMonitorMute", SYSTEM | CALL)
def mix_monitor_mute(session: Session, message: Message) -> None:
    """Direction read, write or both; State 1 or 0."""
    name, direction, state = message.get("Channel"), message.get("Direction").lower(), message.get("State")
    if not direction:
        session.error(message, "No direction specified. Must be read, write or both")
    elif direction not in ("read", "write", "both"):
        session.error(message, "Invalid direction specified. Must be read, write or both")
    elif not name:
        session.error(message, "No channel specified")
    elif not state:
        session.error(message, "No state specified")
    elif (channel := session.pbx.channel(name)) is None:
        session.error(message, "No such channel")
    else:
        session.success(message)
        channel.event(CALL, "MixMonitorMute", f"Direction: {direction}\r\nState: {int(state == '1')}\r\n")


@action("MuteAudio", SYSTEM)
def mute_audio(session: Session, message: Message) -> None:
    """In, out or all; no event follows."""
    name = message.get("Channel")
    if not name:
        session.error(message, "Channel not specified")
    elif not message.get("State"):
        session.error(message, "State not specified")
    elif not message.get("Direction"):
        session.error(message, "Direction not specified")
    elif session.pbx.channel(name) is None:
        session.error(message, "No such channel")
    elif message.get("Direction").lower() not in ("in", "out", "all"):
        session.error(message, "Failed to mute/unmute stream")
    else:
        session.success(message)
