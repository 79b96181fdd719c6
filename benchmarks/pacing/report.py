"""The benchmark's results as a Markdown table and as one last line."""

from __future__ import annotations

from statistics import mean

from benchmarks.pacing.peers import PEERS
from benchmarks.pacing.scenarios import Scenario
from benchmarks.pacing.simulator import Result

Results = dict[tuple[str, str, int], Result]
GOALS = {"10 agents": 82.5, "20 agents": 87.5, "50 agents": 93.0, "100 agents": 95.5, "300 agents": 98.0}
GOALS |= {"1000 agents": 99.3}


def score(results: list[Result]) -> float:
    """Mean share of the oracle in percent; zero if any shift went over 3.0 %."""
    if not results or any(result.abandonment > 0.03 for result in results):
        return 0.0
    return 100 * mean(result.of_oracle for result in results)


def of(results: Results, dialer: str, scenario: Scenario) -> list[Result]:
    return [results[key] for seed in scenario.seeds if (key := (dialer, scenario.name, seed)) in results]


def table(scenarios: list[Scenario], results: Results) -> str:
    """One row a scenario. A peer's figure in brackets was reached with more than 3.0 % abandoned: it scores zero."""
    head = ["scenario", "agents", "shifts", "policy", "goal", "abandoned", "worst hour", *PEERS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for scenario in scenarios:
        own = of(results, "policy", scenario)
        if not own:
            continue
        goal = GOALS.get(scenario.name)
        low, high = min(r.abandonment for r in own), max(r.abandonment for r in own)
        cells = [
            scenario.name,
            str(scenario.agents),
            str(len(own)),
            f"**{score(own):.1f}**",
            f"{goal:.1f}" if goal else "",
            f"{100 * low:.2f}-{100 * high:.2f} %",
            f"{max(r.hour_excess for r in own):+.1f}",
            *(_peer(of(results, name, scenario)) for name in PEERS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"{mean(s):.1f}" if (s := _scores(scenarios, results, name)) else "" for name in ("policy", *PEERS)]
    lines.append(f"| **mean** | | | **{means[0]}** | 88.0 | | | " + " | ".join(means[1:]) + " |")
    return "\n".join(lines) + "\n"


def page(scenarios: list[Scenario], results: Results, speed: str) -> str:
    """The whole Markdown page: what was run, the table, how to read it."""
    own = sum(len(of(results, "policy", scenario)) for scenario in scenarios)
    return f"""# Pacing: measured results

Made by `python -m benchmarks.pacing --write docs/pacing-results.md`; what it simulates is in [pacing.md](pacing.md).
{own} four-hour shifts under the policy, every seed of every scenario; peers with the first seed of each (none at 1,000
agents, so that their mean is over one scenario fewer). Figures are live connects in percent of the zero-idle bound. The
shifts themselves are in `benchmarks/pacing/results/reporting.jsonl`; without `--resume` all of them are run again.

{table(scenarios, results)}
- *abandoned*: lowest, highest shift; *worst hour*: abandoned calls over 3 % in the worst clock hour of any shift;
  lawful up to +1.
- A peer's `0 [x, y %]`: x percent of the bound, with y percent abandoned in its shift: over 3.0 %, so it scores zero.
  `(hour)`: the shift is within 3.0 %, an hour is not.

{speed}. Processor time of one decision.

`{last_line(scenarios, results)}`
"""


def _scores(scenarios: list[Scenario], results: Results, dialer: str) -> list[float]:
    return [score(rows) for scenario in scenarios if (rows := of(results, dialer, scenario))]


def _peer(rows: list[Result]) -> str:
    if not rows:
        return ""
    share = 100 * mean(row.of_oracle for row in rows)
    worst = 100 * max(row.abandonment for row in rows)
    if worst > 3.0:
        return f"0 [{share:.1f}, {worst:.1f} %]"
    return f"{share:.1f}" + ("" if all(row.legal for row in rows) else " (hour)")


def last_line(scenarios: list[Scenario], results: Results) -> str:
    own = [row for scenario in scenarios for row in of(results, "policy", scenario)]
    shifts = sum(row.abandonment > 0.03 for row in own)
    hours = sum(row.hour_excess > 1.0 for row in own)
    legal = "every shift and hour legal"
    if shifts or hours:
        legal = f"NOT LEGAL: {shifts} of {len(own)} shifts over 3.0 %, {hours} with an hour over 3 % + 1 call"
    value = mean(_scores(scenarios, results, "policy") or [0.0])
    return f"bench-pacing: {value:.1f} % of the oracle (goal ≥ 88, every shift and hour legal): {legal}"
