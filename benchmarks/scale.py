"""bench-scale: what a call costs the daemon from 10 to 1,000 agents, one short run of benchmarks.load each.

Processor time of the daemon alone, so that neighbours on the machine change it little; lag and waits are theirs too.
A call a second for every ten agents. SECONDS (20) for each run. PLOT names a file for the plot, as SVG. Last line:
`bench-scale: ...`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks._plot import log_log

STEPS = (10, 30, 100, 300, 1000)
SECONDS = os.environ.get("SECONDS", "20")
BAR_MS = 0.5
_FIGURES = re.compile(
    r"(?P<rate>[\d.]+) originates/s of .*at most (?P<most>\d+) calls.*"
    r"; (?P<core>\d+) % of a core, (?P<cost>[\d.]+) ms of CPU a call.*lag p99 (?P<lag>[\d.]+) ms.*"
    r"connect p99 (?P<wait>[\d.]+) ms [^,]*, (?P<memory>\d+) MB",
    re.DOTALL,
)


def main() -> int:
    """Each step in processes of its own; a table with a bar for each."""
    print("agents  originates/s  calls  core %  lag p99 ms  connect p99 ms  MB   ms of CPU a call")
    costs: list[tuple[float, float]] = []
    for agents in STEPS:
        rate = max(1.0, agents / 10)
        words = os.environ | {"AGENTS": str(agents), "RATE": str(rate), "SECONDS": SECONDS}
        done = subprocess.run([sys.executable, "-m", "benchmarks.load"], env=words, capture_output=True, text=True)
        found = _FIGURES.search(done.stdout)
        if found is None:
            print(f"{agents:>6}  no figures: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
            continue
        cost = float(found["cost"])
        costs.append((agents, cost))
        bar = "#" * round(cost / BAR_MS)
        print(f"{agents:>6}  {found['rate']:>12}  {found['most']:>5}  {found['core']:>6}  {found['lag']:>10}  "
              f"{found['wait']:>14}  {found['memory']:>3}  {cost:>5.1f} {bar}", flush=True)  # fmt: skip
    if costs and (plot := os.environ.get("PLOT")):
        title = "What a call costs the daemon (bench-scale)"
        Path(plot).write_text(log_log(title, "agents", "milliseconds of processor a call", costs), "utf-8")
    told = ", ".join(f"{cost:.1f} at {agents:g}" for agents, cost in costs)
    print(f"bench-scale: ms of the daemon's CPU a call: {told} agents")
    return 0 if costs else 1


if __name__ == "__main__":
    raise SystemExit(main())
