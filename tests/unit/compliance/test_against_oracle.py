"""`may_call` and an independent slow reading of the law never differ, over random people, clocks and rule sets."""

from __future__ import annotations

import copy
import itertools
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.calls.records import HoursWindow
from daemon.compliance.facts import CampaignRules, LeadFacts
from daemon.compliance.gates import may_play_message
from daemon.compliance.law import eligibility, may_call
from daemon.compliance.rules import RULES_DIRECTORY, RuleSet
from tests.unit.compliance import oracle

pytestmark = pytest.mark.timeout(400)  # slow on purpose; a busy machine makes it slower

RAW = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(RULES_DIRECTORY.glob("*.toml"))}
MINUTE = timedelta(minutes=1)
ANCHORS = [  # DST nights of Paris, New York, London; holidays; consent coming into force; year's end
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    datetime(2027, 3, 28, 0, 30, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
    datetime(2027, 3, 14, 6, 30, tzinfo=UTC),
    datetime(2026, 11, 11, 11, 0, tzinfo=UTC),
    datetime(2026, 8, 10, 22, 0, tzinfo=UTC),
    datetime(2026, 12, 24, 23, 0, tzinfo=UTC),
    datetime(2027, 3, 26, 12, 0, tzinfo=UTC),
    datetime(2027, 3, 29, 12, 0, tzinfo=UTC),
    datetime(2026, 12, 28, 9, 0, tzinfo=UTC),
    datetime(2027, 5, 27, 12, 0, tzinfo=UTC),
    datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
]
DAY = 24 * 60


def ago(days: int) -> st.SearchStrategy[int]:
    """Minutes back, often at or near a whole number of days."""
    near = st.builds(lambda d, m: d * DAY + m, st.integers(0, days), st.sampled_from([-61, -60, -1, 0, 1, 60, 61]))
    return st.one_of(near, st.integers(-DAY, days * DAY))


@st.composite
def instants(draw: st.DrawFn) -> datetime:
    base = draw(st.sampled_from(ANCHORS))
    return base + timedelta(minutes=draw(st.one_of(st.integers(-2 * DAY, 2 * DAY), st.integers(0, 200 * DAY))))


@st.composite
def rule_tables(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped rule set, sometimes with its windows, limits and conditions changed."""
    raw = copy.deepcopy(RAW[draw(st.sampled_from(sorted(RAW)))])
    if draw(st.booleans()):
        raw["hours"]["windows"] = draw(st.lists(windows(names=True), min_size=1, max_size=4))
    if "attempts" in raw and draw(st.booleans()):
        raw["attempts"]["max"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        raw["consent"]["required"] = False
        raw["valid_from"] = datetime(2023, 1, 1, tzinfo=UTC).date()
    raw["technical"]["max"] = draw(st.integers(1, 3))
    return raw


@st.composite
def windows(draw: st.DrawFn, *, names: bool) -> dict[str, Any]:
    day = st.sampled_from(oracle.WEEK) if names else st.integers(1, 7)
    start = draw(st.one_of(st.sampled_from([0, 120, 135, 150, 165, 540]), st.integers(0, 1439)))
    end = draw(
        st.one_of(st.sampled_from([m for m in (165, 180, 1200, 1440) if m > start]), st.integers(start + 1, 1440))
    )
    clock = [f"{m // 60:02d}:{m % 60:02d}" for m in (start, end)]
    return {"days": draw(st.lists(day, min_size=1, max_size=7, unique=True)), "from": clock[0], "to": clock[1]}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], LeadFacts, datetime]:
    at, raw = draw(instants()), draw(rule_tables())
    french = raw["country"] == "FR"
    numbers = [n for n in sorted(oracle.WHEREABOUTS) if french == n.startswith(("+33", "+26", "+59"))]
    unusual = oracle.SPECIAL | oracle.PREMIUM
    wishes = {
        "zone": draw(st.sampled_from(["Europe/Paris", "America/New_York", "UTC"])),
        "hours": draw(st.one_of(st.just([]), st.lists(windows(names=False), min_size=1, max_size=3))),
        "attempts_max": draw(st.sampled_from([0, 3, 4])),
        "gap_min_s": draw(st.sampled_from([0.0, 3600.0, 14_400.0])),
        "running_contract": draw(st.booleans()),
        "business": draw(st.booleans()),
        "agent_reserved": draw(st.booleans()),
        "special_allowed": draw(st.booleans()),
    }
    seldom = st.integers(0, 19).map(lambda n: n == 13)
    calm = draw(st.booleans())  # half the people have nothing against them but the clock and the calendar

    def past(days: int) -> datetime | None:
        if calm or draw(st.integers(0, 3)):
            return None
        return at - draw(ago(days)) * MINUTE

    facts = LeadFacts(
        e164=draw(st.sampled_from(numbers if draw(seldom) else [n for n in numbers if n not in unusual])),
        dnc="red list" if draw(seldom) else "",
        attempt_times=tuple(at - m * MINUTE for m in draw(st.lists(ago(33), max_size=0 if calm else 6))),
        technical_times=tuple(at - m * MINUTE for m in draw(st.lists(ago(2), max_size=0 if calm else 3))),
        attempts=0 if calm else draw(st.integers(0, 4)),
        last_attempt_at=past(1),
        refused_at=past(70),
        abandoned_at=past(5),
        consent_at=at - draw(ago(400)) * MINUTE if draw(st.integers(0, 9)) else None,
        consent_until=at + timedelta(days=draw(st.integers(-5, 300))) if draw(st.booleans()) else None,
        consent_revoked_at=past(400),
        consent_out_of_hours=draw(st.booleans()),
        consent_automated=draw(st.booleans()),
        running_contract=draw(st.booleans()),
        callback_at=past(1),
        not_before=past(1),
        closed=draw(seldom),
        list_active=not draw(seldom),
    )
    return raw, wishes, facts, at


def our_rules(raw: dict[str, Any], wishes: dict[str, Any]) -> CampaignRules:
    own = tuple(HoursWindow(days=w["days"], start=w["from"], end=w["to"]) for w in wishes["hours"])
    return CampaignRules(rule_set=msgspec.convert(raw, RuleSet), **{**wishes, "hours": own})


def later_instants(at: datetime, until: datetime | None) -> list[datetime]:
    """Instants strictly before `until` (or far ahead, if never): the next hours by the minute, the rest in strides."""
    end = until or at + timedelta(days=75)
    span = int((end - at) / MINUTE)
    picks = {*range(min(span, 90)), *range(0, span, max(61, span // 150)), span - 1}
    return [at + n * MINUTE for n in sorted(picks) if 0 <= n < span]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_may_call_agrees_with_the_oracle_now_and_until_it_lets_go(
    case: tuple[dict[str, Any], dict[str, Any], LeadFacts, datetime],
) -> None:
    raw, wishes, facts, at = case
    rules = our_rules(raw, wishes)
    ours = may_call(facts, rules, at)
    assert ours.rule == oracle.verdict(raw, wishes, facts, at)
    assert ours.allowed == (ours.rule == "allowed")
    if not ours.allowed:
        for instant in later_instants(at, ours.until):
            assert oracle.verdict(raw, wishes, facts, instant) != "allowed", f"{ours} but the oracle allows {instant}"
        if ours.until is not None:
            assert oracle.verdict(raw, wishes, facts, ours.until) == "allowed"


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_eligibility_is_the_verdict_without_the_clock_on_the_wall(
    case: tuple[dict[str, Any], dict[str, Any], LeadFacts, datetime],
) -> None:
    raw, wishes, facts, at = case
    found = oracle.binding(raw, wishes, facts, at) - {"holiday", "hours", "campaign_hours"}
    ours = eligibility(facts, our_rules(raw, wishes), at)
    assert ours.rule == next((name for name in oracle.PRECEDENCE if name in found), "allowed")
    if ours.until is not None:
        assert not oracle.binding(raw, wishes, facts, ours.until) - {"holiday", "hours", "campaign_hours"}


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_a_machine_speaks_only_to_those_who_agreed_to_it(
    case: tuple[dict[str, Any], dict[str, Any], LeadFacts, datetime],
) -> None:
    raw, wishes, facts, at = case
    agreed = oracle.consent_holds(raw, facts, at) and facts.consent_automated
    assert may_play_message(facts, our_rules(raw, wishes), at).allowed == agreed


CLOCK_CHANGES = {  # number → the UTC minute at which its wall clock jumps
    "+33612345678": (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
    "+12125551234": (datetime(2026, 11, 1, 6, 0, tzinfo=UTC), datetime(2027, 3, 14, 7, 0, tzinfo=UTC)),
    "+442079460958": (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_windows_that_begin_or_end_while_the_clocks_change(data: st.DataObject) -> None:
    """Around a jump of the wall clock, every quarter of an hour of a random night window is read alike by both."""
    e164 = data.draw(st.sampled_from(sorted(CLOCK_CHANGES)))
    jump = data.draw(st.sampled_from(CLOCK_CHANGES[e164]))
    quarters = data.draw(st.lists(st.integers(0, 16), min_size=2, max_size=4, unique=True).map(sorted))
    clocks = [f"{q // 4:02d}:{q % 4 * 15:02d}" for q in quarters]
    raw = copy.deepcopy(RAW["us-tsr"])
    raw["hours"]["windows"] = [{"days": ["sun"], "from": a, "to": b} for a, b in itertools.pairwise(clocks)]
    wishes = {
        "zone": "UTC", "hours": [], "attempts_max": 0, "gap_min_s": 0.0, "running_contract": False,
        "business": False, "agent_reserved": False, "special_allowed": False,
    }  # fmt: skip
    rules, facts = our_rules(raw, wishes), LeadFacts(e164=e164)
    for minutes in range(-255, 256, 15):
        at = jump + timedelta(minutes=minutes)
        assert may_call(facts, rules, at).rule == oracle.verdict(raw, wishes, facts, at), at
