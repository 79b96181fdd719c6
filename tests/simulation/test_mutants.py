"""Mutants that need a scenario of their own: each is a bug somebody could write, and the checkers must see it.

Each scenario is also run unharmed, and then the same checkers must find nothing. (Mutants that any crowded campaign
shows are in test_chaos.py.)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from daemon.agents.states import AgentState, LegState
from daemon.ami.translate import ModernTranslator
from daemon.app import Application, build
from daemon.calls import events as ev
from daemon.calls.actions import OriginateCustomer
from daemon.calls.facts import LedgerAdded, NumberedFact
from daemon.calls.lead_records import Intent, Lease
from daemon.calls.records import Campaign, Status
from daemon.calls.states import CallState
from daemon.engine import agent_commands
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Desk
from daemon.engine.operate import Operations
from daemon.settings import Settings
from daemon.store.journal import Journal
from daemon.store.memory import MemoryStore
from daemon.store.memory_facts import FactApplier
from daemon.store.memory_tables import MemoryTables
from fake_asterisk import people
from simulation import checkers
from simulation.loop import LIFE, Life, VirtualClock, VirtualLoop, run
from simulation.schedule import StoreFaults
from simulation.world import World, pbx

Patch = pytest.MonkeyPatch
Scenario = Callable[[VirtualLoop], Coroutine[Any, Any, list[str]]]
CROWD = people.People(answer_chance=0.5, talk_mean_s=15.0, ring_mean_s=3.0, machine_share=0.0)


async def _campaign(
    world: World, *, agents: int = 6, leads: int = 100, lines: Sequence[int] = (3, 2), **more: Any
) -> Campaign:
    campaign = await world.furnish(agents=agents, leads=leads, lines=lines, ring_timeout_s=15.0, **more)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return campaign


async def _judge(world: World, campaign: Campaign, *, capacity: int = 5, calm: bool = False) -> list[str]:
    """Stop, let everything come to rest, ask the checkers."""
    await world.submit(c.StopCampaign(campaign_id=campaign.id))
    await asyncio.sleep(150.0)
    assert world.store is not None
    ledger, tables = world.fake.ledger, world.store.tables
    in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
    found = checkers.after_settling(ledger, tables, capacity, in_use)
    if calm:
        found += checkers.in_calm(ledger, tables, world.clock.utc_at)
    await world.stop()
    return [str(violation) for violation in found]


# ---- nothing fails ---------------------------------------------------------------------------------------------------


async def _calm(loop: VirtualLoop) -> list[str]:
    """A campaign on lines that are always full."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    campaign = await _campaign(world)
    await asyncio.sleep(150.0)
    return await _judge(world, campaign, calm=True)


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


# ---- a database that fails around its commits ------------------------------------------------------------------------


async def _failing_commits(loop: VirtualLoop) -> list[str]:
    """Every now and then an answer of the database is lost after the commit."""
    faults = StoreFaults(random.Random(3))
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD), store=MemoryStore(VirtualClock(loop), faults=faults))
    campaign = await _campaign(world)
    for _ in range(12):
        await asyncio.sleep(10.0)
        faults.after_ops.update(commit_intents=1, apply_facts=1)
    await asyncio.sleep(20.0)
    faults.clear()
    return await _judge(world, campaign)


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
    campaign = await _campaign(world)
    for _ in range(10):
        await asyncio.sleep(12.0)
        world.fake.faults.lose_next_response(2)
    world.fake.faults.clear()
    await asyncio.sleep(30.0)
    return await _judge(world, campaign)


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


# ---- an hour strikes -------------------------------------------------------------------------------------------------


