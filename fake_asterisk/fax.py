"""A fax tone heard on a channel that listens for it: FAXOPT(faxdetect) of res_fax (seen on 22.10).

The channel is sent to the extension `fax` of the context it stands in, if there is one, as Redirect would send it; the
variable FAXEXTEN says where it was. Whatever ran on it ends without a word.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_asterisk.channel import Channel

FAXDETECT = "FAXOPT(faxdetect)"
HEARD_S = 0.45
"""From the start of a calling fax's tone to the detection."""
ON = ("yes", "cng", "true", "on", "1")


def listen(channel: "Channel") -> None:
    """The option was written: a far end that is a fax will be heard while it is on."""
    from fake_asterisk.local import telephone_behind

    far_end = telephone_behind(channel)
    if _on(channel) and far_end is not None and far_end.behaviour.voice == "fax":
        channel.pbx.loop.call_later(HEARD_S, _heard, channel)


def _on(channel: "Channel") -> bool:
    return channel.functions.get(FAXDETECT, "").partition(",")[0].strip().lower() in ON


def _heard(channel: "Channel") -> None:
    from fake_asterisk.actions.channels import elsewhere

    if channel.dead or not _on(channel) or channel.pbx.dialplan.find(channel.context, "fax", 1) is None:
        return
    channel.set_variable("FAXEXTEN", channel.exten)
    elsewhere(channel, channel.context, "fax", 1)
