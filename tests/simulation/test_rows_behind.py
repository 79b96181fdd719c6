"""What was ordered a moment ago is not in the database yet, as another setting of the same row is changed there."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.records import Campaign, Line
from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from daemon.store.memory import NoFaults
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

SHORT = people.People(answer_chance=1.0, talk_mean_s=5.0, ring_mean_s=2.0, machine_share=0.0)


class FactsBehind(NoFaults):
    """While `behind`, no fact gets into the database; `written`: it does, but the word of it does not come back."""

    def __init__(self, *, written: bool = False) -> None:
        self.behind, self._written = False, written
        self.slow_rows_s = 0.0

    async def before(self, op: str) -> None:
        if op == "apply_facts" and self.behind and not self._written:
            raise StoreUnavailable("no fact arrives")

    async def after(self, op: str) -> None:
        if op == "apply_facts" and self.behind and self._written:
            raise StoreUnavailable("no answer arrives")
        if op == "get_many" and self.slow_rows_s:
            await asyncio.sleep(self.slow_rows_s)


async def at_work(loop: VirtualLoop, faults: FactsBehind) -> tuple[World, Campaign]:
    world, campaign = await open_office(loop, SHORT, agents=2, leads=2000)
    assert world.store is not None
    world.store.faults = faults
    await world.until(lambda: len(dialled(world)) > 3, 60.0)
    return world, campaign


async def renamed(world: World, id: int) -> None:
    """As the API does it: the row, then word of it."""
    assert world.store is not None
    await world.store.update(Campaign, id, {"name": "Autre nom"}, None)
    await world.submit(c.ConfigChanged(table="Campaign", ids=(id,)))


@pytest.mark.feature("RELY-05", clause="paused, then renamed before the database knows of the pause: it stays paused")
@pytest.mark.parametrize("order", ["pause", "stop"])
@pytest.mark.parametrize("written", [False, True], ids=["facts late", "answers late"])
def test_a_setting_changed_behind_a_pause_starts_nobody(order: str, written: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = FactsBehind(written=written)
        world, campaign = await at_work(loop, faults)
        faults.behind = True
        one = c.PauseCampaign if order == "pause" else c.StopCampaign
        await world.submit(one(campaign_id=campaign.id))
        await renamed(world, campaign.id)
        ordered_at = loop.time()
        view = world.app.hub.view()["campaigns"][str(campaign.id)]
        assert (view.name, view.state) == ("Autre nom", "paused" if order == "pause" else "stopped")
        await asyncio.sleep(2.0)
        faults.behind = False
        await asyncio.sleep(60.0)
        assert dialled(world, ordered_at + 0.5) == []
        assert world.store is not None
        row = await world.store.get(Campaign, campaign.id)
        assert row is not None and row.state == view.state and row.name == "Autre nom"
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-05", clause="started, then renamed before the database knows of the start: it dials on")
def test_a_setting_changed_behind_a_start_stops_nobody() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = FactsBehind()
        world, campaign = await at_work(loop, faults)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(30.0)
        faults.behind = True
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await renamed(world, campaign.id)
        faults.behind = False
        since = loop.time()
        await world.until(lambda: len(dialled(world, since)) > 3, 60.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-05", clause="a pause ordered while the row is being read holds")
def test_a_pause_while_the_row_is_on_its_way() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = FactsBehind()
        world, campaign = await at_work(loop, faults)
        faults.slow_rows_s = 1.0
        renaming = asyncio.create_task(renamed(world, campaign.id))
        await asyncio.sleep(0.3)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        paused_at = loop.time()
        await renaming
        await asyncio.sleep(60.0)
        assert world.app.hub.view()["campaigns"][str(campaign.id)].state == "paused"
        assert dialled(world, paused_at + 0.5) == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-07", clause="the speed just set stays as another setting is changed; another's order holds")
def test_speed_and_what_another_daemon_ordered() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = FactsBehind()
        world, campaign = await at_work(loop, faults)
        assert world.store is not None
        faults.behind = True
        await world.submit(c.TuneCampaign(campaign_id=campaign.id, speed=9, level=3))
        await renamed(world, campaign.id)
        record = world.live.campaigns[campaign.id].record
        assert (record.speed, record.level, record.name) == (9, 3, "Autre nom")
        faults.behind = False
        await asyncio.sleep(30.0)
        await world.store.update(Campaign, campaign.id, {"speed": 2, "state": "paused"}, None)  # as its fact would
        await world.submit(c.ConfigChanged(table="Campaign", ids=(campaign.id,)))
        campaign_live = world.live.campaigns[campaign.id]
        assert (campaign_live.record.speed, campaign_live.state) == (2, "paused")
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-05", clause="a line switched off stays so as another setting of it is changed")
def test_a_line_switched_off_carries_nothing_after_a_change_of_its_row() -> None:
    async def main(loop: VirtualLoop) -> None:
        faults = FactsBehind()
        world, _ = await at_work(loop, faults)
        assert world.store is not None
        (line,) = world.live.pool.lines
        faults.behind = True
        await world.submit(c.SetLine(line_id=line, enabled=False))
        off_at = loop.time()
        await world.store.update(Line, line, {"priority": 7}, None)
        await world.submit(c.ConfigChanged(table="Line", ids=(line,)))
        await asyncio.sleep(2.0)
        faults.behind = False
        await asyncio.sleep(60.0)
        assert dialled(world, off_at + 0.5) == []
        assert world.app.hub.view()["lines"][str(line)].state == "off"
        await world.stop()

    run(main, seed=1)
