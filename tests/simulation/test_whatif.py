"""`cadran simulate`: the comparison, its report, and what it says about a plan that can't be (issue: what-if)."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.errors import SettingsError
from simulation import plan as plans
from simulation.ringing import RingingCentre
from simulation.whatif import PlannedDialer, scenario_of, simulate, variants
from simulation.whatif_outcome import Outcome, Variant

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "plan.toml"
SMALL = """
title = "Three <agents>"
[team]
agents = 3
start = "10:00"
end = "11:30"
[people]
leads = 2000
answer_by_hour = { "10" = 0.2, "11" = 0.6 }
talk_s = 60.0
[limits]
lines = 9
calls_per_second = 2.0
[compare]
modes = ["TURBO", "AUTOMATIQUE3"]
speeds = [10]
"""


def small(**changes: dict[str, Any]) -> plans.Plan:
    """The small plan with keys of its tables changed."""
    tables = tomllib.loads(SMALL)
    for table, keys in changes.items():
        tables[table] |= keys
    return plans.parse(tables)


def test_the_command_compares_and_writes_a_report(tmp_path: Path) -> None:
    file, report = tmp_path / "plan.toml", tmp_path / "plan.html"
    file.write_text(SMALL.replace("11:30", "10:20"))
    ran = CliRunner().invoke(app, ["simulate", str(file), "--report", str(report)])
    assert ran.exit_code == 0, ran.output
    assert "TURBO" in ran.output and "AUTO 3 · 10" in ran.output and "Most conversations within the law" in ran.output
    html = report.read_text("utf-8")
    assert html.count("<figure>") == 5 and html.count("<svg viewBox") >= 5 and "ceiling 3" in html
    assert "Three &lt;agents&gt;" in html
    assert not re.search(r"(src|href)=|https?://|<script", html), "the report needs no other file"


def test_more_aggressive_modes_talk_more_and_stay_within_the_law() -> None:
    turbo, auto = (simulate(small(), variant) for variant in variants(small()))
    assert turbo.result.abandoned == 0
    assert auto.result.connects > turbo.result.connects
    assert auto.occupancy > turbo.occupancy and auto.wait_s < turbo.wait_s
    assert auto.lawful
    assert auto.result.peak_lines <= 9


@pytest.mark.feature("CAMP-04", clause="mean lines per agent 1 < 2 < 3 at equal input")
def test_the_three_levels_use_ever_more_lines(tmp_path: Path) -> None:
    file = tmp_path / "levels.toml"
    file.write_text(
        "team = { agents = 40, start = '14:00', end = '15:00', wrap_s = 10 }\n"
        "people = { leads = 90000, answer_rate = 0.2, talk_s = 60 }\n"
        "limits = { lines = 400, calls_per_second = 50 }\n"
        "compare = { modes = ['AUTOMATIQUE1', 'AUTOMATIQUE2', 'AUTOMATIQUE3'], speeds = [10] }\n"
    )
    ran = CliRunner().invoke(app, ["simulate", str(file)])
    assert ran.exit_code == 0, ran.output
    rows = [line.split() for line in ran.output.splitlines() if line.startswith("AUTO ")]
    lines = [float(row[-4]) for row in rows]
    assert lines[0] < lines[1] < lines[2]
    assert [row[-1] for row in rows] == ["yes"] * 3


def _figures(outcome: Outcome) -> tuple[object, ...]:
    return (outcome.result.connects, outcome.result.placed, outcome.samples)


def test_the_same_plan_gives_the_same_figures() -> None:
    plan = small(team={"end": "10:30"})
    first, again = (simulate(plan, Variant("AUTOMATIQUE2", 10)) for _ in range(2))
    assert _figures(first) == _figures(again)


def test_the_hours_of_the_plan_and_of_the_law_show() -> None:
    by_hour = simulate(small(), Variant("TURBO", 0)).hours
    assert [hour.label for hour in by_hour] == ["10h", "11h"]
    assert by_hour[1].calls_per_connect < by_hour[0].calls_per_connect, "11h answers three times as often"  # type: ignore[operator]
    lunch = simulate(small(team={"start": "12:00", "end": "14:30"}), Variant("TURBO", 0)).hours
    assert lunch[0].placed > 0 and lunch[1].placed == 0 and lunch[2].placed > 0, "13 to 14 is closed to consumers"


def test_a_list_runs_out_and_unreached_people_are_tried_again() -> None:
    once = simulate(small(people={"leads": 60}), Variant("TURBO", 0))
    assert once.leads_left == 0 and once.result.placed == 60
    twice = simulate(small(people={"leads": 60, "attempts": 2, "gap_h": 0.1}), Variant("TURBO", 0))
    assert 60 < twice.result.placed <= 120
    assert twice.result.connects > once.result.connects


def test_who_all_go_to_lunch_leave_no_phones_ringing_but_those_that_must() -> None:
    plan = small(
        team={"agents": 12, "end": "10:25", "lunch_at": "10:20", "lunch_min": 60.0},
        people={"leads": 3000, "attempts": 2, "gap_h": 0.0, "answer_by_hour": {"10": 0.2}},
        limits={"lines": 60, "ring_timeout_s": 40.0},
    )
    dialer = PlannedDialer(plan, Variant("AUTOMATIQUE3", 10), lambda at: None)
    centre = RingingCentre(scenario_of(plan), plan.compare.seed, dialer, shift_s=plan.shift_s)
    centre.run()
    assert centre.hung_up, "nobody was left for them, in the daemon and so here"
    assert min(centre.hung_up.values()) >= 15.0, "as long as the rule set asks, whoever has left"
    assert dialer.policy.traffic.in_flight == 0 and centre.lines_used == 0
    assert set(dialer.tries) == set(), "each lead is back on the list, or done with"


@pytest.mark.parametrize(
    ("changes", "key", "value", "allowed"),
    [
        ({"team": {"agnets": 3}}, "team.agnets", "3", "unknown key"),
        ({"team": {"agents": 0}}, "team.agents", "0", ">= 1"),
        ({"team": {"start": "10:20"}}, "team.start", "'10:20'", "full hour"),
        ({"team": {"start": "20:00", "end": "22:00"}}, "team.start", "'20:00'", "fr-b2c-2026"),
        ({"team": {"end": "10:05"}}, "team.end", "'10:05'", "15 minutes"),
        ({"people": {"answer_rate": 30}}, "people.answer_rate", "30", "<= 1"),
        ({"people": {"answer_by_hour": {"9h": 0.3}}}, "people.answer_by_hour", "'9h'", "00"),
        ({"limits": {"rules": "fr-b2x"}}, "limits.rules", "'fr-b2x'", "fr-b2b"),
        ({"limits": {"zone": "Europe/Lutece"}}, "limits.zone", "'Europe/Lutece'", "Europe/Paris"),
        ({"compare": {"modes": ["TURBO", "AUTO4"]}}, "compare.modes[1]", "'AUTO4'", "AUTO4"),
        ({"compare": {"speeds": [11]}}, "compare.speeds[0]", "11", "<= 10"),
    ],
)
def test_a_wrong_plan_is_named_with_what_is_allowed(
    changes: dict[str, dict[str, Any]], key: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        small(**changes)
    text = str(caught.value)
    assert text.startswith(f"{key} = {value}: "), text
    assert allowed in text


def test_a_missing_key_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^limits\.lines = None: is missing"):
        plans.parse({"team": {"agents": 3}, "people": {"leads": 5}, "limits": {}})
    with pytest.raises(SettingsError, match="can't be read"):
        plans.load(tmp_path / "none.toml")


def test_the_past_replaces_what_was_typed_in() -> None:
    nine = datetime(2026, 11, 17, 9, tzinfo=UTC)  # 10 in Paris
    rows = [
        {"hour": nine, "attempts": 400, "answered": 100, "connected": 90, "talk_s": 9000.0},
        {"hour": nine + timedelta(days=1), "attempts": 100, "answered": 50, "connected": 50, "talk_s": 5000.0},
        {"hour": nine + timedelta(hours=1), "attempts": 8, "answered": 8, "connected": 0, "talk_s": 0.0},
    ]
    plan = plans.with_history(small(), rows)
    assert plan.answer_rate(10) == pytest.approx(0.3)
    assert plan.answer_rate(11) == pytest.approx(0.3), "eight calls say nothing: the mean holds"
    assert plan.people.talk_s == pytest.approx(100.0)
    with pytest.raises(SettingsError, match="--from-history"):
        plans.with_history(small(), rows[2:])


def test_the_example_has_every_key_and_is_fine() -> None:
    tables = tomllib.loads(EXAMPLE.read_text("utf-8"))
    plan = plans.parse(tables)
    for name in ("team", "people", "limits", "compare"):
        assert set(tables[name]) == set(getattr(plan, name).__struct_fields__)
