"""Whom bench-load calls: two crowds, and how long theirs calls take so that as many are at once as is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daemon.calls.records import CampaignMode
from fake_asterisk import people

ANSWERS = 0.2
"""Of the crowd that rings long one in five answers, as on lists of households."""
OCCUPIED = 0.9
"""So many of the agents talk. The tenth that is free keeps an agent for nearly each answer, so that the time from
answer to connect is the daemon's own, and not that until another conversation ends."""
RING_MEAN_S, RING_SPREAD = 6.0, 0.5
ALERT_S = 0.2
"""Mean time until the phone rings (fake_asterisk.people)."""
TALK_MIN_S = 2.0
"""The least that anybody talks (fake_asterisk.people)."""
RING_S = (15.0, 120.0)
"""Between what the law of the benchmark's campaign asks and what a campaign may be set to."""
WARM_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """People, the campaign that calls them, and how long it takes until as many calls as meant are at once."""

    people: people.People
    mode: CampaignMode
    ring_timeout_s: float
    warm_up_s: float


def short() -> Crowd:
    """Half answer within two seconds and talk for twelve, half are busy at once; an agent is kept for each call."""
    crowd = people.People(
        answer_chance=0.5, machine_share=0.0, busy_share=1.0, ring_mean_s=0.7, ring_spread=0.3, talk_mean_s=10.0
    )
    return Crowd(crowd, CampaignMode.PROGRESSIVE, 25.0, WARM_UP_S)


def long(agents: int, rate: float, calls: int) -> Crowd:
    """So many calls at once, by Little's law, at `rate` originates a second: `OCCUPIED` of the agents talk, the rest of
    the calls ring. More calls than agents are a predictive campaign's alone. Raises ValueError for what can't be."""
    talking = OCCUPIED * agents
    answered = rate * ANSWERS
    talk_s = talking / answered
    ring_answered_s = ALERT_S + RING_MEAN_S * math.exp(RING_SPREAD**2 / 2)
    ring_s = (calls - talking - answered * ring_answered_s) / (rate - answered)
    if not RING_S[0] <= ring_s <= RING_S[1] or talk_s < TALK_MIN_S + 1.0:
        raise ValueError(
            f"{calls} calls at once with {agents} agents and {rate:g}/s: {talk_s:.0f} s of talk and {ring_s:.0f} s of "
            f"ringing; at least {TALK_MIN_S + 1.0:g} s, and {RING_S[0]:g} to {RING_S[1]:g} s, can be had"
        )
    crowd = people.People(
        answer_chance=ANSWERS, machine_share=0.0, busy_share=0.0, unallocated_share=0.0, congestion_share=0.0,
        ring_mean_s=RING_MEAN_S, ring_spread=RING_SPREAD, talk_mean_s=talk_s - TALK_MIN_S,
    )  # fmt: skip
    return Crowd(crowd, CampaignMode.PREDICTIVE, ring_s, 2.0 * ring_s + 2.0 * talk_s)
