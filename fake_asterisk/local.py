"""Local channels: two halves tied together, their passing on of states, and their optimising themselves away."""

from typing import TYPE_CHECKING

from fake_asterisk import rights
from fake_asterisk.channel import RING, RINGING, UP, Channel
from fake_asterisk.telephone import Telephone, Tell

if TYPE_CHECKING:
    from fake_asterisk.bridge import Bridge
    from fake_asterisk.pbx import FakeAsterisk

_LOCAL_DEPTH_MAX = 5  # Local behind Local behind Local


class Half:
    """The far end of one half is the other half."""

    def __init__(self, pair: "Pair", me: Channel, other: Channel) -> None:
        self.pair, self.me, self.other = pair, me, other

    def hung_up(self, cause: int) -> None:
        """This half ended; the other is asked to."""
        other = self.other
        if self.me is self.pair.one and self.pair.called:
            self.me.pbx.devices.local_pair(self.me.device, -1)
            self.pair.called = False
        self.me.pbx.devices.refresh("Local", self.me.device)
        if other.dead:
            return
        if self.me is self.pair.two and (status := self.me.variables.get("DIALSTATUS")) is not None:
            other.cause = self.me.cause
            other.set_variable("CHANLOCALSTATUS", status[0])
        other.event(rights.CALL, "HangupRequest", f"Cause: {cause}\r\n")
        if self.me is self.pair.two and not self.pair.answered:
            other.cause = cause
            self.pair.tell("failed")
            return
        other.soft_hangup(cause or None)

    def indicate(self, what: str) -> None:
        """What runs on this half wants the other to ring or to be answered."""
        pair, other = self.pair, self.other
        if self.me is not pair.two or other.dead:
            return
        if what == "ringing":
            other.set_state(RINGING)
            pair.tell("ringing")
        elif what == "progress":
            pair.tell("progress")
        elif what == "answer" and not pair.answered:
            pair.answered = True
            other.set_state(UP)
            pair.tell("answered")


class Pair:
    """`;1`, which someone dialled, and `;2`, which runs the dialplan at exten@context."""

    def __init__(self, one: Channel, two: Channel, exten: str, context: str, optimises: bool, tell: Tell) -> None:
        self.one, self.two = one, two
        self.exten, self.context, self.optimises = exten, context, optimises
        self.tell = tell
        self.answered = False
        self.called = False
        self.optimised = False
        one.far_end = Half(self, one, two)
        two.far_end = Half(self, two, one)

    def call(self) -> bool:
        """Start the dialplan on `;2`; False if there is no such extension (both halves are to be hung up)."""
        one, two = self.one, self.two
        two.inherit_all(one)
        two.account, two.peer_account = one.account, one.peer_account
        two.caller = one.connected if one.connected != ("", "") else one.caller
        two.connected = one.caller
        two.publish()
        plan = one.pbx.dialplan
        if plan.find(self.context, self.exten, 1) is None:
            return False
        self.called = True
        one.pbx.devices.local_pair(one.device, 1)
        one.pbx.emit(
            rights.CALL,
            "LocalBridge",
            f"{one.snapshot('LocalOne')}{two.snapshot('LocalTwo')}Context: {self.context}\r\nExten: {self.exten}\r\n"
            f"LocalOptimization: {'Yes' if self.optimises else 'No'}\r\n",
        )
        return True

    def start(self) -> None:
        """Run the dialplan."""
        pbx = self.one.pbx
        pbx.start(self.two, pbx.dialplan_run(self.two))


