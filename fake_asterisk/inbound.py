"""A call that comes in on a trunk: a PJSIP channel in state Ring that runs the trunk's dialplan."""

from typing import TYPE_CHECKING

from fake_asterisk.channel import RING, Channel
from fake_asterisk.config import Behaviour
from fake_asterisk.telephone import Telephone

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk


class Caller(Telephone):
    """Somebody who calls us: is answered rather than answers."""

    def indicate(self, what: str) -> None:
        """Answered by the PBX: from then on it may lose patience, talk and hang up, as its behaviour says."""
        if what != "answer":
            return
        channel, b = self.channel, self.behaviour
        channel.has_rtp = True
        self._media_until = channel.pbx.now() + b.media_s
        if b.hangup_after_s is not None:
            self._later(b.hangup_after_s, self.say_goodbye)
        if b.patience_s is not None:
            self._later(b.patience_s, self._lose_patience)


def call_in(
    pbx: "FakeAsterisk", endpoint: str, did: str, caller: str = "", behaviour: Behaviour | None = None
) -> Channel:
    """A call to `did` on this endpoint, in its context. `caller` empty: withheld."""
    settings = pbx.config.endpoints[endpoint]
    channel = Channel(
        pbx,
        pbx.next_pjsip_name(endpoint),
        pbx.next_uniqueid(),
        state=RING,
        context=settings.context,
        exten=did,
        caller=(caller, ""),
    )
    channel.far_end = Caller(channel, behaviour or Behaviour(media_s=1e9), lambda news: None)
    pbx.ledger.legs[channel.uniqueid].number = caller
    pbx.start(channel, pbx.dialplan_run(channel))
    return channel
