"""The simulated call centre (simulation/centre.py) with phones that are told to ring and calls that may be hung up.

For dialers that name calls nobody is left for (`PacingPolicy.surplus`): they are asked before each decision, as the
daemon does, and those calls end unanswered. The people are the same as in the plain centre, draw by draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from simulation.centre import SHIFT_S, CallCentre, Dialer, Scenario


class HangingUp(Dialer, Protocol):
    """A dialer that also says which unanswered calls to hang up."""

    def surplus(self, centre: CallCentre, now: float) -> Iterable[int]: ...


class RingingCentre(CallCentre):
    """Besides what the plain centre tells: `ringing`, and of a call hung up `cancelled`, then `ended`."""

    def __init__(self, scenario: Scenario, seed: int, dialer: HangingUp, shift_s: float = SHIFT_S) -> None:
        super().__init__(scenario, seed, dialer, shift_s)
        self._hanging = dialer
        self.rings: dict[int, float] = {}
        """When the phones of calls that are not answered yet began to ring."""
        self.hung_up: dict[int, float] = {}
        """Calls hung up, and for how long their phones had rung; infinite if they had not begun to."""

    def _decide(self) -> None:
        for call in self._hanging.surplus(self, self.now):
            self.hung_up[call] = self.now - self.rings.pop(call, -math.inf)
            self.tell("cancelled", call)
            super()._ended(call, -1)
        super()._decide()

    def _dial(self, call: int) -> None:
        """The same people as in the plain centre; a phone rings from when the network has found it."""
        chance, scenario = self.chance, self.scenario
        setup = 0.8 + min(6.0, chance.expovariate(1.0))
        answers = chance.random() < scenario.answer_rate(self.now)
        if not answers and chance.random() < scenario.quick_share:
            self.push(self.now + setup + chance.uniform(0.2, 1.5), "ended", call, -1)
            return
        ring = scenario.ring_timeout_s + (1 if answers else 0)
        while answers and ring > scenario.ring_timeout_s:
            ring = 7.5 * math.exp(chance.gauss(0, 0.5))
        self.push(self.now + setup, "ringing", call, -1)
        self.push(self.now + setup + ring, "answered" if answers else "ended", call, -1)

    def _ringing(self, call: int, agent: int) -> None:
        if call not in self.hung_up:
            self.rings[call] = self.now
            self.tell("ringing", call)

    def _answered(self, call: int, agent: int) -> None:
        if call not in self.hung_up:
            self.rings.pop(call, None)
            super()._answered(call, agent)

    def _ended(self, call: int, agent: int) -> None:
        if call not in self.hung_up:
            self.rings.pop(call, None)
            super()._ended(call, agent)
