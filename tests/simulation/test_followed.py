"""What another daemon changes in the database they share: followed in seconds, across outages, without harm at rest."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.records import Agent, Blocked, Campaign, LeadList, Line
from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from daemon.store.memory import MemoryStore, NoFaults
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import dialled, open_office

SHORT = people.People(answer_chance=1.0, talk_mean_s=5.0, ring_mean_s=2.0, machine_share=0.0)
SOON_S = 5.0


class Away(NoFaults):
    """The way from this daemon to the database, cut while `away`."""

    away = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def before(self, op: str) -> None:
        self.asked.append(op)
        if self.away:
            raise StoreUnavailable("no route to the database")


async def another(world: World) -> MemoryStore:
    """The same database, as another daemon has it."""
    assert world.store is not None
    store = MemoryStore(world.clock, tables=world.store.tables)
    await store.open()
    return store


@pytest.mark.feature("PBX-04", clause="what another daemon changes is followed within 5 s, on simulated time too")
def test_changes_by_another_daemon_hold_here() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=2000)
        other = await another(world)
        await world.until(lambda: len(dialled(world)) > 3, 60.0)
        view = lambda: world.app.hub.view()["campaigns"][str(campaign.id)]  # noqa: E731

        await other.update(Campaign, campaign.id, {"state": "paused", "speed": 2}, None)  # as its facts do
        await asyncio.sleep(SOON_S)
        assert (view().state, view().speed) == ("paused", 2)
        since = loop.time()
        await asyncio.sleep(30.0)
        assert dialled(world, since) == []
        await other.update(Campaign, campaign.id, {"state": "running"}, None)
        await world.until(lambda: len(dialled(world, since)) > 3, 60.0)

        await other.update(LeadList, world.list.id, {"active": False}, None)
        await asyncio.sleep(SOON_S)
        since = loop.time()
        await asyncio.sleep(30.0)
        assert dialled(world, since) == []
        await other.update(LeadList, world.list.id, {"active": True}, None)
        await world.until(lambda: len(dialled(world, since)) > 3, 60.0)

        await other.update(Agent, world.agents[0].id, {"enabled": False}, None)
        await world.until(lambda: not world.live.desks[world.agents[0].id].signed_in, 120.0)
        (line,) = world.live.pool.lines
        await other.update(Line, line, {"enabled": False}, None)
        await asyncio.sleep(SOON_S)
        since = loop.time()
        await asyncio.sleep(30.0)
        assert dialled(world, since) == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-05", clause="what others changed while the database was away is followed when it is back")
def test_changes_during_an_outage_are_followed_after_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=2000)
        assert world.store is not None and world.group is not None
        other = await another(world)
        world.store.faults = way = Away()
        kept = await other.create(Blocked(group_id=world.group.id, e164="+33199000900"))
        await asyncio.sleep(SOON_S)
        way.away = True
        await asyncio.sleep(30.0)
        await other.update(Campaign, campaign.id, {"wrap_up_max_s": 33.0}, None)
        await other.delete(Blocked, kept.id, None)
        row = await other.create(Blocked(group_id=world.group.id, e164="+33199001500"))
        await asyncio.sleep(60.0)
        assert row.id not in world.live.blocked
        way.away = False
        await asyncio.sleep(SOON_S)
        assert world.live.campaigns[campaign.id].record.wrap_up_max_s == 33.0
        assert set(world.live.blocked) == {row.id}
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-05", clause="a database put back as it was earlier is read anew, deletions too")
def test_a_database_that_went_back_is_read_anew() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=1, leads=20, at_work=False)
        assert world.store is not None and world.group is not None
        tables = world.store.tables
        other = await another(world)
        gone = await other.create(Blocked(group_id=world.group.id, e164="+33199000900"))
        await asyncio.sleep(SOON_S)
        assert set(world.live.blocked) == {gone.id}
        del tables.config[Blocked][gone.id]  # the copy knows neither of it nor of what came of it
        tables.told.clear()
        tables.told_n = 1
        row = tables.config[Campaign][campaign.id]
        assert isinstance(row, Campaign)
        row.wrap_up_max_s = 44.0
        await asyncio.sleep(SOON_S)
        assert not world.live.blocked and not world.live.blacklist
        assert world.live.campaigns[campaign.id].record.wrap_up_max_s == 44.0
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("PBX-04", clause="a daemon that made a change itself hears of it again without a trace")
def test_what_was_done_here_is_heard_again_without_harm() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=2000)
        assert world.store is not None
        await world.until(lambda: len(dialled(world)) > 3, 60.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await world.submit(c.TuneCampaign(campaign_id=campaign.id, speed=9))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        live = world.live.campaigns[campaign.id]
        since, at = live.since_utc, loop.time()
        await asyncio.sleep(SOON_S)
        assert live.record.version > campaign.version, "the row was read again"
        assert (live.since_utc, live.state, live.record.speed) == (since, "running", 9)
        await world.until(lambda: len(dialled(world, at)) > 3, 60.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("PBX-04", clause="a campaign started elsewhere that may not run here stays as it is here")
def test_started_elsewhere_but_not_allowed_here() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, SHORT, agents=2, leads=200, at_work=False)
        await world.staff(campaign)
        other = await another(world)
        await other.update(Campaign, campaign.id, {"mode": "predictive", "safe_message": "sorry"}, None)
        await asyncio.sleep(SOON_S)
        world.live.link.capabilities = world.live.link.capabilities - {"play_message"}
        await other.update(Campaign, campaign.id, {"state": "running"}, None)
        since = loop.time()
        await asyncio.sleep(30.0)
        assert world.app.hub.view()["campaigns"][str(campaign.id)].state == "stopped"
        assert dialled(world, since) == []
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("RELY-09", clause="at rest the database is asked what has changed once in two seconds, no more")
def test_at_rest_one_short_question_each_two_seconds() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, _ = await open_office(loop, SHORT, agents=2, leads=0, at_work=False)
        assert world.store is not None
        await asyncio.sleep(SOON_S)
        world.store.faults = way = Away()
        await asyncio.sleep(60.0)
        assert way.asked.count("changes") == 30
        assert not {"get_many", "find"} & set(way.asked)
        await world.stop()

    run(main, seed=1)
