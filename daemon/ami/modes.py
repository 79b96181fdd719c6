"""Typed actions → AMI actions, in each of the three control modes, and what a mode does when a leg comes to wait.

Pure: a mode returns the AMI actions to write, in order; `driver` writes them and says what became of them. Facts:
FIELD-NOTES 2.1 (Originate), 3 (AsyncAGI), 4 and 5 (ways to connect).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from daemon.ami.channels import Leg, far_half
from daemon.ami.codec import HeaderValue
from daemon.ami.steps import Step
from daemon.ami.voice import BY_MODE, RUNTIME_CONTEXT, VOICE_CAPABILITIES, Voice, absolute_timeout
from daemon.ami.voice import lost as voice_lost
from daemon.calls.actions import Connect, OriginateAgent, OriginateCustomer, OriginateThird, PlayMessage, Spy
from daemon.calls.dialling import NUMBER, SOUND, SiteTemplates, agents_caller, caller_of, checked

AmiAction = Mapping[str, HeaderValue]

TALK_MAX_S: Final = 14_400
"""AbsoluteTimeout of a bridged customer: it can't be lifted, only set far away (FIELD-NOTES 3)."""
MESSAGE_MAX_S: Final = 120
"""AbsoluteTimeout of a leg that hears a message."""
AMD_MAX_S: Final = 10
"""Machine detection decides within 5.1 s even in silence."""
PROBE_COMMAND: Final = "NOOP"

CAPABILITIES: Final = (
    "originate", "hangup", "connect", "nailed_agents", "amd", "fax", "play_message", "hold_limit", "record",
    *VOICE_CAPABILITIES,
)  # fmt: skip


class Mode:
    """What the three modes share: where a leg is dialled, under which ids, with what to recognise it by."""

    name = ""
    needs: Sequence[str] = ()
    """AMI actions the user must be allowed, for the mode to work at all."""
    reads: Sequence[str] = ("call",)
    """Classes of events without which the mode knows nothing of its calls."""
    capabilities: frozenset[str] = frozenset()
    notes: Sequence[str] = ()
    """What else is missing, in the status's words."""

    def __init__(self, site: SiteTemplates, commands: Collection[str]) -> None:
        """`commands`: AMI actions the user may run; empty if the PBX did not tell."""
        self.site, self._commands = site, frozenset(commands)
        self._n = count(1)
        self.fax = False
        """The PBX can listen for fax tones while machine detection runs, and hands such a leg to us."""
        self.voice = Voice(self.name, site.customer_context, site.agent_context)

    def may(self, command: str) -> bool:
        return not self._commands or command in self._commands

    def originate_customer(self, action: OriginateCustomer) -> AmiAction:
        """Raises FieldRefused for a number or trunk that would mean more than a destination in a dial string."""
        channel = self.site.customer(action.number, action.trunk)
        variables = [f"__DIALER_CALL={action.leg}", f"CHANNEL(userfield)={action.number}"]
        head = _originate(action.leg, channel, action.ring_timeout_s, caller_of(action.caller_id), action.account)
        return {**head, **self._customer_park(action, variables)}

    def originate_agent(self, action: OriginateAgent) -> AmiAction:
        channel = self.site.agent(action.extension)
        caller = agents_caller(action.caller_name, action.caller_id or action.extension)
        head = _originate(action.leg, channel, action.ring_timeout_s, caller, "")
        return {**head, **self._agent_park([f"__DIALER_AGENT={action.agent_id}"])}

    def originate_third(self, action: OriginateThird) -> AmiAction:
        """An extension or a number that waits as an agent's leg does. Raises FieldRefused."""
        site = self.site
        where = action.extension or action.number
        channel = site.agent(where) if action.extension else site.customer(where, action.trunk)
        caller = agents_caller(action.caller_name, action.caller_id or where)
        head = _originate(action.leg, channel, action.ring_timeout_s, caller, "")
        return {**head, **self._agent_park(["__DIALER_AGENT=third", f"CHANNEL(userfield)={where}"])}

    def originate_spy(self, action: Spy, target: Leg) -> AmiAction:
        """A supervisor's phone that hears `target`. Raises FieldRefused, PbxRejected."""
        caller = agents_caller(action.caller_name, action.extension)
        head = _originate(action.leg, self.site.agent(action.extension), action.ring_timeout_s, caller, "")
        return {**head, **self.voice.spy(action, target)}

    def connect(self, action: Connect, agent: Leg, customer: Leg) -> list[AmiAction]:
        """What joins the two. The last action's refusal is the Connect's."""
        names = {"Channel1": customer.bridge_name, "Channel2": agent.bridge_name}
        return [{"Action": "Bridge", **names, "Tone": "no"}]

    def connect_refused(self, customer: str) -> list[AmiAction]:
        """What undoes a refused `connect` on the customer's side."""
        return []

    def play(self, action: PlayMessage, channel: str) -> list[AmiAction]:
        """Empty: this mode can't."""
        return []

    def probe(self, channel: str) -> AmiAction | None:
        """A command that shows that the leg takes commands; None: look at its Status instead."""
        return None

    def react(self, leg: Leg, step: Step, detail: str) -> list[AmiAction]:
        """What to send when a leg comes to this step."""
        if not self.may("AbsoluteTimeout") or (leg.connects and step is not Step.BRIDGED):
            return []
        if step is Step.PARKED:
            return [absolute_timeout(leg.channel, leg.hold_s)] if leg.hold_s else []
        if step is Step.BRIDGED and leg.peer is not None and not leg.peer.connects:
            return [absolute_timeout(leg.peer.channel, TALK_MAX_S)]
        return []

    def _customer_park(self, action: OriginateCustomer, variables: list[str]) -> AmiAction:
        return {"Application": "MusicOnHold", "Data": "default", "Variable": variables}

    def _agent_park(self, variables: list[str]) -> AmiAction:
        return {"Application": "MusicOnHold", "Data": "default", "Variable": variables}


