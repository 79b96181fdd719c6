"""Applications that need nobody else: answering, waiting, playing, setting variables, jumping."""

from fake_asterisk import rights
from fake_asterisk.apps.registry import END, application, arguments, execute, exists
from fake_asterisk.channel import UP, Channel, Diverted, Hungup
from fake_asterisk.dialplan import substitute, truth
from fake_asterisk.local import media_flows, telephone_behind

FOREVER_S = 1e9
_FIRST_SOUND_S = 0.5


@application("NoOp", "Verbose", "Log", "StopPlaytones", "Progress", "Playtones", "Background_")
async def noop(channel: Channel, data: str) -> None:
    """Nothing that AMI would show."""


@application("Answer")
async def answer(channel: Channel, data: str) -> None:
    """Answer the channel if it is not up, and give sound half a second to arrive."""
    if channel.state == UP:
        return
    channel.pbx.answer(channel)
    if not media_flows(channel):
        await channel.sleep(_FIRST_SOUND_S)


@application("Ringing")
async def ringing(channel: Channel, data: str) -> None:
    """Tell the far end that it rings."""
    if channel.far_end is not None:
        channel.far_end.indicate("ringing")


@application("Wait")
async def wait(channel: Channel, data: str) -> None:
    """Wait for seconds."""
    await channel.sleep(_seconds(data, 0))


@application("Hangup")
async def hangup(channel: Channel, data: str) -> int:
    """End the channel, with a cause if given."""
    cause = int(data) if data.strip().isdigit() else 0
    channel.cause = cause or channel.cause or 16
    return END


@application("Busy")
async def busy(channel: Channel, data: str) -> int:
    """Busy tone, then the end."""
    channel.cause = 17
    await channel.sleep(_seconds(data, FOREVER_S))
    return END


@application("Congestion")
async def congestion(channel: Channel, data: str) -> int:
    """Congestion tone, then the end."""
    channel.cause = 34
    await channel.sleep(_seconds(data, FOREVER_S))
    return END


@application("MusicOnHold")
async def music_on_hold(channel: Channel, data: str) -> None:
    """Music, without end or for a time that counts from its start."""
    name, duration = arguments(data, 2)
    channel.start_music(name or "default")
    try:
        await channel.sleep(_seconds(duration, FOREVER_S))
    except (Hungup, Diverted):
        channel.stop_music()
        raise
    channel.stop_music()


@application("StartMusicOnHold")
async def start_music(channel: Channel, data: str) -> None:
    """Music until something stops it."""
    channel.start_music(data or "default")


@application("StopMusicOnHold")
async def stop_music(channel: Channel, data: str) -> None:
    """No more music."""
    channel.stop_music()


@application("Playback", "BackGround")
async def playback(channel: Channel, data: str) -> None:
    """Play files joined by `&`. PLAYBACKSTATUS is FAILED for a missing one only: not for a listener who hung up."""
    config = channel.pbx.config
    channel.pbx.answer(channel)
    status = "SUCCESS"
    try:
        for name in arguments(data, 2)[0].split("&"):
            channel.stop_music()
            length = config.sounds.get(name, config.other_sounds_s)
            if length is None:
                status = "FAILED"
                break
            await channel.sleep(length)
    except Hungup:
        channel.set_variable("PLAYBACKSTATUS", "SUCCESS")
        raise
    channel.set_variable("PLAYBACKSTATUS", status)


@application("Set")
async def set_variable(channel: Channel, data: str) -> None:
    """NAME=value or FUNCTION(args)=value."""
    name, equals, value = data.partition("=")
    if equals:
        channel.set_variable(name.strip(), value)


@application("UserEvent")
async def user_event(channel: Channel, data: str) -> None:
    """An event of class user with the channel's snapshot and whatever lines the dialplan gives."""
    name, *lines = data.split(",")
    body = "".join(f"{line.strip() if ':' not in line else _header(line)}\r\n" for line in lines)
    channel.event(rights.USER, "UserEvent", f"UserEvent: {name.strip()}\r\n{body}")


def _header(line: str) -> str:
    key, _, value = line.partition(":")
    return f"{key.strip()}: {value.strip()}"


@application("Goto")
async def goto(channel: Channel, data: str) -> int:
    """`[[context,]exten,]priority`, the priority by number or label."""
    return 0 if _go(channel, data) else END


