"""A call centre in simulated time: a heap of events, one shift, one dialer to judge.

People talk in two ways (a short refusal, a longer conversation), agents differ in speed, wrap-up follows the kind of
conversation; customers without an agent leave after 2 s, some before. What a dialer is told is what a daemon knows.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from typing import Protocol

from simulation.shift import Agent, Result, Scenario

SHIFT_S = 4 * 3600.0
CONNECT_DEADLINE_S = 2.0
COALESCE_S, TICK_S = 0.05, 0.25
AGENT_TALK_SIGMA, AGENT_WRAP_SIGMA = 0.15, 0.30
FALSE_POSITIVES, FALSE_NEGATIVES = 0.03, 0.08
MACHINE_TALK_S, MACHINE_WRAP_S = 6.0, 4.0


class Dialer(Protocol):
    """What is compared. `told` follows events (see `CallCentre.tell`), `count` answers how many calls to place now."""

    def told(self, kind: str, at: float, call: int, agent: int) -> None: ...

    def count(self, centre: CallCentre, now: float) -> int: ...


class CallCentre:
    """Runs one scenario with one seed under one dialer."""

    def __init__(self, scenario: Scenario, seed: int, dialer: Dialer, shift_s: float = SHIFT_S) -> None:
        self.scenario, self.dialer, self.shift_s = scenario, dialer, shift_s
        self.chance = random.Random(f"{scenario.name}/{seed}/calls")
        self.heap: list[tuple[float, int, str, int, int]] = []
        self.sequence = 0
        self.now = 0.0
        self.ready: deque[int] = deque()
        self.waiting: deque[int] = deque()
        self.human: dict[int, bool] = {}
        self.in_flight = 0
        self.talking = 0
        self.lines_used = 0
        self.calls = 0
        self.tokens = 1.0
        self.tokens_at = 0.0
        self.last_decision = -1.0
        self.decision_due = math.inf
        self.result = Result(scenario.name, seed, hours=[[0, 0] for _ in range(math.ceil(shift_s / 3600))])
        people = random.Random(f"{scenario.name}/{seed}/people")
        self.agents = [
            Agent(
                number,
                random.Random(f"{scenario.name}/{seed}/agent {number}"),
                math.exp(people.gauss(0, AGENT_TALK_SIGMA)),
                math.exp(people.gauss(0, AGENT_WRAP_SIGMA)),
            )
            for number in range(scenario.agents)
        ]
        for agent in self.agents:
            self.push(people.uniform(0, 60.0), "ready", -1, agent.number)
        if scenario.walkout:
            self.push(scenario.walkout[0] * 3600, "walkout", -1, -1)

    def push(self, at: float, kind: str, call: int, agent: int) -> None:
        self.sequence += 1
        heapq.heappush(self.heap, (at, self.sequence, kind, call, agent))

    def tell(self, kind: str, call: int = -1, agent: int = -1) -> None:
        """Of calls: placed, answered, verdict_human, verdict_machine, need, connected, abandoned, ended, machine (an
        agent says that it is one). Of agents: ready, wrap, left."""
        self.dialer.told(kind, self.now, call, agent)

    # ---- the run

    def run(self) -> Result:
        self.push(0.0, "decide", -1, -1)
        self.decision_due = 0.0
        while self.heap:
            at, _, kind, call, agent = heapq.heappop(self.heap)
            if at > self.shift_s + 90.0:
                break
            self.now = at
            if kind == "decide":
                if at == self.decision_due:
                    self._decide()
                continue
            getattr(self, "_" + kind)(call, agent)
            self._wake()
        self._close()
        return self.result

    def _wake(self) -> None:
        due = max(self.now, self.last_decision + COALESCE_S)
        if due < self.decision_due:
            self.decision_due = due
            self.push(due, "decide", -1, -1)

    def _decide(self) -> None:
        self.last_decision = self.now
        self.decision_due = self.now + TICK_S
        if self.now >= self.shift_s:
            self.decision_due = math.inf
            return
        self.push(self.decision_due, "decide", -1, -1)
        scenario = self.scenario
        self.tokens = min(max(1.0, scenario.cps), self.tokens + scenario.cps * (self.now - self.tokens_at))
        self.tokens_at = self.now
        self.result.decisions += 1
        wanted = self.dialer.count(self, self.now)
        for _ in range(min(wanted, self.lines_free, int(self.tokens))):
            self._place()

    @property
    def lines_free(self) -> int:
        return self.scenario.lines - self.lines_used

    def _place(self) -> None:
        call = self.calls
        self.calls += 1
        self.tokens -= 1.0
        self.lines_used += 1
        self.result.peak_lines = max(self.result.peak_lines, self.lines_used)
        self.in_flight += 1
        self.tell("placed", call)
        self._dial(call)

    def _dial(self, call: int) -> None:
        """Decide how this call fares until it is answered or given up."""
        chance, scenario = self.chance, self.scenario
        setup = 0.8 + min(6.0, chance.expovariate(1.0))
        if chance.random() < scenario.answer_rate(self.now):
            ring = scenario.ring_timeout_s + 1
            while ring > scenario.ring_timeout_s:
                ring = 7.5 * math.exp(chance.gauss(0, 0.5))
            self.push(self.now + setup + ring, "answered", call, -1)
        elif chance.random() < scenario.quick_share:
            self.push(self.now + setup + chance.uniform(0.2, 1.5), "ended", call, -1)
        else:
            self.push(self.now + setup + scenario.ring_timeout_s, "ended", call, -1)

    def _patience_s(self, call: int) -> float:
        """How long this person waits for an agent at most."""
        return self.chance.expovariate(1 / 15.0)

    def _work_s(self, agent: Agent, call: int) -> tuple[float, float]:
        """Lengths of this conversation and of the wrap-up after it."""
        return agent.draw(self.scenario)

    # ---- calls

    def _answered(self, call: int, agent: int) -> None:
        self.tell("answered", call)
        if self.scenario.machines <= 0.0:
            self.human[call] = True
            self._need(call, -1)
            return
        human = self.chance.random() >= self.scenario.machines
        self.human[call] = human
        taken_for_human = self.chance.random() >= (FALSE_POSITIVES if human else 1 - FALSE_NEGATIVES)
        delay = min(6.0, (2.2 if human else 3.0) * math.exp(self.chance.gauss(0, 0.35)))
        self.push(self.now + delay, "verdict", call, int(taken_for_human))

    def _verdict(self, call: int, taken_for_human: int) -> None:
        if taken_for_human:
            self.tell("verdict_human", call)
            self._need(call, -1)
            return
        self.result.false_positives += self.human.pop(call)
        self.tell("verdict_machine", call)
        self._ended(call, -1)

    def _ended(self, call: int, agent: int) -> None:
        self.in_flight -= 1
        self.lines_used -= 1
        self.tell("ended", call)

    def _need(self, call: int, agent: int) -> None:
        self.tell("need", call)
        self.waiting.append(call)
        if self.ready:
            self._connect()
            return
        self.push(self.now + min(CONNECT_DEADLINE_S, self._patience_s(call)), "gone", call, -1)

    def _gone(self, call: int, agent: int) -> None:
        if call not in self.waiting:
            return
        self.waiting.remove(call)
        self.in_flight -= 1
        self.lines_used -= 1
        self.tell("abandoned", call)
        self._count(call, 1)

    def _count(self, call: int, column: int) -> None:
        if self.human.pop(call):
            self.result.hours[min(len(self.result.hours) - 1, int(self.now // 3600))][column] += 1
            if column == 1:
                self.result.abandoned += 1
            elif self.now < self.shift_s:
                self.result.connects += 1

    def _connect(self) -> None:
        agent = self.agents[self.ready.popleft()]
        call = self.waiting.popleft()
        human = self.human[call]
        self.in_flight -= 1
        self._leave_state(agent)
        agent.state = "talking"
        self.talking += 1
        self.tell("connected", call, agent.number)
        self._count(call, 0)
        if human:
            agent.work = self._work_s(agent, call)
            agent.done.append(sum(agent.work))
        else:
            agent.work = (MACHINE_TALK_S, MACHINE_WRAP_S)
            agent.machine_s += sum(agent.work)
        self.push(self.now + agent.work[0], "hangup", call, agent.number)

    # ---- agents

    def _leave_state(self, agent: Agent) -> None:
        until, since = min(self.now, self.shift_s), min(agent.since, self.shift_s)
        if agent.state != "off":
            agent.staffed_s += until - since
        if agent.state in ("talking", "wrap"):
            agent.busy_s += until - since
        agent.since = self.now

    def _hangup(self, call: int, number: int) -> None:
        agent = self.agents[number]
        self._leave_state(agent)
        agent.state = "wrap"
        self.talking -= 1
        self.lines_used -= 1
        self.tell("wrap", call, number)
        if agent.work == (MACHINE_TALK_S, MACHINE_WRAP_S):
            self.tell("machine", call, number)
        self.push(self.now + agent.work[1], "wrapped", -1, number)

    def _wrapped(self, call: int, number: int) -> None:
        agent, scenario = self.agents[number], self.scenario
        if agent.returns_at > self.now:
            self._off(agent, agent.returns_at)
        elif scenario.break_every_s and agent.chance.random() < sum(agent.work) / scenario.break_every_s:
            self._off(agent, self.now + agent.chance.uniform(0.5, 1.5) * scenario.break_s)
        else:
            self._ready(-1, number)

    def _off(self, agent: Agent, until: float) -> None:
        self._leave_state(agent)
        agent.state = "off"
        self.tell("left", agent=agent.number)
        self.push(until, "ready", -1, agent.number)

    def _ready(self, call: int, number: int) -> None:
        agent = self.agents[number]
        self._leave_state(agent)
        agent.state = "ready"
        self.ready.append(number)
        self.tell("ready", agent=number)
        if self.waiting:
            self._connect()

    def _walkout(self, call: int, number: int) -> None:
        """A share of the team pauses: those ready at once, the others after their wrap-up."""
        assert self.scenario.walkout is not None
        _, share, minutes = self.scenario.walkout
        for agent in self.agents[: round(share * len(self.agents))]:
            agent.returns_at = self.now + minutes * 60
            if agent.state == "ready":
                self.ready.remove(agent.number)
                self._off(agent, agent.returns_at)

    # ---- the bound

    def _close(self) -> None:
        self.now = max(self.now, self.shift_s)
        for agent in self.agents:
            self._leave_state(agent)
        self.result.placed = self.calls
        self.result.oracle = min(sum(self._without_idling(a) for a in self.agents), self._lines_allow())

    def _without_idling(self, agent: Agent) -> int:
        """Conversations begun in this agent's staffed time with no second idle: its own sequence, continued as needed.

        One cut by the end of the shift counts as one, as it does for the dialer that is judged.
        """
        left, count = agent.staffed_s - agent.machine_s, 0
        lengths = iter(agent.done)
        while left > 0:
            length = next(lengths, None) or sum(agent.draw(self.scenario))
            count += 1
            left -= length
        return count

    def _lines_allow(self) -> float:
        """Live connects that lines and call rate allow at best, by Little's law, minute by minute."""
        scenario = self.scenario
        if scenario.lines >= 1_000_000 and scenario.cps >= 1_000_000:
            return math.inf
        total = 0.0
        for minute in range(int(self.shift_s // 60)):
            p = scenario.answer_rate(minute * 60.0)
            held_unanswered = 1.8 + (1 - scenario.quick_share) * scenario.ring_timeout_s + scenario.quick_share * 0.85
            held = p * (1.8 + 8.2) + (1 - p) * held_unanswered
            live = p * (1 - scenario.machines)
            total += 60 * min(scenario.cps * live, scenario.lines / (scenario.talk_s + held / live))
        return total


__all__ = ["Agent", "CallCentre", "Dialer", "Result", "Scenario"]
