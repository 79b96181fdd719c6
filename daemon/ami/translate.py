"""AMI events of today's Asterisk (AMI ≥ 2, that is Asterisk 12 and later) → typed events of ours.

Any order is accepted (FIELD-NOTES 1.4): each event says what it says once, whoever comes first. What a control mode has
to do next (a leg waits for commands, a command is done) goes to `react`; everything the engine needs goes to `deliver`.
Other dialects plug in beside this one: see `Translator` and `daemon.ami.dialects`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from daemon.ami.agi import agi_result, greeting_silence_s, verdict_of, whole
from daemon.ami.channels import Channels, Leg
from daemon.ami.codec import Message
from daemon.ami.steps import Step
from daemon.ami.translate_bridges import BridgeEvents
from daemon.ami.translate_voice import OWN_CONTEXTS, VoiceEvents
from daemon.calls import events as ev
from daemon.calls.events import Amd, PbxEvent
from daemon.calls.ids import is_ours

FINALITY_WAIT_S: Final = 1.0
"""An OriginateResponse Failure without a channel is final after this; a late Hangup carries the cause."""


class Translator(Protocol):
    """An AMI dialect. One per link; `channels` is shared with the driver."""

    messages: int

    def handle(self, message: Message, at: float) -> None:
        """Take one event; deliver what it means."""
        ...

    def found_waiting(self, item: Message, at: float) -> None:
        """A listing shows a caller who waits for us."""
        ...

    def next_deadline(self) -> float | None: ...
    def on_deadline(self, now: float) -> None: ...


class ModernTranslator(BridgeEvents, VoiceEvents):
    """AMI 2 and later (DialBegin, BridgeEnter). `parks_on_music`: in mode `basic` a leg that hears music is parked."""

    def __init__(
        self,
        channels: Channels,
        *,
        deliver: Callable[[PbxEvent], None],
        react: Callable[[Leg, Step, str], None],
        device: Callable[[str, str, float], PbxEvent | None],
        parks_on_music: bool = False,
    ) -> None:
        """`device(name, state, at)`: the event of a DeviceStateChange, None for devices of no interest."""
        self.channels = channels
        self.parks_on_music = parks_on_music
        self.messages = 0
        self._deliver, self._react, self._device = deliver, react, device
        self._failing: dict[str, Leg] = {}
        self._handlers: dict[str, Callable[[Message, float], None]] = {
            "Newchannel": self._new_channel,
            "Newstate": self._new_state,
            "DialState": self._dial_state,
            "DialEnd": self._dial_end,
            "OriginateResponse": self._originate_response,
            "Hangup": self._hangup,
            "AsyncAGIStart": self._agi_start,
            "AsyncAGIExec": self._agi_exec,
            "AsyncAGIEnd": self._agi_end,
            "UserEvent": self._user_event,
            "MusicOnHoldStart": self._music_start,
            "DeviceStateChange": self._device_state,
            "Shutdown": self._shutdown,
            **self.bridge_handlers(),
            **self.voice_handlers(),
        }

    def handle(self, message: Message, at: float) -> None:
        self.messages += 1
        handler = self._handlers.get(message.event)
        if handler is not None:
            handler(message, at)

    # -- the life of a channel ------------------------------------------------------------------------------------
    def _new_channel(self, message: Message, at: float) -> None:
        unique_id = message.get("Uniqueid")
        leg = self.channels.recognise(unique_id)
        if leg is None:
            self.channels.adopt_child(unique_id, message.get("Linkedid"), message.get("Channel"))
        elif not leg.created:
            leg.created = True
            leg.name = message.get("Channel")
            self._failing.pop(leg.id, None)
            self._deliver(ev.LegCreated(at=at, leg=leg.id))
            self._react(leg, Step.CREATED, "")

    def _new_state(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None:
            state = message.get("ChannelState")
            if state == "6":
                self._answered(leg, at)
            elif state == "5":
                self._ringing(leg, at)

    def _dial_state(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("DestUniqueid"))
        if leg is not None:
            status = message.get("DialStatus")
            if status == "RINGING":
                self._ringing(leg, at)
            elif status == "PROGRESS" and not leg.answered:
                self._deliver(ev.LegProgress(at=at, leg=leg.id))

    def _dial_end(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("DestUniqueid"))
        if leg is not None:
            status = message.get("DialStatus")
            if status == "ANSWER":
                self._answered(leg, at)
            else:
                leg.dial_status = status or None

    def _ringing(self, leg: Leg, at: float) -> None:
        if not leg.ringing and not leg.answered:
            leg.ringing = True
            self._deliver(ev.LegRinging(at=at, leg=leg.id))

    def _answered(self, leg: Leg, at: float) -> None:
        if not leg.answered:
            leg.created = leg.answered = True
            self._deliver(ev.LegAnswered(at=at, leg=leg.id))

    def _originate_response(self, message: Message, at: float) -> None:
        """Success carries a channel name and failure the dial string in `Channel`: only the ids are of use."""
        leg = self.channels.legs.get(message.get("ActionID")) or self.channels.legs.get(message.get("Uniqueid"))
        if leg is None:
            return
        if message.get("Response") == "Success":
            self._answered(leg, at)
            if self.parks_on_music and not leg.direct and not leg.spies:
                self._parked(leg, at)
        elif not leg.created and leg.failed_at is None:
            leg.failed_at, leg.failed_reason = at, whole(message.get("Reason"))
            self._failing[leg.id] = leg

    def _hangup(self, message: Message, at: float) -> None:
        unique_id = message.get("Uniqueid")
        channels = self.channels
        leg = channels.by_channel.get(unique_id)
        cause, tech_cause = whole(message.get("Cause")), whole(message.get("TechCause")) or None
        if leg is None:
            self._hangup_elsewhere(unique_id, message, at)
            return
        if leg.moving_to:
            self._moved(leg, leg.moving_to, at)  # ;1 ends since the call goes on without it
            return
        if leg.playing:
            leg.playing = False
            self._deliver(ev.MessagePlayed(at=at, leg=leg.id, heard=False))
        self._separate(leg, at)
        self._failing.pop(leg.id, None)
        channels.remove(leg)
        self._deliver(
            ev.LegHungUp(
                at=at,
                leg=leg.id,
                cause=cause,
                cause_text=message.get("Cause-txt"),
                tech_cause=tech_cause or leg.tech_cause,
                dial_status=leg.dial_status,
                was_up=leg.answered or message.get("ChannelState") == "6",
            )
        )

    def _hangup_elsewhere(self, unique_id: str, message: Message, at: float) -> None:
        """The end of a channel that carries no leg: one that works for a leg, or a leg of ours we never heard of."""
        channels = self.channels
        channels.arrivals.pop(unique_id, None)
        tech_cause = whole(message.get("TechCause")) or None
        owner = channels.legs.get(channels.children.get(unique_id, ""))
        channels.forget(unique_id)
        if owner is not None:
            owner.tech_cause = owner.tech_cause or tech_cause
            if owner.moving_to == unique_id:
                owner.moving_to = ""
        elif unique_id not in channels.legs and is_ours(unique_id, channels.site):
            up = message.get("ChannelState") == "6"
            cause, text = whole(message.get("Cause")), message.get("Cause-txt")
            event = ev.LegHungUp(at=at, leg=unique_id, cause=cause, cause_text=text, tech_cause=tech_cause, was_up=up)
            self._deliver(event)

    # -- waiting for commands -------------------------------------------------------------------------------------
    def _agi_start(self, message: Message, at: float) -> None:
        leg = self.channels.recognise(message.get("Uniqueid"))
        if leg is not None:
            self._answered(leg, at)
            fax = message.get("Exten") == "fax" and message.get("Context") in OWN_CONTEXTS
            if leg.amd and fax:
                leg.amd_done_at = at
                self._verdict(leg, "FAX", "tone", at)
                self._parked(leg, at)
            elif leg.amd:
                self._react(leg, Step.AGI_STARTED, "")
            else:
                self._parked(leg, at)
        else:
            self._arrived_by_agi(message, at)

    def _agi_exec(self, message: Message, at: float) -> None:
        """A command is over. Our CommandIDs begin with their kind, so that they mean something after a restart too."""
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is None:
            return
        kind, _, rest = message.get("CommandId").partition(".")
        code, value = agi_result(message.get("Result"))
        if kind == "bridge":
            self._bridge_over(leg, rest.partition(".")[0], at, alive=code >= 0)
        elif kind == "play":
            if leg.playing:
                leg.playing = False
                self._deliver(ev.MessagePlayed(at=at, leg=leg.id, heard=code == 0 and not leg.closing))
        elif kind == "noop":
            leg.probing = False
            if not leg.connecting and leg.peer is None:  # else it waited its turn, and the leg has been given since
                self._parked(leg, at)
        elif kind in ("room", "answer") and code >= 0:
            self._parked(leg, at)
        elif kind == "amd":
            leg.amd_done_at = at
            if code == -1:
                self._verdict(leg, "HANGUP", "", at)
        elif kind == "amdcause":
            leg.amd_cause = "" if value == "(null)" else value
        elif kind == "amdstatus" and leg.amd:
            self._verdict(leg, value, leg.amd_cause, at)
            self._parked(leg, at)
        self._react(leg, Step.COMMAND_DONE, kind)

    def _bridge_over(self, agent: Leg, customer: str, at: float, *, alive: bool) -> None:
        """The agent's EXEC Bridge ended. `connecting` still set: no bridge ever formed, the customer was gone; the
        ConnectFailed says that the agent waits again, a LegParked behind it could be taken for the end of the next.
        The end of an earlier command says nothing of the customer who is there by now."""
        now_with = agent.connecting or (agent.peer.id if agent.peer is not None else "")
        if alive and now_with and now_with != customer:
            return
        self._separate(agent, at)
        refused = agent.connecting == customer
        agent.connecting = ""
        if refused:
            agent.parked = alive
            gone = "the customer's leg is gone"
            self._deliver(ev.ConnectFailed(at=at, leg=agent.id, peer=customer, message=gone, customer_gone=alive))
            if alive:
                self._react(agent, Step.PARKED, "")
        elif alive:
            self._parked(agent, at)

    def _agi_end(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None:
            leg.parked = False

    def _music_start(self, message: Message, at: float) -> None:
        if self.parks_on_music:
            leg = self.channels.by_channel.get(message.get("Uniqueid"))
            if leg is not None:
                self._answered(leg, at)
                self._parked(leg, at)

    def _user_event(self, message: Message, at: float) -> None:
        """Of our include (config/asterisk/extensions-cadran.conf). The leg is the one of the channel, never a value."""
        name = message.get("UserEvent")
        if not name.startswith("Dialer"):
            return
        leg = self.channels.recognise(message.get("Uniqueid"))
        if leg is None:
            if name == "DialerInbound":
                self._arrived_by_include(message, at)
            return
        if name in ("DialerHeld", "DialerWaiting"):
            self._separate(leg, at)
            self._parked(leg, at)
        elif name == "DialerAgentReady":
            self._answered(leg, at)
            self._separate(leg, at)
            self._parked(leg, at)
        elif name == "DialerAnswered":
            self._answered(leg, at)
            verdict = message.get("AMD")
            if leg.amd or verdict:
                leg.amd_done_at = at
                self._verdict(leg, verdict, message.get("AMDCause"), at)
            self._parked(leg, at)
        elif name == "DialerAbandoned":
            leg.parked = False
        elif name == "DialerMessage":
            leg.playing = False
            self._deliver(ev.MessagePlayed(at=at, leg=leg.id, heard=message.get("Heard") == "1"))

    def _parked(self, leg: Leg, at: float) -> None:
        if not leg.parked:
            leg.parked = True
            self._deliver(ev.LegParked(at=at, leg=leg.id))
            self._react(leg, Step.PARKED, "")

    def _verdict(self, leg: Leg, status: str, cause: str, at: float) -> None:
        leg.amd = False
        verdict = verdict_of(status)
        silence_s = greeting_silence_s(cause) if verdict is Amd.HUMAN else 0.0
        ago_s = (at - leg.amd_done_at if leg.amd_done_at else 0.0) + silence_s
        self._deliver(ev.AmdVerdict(at=at, leg=leg.id, verdict=verdict, cause=cause, greeting_end_s=ago_s))

    # -- the rest -------------------------------------------------------------------------------------------------
    def _device_state(self, message: Message, at: float) -> None:
        event = self._device(message.get("Device"), message.get("State"), at)
        if event is not None:
            self._deliver(event)

    def _shutdown(self, message: Message, at: float) -> None:
        self._deliver(ev.PbxStopping(at=at, restart=message.get("Restart") == "True"))

    def next_deadline(self) -> float | None:
        """When the oldest failed originate without a channel becomes final."""
        if not self._failing:
            return None
        failed_at = min((leg.failed_at for leg in self._failing.values() if leg.failed_at is not None), default=None)
        return None if failed_at is None else failed_at + FINALITY_WAIT_S

    def on_deadline(self, now: float) -> None:
        """Finish the originates that failed FINALITY_WAIT_S ago and never had a channel."""
        for leg in list(self._failing.values()):
            if leg.failed_at is not None and now >= leg.failed_at + FINALITY_WAIT_S:
                del self._failing[leg.id]
                self.channels.remove(leg)
                self._deliver(ev.LegFailed(at=now, leg=leg.id, reason=leg.failed_reason, message="no channel was made"))
