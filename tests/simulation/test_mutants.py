"""Mutants of calls, lines, agents and facts (tests.simulation.mutants); those that any crowded campaign shows are in
test_chaos.py, those of the law and of two parties in files of their own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import count
from uuid import UUID

from daemon.calls import events as ev
from daemon.calls.actions import OriginateCustomer
from daemon.calls.facts import NumberedFact
from daemon.calls.states import CallState
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk
from daemon.store.journal import Journal
from daemon.store.memory import MemoryStore
from daemon.store.memory_facts import FactApplier
from simulation.loop import VirtualClock, VirtualLoop, run
from simulation.schedule import StoreFaults
from simulation.world import World, pbx
from tests.simulation.mutants import (
    CROWD,
    Cases,
    Mutant,
    Patch,
    Scenario,
    campaign_of,
    each_mutant,
    each_scenario,
    is_caught,
    judge,
)

# ---- nothing fails ---------------------------------------------------------------------------------------------------


async def _calm(loop: VirtualLoop) -> list[str]:
    """A campaign on lines that are always full."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    campaign = await campaign_of(world)
    await asyncio.sleep(150.0)
    return await judge(world, campaign, calm=True)


def _response_awaited_before_hangup(patch: Patch) -> None:
    """The end of a leg is not taken while its originate is believed to be under way."""
    original = CallFlow.on_event

    def on_event(self: CallFlow, call: Call, event: ev.LegEvent) -> None:
        if not (isinstance(event, ev.LegHungUp) and call.state in (CallState.DIALLING, CallState.RINGING)):
            original(self, call, event)

    patch.setattr(CallFlow, "on_event", on_event)


def _lease_freed_early_on_ring_timeout(patch: Patch) -> None:
    """A line counts as free when our own ring timer says so, not when the PBX does."""
    original = CallFlow.dial

    def dial(self: CallFlow, call: Call) -> None:
        original(self, call)
        early_s = call.ring_timeout_s - 2.0
        asyncio.get_running_loop().call_later(early_s, self._live.pool.give_back, call.line_id, call.attempt_id)

    patch.setattr(CallFlow, "dial", dial)


def _agent_freed_on_the_wrong_call(patch: Patch) -> None:
    """The end of any call frees whichever agent has talked for longest."""
    original = Desks.call_over

    def call_over(self: Desks, desk: Desk, call: Call) -> None:
        busy = [d for d in self._live.desks.values() if d.state == "on_call"]
        wrong = min(busy, key=lambda d: d.since_at, default=desk)
        assert wrong.call is not None
        original(self, wrong, wrong.call)

    patch.setattr(Desks, "call_over", call_over)


def _facts_out_of_order(patch: Patch) -> None:
    """A batch of facts reaches the store back to front."""
    original = FactApplier.apply

    def apply(self: FactApplier, facts: Sequence[NumberedFact]) -> None:
        self._t.marks.clear()
        original(self, list(facts)[::-1])
        for fact in list(facts)[::-1]:
            self._t.marks.clear()
            original(self, [fact])

    patch.setattr(FactApplier, "apply", apply)


def _facts_overtaken(patch: Patch) -> None:
    """The newest of a batch goes first; what it overtakes is below the mark and passed over."""
    original = Journal.pending

    def pending(self: Journal, limit: int | None = None) -> Sequence[NumberedFact]:
        return list(original(self, limit))[::-1]

    patch.setattr(Journal, "pending", pending)


def _an_event_that_breaks_the_engine(patch: Patch) -> None:
    """One end of a leg in thirty is too much for it: the call is closed, its campaign suspended, all else goes on."""
    original, ends = CallFlow.on_event, count(1)

    def on_event(self: CallFlow, call: Call, event: ev.LegEvent) -> None:
        if isinstance(event, ev.LegHungUp) and next(ends) % 30 == 0:
            raise KeyError("a table that lacks the call")
        original(self, call, event)

    patch.setattr(CallFlow, "on_event", on_event)


# ---- a database that fails around its commits ------------------------------------------------------------------------


