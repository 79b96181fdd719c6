"""An office for the simulated-time tests: a world with a campaign at work, and questions to the fake PBX's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from daemon.calls.records import Campaign, CampaignMode
from daemon.engine import commands as c
from daemon.settings import Settings
from fake_asterisk import Leg, people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop
from simulation.world import World, pbx


async def open_office(
    loop: VirtualLoop,
    crowd: people.People,
    *,
    seed: int = 1,
    agents: int = 3,
    at_work: bool = True,
    calm: bool = False,
    **fields: Any,
) -> tuple[World, Campaign]:
    """Furnish, start the daemon, sign the agents in and start the campaign; without `at_work` nobody is signed in.

    `calm`: timers that only matter to milliseconds run less often, for tests that last an hour.
    """
    world = World(loop, seed=seed, mode="dialplan", pbx_config=pbx(agents, crowd))
    world.settings_changes = _calm if calm else None
    campaign = await world.furnish(agents=agents, **({"ring_timeout_s": 15.0, "leads": 40} | fields))
    await world.start()
    if at_work:
        await world.staff(campaign)
        await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return world, campaign


async def answered_by_nobody(loop: VirtualLoop) -> World:
    """Two predictive agents who are both made busy by hand while calls ring: whoever answers finds nobody."""
    crowd = people.People(answer_chance=1.0, talk_mean_s=300.0, ring_mean_s=6.0, machine_share=0.0)
    world = World(loop, seed=6, mode="dialplan", pbx_config=pbx(2, crowd))
    campaign = await world.furnish(
        agents=2, leads=30, mode=CampaignMode.PREDICTIVE, level=3, speed=10, pause_mode="off"
    )
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: len(world.live.calls) >= 2, 60.0)
    for agent in world.agents:
        await world.submit(c.SetPaused(agent_id=agent.id))
    await world.submit(c.PauseCampaign(campaign_id=campaign.id))
    return world


async def a_connect_into_a_dead_link(loop: VirtualLoop, *, agents: int, leads: int) -> tuple[World, float]:
    """Everybody answers; the first Connect and all behind it go into a half-open link. And when that was."""
    crowd = people.People(answer_chance=1.0, talk_mean_s=600.0, ring_mean_s=1.0, machine_share=0.0)
    world = World(loop, seed=6, pbx_config=pbx(agents, crowd))
    campaign = await world.furnish(agents=agents, leads=leads)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    assert loop.network is not None
    swallowed: list[float] = []

    def swallow(data: bytes) -> None:
        if b"EXEC Bridge" in data and not swallowed:
            swallowed.append(loop.time())
            world.fake.faults.half_open()

    loop.network.to_server.append(swallow)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: bool(swallowed), 30.0)
    return world, swallowed[0]


async def link_again(world: World) -> None:
    """The dead link is cut, and the next one in step."""
    world.fake.faults.half_open(False)
    world.fake.faults.cut()
    await asyncio.sleep(0.1)
    await world.until(lambda: world.live.link.synced, 10.0)


def _calm(settings: Settings) -> Settings:
    dialer = msgspec.structs.replace(settings.dialer, tick_s=1.0)
    journal = msgspec.structs.replace(settings.journal, sync_interval_s=1.0)
    return msgspec.structs.replace(settings, dialer=dialer, journal=journal)


def customers(world: World, since: float = 0.0) -> list[Leg]:
    """Customer legs that the PBX was asked for from that instant of the loop on, in order."""
    legs = [leg for leg in world.fake.ledger.legs.values() if CUSTOMER.match(leg.uniqueid) and leg.made_at >= since]
    return sorted(legs, key=lambda leg: leg.made_at)


def dialled(world: World, since: float = 0.0) -> list[str]:
    """Their numbers."""
    return [leg.number for leg in customers(world, since)]


def in_use(world: World, since: float, until: float) -> Iterator[tuple[float, int]]:
    """(seconds, customer legs at once) for each stretch between two changes."""
    moves = []
    for leg in customers(world):
        start, end = max(leg.made_at, since), min(leg.ended_at or until, until)
        if start < end:
            moves += [(start, 1), (end, -1)]
    before, count = since, 0
    for at, step in sorted(moves):
        if at > before:
            yield at - before, count
        before, count = at, count + step


def most_at_once(world: World, since: float, until: float) -> int:
    """The most customer legs at one time, those being set up included."""
    return max((count for _, count in in_use(world, since, until)), default=0)


def utc_of(world: World, at: float) -> datetime:
    """An instant of the loop on the wall clock."""
    return world.clock.utcnow() + timedelta(seconds=at - world.loop.time())


async def tune(world: World, campaign: Campaign, **what: Any) -> None:
    """Change mode, level or speed live."""
    await world.submit(c.TuneCampaign(campaign_id=campaign.id, **what))
    await asyncio.sleep(0.1)
