"""`python -m benchmarks.pacing.leaving`: teams that shrink in the middle of a clock hour and stay so until its end.

What a ledger lets be used in advance is lost with the agents who would have earned it back. Each case is played with 20
seeds, by default unannounced (those in conversation leave after their wrap-up without having said so; `--announced`:
they say so, as agents who ask for a pause do). Printed by case: abandoned calls over 3 % at the end of the hour, and
when the first agent left; of the abandoned calls after that, those which were in flight by then.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from benchmarks.pacing.peers import PolicyDialer
from benchmarks.pacing.scenarios import Scenario
from simulation.ringing import RingingCentre

HOUR_S = 3600.0
MINUTE_20_S = 1200.0
FOR_GOOD_S = 24 * HOUR_S
LUNCH_S = 45 * 60.0
SEEDS = tuple(range(1, 21))

Goings = list[tuple[float, int, float]]
"""(second, agent, seconds away)."""


def _to_a_sixth(team: int) -> Goings:
    return [(MINUTE_20_S, agent, FOR_GOOD_S) for agent in range(team - max(1, team // 6))]


def _to_nobody(team: int) -> Goings:
    return [(MINUTE_20_S, agent, FOR_GOOD_S) for agent in range(team)]


def _lunch(team: int) -> Goings:
    """All within a minute; back after the hour."""
    return [(MINUTE_20_S + 60.0 * agent / team, agent, LUNCH_S) for agent in range(team)]


def _gradual(team: int) -> Goings:
    """One by one within ten minutes, for good."""
    return [(MINUTE_20_S + 600.0 * agent / team, agent, FOR_GOOD_S) for agent in range(team)]


CASES: dict[str, Callable[[int], Goings]] = {
    "to a sixth": _to_a_sixth,
    "to nobody": _to_nobody,
    "lunch": _lunch,
    "gradual": _gradual,
}
"""When the first leaves it is minute 20 in all of them."""


@dataclass(slots=True)
class Hour:
    """How one hour ended."""

    excess: float
    """Abandoned calls over 3 % of the live answers at the end of the hour; lawful up to 1."""
    excess_before: float
    """The same when the first agent left."""
    in_flight: int
    """Abandoned later, but placed before."""
    placed_later: int
    """Abandoned, and placed after the first had left."""
    hung_up: int
    """Calls hung up because nobody was left for them."""
    ring_least_s: float
    """How long the phone of any of them had rung that had begun to; infinite if none."""


class Leaving(RingingCentre):
    """A centre whose agents leave as `goings` says: the ready at once, the others after their wrap-up."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        dialer: PolicyDialer,
        goings: Goings,
        announced: bool = False,
        hours: float = 1.0,
    ) -> None:
        super().__init__(scenario, seed, dialer, shift_s=hours * HOUR_S)
        self._away_s = {agent: away_s for _, agent, away_s in goings}
        self._announced = announced
        self._calls_before: int | None = None
        self._before = 0.0
        self._late = [0, 0]
        for at, agent, _ in goings:
            self.push(at, "leaves", -1, agent)

    def play(self) -> Hour:
        """Run to the end of the shift."""
        result = self.run()
        return Hour(
            excess=_excess(result.hours[0]),
            excess_before=self._before,
            in_flight=self._late[0],
            placed_later=self._late[1],
            hung_up=len(self.hung_up),
            ring_least_s=min(self.hung_up.values(), default=math.inf),
        )

    def _leaves(self, call: int, number: int) -> None:
        if self._calls_before is None:
            self._calls_before, self._before = self.calls, _excess(self.result.hours[0])
        agent = self.agents[number]
        agent.returns_at = self.now + self._away_s[number]
        if agent.state == "ready":
            self.ready.remove(number)
            self._off(agent, agent.returns_at)
        elif self._announced:
            self.tell("leaving", agent=number)

    def _count(self, call: int, column: int) -> None:
        if column == 1 and self._calls_before is not None:
            self._late[call >= self._calls_before] += self.human[call]
        super()._count(call, column)


def _excess(hour: list[int]) -> float:
    connected, abandoned = hour
    return abandoned - 0.03 * (connected + abandoned)


def hour(case: str, team: int, seed: int, announced: bool = False, ring_min_s: float = 15.0) -> Hour:
    """One hour of `team` agents under the policy, with its usual people (30 % answer, two minutes of talk)."""
    scenario = Scenario(name=f"leaving {team}", agents=team)
    return Leaving(scenario, seed, PolicyDialer(scenario, ring_min_s=ring_min_s), CASES[case](team), announced).play()


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.pacing.leaving", description=__doc__)
    parser.add_argument("--teams", default="30", help="sizes, with commas between")
    parser.add_argument("--announced", action="store_true")
    parser.add_argument("--ring-min", type=float, default=15.0, help="seconds the rule set asks that a phone rings for")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    over, played = 0, 0
    for team in map(int, options.teams.split(",")):
        for case in CASES:
            hours = [hour(case, team, seed, options.announced, options.ring_min) for seed in SEEDS[: options.seeds]]
            over += sum(h.excess > 1.0 for h in hours)
            played += len(hours)
            print(
                f"{team:4} agents, {case:10}: mean {fmean(h.excess for h in hours):+.1f}, worst "
                f"{max(h.excess for h in hours):+.1f} calls over 3 %, {sum(h.excess > 1.0 for h in hours)} of "
                f"{len(hours)} hours over +1; before they left worst {max(h.excess_before for h in hours):+.1f}; "
                f"abandoned of those in flight then: mean {fmean(h.in_flight for h in hours):.1f}, most "
                f"{max(h.in_flight for h in hours)}; placed later: mean {fmean(h.placed_later for h in hours):.1f}; "
                f"hung up: mean {fmean(h.hung_up for h in hours):.1f}, a phone that rang had rung "
                f"{min(h.ring_least_s for h in hours):.1f} s at least",
                flush=True,
            )
    print(f"bench-leaving: {over} of {played} hours over 3 % + 1 call")
    return 0


if __name__ == "__main__":
    sys.exit(main())
