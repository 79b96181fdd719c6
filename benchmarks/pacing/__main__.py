"""`python -m benchmarks.pacing`: the reporting scenarios under our policy and its peers, one table, one last line.

Options: `--family tuning` for the other scenarios, `--only TEXT` for some, `--write FILE` to save the table as
Markdown, `--resume FILE` to keep finished shifts (JSON lines) and go on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks.pacing import latency
from benchmarks.pacing.peers import PEERS, PolicyDialer
from benchmarks.pacing.report import last_line, page, table
from benchmarks.pacing.scenarios import Scenario, reporting, tuning
from benchmarks.pacing.simulator import CallCentre, Result

PEERS_AGENTS_MAX = 300
"""Peers are left out above this size: they are slow to simulate there and tell nothing new."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.pacing", description=__doc__)
    parser.add_argument("--family", choices=("reporting", "tuning"), default="reporting")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--write", type=Path, help="save the table here (Markdown)")
    parser.add_argument("--resume", type=Path, help="JSON lines of finished shifts: read, skipped and added to")
    return parser.parse_args()


class Kept:
    """Results by (dialer, scenario, seed); on disk too if a path is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: dict[tuple[str, str, int], Result] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                dialer = row.pop("dialer")
                result = Result(**row)
                self.results[dialer, result.scenario, result.seed] = result

    def add(self, dialer: str, result: Result) -> None:
        self.results[dialer, result.scenario, result.seed] = result
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"dialer": dialer, **asdict(result)}) + "\n")


def run(scenarios: list[Scenario], kept: Kept, peers: bool) -> None:
    """All shifts that are not yet kept: the policy with every seed, peers with the first of each scenario."""
    for scenario in scenarios:
        for seed in scenario.seeds:
            dialers = {"policy": PolicyDialer}
            if peers and seed == scenario.seeds[0] and scenario.agents <= PEERS_AGENTS_MAX:
                dialers |= PEERS
            for name, make in dialers.items():
                if (name, scenario.name, seed) in kept.results:
                    continue
                started = perf_counter()
                result = CallCentre(scenario, seed, make(scenario)).run()
                kept.add(name, result)
                print(
                    f"{scenario.name:14} seed {seed} {name:12} {100 * result.of_oracle:5.1f} % of the oracle, "
                    f"{100 * result.abandonment:5.2f} % abandoned, worst hour {result.hour_excess:+5.1f} calls, "
                    f"{'legal' if result.legal else 'NOT LEGAL'}  ({perf_counter() - started:.0f} s)",
                    flush=True,
                )


def main() -> int:
    options = arguments()
    scenarios = reporting() if options.family == "reporting" else tuning()
    scenarios = [s for s in scenarios if options.only in s.name]
    kept = Kept(options.resume)
    run(scenarios, kept, peers=not options.no_peers)
    text = table(scenarios, kept.results)
    speed = latency.report()
    print(text)
    print(speed)
    if options.write:
        options.write.write_text(page(scenarios, kept.results, speed))
    print(last_line(scenarios, kept.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
