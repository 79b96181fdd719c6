"""Agents go while phones ring: which calls the policy names to be hung up, and what it counts on from then on."""

from __future__ import annotations

import random
from copy import deepcopy
from functools import cache

import pytest

from daemon.dialer import events as ev
from daemon.dialer.explain import sentence
from daemon.dialer.goings import Goings
from daemon.dialer.ledger import LedgerRow
from daemon.dialer.modes import PacingSettings
from daemon.dialer.pacing import PacingPolicy
from tests.unit.dialer.test_pacing import HOUR, snapshot, warmed

AGENTS = 10
NOW = 600.0


@cache
def _warm() -> PacingPolicy:
    return warmed(agents=AGENTS)


def team(ring_min_s: float = 15.0, rings_told: bool = True, rows: tuple[LedgerRow, ...] = ()) -> PacingPolicy:
    """Ten agents at work, odds known (30 % answer), trunks that say when a phone rings."""
    policy = deepcopy(_warm())
    policy.configure(PacingSettings(ring_min_s=ring_min_s))
    policy.ledger.load(rows)
    for call in range(40 if rings_told else 0):
        policy.observe(ev.CallPlaced(f"r{call}", NOW - 20.0))
        policy.observe(ev.CallRinging(f"r{call}", NOW - 18.0))
        policy.observe(ev.CallAnswered(f"r{call}", NOW - 12.0))
        policy.observe(ev.Connected(f"r{call}", f"a{call % AGENTS}", NOW - 12.0))
        policy.observe(ev.AgentWrapUp(f"a{call % AGENTS}", NOW - 4.0))
        policy.observe(ev.AgentReady(f"a{call % AGENTS}", NOW - 1.0))
    return policy


def rings(policy: PacingPolicy, *ages_s: float | None) -> None:
    """Calls c0, c1, ... whose phones have rung for so long; None: not yet."""
    for number, age_s in enumerate(ages_s):
        policy.observe(ev.CallPlaced(f"c{number}", NOW - (age_s or 0.0) - 1.5))
        if age_s is not None:
            policy.observe(ev.CallRinging(f"c{number}", NOW - age_s))


def go(policy: PacingPolicy, agents: int, at: float = NOW) -> None:
    for agent in range(agents):
        policy.observe(ev.AgentLeft(f"a{agent}", at))


def test_while_nobody_goes_nothing_is_hung_up() -> None:
    policy = team()
    rings(policy, *[None] * 40)
    assert policy.surplus(snapshot(0), NOW) == ()
    assert policy.surplus(snapshot(AGENTS), NOW) == ()


def test_when_all_have_gone_a_phone_rings_as_long_as_the_rule_set_asks() -> None:
    policy = team()
    rings(policy, 18.0, 9.0, 14.0, None)
    go(policy, AGENTS)
    assert policy.surplus(snapshot(0), NOW) == ("c3", "c0"), "the newest first; two ring on"
    assert policy.surplus(snapshot(0), NOW + 1.5) == ("c3", "c2", "c0")
    assert policy.surplus(snapshot(0), NOW + 6.5) == ("c3", "c2", "c1", "c0")


def test_where_no_ring_time_is_asked_for_all_go_at_once() -> None:
    policy = team(ring_min_s=0.0)
    rings(policy, 18.0, 9.0, None)
    go(policy, AGENTS)
    assert policy.surplus(snapshot(0), NOW) == ("c2", "c1", "c0")


def test_who_goes_when_done_is_not_there_for_what_rings() -> None:
    policy = team()
    rings(policy, None, None)
    for agent in range(AGENTS):
        policy.observe(ev.AgentTalking(f"a{agent}", NOW - 30.0))
        policy.observe(ev.AgentLeaving(f"a{agent}", NOW))
    assert policy.surplus(snapshot(0), NOW) == ("c1", "c0")


def test_where_trunks_do_not_say_that_a_phone_rings_it_may_have_rung_from_the_start() -> None:
    policy = team(rings_told=False)
    rings(policy, None)
    go(policy, AGENTS)
    assert policy.surplus(snapshot(0), NOW) == ()
    assert policy.surplus(snapshot(0), NOW + 13.0) == ()
    assert policy.surplus(snapshot(0), NOW + 20.0) == ("c0",)


def test_those_who_stay_keep_the_calls_they_can_take() -> None:
    policy = team()
    rings(policy, *[None] * 24)
    go(policy, 7)
    named = policy.surplus(snapshot(3), NOW)
    assert 5 <= len(named) <= 20
    assert named[0] == "c23" and "c0" not in named
    fewer = policy.surplus(snapshot(6), NOW)
    assert len(fewer) < len(named)


def test_calls_placed_for_those_who_stay_are_left_alone() -> None:
    policy = team()
    go(policy, AGENTS - 1)
    for call in range(12):
        policy.observe(ev.CallPlaced(f"c{call}", NOW + 2.0))
    assert policy.surplus(snapshot(1), NOW + 2.0) == ()


def test_phones_that_ring_are_spared_while_the_hour_has_room() -> None:
    """A rule set without a ring time: what rings already is hung up only for want of room, what does not is at once."""
    room, none = (team(0.0, rows=(LedgerRow("c", "s", HOUR, 900, abandoned),)) for abandoned in (0, 60))
    for policy in (room, none):
        rings(policy, *[6.0] * 8, None, None)
        go(policy, 9)
    assert set(room.surplus(snapshot(1), NOW)) <= {"c8", "c9"}
    assert len(none.surplus(snapshot(1), NOW)) > 2


