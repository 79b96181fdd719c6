"""Seeds as work for processes: each becomes plain data, so that it can be sent, kept and resumed."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from daemon.app import spare_collector
from simulation.chaos import Verdict, run_seed

ONCE_FAILED = Path(__file__).resolve().parents[1] / "tests" / "simulation" / "once_failed.txt"


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
    return plain(verdict) | {"cpu_s": round(time.process_time() - started, 3)}


def plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is kept."""
    return {
        "seed": verdict.seed,
        "mode": verdict.mode,
        "violations": [str(violation) for violation in verdict.violations],
        "attempts": verdict.attempts,
        "lives": verdict.lives,
        "faults": dict(verdict.faults),
        "hit": {f"{kind} {state}": count for (kind, state), count in verdict.hit.items()},
        "timeline": [*verdict.timeline, *verdict.stories] if verdict.violations else [],
    }


def run(seeds: list[int], jobs: int) -> Iterator[dict[str, Any]]:
    """Verdicts as they come."""
    if jobs <= 1:
        spare_collector()
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=spare_collector, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(one, seeds)


def kept_seeds(path: Path = ONCE_FAILED) -> list[int]:
    """Seeds that once failed, one a line, with a word why."""
    if not path.exists():
        return []
    return [int(line.split()[0]) for line in path.read_text("utf-8").splitlines() if line.strip()]