class BasicMode(Mode):
    """For locked appliances: legs wait in MusicOnHold, AMI Bridge joins them, and both end with the conversation."""

    name = "basic"
    needs = ("Originate", "Bridge", "Hangup", "Status")
    capabilities = frozenset({"originate", "hangup", "connect", "hold_limit"}) | BY_MODE["basic"]

    def _customer_park(self, action: OriginateCustomer, variables: list[str]) -> AmiAction:
        """Some boxes give a manager user the right to originate and no other: then the customer's answer joins."""
        if action.agent_leg and not self.may("Bridge"):
            return {"Application": "Bridge", "Data": action.agent_leg, "Variable": variables}
        return super()._customer_park(action, variables)


class AsyncAgiMode(Mode):
    """Legs wait in AsyncAGI; `EXEC Bridge` on the agent's channel joins, and leaves the agent parked afterwards."""

    name = "asyncagi"
    needs = ("Originate", "AGI", "Hangup", "Status", "AbsoluteTimeout", "MixMonitor")
    """MixMonitor is of class system alone: whoever may run it may originate into AGI."""
    reads = ("call", "agi")
    capabilities = frozenset(CAPABILITIES)
    """hold_limit too: AbsoluteTimeout ends the wait, though without a message."""

    def connect(self, action: Connect, agent: Leg, customer: Leg) -> list[AmiAction]:
        return [self._command(agent.channel, f"EXEC Bridge {customer.bridge_name}", f"bridge.{customer.id}")]

    def play(self, action: PlayMessage, channel: str) -> list[AmiAction]:
        sound = checked("sound", action.sound, SOUND)
        wait = [self._command(channel, "EXEC WaitForSilence 1500,1,20", "silence")] if action.wait_for_silence else []
        return [
            absolute_timeout(channel, MESSAGE_MAX_S),
            *wait,
            self._command(channel, f"EXEC Playback {sound}", "play"),
        ]

    def probe(self, channel: str) -> AmiAction | None:
        return self._command(channel, PROBE_COMMAND, "noop")

    def react(self, leg: Leg, step: Step, detail: str) -> list[AmiAction]:
        if step is Step.AGI_STARTED:
            guard = absolute_timeout(leg.channel, leg.hold_s + AMD_MAX_S)
            detect = self._command(leg.channel, f"EXEC AMD {leg.amd_arguments}".rstrip(), "amd")
            return [guard, *self._listening(leg.channel, detect), *self._ask_verdict(leg.channel)]
        if step is Step.AMD_MISSED:
            return self._ask_verdict(leg.channel)
        if step is Step.PARKED and (leg.connects or leg.music):
            music = self._command(leg.channel, "SET MUSIC ON default", "music")
            return [*([] if leg.connects else super().react(leg, step, detail)), music]
        if step is Step.COMMAND_DONE and detail == "play":
            return [{"Action": "Hangup", "Channel": leg.channel, "Cause": "16"}]
        return super().react(leg, step, detail)

    def _listening(self, channel: str, detect: AmiAction) -> list[AmiAction]:
        """Machine detection with an ear for fax tones, which sends the channel to `fax` of the context it stands in:
        ours has that. Only so long: a tone in a conversation must not end it."""
        if not self.fax:
            return [detect]
        return [
            self._command(channel, f"SET CONTEXT {RUNTIME_CONTEXT}", "context"),
            self._command(channel, "SET VARIABLE FAXOPT(faxdetect) yes", "faxon"),
            detect,
            self._command(channel, "SET VARIABLE FAXOPT(faxdetect) no", "faxoff"),
        ]

    def _ask_verdict(self, channel: str) -> list[AmiAction]:
        """Queued right behind EXEC AMD: commands waiting are run without another tick between them."""
        return [
            self._command(channel, "GET VARIABLE AMDCAUSE", "amdcause"),
            self._command(channel, "GET VARIABLE AMDSTATUS", "amdstatus"),
        ]

    def _command(self, channel: str, command: str, kind: str) -> AmiAction:
        return {"Action": "AGI", "Channel": channel, "Command": command, "CommandID": f"{kind}.{next(self._n)}"}

    def _customer_park(self, action: OriginateCustomer, variables: list[str]) -> AmiAction:
        return {"Application": "AGI", "Data": "agi:async", "Variable": variables}

    def _agent_park(self, variables: list[str]) -> AmiAction:
        return {"Application": "AGI", "Data": "agi:async", "Variable": variables}


