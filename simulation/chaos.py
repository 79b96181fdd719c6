"""One seed: a campaign, a schedule of faults, and the verdict. `run_seed(seed)` is one whole run on virtual time.

The faults are simulation/schedule.py's; the judge is simulation/checkers.py. `shorten` leaves out what a failing seed
does not need, and `Verdict.stories` tells what became of the attempts that its violations name.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, CampaignMode, RecyclingRule
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreUnavailable
from daemon.store.memory import MemoryStore
from fake_asterisk import people
from simulation.checkers import Violation, after_settling
from simulation.loop import VirtualClock, VirtualLoop, run
from simulation.schedule import Schedule, StoreFaults
from simulation.settling import settle
from simulation.shapes import AGENTS_MIN, ATTEMPTS_MIN, FAULTS_MIN, LEAN, MINUTES_MIN, Shape
from simulation.world import World, pbx

LINES = (9, 6)
MODES = ("asyncagi", "dialplan", "basic")
ARI_SHARE = 0.25
"""So many seeds have their site by ARI instead; dice of their own, so that the other seeds stay what they were."""
STORIES_MAX = 3
_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


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
    stories: list[str]
    struck: tuple[int, ...] = ()
    """Numbers of the faults that were not left out."""
    mode: str = ""
    """The site's control mode, or `ari`."""
    agents: int = 0
    minutes: float = 0.0
    """Simulated minutes under faults."""
    shape: Shape = LEAN