async def _hour_strikes(loop: VirtualLoop) -> list[str]:
    """A campaign that works from ten to eleven until a few minutes past."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    world.clock.skew = timedelta(minutes=28)
    campaign = await _campaign(world)
    await asyncio.sleep(200.0)
    return await _judge(world, campaign, calm=True)


def _hour_rollover_loses_the_ledger(patch: Patch) -> None:
    """What is booked while the hour before was the last one seen is thrown away with it."""
    original = CallFlow._count
    seen: list[Any] = []

    def count(self: CallFlow, call: Call, *, abandoned: bool) -> None:
        original(self, call, abandoned=abandoned)
        facts = self._live.out.facts
        if facts and isinstance(facts[-1], LedgerAdded):
            if seen and facts[-1].hour != seen[-1]:
                facts.pop()
                seen.append(self._live.utc.replace(minute=0, second=0, microsecond=0))
            elif not seen:
                seen.append(facts[-1].hour)

    patch.setattr(CallFlow, "_count", count)


# ---- people who must not be called any more --------------------------------------------------------------------------


async def _red_list(loop: VirtualLoop) -> list[str]:
    """Leads are queued in memory; then half of the people are put on the red list."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    campaign = await _campaign(world)
    await asyncio.sleep(20.0)
    assert world.store is not None
    assert world.client is not None
    called = {o.number[-9:] for o in world.fake.ledger.originates}
    numbers = [f"+3319900{n:04d}" for n in range(0, 100, 2)]
    forbidden = [number for number in numbers if number[-9:] not in called]
    assert len(forbidden) > 20
    lead_ids: list[int] = []
    for number in forbidden:
        lead_ids += await world.store.set_dnc(world.client.id, number, True, "test", "asked")
    await world.submit(c.LeadsChanged(lead_ids=tuple(lead_ids), e164s=tuple(forbidden)))
    at = loop.time()
    await asyncio.sleep(100.0)
    found = checkers.nobody_forbidden(world.fake.ledger, {number[-9:]: at for number in forbidden})
    return [str(violation) for violation in found] + await _judge(world, campaign)


def _dnc_checked_at_claim_only(patch: Patch) -> None:
    """What was claimed before the number was red-listed is dialled all the same."""
    patch.setattr(Operations, "_LeadsChanged", lambda self, command: None)


# ---- the clocks are put forward --------------------------------------------------------------------------------------


async def _summer_time(loop: VirtualLoop) -> list[str]:
    """29 March 2026, from 01:57 in Paris: people ask for a call in seven minutes, past the hour that is skipped."""
    world = World(loop, seed=8, pbx_config=pbx(4, CROWD))
    world.clock.skew = datetime(2026, 3, 29, 0, 57, tzinfo=UTC) - world.clock.utcnow()
    campaign = await world.furnish(agents=4, leads=60, lines=(4,), ring_timeout_s=15.0)
    await world.start()
    for agent in world.agents:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    promised: dict[str, float] = {}
    while loop.time() < 1000.0 + 900.0:
        await asyncio.sleep(0.5)
        for desk in list(world.live.desks.values()):
            if desk.state != "wrap_up" or desk.disposed:
                continue
            number = desk.last_call.e164[-9:]
            later = len(promised) < 4 and number not in promised
            due = world.clock.utcnow() + timedelta(minutes=7)
            await world.submit(
                c.Dispose(
                    agent_id=desk.id,
                    attempt_id=desk.last_call.attempt_id,
                    code="RAPPEL" if later else "REFUS",
                    callback_at=due if later else None,
                    callback_mine=False,
                )
            )
            if later:
                promised[number] = loop.time() + 420.0
    assert len(promised) == 4
    found = checkers.callbacks_kept(world.fake.ledger, promised, 90.0)
    return [str(violation) for violation in found] + await _judge(world, campaign)


def _callback_lost_at_dst(patch: Patch) -> None:
    """A callback is reckoned on the clock on the wall; a time that the wall's clock skips is no time."""
    original = agent_commands.after_status
    paris = ZoneInfo("Europe/Paris")

    def after_status(status: Status, rules: Any, recycled: int, gap: float, at: datetime | None, now: datetime) -> Any:
        if at is not None:
            wall = now.astimezone(paris).replace(tzinfo=None) + (at - now)
            there = wall.replace(tzinfo=paris).astimezone(UTC).astimezone(paris).replace(tzinfo=None)
            at = at if there == wall else None
        return original(status, rules, recycled, gap, at, now)

    patch.setattr(agent_commands, "after_status", after_status)