class DialplanMode(Mode):
    """Legs run our include (config/asterisk/extensions-cadran.conf); AMI Bridge joins, each goes on in its dialplan."""

    name = "dialplan"
    needs = ("Originate", "Bridge", "Setvar", "Redirect", "Hangup", "Status")
    reads = ("call", "user")
    capabilities = frozenset(CAPABILITIES) - {"record_on_demand"}

    def connect(self, action: Connect, agent: Leg, customer: Leg) -> list[AmiAction]:
        return [_setvar(customer.channel, "DIALER_BRIDGED", "1"), *super().connect(action, agent, customer)]

    def connect_refused(self, customer: str) -> list[AmiAction]:
        return [_setvar(customer, "DIALER_BRIDGED", "0")]

    def play(self, action: PlayMessage, channel: str) -> list[AmiAction]:
        sound = checked("sound", action.sound, SOUND)
        context = self.site.customer_context
        return [
            _setvar(channel, "DIALER_MESSAGE", sound),
            _setvar(channel, "DIALER_SILENCE", "1" if action.wait_for_silence else "0"),
            {"Action": "Redirect", "Channel": channel, "Context": context, "Exten": "message", "Priority": "1"},
        ]

    def react(self, leg: Leg, step: Step, detail: str) -> list[AmiAction]:
        return []  # the include keeps the hold limit itself

    def _customer_park(self, action: OriginateCustomer, variables: list[str]) -> AmiAction:
        variables = [*variables, f"DIALER_HOLD={max(1, math.ceil(action.hold_s))}"]
        if action.amd:
            variables.append("DIALER_AMD=1")
            # One variable each: a comma would begin another one (FIELD-NOTES 7.4).
            given = enumerate(action.amd_arguments.split(","), 1)
            variables += [f"DIALER_AMD_{n}={checked('amd_arguments', value, NUMBER)}" for n, value in given if value]
        if action.safe_message:
            variables.append(f"DIALER_MESSAGE={checked('safe_message', action.safe_message, SOUND)}")
        if action.record:
            variables.append(f"DIALER_RECORD={checked('record', action.record, SOUND)}")
        return {"Context": self.site.customer_context, "Exten": "s", "Priority": "1", "Variable": variables}

    def _agent_park(self, variables: list[str]) -> AmiAction:
        return {"Context": self.site.agent_context, "Exten": "s", "Priority": "1", "Variable": variables}


