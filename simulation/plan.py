"""A plan for `cadran simulate`: who calls whom, when, with what; read from TOML, every error names key and value.

`load(path)` gives a `Plan`; docs/examples/plan.toml has every key. `with_history` puts what a past campaign measured in
place of what was typed in.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from daemon.compliance.rules import DAYS, RULES_DIRECTORY, Day, RuleSet, load_rule_sets
from daemon.compliance.rules import minutes as minutes_of
from daemon.compliance.schedule import schedule_of
from daemon.errors import SettingsError

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-4]):[0-5][0-9]$")]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Trade = Literal["TURBO", "AUTOMATIQUE1", "AUTOMATIQUE2", "AUTOMATIQUE3"]

HISTORY_CALLS = 50
"""An hour of the past with fewer calls says too little about its answer rate."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the plan."""


class Team(_Table, frozen=True, kw_only=True):
    """Who works, from `start` (a full hour) to `end`, on the campaign's clock."""

    agents: Annotated[int, Meta(ge=1, le=1000)]
    start: Clock = "10:00"
    end: Clock = "13:00"
    wrap_s: Annotated[float, Meta(gt=0, le=3600)] = 20.0
    wrap_limit_s: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    pause_every_min: Annotated[float, Meta(ge=0, le=600)] = 0.0
    pause_min: Annotated[float, Meta(gt=0, le=120)] = 10.0
    lunch_at: Annotated[str, Meta(pattern=r"^(|([01][0-9]|2[0-3]):[0-5][0-9])$")] = ""
    lunch_min: Annotated[float, Meta(gt=0, le=240)] = 60.0


class People(_Table, frozen=True, kw_only=True):
    """The people called. `answer_by_hour`: hour of the day -> share answered; hours not named keep `answer_rate`."""

    leads: Annotated[int, Meta(ge=1, le=10_000_000)]
    answer_rate: Rate = 0.30
    answer_by_hour: dict[str, Rate] = {}
    machine_share: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    talk_s: Annotated[float, Meta(ge=5, le=3600)] = 120.0
    attempts: Annotated[int, Meta(ge=1, le=10)] = 1
    gap_h: Annotated[float, Meta(ge=0, le=720)] = 4.0


class Limits(_Table, frozen=True, kw_only=True):
    """What the law and the trunks allow. The ceiling is the stricter of this one and the rule set's."""

    rules: str = "fr-b2c-2026"
    weekday: Day = Day.TUE
    zone: str = "Europe/Paris"
    ceiling: Share = 0.03
    ring_timeout_s: Annotated[float, Meta(ge=15, le=120)] = 25.0
    lines: Annotated[int, Meta(ge=1, le=100_000)]
    calls_per_second: Annotated[float, Meta(gt=0, le=1000)] = 5.0


class Compare(_Table, frozen=True, kw_only=True):
    """What is compared: TURBO once, each AUTOMATIQUE at each speed; every variant meets the same people."""

    modes: tuple[Trade, ...] = ("TURBO", "AUTOMATIQUE1", "AUTOMATIQUE2", "AUTOMATIQUE3")
    speeds: tuple[Annotated[int, Meta(ge=0, le=10)], ...] = (5, 10)
    seed: int = 1


class Plan(_Table, frozen=True, kw_only=True):
    """A what-if. Seconds, shares 0..1, clock times of the campaign's zone."""

    title: str = "What if"
    team: Team
    people: People
    limits: Limits
    compare: Compare = Compare()

    @property
    def first_hour(self) -> int:
        return minutes_of(self.team.start) // 60

    @property
    def shift_s(self) -> float:
        return (minutes_of(self.team.end) - minutes_of(self.team.start)) * 60.0

    def answer_rate(self, hour: int) -> float:
        """Share answered in that hour of the day."""
        return self.people.answer_by_hour.get(f"{hour:02d}", self.people.answer_rate)


