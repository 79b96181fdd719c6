"""What the far end answers, and the one outcome the attempt gets: from the trunk's SIP status to the row."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from fake_asterisk import Behaviour, people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import dialled

REFUSED = {
    486: "busy", 600: "busy", 480: "no_answer", 408: "no_answer", 404: "unallocated", 410: "unallocated",
    403: "rejected", 603: "rejected", 503: "congestion", 488: "failed",
}  # fmt: skip
RINGS = Behaviour(ring_after_s=0.1, answer_after_s=None, media_s=1e9)
TALKS = Behaviour(ring_after_s=0.1, answer_after_s=1.0, hangup_after_s=5.0, media_s=1e9, voice="human")
COUNTED = {"busy", "no_answer", "rejected", "connected"}


@pytest.mark.feature(
    "STAT-04", clause="each answer of the far end is one outcome in the call's row: busy, no answer, ..."
)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "basic", "ari"])
def test_each_end_of_a_call_has_its_outcome(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        refusals = {
            f"019900{n:04d}": Behaviour(rings=None, answer_after_s=None, fail_sip=status, fail_after_s=0.3)
            for n, status in enumerate(REFUSED)
        }
        more = {f"019900{len(REFUSED):04d}": RINGS, f"019900{len(REFUSED) + 1:04d}": TALKS}
        wanted = dict(zip([*refusals, *more], [*REFUSED.values(), "no_answer", "connected"], strict=True))
        world = World(loop, seed=4, mode=mode, pbx_config=pbx(2, people.People(fixed=refusals | more)))
        campaign = await world.furnish(agents=2, leads=len(wanted), ring_timeout_s=15.0, nailed=0)
        await world.start()
        await world.staff(campaign)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: set(dialled(world)) >= set(wanted) and not world.live.calls, 600.0, 1.0)
        await asyncio.sleep(5.0)
        assert world.store is not None
        found: dict[str, str] = {}
        for row in sorted(world.store.tables.attempts.values(), key=lambda row: row.at):
            found.setdefault(f"0{row.e164[3:]}", str(row.outcome))
            assert row.outcome is not None and row.counted is (str(row.outcome) in COUNTED), (row.outcome, row.counted)
        assert found == wanted
        await world.stop()

    run(main, seed=4)
