"""What the daemon is done with is freed at once. Objects that hold each other in a ring wait for the garbage collector,
whose looks at everything are far apart in a daemon that spares it (daemon.app.spare_collector): by then an hour's rings
of a busy centre are tens of megabytes."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest

from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.mutants import CROWD, campaign_of

CALLS_MIN = 50


@pytest.mark.parametrize("mode", ["asyncagi", "basic", "ari"])
def test_ten_minutes_of_calls_leave_no_rings(mode: str) -> None:
    async def ten_minutes(loop: VirtualLoop) -> tuple[int, Counter[str]]:
        world = World(loop, seed=8, pbx_config=pbx(6, CROWD), mode=mode)
        campaign = await campaign_of(world, leads=400, lines=(12,))
        await asyncio.sleep(60.0)
        gc.collect()
        gc.freeze()  # what other tests have left is no affair of this one
        gc.disable()
        try:
            before = len(world.fake.ledger.originates)
            await asyncio.sleep(540.0)
            placed = len(world.fake.ledger.originates) - before
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = Counter(
                type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("daemon.")
            )
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
            gc.unfreeze()
        await world.submit(c.StopCampaign(campaign_id=campaign.id))
        await world.stop()
        return placed, found

    placed, found = run(ten_minutes, seed=8)
    assert placed >= CALLS_MIN
    assert not found
