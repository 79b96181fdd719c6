"""Several sites in one daemon: one campaign on all of them, and the trouble of one is nobody else's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import pytest

from daemon.calls.records import Agent, Campaign, Line
from daemon.engine import commands as c
from daemon.settings import AriTable, Settings, SiteTable
from fake_asterisk import FakeAsterisk, people
from fake_asterisk.config import AriUser
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

CROWD = people.People(answer_chance=0.8, talk_mean_s=6.0, ring_mean_s=2.0, machine_share=0.0)
AGENTS = 3
CUSTOMERS = "0199"
"""What their numbers begin with; the old box has no ids of ours to know them by."""
WINDOW_S = 60.0
SLACK_S = {"main": 0.1, "north": 0.002, "south": 0.002}
"""How much longer answer to bridge may take in another's trouble: AsyncAGI looks for commands each tenth of a second in
silence, the other two take a millisecond."""


@dataclass
class Site:
    """One PBX and where the daemon finds it."""

    id: str
    fake: FakeAsterisk
    port: int
    serve: Callable[[], asyncio.BaseProtocol]

    def calls(self, since: float, until: float) -> int:
        """Customers dialled in that span."""
        legs = self.fake.ledger.legs.values()
        return sum(leg.number.startswith(CUSTOMERS) and since <= leg.made_at < until for leg in legs)

    def latency_s(self, since: float, until: float) -> float:
        """The longest from an answer in that span to the bridge with an agent."""
        waits = [
            leg.stays[0].entered_at - leg.answered_at
            for leg in self.fake.ledger.legs.values()
            if leg.number.startswith(CUSTOMERS) and leg.answered_at and since <= leg.answered_at < until and leg.stays
        ]
        return max(waits)


def settings_of(settings: Settings) -> Settings:
    """The world's own site in `asyncagi`, an old box that speaks AMI 1.1, and one by ARI."""
    (main,) = settings.sites
    north = msgspec.structs.replace(main, id="north", tcp_port=5039, username="basic", mode="auto")
    ari = AriTable(url="http://127.0.0.1:8089", username="dialer", password_file=main.secret_file)
    south = SiteTable(id="south", driver="ari", ari=ari, backoff_max_s=2.0)
    return msgspec.structs.replace(settings, sites=[main, north, south])


def open_sites(loop: VirtualLoop, world: World) -> list[Site]:
    """The two other PBXs, listening."""
    network = loop.network
    assert network is not None
    made = [Site("main", world.fake, 5038, world.fake.protocol_factory)]
    for n, (name, port) in enumerate((("north", 5039), ("south", 8089))):
        config = pbx(AGENTS, CROWD)
        config.ari_users["dialer"] = AriUser("s3cret")
        if name == "north":
            config.ami_version, config.version = "1.1", "1.8.32"
        fake = FakeAsterisk(config, loop=loop, rng=random.Random(50 + n), wall=world.clock.epoch)
        serve = fake.ari_protocol_factory if name == "south" else fake.protocol_factory
        network.serve(port, serve)
        made.append(Site(name, fake, port, serve))
    return made


