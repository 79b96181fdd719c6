"""Mutants of late commands, Local channels and two daemons on a site (tests.simulation.mutants)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextvars import copy_context
from uuid import UUID

import msgspec

from daemon.agents.states import AgentState, LegState
from daemon.ami.translate import ModernTranslator
from daemon.app import Application, build
from daemon.calls.lead_records import Intent, Lease
from daemon.engine import commands as c
from daemon.engine.desks import Desks
from daemon.engine.live import Desk
from daemon.settings import Settings
from daemon.store.memory import MemoryStore
from daemon.store.memory_tables import MemoryTables
from fake_asterisk import people
from simulation import checkers
from simulation.life import LIFE, Life
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

# ---- agents whose commands are carried out late ----------------------------------------------------------------------


async def _slow_park(loop: VirtualLoop) -> list[str]:
    """Agents whose channels look at their queue of commands only every 2.5 s: later than the deadline of a bridge."""
    config = pbx(6, CROWD, people.Phones(speaks=False))
    config.agi_tick_s = 2.5
    world = World(loop, seed=8, pbx_config=config)
    campaign = await campaign_of(world)
    await asyncio.sleep(150.0)
    return await judge(world, campaign)


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
    campaign = await campaign_of(world, agents=4, leads=40)
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
    await campaign_of(world, lines=(12,), leads=200)
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


CASES: Cases = {
    _slow_park: {
        _stale_bridge_requeued: "RELY-08",
    },
    _through_a_route: {
        _local_half_ends_the_call: "RELY-02",
    },
    _two_daemons: {
        _commit_without_fence: "RELY-07",
        _standby_acts_before_the_fence_expires: "RELY-07",
    },
}


@each_scenario(CASES)
def test_unharmed(scenario: Scenario) -> None:
    assert run(scenario, seed=8) == []


@each_mutant(CASES)
def test_mutant_is_caught(scenario: Scenario, mutant: Mutant, rule: str, monkeypatch: Patch) -> None:
    is_caught(scenario, mutant, rule, monkeypatch)
