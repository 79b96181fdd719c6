"""Sound quality of lines beside a real Asterisk: reports on RTP that really has gaps and late packets (TELC-10)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import Cadran
from tests.asterisk.campaign import until
from tests.asterisk.conftest import Lab
from tests.asterisk.sounds import LOST_EVERY

EXTENSIONS = ("1001", "1002", "1003")
GOOD, BAD = "0199001201", "0199001901"


def may_hear(cadran: Cadran, user: str) -> None:
    """The site asks for quality, as this manager user."""
    text = cadran.settings_file.read_text("utf-8")
    changed = text.replace('username = "cadran-asyncagi"', f'username = "{user}"\nrtcp = true')
    assert changed != text
    cadran.settings_file.write_text(changed, "utf-8")


async def lines(cadran: Cadran) -> dict[str, dict[str, Any]]:
    """The lines as the API shows them live, by name."""
    return {line["name"]: line for line in (await cadran.get("/api/v1/snapshot"))["lines"].values()}


async def all_told(cadran: Cadran) -> bool:
    """Whether enough is known of each line for a score."""
    return all(line["quality"].get("mos") is not None for line in (await lines(cadran)).values())


async def alerts(cadran: Cadran) -> list[str]:
    """The alerts about lines' quality."""
    every: list[str] = (await cadran.get("/api/v1/status"))["system"]["alerts"]
    return [alert for alert in every if "line_quality" in alert]


async def alerted(cadran: Cadran) -> bool:
    return bool(await alerts(cadran))


async def talking(cadran: Cadran, folder: Path) -> lab_campaign.Campaign:
    """A person on each line, talking: the first in the list on line-a, whose only call it is; the second on line-b."""
    campaign = await lab_campaign.set_up(cadran, extensions=EXTENSIONS, on_demand=(), capacity=1)
    file = folder / "leads.csv"
    lab_campaign.write_numbers(file, [GOOD, BAD])
    await cadran.command("import", str(file), "--list", str(campaign.list_id))
    await lab_campaign.begin(cadran, campaign)
    async with asyncio.timeout(150):
        while True:
            calls = (await cadran.get("/api/v1/snapshot"))["calls"].values()
            if sum(call["stage"] == "talking" for call in calls) == 2:
                return campaign
            await asyncio.sleep(0.2)


async def over(cadran: Cadran, campaign: lab_campaign.Campaign, lab: Lab) -> None:
    """Both people are hung up on, everybody goes."""
    for id in (await cadran.get("/api/v1/snapshot"))["calls"]:
        await cadran.post(f"/api/v1/calls/{id}/hang-up")
    await lab_campaign.release(cadran, campaign, lab)


@pytest.mark.timeout(900)
@pytest.mark.feature(
    "TELC-10",
    clause="real Asterisk, RTP with lost and late packets: loss and jitter of that line, its alert; others good",
)
async def test_a_bad_line_is_told_from_a_good_one(fresh_lab: Lab, tmp_path: Path) -> None:
    cadran = Cadran("asyncagi", fresh_lab.bed.ports.ami, EXTENSIONS)
    may_hear(cadran, "reporting")
    async with cadran:
        campaign = await talking(cadran, tmp_path)
        await until(cadran, "a score of each line", lambda: all_told(cadran))
        await until(cadran, "an alert", lambda: alerted(cadran))
        seen = await lines(cadran)
        print({name: line["quality"] for name, line in seen.items()})
        good, bad = seen["line-a"]["quality"], seen["line-b"]["quality"]
        assert good["mos"] > 4.0 and good["loss"] < 0.01
        assert bad["loss"] == pytest.approx(1 / LOST_EVERY, abs=0.05)
        assert bad["mos"] < 4.0 and bad["jitter_s"] > good["jitter_s"]
        assert bad["delay_s"] is None, "this far end sends no reports of its own: nobody knows the round trip"
        told = await alerts(cadran)
        assert len(told) == 1 and "loss" in told[0] and str(seen["line-b"]["id"]) in told[0], told
        await over(cadran, campaign, fresh_lab)


@pytest.mark.timeout(900)
@pytest.mark.feature("TELC-10", clause="real Asterisk, a user who may not hear of it: n/a, no alert")
async def test_without_reports_nothing_is_known(fresh_lab: Lab, tmp_path: Path) -> None:
    cadran = Cadran("asyncagi", fresh_lab.bed.ports.ami, EXTENSIONS)
    may_hear(cadran, "cadran-asyncagi")
    async with cadran:
        campaign = await talking(cadran, tmp_path)
        await asyncio.sleep(5.0)
        assert [line["quality"] for line in (await lines(cadran)).values()] == [{}, {}]
        assert not await alerted(cadran)
        await over(cadran, campaign, fresh_lab)
