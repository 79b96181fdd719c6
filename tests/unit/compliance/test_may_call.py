"""`may_call` against cases worked out by hand (vectors.toml), and what its answers are built from."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign, HoursWindow
from daemon.compliance.facts import CampaignRules, LeadFacts, facts_of, rules_of
from daemon.compliance.law import Rule, eligibility, may_call, next_call_window, open_groups
from daemon.compliance.rules import load_rule_sets

RULE_SETS = load_rule_sets()
VECTORS = tomllib.loads((Path(__file__).parent / "vectors.toml").read_text("utf-8"))["vector"]
AGREED = datetime(2026, 9, 1, 10, 0, tzinfo=UTC)


def asked(vector: dict[str, Any]) -> tuple[LeadFacts, CampaignRules]:
    told = dict(vector)
    rule_set = RULE_SETS[told.pop("rule_set", "fr-b2c-2026")]
    campaign = told.pop("campaign", {})
    hours = tuple(msgspec.convert(row, HoursWindow) for row in campaign.pop("hours", []))
    for key in ("why", "at", "verdict", "clause", "until"):
        told.pop(key, None)
    told = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    if told.get("consent_at") == "none":
        told["consent_at"] = None
    elif rule_set.id == "fr-b2c-2026":
        told.setdefault("consent_at", AGREED)
    facts = LeadFacts(**{"e164": "+33612345678", **told})
    return facts, CampaignRules(rule_set=rule_set, hours=hours, **campaign)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["why"])
def test_vector(vector: dict[str, Any]) -> None:
    facts, rules = asked({**vector, "campaign": dict(vector.get("campaign", {}))})
    verdict = may_call(facts, rules, vector["at"].astimezone(UTC))
    assert verdict.rule == vector["verdict"]
    assert vector.get("clause", "") in verdict.clause
    expected = vector.get("until", "never")
    assert verdict.until == (None if expected == "never" else expected)


def test_there_are_at_least_sixty_vectors_and_each_rule_has_one() -> None:
    assert len(VECTORS) >= 60
    assert {vector["verdict"] for vector in VECTORS} == set(Rule) - {"caller_id", "automated_message"}


def test_eligibility_leaves_the_clock_to_the_index() -> None:
    sunday = datetime(2026, 11, 22, 15, tzinfo=UTC)
    rules = CampaignRules(rule_set=RULE_SETS["fr-b2c-2026"])
    facts = LeadFacts(e164="+33612345678", consent_at=AGREED, attempt_times=(sunday - timedelta(hours=1),))
    assert not may_call(facts, rules, sunday).allowed
    verdict = eligibility(facts, rules, sunday)
    assert (verdict.rule, verdict.until) == (Rule.MIN_GAP, sunday + timedelta(hours=3))


def test_open_groups_say_when_each_shuts_or_opens() -> None:
    rules = CampaignRules(rule_set=RULE_SETS["fr-b2c-2026"])
    noon = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
    found = open_groups(["Europe/Paris", "America/Martinique+972", "?", "Mars/Olympus"], rules, noon)
    assert found["Europe/Paris"].open and found["Europe/Paris"].until == noon.replace(hour=12)
    assert not found["America/Martinique+972"].open
    assert found["America/Martinique+972"].until == noon.replace(hour=14)
    for nowhere in ("?", "Mars/Olympus"):
        assert (found[nowhere].open, found[nowhere].until) == (False, None)


def test_next_window_is_now_when_open_and_none_for_an_unknown_place() -> None:
    rules = CampaignRules(rule_set=RULE_SETS["fr-b2c-2026"])
    noon = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
    assert next_call_window("Europe/Paris", rules, noon) == noon
    assert next_call_window("Europe/Paris", rules, noon.replace(hour=12)) == noon.replace(hour=13)
    assert next_call_window("?", rules, noon) is None


def test_a_window_inside_the_doubled_hour_is_not_open_twice() -> None:
    """02:15-02:45 on the night the clocks go back would occur twice; under the stricter reading it does not occur."""
    rules = CampaignRules(
        rule_set=RULE_SETS["us-tsr"],
        hours=(HoursWindow(days=[7], start="02:15", end="02:45"),),
        zone="Europe/Paris",
    )
    group = "America/Los_Angeles"  # 17:30 there: open by law
    for at in (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)):
        assert not open_groups([group], rules, at)[group].open
    assert open_groups([group], rules, datetime(2026, 10, 18, 0, 30, tzinfo=UTC))[group].open


def test_rows_of_the_store_become_the_question() -> None:
    """The stored tz_group serves the index; the law looks at the number again."""
    lead = Lead(
        id=1, list_id=1, campaign_id=1, group_id=1, client_id=1, e164="+596696123456", tz_group="Europe/Paris",
        consent_at=AGREED, dnc=False, callback_at=None, attempts=2,
    )  # fmt: skip
    campaign = Campaign(group_id=1, client_id=1, name="c", site="paris", attempts_max=2)
    rules = rules_of(campaign, RULE_SETS["fr-b2c-2026"])
    at = datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert may_call(facts_of(lead), rules, at).rule is Rule.CAMPAIGN_LIMIT
    lead.attempts = 0
    assert may_call(facts_of(lead), rules, at).rule is Rule.HOURS
    lead.dnc = True
    assert may_call(facts_of(lead), rules, at).rule is Rule.DNC
    assert may_call(facts_of(lead, list_active=False), rules, at).rule is Rule.DNC
