"""Two sites with dial tables of their own: what each PBX is asked to dial, and that an agent's calls leave by the
agent's own site alone (S100-09, S100-11). The fake PBXs' ledgers are the witnesses."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from daemon.calls.records import Agent, Campaign, CampaignMode, Line
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import Settings
from fake_asterisk import FakeAsterisk, people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

pytestmark = pytest.mark.timeout(120)
ANSWERS = people.People(answer_chance=1.0, talk_mean_s=9e6, ring_mean_s=1.0, machine_share=0.0)
NUMBERS = {
    **{f"+33{lead}43000000": f"0{lead}43000000" for lead in (1, 2, 3, 4, 5, 6, 7)},
    "+33948123456": "0948123456",  # 08 is dear or free, and never dialled
    "+590690123456": "0690123456",
    "+262692123456": "0692123456",
    "+508411234": "0508411234",
    "+442079460958": "00442079460958",
    "+12125551234": "0012125551234",
}
"""E.164 of each class (01 to 07 and 09, departments overseas, elsewhere), and what a French PBX is to dial."""


def settings_of(settings: Settings) -> Settings:
    """The world's own site dials nationally; a second, behind an outside line's 9, takes E.164 as it is."""
    (main,) = settings.sites
    second = msgspec.structs.replace(main, id="second", tcp_port=5039, number_format="e164", number_prefix="9")
    return msgspec.structs.replace(settings, sites=[main, second])


async def two_sites(loop: VirtualLoop) -> tuple[World, FakeAsterisk, Campaign, Agent]:
    """The world (its `fake` is the first site's PBX), the second's PBX, a campaign of both, the second's agent."""
    world = World(loop, seed=6, mode="asyncagi", pbx_config=pbx(3, ANSWERS))
    world.settings_changes = settings_of
    other = FakeAsterisk(pbx(3, ANSWERS), loop=loop, rng=random.Random(50), wall=world.clock.epoch)
    assert loop.network is not None
    loop.network.serve(5039, other.protocol_factory)
    campaign = await world.furnish(agents=1, leads=0, mode=CampaignMode.MANUAL)
    store = world.store
    assert store is not None and world.group is not None
    group = world.group.id
    line = await store.create(Line(group_id=group, site="second", name="T-second", endpoint="trunk", capacity=20))
    row = Agent(group_id=group, site="second", login="second", name="Second", extension="1001", nailed=True)
    agent = await store.create(row)
    lines = [*campaign.line_ids, line.id]
    campaign = await store.update(Campaign, campaign.id, {"site": "", "line_ids": lines}, None)
    await world.start()
    await world.until(lambda: all(r.leading and r.core.live.link.synced for r in world.app.hub.runners.values()), 60.0)
    return world, other, campaign, agent


def dialled(fake: FakeAsterisk) -> list[str]:
    """The customers this PBX was asked to dial, in order."""
    legs = sorted(fake.ledger.legs.values(), key=lambda leg: leg.made_at)
    return [leg.number for leg in legs if CUSTOMER.match(leg.uniqueid)]


@pytest.mark.feature(
    "S100-09", clause="01 to 09, departments overseas, elsewhere: each site's PBX gets them as its own table says"
)
def test_each_class_of_number_by_each_sites_table() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, other, _, _ = await two_sites(loop)
        assert world.group is not None
        group = world.group.id
        for site in ("main", "second"):
            for e164 in NUMBERS:
                id = world.live.new_id()
                await world.submit(
                    c.CallExtension(attempt_id=id, site=site, group_id=group, extension="1002", e164=e164)
                )
                live = world.app.hub.runners[site].core.live
                await world.until(lambda id=id, live=live: live.calls[id].state == "talking", 30.0)
                await world.submit(c.HangUpCall(attempt_id=id, by="test"))
                await world.until(lambda id=id, live=live: id not in live.calls, 30.0)
            with pytest.raises(CommandError) as caught:
                await world.submit(
                    c.CallExtension(
                        attempt_id=world.live.new_id(), site=site, group_id=group, extension="1002",
                        e164="+33899123456",
                    )
                )  # fmt: skip
            assert caught.value.code == "call_forbidden"
        assert dialled(world.fake) == list(NUMBERS.values())
        assert dialled(other) == [f"9{e164}" for e164 in NUMBERS]
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature(
    "S100-11", clause="an agent of either site: phone and customer on that site's PBX, none on the other"
)
def test_an_agents_calls_leave_by_the_agents_own_site() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, other, campaign, agent = await two_sites(loop)
        for one, number in ((world.agents[0], "+33143000001"), (agent, "+33143000002")):
            live = world.app.hub.runners[one.site].core.live
            await world.submit(c.SignIn(agent_id=one.id, campaign_ids=(campaign.id,), ready=False))
            await world.until(lambda one=one, live=live: live.desks[one.id].leg_state == "parked", 30.0)
            await world.submit(c.DialNumber(agent_id=one.id, campaign_id=campaign.id, e164=number))
            await world.until(lambda one=one, live=live: live.desks[one.id].state == "on_call", 30.0)
        await asyncio.sleep(2.0)
        assert (dialled(world.fake), dialled(other)) == (["0143000001"], ["9+33143000002"])
        for fake, site in ((world.fake, "main"), (other, "second")):
            phones = [leg for leg in fake.ledger.legs if "-ag-" in leg]
            assert len(phones) == 1 and phones[0].startswith(f"{site}-ag-")
        await world.stop()

    run(main, seed=6)
