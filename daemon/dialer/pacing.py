"""The pacing policy: how many calls to originate now, and why.

In: `observe(event)` for everything that happens to calls and agents, `decide(snapshot, now)` after events (coalesced)
and at least every 250 ms. Out: a `Decision`. One object per campaign; no I/O, no clock, no random number: the same
events and instants give the same decisions. Called by the engine, by the simulations and by the benchmark.

One more call is placed while the risk that it finds no agent, if answered, stays within a threshold; the threshold is
learned so that the abandoned share tends to what the ledger has room for; the ledger is what keeps the ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.dialer import events as ev
from daemon.dialer.estimates import (
    AGE_BINS,
    AGE_LUT,
    AGENT_AGE_MAX_S,
    CALL_BIN_S,
    CALL_BINS,
    AgentFactors,
    AnswerRate,
    Array,
    DelayHistogram,
    HazardCurve,
    agent_tables,
    answer_delay_prior,
    call_tables,
    detection_prior,
    other_end_prior,
)
from daemon.dialer.ledger import Ledger, LedgerRow, Room
from daemon.dialer.modes import Mode, PacingSettings, target
from daemon.dialer.risk import EXACT_ITEMS, ExactRisk, LearnedThreshold, NormalRisk, transform

OFF, READY, TALKING, WRAP = 0, 1, 2, 3

KAPPA, BOOST = 0.95, 1.6
ROOM_POWER = 1.0
ETA = 0.03
EASE = 0.35
"""Reserve kept of the room to come, and how much faster than the target unused room may be spent."""
HORIZON_QUANTILES = (0.125, 0.375, 0.625, 0.875)
TALK_CLASSES = np.array([0.7, 0.84, 1.0, 1.19, 1.42])
WRAP_CLASSES = np.array([0.45, 0.67, 1.0, 1.5, 2.2])
CAUTIOUS_CALLS = 25
"""Calls that must have run their course before odds are trusted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers behind a decision: shares 0..1, counts of people and calls."""

    ready: int
    expected_free: float
    in_flight: int
    expected: float
    """Answers expected of the calls in flight within the median horizon."""
    answer_rate: float
    risk: float
    threshold: float
    abandoned: int
    allowed: int
    window: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Place `count` calls now. `limit`: stable code of what kept it from being more."""

    count: int
    limit: str
    figures: Figures


