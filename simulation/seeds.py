"""Seeds as work for processes: each becomes plain data, so that it can be sent, kept and resumed."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from daemon.app import spare_collector
from simulation.chaos import Verdict, run_seed, too_little
from simulation.shapes import LEAN, SHAPES

ONCE_FAILED = Path(__file__).resolve().parents[1] / "tests" / "simulation" / "once_failed.txt"


def quiet() -> None:
    """The daemon's own log lines are not wanted here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


class Seed(NamedTuple):
    """A seed, and the shape in which it is drawn."""

    number: int
    shape: str = LEAN.name


def one(seed: Seed) -> dict[str, Any]:
    """One seed, as plain data; an exception is a violation of its own, and so is a scenario that holds too little."""
    quiet()
    started = time.process_time()
    try:
        verdict = run_seed(seed.number, shape=SHAPES[seed.shape])
    except Exception as error:
        found = [f"crash: {type(error).__name__}: {error}"]
        return {"seed": seed.number, "shape": seed.shape, "violations": found, "cpu_s": 0.0, "hit": {}}
    verdict.violations += too_little(verdict)
    return plain(verdict) | {"cpu_s": round(time.process_time() - started, 3)}


def plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is kept."""
    return {
        "seed": verdict.seed,
        "shape": verdict.shape.name,
        "mode": verdict.mode,
        "violations": [str(violation) for violation in verdict.violations],
        "attempts": verdict.attempts,
        "lives": verdict.lives,
        "faults": dict(verdict.faults),
        "hit": {f"{kind} {state}": count for (kind, state), count in verdict.hit.items()},
        "timeline": [*verdict.timeline, *verdict.stories] if verdict.violations else [],
    }


def run(seeds: list[Seed], jobs: int) -> Iterator[dict[str, Any]]:
    """Verdicts as they come."""
    if jobs <= 1:
        spare_collector()
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=spare_collector, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(one, seeds)


def kept_seeds(path: Path = ONCE_FAILED) -> list[Seed]:
    """Seeds that once failed: number, shape, and a word why on each line."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [Seed(int(words[0]), words[1]) for words in lines]
