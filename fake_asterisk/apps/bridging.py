"""Bridge and Dial: the applications that bring two channels together."""

from fake_asterisk import causes
from fake_asterisk.apps.registry import END, application, arguments
from fake_asterisk.bridge import DIVERTED, Bridge, impart
from fake_asterisk.channel import UP, Channel, Diverted, Hungup
from fake_asterisk.legs import Leg, failure_cause, make_leg

_CLEARED = (
    "DIALSTATUS", "DIALEDPEERNUMBER", "DIALEDPEERNAME", "ANSWEREDTIME", "ANSWEREDTIME_MS", "DIALEDTIME",
    "DIALEDTIME_MS", "RINGTIME", "RINGTIME_MS", "PROGRESSTIME", "PROGRESSTIME_MS",
)  # fmt: skip
_LONG_S = 136 * 365 * 86400.0


@application("Bridge")
async def bridge(channel: Channel, data: str) -> int:
    """Take over another channel. BRIDGERESULT says SUCCESS, NONEXISTENT, LOOP or FAILURE."""
    name, options = arguments(data, 2)
    pbx = channel.pbx
    other = pbx.channel(name)
    if other is channel:
        channel.set_variable("BRIDGERESULT", "LOOP")
        return 0
    if other is None or other.dead or other.hung:
        channel.set_variable("BRIDGERESULT", "NONEXISTENT")
        return 0
    pbx.answer(channel)
    together = Bridge(pbx)
    if "F" in options:
        other.after_bridge = (channel.context, channel.exten, channel.priority + 1)
    elif "x" in options:
        other.after_bridge = None
    else:
        other.after_bridge = (other.context, other.exten, other.priority + 1)
    other.after_bridge_if_exists = True
    impart(together, other)
    together.push(channel)
    reason = await together.stay(channel)
    if channel.displaced:
        channel.displaced = False
        channel.soft_hangup()
    channel.set_variable("BRIDGERESULT", "SUCCESS")
    if reason == DIVERTED and not channel.hung:
        raise Diverted
    return 0  # also to a channel that was hung up: only the next step of its thread finds out


class _Dialled:
    """A Dial in progress on a channel."""

    def __init__(self, channel: Channel, options: str, timeout_s: float) -> None:
        self.channel = channel
        self.options = options
        self.legs: list[tuple[Leg, str]] = []
        self.began_at = channel.pbx.now()
        self.timeout_s = timeout_s
        self.busy = self.congested = self.unreachable = self.lines = 0
        self.answered_at = 0.0
        self.unnamed = False  # a leg without a caller id of its own was given the dialled number
        self._ringing = False

    def elapsed(self, name: str, since: float) -> None:
        """The pair of variables for a duration: seconds and milliseconds."""
        seconds = self.channel.pbx.now() - since
        self.channel.set_variable(name, str(int(seconds)))
        self.channel.set_variable(f"{name}_MS", str(int(seconds * 1000)))

    def count(self, cause: int) -> None:
        """Note why a line failed."""
        if cause == causes.USER_BUSY:
            self.busy += 1
        elif cause == causes.CONGESTION:
            self.congested += 1
        elif cause not in (causes.NO_ANSWER, causes.NORMAL_CLEARING):
            self.unreachable += 1

    def status(self) -> str:
        """DIALSTATUS of a Dial that nobody answered."""
        if self.busy + self.congested + self.unreachable < self.lines:
            return "NOANSWER"
        return "BUSY" if self.busy else "CONGESTION" if self.congested else "CHANUNAVAIL"

    def ring(self) -> None:
        """The first ringing is passed back to the caller."""
        if self._ringing:
            return
        self._ringing = True
        self.elapsed("RINGTIME", self.began_at)
        if "m" not in self.options and self.channel.far_end is not None:
            self.channel.far_end.indicate("ringing")


@application("Dial")
async def dial(channel: Channel, data: str) -> int:
    """Ring one or several devices; the first to answer is bridged. DIALSTATUS says what became of it."""
    destinations, timeout, options = arguments(data, 3)
    for name in _CLEARED:
        channel.set_variable(name, "")
    seconds = float(timeout) if timeout.replace(".", "").isdigit() else _LONG_S
    state = _Dialled(channel, options.partition(",")[0], seconds)
    answered: Leg | None = None
    try:
        _request_all(state, destinations)
        if "m" in state.options and state.legs:
            channel.start_music("default")
        if len(state.legs) == 1 and not state.unnamed:
            channel.set_connected(state.legs[0][0].channel.caller)
        if state.legs:
            answered = await _wait_for_answer(state)
    except (Hungup, Diverted):
        _cancel(state)
        raise
    if answered is None:
        channel.stop_music()
        channel.set_variable("DIALSTATUS", state.status())
        return 0
    return await _talk(state, answered)


def _request_all(state: _Dialled, destinations: str) -> None:
    channel = state.channel
    pbx = channel.pbx
    assert channel.fiber is not None
    for destination in destinations.split("&"):
        tech, _, resource = destination.partition("/")
        state.lines += 1
        leg = make_leg(pbx, tech, resource, channel.fiber, parent=channel)
        if leg is None:
            channel.cause = failure_cause(pbx, tech)
            state.unreachable += 1
            continue
        unnamed = leg.channel.caller == ("", "")
        _introduce(channel, leg.channel, resource)
        if not leg.call():
            leg.give_up()
            state.unreachable += 1
            continue
        pbx.dial_event("DialBegin", channel, leg.channel, f"DialString: {resource}\r\n")
        if unnamed:
            state.unnamed = True
        if (
            unnamed and leg.channel.tech != "Local" and "&" not in destinations
        ):  # a Local half tells its party when that one is known
            channel.set_connected(leg.channel.caller)
        state.legs.append((leg, resource))
        leg.go()


