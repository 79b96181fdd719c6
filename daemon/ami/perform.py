"""Doing what the engine asks: each action is written at once, and what becomes of it is told by events.

Refusals of the PBX and of our own codec end here: as LegFailed, ConnectFailed, MessagePlayed(heard=False) or, when the
link went in between, ActionInDoubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from daemon.ami.channels import Channels, Leg
from daemon.ami.client import AmiClient
from daemon.ami.modes import AmiAction, Mode
from daemon.ami.steps import Step
from daemon.ami.voice import VoiceAction
from daemon.calls import events as ev
from daemon.calls.actions import (
    AdoptInbound,
    Answer,
    AnyAction,
    Connect,
    Hangup,
    OriginateAgent,
    OriginateCustomer,
    OriginateThird,
    Park,
    PlayMessage,
    ProbeParked,
    Release,
    Spy,
)
from daemon.calls.events import PbxEvent
from daemon.clock import Clock
from daemon.errors import PbxError, PbxInDoubt, PbxRejected, PbxUnavailable
from daemon.ports.errands import Errands

log = structlog.get_logger(__name__)

NO_CUSTOMER: Final = "Channel1 does not exist"
"""How AMI Bridge says that the customer, whom our modes name first, has left."""

PROBE_DEADLINE_S: Final = 2.0
"""AsyncAGI answers within 100 ms of silence."""
GONE_WAITS_S: Final = (0.1, 1.0)
"""A channel that the PBX does not know was perhaps only just being made, or its Hangup event is on its way: ask again
after these, then take it for gone."""
NO_CHANNEL: Final = ("No such channel", "does not exist")


class Performer:
    """The actions of one link in one control mode. Made anew at each login; `close` ends what it still waits for."""

    def __init__(
        self,
        site: str,
        client: AmiClient,
        channels: Channels,
        mode: Mode,
        clock: Clock,
        emit: Callable[[PbxEvent], None],
    ) -> None:
        self.mode = mode
        self.denied: set[str] = set()
        """What the PBX refused for want of rights: `originate`, `hangup`, …"""
        self.in_doubt: set[str] = set()
        """Legs whose originate was written and not answered."""
        self._site, self._client, self._channels, self._clock, self._emit = site, client, channels, clock, emit
        self._errands = Errands(site, client.drop)
        self._spawn = self._errands.spawn
        """Each task writes before it first waits, so the wire has them in the order of their creation."""
        self._told_stopping = False

    def perform(self, action: AnyAction) -> None:
        """Returns at once; actions are written in the order of their calls."""
        match action:
            case OriginateCustomer() | OriginateAgent() | OriginateThird() | Spy():
                self._spawn(self._originate(action))
            case Connect():
                self._connect(action)
            case Hangup():
                if (leg := self._channels.legs.get(action.leg)) is not None:
                    leg.closing = True
                self._spawn(self._hang_up(action))
            case PlayMessage():
                self._spawn(self._play(action))
            case ProbeParked():
                self._spawn(self._probe(action))
            case AdoptInbound():
                self._adopt(action)
            case _:
                self._spawn(self._voice(action))

    def react(self, leg: Leg, step: Step, detail: str) -> None:
        """A leg came to `step`: send what the mode wants sent then."""
        if step is Step.CREATED and leg.hangup_cause is not None:
            self._spawn(self._hang_up(Hangup(leg=leg.id, cause=leg.hangup_cause)))
        for request in self.mode.react(leg, step, detail):
            self._spawn(self._follow_up(leg.id, request))

    def close(self) -> None:
        self._errands.close()

    @property
    def in_flight(self) -> int:
        return len(self._errands)

    def _doubt(self, leg: str, action: str) -> None:
        self._emit(ev.ActionInDoubt(at=self._clock.now(), leg=leg, action=action))

    async def _originate(self, action: OriginateCustomer | OriginateAgent | OriginateThird | Spy) -> None:
        leg = self._channels.add(action.leg)
        try:
            if isinstance(action, Spy):
                leg.spies = True
                target = self._channels.legs.get(action.target)
                if target is None:
                    raise PbxRejected("whom to hear: no such leg")
                request = self.mode.originate_spy(action, target)
            elif isinstance(action, OriginateThird):
                request = self.mode.originate_third(action)
            elif isinstance(action, OriginateCustomer):
                leg.amd, leg.hold_s, leg.amd_arguments = action.amd, action.hold_s, action.amd_arguments
                request = self.mode.originate_customer(action)
                leg.direct = request.get("Application") == "Bridge"
            else:
                request = self.mode.originate_agent(action)
            await self._client.send(request)
        except PbxInDoubt:
            self.in_doubt.add(action.leg)
            self._doubt(action.leg, "originate")
        except PbxError as error:
            self._note_refusal("originate", error)
            self._channels.remove(leg)
            sent = not isinstance(error, PbxUnavailable)
            self._emit(ev.LegFailed(at=self._clock.now(), leg=action.leg, message=str(error), sent=sent))

    def _connect(self, action: Connect) -> None:
        """At once, so that two Connects for one agent in one batch can't both be written."""
        agent = self._channels.legs.get(action.leg)
        customer = self._channels.legs.get(action.customer)
        if agent is None or customer is None:
            gone = "the agent's" if agent is None else "the customer's"
            self._connect_failed(action, f"{gone} leg does not exist", customer_gone=agent is not None)
        elif agent.closing or customer.closing:
            who = "the agent" if agent.closing else "the customer"
            self._connect_failed(action, f"{who}'s leg is being hung up", customer_gone=not agent.closing)
        elif not agent.parked:
            # A second EXEC would wait behind the first and later pull its customer away (FIELD-NOTES 4).
            doing = f"joining {agent.connecting}" if agent.connecting else "not waiting for commands"
            self._connect_failed(action, f"the agent's leg is {doing}")
        else:
            agent.parked, agent.connecting = False, action.customer
            self._spawn(self._write_connect(action, agent, customer))

    async def _write_connect(self, action: Connect, agent: Leg, customer: Leg) -> None:
        requests = self.mode.connect(action, agent, customer)
        for request in requests[:-1]:
            self._spawn(self._follow_up(action.customer, request))
        if len(requests) > 1:
            await asyncio.sleep(0)  # behind the tasks just made, so that the wire has them in order
        try:
            await self._client.send(requests[-1])
        except (PbxInDoubt, PbxUnavailable):
            self._doubt(action.leg, "connect")
        except PbxError as error:
            self._note_refusal("connect", error)
            for undo in self.mode.connect_refused(customer.channel):
                self._spawn(self._follow_up(action.customer, undo))
            if agent.connecting == action.customer:
                agent.parked, agent.connecting = True, ""  # nothing was queued: it waits as before
            self._connect_failed(action, str(error), customer_gone=NO_CUSTOMER in str(error))

    def _connect_failed(self, action: Connect, why: str, *, customer_gone: bool = False) -> None:
        at = self._clock.now()
        self._emit(
            ev.ConnectFailed(at=at, leg=action.leg, peer=action.customer, message=why, customer_gone=customer_gone)
        )

    async def _hang_up(self, action: Hangup) -> None:
        try:
            if await self._hangup_sent(action):
                return
            leg = self._channels.legs.get(action.leg)
            if leg is not None and not leg.created:
                leg.hangup_cause = action.cause  # not there yet: as soon as it is
                return
            for pause_s in GONE_WAITS_S:
                await asyncio.sleep(pause_s)
                if leg is not None and self._channels.legs.get(action.leg) is not leg:
                    return  # its Hangup event came
                if await self._hangup_sent(action):
                    return
        except (PbxInDoubt, PbxUnavailable):
            self._doubt(action.leg, "hangup")
            return
        if leg is not None:
            self._channels.remove(leg)
        self._emit(ev.LegHungUp(at=self._clock.now(), leg=action.leg, cause_text="the PBX has no such channel"))

    async def _hangup_sent(self, action: Hangup) -> bool:
        """False if the PBX knows no such channel; other refusals are noted, and end the matter."""
        channel = self._channels.channel_of(action.leg)
        try:
            await self._client.send({"Action": "Hangup", "Channel": channel, "Cause": str(action.cause)})
        except PbxRejected as error:
            self._note_refusal("hangup", error)
            if any(text in str(error) for text in NO_CHANNEL):
                return False
            if (leg := self._channels.legs.get(action.leg)) is not None:
                leg.closing = False
        return True

    async def _play(self, action: PlayMessage) -> None:
        leg = self._channels.legs.get(action.leg)
        try:
            if leg is None:
                raise PbxRejected("no such leg")
            requests = self.mode.play(action, leg.channel)
            if not requests:
                raise PbxRejected(f"mode {self.mode.name} can't play a message")
            leg.playing, leg.parked = True, False
            for request in requests[:-1]:
                self._spawn(self._follow_up(action.leg, request))
            await asyncio.sleep(0)
            await self._client.send(requests[-1])
        except (PbxInDoubt, PbxUnavailable):
            self._doubt(action.leg, "play")
        except PbxError as error:
            self._note_refusal("play", error)
            if leg is not None:
                leg.playing = False
            self._emit(ev.MessagePlayed(at=self._clock.now(), leg=action.leg, heard=False))
            await self._hang_up(Hangup(leg=action.leg))

    async def _probe(self, action: ProbeParked) -> None:
        """A leg that answers is parked; one that does not in PROBE_DEADLINE_S is hung up."""
        leg = self._channels.add(action.leg)
        request = self.mode.probe(leg.channel)
        leg.created, leg.parked, leg.probing = True, False, True
        try:
            if request is not None:
                await self._client.send(request)
                await asyncio.sleep(PROBE_DEADLINE_S)
            elif await self._waits_on_music(leg):
                leg.probing, leg.parked = False, True
                self._emit(ev.LegParked(at=self._clock.now(), leg=leg.id))
        except (PbxInDoubt, PbxUnavailable):
            self._doubt(action.leg, "probe")
            return
        except PbxError as error:
            log.info("ami.probe_refused", site=self._site, leg=action.leg, reason=str(error))
        talks = leg.connecting or leg.peer is not None  # the probe waits behind the conversation
        if leg.probing and not talks and self._channels.legs.get(action.leg) is leg:
            await self._hang_up(Hangup(leg=action.leg))

    async def _waits_on_music(self, leg: Leg) -> bool:
        items = await self._client.collect({"Action": "Status", "Channel": leg.channel})
        return any(item.get("Application") == "MusicOnHold" for item in items)

    async def _follow_up(self, leg: str, request: AmiAction) -> None:
        """An action whose refusal changes nothing by itself: what it was for is checked by an event or a deadline."""
        try:
            await self._client.send(request)
        except PbxError as error:
            log.info("ami.refused", site=self._site, leg=leg, action=str(request.get("Action")), reason=str(error))

    def _adopt(self, action: AdoptInbound) -> None:
        """A channel that waits in our line of the dialplan becomes a leg; if it is gone, that is its end."""
        leg = self._channels.adopt(action.leg, action.channel)
        if leg is None:
            self._emit(ev.LegHungUp(at=self._clock.now(), leg=action.leg, cause_text="the caller has gone"))
            return
        leg.parked, leg.hold_s = True, action.hold_s
        self._emit(ev.LegParked(at=self._clock.now(), leg=leg.id))
        self._spawn(self._follow_up(leg.id, self.mode.voice.adopt(leg.channel, leg.id)))

    async def _voice(self, action: VoiceAction) -> None:
        name = type(action).__name__.lower()
        leg = self._channels.legs.get(action.leg)
        try:
            if leg is None:
                raise PbxRejected("no such leg")
            if isinstance(action, Park):
                leg.hold_s, leg.music = action.limit_s, True
                leg.spies = False
            requests = self.mode.voice.requests(action, leg)
            if isinstance(action, Park | Release | Answer):
                leg.parked = False  # until the PBX says that it waits again
            for request in requests[:-1]:
                self._spawn(self._follow_up(action.leg, request))
            if len(requests) > 1:
                await asyncio.sleep(0)
            await self._client.send(requests[-1])
        except (PbxInDoubt, PbxUnavailable):
            self._doubt(action.leg, name)
        except PbxError as error:
            self._note_refusal(name, error)
            self._emit(ev.ActionRefused(at=self._clock.now(), leg=action.leg, action=name, message=str(error)))

    def _note_refusal(self, what: str, error: PbxError) -> None:
        if str(error) == "Permission denied":
            self.denied.add(what)
        elif self._client.link.stopping and not self._told_stopping:
            self._told_stopping = True
            self._emit(ev.PbxStopping(at=self._clock.now(), restart=False))
