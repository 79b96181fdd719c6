"""A predictive campaign on a real Asterisk: people most of whom don't answer, and what each abandoned call must bear.

Used by test_predictive.py. Times are epoch seconds by the same machine's clock: the daemon's rows and Asterisk's own
event log can be laid side by side.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.asterisk import campaign as lab_campaign
from tests.asterisk import witness
from tests.asterisk.cadran import Cadran
from tests.asterisk.far_ends import Habit

TALKERS = {
    f"5{n}": Habit(rings_ms=rings, talks_ms=talks)
    for n, (rings, talks) in enumerate(
        [(1500, 9000), (2500, 24_000), (3500, 12_000), (4500, 30_000), (5500, 8000),
         (6500, 18_000), (7500, 10_000), (8500, 40_000), (3000, 15_000), (5000, 7000)]
    )
}  # fmt: skip
"""Persons: they ring for so long, and say goodbye so long after they answered (talk, or waiting for it)."""
OTHERS = {
    "60": Habit(refuses=(486, "Busy Here"), rings_ms=0),
    "61": Habit(rings_ms=None),
    "62": Habit(rings_ms=None),
    "63": Habit(refuses=(480, "Temporarily Unavailable"), rings_ms=4000),
}
HABITS = TALKERS | OTHERS
OUTCOMES = {name: {"connected", "abandoned"} for name in TALKERS} | {
    "60": {"busy"}, "61": {"no_answer"}, "62": {"no_answer"}, "63": {"no_answer"},
}  # fmt: skip
DEADLINE_S = 2.0
"""The rule set's: from the answer to hearing an agent."""
REACTION_S = 0.9
"""What the daemon and a busy Asterisk may take to see an agent free and to connect; the suite shares two cores."""


def write_leads(file: Path, count: int, answer_share: float, seed: int = 1) -> None:
    """A list of `count` people, `answer_share` of whom answer, in an order drawn from `seed`."""
    chance = random.Random(seed)
    answering = round(count * answer_share)
    habits = [sorted(TALKERS)[n % len(TALKERS)] for n in range(answering)]
    habits += [sorted(OTHERS)[n % len(OTHERS)] for n in range(count - answering)]
    chance.shuffle(habits)
    used: Counter[str] = Counter()
    numbers = []
    for habit in habits:
        block, person = divmod(used[habit], 100)
        used[habit] += 1
        numbers.append(f"0199{block:02}{habit}{person:02}")
    lab_campaign.write_numbers(file, numbers)


