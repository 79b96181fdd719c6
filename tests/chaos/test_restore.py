"""A backup put back for real: the data folder of PostgreSQL is copied, work goes on, the copy takes its place."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.bed import wait_until
from tests.asterisk.cadran import START_TIMEOUT_S, Cadran
from tests.asterisk.test_campaign import tried
from tests.chaos.machine import AGENTS, FakePbx

LEADS = 200


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.feature("RELY-05", clause="a real backup put back: nothing is dialled until cadran db reconciled")
async def test_a_backup_put_back(tmp_path: Path) -> None:
    with closing(FakePbx(tmp_path)) as pbx:
        extensions = [str(1001 + n) for n in range(AGENTS)]
        async with Cadran("asyncagi", pbx.ami_port, extensions) as cadran:
            await _restored(pbx, cadran, extensions, tmp_path)


async def _restored(pbx: FakePbx, cadran: Cadran, extensions: list[str], folder: Path) -> None:
    campaign = await lab_campaign.set_up(cadran, extensions=extensions, on_demand=(), capacity=15)
    file = folder / "leads.csv"
    lab_campaign.write_numbers(file, [f"019900{n:04d}" for n in range(LEADS)])
    await cadran.command("import", str(file), "--list", str(campaign.list_id))
    await lab_campaign.begin(cadran, campaign)
    await tried(cadran, campaign, 30)
    await cadran.stop()
    await _database(cadran, folder / "copy", save=True)
    await cadran.start()
    await _at_work(cadran, campaign)
    await tried(cadran, campaign, 80)
    await cadran.stop()
    await _database(cadran, folder / "copy", save=False)
    await cadran.start()

    known = len(await cadran.attempts(campaign.id))
    assert known < 80
    await _at_work(cadran, campaign)
    before = await _originates(pbx)
    await asyncio.sleep(6.0)
    assert await _originates(pbx) == before
    why = await cadran.get(f"/api/v1/campaigns/{campaign.id}/why")
    assert "database" in why["why"]
    assert "database_older: site lab" in (await cadran.get("/api/v1/status"))["system"]["alerts"]

    assert "site lab: dials again" in await cadran.command("db", "reconciled")
    async with asyncio.timeout(30):
        while await _originates(pbx) <= before:  # noqa: ASYNC110 - it is asked over a socket
            await asyncio.sleep(0.2)
    assert "no site" in await cadran.command("db", "reconciled")


async def _originates(pbx: FakePbx) -> int:
    ledger = await pbx.tell("ledger")
    return sum(1 for entry in ledger["originates"] if not entry["uniqueid"].startswith("lab-ag-"))


async def _at_work(cadran: Cadran, campaign: lab_campaign.Campaign) -> None:
    """Started, with every agent signed in and ready, whatever the database knew of them."""
    await cadran.post(f"/api/v1/campaigns/{campaign.id}/start")
    agents: dict[str, Any] = (await cadran.get("/api/v1/snapshot"))["agents"]
    for id, agent in agents.items():
        if agent["state"] == "signed_out":
            await cadran.post(f"/api/v1/agents/{id}/sign-in", {"campaign_ids": [campaign.id], "ready": True})
        elif agent["state"] == "paused":
            await cadran.post(f"/api/v1/agents/{id}/ready")


async def _database(cadran: Cadran, copy: Path, *, save: bool) -> None:
    """Stop PostgreSQL, copy its folder away or put the copy in its place, and start it again."""
    data = cadran.folder / "data" / "postgres" / "data"
    runs = next(p for p in reversed(cadran._processes) if "db" in list(p.args))  # type: ignore[arg-type]
    await cadran._stop(runs)
    if save:
        await asyncio.to_thread(shutil.copytree, data, copy)
    else:
        await asyncio.to_thread(_put_back, copy, data)
    before = cadran.log_file.read_text("utf-8", "replace").count("PostgreSQL is ready")
    cadran._spawn("db", "run")
    await asyncio.to_thread(
        wait_until,
        "the database",
        lambda: cadran.log_file.read_text("utf-8", "replace").count("PostgreSQL is ready") > before,
        START_TIMEOUT_S,
    )


def _put_back(copy: Path, data: Path) -> None:
    """The files of the copy under their old owner."""
    owner = data.stat()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    for path in (data, *data.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    data.chmod(0o700)