async def furnish(world: World, sites: list[Site]) -> Campaign:
    """One campaign without a site, with a line and agents on each; everybody is ready."""
    campaign = await world.furnish(agents=AGENTS, leads=4000, lines=(20,), wrap_up_max_s=1.0, ring_timeout_s=15.0)
    store = world.store
    assert store is not None and world.group is not None
    lines, people_ = list(campaign.line_ids), list(world.agents)
    for site in sites[1:]:
        name = f"T-{site.id}"
        line = await store.create(Line(group_id=world.group.id, site=site.id, name=name, endpoint="trunk", capacity=20))
        lines.append(line.id)
        for n in range(AGENTS):
            extension = str(1001 + n)
            row = Agent(
                group_id=world.group.id, site=site.id, login=f"{site.id}{n}", name=f"{site.id} {n}",
                extension=extension, nailed=site.id != "north",
            )  # fmt: skip
            people_.append(await store.create(row))
    campaign = await store.update(Campaign, campaign.id, {"site": "", "line_ids": lines}, None)
    await world.start()
    await world.until(lambda: all(r.leading and r.core.live.link.synced for r in world.app.hub.runners.values()), 60.0)
    for agent in people_:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
    await asyncio.sleep(10.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return campaign


@pytest.mark.feature(
    "PBX-04", clause="AMI 22, AMI 1.1, ARI, one campaign: cut, restarted, slow: the others go on as before"
)
def test_the_trouble_of_one_site_is_nobody_elses() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=6, mode="asyncagi", pbx_config=pbx(AGENTS, CROWD))
        world.settings_changes = settings_of
        sites = open_sites(loop, world)
        campaign = await furnish(world, sites)
        network = loop.network
        assert network is not None
        speaks = {id: runner.pbx.status() for id, runner in world.app.hub.runners.items()}
        assert (speaks["main"].mode, speaks["south"].driver) == ("asyncagi", "ari")
        assert "Call Manager/1.1" in speaks["north"].version
        await asyncio.sleep(20.0)
        calm = loop.time()
        await asyncio.sleep(WINDOW_S)
        usual = {site.id: site.calls(calm, loop.time()) for site in sites}
        assert min(usual.values()) > 10
        waits = {site.id: site.latency_s(calm, loop.time() - 5.0) for site in sites}
        print(usual, waits)
        numbers = [
            leg.number for site in sites for leg in site.fake.ledger.legs.values() if leg.number.startswith(CUSTOMERS)
        ]
        assert len(numbers) == len(set(numbers)), "each person is dialled by one site only"

        async def cut() -> None:
            network.stop(sites[0].port)
            sites[0].fake.faults.cut()
            await asyncio.sleep(WINDOW_S)
            network.serve(sites[0].port, sites[0].serve)

        async def restart() -> None:
            sites[1].fake.power.command("kill")
            await asyncio.sleep(WINDOW_S / 2)
            sites[1].fake.power.command("boot")
            await asyncio.sleep(WINDOW_S / 2)

        async def slow() -> None:
            sites[2].fake.faults.slow(delay_s=0.8)
            await asyncio.sleep(WINDOW_S)
            sites[2].fake.faults.slow()

        troubles: list[Callable[[], Awaitable[None]]] = [cut, restart, slow]
        for site, trouble in zip(sites, troubles, strict=True):
            since = loop.time()
            await trouble()
            until = loop.time()
            for other in sites:
                if other is not site:
                    assert other.calls(since, until) > 0.6 * usual[other.id], (site.id, other.id)
                    longest = other.latency_s(since, until - 5.0)
                    assert longest < waits[other.id] + SLACK_S[other.id], (site.id, other.id)
            await asyncio.sleep(30.0)
        since = loop.time()
        await asyncio.sleep(WINDOW_S)
        for site in sites:
            assert site.calls(since, loop.time()) > 0.6 * usual[site.id], "all are well again"
        view = world.app.hub.view()["campaigns"][str(campaign.id)]
        alone = [
            runner.core.publisher.views["campaigns"][str(campaign.id)] for runner in world.app.hub.runners.values()
        ]
        assert view.outcomes["connected"] == sum(part.outcomes["connected"] for part in alone)  # type: ignore[union-attr]
        await world.submit(c.StopCampaign(campaign_id=campaign.id))
        assert {r.core.live.campaigns[campaign.id].state for r in world.app.hub.runners.values()} == {"stopped"}
        await world.stop()

    run(main, seed=6)


def test_what_moves_to_another_site_leaves_the_one_it_was_on() -> None:
    """The engine it left went on: a campaign was dialled on both, a line filled on both, an agent at work on both."""

    def two_of(settings: Settings) -> Settings:
        main, _, south = settings_of(settings).sites
        return msgspec.structs.replace(settings, sites=[main, south])

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=6, mode="asyncagi", pbx_config=pbx(AGENTS, CROWD))
        world.settings_changes = two_of
        here, _, there = open_sites(loop, world)
        campaign = await furnish(world, [here, there])
        await asyncio.sleep(5.0)
        store, live = world.store, {id: runner.core.live for id, runner in world.app.hub.runners.items()}
        assert store is not None
        line, agent = next(iter(live["south"].pool.lines)), next(iter(live["south"].desks))
        await store.update(Line, line, {"site": "main"}, None)
        await store.update(Agent, agent, {"site": "main", "extension": "1009"}, None)
        await store.update(Campaign, campaign.id, {"site": "main"}, None)
        for table, id in (("Line", line), ("Agent", agent), ("Campaign", campaign.id)):
            await world.submit(c.ConfigChanged(table=table, ids=(id,)))
        since = loop.time() + 1.0
        await asyncio.sleep(20.0)
        assert [id for id, each in live.items() if line in each.pool.lines] == ["main"]
        assert agent in live["main"].desks
        assert here.calls(since, loop.time()) > 2 and there.calls(since, loop.time()) == 0
        known = live["south"].campaigns.get(campaign.id)
        assert known is None or not known.hopper
        desks = live["south"].desks  # there for as long as a conversation of theirs goes on
        await world.until(lambda: agent not in desks or not desks[agent].signed_in, 120.0)
        await world.stop()

    run(main, seed=6)
