"""An engine that begins anew: what systemd's watchdog makes of it, and of one that breaks again and again."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from daemon.store.memory import MemoryStore
from fake_asterisk import people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualClock, VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers
from tests.voice.test_handling import far_end_leaves

INTERVAL_S = 5.0
"""Half of the unit's WatchdogSec."""


class _NoRows:
    """A database that gives leases and takes facts, but does not get to tell what is open."""

    away = False

    async def before(self, op: str) -> None:
        if self.away and op == "open_attempts":
            raise StoreUnavailable("slow")

    async def after(self, op: str) -> None:
        return


@pytest.mark.feature(
    "RELY-06", clause="a site whose rows are long in coming is not taken for an engine that stands still"
)
def test_a_site_that_begins_anew_while_the_database_is_slow() -> None:
    async def main(loop: VirtualLoop) -> None:
        rows = _NoRows()
        store = MemoryStore(VirtualClock(loop), faults=rows)
        crowd = people.People(answer_chance=1.0, talk_mean_s=10.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=4, pbx_config=pbx(2, crowd), store=store)
        await world.furnish(agents=2, leads=10)
        await world.start()
        await asyncio.sleep(10.0)
        assert world.app.sites.ticking(INTERVAL_S)
        first = world.runner

        def broken() -> None:
            raise RuntimeError("a table of the engine's is broken")

        rows.away = True
        first.core.finish = broken
        await world.until(lambda: world.runner is not first and world.runner.leading, 30.0)
        for _ in range(30):
            await asyncio.sleep(1.0)
            assert world.app.sites.ticking(INTERVAL_S), "systemd would end the daemon"
        rows.away = False
        await world.until(lambda: world.live.link.synced, 30.0)
        await asyncio.sleep(10.0)
        assert world.app.sites.ticking(INTERVAL_S)
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature(
    "RELY-03", clause="an engine that breaks three times in ten minutes serves its calls and places none"
)
def test_an_engine_that_breaks_again_and_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=600.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=4, pbx_config=pbx(4, crowd))
        campaign = await world.furnish(agents=4, leads=400)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: sum(call.connected_at is not None for call in world.live.calls.values()) == 4, 60.0)

        def broken() -> None:
            raise RuntimeError("a table of the engine's is broken")

        for ends in (1, 2, 3):
            runner = world.runner
            runner.core.finish = broken
            await world.until(lambda old=runner: world.runner is not old and world.live.link.synced, 30.0)  # type: ignore[misc]
            off = [alert for alert in world.app.sites.alerts() if alert.startswith("originating_off")]
            assert bool(off) is (ends == 3)
        assert sum(call.connected_at is not None for call in world.live.calls.values()) == 4, "people talk on"
        since = loop.time()
        for leg in customers(world):
            if leg.ended_at is None:
                far_end_leaves(world, leg.uniqueid)
        await asyncio.sleep(120.0)
        assert not customers(world, since=since), "nothing is placed"
        assert not world.live.calls
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-06", clause="an engine that stands still is no longer vouched for to the service manager")
def test_an_engine_that_stands_still() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, pbx_config=pbx(2))
        await world.furnish(agents=2, leads=10)
        await world.start()
        await asyncio.sleep(30.0)
        assert world.app.sites.ticking(INTERVAL_S), "idle is not standing still"

        async def for_ever(deadline: float) -> None:
            await asyncio.Event().wait()

        world.runner._inbox.rest = for_ever
        await asyncio.sleep(2.0 * INTERVAL_S)
        assert not world.app.sites.ticking(INTERVAL_S)
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-06", clause="a bug in the pages, the board's counts, the audit or old figures stops no call")
def test_what_is_beside_the_calls_does_not_end_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=20.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=4, pbx_config=pbx(4, crowd))
        campaign = await world.furnish(agents=4, leads=200)
        store = world.store
        assert store is not None
        told: list[object] = []

        async def broken(*_: object, **__: object) -> None:
            raise TypeError("an odd row")

        def odd_page(_: object) -> None:
            raise KeyError("an odd view")

        monkeypatch.setattr(store, "report", broken)
        await world.start()
        first = world.runner
        world.app.hub.listen(odd_page)
        world.app.hub.listen(told.append)
        monkeypatch.setattr(store, "lead_counts", broken)
        monkeypatch.setattr(first.pbx, "audit", broken)
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(300.0)
        assert world.runner is first, "the engine was begun anew"
        legs = [leg for leg in world.fake.ledger.legs.values() if CUSTOMER.match(leg.uniqueid)]
        assert len(legs) > 20 and told
        (system,) = world.app.hub.view()["system"].values()
        failed = {alert for alert in system.alerts if alert.startswith("work_failed")}
        assert {"work_failed: audit main", "work_failed: counts main"} < failed
        await world.stop()

    run(main, seed=4)
