"""The far end of a PJSIP channel: a telephone that rings, answers, declines, hangs up, as its behaviour says.

It tells the one who dials it through a callback: `("ringing",)`, `("progress",)`, `("answered",)`, `("failed",)`.
"""

import asyncio
from collections.abc import Callable

from fake_asterisk import causes, rights
from fake_asterisk.channel import RINGING, UP, Channel
from fake_asterisk.config import Behaviour

Tell = Callable[[str], None]
_RTCP_S = 5.0


class Telephone:
    """One invitation and what becomes of it."""

    def __init__(self, channel: Channel, behaviour: Behaviour, tell: Tell) -> None:
        self.channel = channel
        self.behaviour = behaviour
        self._tell = tell
        self._timers: list[asyncio.TimerHandle] = []
        self._media_until = 0.0
        self._in_talk = False

    def invite(self) -> None:
        """The INVITE is sent."""
        b, pbx = self.behaviour, self.channel.pbx
        if b.rings:
            self._later(b.ring_after_s, self._provisional)
        if b.fail_sip:
            self._later(b.fail_after_s, self._final)
        elif b.answer_after_s is not None:
            self._later(max(b.answer_after_s, b.ring_after_s), self._answer)
        elif not b.rings:
            self._later(pbx.config.invite_timeout_s, self._silence)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append(self.channel.pbx.loop.call_later(seconds, call))

    def _provisional(self) -> None:
        if self.behaviour.rings == "progress":
            self.channel.has_rtp = True
            self._tell("progress")
        else:
            self.channel.set_state(RINGING)
            self._tell("ringing")

    def _answer(self) -> None:
        channel, b = self.channel, self.behaviour
        channel.has_rtp = True
        self._media_until = channel.pbx.now() + b.media_s
        channel.set_state(UP)
        self._tell("answered")
        if channel.pbx.config.rtcp:
            self._later(_RTCP_S, self._reports)
        if b.hangup_after_s is not None:
            self._later(b.hangup_after_s, self.say_goodbye)
        if b.patience_s is not None:
            self._later(b.patience_s, self._lose_patience)

    def _reports(self) -> None:
        """An RTCP report each five seconds, of what arrives from this telephone, if the configuration says what."""
        channel = self.channel
        name = channel.device.partition("/")[2]
        found = channel.pbx.config.rtcp.get(name)
        if found is None or channel.dead:
            return
        lost, jitter = found
        block = f"Report0FractionLost: {lost}\r\nReport0IAJitter: {jitter}\r\n"
        channel.event(rights.REPORTING, "RTCPSent", f"PT: 200(SR)\r\nReportCount: 1\r\n{block}")
        self._later(_RTCP_S, self._reports)

    def _lose_patience(self) -> None:
        if not self._in_talk:
            self.say_goodbye()

    def in_talk(self) -> None:
        """Somebody is at the other end of the bridge."""
        if not self._in_talk:
            self._in_talk = True
            if self.behaviour.talk_s is not None:
                self._later(self.behaviour.talk_s, self.say_goodbye)

    def _final(self) -> None:
        self._fail(self.behaviour.fail_sip)

    def _silence(self) -> None:
        self._fail(408)

    def _fail(self, status: int) -> None:
        channel = self.channel
        channel.cause, channel.tech_cause = causes.from_sip(status), status
        if channel.has_rtp:
            channel.has_rtp = False
            channel.rtp_statistics()
        channel.event(rights.CALL, "HangupRequest", f"Cause: {channel.cause}\r\nTechCause: {status}\r\n")
        if channel.state == UP:  # taken for answered at its announcement (EarlyMedia)
            channel.soft_hangup()
        self._tell("failed")

    def say_goodbye(self) -> None:
        """The far end ends an answered call (BYE)."""
        channel = self.channel
        if channel.dead or channel.hung:
            return
        channel.far_end = None
        channel.has_rtp = False
        bridge = channel.bridge
        peers = [c for c in bridge.channels if c is not channel] if bridge is not None else []
        channel.rtp_statistics()
        if bridge is not None and bridge.type == "basic" and len(peers) == 1:
            peers[0].rtp_statistics("BRIDGED")
        cause = None
        if channel.made_by_dial:
            cause = causes.NORMAL_CLEARING
        channel.event(rights.CALL, "HangupRequest", f"Cause: {cause}\r\n" if cause else "")
        channel.soft_hangup(cause)

    # ---- FarEnd

    def media_flows(self) -> bool:
        """Whether sound arrives from this telephone now."""
        return self.channel.pbx.now() < self._media_until

    def hung_up(self, cause: int) -> None:
        """Our side ended it: BYE or CANCEL."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def indicate(self, what: str) -> None:
        """A telephone we dialled needs no indications."""
