"""A short soak in every test run: three working days of a quarter of an hour on simulated time (`make soak` runs
twelve of eight hours, `make soak-hour` one real hour at ten calls a second)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls.records import CampaignMode
from daemon.engine import commands as c
from daemon.engine import store_work
from fake_asterisk import people
from simulation import soak
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

DAYS, WORK_S = 3, 900.0


@pytest.mark.timeout(120)
@pytest.mark.feature(
    "RELY-10", clause="night for night, simulated: tasks, timers, leases, waiting actions, and what the daemon holds"
)
def test_nothing_is_left_of_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "WORK_S", WORK_S)
    monkeypatch.setattr(soak, "DAY_S", WORK_S + 2 * 3600.0)
    monkeypatch.setattr(store_work, "COUNTS_INTERVAL_S", 600.0)
    kept: list[soak.Soak] = []

    async def main(loop: VirtualLoop) -> None:
        kept.append(soak.Soak(loop, 3))
        await kept[0].main(DAYS)

    run(main, seed=1)
    nights = kept[0].nights
    assert kept[0].attempts > 50 * DAYS, "there was work"
    for night in nights:
        assert (night.calls, night.leases, night.actions_waiting) == (0, 0, 0)
    assert len({night.tasks for night in nights}) == 1
    assert nights[-1].timers <= nights[0].timers
    assert nights[-1].bytes <= 1.2 * nights[0].bytes


@pytest.mark.feature("RELY-10", clause="under a steady load memory does not follow the number of calls")
def test_no_call_leaves_anything_behind_for_long() -> None:
    """Weighed during the work, two minutes apart: what a call leaves behind for ten minutes shows here, though it
    would be gone by night."""
    kept: list[int] = []

    async def main(loop: VirtualLoop) -> None:
        busy = people.People(answer_chance=0.0, busy_share=1.0, ring_mean_s=0.2, ring_spread=0.1, machine_share=0.0)
        world: Any = World(loop, seed=3, mode="dialplan", pbx_config=pbx(4, busy))
        campaign = await world.furnish(
            agents=4, leads=800, lines=(20,), calls_per_second=3.0, mode=CampaignMode.PREDICTIVE, level=3, speed=10
        )
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        for wait_s in (70.0, 120.0):
            await asyncio.sleep(wait_s)
            kept.append(_held(world))
            kept.append(len(world.store.tables.attempts))
        await world.stop()

    run(main, seed=3)
    before, calls_before, after, calls_after = kept
    assert calls_after - calls_before > 300, "there was work meanwhile"
    assert after <= 1.05 * before + soak.SMALL


def _held(world: Any) -> int:
    """Objects of the daemon, but for those the store in memory and its journal keep by design."""
    world.runner.core.publisher.refresh(())
    files = [part for files in world.journals.values() for part in (files, files.data)]
    apart = (world, world.store, world.store.tables, vars(world.store.tables), world.fake, world.loop, world.life)
    return soak.weigh(world.app, *apart, world.loop.network, *files)[0]
