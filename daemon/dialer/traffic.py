"""What is going on in a campaign, kept as running aggregates: calls by stage and age, agents by state and since when.

In: pacing events, in about the order they happened. Out: counts, ages, and what the estimates learn from each end.
Called by the pacing policy only. Every step costs the same whatever the number of calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.dialer import events as ev
from daemon.dialer.estimates import (
    CALL_BIN_S,
    CALL_BINS,
    AgentFactors,
    AnswerRate,
    Array,
    DelayHistogram,
    HazardCurve,
    answer_delay_prior,
    detection_prior,
    other_end_prior,
)
from daemon.dialer.goings import Goings
from daemon.dialer.modes import PacingSettings

OFF, READY, TALKING, WRAP = 0, 1, 2, 3

TALK_CLASSES = np.array([0.7, 0.84, 1.0, 1.19, 1.42])
WRAP_CLASSES = np.array([0.45, 0.67, 1.0, 1.5, 2.2])
"""Agents' length factors are told apart this finely: a table per class, not per person."""


RING_LEARNED = 0.1
"""Weight of one answered call in the share of those told to ring before."""


class Call:
    __slots__ = ("answered_at", "ringing_at", "stage", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.answered_at = self.ringing_at = -1.0
        self.stage = "placed"  # placed -> judged (under detection) -> waiting -> (removed); or hung_up by us


class Ages:
    """How many calls of each age: a ring of half-second bins, so that time passing costs nothing."""

    def __init__(self) -> None:
        self._counts = np.zeros(CALL_BINS)
        self._bin = 0
        self.total = 0

    def advance(self, now: float) -> None:
        """Forget calls that left the ring (ghosts of lost events)."""
        current = int(now / CALL_BIN_S)
        if current - self._bin >= CALL_BINS:
            self._counts[:] = 0.0
            self.total = 0
        else:
            for step in range(self._bin + 1, current + 1):
                slot = step % CALL_BINS
                if self._counts[slot]:
                    self.total -= int(self._counts[slot])
                    self._counts[slot] = 0.0
        self._bin = max(self._bin, current)

    def add(self, at: float, by: int = 1) -> None:
        when = int(at / CALL_BIN_S)
        if when > self._bin:
            self.advance(at)
        slot = when % CALL_BINS
        if self._bin - when < CALL_BINS and self._counts[slot] + by >= 0:
            self._counts[slot] += by
            self.total += by

    def by_age(self) -> Array:
        """Calls by age in bins, the youngest first."""
        now = self._bin % CALL_BINS
        return np.concatenate((self._counts[now::-1], self._counts[:now:-1]))


class Traffic:
    """Calls and agents of one campaign, and the estimates that their ends feed."""

    def __init__(self, settings: PacingSettings) -> None:
        self.amd = settings.amd
        self.answer_rate = AnswerRate(prior=0.5, prior_calls=12.0)
        self.human_rate = AnswerRate(prior=0.8, prior_calls=8.0)
        self.answer_delay = DelayHistogram(answer_delay_prior())
        self.other_delay = DelayHistogram(other_end_prior(settings.ring_timeout_s))
        self.detection_delay = DelayHistogram(detection_prior())
        self.talk = HazardCurve(prior_mean_s=120.0)
        self.wrap = HazardCurve(prior_mean_s=20.0)
        self._talk_factors = AgentFactors(shrink=30.0)
        self._wrap_factors = AgentFactors(shrink=5.0)
        self._stays = [9.0, 10.0]
        self._goings = Goings()
        self.left_at = -math.inf
        """When somebody last went, or said that they would when done."""
        self.ring_told = 0.0
        """Of the last answered calls, the share told to ring before, 0..1."""
        self._calls: dict[str, Call] = {}
        self.placed, self.judged = Ages(), Ages()
        self.waiting = self.busy = self.talking = 0
        self._slots: dict[str, int] = {}
        self._state: NDArray[np.int8] = np.zeros(16, dtype=np.int8)
        self._since = np.zeros(16)
        self._class: NDArray[np.intp] = np.zeros(16, dtype=np.intp)
        self._leaving: NDArray[np.bool_] = np.zeros(16, dtype=np.bool_)
        self.agents_version = self.calls_version = 0

    @property
    def in_flight(self) -> int:
        """Calls placed that are neither connected nor over."""
        return self.placed.total + self.judged.total + self.waiting

    @property
    def stay(self) -> float:
        """Share of agents who are ready again after a wrap-up; the others take a pause."""
        return self._stays[0] / self._stays[1]

    def stay_now(self, now: float) -> float:
        """The same, as those who went in the last minute make it look: people go to lunch together."""
        ready = int(np.count_nonzero(self._state == READY)) if self._goings.together(now) else 0
        return self._goings.stay(self.stay, now, ready)

    @property
    def staffed(self) -> int:
        """Agents ready, talking or in wrap-up."""
        return int(np.count_nonzero(self._state))

    @property
    def staying(self) -> int:
        """Those of them who have not said that they go when they are done."""
        return int(np.count_nonzero((self._state != OFF) & ~self._leaving))

    def agents(self) -> tuple[NDArray[np.int8], Array, NDArray[np.intp]]:
        """State, since when, and factor class of every agent ever seen (views; do not write)."""
        used = len(self._slots)
        return self._state[:used], self._since[:used], self._class[:used]

    def leaving(self) -> NDArray[np.bool_]:
        """Which of them have said that they go when they are done (a view; do not write)."""
        return self._leaving[: len(self._slots)]

    def observe(self, event: ev.PacingEvent) -> bool | None:
        """Take note. Unknown ids and repeated events change nothing; order between different ids is free.

        True: a live person was abandoned by this event, False: connected, None: neither.
        """
        if type(event) is ev.CallRinging:
            self._on_ringing(event)  # no odds change by it
            return None
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return None
        self.calls_version += 1
        return handler(self, event)

    def advance(self, now: float) -> None:
        self.placed.advance(now)
        self.judged.advance(now)

    def unanswered(self) -> list[tuple[str, Call]]:
        """Calls placed that nobody has answered, the oldest first."""
        return [(id, call) for id, call in self._calls.items() if call.stage == "placed"]

    def forget_ghosts(self, now: float) -> None:
        """Drop calls whose end was never told, once they have left the age rings."""
        if len(self._calls) > 50 + 4 * self.in_flight:
            self._calls = {k: c for k, c in self._calls.items() if now - c.started_at < CALL_BINS * CALL_BIN_S}

    def _on_placed(self, event: ev.CallPlaced) -> None:
        self._calls[event.call] = Call(event.at)
        self.placed.add(event.at)
        self.answer_rate.started(event.at)

    def _on_ringing(self, event: ev.CallRinging) -> None:
        call = self._calls.get(event.call)
        if call is not None and call.ringing_at < 0.0:
            call.ringing_at = event.at

    def _on_answered(self, event: ev.CallAnswered) -> None:
        call = self._calls.get(event.call)
        if call is None or call.stage != "placed":
            return
        self.ring_told += RING_LEARNED * ((call.ringing_at >= 0.0) - self.ring_told)
        self._leave_placed(call)
        call.answered_at = event.at
        self.answer_rate.answered(call.started_at)
        self.answer_delay.add(event.at - call.started_at)
        if self.amd:
            call.stage = "judged"
            self.judged.add(event.at)
            self.human_rate.started(event.at)
        else:
            call.stage = "waiting"
            self.waiting += 1

    def _on_verdict(self, event: ev.AmdVerdict) -> None:
        call = self._calls.get(event.call)
        if call is None or call.stage != "judged":
            return
        self.judged.add(call.answered_at, -1)
        self.detection_delay.add(event.at - call.answered_at)
        if event.human:
            self.human_rate.answered(call.answered_at)
            call.stage = "waiting"
            self.waiting += 1
        else:
            call.stage = "machine"

    def _on_need(self, event: ev.NeedAgent) -> None:
        call = self._calls.get(event.call)
        if call is None:
            return
        if call.stage == "placed":
            self._on_answered(ev.CallAnswered(event.call, event.at))
        if call.stage == "judged":
            self._on_verdict(ev.AmdVerdict(event.call, event.at, human=True))

    def _on_connected(self, event: ev.Connected) -> bool | None:
        self._on_need(ev.NeedAgent(event.call, event.at))
        call = self._calls.pop(event.call, None)
        if call is not None:
            self.waiting -= call.stage == "waiting"
        self._enter(event.agent, TALKING, event.at)
        return None if call is None else False

    def _on_abandoned(self, event: ev.Abandoned) -> bool | None:
        self._on_need(ev.NeedAgent(event.call, event.at))
        call = self._calls.pop(event.call, None)
        if call is not None:
            self.waiting -= call.stage == "waiting"
        return None if call is None else True

    def _on_ended(self, event: ev.CallEnded) -> None:
        call = self._calls.pop(event.call, None)
        if call is None:
            return
        if call.stage == "placed":
            self._leave_placed(call)
            if event.outcome == "not_placed":
                self.answer_rate.never_reached(call.started_at)
            else:
                self.other_delay.add(event.at - call.started_at)
        elif call.stage == "judged":
            self.judged.add(call.answered_at, -1)
        elif call.stage == "waiting":
            self.waiting -= 1

    def _on_hung_up(self, event: ev.CallHungUp) -> None:
        call = self._calls.get(event.call)
        if call is not None and call.stage == "placed":
            self._leave_placed(call)
            self.answer_rate.never_reached(call.started_at)  # it was not left the time to be answered
            call.stage = "hung_up"

    def _leave_placed(self, call: Call) -> None:
        self.placed.add(call.started_at, -1)

    def _on_ready(self, event: ev.AgentReady) -> None:
        self._enter(event.agent, READY, event.at)

    def _on_talking(self, event: ev.AgentTalking) -> None:
        slot = self._slots.get(event.agent)
        if slot is None or self._state[slot] != TALKING:
            self._enter(event.agent, TALKING, event.at)

    def _on_wrap_up(self, event: ev.AgentWrapUp) -> None:
        self._enter(event.agent, WRAP, event.at)

    def _on_left(self, event: ev.AgentLeft) -> None:
        self._enter(event.agent, OFF, event.at)

    def _on_leaving(self, event: ev.AgentLeaving) -> None:
        slot = self._slots.get(event.agent)
        if slot is not None and bool(self._leaving[slot]) != event.leaving:
            self._leaving[slot] = event.leaving
            self.agents_version += 1
            if event.leaving:
                self.left_at = max(self.left_at, event.at)
                self._goings.add(event.at, True, self.stay)
            else:
                self._goings.take_back(event.at)

    def _enter(self, agent: str, state: int, at: float) -> None:
        """Move an agent to `state`, learning from the stay in the one before."""
        slot = self._slots.get(agent)
        if slot is None:
            slot = self._new_slot(agent)
        before, spent = int(self._state[slot]), max(0.0, at - float(self._since[slot]))
        if before == state:
            return
        if state == OFF:
            self.left_at = max(self.left_at, at)
            if not self._leaving[slot]:  # who said so has been counted
                self._goings.add(at, True, self.stay)
        elif before == WRAP:
            self._goings.add(at, False, self.stay)
        if before == TALKING:
            self.talk.add(spent, ended=state != OFF)
            self._talk_factors.add(agent, spent)
            if state == READY:
                self.wrap.add(0.0)
        elif before == WRAP:
            self.wrap.add(spent)
            self._wrap_factors.add(agent, spent)
            self._stays = [self._stays[0] * 0.99 + (state != OFF), self._stays[1] * 0.99 + 1.0]
        if state in (TALKING, WRAP):
            self._class[slot] = self._class_of(agent)
        self.busy += (state > READY) - (before > READY)
        self.talking += (state == TALKING) - (before == TALKING)
        self._state[slot], self._since[slot] = state, at
        self._leaving[slot] &= state > READY
        self.agents_version += 1

    def _new_slot(self, agent: str) -> int:
        slot = self._slots[agent] = len(self._slots)
        if slot >= len(self._state):
            self._state = np.concatenate((self._state, np.zeros_like(self._state)))
            self._since = np.concatenate((self._since, np.zeros_like(self._since)))
            self._class = np.concatenate((self._class, np.zeros_like(self._class)))
            self._leaving = np.concatenate((self._leaving, np.zeros_like(self._leaving)))
        return slot

    def _class_of(self, agent: str) -> int:
        """Row of the tables: talk class x wrap class of the agent's factors."""
        talk = round(2 + math.log(self._talk_factors.factor(agent)) / 0.174)
        wrap = round(2 + math.log(self._wrap_factors.factor(agent)) / 0.4)
        return min(4, max(0, talk)) * len(WRAP_CLASSES) + min(4, max(0, wrap))


_HANDLERS: dict[type, Callable[[Traffic, Any], bool | None]] = {
    ev.CallPlaced: Traffic._on_placed,
    ev.CallAnswered: Traffic._on_answered,
    ev.AmdVerdict: Traffic._on_verdict,
    ev.NeedAgent: Traffic._on_need,
    ev.Connected: Traffic._on_connected,
    ev.Abandoned: Traffic._on_abandoned,
    ev.CallHungUp: Traffic._on_hung_up,
    ev.CallEnded: Traffic._on_ended,
    ev.AgentReady: Traffic._on_ready,
    ev.AgentTalking: Traffic._on_talking,
    ev.AgentWrapUp: Traffic._on_wrap_up,
    ev.AgentLeft: Traffic._on_left,
    ev.AgentLeaving: Traffic._on_leaving,
}
