"""`python -m simulation --seeds N`: many seeds of chaos, sharded over processes, resumable, with a histogram.

Ends with `simulate: N seeds, V violations`; exit 1 if V > 0, or if a fault kind never met a state that it should.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulation.chaos import run_seed

STATES = ("dialling", "ringing", "waiting", "talking")
"""States of a call that every fault kind must have struck somewhere in a full run (others are over in milliseconds)."""

FULL_RUN = 300
"""From so many seeds on an empty cell of the histogram is a failure."""

SEED_WALL_S = 120


def quiet() -> None:
    """The daemon's own log lines are not wanted here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def one(seed: int) -> dict[str, Any]:
    """One seed, as plain data; an exception is a violation of its own."""
    quiet()
    started = time.process_time()
    try:
        verdict = run_seed(seed)
    except Exception as error:
        return {"seed": seed, "violations": [f"crash: {type(error).__name__}: {error}"], "cpu_s": 0.0, "hit": {}}
    return {
        "seed": seed,
        "violations": [str(violation) for violation in verdict.violations],
        "cpu_s": round(time.process_time() - started, 3),
        "attempts": verdict.attempts,
        "lives": verdict.lives,
        "faults": dict(verdict.faults),
        "hit": {f"{kind} {state}": count for (kind, state), count in verdict.hit.items()},
        "timeline": verdict.timeline if verdict.violations else [],
    }


def run(seeds: list[int], jobs: int) -> Iterator[dict[str, Any]]:
    """Verdicts as they come."""
    if jobs <= 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(one, seeds)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser("simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--state", type=Path, default=Path(".cache/simulate.jsonl"), help="results so far (resumed)")
    parser.add_argument("--fresh", action="store_true", help="forget results so far")
    options = parser.parse_args()
    done = {} if options.fresh else _done(options.state)
    wanted = range(options.first, options.first + options.seeds)
    results = [done[seed] for seed in wanted if seed in done]
    todo = [seed for seed in wanted if seed not in done]
    options.state.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with options.state.open("w" if options.fresh else "a") as log, Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=len(wanted), completed=len(results))
        for verdict in run(todo, options.jobs):
            results.append(verdict)
            log.write(json.dumps(verdict) + "\n")
            log.flush()
            progress.advance(task)
    return report(results)


def _done(path: Path) -> dict[int, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {row["seed"]: row for row in rows}


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
    for verdict in sorted(bad, key=lambda v: v["seed"])[:10]:
        lines.append(f"\nseed {verdict['seed']}:")
        lines += [f"  {text}" for text in verdict["violations"][:10]]
        lines += [f"    {step}" for step in verdict.get("timeline", [])]
    if results:
        median = statistics.median(verdict["cpu_s"] for verdict in results)
        attempts = statistics.median(verdict.get("attempts", 0) for verdict in results)
        lines.append(f"median {median:.2f} s CPU and {attempts:.0f} attempts a seed")
    full = len(results) >= FULL_RUN
    if full and empty:
        lines.append(f"never struck: {', '.join(empty)}")
    total = sum(len(verdict["violations"]) for verdict in results)
    lines.append(f"simulate: {len(results)} seeds, {total} violations")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if total or (full and empty) or not results else 0


if __name__ == "__main__":
    sys.exit(main())
