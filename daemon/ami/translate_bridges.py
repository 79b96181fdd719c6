"""AMI events about who is in a bridge with whom → typed events. Part of ModernTranslator."""

from __future__ import annotations

from collections.abc import Callable

from daemon.ami.channels import Channels, Leg
from daemon.ami.codec import Message
from daemon.ami.steps import Step
from daemon.ami.translate_voice import ROOMS
from daemon.calls import events as ev
from daemon.calls.events import PbxEvent


class BridgeEvents:
    """`channels`, `_deliver`, `_react` are those of the translator this is mixed into."""

    channels: Channels
    _deliver: Callable[[PbxEvent], None]
    _react: Callable[[Leg, Step, str], None]

    def bridge_handlers(self) -> dict[str, Callable[[Message, float], None]]:
        return {
            "BridgeEnter": self._bridge_enter,
            "BridgeLeave": self._bridge_leave,
            "LocalOptimizationBegin": self._optimisation_begin,
            "LocalOptimizationEnd": self._optimisation_end,
        }

    def _bridge_enter(self, message: Message, at: float) -> None:
        if message.get("BridgeCreator") == ROOMS:
            return  # told by the room itself
        unique_id, channels = message.get("Uniqueid"), self.channels
        bridge = message.get("BridgeUniqueid")
        swapped = message.get("SwapUniqueid")
        if swapped:
            channels.leave(swapped)
            if (gone := channels.by_channel.get(swapped)) is not None and unique_id not in channels.by_channel:
                channels.enter(unique_id, bridge)
                self._moved(gone, unique_id, at)
                return
        leg = channels.by_channel.get(unique_id)
        if leg is not None:
            if leg.peer and not self._moving(leg) and channels.bridge_of.get(leg.peer.channel) != bridge:
                self._separate(leg, at)  # taken over by another bridge before we heard of its leaving
            channels.enter(unique_id, bridge)
            self._join(leg, at)
        elif unique_id in channels.children:
            channels.enter(unique_id, bridge)

    def _bridge_leave(self, message: Message, at: float) -> None:
        unique_id, channels = message.get("Uniqueid"), self.channels
        bridge = message.get("BridgeUniqueid")
        if channels.bridge_of.get(unique_id) != bridge:
            return
        channels.leave(unique_id)
        leg = channels.by_channel.get(unique_id)
        if leg is None or leg.peer is None or self._moving(leg):
            return
        if channels.bridge_of.get(leg.peer.channel, bridge) == bridge:  # else it was on its way to where the peer is
            self._separate(leg, at)

    def _join(self, leg: Leg, at: float) -> None:
        peer = self.channels.pair(leg)
        if peer is not None:
            agent, customer = (leg, peer) if leg.rank <= peer.rank else (peer, leg)
            agent.parked = customer.parked = False
            agent.connecting = ""
            self._deliver(ev.LegBridged(at=at, leg=agent.id, peer=customer.id))
            self._react(agent, Step.BRIDGED, customer.id)

    def _separate(self, leg: Leg, at: float) -> None:
        peer = self.channels.part(leg)
        if peer is not None:
            agent, customer = (leg, peer) if leg.rank <= peer.rank else (peer, leg)
            self._deliver(ev.LegUnbridged(at=at, leg=agent.id, peer=customer.id))

    def _moving(self, leg: Leg) -> bool:
        """Whether the leg or its peer is about to change channels: bridges are left and entered then, nobody parts."""
        return bool(leg.moving_to or (leg.peer is not None and leg.peer.moving_to))

    def _moved(self, leg: Leg, unique_id: str, at: float) -> None:
        self.channels.move(leg, unique_id)
        self._join(leg, at)

    def _optimisation_begin(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("LocalOneUniqueid"))
        if leg is not None:
            leg.moving_to = self.channels.survivor(leg, message.get("SourceUniqueid"))

    def _optimisation_end(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("LocalOneUniqueid"))
        if leg is not None and leg.moving_to:
            self._moved(leg, leg.moving_to, at)
