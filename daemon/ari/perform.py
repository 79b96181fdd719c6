"""Doing what the engine asks: each action becomes REST requests, and what becomes of it is told by events.

Refusals end here: as LegFailed, ConnectFailed, MessagePlayed(heard=False), ActionRefused or, when the link went in
between, ActionInDoubt. Requests about one leg that must keep their order are in one task; others run side by side.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from daemon.ari.client import AriClient, AriRefused, Query
from daemon.ari.hearing import Hearing
from daemon.ari.legs import Leg, Legs
from daemon.ari.moves import Moves
from daemon.ari.originating import Originating, request_of
from daemon.ari.reception import Reception
from daemon.ari.translate import Step, Translator
from daemon.calls import actions as act
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, OriginateAgent, OriginateCustomer, PlayMessage, ProbeParked
from daemon.calls.dialling import SOUND, SiteTemplates, checked
from daemon.calls.events import PbxEvent
from daemon.clock import Clock
from daemon.errors import PbxError, PbxInDoubt, PbxRejected, PbxUnavailable
from daemon.ports.errands import Errands

log = structlog.get_logger(__name__)

TALK_MAX_S: Final = 14_400
"""End of a conversation that nobody watches any more."""
MESSAGE_MAX_S: Final = 120
"""End of a leg that hears a message."""
GONE_WAITS_S: Final = (0.1, 1.0)
"""A channel that the PBX does not know may have its ChannelDestroyed on the way: ask again after these, then
it is gone."""
NOT_FOUND: Final = 404
CONFLICT: Final = 409
MUSIC: Final = "moh"


class Performer:
    """The actions of one link. Made anew at each connection; `close` ends what it still waits for."""

    def __init__(
        self,
        site: str,
        app: str,
        templates: SiteTemplates,
        client: AriClient,
        legs: Legs,
        clock: Clock,
        emit: Callable[[PbxEvent], None],
        translator: Translator,
        hearing: Hearing,
    ) -> None:
        """`translator` is told what an answer to a request says before an event does, `hearing` what must be told."""
        self.denied: set[str] = set()
        """What the PBX refused for want of rights: `originate`, `hangup`, …"""
        self.in_doubt: set[str] = set()
        """Legs whose originate was written and not answered."""
        self._site, self._app, self._templates = site, app, templates
        self._client, self._legs, self._clock, self._emit = client, legs, clock, emit
        self._errands = Errands(site, client.drop)
        self.spawn = self._errands.spawn
        self._originating: dict[str, asyncio.Task[None]] = {}
        self._playbacks = 0
        self._moves = Moves(site, app, legs, self)
        self._reception = Reception(app, legs, self)
        self._translator, self._hearing = translator, hearing

    @property
    def in_flight(self) -> int:
        return len(self._errands)

    def close(self) -> None:
        self._errands.close()

    def perform(self, action: act.AnyAction) -> None:
        """Returns at once."""
        match action:
            case OriginateCustomer() | OriginateAgent() | act.OriginateThird() | act.Spy():
                self._originating[action.leg] = self.spawn(self._originate(action))
            case Connect():
                self._connect(action)
            case Hangup():
                if (leg := self._legs.by_id.get(action.leg)) is not None:
                    leg.closing = True
                self.spawn(self.hang_up(action))
            case PlayMessage():
                self.spawn(self._play(action))
            case ProbeParked():
                self.spawn(self._probe(action))
            case act.AdoptInbound():
                self._adopt(action)
            case act.Answer() | act.Announce():
                self.spawn(self._reception.perform(action))
            case _:
                self.spawn(self._moves.perform(action))

    def react(self, leg: Leg, step: Step, detail: str) -> None:
        """A leg came to `step`: do what follows from it."""
        match step:
            case Step.ENTERED:
                self.spawn(self._moves.spy(leg) if leg.spies_on else self.go_home(leg))
            case Step.PARKED:
                self.spawn(self._wait(leg, leg.parking_s or leg.hold_s))
            case Step.BRIDGED:
                self.spawn(self._talk(leg.id, detail))
            case Step.PLAYED:
                self.perform(Hangup(leg=leg.id))
            case Step.GONE:
                self._leftover(leg)
            case Step.SNOOP_READY | Step.SNOOP_GONE:
                self.spawn(self._moves.snoop(leg, detail, ready=step is Step.SNOOP_READY))
            case Step.ROOM_EMPTY:
                self.spawn(self.follow_up("DELETE", f"/bridges/{detail}"))
            case Step.SAID:
                self.spawn(self._music(leg))
            case Step.TALKS:
                self._moves.talks(leg, detail)

    # -- requests -------------------------------------------------------------------------------------------------
    async def ask(self, method: str, path: str, query: Query | None = None, body: dict[str, Any] | None = None) -> Any:
        return await self._client.ask(method, path, query, body)

    async def follow_up(self, method: str, path: str, query: Query | None = None) -> None:
        """A request whose refusal changes nothing by itself: what it was for is checked by an event or a deadline."""
        try:
            await self._client.ask(method, path, query)
        except PbxError as error:
            log.debug("ari.refused", site=self._site, request=f"{method} {path}", reason=str(error))

    async def make_bridge(self, bridge: str) -> None:
        """A mixing bridge with that id, unless it is there already."""
        try:
            await self.ask("POST", "/bridges", {"type": "mixing", "bridgeId": bridge})
        except AriRefused as error:
            if error.status != CONFLICT:
                raise

    def remove_bridges(self, bridges: Iterable[str]) -> None:
        """Bridges outlive their channels, and would pile up."""
        for bridge in bridges:
            self.spawn(self.follow_up("DELETE", f"/bridges/{bridge}"))

    async def limit(self, leg: str, seconds: float) -> None:
        """The PBX itself ends the leg after that."""
        query = {"variable": "TIMEOUT(absolute)", "value": str(max(1, math.ceil(seconds)))}
        await self.follow_up("POST", f"/channels/{self._legs.channel_of(leg)}/variable", query)

    def picked_up(self, leg: Leg) -> None:
        """The leg is answered and waits, though no event says so yet."""
        self._translator.answered(leg, self._clock.now())
        self._translator.parked(leg, self._clock.now())

    def gone(self, leg: Leg) -> None:
        """The PBX does not know the leg's channel any more, and no event says so."""
        if self._legs.by_id.get(leg.id) is leg:
            self._legs.remove(leg)
            self._emit(ev.LegHungUp(at=self._clock.now(), leg=leg.id, cause_text="the PBX has no such channel"))

    def take_up(self, leg: Leg) -> None:
        """A call that came in, found again by a listing: how it ends is to be heard."""
        if leg.channel != leg.id:
            self.spawn(self._reception.note(leg))

    def waits(self, leg: Leg) -> None:
        """The leg waits for commands, though no event says so."""
        self._translator.parked(leg, self._clock.now())

    def doubt(self, leg: str, action: str) -> None:
        self._emit(ev.ActionInDoubt(at=self._clock.now(), leg=leg, action=action))

    def refused(self, leg: str, action: str, why: str) -> None:
        self._emit(ev.ActionRefused(at=self._clock.now(), leg=leg, action=action, message=why))

    # -- legs -----------------------------------------------------------------------------------------------------
    async def _originate(self, action: Originating) -> None:
        leg = self._legs.add(action.leg)
        try:
            if isinstance(action, OriginateCustomer):
                leg.hold_s = action.hold_s
            if isinstance(action, act.Spy):
                leg.spies_on, leg.spy_mode = action.target, action.mode
            body, heard = request_of(action, self._app, self._templates), self._client.messages_in
            await self.ask("POST", "/channels", body=body)
            self._hearing.expects(heard, f"the originate of {leg.id}")
            if self._legs.by_id.get(leg.id) is leg:  # else it has come and gone before this answer
                self._translator.created(leg, self._clock.now())
        except PbxInDoubt:
            self.in_doubt.add(leg.id)
            self.doubt(leg.id, "originate")
        except PbxError as error:
            self.note(error, "originate")
            if self._legs.by_id.get(leg.id) is leg and not leg.created:
                self._legs.remove(leg)
                sent = not isinstance(error, PbxUnavailable)
                self._emit(ev.LegFailed(at=self._clock.now(), leg=leg.id, message=str(error), sent=sent))
        finally:
            self._originating.pop(action.leg, None)

    async def go_home(self, leg: Leg) -> None:
        """A leg that does the connecting waits in the bridge of its own, made if new."""
        try:
            await self.make_bridge(leg.own_bridge)
            await self.ask("POST", f"/bridges/{leg.own_bridge}/addChannel", {"channel": leg.id})
        except (PbxInDoubt, PbxUnavailable):
            return  # the snapshot finds it without its bridge
        except PbxError as error:
            self.note(error, "connect")
            if self._legs.by_id.get(leg.id) is not leg:
                await self.follow_up("DELETE", f"/bridges/{leg.own_bridge}")  # it went while its bridge was made
            elif not leg.closing:
                log.warning("ari.no_bridge", site=self._site, leg=leg.id, reason=str(error))
                await self.hang_up(Hangup(leg=leg.id))

    async def _wait(self, leg: Leg, limit_s: float) -> None:
        """Music while it waits; for a customer an end of the wait that needs nobody."""
        if limit_s and not leg.connects and not leg.announcing:
            await self.limit(leg.id, limit_s)
        await self._music(leg)

    async def _music(self, leg: Leg) -> None:
        """For who waits still, is answered, and hears nothing else."""
        if leg.parked and leg.answered and not leg.announcing:
            await self.follow_up("POST", f"/channels/{leg.channel}/{MUSIC}")

    async def _talk(self, host: str, guest: str) -> None:
        """A bridge alone does not stop the music of a channel in it."""
        for leg in (host, guest):
            await self.follow_up("DELETE", f"/channels/{self._legs.channel_of(leg)}/{MUSIC}")
        await self.limit(guest, TALK_MAX_S)

    def _leftover(self, leg: Leg) -> None:
        """With the leg that did the connecting its conversation ends, and the bridge."""
        if leg.connects:
            for guest in self._legs.bridges.get(leg.own_bridge, []):
                self.perform(Hangup(leg=guest.id))
            self.spawn(self.follow_up("DELETE", f"/bridges/{leg.own_bridge}"))
        self.spawn(self._moves.clean_up(leg))

    def _adopt(self, action: act.AdoptInbound) -> None:
        """A call that came in becomes a leg, which waits unanswered; if it is gone, that is its end."""
        leg = self._reception.adopt(action)
        if leg is None:
            self._emit(ev.LegHungUp(at=self._clock.now(), leg=action.leg, cause_text="the caller has gone"))
            return
        self._originating[leg.id] = noting = self.spawn(self._reception.note(leg))  # a hang-up behind it waits for it
        noting.add_done_callback(lambda _: self._originating.pop(leg.id, None))
        self._translator.parked(leg, self._clock.now())

    # -- connecting -----------------------------------------------------------------------------------------------
    def _connect(self, action: Connect) -> None:
        """Judged at once, so that two Connects for one agent in one batch can't both be sent."""
        agent, customer = self._legs.by_id.get(action.leg), self._legs.by_id.get(action.customer)
        if agent is None or customer is None:
            gone = "the agent's" if agent is None else "the customer's"
            self._connect_failed(action, f"{gone} leg does not exist")
        elif agent.closing or customer.closing:
            self._connect_failed(action, f"{'the agent' if agent.closing else 'the customer'}'s leg is being hung up")
        elif not agent.parked:
            doing = f"joining {agent.connecting}" if agent.connecting else "not waiting for commands"
            self._connect_failed(action, f"the agent's leg is {doing}")
        else:
            agent.parked, agent.connecting = False, action.customer
            self.spawn(self._write_connect(action, agent, customer))

    async def _write_connect(self, action: Connect, agent: Leg, customer: Leg) -> None:
        try:
            await self._reception.hush(customer)
            await self.ask("POST", f"/bridges/{agent.own_bridge}/addChannel", {"channel": customer.channel})
            if agent.connecting == action.customer and self._legs.by_id.get(action.customer) is customer:
                # Should the event be lost, the two would be parted a second later, and the customer given to another.
                self._translator.entered(customer, agent.own_bridge, self._clock.now())
        except (PbxInDoubt, PbxUnavailable):
            self.doubt(action.leg, "connect")
        except PbxError as error:
            self.note(error, "connect")
            if agent.connecting == action.customer:
                agent.parked, agent.connecting = True, ""
            self._connect_failed(action, str(error))

    def _connect_failed(self, action: Connect, why: str) -> None:
        self._emit(ev.ConnectFailed(at=self._clock.now(), leg=action.leg, peer=action.customer, message=why))

    # -- ending ---------------------------------------------------------------------------------------------------
    async def hang_up(self, action: Hangup) -> None:
        """At once; behind an originate that is not answered yet, as soon as it is."""
        if (originate := self._originating.get(action.leg)) is not None:
            await asyncio.wait({originate})
        leg = self._legs.by_id.get(action.leg)
        try:
            if await self._hangup_sent(action):
                return
            for pause_s in GONE_WAITS_S:
                await asyncio.sleep(pause_s)
                if leg is not None and self._legs.by_id.get(action.leg) is not leg:
                    return  # its ChannelDestroyed came
                if await self._hangup_sent(action):
                    return
        except (PbxInDoubt, PbxUnavailable):
            self.doubt(action.leg, "hangup")
            return
        if leg is not None:
            self._legs.remove(leg)
        elif originate is not None:
            return  # refused, and told so
        self._emit(ev.LegHungUp(at=self._clock.now(), leg=action.leg, cause_text="the PBX has no such channel"))

    async def _hangup_sent(self, action: Hangup) -> bool:
        """False if the PBX knows no such channel; other refusals are noted, and end the matter."""
        try:
            channel = self._legs.channel_of(action.leg)
            await self.ask("DELETE", f"/channels/{channel}", {"reason_code": str(action.cause)})
        except AriRefused as error:
            if error.status == NOT_FOUND:
                return False
            self.note(error, "hangup")
            if (leg := self._legs.by_id.get(action.leg)) is not None:
                leg.closing = False
        return True

    # -- sound and probes -----------------------------------------------------------------------------------------
    async def _play(self, action: PlayMessage) -> None:
        leg = self._legs.by_id.get(action.leg)
        try:
            if leg is None:
                raise PbxRejected("no such leg")
            sound = checked("sound", action.sound, SOUND)
            self._playbacks += 1
            leg.parked, leg.playing = False, f"{leg.id}.{self._playbacks}"
            await self._reception.hush(leg)
            await self.limit(leg.id, MESSAGE_MAX_S)  # before the message: behind it, it would wait for its end
            await self.follow_up("DELETE", f"/channels/{leg.channel}/{MUSIC}")
            if action.wait_for_silence:
                await self._moves.silence(leg)
            if leg.playing:
                await self.ask("POST", f"/channels/{leg.channel}/play/{leg.playing}", {"media": f"sound:{sound}"})
        except (PbxInDoubt, PbxUnavailable):
            self.doubt(action.leg, "play")
        except PbxError as error:
            self.note(error, "play")
            if leg is not None and not leg.playing:
                return  # its end told so already
            if leg is not None:
                leg.playing = ""
            self._emit(ev.MessagePlayed(at=self._clock.now(), leg=action.leg, heard=False))
            await self.hang_up(Hangup(leg=action.leg))

    async def _probe(self, action: ProbeParked) -> None:
        """A leg that is there, answered and in our application is waiting; any other is hung up."""
        leg = self._legs.add(action.leg)
        try:
            channel = await self.ask("GET", f"/channels/{leg.channel}")
        except (PbxInDoubt, PbxUnavailable):
            self.doubt(action.leg, "probe")
            return
        except PbxError:
            await self.hang_up(Hangup(leg=action.leg))
            return
        leg.created = True
        if channel["state"] != "Up" or channel["dialplan"]["app_name"] != "Stasis" or leg.closing:
            await self.hang_up(Hangup(leg=action.leg))
            return
        leg.answered = leg.in_stasis = True
        if leg.connects and leg.bridge != leg.own_bridge:
            leg.parked = False
            await self.go_home(leg)  # entering it tells that it waits
        elif leg.peer is None:
            leg.parked = True
            self._emit(ev.LegParked(at=self._clock.now(), leg=leg.id))

    def note(self, error: PbxError, what: str) -> None:
        if str(error) == "Permission denied":
            self.denied.add(what)
