"""An agent who is deleted or disabled in a conversation, and the daemon dies before its end: nothing stays held."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.records import Agent
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx


async def leave(world: World, agent: Agent, how: str, dies: bool) -> None:
    """The row goes, or is switched off; the daemon hears of it, or finds it so at its next start."""
    assert world.store is not None
    if how == "deleted":
        await world.store.delete(Agent, agent.id, None)
    else:
        await world.store.update(Agent, agent.id, {"enabled": False}, None)
    if dies:
        world.kill()
        await world.start()
    else:
        await world.submit(c.ConfigChanged(table="Agent", ids=(agent.id,)))


def nothing_held(world: World, agent: Agent) -> bool:
    """No line, no lead but those queued, no phone, no state of the agent's."""
    assert world.store is not None
    tables = world.store.tables
    lines = sum(line.in_use for line in world.live.pool.lines.values())
    called = {row.lead_id for row in tables.attempts.values()}
    leads = [lead.claimed_by for lead in tables.leads.values() if lead.id in called]
    phones = [leg for leg in world.fake.ledger.legs.values() if leg.ended_at is None]
    last = tables.intervals[agent.id][-1]
    return not lines and not any(leads) and not phones and last.state == "signed_out"


@pytest.mark.feature("AGNT-01", clause="deleted or disabled in a call: finishes it, over a restart too, and leaves")
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "ari"])
@pytest.mark.parametrize("how", ["deleted", "disabled"])
@pytest.mark.parametrize("dies", [False, True])
def test_an_agent_gone_in_a_conversation(mode: str, how: str, dies: bool) -> None:
    """After a restart the conversation of one who was deleted was cut, and told as abandoned; one who was disabled went
    on with the next call."""

    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=1.0, talk_mean_s=60.0, ring_mean_s=1.0, machine_share=0.0)
        world = World(loop, seed=4, mode=mode, pbx_config=pbx(2, crowd))
        campaign = await world.furnish(agents=1, leads=3)
        await world.start()
        (agent,) = world.agents
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: world.live.desks[agent.id].state == "on_call", 60.0)
        await asyncio.sleep(2.0)
        await leave(world, agent, how, dies)
        await asyncio.sleep(600.0)
        assert world.store is not None
        (row,) = world.store.tables.attempts.values()
        assert row.outcome == "connected" and row.ended_by == "customer" and row.talk_s > 8.0 and row.disposition
        assert nothing_held(world, agent)
        assert (agent.id in world.live.desks) == (how == "disabled")
        await world.stop()

    run(main, seed=4)


@pytest.mark.parametrize("how", ["deleted", "disabled"])
@pytest.mark.parametrize("paused", [False, True])
def test_an_agent_gone_between_calls_while_no_daemon_was_there(how: str, paused: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=4, pbx_config=pbx(2))
        campaign = await world.furnish(agents=1, leads=3)
        await world.start()
        (agent,) = world.agents
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=not paused))
        await asyncio.sleep(30.0)
        await leave(world, agent, how, dies=True)
        await asyncio.sleep(30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        assert world.store is not None and not world.store.tables.attempts
        assert nothing_held(world, agent)
        await world.stop()

    run(main, seed=4)