# ---- agents whose commands are carried out late ----------------------------------------------------------------------


async def _slow_park(loop: VirtualLoop) -> list[str]:
    """Agents whose channels look at their queue of commands only every 2.5 s: later than the deadline of a bridge."""
    config = pbx(6, CROWD, people.Phones(speaks=False))
    config.agi_tick_s = 2.5
    world = World(loop, seed=8, pbx_config=config)
    campaign = await _campaign(world)
    await asyncio.sleep(150.0)
    return await _judge(world, campaign)


def _stale_bridge_requeued(patch: Patch) -> None:
    """A customer whose bridge is late is offered to the next agent while the command still waits at the first."""

    def late(self: Desks, desk: Desk) -> None:
        call, desk.connecting = desk.connecting, None
        if desk.leg_state is not LegState.CONNECTING or call is None:
            return
        desk.leg_state, desk.call = LegState.PARKED, None
        self.set_state(desk, AgentState.PAUSED)
        self.on_connect_failed(call)

    patch.setattr(Desks, "on_bridge_deadline", late)


# ---- customers behind a Local channel --------------------------------------------------------------------------------


async def _through_a_route(loop: VirtualLoop) -> list[str]:
    """Calls go through a route of the PBX, which takes the Local channels away once both sides talk."""

    def local(settings: Settings) -> Settings:
        site = msgspec.structs.replace(settings.sites[0], customer_channel="Local/{number}@Sortant_General")
        return msgspec.structs.replace(settings, sites=[site])

    world = World(loop, seed=8, pbx_config=pbx(4, CROWD), settings_changes=local)
    campaign = await _campaign(world, agents=4, leads=40)
    await asyncio.sleep(120.0)
    await world.submit(c.StopCampaign(campaign_id=campaign.id))
    await asyncio.sleep(100.0)
    assert world.store is not None
    ledger, tables = world.fake.ledger, world.store.tables
    found = [*checkers.talks_on_call(ledger, tables, world.clock.utc_at), *checkers.talks_booked(ledger, tables)]
    assert sum(row.outcome == "connected" for row in world.store.tables.attempts.values()) >= 3
    await world.stop()
    return [str(violation) for violation in found]


def _local_half_ends_the_call(patch: Patch) -> None:
    """The hang-up of the Local channel's first half is taken for the end of the call."""
    patch.setattr(ModernTranslator, "_optimisation_begin", lambda self, message, at: None)
    patch.setattr(ModernTranslator, "_optimisation_end", lambda self, message, at: None)


# ---- two daemons -----------------------------------------------------------------------------------------------------


async def _two_daemons(loop: VirtualLoop) -> list[str]:
    """A commit of the leader hangs in the network until the standby leads; both are watched for acting at once."""
    faults = StoreFaults(random.Random(3))
    tables = MemoryStore(VirtualClock(loop)).tables
    world = World(loop, seed=12, pbx_config=pbx(6, CROWD))
    assert world.store is not None
    world.store = MemoryStore(world.clock, tables=tables, faults=faults)
    await _campaign(world, lines=(12,), leads=200)
    standby, task = await _standby(loop, world, tables)
    found: list[str] = []
    watch = asyncio.create_task(_both_act(world, standby, found), name="watch")
    await asyncio.sleep(20.0)
    if not found:
        found += await _late_commit(world, tables)
    for each in (watch, task):
        each.cancel()
    await asyncio.gather(watch, task, return_exceptions=True)
    await world.stop()
    return found


async def _late_commit(world: World, tables: MemoryTables) -> list[str]:
    """A commit hangs until the lease has gone to the standby; then it arrives."""
    assert world.store is not None
    hang = _Hang("commit_intents")
    world.store.faults = hang
    await world.until(lambda: hang.waiting > 0, 30.0)
    hang.ops.append("renew_lease")
    await asyncio.sleep(12.0)
    hang.free.set()
    await asyncio.sleep(30.0)
    assert max(row.fence for row in tables.attempts.values()) >= 2
    found = [*checkers.fences_rise(tables), *checkers.every_originate_has_its_row(world.fake.ledger, tables)]
    return [str(violation) for violation in found]


