"""Two daemons on one database and one PBX: one leads, the other stands by and takes over (RELY-07)."""

from __future__ import annotations

import asyncio
import random
from contextvars import copy_context
from typing import Any

import msgspec
import pytest

from daemon.app import build
from daemon.engine import commands as c
from daemon.engine.views import CallView
from daemon.settings import LeaseTable
from daemon.store.memory import MemoryStore
from fake_asterisk import people
from simulation import chaos
from simulation.checkers import CUSTOMER, after_settling
from simulation.loop import LIFE, Life, VirtualLoop, run
from simulation.world import World, pbx


@pytest.mark.feature("RELY-07", clause="the standby dials within 5 s of the leader's death; calls go on, nothing twice")
def test_standby_takes_over() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.6, talk_mean_s=60.0, ring_mean_s=3.0, machine_share=0.0)
        world = World(loop, seed=12, pbx_config=pbx(6, crowd))
        campaign = await world.furnish(
            agents=6, leads=200, lines=(12,), nailed=6, ring_timeout_s=15.0, wrap_up_max_s=1.0
        )
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)

        assert world.store is not None
        settings = world.settings()
        settings = msgspec.structs.replace(settings, daemon=msgspec.structs.replace(settings.daemon, instance="two"))
        store = MemoryStore(world.clock, tables=world.store.tables)
        await store.open()
        standby = build(settings, clock=world.clock, rng=random.Random(99), store=store, journal_in_memory=True)
        life = Life("standby")
        context = copy_context()
        context.run(LIFE.set, life)
        task = loop.create_task(standby._site(settings.sites[0]), name="standby", context=context)
        await asyncio.sleep(10.0)
        assert not standby.hub.runners["main"].leading

        talking = [call.leg for call in world.live.calls.values() if call.state == "talking"]
        assert talking
        died = loop.time()
        world.kill()
        await asyncio.sleep(15.0)
        runner = standby.hub.runners["main"]
        assert runner.leading
        originates = [o.at for o in world.fake.ledger.originates if CUSTOMER.match(o.uniqueid) and o.at > died + 0.01]
        assert originates
        assert originates[0] - died <= 5.0
        legs = world.fake.ledger.legs
        ended_early = [leg for leg in talking if (end := legs[leg].ended_at) is not None and end < died + 1.0]
        assert len(ended_early) < len(talking)
        views = [view for view in standby.hub.view()["calls"].values() if isinstance(view, CallView)]
        assert any(view.stage == "talking" for view in views)

        await standby.hub.submit(c.StopCampaign(campaign_id=campaign.id))
        await asyncio.sleep(400.0)
        in_use = {line.record.name: line.in_use for line in runner.core.live.pool.lines.values()}
        assert [str(v) for v in after_settling(world.fake.ledger, store.tables, 12, in_use)] == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.stop()

    run(main, seed=12)


def _split(monkeypatch: pytest.MonkeyPatch, *, told: bool) -> tuple[object, ...]:
    """A chaos in which the leader loses its way to the database and the standby takes the site; what was broken."""

    class TwoMachines(chaos.Run):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.world.two_machines = True
            if not told:
                self.world.settings_changes = lambda settings: msgspec.structs.replace(settings, lease=LeaseTable())

    monkeypatch.setattr(chaos, "Run", TwoMachines)
    return tuple(chaos.run_seed(7770097, mode="asyncagi").violations)


@pytest.mark.feature(
    "RELY-07", clause="cut off from the database, the old leader gives up its calls where a standby is"
)
def test_a_leader_without_its_database_leaves_the_calls_to_the_standby(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _split(monkeypatch, told=True) == ()


def test_the_same_without_being_told_of_the_standby_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("talked with 2 agents" in str(found) for found in _split(monkeypatch, told=False))
