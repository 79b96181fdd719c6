"""The whole daemon on ARI in simulated time: a campaign, faults, and a second instance that takes the application."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from daemon.calls.records import CampaignMode
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.chaos import run_seed
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers

CROWD = people.People(answer_chance=0.5, talk_mean_s=30.0, ring_mean_s=5.0, machine_share=0.0)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A killed life's connections are collected here, where their not being closed is known and meant."""
    yield
    gc.collect()


async def office(loop: VirtualLoop, *, leads: int = 60) -> World:
    world = World(loop, seed=4, mode="ari", pbx_config=pbx(5, CROWD))
    campaign = await world.furnish(
        agents=5, leads=leads, ring_timeout_s=15.0, mode=CampaignMode.PREDICTIVE, level=3, speed=10
    )
    await world.start()
    await world.staff(campaign)
    await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return world


@pytest.mark.feature("PBX-05", clause="a predictive campaign through ARI: one outcome an attempt, as the PBX saw it")
def test_a_campaign_through_ari() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop)
        assert world.store is not None
        await world.until(lambda: len(customers(world)) >= 60 and not world.live.calls, 900.0, step_s=1.0)
        rows = list(world.store.tables.attempts.values())
        legs = {leg.uniqueid: leg for leg in customers(world)}
        assert {f"main-{row.id.hex}" for row in rows} == legs.keys()
        for row in rows:
            leg = legs[f"main-{row.id.hex}"]
            assert row.outcome is not None
            assert (row.outcome in ("connected", "abandoned")) == (leg.answered_at is not None)
            assert (row.outcome == "connected") == bool(leg.stays)
        assert sum(row.outcome == "connected" for row in rows) > 15
        await world.stop()

    run(main, seed=4)


@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")  # a kill leaves connections as it finds them
@pytest.mark.feature("PBX-05", clause="cuts, half-open links, lost answers, restarts and kills: no rule broken")
def test_faults_of_every_kind_through_ari() -> None:
    verdict = run_seed(3)
    assert verdict.mode == "ari", "a quarter of the seeds draw it"
    assert verdict.violations == []
    assert verdict.attempts > 100
    assert verdict.lives >= 2
    gc.collect()


@pytest.mark.feature("PBX-05", clause="nothing is dialled while the WebSocket is down; who waited is found again")
def test_a_cut_stops_dialling_and_is_mended() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, leads=400)
        await asyncio.sleep(30.0)
        talking = {desk.leg for desk in world.live.desks.values() if desk.state == "on_call"}
        assert talking
        assert loop.network is not None
        loop.network.stop(8088)
        world.fake.faults.cut()
        cut_at = loop.time()
        await asyncio.sleep(8.0)
        assert not world.live.link.synced
        assert not [leg for leg in customers(world) if leg.made_at > cut_at + 0.01]
        assert not [leg for leg in world.fake.ledger.legs.values() if leg.uniqueid in talking and leg.ended_at]
        loop.network.serve(8088, world.fake.ari_protocol_factory)
        await world.until(lambda: world.live.link.synced, 10.0)
        await world.until(lambda: any(leg.made_at > cut_at + 8 for leg in customers(world)), 20.0)
        await world.stop()

    run(main, seed=4)


def test_how_long_a_leg_has_been_up_goes_by_the_pbx_s_clock() -> None:
    """Not by the machine's, which in simulated time is on another day."""

    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, leads=0)
        await asyncio.sleep(20.0)
        made_at = {leg.uniqueid: leg.made_at for leg in world.fake.ledger.legs.values() if leg.ended_at is None}
        legs = await world.runner.pbx.audit()
        assert len(legs) == 5
        for leg in legs:
            assert abs(leg.seconds - (loop.time() - made_at[leg.leg])) <= 1.0  # the header has whole seconds
        await world.stop()

    run(main, seed=4)


@pytest.mark.feature(
    "PBX-05", clause="another instance with the same application: the first says so and stops dialling"
)
def test_another_instance_takes_the_application_over() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, leads=400)
        await asyncio.sleep(10.0)
        world.fake.ari.connected("cadran-main", lambda message: None)
        taken_at = loop.time()
        await asyncio.sleep(0.5)
        status = world.runner.pbx.status()
        assert (status.up, status.error_code) == (False, "replaced")
        assert status.next_try_in_s is not None and status.next_try_in_s >= 1.0
        assert not [leg for leg in customers(world) if leg.made_at > taken_at + 0.01]
        await world.stop()

    run(main, seed=4)