class _Hang:
    """A store whose operations of these names hang, before anything is done, until `free` is set."""

    def __init__(self, *ops: str) -> None:
        self.ops, self.free, self.waiting = list(ops), asyncio.Event(), 0

    async def before(self, op: str) -> None:
        if op in self.ops:
            self.waiting += 1
            await self.free.wait()

    async def after(self, op: str) -> None:
        return


async def _standby(loop: VirtualLoop, world: World, tables: MemoryTables) -> tuple[Application, asyncio.Task[None]]:
    settings = world.settings()
    settings = msgspec.structs.replace(settings, daemon=msgspec.structs.replace(settings.daemon, instance="two"))
    store = MemoryStore(world.clock, tables=tables)
    await store.open()
    app = build(settings, clock=world.clock, rng=random.Random(99), store=store, journal_in_memory=True)
    context = copy_context()
    context.run(LIFE.set, Life("standby"))
    return app, loop.create_task(app.sites.keep(settings.sites[0]), name="standby", context=context)


async def _both_act(world: World, standby: Application, found: list[str]) -> None:
    """Whether two daemons would place calls at one instant, looked at twenty times a second."""
    while True:
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        runners = [world.app.hub.runners.get("main"), standby.hub.runners.get("main")]
        if all(r is not None and r.leading and now < r.core.live.acts_until_at for r in runners):
            found.append(f"RELY-07: two daemons act at {now:.2f}")
            return


def _commit_without_fence(patch: Patch) -> None:
    """Intents are committed whoever leads now."""

    async def commit(self: MemoryStore, intents: Sequence[Intent], lease: Lease) -> dict[UUID, int]:
        def work() -> dict[UUID, int]:
            numbers = {intent.attempt_id: self._insert(intent, lease) for intent in intents}
            return {id: number for id, number in numbers.items() if number is not None}

        granted: dict[UUID, int] = await self._do("commit_intents", work)
        return granted

    patch.setattr(MemoryStore, "commit_intents", commit)


def _standby_acts_before_the_fence_expires(patch: Patch) -> None:
    """Whoever asks for the lease gets it, though it is still another's."""

    async def acquire(self: MemoryStore, site: str, holder: str, ttl_s: float, above: int = 0) -> Lease:
        _, fence, _ = self.tables.leases.get(site, (holder, 0, 0.0))
        self.tables.leases[site] = (holder, fence + 1, self._clock.now() + ttl_s)
        return Lease(site=site, holder=holder, fence=fence + 1, ttl_s=ttl_s)

    patch.setattr(MemoryStore, "acquire_lease", acquire)


CASES: list[tuple[Scenario, list[Callable[[Patch], None]]]] = [
    (
        _calm,
        [
            _response_awaited_before_hangup,
            _lease_freed_early_on_ring_timeout,
            _agent_freed_on_the_wrong_call,
            _facts_out_of_order,
            _facts_overtaken,
        ],
    ),
    (_failing_commits, [_intent_retried_after_timeout, _journal_replayed_twice]),
    (_lost_answers, [_in_doubt_redialled]),
    (_hour_strikes, [_hour_rollover_loses_the_ledger]),
    (_red_list, [_dnc_checked_at_claim_only]),
    (_summer_time, [_callback_lost_at_dst]),
    (_slow_park, [_stale_bridge_requeued]),
    (_through_a_route, [_local_half_ends_the_call]),
    (_two_daemons, [_commit_without_fence, _standby_acts_before_the_fence_expires]),
]


@pytest.mark.parametrize("scenario", [scenario for scenario, _ in CASES], ids=lambda s: s.__name__.strip("_"))
def test_unharmed(scenario: Scenario) -> None:
    assert run(scenario, seed=8) == []


@pytest.mark.parametrize(
    ("scenario", "mutant"),
    [(scenario, mutant) for scenario, mutants in CASES for mutant in mutants],
    ids=lambda each: each.__name__.strip("_"),
)
def test_mutant_is_caught(scenario: Scenario, mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    assert run(scenario, seed=8) != []
