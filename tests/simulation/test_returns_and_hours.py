"""Rules by outcome, opposition from the desk, and the ledger over a clock hour and a restart, on simulated time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import CampaignMode, Status
from daemon.engine import commands as c
from fake_asterisk import people
from fake_asterisk.config import Behaviour
from simulation.loop import VirtualLoop, run
from tests.simulation.office import dialled, open_office

pytestmark = pytest.mark.timeout(300)

SILENT = Behaviour(ring_after_s=0.1, answer_after_s=None)
BUSY = Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.2)
RING_S = 15.0


@pytest.mark.feature("LEGL-07", clause="an agent's note holds at once: a queued lead is dropped before originate")
def test_an_agent_s_do_not_call_drops_what_is_queued() -> None:
    async def main(loop: VirtualLoop) -> None:
        talks = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=20.0, media_s=1e9, voice="human")
        crowd = people.People(fixed={"0199000000": talks, "0199": SILENT})
        world, _ = await open_office(loop, crowd, agents=1, leads=1)
        assert world.store is not None
        desk = world.live.desks[world.agents[0].id]
        await world.until(lambda: desk.state == "on_call", 60.0)
        same = [LeadDraft(e164="+33199000000", last_name="Again"), LeadDraft(e164="+33199000009")]
        await world.store.add_leads(world.list.id, same)
        await world.submit(c.LeadsChanged(list_ids=(world.list.id,)))
        attempt = desk.call.attempt_id
        await world.submit(c.Dispose(agent_id=desk.id, attempt_id=attempt, code="INJOIGN", do_not_call=True))
        await world.until(lambda: "0199000009" in dialled(world), 120.0)
        await asyncio.sleep(60.0)
        assert dialled(world).count("0199000000") == 1
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="clock hours and restarts within them keep their own counts")
def test_the_ledger_over_an_hour_and_a_restart() -> None:
    async def main(loop: VirtualLoop) -> None:
        talks = people.People(answer_chance=1.0, talk_mean_s=15.0, ring_mean_s=2.0, machine_share=0.0)
        world, campaign = await open_office(loop, talks, agents=3, leads=300, mode=CampaignMode.PREDICTIVE, calm=True)
        world.habits.wrap_up_s = 3.0
        assert world.store is not None
        now = world.clock.utcnow()
        to_hour = 3600.0 - now.minute * 60 - now.second
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(to_hour - 300.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))

        def stored() -> dict[datetime, tuple[int, int]]:
            sums = world.store.tables.ledger  # type: ignore[union-attr]
            return {key[1]: (int(value[2]), int(value[1])) for key, value in sums.items()}

        def live() -> dict[str, tuple[int, int]]:
            rows = world.live.campaigns[campaign.id].policy.ledger_rows()
            return {row.hour: (row.connected, row.abandoned) for row in rows}

        await asyncio.sleep(150.0)
        world.kill()
        await asyncio.sleep(8.0)
        await world.start()
        await asyncio.sleep(1.0)
        (before,) = stored().values()
        assert before[0] > 5
        (restored,) = live().values()
        assert restored[0] >= before[0] - 3 and restored[1] == before[1], "the hour goes on with what it had"
        await asyncio.sleep(400.0)
        await world.submit(c.PauseCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        hours = stored()
        assert len(hours) == 2, "a new row for the new clock hour"
        assert [hour.minute for hour in hours] == [0, 0]
        by_hour: dict[datetime, list[int]] = {hour: [0, 0] for hour in hours}
        for steps in world.store.tables.events.values():
            counted = next((step for step in steps if step["kind"] in ("connected", "abandoned")), None)
            if counted is not None:
                hour = counted["at"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
                by_hour[hour][counted["kind"] == "abandoned"] += 1
        assert {hour: tuple(sums) for hour, sums in by_hour.items()} == hours
        assert list(live().values())[-1] == hours[max(hours)]
        await world.stop()

    run(main, seed=1)


@pytest.mark.feature("CAMP-09", clause="a machine that an agent reports is no live answer: the ledger takes it back")
def test_a_machine_reported_by_its_agent_leaves_the_ledger() -> None:
    async def main(loop: VirtualLoop) -> None:
        talks = people.People(answer_chance=1.0, talk_mean_s=15.0, ring_mean_s=2.0, machine_share=0.0)
        world, campaign = await open_office(loop, talks, agents=1, leads=2, at_work=False)
        assert world.store is not None
        status = Status(group_id=campaign.group_id, code="REPONDEUR", name="R\u00e9pondeur", machine=True)
        await world.store.create(status)
        await world.submit(c.ConfigChanged(table="Status"))
        (agent,) = world.agents
        desk = world.live.desks[agent.id]
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        counted = []
        for code in ("REPONDEUR", "VENTE"):
            await world.until(lambda: desk.state == "wrap_up", 120.0)
            await world.submit(c.Dispose(agent_id=agent.id, attempt_id=desk.last_call.attempt_id, code=code))
            await asyncio.sleep(1.0)
            (sums,) = world.store.tables.ledger.values()
            (row,) = world.live.campaigns[campaign.id].policy.ledger_rows()
            counted.append((int(sums[0]), int(sums[2]), row.connected))
        assert counted == [(0, 0, 0), (1, 1, 1)]
        await world.stop()

    run(main, seed=1)
