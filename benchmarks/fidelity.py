"""bench-fidelity: does the whole daemon dial as well as its policy alone? Each shift is run twice with the same people
(simulation/twins.py): the bare policy in the simulated call centre, and the whole daemon beside a fake PBX, both on
simulated time. Printed: occupancy and abandonment of each, and the differences by scenario, means over the seeds.

A shift is a chain of chances: two runs that differ by milliseconds part after minutes. So single shifts differ by
chance (about a point of occupancy in small teams) and the means are what is judged. `--late` adds the same shifts with
events of the PBX late by up to a second and 0.5 % of them lost, which must stay legal, by the daemon's ledger; printed
beside it is what the PBX itself saw. Last line: `bench-fidelity: ...`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import structlog

from benchmarks.pacing.peers import PolicyDialer
from simulation import twins
from simulation.loop import run
from simulation.shift import Scenario

OCCUPANCY_GOAL, ABANDONMENT_GOAL = 0.015, 0.003
SCENARIOS: tuple[tuple[Scenario, float, tuple[int, ...]], ...] = (
    (Scenario(name="8 agents", agents=8), 3.0, (1, 2, 3)),
    (Scenario(name="20 agents", agents=20), 2.0, (1, 2, 3)),
    (Scenario(name="60 agents", agents=60), 1.0, (1, 2)),
    (Scenario(name="short talks", agents=20, talk_s=45.0, wrap_s=12.0), 1.0, (1, 2)),
    (Scenario(name="answers x2.5", agents=20, answer=((0.0, 0.2), (0.5, 0.5))), 1.5, (1, 2)),
    (Scenario(name="tight lines", agents=24, lines=40), 1.0, (1, 2)),
)
"""Scenario, hours, seeds."""


@dataclass(slots=True)
class Pair:
    """One scenario's shifts under both, in the order of the seeds."""

    name: str
    bare: list[twins.Shift] = field(default_factory=list)
    whole: list[twins.Shift] = field(default_factory=list)

    @property
    def occupancy_off(self) -> float:
        """Whole minus bare, mean over the seeds, 0..1."""
        return fmean(w.occupancy - b.occupancy for b, w in zip(self.bare, self.whole, strict=True))

    @property
    def abandonment_off(self) -> float:
        """Whole minus bare: abandoned of live answers, all seeds together, 0..1."""
        return share(self.whole) - share(self.bare)

    def __str__(self) -> str:
        found = [f"{self.name:14} {len(self.bare)} shifts"]
        for label, shifts in (("bare", self.bare), ("whole", self.whole)):
            occupancy = fmean(shift.occupancy for shift in shifts)
            found.append(f"{label} {100 * occupancy:.1f} % busy, {100 * share(shifts):.2f} % abandoned")
        found.append(f"off by {100 * self.occupancy_off:+.2f} and {100 * self.abandonment_off:+.2f} points")
        return "; ".join(found)


def share(shifts: Sequence[twins.Shift]) -> float:
    """Abandoned of live answers over all the shifts."""
    lost = sum(shift.abandoned for shift in shifts)
    return lost / max(1, lost + sum(shift.connected for shift in shifts))


def measure(scenario: Scenario, hours: float, seed: int, disturb: twins.Disturb | None = None) -> twins.Shift:
    """The whole daemon's shift."""
    return run(lambda loop: twins.whole(loop, scenario, seed, 3600.0 * hours, disturb), seed=seed)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.fidelity", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--late", action="store_true", help="also with events late and lost")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    pairs: list[Pair] = []
    legal = True
    for scenario, hours, seeds in SCENARIOS:
        if options.only not in scenario.name:
            continue
        pair = Pair(scenario.name)
        for seed in seeds:
            pair.bare.append(twins.bare(scenario, seed, PolicyDialer(scenario), 3600.0 * hours))
            pair.whole.append(measure(scenario, hours, seed))
        pairs.append(pair)
        print(pair, flush=True)
        if options.late:
            shifts = [measure(scenario, hours, seed, twins.late_and_lost(seed)) for seed in seeds]
            legal &= all(shift.hour_excess <= 1.0 for shift in shifts) and share(shifts) <= 0.03
            rates = ", ".join(
                f"{100 * shift.abandonment:.2f} % (seen {100 * shift.seen_abandonment:.2f} %)" for shift in shifts
            )
            worst = max(shift.hour_excess for shift in shifts)
            occupancy = 100 * fmean(shift.occupancy for shift in shifts)
            print(
                f"{'':14} late and lost: {occupancy:.1f} % busy; abandoned {rates}; worst hour {worst:+.1f} calls "
                "over 3 % (lawful up to +1)",
                flush=True,
            )
    occupancy_off = max(abs(pair.occupancy_off) for pair in pairs)
    abandonment_off = max(abs(pair.abandonment_off) for pair in pairs)
    close = occupancy_off <= OCCUPANCY_GOAL and abandonment_off <= ABANDONMENT_GOAL
    late = "" if not options.late else ", late and lost events: legal" if legal else ", late and lost events: NOT legal"
    print(
        f"bench-fidelity: occupancy within {100 * occupancy_off:.2f} points (goal ≤ 1.5), abandonment within "
        f"{100 * abandonment_off:.2f} points (goal ≤ 0.3) of the bare policy's{late}"
    )
    return 0 if close and legal else 1


if __name__ == "__main__":
    sys.exit(main())
