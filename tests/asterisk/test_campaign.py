"""A real list through a real Asterisk: at the end the record agrees with what Asterisk and the far ends saw."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import Cadran, port_of
from tests.asterisk.conftest import Lab
from tests.asterisk.proxy import Proxy

CUTS = 5
SHARES = {"ari": 10}
"""A tenth of the leads is enough for the second driver in the usual run. CADRAN_LAB_SHARE sets it for all modes (1: all
300, 10: a quick look while working on the suite)."""


def leads_of(mode: str) -> dict[str, int]:
    """How many leads of each habit."""
    share = int(os.environ.get("CADRAN_LAB_SHARE", SHARES.get(mode, 1)))
    return {habit: max(1, count // share) for habit, count in lab_campaign.LEADS.items()}


async def import_leads(cadran: Cadran, campaign: lab_campaign.Campaign, folder: Path, mode: str) -> int:
    file = folder / "leads.csv"
    count = lab_campaign.write_leads(file, leads_of(mode))
    await cadran.command("import", str(file), "--list", str(campaign.list_id))
    return count


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "ari"])
@pytest.mark.feature("RELY-02", clause="300 leads on a real Asterisk: one outcome an attempt, as the witnesses have it")
@pytest.mark.feature("RELY-03", clause="nothing is left on a real Asterisk, no line was over its capacity")
@pytest.mark.feature("CAMP-03", clause="a progressive campaign on a real Asterisk")
@pytest.mark.feature("PBX-05", clause="a campaign on a real Asterisk through ARI, judged by Asterisk's own witnesses")
@pytest.mark.feature("CAMP-11", clause="line capacity holds on a real Asterisk, legs being set up included")
async def test_a_campaign(fresh_lab: Lab, tmp_path: Path, mode: str) -> None:
    async with Cadran(mode, port_of(fresh_lab.bed, mode)) as cadran:
        campaign = await lab_campaign.set_up(cadran)
        count = await import_leads(cadran, campaign, tmp_path, mode)
        await lab_campaign.begin(cadran, campaign)
        await lab_campaign.until_over(cadran, campaign, count, timeout_s=900)
        await lab_campaign.release(cadran, campaign, fresh_lab)
        evidence = await lab_campaign.gather(cadran, campaign, fresh_lab)
        print(evidence.summary(), *fresh_lab.bed.husks())
        evidence.check()
        assert {attempt["lead_id"] for attempt in evidence.attempts if attempt["outcome"] != "not_placed"}
        snapshot = await cadran.get("/api/v1/snapshot")
        assert snapshot["calls"] == {}
        assert {line["in_use"] for line in snapshot["lines"].values()} == {0}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "ari"])
@pytest.mark.feature("RELY-01", clause="five cuts and a restart of a real Asterisk: nobody is called twice")
@pytest.mark.feature("RELY-04", clause="five cuts and a restart of a real Asterisk: dialling resumes by itself")
async def test_a_campaign_with_cuts_and_a_restart(fresh_lab: Lab, tmp_path: Path, mode: str) -> None:
    async with Proxy(port_of(fresh_lab.bed, mode)) as proxy, Cadran(mode, proxy.port) as cadran:
        campaign = await lab_campaign.set_up(cadran)
        count = await import_leads(cadran, campaign, tmp_path, mode)
        await lab_campaign.begin(cadran, campaign)
        outages = []
        for fault in range(CUTS + 1):
            await tried(cadran, campaign, count * (fault + 1) // (CUTS + 3))
            began = time.time()
            if fault == CUTS // 2:
                await asyncio.to_thread(fresh_lab.bed.kill)
                await asyncio.to_thread(fresh_lab.bed.start)
            else:
                proxy.cut()
            await asyncio.wait_for(cadran.wait_for_link(since=began), 240)
            outages.append((began, time.time()))
        await lab_campaign.until_over(cadran, campaign, count, timeout_s=900)
        await lab_campaign.release(cadran, campaign, fresh_lab)
        evidence = await lab_campaign.gather(cadran, campaign, fresh_lab, outages)
        print(evidence.summary(), *fresh_lab.bed.husks())
        evidence.check()
        assert proxy.connections_count >= CUTS + 1


async def tried(cadran: Cadran, campaign: lab_campaign.Campaign, count: int) -> None:
    """Wait until so many leads have been tried. TimeoutError tells why it does not go on."""
    why: object = None
    try:
        async with asyncio.timeout(300):
            while len(await cadran.attempts(campaign.id)) < count:
                why = await cadran.get(f"/api/v1/campaigns/{campaign.id}/why")
                await asyncio.sleep(0.3)
    except TimeoutError:
        view = await cadran.get("/api/v1/snapshot")
        states = {name: view[name] for name in ("agents", "calls", "lines")}
        raise TimeoutError(f"{count} leads not tried after 300 s; {why}\n{states}\n{cadran.last_words()}") from None
