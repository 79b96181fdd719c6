"""The faults of a seed, one after another: what each does to the PBX, the link, the store, the clock, the daemons.

Each fault has dice of its own, so that leaving one out changes nothing about the others: a failing seed is made shorter
that way.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from daemon.calls.records import Campaign
from daemon.calls.states import CallState
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreUnavailable
from simulation.life import Life
from simulation.shapes import Moment
from simulation.world import World

WRITES = ("commit_intents", "apply_facts", "claim_leads", "renew_lease", "acquire_lease", "release_claims")
"""The commits of a daemon at work; any of them may fail before or after it is done."""
WAITED_FOR = 0.4
"""So many faults wait a while for a rare moment."""
MOMENT_S = 25.0
TAKES_OVER_S = 12.0
"""A standby leads this soon: the lease's four seconds, its own steps, and a database that may be slow."""


@dataclass
class StoreFaults:
    """The database as the schedule makes it: away, slow, failing once before or after a commit, or the last thing a
    daemon ever did: `deadly` (op, done or not), and `kill` called in the middle of it."""

    rng: random.Random
    away: bool = False
    slow_s: float = 0.0
    before_ops: Counter[str] = field(default_factory=Counter)
    after_ops: Counter[str] = field(default_factory=Counter)
    deadly: tuple[str, bool] | None = None
    kill: Callable[[], None] = lambda: None
    counts: Counter[str] = field(default_factory=Counter)

    async def before(self, op: str) -> None:
        """Raise for "nothing was done"."""
        if self.slow_s:
            await self._delay()
        if self.away:
            self.counts["away"] += 1
            raise StoreUnavailable("the database is away")
        if self.before_ops.get(op, 0) > 0:
            self.before_ops[op] -= 1
            self.counts[f"before {op}"] += 1
            raise StoreUnavailable("the connection broke before the commit")
        if self.deadly == (op, False):
            await self._die(self.deadly)

    async def after(self, op: str) -> None:
        """Raise for "it was done, the answer was lost"."""
        if self.deadly == (op, True):
            await self._die(self.deadly)
        if self.slow_s:
            await self._delay()
        if self.after_ops.get(op, 0) > 0:
            self.after_ops[op] -= 1
            self.counts[f"after {op}"] += 1
            raise StoreUnavailable("the connection broke after the commit")

    async def _delay(self) -> None:
        await asyncio.sleep(self.slow_s * self.rng.random())

    async def _die(self, moment: tuple[str, bool]) -> None:
        self.deadly = None
        self.counts[f"killed {'after' if moment[1] else 'before'} {moment[0]}"] += 1
        self.kill()
        await asyncio.Event().wait()  # of a dead life nothing runs again

    def clear(self) -> None:
        """The database is well."""
        self.away, self.slow_s, self.deadly = False, 0.0, None
        self.before_ops.clear()
        self.after_ops.clear()


