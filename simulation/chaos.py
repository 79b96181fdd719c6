"""One seed: a campaign, a schedule of faults, and the verdict. `run_seed(seed)` is one whole run on virtual time.

Faults: AMI cut, half-open, slow, action lost, reply lost, events doubled and reordered, PBX restart (clean and killed),
database away or failing before or after any commit, daemon killed and restarted, clock steps, journal disk full.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from daemon.calls.records import Campaign, CampaignMode, RecyclingRule
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreUnavailable
from daemon.store.memory import MemoryStore
from fake_asterisk import people
from simulation.checkers import Violation, after_settling
from simulation.loop import VirtualClock, VirtualLoop, run
from simulation.world import World, pbx

MINUTES = 12.0
SETTLE_S = 240.0
LINES = (9, 6)
MODES = ("asyncagi", "dialplan", "basic")


@dataclass
class StoreFaults:
    """The database as the schedule makes it: away, slow, or failing once before or after a commit."""

    rng: random.Random
    away: bool = False
    slow_s: float = 0.0
    before: int = 0
    after_: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    async def before_op(self, op: str) -> None:
        """Raise for "nothing was done"."""
        if self.slow_s:
            await asyncio.sleep(self.slow_s * self.rng.random())
        if self.away:
            self.counts["away"] += 1
            raise StoreUnavailable("the database is away")
        if self.before > 0 and op in ("commit_intents", "apply_facts", "claim_leads"):
            self.before -= 1
            self.counts[f"before {op}"] += 1
            raise StoreUnavailable("the connection broke before the commit")

    async def after_op(self, op: str) -> None:
        """Raise for "it was done, the answer was lost"."""
        if self.slow_s:
            await asyncio.sleep(self.slow_s * self.rng.random())
        if self.after_ > 0 and op in ("commit_intents", "apply_facts", "claim_leads"):
            self.after_ -= 1
            self.counts[f"after {op}"] += 1
            raise StoreUnavailable("the connection broke after the commit")


class _Hooks:
    """StoreFaults under the names the store calls."""

    def __init__(self, faults: StoreFaults) -> None:
        self._faults = faults

    async def before(self, op: str) -> None:
        await self._faults.before_op(op)

    async def after(self, op: str) -> None:
        await self._faults.after_op(op)


@dataclass
class Verdict:
    """What became of a seed."""

    seed: int
    violations: list[Violation]
    faults: Counter[str]
    hit: Counter[tuple[str, str]]
    """(fault kind, state of a call at that instant): the coverage histogram."""
    attempts: int
    lives: int
    timeline: list[str]


class Run:
    """One seed's run."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop, self.seed = loop, seed
        self.rng = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.hit: Counter[tuple[str, str]] = Counter()
        self.timeline: list[str] = []
        self.store_faults = StoreFaults(random.Random(seed + 7))
        crowd = people.People(
            answer_chance=self.rng.uniform(0.25, 0.6),
            talk_mean_s=self.rng.uniform(8.0, 30.0),
            ring_mean_s=self.rng.uniform(2.0, 6.0),
            machine_share=0.0,
            speaks=self.rng.random() < 0.5,
        )
        self.agents = self.rng.randint(5, 8)
        self.mode = self.rng.choice(MODES)
        clock = VirtualClock(loop)
        store = MemoryStore(clock, faults=_Hooks(self.store_faults))
        self.world = World(loop, seed, pbx_config=pbx(self.agents, crowd), mode=self.mode, store=store)
        self.world.habits.wrap_up_s = self.rng.uniform(1.0, 6.0)

    async def main(self) -> Verdict:
        """Furnish, work under faults, settle, judge."""
        world, rng = self.world, self.rng
        predictive = self.mode != "basic" and rng.random() < 0.4
        campaign = await world.furnish(
            agents=self.agents,
            leads=500,
            lines=LINES,
            nailed=self.agents if predictive else rng.randint(0, self.agents),
            mode=CampaignMode.PREDICTIVE if predictive else CampaignMode.PROGRESSIVE,
            level=3,
            speed=10,
            wrap_up_max_s=20.0,
            ring_timeout_s=15.0,
            recycling=[
                RecyclingRule(on="busy", delay_s=30.0),
                RecyclingRule(on="no_answer", delay_s=60.0, max_count=2),
            ],
        )
        await world.start()
        await world.staff(campaign)
        await self._start(campaign)
        shaking = asyncio.create_task(self._shake(campaign), name="faults")
        await asyncio.sleep(MINUTES * 60.0)
        shaking.cancel()
        await asyncio.gather(shaking, return_exceptions=True)
        await self._settle(campaign)
        in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
        assert world.store is not None
        tables = world.store.tables
        violations = after_settling(world.fake.ledger, tables, sum(LINES), in_use)
        verdict = Verdict(
            self.seed, violations, self.faults, self.hit, len(tables.attempts), len(world.lives), self.timeline
        )
        await world.stop()
        return verdict

    async def _start(self, campaign: Campaign) -> None:
        for _ in range(50):
            try:
                await self.world.submit(c.StartCampaign(campaign_id=campaign.id))
                return
            except CommandError:
                await asyncio.sleep(1.0)

    # ---- the schedule ------------------------------------------------------------------------------------------

    async def _shake(self, campaign: Campaign) -> None:
        kinds = [
            self._cut,
            self._half_open,
            self._slow,
            self._action_lost,
            self._reply_lost,
            self._doubled,
            self._reordered,
            self._lost,
            self._restart_clean,
            self._restart_killed,
            self._database_away,
            self._commit_fails_before,
            self._commit_fails_after,
            self._database_slow,
            self._kill_daemon,
            self._clock_step,
            self._journal_full,
        ]
        while True:
            await asyncio.sleep(self.rng.uniform(15.0, 90.0))
            kind = self.rng.choice(kinds)
            name = kind.__name__.strip("_")
            self._note(name)
            await kind()
            await self._keep_running(campaign)

    def _note(self, name: str) -> None:
        self.faults[name] += 1
        at = self.loop.time()
        states: Counter[str] = Counter()
        try:
            states.update(str(call.state) for call in self.world.live.calls.values())
        except (KeyError, AttributeError):
            states["no_daemon"] += 1
        for state in states:
            self.hit[name, state] += 1
        self.timeline.append(f"{at:9.3f} {name} with {dict(sorted(states.items()))}")

    async def _keep_running(self, campaign: Campaign) -> None:
        """A supervisor who starts the campaign again and puts agents back to work after trouble."""
        try:
            await self.world.submit(c.StartCampaign(campaign_id=campaign.id))
            for desk in list(self.world.live.desks.values()):
                if desk.state == "paused":
                    await self.world.submit(c.SetReady(agent_id=desk.id))
                elif desk.state == "signed_out":
                    await self.world.submit(c.SignIn(agent_id=desk.id, campaign_ids=(campaign.id,), ready=True))
        except (CommandError, KeyError):
            return

    async def _cut(self) -> None:
        self.world.fake.faults.cut()

    async def _half_open(self) -> None:
        self.world.fake.faults.half_open()
        await asyncio.sleep(self.rng.uniform(1.0, 40.0))
        self.world.fake.faults.half_open(False)

    async def _slow(self) -> None:
        self.world.fake.faults.slow(delay_s=self.rng.uniform(0.05, 0.8))
        await asyncio.sleep(self.rng.uniform(5.0, 30.0))
        self.world.fake.faults.slow()

    async def _action_lost(self) -> None:
        self.world.fake.faults.lose_next_action(self.rng.randint(1, 3))

    async def _reply_lost(self) -> None:
        self.world.fake.faults.lose_next_response(self.rng.randint(1, 3))

    async def _doubled(self) -> None:
        self.world.fake.faults.disturb_events(duplicate_every=self.rng.randint(2, 9))
        await asyncio.sleep(self.rng.uniform(5.0, 40.0))
        self.world.fake.faults.disturb_events()

    async def _reordered(self) -> None:
        self.world.fake.faults.disturb_events(reorder_every=self.rng.randint(2, 9))
        await asyncio.sleep(self.rng.uniform(5.0, 40.0))
        self.world.fake.faults.disturb_events()

    async def _lost(self) -> None:
        self.world.fake.faults.disturb_events(lose_every=self.rng.randint(15, 60))
        await asyncio.sleep(self.rng.uniform(5.0, 40.0))
        self.world.fake.faults.disturb_events()

    async def _restart_clean(self) -> None:
        self.world.fake.power.command("core stop now")
        await asyncio.sleep(self.rng.uniform(1.0, 10.0))
        self.world.fake.power.command("boot")

    async def _restart_killed(self) -> None:
        self.world.fake.power.command("kill")
        await asyncio.sleep(self.rng.uniform(0.5, 10.0))
        self.world.fake.power.command("boot")

    async def _database_away(self) -> None:
        self.store_faults.away = True
        await asyncio.sleep(self.rng.uniform(1.0, 60.0))
        self.store_faults.away = False

    async def _commit_fails_before(self) -> None:
        self.store_faults.before = self.rng.randint(1, 3)

    async def _commit_fails_after(self) -> None:
        self.store_faults.after_ = self.rng.randint(1, 3)

    async def _database_slow(self) -> None:
        self.store_faults.slow_s = self.rng.uniform(0.05, 0.6)
        await asyncio.sleep(self.rng.uniform(5.0, 30.0))
        self.store_faults.slow_s = 0.0

    async def _kill_daemon(self) -> None:
        self.world.kill()
        await asyncio.sleep(self.rng.uniform(0.1, 30.0))
        self.store_faults.away = False
        await self.world.start(wait=False)  # other faults may keep the PBX away for longer

    async def _clock_step(self) -> None:
        self.world.clock.skew += timedelta(seconds=self.rng.uniform(-120.0, 120.0))

    async def _journal_full(self) -> None:
        for files in self.world.journals.values():
            files.room = sum(len(files.read(name)) for name in files.names()) + 50
        await asyncio.sleep(self.rng.uniform(2.0, 20.0))
        for files in self.world.journals.values():
            files.room = 1 << 40

    # ---- the end -----------------------------------------------------------------------------------------------

    async def _settle(self, campaign: Campaign) -> None:
        """Faults off, no new calls, everything comes to rest."""
        world = self.world
        world.fake.faults.clear()
        world.fake.power.command("boot")
        self.store_faults.away, self.store_faults.slow_s = False, 0.0
        self.store_faults.before = self.store_faults.after_ = 0
        for files in world.journals.values():
            files.room = 1 << 40
        if world.life.dead:
            await world.start()
        await world.until(lambda: world.runner.leading and world.live.link.synced, 120.0)
        for _ in range(20):
            try:
                await world.submit(c.StopCampaign(campaign_id=campaign.id))
                break
            except CommandError:
                await asyncio.sleep(1.0)
        await asyncio.sleep(SETTLE_S)


def run_seed(seed: int, latency_s: float = 0.0004) -> Verdict:
    """One whole run."""

    async def main(loop: VirtualLoop) -> Verdict:
        return await Run(loop, seed).main()

    return run(main, seed=seed, latency_s=latency_s)
