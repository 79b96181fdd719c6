"""What a restart of the daemon in the middle of a call leaves in its row."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.control import Control
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import a_connect_into_a_dead_link, answered_by_nobody, link_again


@pytest.mark.feature("RELY-06", clause="who was abandoned before a restart stays abandoned, and answered")
def test_a_restart_while_the_message_plays() -> None:
    """Customers answer, every agent is taken away, the daemon is killed as the message plays and the people are gone
    when it is back (found by rounds of kill -9 beside a real Asterisk: the rows had lost when it was answered)."""

    async def main(loop: VirtualLoop) -> None:
        world = await answered_by_nobody(loop)
        await world.until(lambda: any(call.state == "message" for call in world.live.calls.values()), 60.0)
        await asyncio.sleep(0.2)
        world.kill()
        await asyncio.sleep(60.0)
        await world.start()
        await asyncio.sleep(20.0)
        assert world.store is not None
        rows = [row for row in world.store.tables.attempts.values() if row.outcome == "abandoned"]
        assert rows
        assert all(row.answered_at is not None for row in rows)
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-02", clause="an end that nobody told us of is unknown, not a failure of ours")
def test_an_end_whose_events_were_lost() -> None:
    """Everybody is busy; for some seconds every event is lost on a link that stays up."""

    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.0, busy_share=1.0, machine_share=0.0)
        world = World(loop, seed=6, pbx_config=pbx(3, crowd))
        campaign = await world.furnish(agents=3, leads=400, lines=(4,))
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(5.0)
        world.fake.faults.disturb_events(lose_every=1)
        await asyncio.sleep(6.0)
        world.fake.faults.disturb_events()
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(90.0)
        assert world.store is not None
        outcomes = {row.outcome for row in world.store.tables.attempts.values()}
        assert outcomes == {"busy", "unknown"}
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-04", clause="a login while the PBX boots slowly is done again once it has booted")
def test_a_pbx_that_boots_slowly() -> None:
    """Its port opens long before it is ready; it may list only some of a user's rights then (seen under load)."""

    async def main(loop: VirtualLoop) -> None:
        config = pbx(2)
        config.boot_ready_s = 6.0
        world = World(loop, seed=6, pbx_config=config)
        await world.furnish(agents=2, leads=10)
        await world.start()
        assert loop.network is not None
        logins: list[float] = []
        loop.network.to_server.append(lambda data: logins.append(loop.time()) if b"Action: Login" in data else None)
        world.fake.power.command("kill")
        await asyncio.sleep(1.0)
        world.fake.power.command("boot")
        booted = loop.time() + config.boot_port_s + config.boot_ready_s
        await asyncio.sleep(30.0)
        assert logins[0] < booted < logins[-1]
        assert world.live.link.synced
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-04", clause="after a half-open link, conversations last as long as the people talk")
@pytest.mark.parametrize("patient", [False, True])
def test_a_hang_up_that_a_dead_link_swallowed(patient: bool) -> None:
    """A Connect goes into a dead link, so does the hang-up of the agent's leg that follows when it is late. The bound
    on that hang-up must not end what the agent talks when the link is back (found beside a real Asterisk: talk was
    booked short), nor may the customer, if still there, wait on."""

    async def main(loop: VirtualLoop) -> None:
        world, swallowed_at = await a_connect_into_a_dead_link(loop, agents=4, leads=60)
        await asyncio.sleep(2.0)
        (customer,) = (call.leg for call in world.live.calls.values() if call.waits_for_leg)
        if not patient:
            Control(world.fake).do("hangup", channel=customer)
        await link_again(world)
        await asyncio.sleep(1.5)
        early = [call for call in world.live.calls.values() if call.state == "talking"]
        assert not any(call.waits_for_leg for call in world.live.calls.values())
        await asyncio.sleep(max(0.0, swallowed_at + 7.0 - loop.time()))
        assert len(early) >= 3
        assert all(call.state == "talking" and call.unbridged_at is None for call in early)
        assert len([call for call in world.live.calls.values() if call.state == "talking"]) == 4
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-02", clause="an end told while the next life logs in is never booked as cancelled")
@pytest.mark.parametrize("told", [b"Action: DeviceStateList", b"Action: Status"])
def test_a_conversation_that_ends_while_the_next_life_logs_in(told: bytes) -> None:
    """The daemon dies as two people begin to talk; the customer hangs up while the next one lists what there is."""

    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=600.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=6, pbx_config=pbx(1, crowd))
        campaign = await world.furnish(agents=1, leads=10)
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        assert loop.network is not None
        await world.until(lambda: any(call.state == "ringing" for call in world.live.calls.values()), 60.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.state == "talking" for call in world.live.calls.values()), 60.0, 0.001)
        customer = next(call.leg for call in world.live.calls.values() if call.state == "talking")
        world.kill()
        await asyncio.sleep(3.0)
        done: list[bytes] = []

        def leave(data: bytes) -> None:
            if told in data and not done:
                done.append(data)
                Control(world.fake).do("hangup", channel=customer)

        loop.network.to_server.append(leave)
        await world.start()
        await asyncio.sleep(20.0)
        assert done
        assert world.store is not None
        (row,) = (row for id, row in world.store.tables.attempts.items() if id.hex in customer)
        assert row.outcome in ("unknown", "connected")
        await world.stop()

    run(main, seed=6)


@pytest.mark.feature("RELY-06", clause="an agent whose phone was rung for the call keeps it over a restart, and talks")
def test_a_restart_while_the_agents_own_phone_waits_for_the_customer() -> None:
    """On demand: the agent is reserved, then rung, then the customer. The store knows the reservation without the
    phone, which was hung up as a stranger's, and who answered met nobody (found by a fresh seed)."""

    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=60.0, ring_mean_s=8.0, machine_share=0.0)
        world = World(loop, seed=31, mode="dialplan", pbx_config=pbx(1, crowd))
        campaign = await world.furnish(agents=1, leads=3, lines=(2,), nailed=0, wrap_up_max_s=1.0)
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: any(call.state == "ringing" for call in world.live.calls.values()), 60.0)
        [call] = world.live.calls.values()
        await asyncio.sleep(1.0)
        world.kill()
        await world.start()
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(600.0)
        assert world.store is not None
        row = world.store.tables.attempts[call.attempt_id]
        assert (row.outcome, row.agent_id) == ("connected", world.agents[0].id)
        phones = [leg for leg in world.fake.ledger.legs if "-ag-" in leg]
        assert len(phones) == 1, "its phone was not rung a second time"
        await world.stop()

    run(main, seed=31)
