"""Rule-set files: what ships, and how a mistake in one is reported."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.calls.records import HoursWindow
from daemon.compliance.facts import CampaignRules, LeadFacts
from daemon.compliance.gates import caller_id_allowed, campaign_problems, may_play_message
from daemon.compliance.rules import RULES_DIRECTORY, Mark, load_rule_sets, minutes
from daemon.errors import SettingsError

RULE_SETS = load_rule_sets()
FRENCH = RULE_SETS["fr-b2c-2026"]
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_the_six_rule_sets_ship_and_name_the_source_of_every_section() -> None:
    assert sorted(RULE_SETS) == ["ca-crtc", "fr-b2b", "fr-b2c-2026", "fr-clicsipx-legacy", "uk-ofcom", "us-tsr"]
    for rule_set in RULE_SETS.values():
        for section in (
            rule_set.hours, rule_set.attempts, rule_set.refusal, rule_set.consent, rule_set.abandonment,
            rule_set.caller_id, rule_set.automated_message, rule_set.technical,
        ):  # fmt: skip
            if section is not None:
                assert section.clause and section.source, rule_set.id


def test_figures_of_the_default() -> None:
    assert FRENCH.attempts is not None and (FRENCH.attempts.max, FRENCH.attempts.days) == (4, 30)
    assert FRENCH.refusal is not None and FRENCH.refusal.days == 60
    assert (FRENCH.consent.required, FRENCH.consent.valid_days, FRENCH.consent.proof_years) == (True, 365, 3)
    assert FRENCH.abandonment.mark is Mark.OWN and FRENCH.abandonment.rate_max == 0.03
    assert FRENCH.abandonment.connect_deadline_s == 2.0 and FRENCH.abandonment.clock_start == "answer"
    assert RULE_SETS["us-tsr"].abandonment.clock_start == "greeting_end"


def test_own_policies_are_marked_as_such() -> None:
    for name in ("fr-b2b", "uk-ofcom"):
        assert RULE_SETS[name].hours.mark is Mark.OWN


@pytest.mark.parametrize(
    ("old", "new", "key", "value", "allowed"),
    [
        ("days = 60", "dayz = 60", "refusal.dayz", 60, "one of clause, days, mark, source"),
        ("rate_max = 0.03", "rate_max = 3", "abandonment.rate_max", 3, "<= 1"),
        ("max = 4", "max = 0", "attempts.max", 0, ">= 1"),
        ('to = "13:00"', 'to = "09:00"', "hours.windows[0]", None, "must end after"),
        ('to = "13:00"', 'to = "13h"', "hours.windows[0]", None, "not a time of day"),
        ('"mon", "tue"', '"lundi", "tue"', "hours.windows[0].days[0]", "lundi", "Invalid enum value"),
        ('clock_start = "answer"', 'clock_start = "ring"', "abandonment.clock_start", "ring", "Invalid enum value"),
        ("required = true", "", "consent.required", None, "required"),
        ('mark = "own"', 'mark = "sure"', "abandonment.mark", "sure", "Invalid enum value"),
        ('prefix = "+33162"', 'prefix = "0162"', "caller_id.allow[0].prefix", "0162", "matching regex"),
        ('title =', 'titel =', "titel", None, "one of "),
        ("valid_from = 2026-08-11", 'valid_from = "soon"', "valid_from", "soon", "RFC3339"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, key: str, value: object, allowed: str
) -> None:
    text = (RULES_DIRECTORY / "fr-b2c-2026.toml").read_text("utf-8")
    assert old in text
    (tmp_path / "fr-b2c-2026.toml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_rule_sets(tmp_path)
    assert caught.value.key == f"fr-b2c-2026.toml: {key}"
    assert allowed in caught.value.allowed
    if value is not None:
        assert caught.value.value == value


def test_a_file_must_bear_its_own_name_and_a_directory_hold_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least one rule set"):
        load_rule_sets(tmp_path)
    text = (RULES_DIRECTORY / "fr-b2b.toml").read_text("utf-8")
    (tmp_path / "other.toml").write_text(text, "utf-8")
    with pytest.raises(SettingsError, match="own name"):
        load_rule_sets(tmp_path)
    (tmp_path / "other.toml").write_text("id = ", "utf-8")
    with pytest.raises(SettingsError, match="TOML"):
        load_rule_sets(tmp_path)


@pytest.mark.parametrize("clock", ["", "9:00", "24:01", "12:60", "12-00", "１２:00", "12:0", "-1:00"])
def test_what_is_no_time_of_day(clock: str) -> None:
    with pytest.raises(ValueError, match="not a time of day"):
        minutes(clock)


NPV = "+33162123456"


@pytest.mark.parametrize(
    ("did", "words"),
    [
        ("+33612345678", "+336"), ("+33712345678", "+337"), ("+33143000000", "not in a prefix"),
        ("+33937123456", "+33937"), ("+33163123456", "not one of the numbers"), ("+442079460958", "not in a prefix"),
    ],
)  # fmt: skip
def test_caller_ids_refused_in_france(did: str, words: str) -> None:
    owned = {NPV, "+33612345678", "+33712345678", "+33143000000", "+33937123456", "+442079460958"}
    verdict = caller_id_allowed(FRENCH, did, owned, NOW)
    assert not verdict.allowed and words in verdict.clause


@pytest.mark.parametrize("did", [NPV, "+33949000000", "+590947512345", "+262947912345"])
def test_caller_ids_set_apart_for_canvassing(did: str) -> None:
    assert caller_id_allowed(FRENCH, did, [did], NOW).allowed


def test_prefixes_are_dated() -> None:
    before = datetime(2022, 12, 31, 23, 59, tzinfo=UTC)
    verdict = caller_id_allowed(FRENCH, NPV, [NPV], before)
    assert not verdict.allowed and verdict.until == datetime(2023, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("attempts_max", "ok"), [(0, False), (1, True), (4, True), (5, False)])
def test_limite_num_stays_within_the_law(attempts_max: int, ok: bool) -> None:
    rules = CampaignRules(rule_set=FRENCH, attempts_max=attempts_max)
    problems = campaign_problems(rules, [], [], NOW)
    assert [p.field for p in problems] == ([] if ok else ["attempts_max"])


def test_companies_may_be_tried_more_often() -> None:
    assert campaign_problems(CampaignRules(rule_set=RULE_SETS["fr-b2b"], attempts_max=9), [NPV], [NPV], NOW) == ()


def test_every_problem_of_a_campaign_is_told_at_once() -> None:
    rules = CampaignRules(rule_set=FRENCH, attempts_max=9, hours=(HoursWindow(days=[1], start="08:00", end="22:00"),))
    early = datetime(2026, 6, 1, tzinfo=UTC)
    found = campaign_problems(rules, ["+33612345678"], [], early)
    assert [p.code for p in found] == ["attempts_above_law", "rule_set_not_in_force", "caller_id_forbidden"]


def test_a_machine_speaks_to_people_who_agreed_to_machines_only() -> None:
    agreed = datetime(2026, 9, 1, tzinfo=UTC)
    for name in RULE_SETS:
        rules = CampaignRules(rule_set=RULE_SETS[name])
        assert not may_play_message(LeadFacts(e164="+33612345678"), rules, NOW).allowed
        assert not may_play_message(LeadFacts(e164="+33612345678", consent_at=agreed), rules, NOW).allowed
        facts = LeadFacts(e164="+33612345678", consent_at=agreed, consent_automated=True)
        assert may_play_message(facts, rules, NOW).allowed
        revoked = LeadFacts(e164="+33612345678", consent_at=agreed, consent_automated=True, consent_revoked_at=NOW)
        assert not may_play_message(revoked, rules, NOW).allowed
