"""Red list and lists switched off while the dialler runs, seen from the PBX (features IMPT-13, IMPT-14)."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import LeadList
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

pytestmark = pytest.mark.timeout(300)


async def _running(loop: VirtualLoop) -> World:
    """Three agents, three hundred leads, nobody answers: each lead is dialled soon after the one before."""
    world = World(loop, seed=21, pbx_config=pbx(3, people.People(answer_chance=0.0)))
    campaign = await world.furnish(agents=3, leads=300, ring_timeout_s=15.0)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(2.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: len(_dialled(world, 0.0)) >= 20, 600.0)
    return world


def _dialled(world: World, since: float) -> list[str]:
    """Numbers the PBX was asked for from that instant of the loop on."""
    legs = world.fake.ledger.legs.values()
    return [leg.number for leg in legs if CUSTOMER.match(leg.uniqueid) and leg.made_at >= since]


@pytest.mark.feature("IMPT-13", clause="a blocked number is not dialled a second later; unblocked, it is again")
@pytest.mark.feature("LEGL-07", clause="a lead already queued is dropped before it is dialled")
def test_a_number_on_the_red_list_is_not_dialled_a_second_later() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _running(loop)
        assert world.store is not None and world.client is not None
        waiting = [f"+3319900{n:04d}" for n in range(300) if f"019900{n:04d}" not in _dialled(world, 0.0)]
        blocked = waiting[:40]  # the next of the order: some are queued already
        for e164 in blocked:
            await world.store.set_dnc(world.client.id, e164, True, "test", "asked")
        await world.submit(c.LeadsChanged(e164s=tuple(blocked)))
        since = loop.time() + 1.0
        await asyncio.sleep(120.0)
        after = _dialled(world, since)
        assert after and not {f"0{e164[3:]}" for e164 in blocked} & set(after)
        back = blocked[0]
        ids = await world.store.set_dnc(world.client.id, back, False, "test", "asked again")
        await world.submit(c.LeadsChanged(lead_ids=tuple(ids), e164s=(back,)))
        await world.until(lambda: f"0{back[3:]}" in _dialled(world, since), 60.0)
        await world.stop()

    run(main, seed=21)


@pytest.mark.feature("IMPT-14", clause="a list switched off stops at once, and goes on when switched on")
def test_a_list_switched_off_stops_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await _running(loop)
        assert world.store is not None

        async def switch(active: bool) -> float:
            await world.store.update(LeadList, world.list.id, {"active": active}, None)  # type: ignore[union-attr]
            await world.submit(c.ConfigChanged(table="LeadList", ids=(world.list.id,)))
            return loop.time()

        off = await switch(False)
        await asyncio.sleep(120.0)
        assert _dialled(world, off + 1.0) == []
        await world.store.add_leads(world.list.id, [LeadDraft(e164="+33199009999", last_name="Late")])
        await world.submit(c.LeadsChanged())
        await asyncio.sleep(10.0)
        assert _dialled(world, off + 1.0) == []
        on = await switch(True)
        await world.until(lambda: len(_dialled(world, on)) > 3, 60.0)
        await world.stop()

    run(main, seed=22)