async def _failing_commits(loop: VirtualLoop) -> list[str]:
    """Every now and then an answer of the database is lost after the commit."""
    faults = StoreFaults(random.Random(3))
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD), store=MemoryStore(VirtualClock(loop), faults=faults))
    campaign = await campaign_of(world)
    for _ in range(12):
        await asyncio.sleep(10.0)
        faults.after_ops.update(commit_intents=1, apply_facts=1)
    await asyncio.sleep(20.0)
    faults.clear()
    return await judge(world, campaign)


def _intent_retried_after_timeout(patch: Patch) -> None:
    """A commit whose answer was lost is asked again, as if it had not happened."""

    def in_doubt(self: CallFlow, asked: tuple[UUID, ...]) -> None:
        for id in asked:
            call = self._live.calls.get(id)
            if call is not None and call.state is CallState.INTENDED:
                self.open(
                    kind=call.kind, e164=call.e164, group_id=call.group_id, client_id=call.client_id,
                    campaign=call.campaign, lead=call.lead, line_id=call.line_id, trunk=call.trunk,
                    caller_id=call.caller_id, desk=call.desk, rule_set=call.rule_set,
                )  # fmt: skip
                self._live.calls.pop(id)

    patch.setattr(CallFlow, "intents_in_doubt", in_doubt)


def _journal_replayed_twice(patch: Patch) -> None:
    """Facts that the store has already are applied once more."""
    original = FactApplier.apply

    def apply(self: FactApplier, facts: Sequence[NumberedFact]) -> None:
        for fact in facts:
            self._t.marks.pop((fact.site, fact.fence), None)
            original(self, [fact])

    patch.setattr(FactApplier, "apply", apply)


# ---- a link that loses actions ---------------------------------------------------------------------------------------


async def _lost_answers(loop: VirtualLoop) -> list[str]:
    """Originates are carried out, but the PBX's answers are lost with the connection."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    campaign = await campaign_of(world)
    for _ in range(10):
        await asyncio.sleep(12.0)
        world.fake.faults.lose_next_response(2)
    world.fake.faults.clear()
    await asyncio.sleep(30.0)
    return await judge(world, campaign)


def _in_doubt_redialled(patch: Patch) -> None:
    """An originate without an answer is sent again once the link is back."""
    original = CallFlow.on_event

    def on_event(self: CallFlow, call: Call, event: ev.LegEvent) -> None:
        if isinstance(event, ev.ActionInDoubt) and call.state in (CallState.DIALLING, CallState.RINGING):
            again = OriginateCustomer(
                leg=call.leg, number="0" + call.e164[3:], trunk=call.trunk, caller_id="", ring_timeout_s=15.0,
                hold_s=5.0, account="", amd=False, safe_message="", agent_leg="",
            )  # fmt: skip
            self._live.timers.set(("again", call.attempt_id), self._live.now + 5.0)
            asyncio.get_running_loop().call_later(5.0, self._live.out.actions.append, again)
        original(self, call, event)

    patch.setattr(CallFlow, "on_event", on_event)


CASES: Cases = {
    _calm: {
        _response_awaited_before_hangup: "RELY-02",
        _lease_freed_early_on_ring_timeout: "RELY-03",
        _agent_freed_on_the_wrong_call: "RELY-03",
        _facts_out_of_order: "RELY-05",
        _facts_overtaken: "RELY-02",
        _an_event_that_breaks_the_engine: "RELY-03",
    },
    _failing_commits: {
        _intent_retried_after_timeout: "RELY-02",
        _journal_replayed_twice: "RELY-05",
    },
    _lost_answers: {
        _in_doubt_redialled: "RELY-01",
    },
}


@each_scenario(CASES)
def test_unharmed(scenario: Scenario) -> None:
    assert run(scenario, seed=8) == []


@each_mutant(CASES)
def test_mutant_is_caught(scenario: Scenario, mutant: Mutant, rule: str, monkeypatch: Patch) -> None:
    is_caught(scenario, mutant, rule, monkeypatch)
