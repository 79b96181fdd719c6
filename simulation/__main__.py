"""`python -m simulation --seeds N`: many seeds of chaos, sharded over processes, resumable, with a histogram.

Seeds that once failed run first. Ends with `simulate: N seeds, V violations`; exit 1 if V > 0, or if so many seeds ran
that a fault kind which never met one of the states can no longer be chance. `--seed S` runs one seed and tells its
whole story.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulation.chaos import run_seed, shorten
from simulation.seeds import Seed, kept_seeds, plain, quiet, run
from simulation.shapes import LEAN, SHAPES

STATES = ("dialling", "ringing", "waiting", "talking")
"""States of a call that every fault kind must have struck somewhere in a full run (others are over in milliseconds)."""

FULL_RUN = 3000
"""From so many seeds on an empty cell of the histogram is a failure: the rarest, a customer who waits for an agent as
one of the 21 kinds strikes, is hit once in a few hundred seeds, so that chance alone leaves none empty."""

SHORTENED_MAX = 3
"""So many failing seeds are run again with fewer faults; each costs a dozen runs."""


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser("simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=1, help="first seed of the range")
    parser.add_argument("--seed", type=int, help="only this one, told in full")
    parser.add_argument("--shape", choices=SHAPES, default=LEAN.name, help="how campaigns are drawn")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no seed after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--state", type=Path, default=Path(".cache/simulate.jsonl"), help="results so far (resumed)")
    parser.add_argument("--fresh", action="store_true", help="forget results so far")
    options = parser.parse_args()
    if options.seed is not None:
        return tell(Seed(options.seed, options.shape))
    fresh = [Seed(number, options.shape) for number in range(options.first, options.first + options.seeds)]
    wanted = list(dict.fromkeys([*kept_seeds(), *fresh]))
    say(f"seeds {options.first} to {options.first + options.seeds - 1}, and {len(kept_seeds())} that once failed")
    done = {} if options.fresh else _done(options.state)
    results = [done[seed] for seed in wanted if seed in done]
    todo = [seed for seed in wanted if seed not in done]
    options.state.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.minutes * 60.0
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with options.state.open("w" if options.fresh else "a") as log, Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=len(wanted), completed=len(results))
        for verdict in run(todo, options.jobs):
            results.append(verdict)
            log.write(json.dumps(verdict) + "\n")
            log.flush()
            progress.advance(task)
            if time.monotonic() > deadline:
                say(f"time is up after {len(results)} of {len(wanted)} seeds")
                break
    return report(results)


def tell(seed: Seed) -> int:
    """One seed, with everything that is known of it."""
    quiet()
    verdict = plain(run_seed(seed.number, shape=SHAPES[seed.shape])) | {"cpu_s": 0.0}
    for line in _told(verdict):
        say(line)
    say(f"{verdict['attempts']} attempts, {verdict['lives']} lives of the daemon, faults {verdict['faults']}")
    return 1 if verdict["violations"] else 0


def _done(path: Path) -> dict[Seed, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {Seed(row["seed"], row["shape"]): row for row in rows if "shape" in row}


def report(results: list[dict[str, Any]]) -> int:
    """The histogram, the failing seeds' timelines, and the last line."""
    hits: Counter[str] = Counter()
    for verdict in results:
        hits.update(verdict["hit"])
    kinds = sorted({key.rsplit(" ", 1)[0] for key in hits})
    lines = ["fault kind x state hit   " + "".join(f"{state:>10}" for state in STATES)]
    empty = []
    for kind in kinds:
        cells = [hits[f"{kind} {state}"] for state in STATES]
        lines.append(f"{kind:<24} " + "".join(f"{cell:>10}" for cell in cells))
        empty += [f"{kind} x {state}" for state, cell in zip(STATES, cells, strict=True) if cell == 0]
    bad = [verdict for verdict in results if verdict["violations"]]
    for n, verdict in enumerate(sorted(bad, key=lambda v: v["seed"])[:10]):
        lines += _told(_shortened(verdict) if n < SHORTENED_MAX else verdict)
    if results:
        median = statistics.median(verdict["cpu_s"] for verdict in results)
        attempts = statistics.median(verdict.get("attempts", 0) for verdict in results)
        lines.append(f"median {median:.2f} s CPU and {attempts:.0f} attempts a seed")
    full = len(results) >= FULL_RUN
    if empty:
        lines.append(f"never struck{'' if full else f' (counts from {FULL_RUN} seeds on)'}: {', '.join(empty)}")
    total = sum(len(verdict["violations"]) for verdict in results)
    lines.append(f"simulate: {len(results)} seeds, {total} violations")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if total or (full and empty) or not results else 0


def _shortened(verdict: dict[str, Any]) -> dict[str, Any]:
    """The failing seed with the fewest faults that still fail; itself if it can't be had again."""
    quiet()
    try:
        again = run_seed(verdict["seed"], shape=SHAPES[verdict["shape"]])
        return plain(shorten(again)) if again.violations else verdict
    except Exception:  # whatever broke the run is its violation, and told as it was
        return verdict


def _told(verdict: dict[str, Any]) -> Iterator[str]:
    again = f"python -m simulation --seed {verdict['seed']} --shape {verdict['shape']}"
    yield f"\nseed {verdict['seed']} (again: {again}):"
    yield from (f"  {text}" for text in verdict["violations"][:10])
    yield from (f"    {step}" for step in verdict.get("timeline", []))


if __name__ == "__main__":
    sys.exit(main())