@dataclass
class Shift:
    """What the API and Asterisk say about one run."""

    evidence: lab_campaign.Evidence
    agents: int
    states: list[dict[str, Any]]
    """Agents' intervals (report agent_states)."""
    decisions: list[dict[str, Any]]
    """Sampled pacing decisions (report pacing)."""
    ledger: list[dict[str, Any]]
    _ready: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.states:
            if row["state"] == "ready":
                end = epoch(row["ended_at"]) if row["ended_at"] else float("inf")
                self._ready.setdefault(row["agent_id"], []).append((epoch(row["started_at"]), end))

    # ---- what must hold -----------------------------------------------------------------------------------------

    def double_booked(self) -> list[str]:
        """Agents who, by Asterisk's log, were in two conversations at once."""
        spans: dict[int, list[tuple[float, float]]] = {}
        for call in self.evidence.customers().values():
            for talk in call.conversations:
                spans.setdefault(talk.agent_id, []).append((talk.began, talk.ended or talk.began))
        found = []
        for agent, talks in sorted(spans.items()):
            talks.sort()
            for (_, end), (begin, _) in pairwise(talks):
                if begin < end:
                    found.append(f"agent {agent}: a conversation began {end - begin:.2f} s before the last had ended")
        return found

    def abandoned(self) -> list[dict[str, Any]]:
        return [attempt for attempt in self.evidence.attempts if attempt["outcome"] == "abandoned"]

    def connected(self) -> int:
        return sum(attempt["outcome"] == "connected" for attempt in self.evidence.attempts)

    def unexplained(self) -> list[str]:
        """Abandoned calls that the record does not account for."""
        return [f"{what}: {why}" for attempt in self.abandoned() for what, why in [self._account(attempt)] if why]

    def explanations(self) -> list[str]:
        """One line for each abandoned call."""
        return [self._account(attempt)[0] for attempt in self.abandoned()]

    def _account(self, attempt: dict[str, Any]) -> tuple[str, str]:
        """(what happened, what is wrong with it or "")."""
        call = self.evidence.calls.get(self.evidence.leg(attempt))
        what = f"attempt {attempt['number']}"
        if call is None or call.answered is None or call.ended is None:
            return what, "Asterisk saw no answer of it"
        if call.conversations:
            return what, f"Asterisk saw it talk with agent {call.conversations[0].agent_id}"
        left_s = call.ended - call.answered
        until = call.answered + min(DEADLINE_S, left_s)
        idle_s = self._idle_s(call.answered, until - REACTION_S)
        message = "Playback" in call.applications
        decision = self._decided(epoch(attempt["at"]))
        what += f": answered, {left_s:.1f} s, {'heard the message' if message else 'no message'}; {decision}"
        if left_s > DEADLINE_S + REACTION_S and not message:
            return what, "kept without an agent or a message"
        if idle_s > REACTION_S:
            return what, f"an agent was ready for {idle_s:.1f} s meanwhile"
        return what, "" if decision else "no decision to place it was stored"

    def _idle_s(self, start: float, end: float) -> float:
        """The longest that any one agent was ready within [start, end]."""
        spans = [(max(a, start), min(b, end)) for each in self._ready.values() for a, b in each]
        return max((b - a for a, b in spans if b > a), default=0.0)

    def _decided(self, placed_at: float) -> str:
        """The stored decision that placed the call, or the nearest before it: in words, with its age."""
        times = [epoch(row["at"]) for row in self.decisions]
        index = bisect_right(times, placed_at + 0.3) - 1
        if index < 0 or placed_at - times[index] > 5.0:
            return ""
        return str(self.decisions[index]["sentence"])

    # ---- figures ------------------------------------------------------------------------------------------------

    def rate(self) -> float:
        """Abandoned of live answers, 0..1."""
        lost = len(self.abandoned())
        return lost / max(1, lost + self.connected())

    def lawful(self) -> list[str]:
        """Clock hours over the ceiling (3 % and one call)."""
        return [
            f"{row['hour']}: {row['abandoned']} abandoned of {row['answered_live']}"
            for row in self.ledger
            if row["abandoned"] > 0.03 * row["answered_live"] + 1
        ]

    def occupancy(self) -> float:
        """Talk and wrap-up over these and ready, from the agents' intervals."""
        sums: dict[str, float] = defaultdict(float)
        for row in self.states:
            if row["ended_at"]:
                sums[row["state"]] += epoch(row["ended_at"]) - epoch(row["started_at"])
        busy = sums["on_call"] + sums["wrap_up"]
        return busy / max(1e-9, busy + sums["ready"] + sums["reserved"])

    def most_in_flight(self) -> int:
        """The most customers' channels at once, by Asterisk."""
        return max(witness.most_at_once(self.evidence.customers().values(), line) for line in self.evidence.lines)

    def summary(self, seconds: float) -> dict[str, Any]:
        """Figures of the run, for the result file."""
        return {
            "agents": self.agents,
            "attempts": len(self.evidence.attempts),
            "seconds": round(seconds),
            "connected": self.connected(),
            "abandoned": len(self.abandoned()),
            "abandoned_percent": round(100 * self.rate(), 2),
            "unexplained": len(self.unexplained()),
            "double_booked": len(self.double_booked()),
            "occupancy_percent": round(100 * self.occupancy(), 1),
            "most_calls_at_once_on_a_line": self.most_in_flight(),
            "outcomes": dict(sorted(Counter(attempt["outcome"] for attempt in self.evidence.attempts).items())),
            "decisions_stored": len(self.decisions),
            "abandoned_calls": self.explanations(),
        }


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def rows(cadran: Cadran, name: str, **query: str) -> Sequence[dict[str, Any]]:
    """A named report."""
    found: list[dict[str, Any]] = (await cadran.get(f"/api/v1/reports/{name}", **query))["rows"]
    return found


async def gather(cadran: Cadran, campaign: lab_campaign.Campaign, evidence: lab_campaign.Evidence) -> Shift:
    """The daemon's own record beside the evidence."""
    evidence.outcomes = OUTCOMES
    id = str(campaign.id)
    ended = Counter(attempt["outcome"] for attempt in evidence.attempts)

    async def booked() -> bool:
        """Whether the ledger has as many calls as the attempts; a row of it may be written after theirs."""
        hours = await rows(cadran, "abandonment", campaign_id=id)
        return all(sum(row[name] for row in hours) >= ended[name] for name in ("abandoned", "connected"))

    await lab_campaign.until(cadran, f"the ledger has {dict(ended)}", booked)
    return Shift(
        evidence,
        len(campaign.agents),
        list(await rows(cadran, "agent_states")),
        list(await rows(cadran, "pacing", campaign_id=id, language="en")),
        list(await rows(cadran, "abandonment", campaign_id=id)),
    )
