"""Sound quality of lines from RTCP events, where the PBX gives them (TELC-10)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from daemon.engine import commands as c
from daemon.engine.quality import mos
from daemon.settings import Settings
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

TALKS = people.People(answer_chance=1.0, talk_mean_s=9e6, ring_mean_s=1.0, machine_share=0.0)


def with_rtcp(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, sites=[msgspec.structs.replace(settings.sites[0], rtcp=True)])


@pytest.mark.feature("TELC-10", clause="RTCP events aggregated a line; thresholds raise alerts; absent events: n/a")
@pytest.mark.parametrize(
    ("reports", "alert"),
    [({"trunk": (1, 16)}, ""), ({"trunk": (26, 400)}, "line_quality mos loss jitter"), ({}, None)],
)
def test_a_line_s_quality(reports: dict[str, tuple[int, int]], alert: str | None) -> None:
    async def main(loop: VirtualLoop) -> None:
        config = pbx(2, TALKS)
        config.rtcp = reports
        world = World(loop, seed=3, pbx_config=config)
        world.settings_changes = with_rtcp
        campaign = await world.furnish(agents=1, leads=1)
        await world.start()
        await world.submit(c.SignIn(agent_id=world.agents[0].id, campaign_ids=(campaign.id,), ready=True))
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await asyncio.sleep(60.0)
        view: Any = next(iter(world.app.hub.view()["lines"].values()))
        alerts = dict(world.live.alerts)
        if alert is None:
            assert (view.quality, alerts) == ({}, {}), "nothing told, nothing known"
        else:
            lost, jitter = reports["trunk"]
            assert view.quality["loss"] == pytest.approx(lost / 256, abs=1e-3)
            assert view.quality["jitter_s"] == pytest.approx(jitter / 8000)
            assert view.quality["delay_s"] is None, "no round trip was told"
            assert (view.quality["mos"] > 4.0) == (alert == "")
            assert list(alerts.values()) == ([alert] if alert else [])
            config.rtcp = {"trunk": (0, 8)}
            await asyncio.sleep(200.0)
            assert dict(world.live.alerts) == {}, "good again"
        await world.stop()

    run(main, seed=3)


def test_the_score_falls_with_loss_and_delay() -> None:
    assert 4.3 < mos(0.0, 0.0, 0.0) < 4.42
    assert mos(0.0, 0.0, 0.1) > mos(0.0, 0.0, 0.3) > mos(0.05, 0.03, 0.3) > 1.0
    assert mos(0.02, 0.0, 0.05) < 4.2 and mos(1.0, 1.0, 5.0) >= 1.0