def test_a_call_hung_up_counts_no_more_unless_the_person_was_quicker() -> None:
    policy = team()
    rings(policy, None, None)
    go(policy, AGENTS)
    before = policy.ledger_row().abandoned
    for call in policy.surplus(snapshot(0), NOW):
        policy.observe(ev.CallHungUp(call, NOW))
    assert policy.traffic.in_flight == 0
    assert policy.surplus(snapshot(0), NOW) == ()
    policy.observe(ev.CallEnded("c0", NOW + 0.1, "cancelled"))
    policy.observe(ev.CallAnswered("c1", NOW + 0.1))
    policy.observe(ev.Abandoned("c1", NOW + 0.1))
    assert policy.ledger_row().abandoned == before + 1
    assert policy.traffic.in_flight == 0


def test_a_call_hung_up_says_nothing_about_how_many_answer() -> None:
    rates = {}
    for case in ("none", "unanswered", "hung up"):
        policy = team()
        rings(policy, *([] if case == "none" else [None] * 60))
        for call in range(60 if case == "hung up" else 0):
            policy.observe(ev.CallHungUp(f"c{call}", NOW + 1.0))
        policy.decide(snapshot(0), NOW + 50.0)
        rates[case] = policy.traffic.answer_rate.value
    assert rates["hung up"] == pytest.approx(rates["none"], rel=0.01)
    assert rates["unanswered"] < 0.95 * rates["none"]


def test_the_decision_tells_of_it_in_both_languages() -> None:
    policy = team()
    rings(policy, None, None)
    go(policy, AGENTS)
    for call in policy.surplus(snapshot(0), NOW):
        policy.observe(ev.CallHungUp(call, NOW))
    decision = policy.decide(snapshot(0), NOW + 0.1)
    assert decision.figures.hung_up == 2
    assert "hung up 2 ringing calls: nobody is left for them" in sentence(decision)
    assert "2 appels raccrochés en sonnerie : plus personne pour les prendre" in sentence(decision, "fr")
    assert policy.decide(snapshot(0, leads=7), NOW + 20.0).figures.hung_up == 0


def test_who_goes_alone_is_no_sign_but_several_in_a_minute_are() -> None:
    usual, alone, together = 0.95, Goings(), Goings()
    for goings, gone in ((alone, 1), (together, 5)):
        for second in range(10):
            goings.add(float(second), gone=False)
        for second in range(gone):
            goings.add(10.0 + second, gone=True)
    assert alone.stay(usual, 15.0) == usual
    assert together.stay(usual, 15.0) < 0.6 * usual
    assert together.stay(usual, 400.0) == usual, "forgotten once they are back to what is usual"


def test_breaks_as_usual_in_a_large_team_are_no_sign() -> None:
    goings, usual = Goings(), 0.95
    for second in range(600):
        for agent in range(6):
            goings.add(float(second), gone=(6 * second + agent) % 20 == 0)
    assert goings.stay(usual, 600.0) == pytest.approx(usual, rel=0.02)


def at_work(seconds: int = 60) -> Goings:
    """A wrap-up that ends in ready each five seconds, nobody gone."""
    goings = Goings()
    for second in range(0, seconds, 5):
        goings.add(float(second), gone=False)
    return goings


def test_several_who_go_in_the_same_second_are_taken_for_all_until_others_come_back() -> None:
    usual, goings = 0.95, at_work()
    for _ in range(3):
        goings.add(60.0, gone=True)
    assert goings.stay(usual, 60.1) < 0.2 * usual, "nobody waits for a call any more"
    assert goings.stay(usual, 60.1, ready=6) > 0.6 * usual, "three of nine went"
    for second in range(61, 67):
        goings.add(float(second), gone=False)
    assert goings.stay(usual, 67.0) > 0.6 * usual, "six are back from their wrap-ups"
    assert goings.stay(usual, 400.0) == usual


def test_three_who_go_at_their_own_times_are_not_taken_for_all() -> None:
    usual, goings = 0.95, at_work()
    for second in (60.0, 75.0, 90.0):
        goings.add(second, gone=True, usual=0.8)
        goings.add(second + 5.0, gone=False, usual=0.8)
    assert not goings.together(95.0)
    assert goings.stay(usual, 95.0) > 0.6 * usual


def test_breaks_as_usual_in_a_large_team_do_not_look_like_going_together() -> None:
    chance, goings = random.Random(1), Goings()
    for tick in range(36_000):
        if chance.random() < 0.6:
            goings.add(tick / 10.0, gone=chance.random() < 0.05)
        assert tick < 1200 or not goings.together(tick / 10.0), "not once in an hour"


def test_who_say_together_that_they_go_speak_for_those_who_have_said_nothing() -> None:
    said = {}
    for announced in (0, 3):
        policy = team()
        for agent in range(AGENTS):
            policy.observe(ev.AgentTalking(f"a{agent}", NOW - 60.0))
        for agent in range(announced):
            policy.observe(ev.AgentLeaving(f"a{agent}", NOW))
        said[announced] = policy.traffic.stay_now(NOW + 0.1)
        for agent in range(announced):
            policy.observe(ev.AgentLeft(f"a{agent}", NOW + 1.0))
        assert policy.traffic.stay_now(NOW + 1.1) == pytest.approx(said[announced], rel=0.02), "counted once"
    assert said[3] < 0.3 * said[0]
