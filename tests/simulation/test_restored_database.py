"""A database restored from an older copy: nobody is dialled from it until an operator has confirmed (RELY-05)."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import pytest

from daemon.calls.records import Campaign
from daemon.engine import commands as c
from daemon.engine.views import SystemView
from daemon.errors import CommandError
from daemon.store.memory import MemoryStore
from daemon.store.memory_tables import MemoryTables
from fake_asterisk import people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.schedule import StoreFaults
from simulation.world import World, pbx

CROWD = people.People(answer_chance=0.7, talk_mean_s=30.0, ring_mean_s=3.0, machine_share=0.0)


async def _at_work(loop: VirtualLoop, faults: StoreFaults | None = None) -> tuple[World, Campaign, MemoryTables]:
    """A campaign two minutes on, and the copy of its database that was made after the first."""
    world = World(loop, seed=4, pbx_config=pbx(4, CROWD))
    if faults is not None:
        world.store = MemoryStore(world.clock, faults=faults)
    campaign = await world.furnish(agents=4, leads=200, lines=(8,), ring_timeout_s=15.0, wrap_up_max_s=2.0)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await asyncio.sleep(60.0)
    assert world.store is not None
    backup = copy.deepcopy(world.store.tables)
    await asyncio.sleep(60.0)
    return world, campaign, backup


def _dialled(world: World) -> int:
    return sum(1 for originate in world.fake.ledger.originates if CUSTOMER.match(originate.uniqueid))


async def _refuses(world: World, campaign: Campaign) -> None:
    """For two minutes nothing is dialled, and every place says why."""
    before = _dialled(world)
    await _work(world, campaign)
    await asyncio.sleep(120.0)
    assert _dialled(world) == before
    view: Any = world.app.hub.view()["campaigns"][str(campaign.id)]
    assert "database" in view.why and view.causes[0].code == "database_older"
    system = next(iter(world.app.hub.view()["system"].values()))
    assert isinstance(system, SystemView) and "database_older: site main" in system.alerts


async def _work(world: World, campaign: Campaign) -> None:
    """Agents are signed in and ready, the campaign runs."""
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    for desk in list(world.live.desks.values()):
        if desk.state == "signed_out":
            await world.submit(c.SignIn(agent_id=desk.id, campaign_ids=(campaign.id,), ready=True))
        elif desk.state == "paused":
            await world.submit(c.SetReady(agent_id=desk.id))


@pytest.mark.feature("RELY-05", clause="a restored, older database: nothing is dialled until an operator has confirmed")
def test_an_older_database_is_not_dialled_from() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign, backup = await _at_work(loop)
        assert world.store is not None
        attempts = set(world.store.tables.attempts)
        lost = attempts - set(backup.attempts)
        assert len(lost) >= 3
        _, fence, _ = world.store.tables.leases["main"]
        talking = [call.leg for call in world.live.calls.values() if call.state == "talking"]
        assert talking
        world.kill()
        world.store = MemoryStore(world.clock, tables=backup)
        backup.leases["main"] = ("sim", fence - 1, 0.0)
        restarted = loop.time()
        await world.start()
        await _refuses(world, campaign)
        assert world.runner.lease.fence > fence, "a fence that was used before the restore is never given again"
        legs = world.fake.ledger.legs
        assert not [leg for leg in talking if (legs[leg].ended_at or 1e9) < restarted + 1.0], "people talk on"

        world.kill()
        await world.start()
        await _refuses(world, campaign)

        with pytest.raises(CommandError, match="site_unknown"):
            await world.submit(c.DatabaseReconciled(site="other", by="root"))
        await world.submit(c.DatabaseReconciled(site="main", by="anna"))
        before = _dialled(world)
        await asyncio.sleep(60.0)
        assert _dialled(world) > before
        assert [row["by"] for row in backup.audit if row["what"] == "database.reconciled"] == ["anna"]
        world.kill()
        await world.start()
        await asyncio.sleep(5.0)
        assert not world.live.database_older
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature("RELY-05", clause="the database is exchanged for an older one under a running daemon")
def test_an_older_database_under_a_running_daemon() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = StoreFaults(random.Random(1))
        world, campaign, backup = await _at_work(loop, faults)
        assert world.store is not None
        faults.away = True
        await asyncio.sleep(8.0)
        backup.leases["main"] = world.store.tables.leases["main"]
        vars(world.store.tables).update(vars(backup))
        faults.away = False
        await asyncio.sleep(8.0)
        await _refuses(world, campaign)
        await world.submit(c.DatabaseReconciled(site="main", by="anna"))
        before = _dialled(world)
        await asyncio.sleep(60.0)
        assert _dialled(world) > before
        await world.stop()

    run(main, seed=4)


def test_a_database_that_was_only_away_is_dialled_from_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = StoreFaults(random.Random(1))
        world, campaign, _ = await _at_work(loop, faults)
        faults.away = True
        await asyncio.sleep(30.0)
        faults.away = False
        await asyncio.sleep(8.0)
        before = _dialled(world)
        await _work(world, campaign)
        await asyncio.sleep(60.0)
        assert _dialled(world) > before
        await world.stop()

    run(main, seed=4)
