"""From what a PBX says of an end to one outcome; and the table of transitions."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

import pytest

from daemon.calls import events as ev
from daemon.calls.causes import Outcome, counts_by_law, outcome_unanswered
from daemon.calls.ids import agent_leg, agent_of, attempt_of, customer_leg, is_ours, uuid7
from daemon.calls.states import STAGES, CallState, after


@pytest.mark.feature(
    "STAT-04", clause="each end maps to one system outcome: SIP status, then Q.850 cause, then DialStatus"
)
@pytest.mark.parametrize(
    ("cause", "sip", "dial_status", "rang", "outcome"),
    [
        (17, 486, "BUSY", False, Outcome.BUSY),
        (17, 600, "BUSY", False, Outcome.BUSY),
        (34, 503, "CONGESTION", False, Outcome.CONGESTION),
        (1, 404, "NOANSWER", False, Outcome.UNALLOCATED),
        (21, 603, "NOANSWER", True, Outcome.REJECTED),
        (21, 403, "NOANSWER", False, Outcome.REJECTED),
        (19, 480, "NOANSWER", True, Outcome.NO_ANSWER),
        (28, 484, "NOANSWER", False, Outcome.UNALLOCATED),
        (22, 410, "NOANSWER", False, Outcome.UNALLOCATED),
        (58, 488, "NOANSWER", False, Outcome.FAILED),
        (18, 408, "NOANSWER", False, Outcome.NO_ANSWER),
        (38, 500, "NOANSWER", False, Outcome.CONGESTION),
        (27, 502, "NOANSWER", False, Outcome.CONGESTION),
        (17, None, None, True, Outcome.BUSY),
        (0, None, "BUSY", False, Outcome.BUSY),
        (0, None, None, True, Outcome.NO_ANSWER),
        (0, None, None, False, Outcome.FAILED),
    ],
)
def test_outcome_of_an_unanswered_leg(
    cause: int, sip: int | None, dial_status: str | None, rang: bool, outcome: Outcome
) -> None:
    assert outcome_unanswered(cause, sip, dial_status, rang) is outcome


def test_what_weighs_in_law() -> None:
    weighing = {outcome for outcome in Outcome if counts_by_law(outcome, reached_network=True)}
    assert Outcome.NO_ANSWER in weighing
    assert Outcome.UNKNOWN in weighing
    assert weighing.isdisjoint({Outcome.CONGESTION, Outcome.NOT_PLACED, Outcome.UNALLOCATED, Outcome.AGENT_NO_ANSWER})
    assert not any(counts_by_law(outcome, reached_network=False) for outcome in Outcome)


def test_an_ended_call_stays_ended() -> None:
    kinds = (ev.LegCreated, ev.LegRinging, ev.LegAnswered, ev.LegParked, ev.LegHungUp)
    for kind in kinds:
        assert after(CallState.ENDED, kind(at=0.0, leg="x")) is None


def test_answer_ring_and_park_may_come_in_any_order() -> None:
    """Whatever the order, a leg that answered and parked is waiting, never back at ringing."""
    kinds = (ev.LegCreated, ev.LegRinging, ev.LegAnswered, ev.LegParked)
    for order in itertools.permutations(kinds):
        state = CallState.DIALLING
        for kind in order:
            state = after(state, kind(at=0.0, leg="x")) or state
        assert state is CallState.WAITING, [kind.__name__ for kind in order]


def test_every_state_has_a_stage_but_the_last() -> None:
    assert set(CallState) - set(STAGES) == {CallState.ENDED}


def test_ids_say_whose_they_are() -> None:

    now, rng = datetime(2026, 11, 24, 9, 30, tzinfo=UTC), random.Random(1)
    attempt = uuid7(now, rng)
    assert attempt.version == 7
    leg, desk = customer_leg("main", attempt), agent_leg("main", 42, now, rng)
    assert (attempt_of(leg), agent_of(leg)) == (attempt, None)
    assert (attempt_of(desk), agent_of(desk)) == (None, 42)
    assert is_ours(leg, "main")
    assert not is_ours(leg, "other")
    assert not is_ours("1795294346.4", "main")
