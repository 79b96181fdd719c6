"""`make soak`: days of work on simulated time; what the daemon holds in memory is weighed each night.

Weighed is all that can be reached from the running application (engine, journal, driver, streams, caches); the store
and the fake PBX, which keep history by design, and code are left out. Besides: tasks, timers, open calls, leases,
actions that wait for the PBX, journal bytes (a segment is kept until it is full). After two days nothing may grow by
more than 5 %, but the hours of the abandonment ledger, which are kept for 32 days and counted apart. Last line:
`soak: ...`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
import types
from dataclasses import astuple, dataclass, fields
from typing import Any

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, CampaignMode
from daemon.dialer.ledger import DAYS_KEPT, Ledger
from daemon.engine import commands as c
from daemon.engine import store_work
from daemon.store.journal import SEGMENT_BYTES
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.seeds import quiet
from simulation.world import World, pbx

WORK_S, DAY_S = 8 * 3600.0, 24 * 3600.0
WARM_UP_DAYS = 2
GROWTH_MAX = 0.05
SMALL = 20
"""Counts this small may differ by as much from night to night."""
BOUNDS = {"journal_bytes": 2 * SEGMENT_BYTES, "ledger_hours": 24 * DAYS_KEPT}
"""What fills up to a bound of its own before it lets go."""
HISTORY = ("leads", "leads_of_list", "leads_of_number", "attempts", "attempt_of_number", "attempts_of_person",
           "attempts_of_lead", "events", "pacing", "audit", "outbox", "refusals", "refusals_of_lead",
           "tally")  # fmt: skip
"""What the store in memory, which looks through all of it, forgets each night."""
CROWD = people.People(answer_chance=0.4, talk_mean_s=60.0, ring_mean_s=6.0, machine_share=0.0)
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, type, types.MethodType)


@dataclass(frozen=True, slots=True)
class Night:
    """What the daemon held at the end of a day, an hour after its last call."""

    objects: int
    bytes: int
    tasks: int
    timers: int
    calls: int
    leases: int
    actions_waiting: int
    journal_bytes: int
    ledger_hours: int


def weigh(root: object, *but: object) -> tuple[int, int]:
    """How many objects, and bytes, can be reached from `root` without passing through `but`, code or classes."""
    gc.collect()
    seen = {id(root), *map(id, but)}
    waiting, count, size = [root], 0, 0
    while waiting:
        one = waiting.pop()
        count += 1
        size += sys.getsizeof(one)
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, _CODE):
                seen.add(id(other))
                waiting.append(other)
    return count, size


class Soak:
    """One run."""

    def __init__(self, loop: VirtualLoop, agents: int) -> None:
        self.loop, self.agents = loop, agents
        self.world = World(loop, seed=1, mode="dialplan", pbx_config=pbx(agents, CROWD))
        self.world.habits.wrap_up_s = 10.0
        self.nights: list[Night] = []
        self.attempts = 0
        self._next = 0

    async def main(self, days: int) -> None:
        """The days, one line each."""
        world = self.world
        campaign = await world.furnish(
            agents=self.agents, leads=0, lines=(self.agents * 3,), mode=CampaignMode.PREDICTIVE, level=3, speed=10
        )
        await world.start()
        await world.staff(campaign)
        for day in range(1, days + 1):
            began = time.perf_counter()
            await self._work(campaign)
            night = self._weigh()
            self.nights.append(night)
            figures = ", ".join(f"{f.name} {v}" for f, v in zip(fields(night), astuple(night), strict=True))
            say(f"day {day}: {self.attempts} attempts so far; {figures}; {time.perf_counter() - began:.0f} s")
            await asyncio.sleep(DAY_S - WORK_S - 3600.0)
        await world.stop()

    async def _work(self, campaign: Campaign) -> None:
        """New leads each morning; eight hours; everybody goes home, and the last call ends."""
        world = self.world
        assert world.store is not None
        fresh = [LeadDraft(e164=f"+33{199_000_000 + self._next + n}", last_name="P") for n in range(self.agents * 900)]
        self._next += len(fresh)
        await world.store.add_leads(world.list.id, fresh)
        await world.submit(c.LeadsChanged(campaign_id=campaign.id))
        for agent in world.agents:
            await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(WORK_S)
        await world.submit(c.StopCampaign(campaign_id=campaign.id))
        await asyncio.sleep(1800.0)
        for agent in world.agents:
            await world.submit(c.SignOut(agent_id=agent.id))
        await asyncio.sleep(1800.0)
        self.attempts += len(world.store.tables.attempts)
        for name in HISTORY:
            getattr(world.store.tables, name).clear()

    def _weigh(self) -> Night:
        """As somebody opens a page: ids of calls that nobody follows wait for that, a thousand of them at most."""
        world: Any = self.world
        live, runner = world.live, world.runner
        runner.core.publisher.refresh(())
        bounds = {bound.name: bound.used for bound in runner.bounds()}
        left_out = (world, world.store, world.store.tables, world.fake, self.loop, self.loop.network, world.life)
        files = [part for files in world.journals.values() for part in (files, files.data)]
        ledgers = [one for one in gc.get_objects() if isinstance(one, Ledger)]
        hours = [part for ledger in ledgers for part in vars(ledger).values() if isinstance(part, dict)]
        count, size = weigh(world.app, *left_out, *files, *hours, vars(world.store.tables))
        return Night(
            count,
            size,
            len(asyncio.all_tasks()),
            len(live.timers),
            len(live.calls),
            sum(line.in_use for line in live.pool.lines.values()),
            int(bounds["pbx_actions_waiting"]),
            int(bounds["journal_bytes"]),
            max((len(ledger.rows()) for ledger in ledgers), default=0),
        )


def grown(nights: list[Night]) -> list[str]:
    """What has grown since the warm-up, one line each."""
    if len(nights) <= WARM_UP_DAYS:
        return ["too few days to tell"]
    first, last = nights[WARM_UP_DAYS - 1], nights[-1]
    found = []
    for field in fields(Night):
        before, after = getattr(first, field.name), getattr(last, field.name)
        most = max(before * (1 + GROWTH_MAX) + SMALL, BOUNDS.get(field.name, 0))
        if after > most:
            found.append(f"{field.name}: {before} at the end of day {WARM_UP_DAYS}, {after} at the end")
    return found


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser("simulation.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=12)
    parser.add_argument("--agents", type=int, default=10)
    options = parser.parse_args()
    quiet()
    store_work.COUNTS_INTERVAL_S = 600.0  # the store in memory counts leads by looking at each of them
    kept: list[Soak] = []

    async def whole(loop: VirtualLoop) -> None:
        kept.append(Soak(loop, options.agents))
        await kept[0].main(options.days)

    run(whole, seed=1)
    found = grown(kept[0].nights)
    for line in found:
        say(line)
    last = kept[0].nights[-1]
    verdict = "GROWN" if found else "flat"
    say(
        f"soak: {options.days} days, {kept[0].attempts} attempts, {last.objects} objects of {last.bytes / 1e6:.1f} MB "
        f"in the daemon, {verdict} (goal: ≤ {GROWTH_MAX:.0%} after day {WARM_UP_DAYS})"
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
