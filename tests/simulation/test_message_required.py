"""A rule set that asks for a message to whom is abandoned: no predictive dialling without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.calls.records import CampaignMode
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import Settings
from simulation.loop import VirtualLoop, run
from simulation.open_rules import RULES
from simulation.world import World


def _no_message(settings: Settings) -> Settings:
    text = RULES.replace('id = "open"', 'id = "silent"')
    text = text.replace("ring_time_s_min", "message_required = false\nring_time_s_min")
    (Path(settings.daemon.rules_dir) / "silent.toml").write_text(text)
    dialer = msgspec.structs.replace(settings.dialer, safe_message="")
    return msgspec.structs.replace(settings, dialer=dialer)


@pytest.mark.feature("CAMP-09", clause="where the rule set asks for a message, predictive dialling needs one")
@pytest.mark.parametrize(
    ("changes", "refused"), [({}, True), ({"safe_message": "who-called"}, False), ({"rule_set": "silent"}, False)]
)
def test_predictive_dialling_needs_the_message_that_the_rule_set_asks_for(
    changes: dict[str, Any], refused: bool
) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=1, mode="dialplan")
        world.settings_changes = _no_message
        campaign = await world.furnish(agents=1, leads=5, **changes)
        await world.start()
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        tune = c.TuneCampaign(campaign_id=campaign.id, mode=CampaignMode.PREDICTIVE)
        if not refused:
            await world.submit(tune)
            assert world.live.campaigns[campaign.id].record.mode is CampaignMode.PREDICTIVE
        else:
            with pytest.raises(CommandError) as caught:
                await world.submit(tune)
            assert caught.value.code == "message_missing" and caught.value.details["rule_set"] == campaign.rule_set
            assert world.live.campaigns[campaign.id].record.mode is CampaignMode.PROGRESSIVE
        await world.stop()

    run(main, seed=1)


def test_a_predictive_campaign_without_it_does_not_start() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=1, mode="dialplan")
        world.settings_changes = _no_message
        campaign = await world.furnish(agents=1, leads=5, mode=CampaignMode.PREDICTIVE)
        await world.start()
        with pytest.raises(CommandError) as caught:
            await world.submit(c.StartCampaign(campaign_id=campaign.id))
        assert caught.value.code == "message_missing"
        assert world.live.campaigns[campaign.id].state == "stopped"
        await world.stop()

    run(main, seed=1)
