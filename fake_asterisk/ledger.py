"""The fake's own record of what happened: an independent witness for tests, checkers and the demo.

Nothing of it is read by the AMI side; it plays the part that Asterisk's CEL plays on a real server. All times are
seconds of the event loop's clock.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Originated:
    """An Originate that was accepted."""

    at: float
    uniqueid: str
    dial: str
    number: str
    caller_id: str
    account: str
    action_id: str
    user: str
    result: str = ""  # "Success" or "Failure" once known
    reason: int = -1


@dataclass(slots=True)
class Stay:
    """One channel's time in one bridge; `left_at` is None while it lasts."""

    bridge: str
    entered_at: float
    left_at: float | None = None


@dataclass(slots=True)
class Leg:
    """A channel, from its making to its end."""

    uniqueid: str
    name: str
    linkedid: str
    number: str
    made_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    cause: int = 0
    tech_cause: int = 0
    stays: list[Stay] = field(default_factory=list)


@dataclass(slots=True)
class Talk:
    """Two channels in one bridge at the same time."""

    bridge: str
    one: str
    other: str
    from_at: float
    to_at: float | None


class Ledger:
    """Every accepted originate in order, and every leg by its Uniqueid."""

    def __init__(self) -> None:
        self.originates: list[Originated] = []
        self.legs: dict[str, Leg] = {}
        self._open: dict[tuple[str, str], Stay] = {}
        self.dialled_numbers: dict[str, int] = {}

    def originated(self, entry: Originated) -> None:
        """An Originate was queued."""
        self.originates.append(entry)
        self.dialled_numbers[entry.number] = self.dialled_numbers.get(entry.number, 0) + 1

    def made(self, leg: Leg) -> None:
        """A channel was made."""
        self.legs[leg.uniqueid] = leg

    def answered(self, uniqueid: str, at: float) -> None:
        """A channel came up."""
        if (leg := self.legs.get(uniqueid)) and leg.answered_at is None:
            leg.answered_at = at

    def ended(self, uniqueid: str, at: float, cause: int, tech_cause: int) -> None:
        """A channel is gone."""
        if leg := self.legs.get(uniqueid):
            leg.ended_at, leg.cause, leg.tech_cause = at, cause, tech_cause

    def entered(self, bridge: str, uniqueid: str, at: float) -> None:
        """A channel entered a bridge."""
        stay = Stay(bridge, at)
        self._open[bridge, uniqueid] = stay
        if leg := self.legs.get(uniqueid):
            leg.stays.append(stay)

    def left(self, bridge: str, uniqueid: str, at: float) -> None:
        """A channel left a bridge."""
        if stay := self._open.pop((bridge, uniqueid), None):
            stay.left_at = at

    def live(self) -> list[Leg]:
        """Legs that have not ended."""
        return [leg for leg in self.legs.values() if leg.ended_at is None]

    def talks(self) -> list[Talk]:
        """Who was in a bridge with whom, and when, over all legs."""
        by_bridge: dict[str, list[tuple[str, Stay]]] = {}
        for leg in self.legs.values():
            for stay in leg.stays:
                by_bridge.setdefault(stay.bridge, []).append((leg.uniqueid, stay))
        found = []
        for bridge, stays in by_bridge.items():
            for n, (one, a) in enumerate(stays):
                for other, b in stays[n + 1 :]:
                    start = max(a.entered_at, b.entered_at)
                    ends = [at for at in (a.left_at, b.left_at) if at is not None]
                    if one != other and (not ends or min(ends) >= start):
                        found.append(Talk(bridge, one, other, start, min(ends) if ends else None))
        return found

    def forget(self, before: float) -> int:
        """Drop legs that ended, and originates that were made, before this time (long runs); how many legs."""
        gone = [u for u, leg in self.legs.items() if leg.ended_at is not None and leg.ended_at < before]
        for uniqueid in gone:
            del self.legs[uniqueid]
        self.originates = [entry for entry in self.originates if entry.at >= before]
        return len(gone)

    def counts(self) -> dict[str, int]:
        """Totals for a status line."""
        legs = self.legs.values()
        return {
            "originates": len(self.originates),
            "channels": len(legs),
            "answered": sum(leg.answered_at is not None for leg in legs),
            "ended": sum(leg.ended_at is not None for leg in legs),
        }
