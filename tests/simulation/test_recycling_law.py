"""A rule that brings leads back oftener than the law allows: the law wins, as the PBX sees it (features RECY-03)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import RecyclingRule
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import customers

pytestmark = pytest.mark.timeout(300)

NOBODY = people.People(answer_chance=0.0, busy_share=0.0, unallocated_share=0.0, congestion_share=0.0)
AGREED = datetime(2026, 9, 1, 10, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)  # 10:05 in Paris


@pytest.mark.feature("RECY-03", clause="never oftener than the legal limit, whatever the rule says")
def test_the_legal_limit_is_stricter_than_the_rule() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=5, mode="dialplan", pbx_config=pbx(1, NOBODY))
        world.clock._start = MONDAY
        campaign = await world.furnish(
            agents=1, leads=0, rule_set="fr-b2c-2026", attempts_max=4, gap_min_s=0.0, ring_timeout_s=15.0,
            recycling=[RecyclingRule(on="no_answer", delay_s=60.0, max_count=10)],
        )  # fmt: skip
        assert world.store is not None
        people_called = ("+33199000001", "+33199000002")
        await world.store.add_leads(
            world.list.id, [LeadDraft(e164=e164, last_name="P", consent_at=AGREED) for e164 in people_called]
        )
        await world.start()
        await world.staff(campaign)
        await asyncio.sleep(2.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(900.0)
        assert Counter(leg.number for leg in customers(world)) == {"0199000001": 4, "0199000002": 4}
        await world.stop()

    run(main, seed=5)