def load(path: Path) -> Plan:
    """A plan from a TOML file. Raises SettingsError naming key, value and what is allowed."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError("plan", str(path), f"can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("plan", str(path), f"is not TOML: {error}") from error
    return parse(tables)


def parse(tables: dict[str, Any]) -> Plan:
    """A plan from parsed TOML. Raises SettingsError."""
    try:
        plan = msgspec.convert(tables, Plan)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `")
        steps = [step for step in path.rstrip("`").removeprefix("$").split(".") if step]
        if "unknown field" in reason:
            steps.append(reason.rsplit("`", 2)[-2])
            reason = "unknown key; docs/simulate.md has those there are"
        elif "missing required field" in reason:
            steps.append(reason.rsplit("`", 2)[-2])
            reason = "is missing, and has no default"
        raise SettingsError(".".join(steps) or "plan", _at(tables, steps), reason) from error
    _check(plan)
    return plan


def _at(tables: Any, steps: Sequence[str]) -> object:
    """What the plan says there; None if nothing."""
    value: Any = tables
    for step in steps:
        name, _, index = step.partition("[")
        value = value.get(name) if isinstance(value, dict) else None
        if index[:-1].isdigit() and isinstance(value, list):
            value = value[int(index[:-1])]
    return value


def _check(plan: Plan) -> None:
    team = plan.team
    if minutes_of(team.start) % 60:
        raise SettingsError("team.start", team.start, "a full hour, such as 10:00: hours are judged one by one")
    if plan.shift_s < 900.0:
        raise SettingsError("team.end", team.end, f"at least 15 minutes after team.start ({team.start})")
    for hour in plan.people.answer_by_hour:
        if not (len(hour) == 2 and hour.isdigit() and int(hour) < 24):
            raise SettingsError("people.answer_by_hour", hour, 'hours of the day, "00" to "23"')
    if team.lunch_at and not minutes_of(team.start) < minutes_of(team.lunch_at) < minutes_of(team.end):
        raise SettingsError("team.lunch_at", team.lunch_at, f"between {team.start} and {team.end}")
    try:
        ZoneInfo(plan.limits.zone)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError("limits.zone", plan.limits.zone, "a time zone such as Europe/Paris") from error
    rules_of(plan)
    if not open_spans(plan):
        allowed = f"hours in which {plan.limits.rules} lets calls begin on that weekday"
        raise SettingsError("team.start", team.start, allowed)
    if not plan.compare.modes:
        raise SettingsError("compare.modes", [], "at least one mode")
    if not plan.compare.speeds and set(plan.compare.modes) != {"TURBO"}:
        raise SettingsError("compare.speeds", [], "at least one speed, 0 to 10")


def rules_of(plan: Plan) -> RuleSet:
    """The plan's rule set. Raises SettingsError."""
    known = load_rule_sets(RULES_DIRECTORY)
    if plan.limits.rules not in known:
        raise SettingsError("limits.rules", plan.limits.rules, f"one of {', '.join(sorted(known))}")
    return known[plan.limits.rules]


def open_spans(plan: Plan) -> tuple[tuple[float, float], ...]:
    """When the rule set lets calls begin on that weekday, in seconds from the shift's start; holidays are not known."""
    start, weekday = minutes_of(plan.team.start), DAYS.index(plan.limits.weekday) + 1
    schedule = schedule_of(rules_of(plan).hours.windows)
    spans = [(max(0.0, (a - start) * 60.0), (b - start) * 60.0) for day, a, b in schedule.windows if day == weekday]
    return tuple(sorted((a, min(b, plan.shift_s)) for a, b in spans if a < plan.shift_s and b > 0.0))


def with_history(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan with answer rates by hour and talk time as measured. `rows`: the report by_hour of one campaign.

    Raises SettingsError if the past holds too few calls to say anything.
    """
    zone = ZoneInfo(plan.limits.zone)
    calls: dict[str, int] = defaultdict(int)
    answered: dict[str, int] = defaultdict(int)
    talk_s = connected = 0.0
    for row in rows:
        hour = f"{row['hour'].astimezone(zone).hour:02d}"
        calls[hour] += row["attempts"]
        answered[hour] += row["answered"]
        talk_s += float(row["talk_s"] or 0.0)
        connected += row["connected"]
    enough = sorted(hour for hour, count in calls.items() if count >= HISTORY_CALLS and answered[hour])
    if not enough or not connected:
        raise SettingsError("--from-history", sum(calls.values()), f"calls: no hour has {HISTORY_CALLS} with an answer")
    rate = sum(answered[hour] for hour in enough) / sum(calls[hour] for hour in enough)
    by_hour = {hour: answered[hour] / calls[hour] for hour in enough}
    people = msgspec.structs.replace(
        plan.people, answer_rate=rate, answer_by_hour=by_hour, talk_s=max(5.0, talk_s / connected)
    )
    return msgspec.structs.replace(plan, people=people)