class Run:
    """One seed's run."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        left_out: frozenset[int] = frozenset(),
        mode: str | None = None,
        shape: Shape = LEAN,
    ) -> None:
        """`mode`: instead of the one that the seed draws."""
        self.loop, self.seed, self.shape = loop, seed, shape
        self.rng = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.hit: Counter[tuple[str, str]] = Counter()
        self.timeline: list[str] = []
        self.struck: list[int] = []
        self.store_faults = StoreFaults(random.Random(seed + 7))
        crowd = people.People(
            answer_chance=self.rng.uniform(0.25, 0.6),
            talk_mean_s=self.rng.uniform(*shape.talk_mean_s),
            ring_mean_s=self.rng.uniform(2.0, 6.0),
            machine_share=0.0,
            speaks=self.rng.random() < 0.5,
        )
        self.agents = self.rng.randint(5, 8)
        drawn = self.rng.choice(MODES)
        by_ari = random.Random(seed + 29).random() < ARI_SHARE
        self.mode = mode or ("ari" if by_ari else drawn)
        store = MemoryStore(VirtualClock(loop), faults=self.store_faults)
        self.world = World(loop, seed, pbx_config=pbx(self.agents, crowd), mode=self.mode, store=store)
        self.world.two_machines = random.Random(seed + 11).random() < 0.5
        self.world.habits.wrap_up_s = self.rng.uniform(1.0, 6.0)
        self.schedule = Schedule(self.world, self.store_faults, seed, self._note, left_out, shape.moments)

    async def main(self) -> Verdict:
        """Furnish, work under faults, settle, judge."""
        world, rng = self.world, self.rng
        predictive = self.mode != "basic" and rng.random() < 0.4
        campaign = await world.furnish(
            agents=self.agents,
            leads=self.shape.leads_first,
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
        began_at = self.loop.time()
        beside = [asyncio.create_task(self.schedule.run(campaign), name="faults")]
        if self.shape.attempts_a_minute:
            beside.append(asyncio.create_task(self._add_leads(), name="leads"))
        await self._shaken_for_long_enough()
        minutes = (self.loop.time() - began_at) / 60.0
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self.store_faults.clear()
        await settle(world, campaign.id)
        verdict = self._judge(minutes)
        await world.stop()
        return verdict

    async def _start(self, campaign: Campaign) -> None:
        for _ in range(50):
            try:
                await self.world.submit(c.StartCampaign(campaign_id=campaign.id))
                return
            except CommandError:
                await asyncio.sleep(1.0)

    @property
    def _attempts(self) -> int:
        assert self.world.store is not None
        return len(self.world.store.tables.attempts)

    async def _shaken_for_long_enough(self) -> None:
        """The campaign works under faults; for longer if they have kept it from its calls."""
        await asyncio.sleep(MINUTES_MIN * 60.0)
        with suppress(TimeoutError):
            longer_s = (self.shape.longest_minutes - MINUTES_MIN) * 60.0
            await self.world.until(lambda: self._attempts >= ATTEMPTS_MIN, longer_s, step_s=5.0)

    async def _add_leads(self) -> None:
        """An operator adds people part by part, as many as the attempts lag behind what is wanted by the next part."""
        dice, began_at, known = random.Random(self.seed + 31), self.loop.time(), self.shape.leads_first
        while True:
            next_s = dice.uniform(*self.shape.parts_every_s)
            await asyncio.sleep(next_s)
            assert self.world.store is not None
            minutes = (self.loop.time() - began_at + next_s) / 60.0
            new = known - len(self.world.store.tables.attempts_of_person)
            more = round(self.shape.attempts_a_minute * minutes) - self._attempts - new
            if more <= 0:
                continue
            with suppress(StoreUnavailable, CommandError, KeyError):
                drafts = [LeadDraft(e164=f"+3319900{n:04d}", last_name=f"P{n}") for n in range(known, known + more)]
                await self.world.store.add_leads(self.world.list.id, drafts)
                known += more
                await self.world.submit(c.LeadsChanged())

    def _note(self, what: str) -> None:
        """A fault strikes: how often, in which states of calls, and a line of the timeline."""
        number, name = what.split(" ")
        self.struck.append(int(number))
        self.faults[name] += 1
        states: Counter[str] = Counter()
        try:
            states.update(str(call.state) for call in self.world.live.calls.values())
        except (KeyError, AttributeError):
            states["no_daemon"] += 1
        for state in states:
            self.hit[name, state] += 1
        self.timeline.append(f"{self.loop.time():9.3f} {name} with {dict(sorted(states.items()))}")

    # ---- the end -----------------------------------------------------------------------------------------------

    def _judge(self, minutes: float) -> Verdict:
        world = self.world
        in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
        assert world.store is not None
        tables = world.store.tables
        violations = after_settling(world.fake.ledger, tables, sum(LINES), in_use)
        violations += [Violation(*problem.split(": ", 1)) for problem in self.schedule.problems]
        return Verdict(
            self.seed,
            violations,
            self.faults,
            self.hit,
            self._attempts,
            len(world.lives),
            self.timeline,
            self._stories(violations),
            tuple(self.struck),
            self.mode,
            self.agents,
            minutes,
            self.shape,
        )

    def _stories(self, violations: list[Violation]) -> list[str]:
        """What was written down, and what the PBX saw, of the first few attempts that the violations name."""
        assert self.world.store is not None
        tables, ledger = self.world.store.tables, self.world.fake.ledger
        named = {id.replace("-", "") for violation in violations for id in _ID.findall(violation.text)}
        told: list[str] = []
        for id, row in tables.attempts.items():
            if id.hex not in named or len(told) >= STORIES_MAX * 20:
                continue
            told.append(f"attempt {id} of fence {row.fence} to {row.e164}: {row.outcome}, ended by {row.ended_by}")
            for event in tables.events.get(id, ()):
                at = (event["at"] - self.world.clock.utc_at(0.0)).total_seconds()
                told.append(f"  {at:9.3f} ({event['fence']}, {event['n']}) {event['kind']} {event['detail']}")
            for leg in ledger.legs.values():
                if leg.uniqueid.endswith(id.hex):
                    stays = [(stay.bridge, round(stay.entered_at, 3), stay.left_at) for stay in leg.stays]
                    told.append(
                        f"  PBX: {leg.made_at:.3f}, {leg.answered_at}, {leg.ended_at}; cause {leg.cause}; {stays}"
                    )
        return told


def run_seed(
    seed: int,
    latency_s: float = 0.0004,
    left_out: frozenset[int] = frozenset(),
    mode: str | None = None,
    shape: Shape = LEAN,
) -> Verdict:
    """One whole run; faults whose numbers are in `left_out` do not happen. `mode`: not the one the seed draws."""

    async def main(loop: VirtualLoop) -> Verdict:
        return await Run(loop, seed, left_out, mode, shape).main()

    return run(main, seed=seed, latency_s=latency_s)


def too_little(verdict: Verdict) -> list[Violation]:
    """What a whole seed holds less of than every seed must. (One that is being shortened may.)"""
    held = (
        ("agents", verdict.agents, AGENTS_MIN),
        ("simulated minutes", verdict.minutes, MINUTES_MIN),
        ("faults", sum(verdict.faults.values()), FAULTS_MIN),
        ("attempts", verdict.attempts, ATTEMPTS_MIN),
    )
    return [
        Violation("scenario", f"{count:g} {what}, of at least {least:g}")
        for what, count, least in held
        if count < least
    ]


def shorten(verdict: Verdict) -> Verdict:
    """The same seed with as few faults as still break one of the same rules."""
    rules = {violation.rule for violation in verdict.violations}
    left_out: frozenset[int] = frozenset()
    for number in reversed(verdict.struck):
        found = run_seed(verdict.seed, left_out=left_out | {number}, shape=verdict.shape)
        if rules & {violation.rule for violation in found.violations}:
            left_out, verdict = left_out | {number}, found
    return verdict