class _Call:
    __slots__ = ("answered_at", "stage", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.answered_at = -1.0
        self.stage = "placed"  # placed -> judged (under detection) -> waiting -> (removed)


class _Ages:
    """How many calls of each age: a ring of half-second bins, so that time passing costs nothing."""

    def __init__(self) -> None:
        self._counts = np.zeros(CALL_BINS)
        self._bin = 0
        self._order = np.arange(CALL_BINS)
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
        return self._counts[(self._bin - self._order) % CALL_BINS]


class PacingPolicy:
    """See the module's first lines. `ledger` carries the campaign's windows and may hold rows from before."""

    def __init__(self, settings: PacingSettings, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger("campaign", "site", settings.windows)
        self._answer_rate = AnswerRate(prior=0.5, prior_calls=12.0)
        self._human_rate = AnswerRate(prior=0.8, prior_calls=8.0)
        self._answer_delay = DelayHistogram(answer_delay_prior())
        self._other_delay = DelayHistogram(other_end_prior(settings.ring_timeout_s))
        self._detection_delay = DelayHistogram(detection_prior())
        self._talk = HazardCurve(prior_mean_s=120.0)
        self._wrap = HazardCurve(prior_mean_s=20.0)
        self._talk_factors = AgentFactors(shrink=30.0)
        self._wrap_factors = AgentFactors(shrink=5.0)
        self._stays = [9.0, 10.0]
        self._threshold = LearnedThreshold(target(settings) or 0.03, ETA)
        self._calls: dict[str, _Call] = {}
        self._placed, self._judged = _Ages(), _Ages()
        self._waiting = 0
        self._connected_calls: dict[str, str] = {}
        self._slots: dict[str, int] = {}
        self._state: NDArray[np.int8] = np.zeros(16, dtype=np.int8)
        self._since = np.zeros(16)
        self._class: NDArray[np.intp] = np.zeros(16, dtype=np.intp)
        self._live_weight, self._live_time_s = 0.0, 0.0
        self._lives = 0
        self._rate_at = -math.inf
        self._agents_at = -math.inf
        self._calls_at = -math.inf
        self._share = 0.0
        self._hour = ""
        self._first_at: float | None = None
        self.false_positives = 0
        self._horizons = [5.0, 9.0, 12.0, 18.0]
        self._table_rate = 0.0
        self._agents_version = self._calls_version = 0
        self._agents_key: tuple[int, int, bool] | None = None
        self._calls_key: tuple[int, int, bool] | None = None
        self._busy = self._talking = 0
        self._room_key: tuple[int, int] | None = None
        self._room = Room(0.0, 0.0, "", 0, 0)
        self.configure(settings)

    def configure(self, settings: PacingSettings) -> None:
        """Switch mode, level, speed or limits live; what was learned stays."""
        self.settings = settings
        self.target = target(settings)
        self.ledger.windows = settings.windows
        self._share = min(self._share, 1.35 * self.target) if self._hour else self.target
        self._agents_at = self._calls_at = -math.inf

    # ---- events

    def observe(self, event: ev.PacingEvent) -> None:
        """Take note. Unknown ids and repeated events change nothing; order between different ids is free."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            self._calls_version += 1
            handler(self, event)

    def _on_placed(self, event: ev.CallPlaced) -> None:
        self._calls[event.call] = _Call(event.at)
        self._placed.add(event.at)
        self._answer_rate.started(event.at)

    def _on_answered(self, event: ev.CallAnswered) -> None:
        call = self._calls.get(event.call)
        if call is None or call.stage != "placed":
            return
        self._leave_placed(call)
        call.answered_at = event.at
        self._answer_rate.answered(call.started_at)
        self._answer_delay.add(event.at - call.started_at)
        if self.settings.amd:
            call.stage = "judged"
            self._judged.add(event.at)
            self._human_rate.started(event.at)
        else:
            call.stage = "waiting"
            self._waiting += 1

    def _on_verdict(self, event: ev.AmdVerdict) -> None:
        call = self._calls.get(event.call)
        if call is None or call.stage != "judged":
            return
        self._judged.add(call.answered_at, -1)
        self._detection_delay.add(event.at - call.answered_at)
        if event.human:
            self._human_rate.answered(call.answered_at)
            call.stage = "waiting"
            self._waiting += 1
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

    def _on_connected(self, event: ev.Connected) -> None:
        self._on_need(ev.NeedAgent(event.call, event.at))
        call = self._calls.pop(event.call, None)
        if call is not None:
            self._waiting -= call.stage == "waiting"
            self._count_live(abandoned=False)
        self._enter(event.agent, TALKING, event.at)

    def _on_abandoned(self, event: ev.Abandoned) -> None:
        self._on_need(ev.NeedAgent(event.call, event.at))
        call = self._calls.pop(event.call, None)
        if call is not None:
            self._waiting -= call.stage == "waiting"
            self._count_live(abandoned=True)

    def _on_ended(self, event: ev.CallEnded) -> None:
        call = self._calls.pop(event.call, None)
        if call is None:
            return
        if call.stage == "placed":
            self._leave_placed(call)
            if event.outcome == "not_placed":
                self._answer_rate.never_reached(call.started_at)
            else:
                self._other_delay.add(event.at - call.started_at)
        elif call.stage == "judged":
            self._judged.add(call.answered_at, -1)
        elif call.stage == "waiting":
            self._waiting -= 1

    def _leave_placed(self, call: _Call) -> None:
        self._placed.add(call.started_at, -1)

    def _count_live(self, abandoned: bool) -> None:
        self.ledger.count(self._hour, connected=not abandoned, abandoned=abandoned)
        self._threshold.learn(abandoned, self._share)
        self._live_weight += 1.0
        self._lives += 1

    def _on_false_positive(self, event: ev.AmdFalsePositive) -> None:
        self.false_positives += 1

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

    def _enter(self, agent: str, state: int, at: float) -> None:
        """Move an agent to `state`, learning from the stay in the one before."""
        slot = self._slots.get(agent)
        if slot is None:
            slot = self._new_slot(agent)
        before, spent = int(self._state[slot]), max(0.0, at - float(self._since[slot]))
        if before == state:
            return
        if before == TALKING:
            self._talk.add(spent, ended=state != OFF)
            self._talk_factors.add(agent, spent)
            if state == READY:
                self._wrap.add(0.0)
        elif before == WRAP:
            self._wrap.add(spent)
            self._wrap_factors.add(agent, spent)
            self._stays = [self._stays[0] * 0.99 + (state != OFF), self._stays[1] * 0.99 + 1.0]
        if state in (TALKING, WRAP):
            self._class[slot] = self._class_of(agent)
        self._busy += (state > READY) - (before > READY)
        self._talking += (state == TALKING) - (before == TALKING)
        self._state[slot], self._since[slot] = state, at
        self._agents_version += 1

    def _new_slot(self, agent: str) -> int:
        slot = self._slots[agent] = len(self._slots)
        if slot >= len(self._state):
            self._state = np.concatenate((self._state, np.zeros_like(self._state)))
            self._since = np.concatenate((self._since, np.zeros_like(self._since)))
            self._class = np.concatenate((self._class, np.zeros_like(self._class)))
        return slot

    def _class_of(self, agent: str) -> int:
        """Row of the tables: talk class x wrap class of the agent's factors."""
        talk = round(2 + math.log(self._talk_factors.factor(agent)) / 0.174)
        wrap = round(2 + math.log(self._wrap_factors.factor(agent)) / 0.4)
        return min(4, max(0, talk)) * len(WRAP_CLASSES) + min(4, max(0, wrap))

    # ---- decisions

    def decide(self, snapshot: ev.PacingSnapshot, now: float) -> Decision:
        """How many calls to originate at `now`. 0 agents never dial; limits of lines, rate and leads are kept here."""
        self._roll(snapshot, now)
        mode = self.settings.mode
        if mode not in (Mode.PROGRESSIVE, Mode.PREDICTIVE):
            return self._none(snapshot, "mode")
        in_flight = self._in_flight()
        if snapshot.ready + self._busy == 0:
            return self._none(snapshot, "agents")
        cap, limit = self._cap(snapshot, in_flight)
        if cap <= 0:
            return self._none(snapshot, limit)
        free = snapshot.ready - snapshot.reserved - snapshot.inbound_waiting
        one_to_one = free - in_flight - math.ceil(snapshot.others_expected)
        if mode is Mode.PROGRESSIVE or self.target <= 0.0:
            return self._plain(snapshot, one_to_one, cap, limit, "one_to_one")
        if self._answer_rate.mature_calls < CAUTIOUS_CALLS:
            return self._plain(snapshot, one_to_one, cap, limit, "cautious_start")
        return self._predict(snapshot, now, free, one_to_one, cap, limit)

    def _roll(self, snapshot: ev.PacingSnapshot, now: float) -> None:
        """Bring the aggregates to `now`: ages, rates, tables that are due."""
        self._hour = snapshot.hour
        self._placed.advance(now)
        self._judged.advance(now)
        if self._first_at is None:
            self._first_at, self._last_at = now, now
        passed, self._last_at = now - self._last_at, now
        keep = math.exp(-passed / 900.0)
        self._live_weight *= keep
        self._live_time_s = self._live_time_s * keep + passed
        if now - self._agents_at >= 30.0:
            self._refresh_agents(now)
        if now - self._rate_at >= 1.0:
            self._refresh_rates(now)
        stale = abs(self._answer_rate.value - self._table_rate) > 0.02 * self._table_rate
        if now - self._calls_at >= (1.0 if stale else 10.0):
            self._refresh_calls(now)

    def _refresh_rates(self, now: float) -> None:
        self._rate_at = now
        mature = self.settings.ring_timeout_s + 6.0
        self._answer_rate.refresh(now, self._answer_cdf, mature)
        if self.settings.amd:
            self._human_rate.refresh(now, self._detection_cdf, 10.0)
        if len(self._calls) > 50 + 4 * (self._placed.total + self._judged.total + self._waiting):
            self._calls = {k: c for k, c in self._calls.items() if now - c.started_at < CALL_BINS * CALL_BIN_S}

    def _refresh_calls(self, now: float) -> None:
        self._calls_at = now
        detection = self._detection_delay.density() if self.settings.amd else None
        human = self._human_rate.value if self.settings.amd else 1.0
        answered, other = self._answer_delay.density(), self._other_delay.density()
        self._answer_cdf = np.cumsum(answered).tolist()
        if detection is not None:
            self._detection_cdf = np.cumsum(detection).tolist()
        p = self._table_rate = self._answer_rate.value
        self._call_table, self._judge_table = call_tables(p, answered, other, human, detection, self._horizons)
        self._first = self._call_table[0].copy()
        self._call_powers = _powers(self._call_table)
        self._judge_powers = _powers(self._judge_table)
        self._calls_version += 1

    def _refresh_agents(self, now: float) -> None:
        self._agents_at = now
        need = self._answer_delay.density()
        if self.settings.amd:
            need = np.convolve(need, self._detection_delay.density())[:CALL_BINS]
        cdf = np.cumsum(need) / need.sum()
        self._horizons = [max(1.0, CALL_BIN_S * float(np.searchsorted(cdf, q) + 1)) for q in HORIZON_QUANTILES]
        credit = max(0.0, self.settings.connect_deadline_s - 0.5)
        used = self._state[: len(self._slots)]
        going = now - self._since[: len(self._slots)]
        talk = self._talk.survival(going[used == TALKING])
        wrap = self._wrap.survival(going[used == WRAP])
        steps = np.arange(len(wrap))
        index = np.minimum((steps[None, :] / WRAP_CLASSES[:, None]).astype(np.intp), len(wrap) - 1)
        wraps = wrap[index]
        if self.settings.wrap_up_limit_s is not None:
            wraps[:, int(self.settings.wrap_up_limit_s * 2) :] = 1e-6
        stay = self._stays[0] / self._stays[1]
        talking, wrapping = agent_tables(talk, wraps, TALK_CLASSES, stay, [h + credit for h in self._horizons])
        count = len(self._horizons)
        self._talk_table = talking.reshape(-1, count)
        self._wrap_table = np.tile(wrapping, (len(TALK_CLASSES), 1, 1)).reshape(-1, count)
        self._agents_version += 1
        self._refresh_calls(now)

    def _in_flight(self) -> int:
        return self._placed.total + self._judged.total + self._waiting

    def _cap(self, snapshot: ev.PacingSnapshot, in_flight: int) -> tuple[int, str]:
        """The most that limits other than risk allow, and which one it is."""
        caps = (
            (snapshot.leads, "leads"),
            (min(snapshot.lines_free, self.settings.line_limit - in_flight - self._talking), "lines"),
            (int(snapshot.cps_tokens), "cps"),
        )
        return min(caps)

    def _plain(self, snapshot: ev.PacingSnapshot, count: int, cap: int, limit: str, why: str) -> Decision:
        if count >= cap:
            return Decision(max(0, cap), limit, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))
        return Decision(max(0, count), why, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))

    def _none(self, snapshot: ev.PacingSnapshot, limit: str) -> Decision:
        return Decision(0, limit, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))

    def _predict(
        self, snapshot: ev.PacingSnapshot, now: float, free: int, one_to_one: int, cap: int, limit: str
    ) -> Decision:
        room = self._room_now(snapshot, now)
        relative = room.share / self.target
        accepted, why = self._threshold.value * relative**ROOM_POWER, "risk"
        if room.calls < 1.0:
            accepted, why = accepted * 0.02, "abandonment_room"
        elif room.calls < 2.0:
            accepted, why = accepted * EASE, "abandonment_room"
        elif relative < 0.35:
            why = "abandonment_room"
        waiting = max(self._waiting, snapshot.waiting)
        risk_model, expected_free, expected = self._risk(now, free - waiting, snapshot.others_expected)
        count, risk = 0, risk_model.now()
        shown = risk
        while count < cap and (risk <= accepted or count < one_to_one):
            risk_model.add()
            count += 1
            shown, risk = risk, risk_model.now()
        if count >= cap:
            why = limit
        return Decision(count, why, self._figures(snapshot, expected_free, expected, shown, accepted, room))

    def _room_now(self, snapshot: ev.PacingSnapshot, now: float) -> Room:
        """The ledger's room, asked once a second and after each live answer."""
        key = (self._lives, int(now))
        if key != self._room_key:
            self._room_key = key
            left, day_left = snapshot.hour_left_s, snapshot.day_left_s
            rate = self._live_rate()
            self._room = self.ledger.room(snapshot.hour, left, day_left, rate, self.target, kappa=KAPPA, boost=BOOST)
            self._share = self._room.share
        return self._room

    def _live_rate(self) -> float:
        """Live answers per second of late; at the start what the team could take."""
        staffed = int(np.count_nonzero(self._state))
        guess = 0.75 * staffed / (self._talk.mean_s + self._wrap.mean_s)
        return (self._live_weight + 200.0 * guess) / (self._live_time_s + 200.0)

    def _risk(self, now: float, margin: int, others: float) -> tuple[ExactRisk | NormalRisk, float, float]:
        """The risk model of this instant, agents expected free and answers expected at the median horizon.

        Both sides are kept between decisions: they change when something happens, and as ages step to the next bin.
        """
        busy = self._busy
        exact = busy + self._placed.total + self._judged.total <= EXACT_ITEMS
        agents_key = (self._agents_version, int(now), exact)
        if agents_key != self._agents_key:
            self._agents_key = agents_key
            self._free_side = self._frees(now, exact)
        calls_key = (self._calls_version, int(now / CALL_BIN_S), exact)
        if calls_key != self._calls_key:
            self._calls_key = calls_key
            self._need_side = self._needs(exact)
        free, need = self._free_side, self._need_side
        if exact:
            return ExactRisk(need[0], free[0], self._first, others, margin), free[1], need[1]
        return NormalRisk(need[0], free[0], self._first, others, margin), free[1], need[1]

    def _frees(self, now: float, exact: bool) -> tuple[Any, float]:
        used = len(self._slots)
        state = self._state[:used]
        ages = np.minimum(now - self._since[:used], AGENT_AGE_MAX_S - 1).astype(np.intp)
        rows = self._class[:used] * AGE_BINS + AGE_LUT[np.maximum(ages, 0)]
        frees = np.concatenate((self._talk_table[rows[state == TALKING]], self._wrap_table[rows[state == WRAP]]))
        middle = len(self._horizons) // 2
        expected = float(frees[:, middle].sum())
        if exact:
            return transform(None, frees, len(self._horizons)), expected
        squares = frees * frees
        return (frees.sum(axis=0), squares.sum(axis=0), (squares * frees).sum(axis=0)), expected

    def _needs(self, exact: bool) -> tuple[Any, float]:
        count = len(self._horizons)
        middle = count // 2
        if not exact:
            sums = self._placed.by_age() @ self._call_powers
            if self._judged.total:
                sums = sums + self._judged.by_age() @ self._judge_powers
            return (sums[:count], sums[count : 2 * count], sums[2 * count :]), float(sums[middle])
        parts = []
        for ages, table in ((self._placed, self._call_table), (self._judged, self._judge_table)):
            if ages.total:
                counts = ages.by_age()
                index = counts.nonzero()[0]
                parts.append(table[index.repeat(counts[index].astype(np.intp))])
        if not parts:
            return transform(None, None, count), 0.0
        needs = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return transform(needs, None, count), float(needs[:, middle].sum())

    def _figures(
        self,
        snapshot: ev.PacingSnapshot,
        expected_free: float,
        expected: float,
        risk: float,
        accepted: float,
        room: Room | None,
    ) -> Figures:
        return Figures(
            snapshot.ready,
            expected_free,
            self._in_flight(),
            expected,
            self._answer_rate.value,
            risk,
            accepted,
            room.abandoned if room else 0,
            room.allowed if room else 0,
            room.window if room else "",
        )

    # ---- over restarts

    def ledger_rows(self) -> list[LedgerRow]:
        return self.ledger.rows()

    def load_ledger(self, rows: Iterable[LedgerRow]) -> None:
        self.ledger.load(rows)


def _powers(table: Array) -> Array:
    """p, p^2, p^3 side by side: one product with the counts by age gives the sums that cumulants need."""
    squares = table * table
    return np.concatenate((table, squares, squares * table), axis=1)


_HANDLERS: dict[type, Callable[[PacingPolicy, Any], None]] = {
    ev.CallPlaced: PacingPolicy._on_placed,
    ev.CallAnswered: PacingPolicy._on_answered,
    ev.AmdVerdict: PacingPolicy._on_verdict,
    ev.NeedAgent: PacingPolicy._on_need,
    ev.Connected: PacingPolicy._on_connected,
    ev.Abandoned: PacingPolicy._on_abandoned,
    ev.CallEnded: PacingPolicy._on_ended,
    ev.AmdFalsePositive: PacingPolicy._on_false_positive,
    ev.AgentReady: PacingPolicy._on_ready,
    ev.AgentTalking: PacingPolicy._on_talking,
    ev.AgentWrapUp: PacingPolicy._on_wrap_up,
    ev.AgentLeft: PacingPolicy._on_left,
}
