"""Moving, supervising, recording and taking calls in: typed actions → AMI actions, by control mode. Pure.

What makes it possible without a dialplan: a channel that AsyncAGI lost to a bridge comes back by Redirect into a step
that runs AsyncAGI again. That step is laid down by DialplanExtensionAdd (class system; no file is changed): at login,
and again before each use, since somebody's `dialplan reload` takes it away without a word. Seen on 22.10: the customer
leaves the bridge, the agent's EXEC Bridge ends, both wait; a MixMonitor goes on. The include has extensions for the
same (config/asterisk/extensions-cadran.conf).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Final

from daemon.ami.channels import Leg
from daemon.ami.codec import HeaderValue
from daemon.calls import actions as act
from daemon.calls.dialling import NAME, SOUND, checked
from daemon.errors import FieldRefused, PbxRejected

AmiAction = Mapping[str, HeaderValue]

RUNTIME_CONTEXT: Final = "cadran-rt"
PARK_EXTENSION: Final = "park"
FAX_EXTENSION: Final = "fax"
"""Where Asterisk sends a channel that sounds like a fax, in whatever context the channel stands."""
VOICE_CAPABILITIES: Final = (
    "hold", "conference", "mute", "dtmf", "spy", "record_on_demand", "inbound",
)  # fmt: skip
BY_MODE: Final[Mapping[str, frozenset[str]]] = {
    "asyncagi": frozenset(VOICE_CAPABILITIES),
    "dialplan": frozenset(VOICE_CAPABILITIES) - {"record_on_demand"},
    "basic": frozenset({"mute", "dtmf", "spy"}),
}
"""`record` itself is in daemon.ami.modes: in `dialplan` the include starts it."""
SPY_OPTIONS: Final = {"listen": "qdE", "whisper": "qdEw", "barge": "qdEB"}
"""q: no beep; d: digits 4, 5, 6 switch; E: the spy leaves with whom it hears."""
SPY_DIGITS: Final = {"listen": "4", "whisper": "5", "barge": "6"}

_FILE = re.compile(r"[A-Za-z0-9_./-]{1,200}\.(wav|WAV|gsm|ulaw|alaw|sln)")
_DIGITS = re.compile(r"[0-9A-D*#]{1,32}")
_ids = count(1)

VoiceAction = (
    act.Park
    | act.Join
    | act.Mute
    | act.SendDigits
    | act.SetSpyMode
    | act.StartRecording
    | act.StopRecording
    | act.MuteRecording
    | act.Answer
    | act.Announce
    | act.Release
)


def preparation(places: Sequence[str] = (PARK_EXTENSION, FAX_EXTENSION)) -> list[AmiAction]:
    """What mode asyncagi lays down."""
    steps = (("1", "AGI", "agi:async"), ("2", "Hangup", ""))
    return [
        {
            "Action": "DialplanExtensionAdd",
            "Context": RUNTIME_CONTEXT,
            "Extension": extension,
            "Priority": priority,
            "Application": application,
            "ApplicationData": data,
            "Replace": "yes",
        }
        for extension in places
        for priority, application, data in steps
    ]


def lost(mode: str, commands: Collection[str], include: bool | None) -> frozenset[str]:
    """Of this mode's voice capabilities, those that the rights or the include don't leave."""
    if not commands:
        return frozenset()
    needs = {
        "hold": {"Redirect", "DialplanExtensionAdd"} if mode == "asyncagi" else {"Redirect"},
        "conference": {"ConfbridgeKick", "Redirect"} if mode == "asyncagi" else {"Redirect"},
        "mute": {"Setvar"},
        "dtmf": {"PlayDTMF"},
        "spy": {"Originate"},
        "record_on_demand": {"MixMonitor"},
        "inbound": {"AGI"} if mode == "asyncagi" else {"Redirect", "Setvar"},
    }
    gone = {name for name, actions in needs.items() if actions - set(commands)}
    if "hold" in gone:
        gone.add("conference")
    if mode == "dialplan" and include is False:
        gone |= {"hold", "conference", "inbound"}
    return frozenset(gone & BY_MODE[mode])


def absolute_timeout(channel: str, seconds: float) -> AmiAction:
    """The PBX ends the channel so long from now, whatever was set before."""
    return {"Action": "AbsoluteTimeout", "Channel": channel, "Timeout": str(max(1, math.ceil(seconds)))}


class Voice:
    """The voice actions of one mode. `requests` raises PbxRejected for what it can't do."""

    def __init__(self, mode: str, customer_context: str, agent_context: str) -> None:
        self.mode = mode
        self.customer_context, self.agent_context = customer_context, agent_context

    def requests(self, action: VoiceAction, leg: Leg) -> list[AmiAction]:
        """What to write, in order."""
        match action:
            case act.Park():
                return self._park(leg)
            case act.Join():
                return self._join(action, leg)
            case act.Mute():
                return [_setvar(leg.channel, "MUTEAUDIO(in)", "on" if action.on else "off")]
            case act.SendDigits():
                digits = checked("digits", action.digits, _DIGITS)
                return [{"Action": "PlayDTMF", "Channel": leg.channel, "Digit": digit} for digit in digits]
            case act.SetSpyMode():
                digit = SPY_DIGITS[_spy_mode(action.mode)]
                return [{"Action": "PlayDTMF", "Channel": leg.channel, "Digit": digit, "Receive": "true"}]
            case act.StartRecording():
                file = checked("file", action.file, _FILE)
                return [{"Action": "MixMonitor", "Channel": leg.channel, "File": file, "Options": "b"}]
            case act.StopRecording():
                return [{"Action": "StopMixMonitor", "Channel": leg.channel}]
            case act.MuteRecording():
                state = "1" if action.on else "0"
                head = {"Action": "MixMonitorMute", "Channel": leg.channel}
                return [{**head, "Direction": "both", "State": state}]
            case act.Answer():
                return self._answer(action, leg)
            case act.Announce():
                return self._announce(action, leg)
            case act.Release():
                context = checked("context", action.context, NAME)
                away = _redirect(leg.channel, context, checked("extension", action.extension, NAME))
                if self.mode != "asyncagi":
                    return [away]
                return [absolute_timeout(leg.channel, act.RELEASED_MAX_S), away]  # no more the end set for the wait

    def spy(self, action: act.Spy, target: Leg) -> dict[str, HeaderValue]:
        """Application and Data of the supervisor's originate. The target by its whole name: ChanSpy takes any channel
        whose name begins with what it is given."""
        if not target.name:
            raise PbxRejected(f"the channel of {target.id} is not known by name")
        return {"Application": "ChanSpy", "Data": f"{target.name},{SPY_OPTIONS[_spy_mode(action.mode)]}"}

    def adopt(self, channel: str, leg_id: str) -> AmiAction:
        """Have the PBX remember whose the channel is."""
        return _setvar(channel, "__DIALER_CALL", leg_id)

    def _park(self, leg: Leg) -> list[AmiAction]:
        if self.mode == "asyncagi":
            if leg.room:  # EXEC ConfBridge ends, and AsyncAGI goes on; by name, the room knows no ids (seen)
                return [{"Action": "ConfbridgeKick", "Conference": leg.room, "Channel": leg.name}]
            return [*preparation((PARK_EXTENSION,)), _redirect(leg.channel, RUNTIME_CONTEXT, PARK_EXTENSION)]
        if self.mode == "dialplan":
            if leg.connects:
                return [_redirect(leg.channel, self.agent_context, "s")]
            return [
                _setvar(leg.channel, "DIALER_HOLD", str(int(leg.hold_s))),
                _redirect(leg.channel, self.customer_context, "hold"),
            ]
        raise PbxRejected(f"mode {self.mode} can't take a leg out of its conversation")

    def _join(self, action: act.Join, leg: Leg) -> list[AmiAction]:
        room = checked("room", action.room, NAME)
        if self.mode == "asyncagi":
            return [command(leg.channel, f"EXEC ConfBridge {room}", "room")]
        if self.mode == "dialplan":
            return [_redirect(leg.channel, "cadran-room", room)]
        raise PbxRejected(f"mode {self.mode} has no conferences")

    def _answer(self, action: act.Answer, leg: Leg) -> list[AmiAction]:
        sound = checked("sound", action.sound, SOUND) if action.sound else ""
        if self.mode == "asyncagi":
            play = [command(leg.channel, f"EXEC Playback {sound}", "announce")] if sound else []
            music = command(leg.channel, "SET MUSIC ON default", "music")
            return [command(leg.channel, "ANSWER", "answer"), *play, music]
        return self._say("accept", sound, leg)

    def _announce(self, action: act.Announce, leg: Leg) -> list[AmiAction]:
        sounds = "&".join(checked("sounds", sound, SOUND) for sound in action.sounds)
        if self.mode == "asyncagi":
            music = command(leg.channel, "SET MUSIC ON default", "music")
            return [command(leg.channel, f"EXEC Playback {sounds}", "announce"), music]
        return self._say("announce", sounds, leg)

    def _say(self, extension: str, sounds: str, leg: Leg) -> list[AmiAction]:
        if self.mode != "dialplan":
            raise PbxRejected(f"mode {self.mode} can't play to a waiting caller")
        return [
            _setvar(leg.channel, "DIALER_MESSAGE", sounds),
            _redirect(leg.channel, "cadran-inbound", extension),
        ]


def command(channel: str, text: str, kind: str) -> AmiAction:
    """An AsyncAGI command whose id begins with its kind; numbered apart from those of daemon.ami.modes."""
    return {"Action": "AGI", "Channel": channel, "Command": text, "CommandID": f"{kind}.v{next(_ids)}"}


def _spy_mode(mode: str) -> str:
    if mode not in SPY_DIGITS:
        raise FieldRefused("mode", f"{mode!r} is none of {', '.join(SPY_DIGITS)}")
    return mode


def _setvar(channel: str, name: str, value: str) -> AmiAction:
    return {"Action": "Setvar", "Channel": channel, "Variable": name, "Value": value}


def _redirect(channel: str, context: str, extension: str) -> AmiAction:
    return {"Action": "Redirect", "Channel": channel, "Context": context, "Exten": extension, "Priority": "1"}
