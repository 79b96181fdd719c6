"""Which number is presented: one of the campaign's own DIDs, the nearest to the callee, then the least used.

Whether a DID may be shown at all is the rule set's word (daemon.compliance), asked when the campaign is activated. A
number that people no longer answer rests for a while, if others are answered: it has most likely been marked as spam.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from daemon.calls.records import CallerIdNumber, Campaign

AREA_CHARS = 6
"""What tells an area in E.164: "+33162". Digits behind it are a subscriber's, and equal ones are chance."""

RESULTS_KEPT = 200
"""Calls a number's answer rate is taken over at most: about a day of one number in rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When a number rests: after at least `calls_min` calls, answered less than `ratio_min` times as often as the
    group's others, for `rest_s` seconds. `ratio_min` 0: never."""

    calls_min: int = 50
    ratio_min: float = 0.5
    rest_s: float = 86_400.0


@dataclass(slots=True)
class CallerIdState:
    """A DID live; `used_today` counts calls of `day`. `results`: whether its last calls were answered.
    `rests_until_at`: monotonic, 0 = awake."""

    record: CallerIdNumber
    used_today: int = 0
    used: int = 0
    day: date | None = None
    rests_until_at: float = 0.0
    results: deque[bool] = field(default_factory=lambda: deque(maxlen=RESULTS_KEPT))

    def recall(self, day: date, answered: bool | None) -> None:
        """A call of before, the oldest first; `answered` None if it tells nothing of the number."""
        if self.day != day:
            self.day, self.used_today = day, 0
        self.used_today += 1
        self.used += 1
        if answered is not None:
            self.results.append(answered)

    def answer_rate(self) -> float | None:
        """Answered calls over calls that reached the network; None before the first."""
        return sum(self.results) / len(self.results) if self.results else None


class CallerIds:
    """All DIDs of a site's groups."""

    def __init__(self, health: Health | None = None) -> None:
        self.numbers: dict[int, CallerIdState] = {}
        self.health = health or Health()

    def set(self, record: CallerIdNumber) -> None:
        """Add a DID or change its record."""
        state = self.numbers.get(record.id)
        if state is None:
            self.numbers[record.id] = CallerIdState(record)
        else:
            state.record = record

    def remove(self, id: int) -> None:
        """Forget a DID."""
        self.numbers.pop(id, None)

    def of(self, campaign: Campaign) -> list[CallerIdState]:
        """The DIDs a campaign may show: those it names and those of the pool it names, each once, by id."""
        ids = set(campaign.caller_id_ids)
        pool, group = campaign.caller_id_pool, campaign.group_id
        return [
            state
            for id, state in sorted(self.numbers.items())
            if id in ids or (pool and state.record.pool == pool and state.record.group_id == group)
        ]

    def choose(self, campaign: Campaign, e164: str, today: date, now: float) -> str | None:
        """The DID to present to `e164`; "" if the campaign names none; None if none of those it names is free: off,
        resting or at its daily cap."""
        if not campaign.caller_id_ids and not campaign.caller_id_pool:
            return ""
        free = []
        for state in self.of(campaign):
            if not state.record.enabled or now < state.rests_until_at:
                continue
            if state.day != today:
                state.day, state.used_today = today, 0
            if not state.record.daily_cap or state.used_today < state.record.daily_cap:
                free.append(state)
        if not free:
            return None
        best = min(free, key=lambda s: (-_shared(s.record.e164, e164), s.used_today, s.used, s.record.id))
        best.used_today += 1
        best.used += 1
        return best.record.e164

    def result(self, e164: str, answered: bool, now: float) -> CallerIdState | None:
        """A call that showed `e164` reached the network. Returns the number if this sends it to rest.

        It is held against the other numbers of its group that have called often enough; the last one awake never rests.
        """
        state = next((s for s in self.numbers.values() if s.record.e164 == e164), None)
        if state is None:
            return None
        state.results.append(answered)
        health = self.health
        if len(state.results) < health.calls_min or now < state.rests_until_at:
            return None
        others = [
            other
            for other in self._awake(state.record.group_id, now)
            if other is not state and len(other.results) >= health.calls_min
        ]
        calls = sum(len(other.results) for other in others)
        answered_by_others = sum(sum(other.results) for other in others)
        rate = state.answer_rate() or 0.0
        if not calls or rate >= health.ratio_min * answered_by_others / calls:
            return None
        state.rests_until_at = now + health.rest_s
        state.results.clear()  # after its rest it is judged by new calls alone
        return state

    def forget(self) -> None:
        """All that was learnt; the numbers stay."""
        for state in self.numbers.values():
            state.used_today, state.used, state.day, state.rests_until_at = 0, 0, None, 0.0
            state.results.clear()

    def wake(self, id: int, now: float) -> bool:
        """Whether the number's rest is over (or the number gone)."""
        state = self.numbers.get(id)
        return state is None or now >= state.rests_until_at

    def _awake(self, group_id: int, now: float) -> Sequence[CallerIdState]:
        return [
            state
            for state in self.numbers.values()
            if state.record.group_id == group_id and state.record.enabled and now >= state.rests_until_at
        ]


def _shared(one: str, other: str) -> int:
    """Length of the prefix two numbers share, as far as areas go: the nearer the number, the likelier the answer."""
    count = 0
    for a, b in zip(one[:AREA_CHARS], other[:AREA_CHARS], strict=False):
        if a != b:
            break
        count += 1
    return count
