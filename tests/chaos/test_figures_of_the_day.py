"""Real processes and a real PostgreSQL: the daemon is killed and restarted in mid-campaign, and supervisors read of the
day what the rows say. `make test-chaos`."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import Cadran
from tests.asterisk.test_campaign import tried
from tests.chaos.machine import FakePbx

AGENTS = [str(1001 + n) for n in range(6)]


async def _quiet(cadran: Cadran, campaign: lab_campaign.Campaign) -> dict[str, Any]:
    """The campaign pauses, its calls end, the agents pause: what all of them show then."""
    await cadran.post(f"/api/v1/campaigns/{campaign.id}/pause")
    async with asyncio.timeout(60):
        while (await cadran.get("/api/v1/snapshot"))["calls"]:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.3)
        for id in campaign.agents:
            await cadran.post(f"/api/v1/agents/{id}/pause", {"code": ""})
        while True:
            seen = await cadran.get("/api/v1/snapshot")
            if {agent["state"] for agent in seen["agents"].values()} == {"paused"}:
                break
            await asyncio.sleep(0.3)
    await asyncio.sleep(2.0)  # a campaign's view is not made anew at each event
    return _figures(await cadran.get("/api/v1/snapshot"), campaign)


def _figures(snapshot: dict[str, Any], campaign: lab_campaign.Campaign) -> dict[str, Any]:
    view = snapshot["campaigns"][str(campaign.id)]
    today = {id: snapshot["agents"][str(id)]["today"] for id in campaign.agents}
    return {name: view[name] for name in ("outcomes", "answer_rate", "occupancy")} | {"today": today}


async def _read_again(cadran: Cadran, campaign: lab_campaign.Campaign) -> dict[str, Any]:
    """Once the first page has everything: a few seconds at most."""
    async with asyncio.timeout(20):
        while True:
            figures = _figures(await cadran.get("/api/v1/snapshot"), campaign)
            if figures["outcomes"] and any(today["calls"] for today in figures["today"].values()):
                return figures
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.feature(
    "DASH-01", clause="kill -9 and restart of real processes leave the day's figures those of the rows"
)
async def test_figures_of_the_day_after_a_kill_and_a_restart(tmp_path: Path) -> None:
    with closing(FakePbx(tmp_path)) as pbx:
        async with Cadran("asyncagi", pbx.ami_port, AGENTS) as cadran:
            campaign = await lab_campaign.set_up(cadran, extensions=AGENTS, on_demand=(), capacity=8, pause_mode="off")
            file = tmp_path / "leads.csv"
            lab_campaign.write_numbers(file, [f"019900{n:04d}" for n in range(400)])
            await cadran.command("import", str(file), "--list", str(campaign.list_id))
            await lab_campaign.begin(cadran, campaign)
            await tried(cadran, campaign, 40)
            await cadran.kill()
            await cadran.start()
            await tried(cadran, campaign, 80)
            before = await _quiet(cadran, campaign)
            rows = await cadran.attempts(campaign.id)
            assert before["outcomes"] == dict(Counter(row["outcome"] for row in rows))
            talks = Counter(row["agent_id"] for row in rows if row["connected_at"])
            unseen = Counter(row["agent_id"] for row in rows if row["outcome"] == "unknown")  # of these some talked
            assert sum(talks.values()) > 10
            for id, today in before["today"].items():
                assert talks[id] <= today["calls"] <= talks[id] + unseen[id]
            for again in (cadran.kill, cadran.stop):
                await again()
                await cadran.start()
                after = await _read_again(cadran, campaign)
                assert after["outcomes"] == before["outcomes"]
                assert after["answer_rate"] == pytest.approx(before["answer_rate"])
                assert after["occupancy"] == pytest.approx(before["occupancy"], abs=0.001)
                for id, today in before["today"].items():
                    assert after["today"][id] == pytest.approx(today, abs=0.2)
