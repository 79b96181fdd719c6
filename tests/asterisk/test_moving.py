"""A conference beside a real Asterisk: its agent leaves, the daemon is killed and comes back, the other two talk on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk import campaign as lab_campaign
from tests.asterisk import witness
from tests.asterisk.cadran import Cadran, Refused
from tests.asterisk.campaign import until
from tests.asterisk.conftest import Lab

EXTENSIONS = ("1001", "1002")
TALKS, ASKED = "0199001201", "1003"
Call = dict[str, Any]


async def call_of(cadran: Cadran) -> Call | None:
    calls: list[Call] = list((await cadran.get("/api/v1/snapshot"))["calls"].values())
    return calls[0] if calls else None


def in_room(lab: Lab, count: int) -> bool:
    """Whether a conference of so many is going on."""
    rooms = [line.split() for line in lab.bed.cli("confbridge list").splitlines() if line.startswith("r")]
    return [row[1] for row in rooms] == [str(count)] if count else rooms == []


async def conference_without_its_agent(cadran: Cadran, lab: Lab, folder: Path) -> lab_campaign.Campaign:
    """A customer and the phone 1003, in a room; the agent who brought them together has left."""
    campaign = await lab_campaign.set_up(cadran, extensions=EXTENSIONS, on_demand=(), capacity=1)
    file = folder / "leads.csv"
    lab_campaign.write_numbers(file, [TALKS])
    await cadran.command("import", str(file), "--list", str(campaign.list_id))
    await lab_campaign.begin(cadran, campaign)

    async def talking() -> bool:
        call = await call_of(cadran)
        return call is not None and call["stage"] == "talking" and bool(call["agent_id"])

    await until(cadran, "they talk", talking)
    call = await call_of(cadran)
    assert call is not None
    desk = f"/api/v1/agents/{call['agent_id']}"
    await cadran.post(f"{desk}/consult", {"extension": ASKED})

    async def together() -> bool:
        try:
            await cadran.post(f"{desk}/conference")
        except Refused:  # not there yet: 409
            return False
        return True

    await until(cadran, "1003 is asked", together)

    async def three() -> bool:
        return await asyncio.to_thread(in_room, lab, 3)

    await until(cadran, "three in the room", three)
    await cadran.post(f"{desk}/conference/leave")

    async def two() -> bool:
        return await asyncio.to_thread(in_room, lab, 2)

    await until(cadran, "the agent left", two)
    return campaign


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
@pytest.mark.feature(
    "RELY-06", clause="real Asterisk: a conference whose agent has left outlives kill -9, and leaves nobody alone in it"
)
async def test_a_conference_without_its_agent_outlives_the_daemon(fresh_lab: Lab, tmp_path: Path, mode: str) -> None:
    async with Cadran(mode, fresh_lab.bed.ports.ami, EXTENSIONS) as cadran:
        campaign = await conference_without_its_agent(cadran, fresh_lab, tmp_path)
        await cadran.kill()
        await cadran.start()

        async def adopted() -> bool:
            call = await call_of(cadran)
            return call is not None and call["stage"] == "talking"

        await until(cadran, "the call is known again", adopted)
        await asyncio.sleep(3.0)  # longer than a wrong hang-up after the login would take
        assert await asyncio.to_thread(in_room, fresh_lab, 2), "they talk on"
        assert await adopted(), await call_of(cadran)
        third = next(name for name in fresh_lab.bed.channels() if name.startswith(f"PJSIP/{ASKED}-"))
        fresh_lab.bed.cli(f"channel request hangup {third}")  # as if that phone had hung up

        async def over() -> bool:
            return await call_of(cadran) is None and await asyncio.to_thread(in_room, fresh_lab, 0)

        await until(cadran, "the customer is let go", over)
        await lab_campaign.release(cadran, campaign, fresh_lab)
        await lab_campaign.until_over(cadran, campaign, 1, timeout_s=150)
        (row,) = await cadran.attempts(campaign.id)
        assert row["outcome"] == "connected"
        log = await asyncio.to_thread(witness.rows_when_over, fresh_lab.bed.cel_file)
        customers = [leg for leg in witness.calls(log) if witness.CUSTOMER_LEG.fullmatch(leg)]
        assert len(customers) == 1, "called once"