@application("GotoIf")
async def goto_if(channel: Channel, data: str) -> int:
    """`condition?yes:no`."""
    condition, _, ways = data.partition("?")
    yes, _, no = ways.partition(":")
    way = yes if truth(condition) else no
    return 0 if not way.strip() or _go(channel, way.strip()) else END


@application("ExecIf")
async def exec_if(channel: Channel, data: str) -> int:
    """`condition?App(args):App(args)`."""
    condition, _, ways = data.partition("?")
    yes, _, no = _split_outside(ways)
    call = (yes if truth(condition) else no).strip()
    if not call:
        return 0
    name, _, rest = call.partition("(")
    rest = rest[:-1] if rest.endswith(")") else rest
    return await execute(channel, name.strip(), rest) if exists(name.strip()) else END


def _split_outside(text: str) -> tuple[str, str, str]:
    depth = 0
    for n, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ":" and depth == 0:
            return text[:n], ":", text[n + 1 :]
    return text, "", ""


def _go(channel: Channel, target: str) -> bool:
    parts = [part.strip() for part in target.split(",")]
    context = parts[-3] if len(parts) > 2 else channel.context
    exten = parts[-2] if len(parts) > 1 else channel.exten
    priority = channel.pbx.dialplan.label(context, exten, parts[-1])
    if priority is None:
        return False
    channel.context, channel.exten, channel.priority = context, exten, priority
    channel.jumped = True  # so that a jump to the very same place is not taken for standing still
    return True


@application("Return")
async def back(channel: Channel, data: str) -> None:
    """End of a routine; hangup handlers stop here."""


@application("Exec", "TryExec")
async def exec_application(channel: Channel, data: str) -> int:
    """Run `App(args)` after substitution."""
    name, _, rest = substitute(data, channel.get_variable).partition("(")
    rest = rest[:-1] if rest.endswith(")") else rest
    return await execute(channel, name.strip(), rest) if exists(name.strip()) else END


@application("MixMonitor")
async def mix_monitor(channel: Channel, data: str) -> None:
    """Start recording, as the action does."""
    from fake_asterisk.actions.recording import start_recording

    file, options, _ = arguments(data, 3)
    start_recording(channel, file, options)


@application("StopMixMonitor")
async def stop_mix_monitor(channel: Channel, data: str) -> None:
    """Stop all recordings, or the one with this id."""
    from fake_asterisk.actions.recording import stop_recordings

    stop_recordings(channel, data.strip())


@application("AMD")
async def answering_machine_detection(channel: Channel, data: str) -> None:
    """Decide from the first sounds. The times are those seen with the lab's voices."""
    telephone = telephone_behind(channel)
    voice = telephone.behaviour.voice if telephone is not None else "silent"
    since_answer = channel.pbx.now() - (channel.answered_at or channel.pbx.now())
    status, cause, decided_at = {
        "human": ("HUMAN", "HUMAN-800-800", 1.6),
        "machine": ("MACHINE", "MAXWORDS-3-2", 1.93),
    }.get(voice, ("NOTSURE", "TOOLONG-4900", since_answer + 5.1))
    channel.stop_music()
    try:
        await channel.sleep(max(0.05, decided_at - since_answer))
    except Hungup:  # a decision too, and no failure of the application: the caller reads AMDSTATUS (seen)
        status, cause = "HANGUP", ""
    channel.set_variable("AMDSTATUS", status)
    channel.set_variable("AMDCAUSE", cause)


@application("WaitForSilence")
async def wait_for_silence(channel: Channel, data: str) -> None:
    """Wait until nothing was heard for so many milliseconds, or for the timeout. WAITSTATUS says which it was."""
    silence, _, timeout = arguments(data, 3)
    quiet_s, deadline = _seconds(silence, 1000) / 1000, channel.pbx.now() + (_seconds(timeout, 0) or FOREVER_S)
    heard_at = channel.pbx.now()
    while (now := channel.pbx.now()) < deadline:
        if media_flows(channel):
            heard_at = now
        elif now - heard_at >= quiet_s - 1e-6:
            channel.set_variable("WAITSTATUS", "SILENCE")
            return
        await channel.sleep(min(0.1, deadline - now))
    channel.set_variable("WAITSTATUS", "TIMEOUT")


def _seconds(text: str, default: float) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return default
