"""`cadran simulate`: what a campaign would do under each mode and speed, before anybody is called.

The pacing policy itself dials in the simulated call centre (simulation/centre.py) of a plan (simulation/plan.py); each
variant meets the same agents and the same people. `run_plan` prints a table and writes the HTML report.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from daemon.compliance.rules import minutes
from daemon.dialer import events as ev
from daemon.dialer.ledger import Ledger, Window
from daemon.dialer.modes import TRADE_MODES, Mode, PacingSettings
from daemon.dialer.pacing import PacingPolicy
from daemon.errors import SettingsError
from simulation import plan as plans
from simulation.centre import CallCentre, Scenario
from simulation.plan import Plan
from simulation.ringing import RingingCentre
from simulation.whatif_outcome import COLUMNS, Hour, Outcome, Variant, cells
from simulation.whatif_report import page

SAMPLE_S = 15.0
HOUR_TOLERANCE = 0.6
"""As the engine grants it: part of a call, since small teams can't have 3 % of 20 answers."""


class PlannedDialer:
    """The pacing policy in the simulated centre, with the plan's list, calling hours and limits; takes the figures."""

    def __init__(self, plan: Plan, variant: Variant, progress: Callable[[float], None]) -> None:
        mode, level = TRADE_MODES[variant.trade]
        law = plans.rules_of(plan).abandonment
        self.ceiling = min(plan.limits.ceiling, law.rate_max)
        windows = (Window("hour", 0, self.ceiling, tolerance=HOUR_TOLERANCE), Window("day", 1, self.ceiling))
        settings = PacingSettings(
            mode=mode,
            level=level,
            speed=variant.speed if mode is Mode.PREDICTIVE else 0,
            ceiling=self.ceiling,
            windows=windows,
            ring_timeout_s=plan.limits.ring_timeout_s,
            ring_min_s=law.ring_time_s_min,
            amd=plan.people.machine_share > 0,
            wrap_up_limit_s=plan.team.wrap_limit_s,
        )
        self.plan, self.progress = plan, progress
        self.policy = PacingPolicy(settings, Ledger("plan", "site", windows))
        self.spans = plans.open_spans(plan)
        self.fresh = plan.people.leads
        self.again: list[tuple[float, int]] = []
        self.tries: dict[int, int] = {}
        first = plan.first_hour
        self.hours = [Hour(f"{first + n:02d}h") for n in range(-(-int(plan.shift_s) // 3600))]
        self.samples: list[tuple[float, int]] = []
        self.sampled_at = 0.0

    def told(self, kind: str, at: float, call: int, agent: int) -> None:
        """An event of the centre: to the policy, to the list, to the figures."""
        self.policy.observe(EVENTS[kind](str(call), f"a{agent}", at))
        if kind == "placed":
            self.hour(at).placed += 1
            self.tries[call] = self.take(at)
        elif kind in ("connected", "abandoned"):
            self.tries.pop(call, None)
        elif kind == "ended":
            self.back(self.tries.pop(call, 0), at)

    def take(self, at: float) -> int:
        """A lead leaves the list: those due again first. Returns which attempt this is."""
        if self.again and self.again[0][0] <= at:
            return heapq.heappop(self.again)[1]
        self.fresh -= 1
        return 1

    def back(self, tries: int, at: float) -> None:
        """A lead that was not reached may come back after the gap."""
        if 0 < tries < self.plan.people.attempts:
            heapq.heappush(self.again, (at + self.plan.people.gap_h * 3600.0, tries + 1))

    def due(self, now: float) -> int:
        """Leads that may be called now; 0 outside calling hours."""
        if not any(start <= now < end for start, end in self.spans):
            return 0
        return self.fresh + sum(1 for at, _ in self.again if at <= now) if self.fresh < 1000 else self.fresh

    def hour(self, at: float) -> Hour:
        return self.hours[min(len(self.hours) - 1, int(at // 3600))]

    def count(self, centre: CallCentre, now: float) -> int:
        """How many calls to place now."""
        if now - self.sampled_at >= SAMPLE_S:
            self.sample(centre, now)
        return self.policy.decide(self.snapshot(centre, now), now).count

    def surplus(self, centre: CallCentre, now: float) -> tuple[int, ...]:
        """Calls to hang up because nobody is left for them: a common pause, for one."""
        if not self.policy.may_have_surplus(now):
            return ()
        return tuple(map(int, self.policy.surplus(self.snapshot(centre, now), now)))

    def snapshot(self, centre: CallCentre, now: float) -> ev.PacingSnapshot:
        """What the policy is asked with."""
        number = self.plan.first_hour + int(now // 3600)
        return ev.PacingSnapshot(
            ready=len(centre.ready),
            leads=self.due(now),
            lines_free=centre.lines_free,
            cps_tokens=centre.tokens,
            waiting=len(centre.waiting),
            hour=f"2026-11-24T{number:02d}+0100",
            hour_left_s=max(1.0, min(3600.0 - now % 3600.0, centre.shift_s - now)),
            day_left_s=max(1.0, centre.shift_s - now),
        )

    def sample(self, centre: CallCentre, now: float) -> None:
        spent, self.sampled_at = now - self.sampled_at, now
        hour = self.hour(now)
        busy = sum(1 for agent in centre.agents if agent.state in ("talking", "wrap"))
        hour.busy += busy * spent
        hour.ready += len(centre.ready) * spent
        hour.lines.append(centre.lines_used)
        self.samples.append((now, centre.lines_used))
        self.progress(now)


EVENTS: dict[str, Callable[[str, str, float], ev.PacingEvent]] = {
    "placed": lambda call, agent, at: ev.CallPlaced(call, at),
    "ringing": lambda call, agent, at: ev.CallRinging(call, at),
    "cancelled": lambda call, agent, at: ev.CallHungUp(call, at),
    "answered": lambda call, agent, at: ev.CallAnswered(call, at),
    "verdict_human": lambda call, agent, at: ev.AmdVerdict(call, at, True),
    "verdict_machine": lambda call, agent, at: ev.AmdVerdict(call, at, False),
    "need": lambda call, agent, at: ev.NeedAgent(call, at),
    "connected": ev.Connected,
    "abandoned": lambda call, agent, at: ev.Abandoned(call, at),
    "ended": lambda call, agent, at: ev.CallEnded(call, at),
    "machine": lambda call, agent, at: ev.MachineReported(call, at),
    "ready": lambda call, agent, at: ev.AgentReady(agent, at),
    "wrap": lambda call, agent, at: ev.AgentWrapUp(agent, at),
    "left": lambda call, agent, at: ev.AgentLeft(agent, at),
}


def variants(plan: Plan) -> Iterator[Variant]:
    """TURBO once, the others at each speed; in the plan's order."""
    for trade in plan.compare.modes:
        if trade == "TURBO":
            yield Variant(trade, 0)
        else:
            yield from (Variant(trade, speed) for speed in plan.compare.speeds)


def scenario_of(plan: Plan) -> Scenario:
    """The plan as the simulated centre takes it; hours count from the start of the shift."""
    team, limits = plan.team, plan.limits
    lunch = None
    if team.lunch_at:
        lunch = ((minutes(team.lunch_at) - plan.first_hour * 60) / 60.0, 1.0, team.lunch_min)
    hours = range(-(-int(plan.shift_s) // 3600))
    return Scenario(
        name="plan",
        agents=team.agents,
        answer=tuple((float(n), plan.answer_rate(plan.first_hour + n)) for n in hours),
        talk_s=plan.people.talk_s,
        wrap_s=team.wrap_s,
        wrap_limit_s=team.wrap_limit_s,
        ring_timeout_s=limits.ring_timeout_s,
        machines=plan.people.machine_share,
        lines=limits.lines,
        cps=limits.calls_per_second,
        break_every_s=team.pause_every_min * 60.0,
        break_s=team.pause_min * 60.0,
        walkout=lunch,
    )


def simulate(plan: Plan, variant: Variant, progress: Callable[[float], None] = lambda at: None) -> Outcome:
    """One variant's shift. The same plan, variant and seed give the same outcome."""
    dialer = PlannedDialer(plan, variant, progress)
    result = RingingCentre(scenario_of(plan), plan.compare.seed, dialer, shift_s=plan.shift_s).run()
    for hour, (connected, abandoned) in zip(dialer.hours, result.hours, strict=True):
        hour.connected, hour.abandoned = connected, abandoned
    left = max(0, dialer.fresh)
    return Outcome(variant, dialer.hours, dialer.samples, result, plan.team.agents, dialer.ceiling, left)


def run_plan(
    path: Path, report: Path | None, *, say: Callable[[str], None], history: Sequence[Mapping[str, Any]] | None = None
) -> list[Outcome]:
    """Run every variant of the plan at `path`; a table for people, the HTML report at `report` if given.

    `history`: rows of the report by_hour, which replace the answer rates and the talk time that were typed in. Raises
    SettingsError for what is wrong with the plan, or if the report can't be written.
    """
    plan = plans.load(path)
    if history is not None:
        plan = plans.with_history(plan, history)
    if report is not None and not report.parent.is_dir():
        raise SettingsError("--report", str(report), "in a folder that exists")
    chosen = list(variants(plan))
    outcomes = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        transient=True,
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("simulating", total=plan.shift_s * len(chosen))
        for number, variant in enumerate(chosen):
            bar.update(task, description=variant.name)
            done = number * plan.shift_s
            outcomes.append(simulate(plan, variant, lambda at, done=done: bar.update(task, completed=done + at)))  # type: ignore[misc]
    Console().print(table(plan, outcomes))
    say(advice(outcomes))
    if report is not None:
        report.write_text(page(plan, outcomes, advice(outcomes)), "utf-8")
        say(f"report: {report}")
    return outcomes


def table(plan: Plan, outcomes: Sequence[Outcome]) -> Table:
    """All variants, one row each."""
    shown = Table(title=plan.title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(COLUMNS.values()):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for outcome in outcomes:
        shown.add_row(*cells(outcome))
    return shown


def advice(outcomes: Sequence[Outcome]) -> str:
    """One line: the lawful variant with most conversations, and what limits it."""
    lawful = [outcome for outcome in outcomes if outcome.lawful]
    if not lawful:
        return "No variant stays within the ceiling in this run: choose a lower level or speed."
    best = max(lawful, key=lambda outcome: (outcome.result.connects, -outcome.result.abandoned))
    line = f"Most conversations within the law: {best.variant.name} ({best.result.connects})."
    if best.leads_left == 0:
        line += " The list runs out: more leads, or a shorter shift."
    return line
