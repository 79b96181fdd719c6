"""bench-day: a 200-agent day of eight hours in the whole daemon on simulated time, measured on a slice of it.

Daemon, fake PBX (mode `dialplan`), memory store, journal in memory, agents and people share one process and one core; a
predictive campaign dials at level 3, speed 10. The slice begins when the team is at work; the day's wall time follows
by proportion, and is said to be so. `--minutes N` for another slice, `--profile` for the functions that take the time.
Between pieces of the slice a loop of plain Python is timed: on a machine with other work the processor time of both
swells alike, so that the ratio can be compared where seconds can't.
Last line: `bench-day: X min for 8 h ... (goal ≤ 3 min)`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import logging
import pstats
import sys
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import structlog

from daemon.app import spare_collector
from daemon.calls.records import CampaignMode
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

AGENTS = 200
DAY_S = 8 * 3600.0
WARM_UP_S = 120.0
CROWD = people.People(answer_chance=0.3, talk_mean_s=110.0, ring_mean_s=7.5, machine_share=0.0)
WRAP_UP_S = 20.0
PIECES = 6


def reference_s() -> float:
    """Processor seconds of a loop of plain Python: dictionary, strings, numbers."""
    started, seen = process_time(), dict[str, int]()
    for n in range(300_000):
        key = f"k{n % 997}"
        seen[key] = seen.get(key, 0) + 1
    return process_time() - started


@dataclass(slots=True)
class Slice:
    """What the slice took and brought. Seconds of wall and processor; counts within the slice."""

    seconds: float
    wall_s: float
    cpu_s: float
    messages: int
    calls: int
    connected: int
    abandoned: int
    occupancy: float
    batches: int
    reference_s: float


async def measure(loop: VirtualLoop, seconds: float, agents: int, profile: cProfile.Profile | None) -> Slice:
    """One slice of the day."""
    world = World(loop, seed=1, mode="dialplan", pbx_config=pbx(agents, CROWD))
    world.habits.wrap_up_s = WRAP_UP_S
    leads = min(9999, int((WARM_UP_S + seconds) * agents / 25) + 2 * agents)
    campaign = await world.furnish(
        agents=agents, leads=leads, lines=(agents * 4,), mode=CampaignMode.PREDICTIVE, level=3, speed=10
    )
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(20.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(WARM_UP_S)
    messages = [0]
    assert loop.network is not None

    def count(data: bytes) -> None:
        messages[0] += data.count(b"\r\n\r\n")

    loop.network.to_server.append(count)
    loop.network.to_client.append(count)
    live = world.live.campaigns[campaign.id]
    assert world.store is not None
    before = (len(world.store.tables.attempts), dict(live.outcomes), live.ready_s, live.handling_s)
    batches = world.runner.batches
    if profile is not None:
        profile.enable()
    wall = cpu = 0.0
    references = []
    for _ in range(PIECES):
        began, worked = perf_counter(), process_time()
        await asyncio.sleep(seconds / PIECES)
        wall, cpu = wall + perf_counter() - began, cpu + process_time() - worked
        references.append(reference_s())
    if profile is not None:
        profile.disable()
    ready, handling = live.ready_s - before[2], live.handling_s - before[3]
    found = Slice(
        seconds=seconds,
        wall_s=wall,
        cpu_s=cpu,
        messages=messages[0],
        calls=len(world.store.tables.attempts) - before[0],
        connected=live.outcomes["connected"] - before[1].get("connected", 0),
        abandoned=live.outcomes["abandoned"] - before[1].get("abandoned", 0),
        occupancy=handling / (handling + ready) if handling + ready else 0.0,
        batches=world.runner.batches - batches,
        reference_s=median(references),
    )
    await world.stop()
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.day", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    spare_collector()
    profile = cProfile.Profile() if options.profile else None
    found = run(lambda loop: measure(loop, 60.0 * options.minutes, options.agents, profile), seed=1)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    each = 1000.0 * found.cpu_s
    print(
        f"slice of {found.seconds / 60:g} min with {options.agents} agents: {found.wall_s:.1f} s wall, "
        f"{found.cpu_s:.1f} s processor; {found.calls} calls ({each / max(1, found.calls):.2f} ms each), "
        f"{found.messages} AMI messages ({each / max(1, found.messages):.3f} ms each), "
        f"{found.batches} batches of the engine ({each / max(1, found.batches):.2f} ms each)"
    )
    live = max(1, found.connected + found.abandoned)
    print(
        f"{found.connected} conversations ended, {found.abandoned} abandoned ({100 * found.abandoned / live:.1f} %), "
        f"occupancy {100 * found.occupancy:.1f} %"
    )
    print(
        f"reference loop {1000 * found.reference_s:.0f} ms: a simulated minute costs "
        f"{60.0 * found.cpu_s / found.seconds / found.reference_s:.1f} of it"
    )
    factor = DAY_S / found.seconds / 60.0
    print(
        f"bench-day: {found.cpu_s * factor:.1f} min of processor for 8 h with {options.agents} agents, extrapolated "
        f"from {found.seconds / 60:g} min; {found.wall_s * factor:.1f} min on this machine as loaded (goal ≤ 3 min)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
