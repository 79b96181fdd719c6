"""A leg that is dialled, whatever its technology: a PJSIP channel with a telephone, or a Local pair."""

from typing import TYPE_CHECKING

from fake_asterisk import causes
from fake_asterisk.channel import Channel
from fake_asterisk.local import Pair
from fake_asterisk.telephone import Telephone

if TYPE_CHECKING:
    from fake_asterisk.fiber import Fiber
    from fake_asterisk.pbx import FakeAsterisk

TECHNOLOGIES = ("local", "pjsip")
"""Those there are; an originate by any other makes no channel."""


class Leg:
    """`call` makes ready, `go` sends the invitation, `give_up` takes it back. News come to the fiber's mailbox."""

    def __init__(self, channel: Channel, telephone: Telephone | None = None, pair: Pair | None = None) -> None:
        self.channel = channel
        self._telephone = telephone
        self._pair = pair
        self._news: list[str] = []

    def heard(self, what: str) -> None:
        """Note what the far end did."""
        self._news.append(what)

    def news(self) -> list[str]:
        """What the far end did since the last time: ringing, progress, answered, failed."""
        found, self._news = self._news, []
        return found

    def call(self) -> bool:
        """False: it cannot be called after all."""
        return self._pair is None or self._pair.call()

    def go(self) -> None:
        """The far end begins to act."""
        if self._telephone is not None:
            self._telephone.invite()
        elif self._pair is not None:
            self._pair.start()

    def give_up(self) -> None:
        """End the leg with the cause its channel has."""
        pair = self._pair
        if pair is not None and not pair.called and not pair.two.dead:
            pair.two.far_end = None
            pair.two.destroy()
            self.channel.pbx.devices.refresh("Local", self.channel.device)
        self.channel.destroy()


def make_leg(
    pbx: "FakeAsterisk", tech: str, resource: str, fiber: "Fiber", *, uniqueid: str = "", other_uniqueid: str = "",
    parent: Channel | None = None,
) -> Leg | None:  # fmt: skip
    """The leg for `tech/resource`, or None if no channel can be made (see `failure_cause`)."""
    if uniqueid in pbx.channels:
        return None
    linkedid = parent.linkedid if parent is not None else ""
    heard: list[Leg] = []

    def tell(what: str) -> None:
        heard[0].heard(what)
        fiber.wake(what)

    if tech.lower() == "local":
        pair = pbx.locals.make(resource, uniqueid=uniqueid, other_uniqueid=other_uniqueid, linkedid=linkedid, tell=tell)
        if pair is None:
            return None
        leg = Leg(pair.one, pair=pair)
        if parent is not None:
            pair.one.linked_born = pair.two.linked_born = parent.linked_born
    elif tech.lower() == "pjsip":
        number, at, name = resource.rpartition("@")
        endpoint = pbx.config.endpoints.get(name if at else resource)
        if endpoint is None or not endpoint.registered:
            return None
        channel = Channel(
            pbx, pbx.next_pjsip_name(endpoint.name), uniqueid or pbx.next_uniqueid(), linkedid=linkedid,
            context=endpoint.context, caller=endpoint.caller,
        )  # fmt: skip
        if parent is not None:
            channel.linked_born = parent.linked_born
        behaviour = pbx.config.behaviour_of(endpoint.name, number, pbx.rng)
        telephone = Telephone(channel, behaviour, tell)
        channel.far_end = telephone
        leg = Leg(channel, telephone)
        pbx.ledger.legs[channel.uniqueid].number = number or endpoint.name
    else:
        return None
    heard.append(leg)
    leg.channel.watcher = fiber
    return leg


def failure_cause(pbx: "FakeAsterisk", tech: str) -> int:
    """Cause a Dial notes when no channel could be made."""
    return causes.NO_ROUTE if tech.lower() in ("pjsip", "local") else causes.NO_SUCH_DRIVER
