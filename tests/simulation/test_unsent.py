"""The link goes between the decision to place a call and its action: nothing was written, so nothing has failed."""

from __future__ import annotations

import pytest

from daemon.calls.actions import AnyAction, OriginateAgent, OriginateCustomer
from daemon.engine import commands as c
from daemon.errors import PbxUnavailable
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.office import dialled

CROWD = people.People(answer_chance=1.0, talk_mean_s=5.0, ring_mean_s=1.0, machine_share=0.0)


def cut_before(world: World, kind: type[AnyAction]) -> list[float]:
    """The link ends as the first action of that kind is on its way to the driver; when that was."""
    driver = world.runner.pbx
    perform, cuts = driver.perform, list[float]()

    def cut(action: AnyAction) -> None:
        if isinstance(action, kind) and not cuts:
            cuts.append(world.loop.time())
            driver._client.drop(PbxUnavailable("cut", "lost"))
        perform(action)

    driver.perform = cut
    return cuts


@pytest.mark.feature(
    "RELY-04", clause="a call that could not be asked for any more is not placed: dialled again once the link is back"
)
@pytest.mark.parametrize(
    ("mode", "nailed", "kind"),
    [("dialplan", 2, OriginateCustomer), ("ari", 2, OriginateCustomer), ("basic", 0, OriginateAgent)],
)
def test_an_originate_that_was_never_written(mode: str, nailed: int, kind: type[AnyAction]) -> None:
    """On a busy machine such calls were failures: the person was held for ten minutes, the line was nearer to its rest,
    and an agent whose phone was not even rung was paused."""

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=6, mode=mode, pbx_config=pbx(2, CROWD))
        campaign = await world.furnish(agents=2, leads=8, nailed=nailed, lines=(2,))
        await world.start()
        await world.staff(campaign)
        await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
        cuts = cut_before(world, kind)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: len(set(dialled(world))) == 8, 300.0)
        await world.until(lambda: not world.live.calls, 60.0)
        assert world.store is not None
        rows = list(world.store.tables.attempts.values())
        unplaced = [row for row in rows if row.outcome == "not_placed"]
        assert cuts
        assert unplaced
        assert all(row.ended_by == "engine" and not row.counted for row in unplaced)
        assert {row.outcome for row in rows} == {"not_placed", "connected"}
        assert not any(desk.state == "paused" for desk in world.live.desks.values())
        await world.stop()

    run(main, seed=6)
