"""What each mode may never do, where lines and leads would let it: TURBO, RECEPTION, speeds, an agent on demand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.calls.records import CampaignMode
from daemon.cli.main import app
from daemon.engine import commands as c
from fake_asterisk import Behaviour, people
from simulation.checkers import AGENT
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers, dialled, most_at_once, open_office

HALF = people.People(answer_chance=0.5, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)


@pytest.mark.feature("CAMP-03", clause="with lines to spare: never more legs than ready agents, nobody is abandoned")
@pytest.mark.parametrize("nailed", [6, 0])
def test_turbo_has_lines_to_spare_and_leaves_them(nailed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, HALF, agents=6, leads=400, lines=(40,), nailed=nailed)
        since = loop.time()
        await asyncio.sleep(300.0)
        paused = world.agents[0]
        await world.submit(c.SetPaused(agent_id=paused.id, code="PAUSE"))
        await world.until(lambda: world.live.desks[paused.id].state == "paused", 300.0)
        fewer = loop.time()
        await asyncio.sleep(300.0)
        assert 3 < most_at_once(world, since, fewer) <= 6
        assert 3 < most_at_once(world, fewer, loop.time()) <= 5
        outcomes = world.live.campaigns[campaign.id].outcomes
        assert outcomes["connected"] > 30 and outcomes["abandoned"] == 0
        assert world.store is not None and not any(sums[1] for sums in world.store.tables.ledger.values())
        await world.stop()

    run(main, seed=1)


def claimed(world: World) -> int:
    """People held by a campaign, to be called next or in a call."""
    assert world.store is not None
    return sum(lead.claimed_by is not None for lead in world.store.tables.leads.values())


@pytest.mark.feature("CAMP-05", clause="no outbound, with leads that are due and agents that are ready")
def test_reception_dials_nobody() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, HALF, agents=2, leads=30, mode=CampaignMode.INBOUND)
        await asyncio.sleep(600.0)
        assert world.live.campaigns[campaign.id].lead_counts["due"] > 20
        assert {desk.state for desk in world.live.desks.values()} == {"ready"}
        assert customers(world) == []
        assert claimed(world) == 0, "other campaigns may dial the people on its list"
        await world.submit(c.TuneCampaign(campaign_id=campaign.id, mode=CampaignMode.PROGRESSIVE))
        await world.until(lambda: len(customers(world)) > 1, 30.0)
        assert claimed(world) > 0
        await world.submit(c.TuneCampaign(campaign_id=campaign.id, mode=CampaignMode.INBOUND))
        await world.until(lambda: claimed(world) == 0, 300.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature(
    "S100-02", clause="rung out: nobody is dialled, agent_no_answer, no attempt of the lead is used up"
)
def test_an_agent_who_does_not_pick_up_costs_the_lead_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        config = pbx(1, HALF)
        before, deaf = config.behaviour_of, Behaviour(answer_after_s=None)
        config.behaviour_of = lambda endpoint, number, rng: (
            deaf if endpoint == "1001" else before(endpoint, number, rng)
        )
        world = World(loop, seed=1, mode="dialplan", pbx_config=config)
        campaign = await world.furnish(agents=1, leads=1, nailed=0, ring_timeout_s=15.0, attempts_max=1)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(120.0)
        phones = [o for o in world.fake.ledger.originates if AGENT.match(o.uniqueid)]
        assert len(phones) >= 1 and customers(world) == []
        assert world.store is not None
        rows = list(world.store.tables.attempts.values())
        assert rows and {(row.outcome, row.counted) for row in rows} == {("agent_no_answer", False)}
        config.behaviour_of = before
        desk = world.live.desks[world.agents[0].id]
        if desk.state == "paused":
            await world.submit(c.SetReady(agent_id=desk.id))
        await world.until(lambda: dialled(world) == ["0199000000"], 900.0)
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-07", clause="more speed, more lines: from 0, one line an agent, to 10")
def test_lines_grow_with_the_speed(tmp_path: Path) -> None:
    file = tmp_path / "speeds.toml"
    file.write_text(
        "team = { agents = 20, start = '14:00', end = '14:15', wrap_s = 10 }\n"
        "people = { leads = 3000, answer_rate = 0.3, talk_s = 60 }\n"
        "limits = { lines = 200, calls_per_second = 50 }\n"
        "compare = { modes = ['AUTOMATIQUE3'], speeds = [0, 4, 10] }\n"
    )
    ran = CliRunner().invoke(app, ["simulate", str(file)])
    assert ran.exit_code == 0, ran.output
    rows = [line.split() for line in ran.output.splitlines() if line.startswith("AUTO ")]
    lines = [float(row[-4]) for row in rows]
    assert len(lines) == 3 and lines[0] <= 1.0, "at speed 0 never more than one line an agent"
    assert lines == sorted(lines) and lines[-1] > lines[0] + 0.2
    assert [row[-1] for row in rows] == ["yes"] * 3, "within the ceiling at every speed"