class Locals:
    """All pairs, and the watch for those that can optimise themselves away."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self._pbx = pbx
        self._count = 0
        self._optimisations = 0
        self.pairs: dict[str, Pair] = {}  # by the Uniqueid of either half

    def next_number(self) -> int:
        """Counter of channels that exist inside the server only: Local pairs and conference announcers."""
        self._count += 1
        return self._count - 1

    def make(self, resource: str, *, uniqueid: str, other_uniqueid: str, linkedid: str = "", tell: Tell) -> Pair | None:
        """Make both halves for `exten@context[/n]`; None if it is not of that form."""
        pbx = self._pbx
        place, _, options = resource.partition("/")
        exten, at, context = place.partition("@")
        if not at:
            context = "default"
        name = f"Local/{exten}@{context}-{self.next_number():08x}"
        one = Channel(
            pbx, f"{name};1", uniqueid or pbx.next_uniqueid(), linkedid=linkedid, context=context, exten=exten
        )
        two_id = other_uniqueid or (f"{uniqueid};2" if uniqueid else pbx.next_uniqueid())
        if two_id in pbx.channels:  # the first half is made before the second turns out to be impossible
            one.destroy()
            pbx.devices.refresh("Local", one.device)
            return None
        two = Channel(pbx, f"{name};2", two_id, linkedid=one.linkedid, state=RING, context=context, exten=exten)
        two.linked_born = one.linked_born
        pair = Pair(one, two, exten, context, "n" not in options, tell)
        self.pairs[one.uniqueid] = self.pairs[two.uniqueid] = pair
        return pair

    def gone(self, channel: Channel) -> None:
        """A half is no more."""
        self.pairs.pop(channel.uniqueid, None)

    def passed_on(self, channel: Channel) -> None:
        """The connected line of a half changed: it is the caller id of the other, told with its next snapshot."""
        pair = self.pairs.get(channel.uniqueid)
        if pair is not None:
            other = pair.one if channel is pair.two else pair.two
            other.caller = channel.connected
            if other.dialled_by is not None and other.bridge is None:
                other.dialled_by.set_connected(other.caller)
            if other.bridge is not None and other.bridge.type == "basic":
                for peer in other.bridge.channels:
                    if peer is not other:
                        peer.set_connected(other.caller)

    def introduced(self, bridge: "Bridge") -> None:
        """Two telephones that hear each other, directly or through Local pairs, are in a conversation."""
        telephones = [telephone_behind(channel) for channel in bridge.channels]
        present = [telephone for telephone in telephones if telephone is not None]
        if len(present) > 1:
            for telephone in present:
                telephone.in_talk()

    def joined(self, bridge: "Bridge") -> None:
        """Two channels are together in a bridge: if a pair now hangs between two bridges, see whether sound flows."""
        for channel in bridge.channels:
            pair = self.pairs.get(channel.uniqueid)
            if pair is not None and pair.optimises and not pair.optimised and pair.one.bridge and pair.two.bridge:
                self._pbx.loop.call_later(self._pbx.config.optimise_after_s, self._optimise, pair)

    def _optimise(self, pair: Pair) -> None:
        """The channel behind `;2` takes the place of `;1`; both halves hang up; the call goes on."""
        one, two = pair.one, pair.two
        inner, outer = two.bridge, one.bridge
        if pair.optimised or one.dead or two.dead or inner is None or outer is None or inner.type != "basic":
            return
        behind = next((c for c in inner.channels if c is not two), None)
        if behind is None or not any(media_flows(c) for c in (*inner.channels, *outer.channels)):
            return
        pair.optimised = True
        self._optimisations += 1
        number = self._optimisations
        halves = f"{one.snapshot('LocalOne')}{two.snapshot('LocalTwo')}"
        self._pbx.emit(
            rights.CALL,
            "LocalOptimizationBegin",
            f"{halves}{behind.snapshot('Source')}DestUniqueId: {two.uniqueid}\r\nId: {number}\r\n",
        )
        inner.remove(behind, moving=True, quiet=True)
        for name in ("BRIDGEPEER", "BRIDGEPVTCALLID"):
            one.set_variable(name, None)
        outer.remove(one, moving=True, quiet=True)
        one.cause = one.cause or 16
        outer.push(behind, swap=one)
        self._pbx.emit(rights.CALL, "LocalOptimizationEnd", f"{halves}Success: No\r\nId: {number}\r\n")
        if one.fiber is not None:
            one.fiber.wake("optimised")  # it finds itself in no bridge, and goes on where it was told to
        inner.dissolve()


def telephone_behind(channel: Channel, depth: int = 0) -> Telephone | None:
    """The telephone whose sound arrives on a channel: its own, or the one that talks into the other Local half."""
    far_end = channel.far_end
    if isinstance(far_end, Telephone):
        return far_end
    if isinstance(far_end, Half) and far_end.other.bridge is not None and depth < _LOCAL_DEPTH_MAX:
        for peer in far_end.other.bridge.channels:
            if peer is not far_end.other and (found := telephone_behind(peer, depth + 1)) is not None:
                return found
    return None


def media_flows(channel: Channel) -> bool:
    """Whether sound arrives on a channel now."""
    telephone = telephone_behind(channel)
    return telephone is not None and telephone.media_flows()
