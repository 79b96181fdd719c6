"""bench-scale: what a call costs the daemon from 10 to 1,000 agents, one short run of benchmarks.load each.

Processor time of the daemon alone, so that neighbours on the machine change it little; lag and waits are theirs too.
A call a second for every ten agents. SECONDS (20) for each run. Last line: `bench-scale: ...`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

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
    costs = []
    for agents in STEPS:
        rate = max(1.0, agents / 10)
        words = os.environ | {"AGENTS": str(agents), "RATE": str(rate), "SECONDS": SECONDS}
        done = subprocess.run([sys.executable, "-m", "benchmarks.load"], env=words, capture_output=True, text=True)
        found = _FIGURES.search(done.stdout)
        if found is None:
            print(f"{agents:>6}  no figures: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
            continue
        cost = float(found["cost"])
        costs.append(f"{cost:.1f} at {agents}")
        bar = "#" * round(cost / BAR_MS)
        print(f"{agents:>6}  {found['rate']:>12}  {found['most']:>5}  {found['core']:>6}  {found['lag']:>10}  "
              f"{found['wait']:>14}  {found['memory']:>3}  {cost:>5.1f} {bar}", flush=True)  # fmt: skip
    print(f"bench-scale: ms of the daemon's CPU a call: {', '.join(costs)} agents")
    return 0 if costs else 1


if __name__ == "__main__":
    raise SystemExit(main())