MODES: Final[Mapping[str, type[Mode]]] = {mode.name: mode for mode in (AsyncAgiMode, DialplanMode, BasicMode)}


@dataclass(frozen=True, slots=True)
class Choice:
    """The control mode of a link, why it is that one, what it can do, and what is missing for more."""

    mode: Mode
    reason: str
    capabilities: frozenset[str]
    missing: tuple[str, ...]


def choose_mode(
    wanted: str,
    site: SiteTemplates,
    commands: Collection[str],
    include: bool | None,
    modes: Mapping[str, type[Mode]] = MODES,
) -> Choice:
    """The mode to use. `wanted`: `auto` or a name, then obeyed; `commands`: from ListCommands, empty = unknown;
    `include`: whether both contexts exist on the PBX, None = it can't tell.

    Auto prefers asyncagi (no change on the PBX), then dialplan where the include is known to be there, then basic.
    """
    lacking = {name: [need for need in mode.needs if commands and need not in commands] for name, mode in modes.items()}
    if "asyncagi" not in modes:
        chosen, reason = "basic", "a PBX that speaks AMI 1.x has no other"
    elif wanted != "auto":
        chosen, reason = wanted, "set in the settings"
    elif not lacking["asyncagi"]:
        chosen, reason = "asyncagi", "the user has the rights system, call, agi and originate"
    elif not lacking["dialplan"] and include:
        chosen, reason = "dialplan", "the include is there and the user may originate and bridge"
    else:
        chosen, reason = "basic", f"asyncagi lacks {', '.join(lacking['asyncagi'])}; the dialplan include is not there"
        if lacking["dialplan"]:
            reason = f"asyncagi lacks {', '.join(lacking['asyncagi'])}; dialplan lacks {', '.join(lacking['dialplan'])}"
    mode = modes[chosen](site, commands)
    missing = [f"permission denied: {need.lower()}" for need in lacking[chosen]]
    if chosen == "dialplan" and include is False:
        missing.append(f"contexts {site.customer_context} and {site.agent_context}: not in the dialplan")
    missing += [f"{name}: not in mode {chosen}" for name in CAPABILITIES if name not in mode.capabilities]
    missing += mode.notes
    return Choice(mode, reason, _usable(mode, commands, lacking[chosen], include), tuple(missing))


def _usable(mode: Mode, commands: Collection[str], lacking: Sequence[str], include: bool | None) -> frozenset[str]:
    """What of the mode's capabilities the rights leave."""
    lost: set[str] = set()
    if "Originate" in lacking or (mode.name == "dialplan" and include is False):
        lost |= set(CAPABILITIES) - {"hangup"}
    if "Hangup" in lacking:
        lost |= {"hangup", "play_message"}
    if "Bridge" in lacking or "AGI" in lacking or "Setvar" in lacking:
        lost |= {"connect", "nailed_agents"}
    if mode.name == "basic" and not mode.may("AbsoluteTimeout"):
        lost.add("hold_limit")
    if "AGI" in lacking or "Redirect" in lacking:
        lost |= {"play_message", "amd", "fax"}
    if mode.name == "asyncagi" and not (mode.may("DialplanExtensionAdd") and mode.may("ModuleCheck")):
        lost.add("fax")
    if "MixMonitor" in lacking:
        lost |= set(CAPABILITIES) - {"hangup"}  # originating into AGI needs class system too
    return mode.capabilities - lost - voice_lost(mode.name, commands, include)


def _originate(leg: str, channel: str, ring_timeout_s: float, caller: str, account: str) -> dict[str, HeaderValue]:
    head: dict[str, HeaderValue] = {
        "Action": "Originate",
        "ActionID": leg,
        "Channel": channel,
        "ChannelId": leg,
        "Async": "true",
        "Timeout": str(max(1000, round(ring_timeout_s * 1000))),
    }
    if channel.startswith("Local/"):
        head["OtherChannelId"] = far_half(leg)
    if caller:
        head["CallerID"] = caller
    if account:
        head["Account"] = account
    return head


def _setvar(channel: str, name: str, value: str) -> AmiAction:
    return {"Action": "Setvar", "Channel": channel, "Variable": name, "Value": value}