def _introduce(channel: Channel, dialled: Channel, resource: str) -> None:
    """What the dialled channel inherits, and whom it sees as calling."""
    dialled.made_by_dial = True
    dialled.dialled_by = channel
    dialled.set_variable("DIALEDPEERNUMBER", resource)
    dialled.inherit_variables(channel)
    if dialled.caller == ("", ""):
        dialled.caller = (channel.exten, channel.connected[1])
    dialled.connected = channel.caller
    if channel.exten:
        dialled.exten = channel.exten
    dialled.account = dialled.account or channel.peer_account
    dialled.peer_account = channel.account
    dialled.run("AppDial", "(Outgoing Line)")
    dialled.publish()


async def _wait_for_answer(state: _Dialled) -> Leg | None:
    """The leg that answered, or None with `status` set."""
    channel, pbx = state.channel, state.channel.pbx
    deadline = state.began_at + state.timeout_s
    while state.legs:
        left = deadline - pbx.now()
        if left <= 1e-6:
            _end_legs(state, "NOANSWER", None)
            return None
        await channel.pause(left)
        for leg, resource in list(state.legs):
            outcome = _look(state, leg, resource)
            if outcome:
                return leg
    return None


def _look(state: _Dialled, leg: Leg, resource: str) -> bool:
    """Take note of what a leg's far end did since; True if it answered."""
    channel, pbx, dialled = state.channel, state.channel.pbx, leg.channel
    for news in leg.news():
        if news in ("ringing", "progress"):
            status = "RINGING" if news == "ringing" else "PROGRESS"
            if news == "ringing":
                state.ring()
            else:
                state.elapsed("PROGRESSTIME", state.began_at)
                if channel.far_end is not None:
                    channel.far_end.indicate("progress")
            pbx.dial_event("DialState", channel, dialled, f"DialStatus: {status}\r\n")
        elif news == "failed":
            state.legs.remove((leg, resource))
            status = causes.dial_status(dialled.cause)
            pbx.dial_event("DialEnd", channel, dialled, f"DialStatus: {status}\r\n")
            channel.cause = dialled.cause
            state.count(dialled.cause)
            dialled.destroy()
        elif news == "answered":
            return True
    if dialled.hung and not dialled.dead:  # someone hung it up while it rang
        if (leg, resource) in state.legs:
            state.legs.remove((leg, resource))
        pbx.dial_event("DialEnd", channel, dialled, f"DialStatus: {causes.dial_status(dialled.cause)}\r\n")
        channel.cause = dialled.cause
        state.count(dialled.cause)
        leg.give_up()
    return False


def _end_legs(state: _Dialled, status: str, cause: int | None, but: Leg | None = None) -> None:
    ending = [leg for leg, _ in state.legs if leg is not but]
    state.legs = []
    for leg in ending:
        event = f"DialStatus: {status}\r\n"
        state.channel.pbx.dial_event("DialEnd", state.channel, leg.channel, event)
    for leg in ending:
        if cause is not None:
            leg.channel.cause = cause
        leg.give_up()


def _cancel(state: _Dialled) -> None:
    """The caller went away while it rang."""
    state.channel.stop_music()
    _end_legs(state, "CANCEL", state.channel.cause or causes.NORMAL_CLEARING)
    state.channel.set_variable("DIALSTATUS", "CANCEL")


async def _talk(state: _Dialled, leg: Leg) -> int:
    channel, peer, pbx = state.channel, leg.channel, state.channel.pbx
    resource = next(text for each, text in state.legs if each is leg)
    state.answered_at = pbx.now()
    channel.cause = peer.cause = causes.NORMAL_CLEARING  # how an answered call will most likely end
    if state.lines > 1 and peer.tech == "PJSIP":
        channel.set_connected(peer.caller)
    channel.set_variable("DIALSTATUS", "ANSWER")
    channel.set_variable("DIALEDPEERNAME", peer.name)
    channel.set_variable("DIALEDPEERNUMBER", resource)
    _end_legs(state, "CANCEL", 26, but=leg)
    peer.exten = ""
    pbx.dial_event("DialEnd", channel, peer, "DialStatus: ANSWER\r\n")
    channel.stop_music()
    if channel.state != UP:
        pbx.answer(channel)
    together = Bridge(pbx)
    together.exchanges_lines = False
    peer.publish()
    together.push(peer)
    pbx.start(peer, _peer_stay(together, peer))
    together.push(channel)
    together.exchanges_lines = True
    reason = await together.stay(channel)
    state.elapsed("ANSWEREDTIME", state.answered_at)
    state.elapsed("DIALEDTIME", state.began_at)
    channel.set_variable("DIALSTATUS", "ANSWER")
    if channel.hung:
        raise Hungup
    if reason == DIVERTED:
        raise Diverted
    return 0 if "g" in state.options else END


async def _peer_stay(together: Bridge, peer: Channel) -> None:
    reason = await together.stay(peer)
    if reason == DIVERTED and not peer.hung:
        await peer.pbx.dialplan_run(peer)
        return
    peer.pbx.run_hangup_handlers(peer)
    peer.destroy()
