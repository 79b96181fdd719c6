"""The policy as its caller sees it: modes, limits, caution, live switches, restarts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.dialer import events as ev
from daemon.dialer.explain import sentence
from daemon.dialer.ledger import Ledger, LedgerRow
from daemon.dialer.modes import TRADE_MODES, Mode, PacingSettings, target
from daemon.dialer.pacing import PacingPolicy
from daemon.errors import SettingsError

HOUR = "2026-11-23T10+0100"


def snapshot(ready: int, **rest: float) -> ev.PacingSnapshot:
    return ev.PacingSnapshot(ready=ready, hour=HOUR, **rest)  # type: ignore[arg-type]


def warmed(options: PacingSettings | None = None, agents: int = 10, rows: tuple[LedgerRow, ...] = ()) -> PacingPolicy:
    """A policy that has seen ten minutes of calls, 30 % answered, and now has nobody ready and nothing in flight."""
    options = options or PacingSettings()
    policy = PacingPolicy(options, Ledger("c", "s", options.windows, rows))
    chance, number = random.Random(1), 0
    for second in range(600):
        policy.decide(snapshot(0), float(second))
        for _ in range(2):
            number += 1
            call, agent = f"c{number}", f"a{number % agents}"
            policy.observe(ev.CallPlaced(call, second - 20.0))
            if chance.random() < 0.3:
                policy.observe(ev.CallAnswered(call, second - 12.0))
                policy.observe(ev.Connected(call, agent, second - 12.0))
                policy.observe(ev.AgentWrapUp(agent, second - 4.0))
                policy.observe(ev.AgentReady(agent, float(second)))
            else:
                policy.observe(ev.CallEnded(call, float(second), "no_answer"))
    return policy


def leave(policy: PacingPolicy, agents: int = 10) -> None:
    for agent in range(agents):
        policy.observe(ev.AgentLeft(f"a{agent}", 600.0))


_GONE = warmed()
leave(_GONE)


@pytest.mark.parametrize("mode", [Mode.MANUAL, Mode.PREVIEW, Mode.INBOUND])
def test_modes_in_which_the_daemon_never_dials_by_itself(mode: Mode) -> None:
    policy = warmed(PacingSettings(mode=mode))
    decision = policy.decide(snapshot(10), 601.0)
    assert (decision.count, decision.limit) == (0, "mode")


def test_progressive_is_one_call_per_ready_agent_counting_those_in_flight() -> None:
    policy = warmed(PacingSettings(mode=Mode.PROGRESSIVE))
    assert policy.decide(snapshot(4), 601.0).count == 4
    for call in range(3):
        policy.observe(ev.CallPlaced(f"x{call}", 601.0))
    assert policy.decide(snapshot(4), 601.0).count == 1
    assert policy.decide(snapshot(3), 601.0).count == 0


def test_predictive_places_more_than_one_call_for_a_ready_agent() -> None:
    assert warmed().decide(snapshot(4), 601.0).count > 4


@given(
    ready=st.integers(0, 12),
    leads=st.integers(0, 9),
    lines=st.integers(0, 9),
    tokens=st.floats(0, 9),
    level=st.integers(1, 3),
    speed=st.integers(0, 10),
)
@settings(deadline=None, max_examples=60)
def test_leads_lines_and_call_rate_are_never_exceeded(
    ready: int, leads: int, lines: int, tokens: float, level: int, speed: int
) -> None:
    policy = _WARM
    policy.configure(PacingSettings(level=level, speed=speed))
    decision = policy.decide(snapshot(ready, leads=leads, lines_free=lines, cps_tokens=tokens), 601.0)
    assert 0 <= decision.count <= min(leads, lines, int(tokens))
    if decision.count == min(leads, lines, int(tokens)) and decision.count:
        assert decision.limit in {"leads", "lines", "cps"}


_WARM = warmed()


def test_line_limit_of_the_campaign_counts_talking_and_in_flight() -> None:
    policy = warmed(PacingSettings(line_limit=6))
    policy.observe(ev.Connected("t", "a1", 600.0))
    for call in range(3):
        policy.observe(ev.CallPlaced(f"x{call}", 600.0))
    assert policy.decide(snapshot(9), 601.0).count == 2


def test_without_agents_nothing_is_dialled_even_if_many_were_there_a_moment_ago() -> None:
    policy = warmed()
    leave(policy)
    decision = policy.decide(snapshot(0), 601.0)
    assert (decision.count, decision.limit) == (0, "agents")


def test_agents_leaving_together_close_the_room_for_calls_already_in_flight() -> None:
    policy = warmed(agents=10)
    for call in range(12):
        policy.observe(ev.CallPlaced(f"x{call}", 600.0))
    for agent in range(8):
        policy.observe(ev.AgentLeft(f"a{agent}", 600.5))
    decision = policy.decide(snapshot(2), 601.0)
    assert decision.count == 0
    assert decision.figures.risk > 0.3


def test_starts_with_one_call_per_agent_until_odds_are_known() -> None:
    policy = PacingPolicy(PacingSettings())
    for agent in range(8):
        policy.observe(ev.AgentReady(f"a{agent}", 0.0))
    decision = policy.decide(snapshot(8), 0.0)
    assert (decision.count, decision.limit) == (8, "cautious_start")


def test_callers_waiting_and_callbacks_due_take_agents_away() -> None:
    policy = warmed()
    free = policy.decide(snapshot(4), 601.0).count
    assert policy.decide(snapshot(4, inbound_waiting=2, reserved=2), 601.0).count < free
    assert policy.decide(snapshot(4, others_expected=4.0), 601.0).count < free


def test_agents_who_go_when_done_are_not_counted_on() -> None:
    policy = warmed(agents=10)
    for agent in range(10):
        policy.observe(ev.AgentWrapUp(f"a{agent}", 600.0))
    before = policy.decide(snapshot(0), 601.0)
    for agent in range(9):
        policy.observe(ev.AgentLeaving(f"a{agent}", 601.0))
    after = policy.decide(snapshot(0), 601.2)
    assert after.count < before.count
    assert after.figures.expected_free < 1.3 * before.figures.expected_free / 10
    for agent in range(9):
        policy.observe(ev.AgentLeaving(f"a{agent}", 601.3, leaving=False))
    assert policy.decide(snapshot(0), 601.4).figures.expected_free > 5 * after.figures.expected_free


def test_room_is_not_borrowed_from_answers_that_the_list_cannot_bring() -> None:
    spent = (LedgerRow("c", "s", HOUR, 200, 9),)
    policy = warmed(rows=spent)
    long, short = (policy.decide(snapshot(3, leads_left=left), at) for left, at in ((100_000, 601.0), (20, 602.5)))
    assert short.figures.allowed < long.figures.allowed
    assert short.count <= long.count
    assert short.limit == "abandonment_room"


@pytest.mark.parametrize("announced", [False, True])
def test_room_is_not_borrowed_from_answers_that_agents_gone_or_going_would_have_brought(announced: bool) -> None:
    policy = warmed(agents=10)
    for agent in range(10):
        policy.observe(ev.AgentWrapUp(f"a{agent}", 600.0))
    before = policy.decide(snapshot(2, hour_left_s=2400.0), 601.0).figures.allowed
    for agent in range(1, 10):
        going = ev.AgentLeaving(f"a{agent}", 601.0) if announced else ev.AgentLeft(f"a{agent}", 601.0)
        policy.observe(going)
    after = policy.decide(snapshot(2, hour_left_s=2400.0), 602.1).figures.allowed
    assert before >= after + 5


def test_where_one_call_an_agent_is_the_rule_calls_of_others_count_too() -> None:
    policy = warmed(PacingSettings(speed=0))
    assert policy.decide(snapshot(5), 601.0).count == 5
    assert policy.decide(snapshot(5, others_in_flight=3), 601.0).count == 2
    assert policy.decide(snapshot(5, others_in_flight=9), 601.0).count == 0


@pytest.mark.parametrize(("level", "speed", "ceiling", "expected"), [(3, 10, 0.03, 0.03), (2, 5, 0.03, 0.01)])
def test_target_of_level_and_speed(level: int, speed: int, ceiling: float, expected: float) -> None:
    assert target(PacingSettings(level=level, speed=speed, ceiling=ceiling)) == pytest.approx(expected)


def test_target_never_exceeds_the_ceiling_of_the_rule_set() -> None:
    assert target(PacingSettings(level=3, speed=10, ceiling=0.015)) == 0.015
    assert target(PacingSettings(mode=TRADE_MODES["TURBO"][0])) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"level": 4}, {"speed": 11}, {"speed": -1}, {"ceiling": 3.0}, {"ring_timeout_s": 10.0}]
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        PacingSettings(**wrong)  # type: ignore[arg-type]


def test_speed_0_is_progressive_and_faster_speeds_place_no_fewer_calls() -> None:
    policy, counts = warmed(), []
    for speed in range(11):
        policy.configure(PacingSettings(speed=speed))
        counts.append(policy.decide(snapshot(5), 601.0).count)
    assert counts[0] == 5
    assert counts == sorted(counts)


def test_at_the_ceiling_it_falls_back_to_one_call_per_agent() -> None:
    spent = (LedgerRow("c", "s", HOUR, 300, 60),)
    policy = warmed(rows=spent)
    decision = policy.decide(snapshot(5), 601.0)
    assert (decision.count, decision.limit) == (5, "abandonment_room")


def test_a_restart_in_the_middle_of_an_hour_does_not_forget_what_was_spent() -> None:
    first = warmed()
    for call in range(60):
        first.observe(ev.CallPlaced(f"z{call}", 595.0))
        first.observe(ev.Abandoned(f"z{call}", 600.0))
    second = warmed(rows=tuple(first.ledger_rows()))
    assert second.decide(snapshot(5), 601.0).limit == "abandonment_room"
    assert sum(row.abandoned for row in second.ledger_rows()) == 60


def test_as_the_hour_strikes_its_room_is_new_and_the_day_goes_on() -> None:
    before = LedgerRow("c", "s", "2026-11-23T09+0100", 9000, 5)
    policy = warmed(rows=(before, LedgerRow("c", "s", HOUR, 60, 60)))
    assert policy.decide(snapshot(3), 601.0).count == 3, "the hour's room is used up: one call an agent"
    next_hour = ev.PacingSnapshot(ready=3, hour="2026-11-23T11+0100")
    assert policy.decide(next_hour, 603.0).count > 3
    rows = {row.hour: row for row in policy.ledger_rows()}
    assert rows[HOUR].abandoned == 60 and "2026-11-23T11+0100" not in rows
    policy.observe(ev.CallPlaced("late", 600.0))
    policy.observe(ev.Abandoned("late", 604.0))
    assert policy.ledger_row() == LedgerRow("c", "s", "2026-11-23T11+0100", 0, 1)
    overdrawn = warmed(rows=(LedgerRow("c", "s", "2026-11-23T09+0100", 300, 900),))
    assert overdrawn.decide(next_hour, 603.0).count == 3, "the day has none left"


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(list(Mode)), speed=st.integers(0, 10), level=st.integers(1, 3), warm=st.booleans(),
    leads=st.integers(0, 10_000), lines=st.integers(0, 500), tokens=st.floats(0, 500), waiting=st.integers(0, 5),
)  # fmt: skip
def test_nobody_there_and_nothing_is_dialled_whatever_the_rest(
    mode: Mode, speed: int, level: int, warm: bool, leads: int, lines: int, tokens: float, waiting: int
) -> None:
    policy = _GONE if warm else PacingPolicy(PacingSettings())
    policy.configure(PacingSettings(mode=mode, speed=speed, level=level))
    asked = snapshot(0, leads=leads, lines_free=lines, cps_tokens=tokens, waiting=waiting)
    assert policy.decide(asked, 601.0).count == 0


def test_the_same_events_give_the_same_decisions() -> None:
    first, second = warmed(), warmed()
    assert [first.decide(snapshot(n), 601.0 + n) for n in range(8)] == [
        second.decide(snapshot(n), 601.0 + n) for n in range(8)
    ]


def test_repeated_and_unknown_events_change_nothing() -> None:
    policy = warmed()
    policy.observe(ev.CallPlaced("x", 600.0))
    before = policy.decide(snapshot(3), 601.0).figures
    policy.observe(ev.CallEnded("never placed", 600.5))
    policy.observe(ev.Abandoned("never placed", 600.5))
    policy.observe(ev.AgentReady("a1", 600.5))
    after = policy.decide(snapshot(3), 601.0).figures
    assert (after.in_flight, after.abandoned) == (before.in_flight, before.abandoned) == (1, 0)


def test_a_call_whose_end_was_never_told_stops_counting() -> None:
    policy = warmed()
    policy.observe(ev.CallPlaced("lost", 600.0))
    assert policy.decide(snapshot(1), 601.0).figures.in_flight == 1
    assert policy.decide(snapshot(1), 800.0).figures.in_flight == 0


def test_a_machine_found_by_an_agent_is_no_live_answer() -> None:
    policy = warmed()
    before = policy.ledger_rows()[0].connected
    policy.observe(ev.CallPlaced("m", 595.0))
    policy.observe(ev.Connected("m", "a1", 600.0))
    policy.observe(ev.MachineReported("m", 605.0))
    assert policy.ledger_rows()[0].connected == before


def test_false_positives_are_shown_apart_from_abandoned_calls() -> None:
    policy = warmed(PacingSettings(amd=True))
    policy.observe(ev.AmdFalsePositive("x", 600.0))
    assert policy.false_positives == 1
    assert sum(row.abandoned for row in policy.ledger_rows()) == 0


def test_with_detection_a_call_needs_an_agent_at_the_verdict_not_at_the_answer() -> None:
    policy = warmed(PacingSettings(amd=True))
    policy.observe(ev.CallPlaced("x", 590.0))
    policy.observe(ev.CallAnswered("x", 600.0))
    assert policy.traffic.waiting == 0
    policy.observe(ev.AmdVerdict("x", 602.0, human=True))
    assert policy.traffic.waiting == 1
    policy.observe(ev.Abandoned("x", 604.0))
    assert policy.traffic.waiting == 0


def test_the_sentence_says_count_inputs_and_reason_in_both_languages() -> None:
    decision = warmed().decide(snapshot(2), 601.0)
    english, french = sentence(decision), sentence(decision, "fr")
    assert english.startswith(f"placing {decision.count}: 2 ready, ")
    assert "% answer" in english and "allowed" in english
    assert french.startswith(f"{decision.count} appel") and " : 2 prêts, " in french and "permis" in french
    manual = PacingPolicy(PacingSettings(mode=Mode.MANUAL)).decide(snapshot(2), 0.0)
    assert "no call by itself" in sentence(manual)
