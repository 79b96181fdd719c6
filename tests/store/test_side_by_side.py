"""Both stores do the same: a state machine gives each step to both and compares every answer and the whole state.

A step is an operation with drawn arguments; PostgreSQL is emptied, not made anew, between runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact
from daemon.calls.ids import uuid7
from daemon.calls.lead_records import Intent, LeadDraft
from daemon.calls.records import LeadList, LeadOrder
from daemon.ports import ImportTarget, StagedLead
from daemon.store import PostgresStore
from tests.store.sides import NUMBERS, ZONES, Sides
from tests.store.world import SITE, START, FixedClock

REASONS = ["", "hours", "consent", "final", "min_gap"]
held = st.sampled_from([None, -60, 60, 3600])
some_lead = st.integers(0, 30)
outcomes = st.sampled_from([Outcome.CONNECTED, Outcome.BUSY, Outcome.UNKNOWN, Outcome.ABANDONED, Outcome.CONGESTION])


class SideBySide(Sides):
    """Give each step to memory and to PostgreSQL."""

    @rule(seconds=st.sampled_from([1, 60, 3600, 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds)
        self.take_over()

    @rule(
        place=st.integers(0, 1),
        drafts=st.lists(
            st.builds(
                LeadDraft,
                e164=st.sampled_from(NUMBERS),
                tz_group=st.sampled_from(ZONES),
                priority=st.sampled_from([1, 5, 9]),
                vendor_lead_code=st.sampled_from(["", "", "V1", "V2"]),
                consent_at=st.sampled_from([None, START]),
            ),
            min_size=1,
            max_size=4,
        ),
    )
    def add_leads(self, place: int, drafts: list[LeadDraft]) -> None:
        known = self._codes(place)
        fresh, seen = [], set[str]()
        for draft in drafts:  # ids run apart where PostgreSQL passes a code over: leave those out here
            if not draft.vendor_lead_code or draft.vendor_lead_code not in known | seen:
                fresh.append(draft)
                seen.add(draft.vendor_lead_code)
        self.ask("add_leads", self.lists[place].id, fresh)

    def _codes(self, place: int) -> set[str]:
        rows = self.run(self.stores[0].search_leads(self.group.id, {"list_id": self.lists[place].id}, 1000, None)).rows
        return {row["vendor_lead_code"] for row in rows}

    @rule(place=st.integers(0, 1), on=st.booleans())
    def switch_list(self, place: int, on: bool) -> None:
        self.ask("update", LeadList, self.lists[place].id, {"active": on}, None)

    @rule(place=st.integers(0, 1), count=st.integers(1, 5), zones=st.sampled_from([ZONES, ZONES[:1], ZONES[1:]]))
    def claim(self, place: int, count: int, zones: list[str]) -> None:
        now = self.clock.utcnow()
        self.ask("claim_leads", self.campaigns[place].id, count, now, zones, SITE, self.fence)

    @rule()
    def release_claims(self) -> None:
        self.ask("release_claims", SITE)

    @rule(
        e164=st.sampled_from(NUMBERS),
        lead=some_lead,
        client=st.integers(0, 1),
        most=st.sampled_from([0, 1, 3]),
        kind=st.sampled_from(["campaign", "campaign", "inbound"]),
    )
    def place_call(self, e164: str, lead: int, client: int, most: int, kind: str) -> None:
        self.place(e164, self.lead(lead), client, most, kind)

    def place(self, e164: str, lead_id: int, client: int, most: int, kind: str) -> None:
        intent = Intent(
            attempt_id=uuid7(self.clock.utcnow(), self.rng),
            site=SITE,
            kind=kind,
            group_id=self.group.id,
            campaign_id=self.campaigns[client].id,
            client_id=self.clients[client].id,
            lead_id=lead_id,
            e164=e164,
            line_id=1,
            caller_id="",
            agent_id=0,
            rule_set="r",
            attempts_max=most,
            attempts_days=30,
            at=self.clock.utcnow(),
        )
        first, second = (self.run(each.commit_intents([intent], self.lease)) for each in self.stores)
        assert first.keys() == second.keys()
        self.attempts.append((intent.attempt_id, intent.lead_id))

    @rule(count=st.integers(1, 4), place=st.integers(0, 1))
    def dial(self, count: int, place: int) -> None:
        """As the engine does: claim, then place."""
        now = self.clock.utcnow()
        for lead in self.ask("claim_leads", self.campaigns[place].id, count, now, ZONES, SITE, self.fence):
            self.place(lead.e164, lead.id, place, 0, "campaign")

    @rule(
        index=st.integers(0, 50),
        outcome=outcomes,
        counted=st.booleans(),
        until=held,
        reason=st.sampled_from(REASONS),
        place=st.sampled_from(["", "high", "low"]),
        old_fence=st.booleans(),
    )
    def end_call(
        self, index: int, outcome: Outcome, counted: bool, until: int | None, reason: str, place: str, old_fence: bool
    ) -> None:
        attempt, lead = self._pick(index)
        fact = f.AttemptEnded(
            at=self.clock.utcnow(),
            attempt_id=attempt,
            campaign_id=1,
            lead_id=lead,
            outcome=outcome,
            counted=counted,
            agent_id=index % 3,
            lead_eligible_at=self._until(until),
            lead_blocked_by=reason,
            lead_recycled=bool(place),
            lead_recycle_priority=place,
        )
        self.apply(fact, fence=max(1, self.fence - 1) if old_fence else None)

    @rule(index=st.integers(0, 50), outcome=outcomes)
    def learn_late(self, index: int, outcome: Outcome) -> None:
        attempt, _ = self._pick(index)
        self.apply(f.AttemptOutcomeKnown(at=self.clock.utcnow(), attempt_id=attempt, outcome=outcome))

    @rule(
        index=st.integers(0, 50),
        until=held,
        reason=st.sampled_from(REASONS),
        default=st.booleans(),
        refused=st.booleans(),
        back=held,
    )
    def dispose(
        self, index: int, until: int | None, reason: str, default: bool, refused: bool, back: int | None
    ) -> None:
        attempt, lead = self._pick(index)
        fact = f.DispositionSet(
            at=self.clock.utcnow(),
            attempt_id=attempt,
            campaign_id=1,
            lead_id=lead,
            client_id=1,
            agent_id=2,
            code=f"C{index}",
            by_default=default,
            refused=refused,
            callback_at=self._until(back),
            callback_agent_id=2 if back else 0,
            lead_recycled=index % 2 == 0,
            lead_recycle_priority=("", "high", "normal", "low")[index % 4],
            lead_eligible_at=self._until(until),
            lead_blocked_by=reason,
        )
        self.apply(fact)

    @rule(lead=some_lead, until=held, reason=st.sampled_from(REASONS), refusal=st.booleans(), old_fence=st.booleans())
    def give_back(self, lead: int, until: int | None, reason: str, refusal: bool, old_fence: bool) -> None:
        at, instant = self.clock.utcnow(), self._until(until)
        fact: AnyFact = f.LeadReleased(
            at=at, lead_id=self.lead(lead), campaign_id=1, eligible_at=instant, blocked_by=reason
        )
        if refusal:
            rule_name = reason or "hours"
            fact = f.RefusalFact(
                at=at,
                lead_id=self.lead(lead),
                campaign_id=1,
                client_id=1,
                rule=rule_name,
                clause="",
                rule_set="r",
                until=instant,
            )
        self.apply(fact, fence=max(1, self.fence - 1) if old_fence else None)

    @rule(lead=some_lead, client=st.integers(0, 1))
    def ask_not_to_be_called(self, lead: int, client: int) -> None:
        self.apply(f.DncAdded(at=self.clock.utcnow(), client_id=self.clients[client].id, lead_id=self.lead(lead)))

    @rule(agent=st.integers(1, 2), state=st.sampled_from(["ready", "paused", "on_call"]), old_fence=st.booleans())
    def agent_state(self, agent: int, state: str, old_fence: bool) -> None:
        fact = f.AgentStateSet(at=self.clock.utcnow(), agent_id=agent, state=state)
        self.apply(fact, fence=max(1, self.fence - 1) if old_fence else None)

    @rule(count=st.integers(1, 6))
    def replay(self, count: int) -> None:
        if self.applied:
            self.ask("apply_facts", self.applied[-count:])

    @rule(e164=st.sampled_from(NUMBERS), client=st.integers(0, 1), on=st.booleans())
    def red_list(self, e164: str, client: int, on: bool) -> None:
        self.ask("set_dnc", self.clients[client].id, e164, on, "me", "test")

    @rule(e164=st.sampled_from(NUMBERS), reason=st.sampled_from(REASONS))
    def free(self, e164: str, reason: str) -> None:
        if reason:
            self.ask("free_leads", self.group.id, e164, reason)

    @rule(e164s=st.lists(st.sampled_from(NUMBERS), unique=True), client=st.integers(0, 1))
    def red_list_import(self, e164s: list[str], client: int) -> None:
        self.ask("add_dnc", self.clients[client].id, e164s, "me", "file")

    @rule(e164=st.sampled_from(NUMBERS), client=st.integers(0, 1), revoke=st.booleans())
    def consent(self, e164: str, client: int, revoke: bool) -> None:
        if revoke:
            self.ask("revoke_consent", self.clients[client].id, e164, self.clock.utcnow())
        else:
            self.ask("add_consent", self.clients[client].id, e164, {"at": self.clock.utcnow(), "automated": True})

    @rule(lead=some_lead, change=st.sampled_from([{"priority": 9}, {"blocked_by": "final"}, {"tz_group": ZONES[1]}]))
    def edit_lead(self, lead: int, change: dict[str, Any]) -> None:
        self.ask("update_lead", self.lead(lead), change)

    @rule(
        policy=st.sampled_from(["skip", "replace", "merge"]),
        place=st.integers(0, 1),
        numbers=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3, unique=True),
    )
    def import_leads(self, policy: str, place: int, numbers: list[str]) -> None:
        target = ImportTarget(list_id=self.lists[place].id, group_id=self.group.id, duplicates=policy)
        rows = [
            StagedLead(row=i, root=i, draft=LeadDraft(e164=e164, last_name=f"N{i}", fields={"k": i}))
            for i, e164 in enumerate(numbers, start=1)
        ]
        answers = [self.run(self._import(store, target, rows)) for store in self.stores]
        assert answers[0] == answers[1]

    async def _import(self, store: Any, target: ImportTarget, rows: list[StagedLead]) -> Any:
        staging = await store.open_staging(target)
        await staging.stage(rows)
        return [match async for match in staging.matches()], await staging.finish(self.clock.utcnow())


@pytest.fixture
def machine(database: str) -> Iterator[type[SideBySide]]:
    """The machine with a PostgreSQL of its own, on a loop of its own: Hypothesis' steps are not coroutines."""
    SideBySide.loop = asyncio.new_event_loop()
    SideBySide.postgres = PostgresStore(database, FixedClock(), pool_size=2, migrations=False)
    SideBySide.loop.run_until_complete(SideBySide.postgres.open())
    yield SideBySide
    SideBySide.loop.run_until_complete(SideBySide.postgres.close())
    SideBySide.loop.close()


