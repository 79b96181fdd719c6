"""Bridges: who is in them, the events of entering and leaving, and what the others feel when one leaves."""

from typing import TYPE_CHECKING

from fake_asterisk import rights
from fake_asterisk.channel import RING, Channel, Diverted, Hungup
from fake_asterisk.render import bridge_snapshot

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

BRIDGED_CAUSE = 16  # whoever leaves a bridge without a cause of its own is said to have been cleared normally

_CHANGE_ROUNDS = 3  # how often the peers' variables are set while a bridge moves to or from native RTP

# Why a channel left: it hung up, was sent elsewhere in the dialplan, the bridge was dissolved, kicked, moved away.
HANGUP, DIVERTED, DISSOLVED, KICKED, MOVED = "hangup", "diverted", "dissolved", "kicked", "moved"


class Bridge:
    """A place where channels hear each other. A basic bridge dissolves when one of its two leaves it for good."""

    def __init__(
        self, pbx: "FakeAsterisk", *, type: str = "basic", technology: str = "simple_bridge", creator: str = "",
        name: str = "", dissolves: bool = True, counted_besides: int = 0, uniqueid: str = "", stays: bool = False,
    ) -> None:  # fmt: skip
        self.pbx = pbx
        self.uniqueid = uniqueid or pbx.new_uuid()
        self.stays = stays  # also when nobody is in it any more
        self.type, self.technology, self.creator, self.name = type, technology, creator, name
        self.dissolves = dissolves
        self.counted_besides = 0  # a conference's announcer is a channel too
        self.exchanges_lines = True  # each is told the other's number; Dial has done that before
        self.announcer = ""  # name of a conference's own channel
        self.channels: list[Channel] = []
        self.destroyed = False
        self.cause = 0
        pbx.bridges[self.uniqueid] = self
        self.event("BridgeCreate")
        self.counted_besides = counted_besides

    @property
    def count(self) -> int:
        """BridgeNumChannels."""
        return len(self.channels) + self.counted_besides

    def event(self, name: str, extra: str = "") -> None:
        """An event of class call with the bridge's snapshot first."""
        if self.pbx.wanted & rights.CALL:
            self.pbx.emit(rights.CALL, name, bridge_snapshot(self) + extra)

    # ---- membership

    def push(self, channel: Channel, swap: Channel | None = None) -> None:
        """Enter. With `swap`, in the place of that channel."""
        channel.stop_music()
        channel.bridge = self
        self.channels.append(channel)
        extra = f"SwapUniqueid: {swap.uniqueid}\r\n" if swap is not None else ""
        if self.pbx.wanted & rights.CALL:
            self.event("BridgeEnter", channel.snapshot() + extra)
        channel.publish()
        for name in ("BLINDTRANSFER", "ATTENDEDTRANSFER"):
            channel.set_variable(name, None)
        self.pbx.ledger.entered(self.uniqueid, channel.uniqueid, self.pbx.now())
        self.pbx.ari.moved("ChannelEnteredBridge", self, channel)
        if len(self.channels) > 1 or self.announcer:
            self._joined()

    def _joined(self) -> None:
        self._acquaint()
        self.pbx.locals.introduced(self)

    def _acquaint(self) -> None:
        """What follows once two are in: one Linkedid, connected lines, peer variables, perhaps optimisation."""
        if self.type != "basic":
            self._name_peers()
            return
        eldest = min(self.channels, key=lambda c: c.linked_born)
        for channel in self.channels:
            channel.linkedid, channel.linked_born = eldest.linkedid, eldest.linked_born
        one, two = self.channels[0], self.channels[-1]
        for me, peer in ((two, one), (one, two)):
            if self.exchanges_lines and peer.caller != ("", ""):
                me.set_connected(peer.caller)
        native = all(c.tech == "PJSIP" and not c.recordings and not c.frame_hooks for c in self.channels)
        self._introduce(_CHANGE_ROUNDS if native else 1)
        if native:
            self.technology = "native_rtp"
        self.pbx.locals.joined(self)

    def _introduce(self, rounds: int) -> None:
        """Tell each of two who the other is. Asterisk does it again at each step of a change of technology."""
        one, two = self.channels[0], self.channels[-1]
        for _ in range(rounds):
            for me, peer in ((two, one), (one, two)):
                me.set_variable("BRIDGEPEER", peer.name)
                if peer.pvt_call_id:
                    me.set_variable("BRIDGEPVTCALLID", peer.pvt_call_id)

    def _name_peers(self) -> None:
        """In a conference each is told all the others, the announcer first."""
        for me in self.channels:
            others = [self.announcer, *(c.name for c in self.channels if c is not me)]
            me.set_variable("BRIDGEPEER", ",".join(name for name in others if name))

    def hooked(self) -> None:
        """Somebody records or spies on a member from now on: native bridging ends, and is not taken up again."""
        if self.type == "basic" and len(self.channels) == 2:
            self._introduce(_CHANGE_ROUNDS if self.technology == "native_rtp" else 1)
            self.technology = "simple_bridge"

    def remove(self, channel: Channel, *, moving: bool = False, quiet: bool = False) -> None:
        """Leave. `moving`: to another bridge, so its own peer variables stay."""
        if channel not in self.channels:
            return
        if self.type == "basic" and not quiet:
            leaving_first = [channel, *(c for c in self.channels if c is not channel)]
            for member in leaving_first[1:] if moving else leaving_first:
                member.set_variable("BRIDGEPEER", None)
                member.set_variable("BRIDGEPVTCALLID", None)
        elif self.type != "basic":
            channel.set_variable("BRIDGEPEER", None)
        channel.publish()
        self.channels.remove(channel)
        channel.bridge = None
        if not channel.cause and not moving:
            channel.cause = self.cause or BRIDGED_CAUSE
        if self.dissolves and not moving and not quiet:
            self.cause = self.cause or channel.cause  # the others leave with the cause of the first (seen)
        if self.pbx.wanted & rights.CALL:
            self.event("BridgeLeave", channel.snapshot())
        self.pbx.ari.moved("ChannelLeftBridge", self, channel)
        if self.announcer:
            self._name_peers()
        self.pbx.ledger.left(self.uniqueid, channel.uniqueid, self.pbx.now())
        if self.dissolves and not quiet:
            self.dissolve()
        if not self.channels and not self.counted_besides and not self.stays:
            self.destroy()

    def dissolve(self) -> None:
        """Tell all that are left to leave."""
        for other in list(self.channels):
            if other.fiber is not None:
                other.fiber.wake((self, DISSOLVED))

    def destroy(self) -> None:
        """The bridge is gone."""
        if not self.destroyed:
            self.destroyed = True
            self.pbx.bridges.pop(self.uniqueid, None)
            self.event("BridgeDestroy")
            self.pbx.ari.bridge_gone(self)

    def kick(self, channel: Channel) -> None:
        """Throw one out (BridgeKick)."""
        if channel.fiber is not None:
            channel.fiber.wake((self, KICKED))

    # ---- the stay of one channel

    async def stay(self, channel: Channel) -> str:
        """Wait, as the channel's fiber, until it leaves; the reason. The bridge it is in may change meanwhile."""
        reason = HANGUP
        try:
            while channel.bridge is not None:
                token = await channel.pause()
                if isinstance(token, tuple) and token[0] is channel.bridge:
                    reason = token[1]
                    break
            else:
                reason = DISSOLVED
        except Hungup:
            pass
        except Diverted:
            reason = DIVERTED
        if channel.bridge is not None:
            channel.bridge.remove(channel)
        return reason