class Schedule:
    """Faults of a run. `struck` is told of each before it happens; `problems` are what a fault itself has seen."""

    def __init__(
        self,
        world: World,
        store_faults: StoreFaults,
        seed: int,
        struck: Callable[[str], None],
        left_out: frozenset[int] = frozenset(),
        moments: tuple[Moment, ...] = ("waiting",),
    ) -> None:
        self.world, self.store_faults = world, store_faults
        self._seed, self._struck, self._left_out, self._moments = seed, struck, left_out, moments
        self.rng = random.Random(seed)
        self.problems: list[str] = []
        self.kinds = [
            self._cut,
            self._half_open,
            self._slow,
            self._slow_reader,
            self._action_lost,
            self._reply_lost,
            self._doubled,
            self._reordered,
            self._lost,
            self._restart_clean,
            self._restart_graceful,
            self._restart_killed,
            self._database_away,
            self._commit_fails_before,
            self._commit_fails_after,
            self._database_slow,
            self._kill_daemon,
            self._kill_in_commit,
            self._clock_step,
            self._journal_full,
            self._failover,
        ]

    async def run(self, campaign: Campaign) -> None:
        """Fault after fault, until cancelled."""
        number = 0
        while True:
            self.rng = random.Random(self._seed * 10_007 + number)
            await asyncio.sleep(self.rng.uniform(15.0, 90.0))
            kind = self.rng.choice(self.kinds)
            if self.rng.random() < WAITED_FOR:
                with suppress(TimeoutError):
                    await self._rare(random.Random(self._seed * 10_009 + number).choice(self._moments))
            if number not in self._left_out:
                self._struck(f"{number} {kind.__name__.strip('_')}")
                await kind()
                await self._keep_running(campaign)
            number += 1

    async def _rare(self, moment: Moment) -> None:
        """Until that moment. Raises TimeoutError if it does not come soon."""
        if moment == "dialling":
            await self._some_call(CallState.DIALLING, step_s=0.02)
            return
        if moment == "break":
            await self._some_call(CallState.RINGING)
            await self._get_up()
        await self._some_call(CallState.WAITING, step_s=0.02)

    async def _some_call(self, state: CallState, step_s: float = 0.05) -> None:
        """Until some call is in that state."""
        await self.world.seen(
            lambda: state in [call.state for call in self.world.live.calls.values()], MOMENT_S, step_s
        )

    async def _get_up(self) -> None:
        """Every agent who can takes a break at once; `_keep_running` brings them back."""
        for desk in list(self.world.live.desks.values()):
            with suppress(CommandError, KeyError):
                await self.world.submit(c.SetPaused(agent_id=desk.id, code="PAUSE"))

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

    # ---- the link ----------------------------------------------------------------------------------------------

    async def _cut(self) -> None:
        if self.rng.random() < 0.5:
            self.world.fake.faults.deaf()  # by ARI the link after this one is open and hears nothing (control-modes.md)
        self.world.fake.faults.cut()

    async def _half_open(self) -> None:
        self.world.fake.faults.half_open()
        await asyncio.sleep(self.rng.uniform(1.0, 40.0))
        self.world.fake.faults.half_open(False)

    async def _slow(self) -> None:
        self.world.fake.faults.slow(delay_s=self.rng.uniform(0.05, 0.8))
        await asyncio.sleep(self.rng.uniform(5.0, 30.0))
        self.world.fake.faults.slow()

    async def _slow_reader(self) -> None:
        """The daemon's machine stops reading for a while; what came meanwhile arrives in one piece."""
        network = self.world.loop.network
        assert network is not None
        pipes = [pipe for pipe in network.pipes if pipe.life is self.world.life and not pipe.is_closing()]
        for pipe in pipes:
            pipe.pause_reading()
        await asyncio.sleep(self.rng.uniform(0.5, 12.0))
        for pipe in pipes:
            if not pipe.is_closing():
                pipe.resume_reading()

    async def _action_lost(self) -> None:
        self.world.fake.faults.lose_next_action(self.rng.randint(1, 3))

    async def _reply_lost(self) -> None:
        self.world.fake.faults.lose_next_response(self.rng.randint(1, 3))

    async def _doubled(self) -> None:
        await self._disturbed(duplicate_every=self.rng.randint(2, 9))

    async def _reordered(self) -> None:
        await self._disturbed(reorder_every=self.rng.randint(2, 9))

    async def _lost(self) -> None:
        await self._disturbed(lose_every=self.rng.randint(15, 60))

    async def _disturbed(self, **how: int) -> None:
        self.world.fake.faults.disturb_events(**how)
        await asyncio.sleep(self.rng.uniform(5.0, 40.0))
        self.world.fake.faults.disturb_events()

    # ---- the PBX -----------------------------------------------------------------------------------------------

    async def _restart_clean(self) -> None:
        self.world.fake.power.command("core stop now")
        await asyncio.sleep(self.rng.uniform(1.0, 10.0))
        self.world.fake.power.command("boot")

    async def _restart_graceful(self) -> None:
        """It takes no new calls and waits for the last to end; then somebody changes their mind, or loses patience."""
        self.world.fake.power.command("core stop gracefully")
        await asyncio.sleep(self.rng.uniform(2.0, 20.0))
        if self.rng.random() < 0.5:
            self.world.fake.power.command("core abort shutdown")
            if self.world.fake.power.stays:
                return  # else too late: the last call had ended, it goes down and must be started again
        self.world.fake.power.command("core stop now")
        await asyncio.sleep(self.rng.uniform(1.0, 10.0))
        self.world.fake.power.command("boot")

    async def _restart_killed(self) -> None:
        self.world.fake.power.command("kill")
        await asyncio.sleep(self.rng.uniform(0.5, 10.0))
        self.world.fake.power.command("boot")

    # ---- the database ------------------------------------------------------------------------------------------

    async def _database_away(self) -> None:
        self.store_faults.away = True
        await asyncio.sleep(self.rng.uniform(1.0, 60.0))
        self.store_faults.away = False

    async def _commit_fails_before(self) -> None:
        self.store_faults.before_ops[self.rng.choice(WRITES)] += self.rng.randint(1, 3)

    async def _commit_fails_after(self) -> None:
        self.store_faults.after_ops[self.rng.choice(WRITES)] += self.rng.randint(1, 3)

    async def _database_slow(self) -> None:
        self.store_faults.slow_s = self.rng.uniform(0.05, 0.6)
        await asyncio.sleep(self.rng.uniform(5.0, 30.0))
        self.store_faults.slow_s = 0.0

    # ---- the daemon's machine ----------------------------------------------------------------------------------

    async def _kill_daemon(self) -> None:
        self.world.kill()
        await self._start_again()

    async def _kill_in_commit(self) -> None:
        """Killed in the middle of a commit, which by the toss of a coin is done or not."""
        self.store_faults.kill = self.world.kill
        self.store_faults.deadly = (self.rng.choice(WRITES[:4]), self.rng.random() < 0.5)
        life = self.world.life
        with suppress(TimeoutError):
            await self.world.until(lambda: life.dead, 60.0)
        self.store_faults.deadly = None
        if life.dead:
            await self._start_again()

    async def _start_again(self) -> None:
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

    async def _failover(self) -> None:
        """A second daemon on the site: the leader dies or, where both know of each other, no longer reaches the
        database, and the other takes over; they never act at once. What the old one still had in its journal is
        applied when it next leads."""
        world = self.world
        old, old_life = world.app, world.life
        await world.stand_by()
        await asyncio.sleep(self.rng.uniform(1.0, 8.0))
        if world.standby is None or old_life.dead:
            return
        if self.rng.random() < 0.5 or not world.two_machines:
            world.kill()
        else:
            world.cut_off(old)
        watch = asyncio.create_task(self._never_both(old, old_life), name="both")
        try:
            await world.until(lambda: bool(world.standby_runner.leading), TAKES_OVER_S)
        except TimeoutError:
            self.problems.append(f"RELY-07: no daemon took over within {TAKES_OVER_S:g} s")
        await asyncio.sleep(self.rng.uniform(2.0, 10.0))
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        world.take_over()

    async def _never_both(self, old: object, old_life: Life) -> None:
        """Looked at twenty times a second: two daemons that both would place calls."""
        loop = asyncio.get_running_loop()
        while not old_life.dead:
            await asyncio.sleep(0.05)
            runners = [old.hub.runners.get("main"), self.world.standby_runner]  # type: ignore[attr-defined]
            if all(r is not None and r.leading and loop.time() < r.core.live.acts_until_at for r in runners):
                self.problems.append(f"RELY-07: two daemons act at {loop.time():.2f}")
                return