def test_memory_and_postgres_do_the_same(machine: type[SideBySide]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def one_step(machine: SideBySide, rng: random.Random) -> None:
    """A step of a campaign's life, by chance: mostly dialling and ending calls."""
    until, reason = rng.choice([None, -60, 60, 3600]), rng.choice(REASONS)
    ended = rng.choice([Outcome.CONNECTED, Outcome.BUSY, Outcome.UNKNOWN, Outcome.ABANDONED, Outcome.CONGESTION])
    number, client, index = rng.choice(NUMBERS), rng.randrange(2), rng.randrange(50)
    steps: list[tuple[int, Callable[[], None]]] = [
        (8, lambda: machine.dial(rng.randint(1, 3), client)),
        (3, lambda: machine.claim(client, rng.randint(1, 3), ZONES)),
        (
            3,
            lambda: machine.place_call(
                number, index, client, rng.choice([0, 1, 3]), rng.choice(["campaign", "inbound"])
            ),
        ),
        (
            12,
            lambda: machine.end_call(
                index, ended, rng.random() < 0.7, until, reason, rng.choice(["", "high", "low"]), rng.random() < 0.2
            ),
        ),
        (2, lambda: machine.learn_late(index, ended)),
        (
            6,
            lambda: machine.dispose(
                index, until, reason, rng.random() < 0.3, rng.random() < 0.3, rng.choice([None, 60])
            ),
        ),
        (4, lambda: machine.give_back(index % 31, until, reason, rng.random() < 0.4, rng.random() < 0.2)),
        (2, lambda: machine.time_passes(rng.choice([1, 60, 3600, 86_400]))),
        (2, lambda: machine.agent_state(1 + client, rng.choice(["ready", "paused"]), rng.random() < 0.2)),
        (2, lambda: machine.red_list(number, client, rng.random() < 0.4)),
        (1, lambda: machine.red_list_import([number], client)),
        (1, lambda: machine.ask_not_to_be_called(index % 31, client)),
        (2, lambda: machine.consent(number, client, rng.random() < 0.3)),
        (1, lambda: machine.replay(rng.randint(1, 6))),
        (1, lambda: machine.release_claims()),
        (8, lambda: machine.edit_lead(index % 30, {"blocked_by": "", "eligible_at": None})),
        (1, lambda: machine.edit_lead(index % 31, rng.choice([{"priority": 9}, {"callback_at": None}]))),
        (1, lambda: machine.import_leads(rng.choice(["skip", "replace", "merge"]), client, [number])),
        (1, lambda: machine.add_leads(client, [LeadDraft(e164=number, priority=rng.choice([5, 9]))])),
        (1, lambda: machine.switch_list(client, rng.random() < 0.8)),
    ]
    rng.choices([step for _, step in steps], [weight for weight, _ in steps])[0]()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_walk_side_by_side(machine: type[SideBySide], seed: int) -> None:
    """Longer lives than the state machine's short, shrinkable ones: what comes of many calls one after the other."""
    walker, rng = machine(), random.Random(seed)
    walker.begin(rng.choice([LeadOrder.OLDEST, LeadOrder.PRIORITY]))
    for step in range(600):
        one_step(walker, rng)
        if step % 10 == 9:
            walker.compare()
    ends = [row for row in walker.memory.tables.attempts.values() if row.outcome is not None]
    assert len(ends) > 60, "the walk must get somewhere"