def pull(channel: Channel) -> None:
    """Take a channel away from whatever runs on it (Asterisk's masquerade): no event tells its application's end."""
    channel.stop_music()
    if channel.runs_dialplan:
        channel.priority += 1
        channel.runs_dialplan = False
    told = channel.on_pulled
    if channel.fiber is not None:
        channel.fiber.drop()
    channel.fiber = None
    channel.clear_absolute_timeout()  # it stays behind (seen)
    if told is not None:
        told()
    channel.outermost = ("", "")
    channel.run("", "")


def impart(bridge: Bridge, channel: Channel) -> None:
    """Bring a channel into the bridge: from another bridge (it moves) or from its application (it is pulled)."""
    if channel.bridge is not None:
        old = channel.bridge
        old.remove(channel, moving=True)
        bridge.push(channel)
        return
    pull(channel)
    if channel.state == RING:  # a leg that we dialled rings on inside (seen)
        channel.pbx.answer(channel)
    bridge.push(channel)
    channel.pbx.start(channel, _imparted(bridge, channel))


async def _imparted(bridge: Bridge, channel: Channel) -> None:
    """Life of a channel that was brought into a bridge: the stay, and then the dialplan if it was told to go on."""
    reason = await bridge.stay(channel)
    pbx = channel.pbx
    if reason == DIVERTED and not channel.hung:
        await pbx.dialplan_run(channel)
        return
    target, channel.after_bridge = channel.after_bridge, None
    if target is not None and not channel.hung:
        context, exten, priority = target
        if not channel.after_bridge_if_exists or pbx.dialplan.find(context, exten, priority):
            channel.context, channel.exten, channel.priority = context, exten, priority
            await pbx.dialplan_run(channel)
            return
    pbx.run_hangup_handlers(channel)
    channel.destroy()
