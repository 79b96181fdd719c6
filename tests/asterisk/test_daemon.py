"""The daemon on a real Asterisk, call by call: agent-first calls from the command line, and its own death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.asterisk import campaign as lab_campaign
from tests.asterisk.cadran import EXTENSIONS, SITE, Cadran, Refused
from tests.asterisk.conftest import Lab

NOBODY_THERE = "1010"


@pytest.fixture(params=["asyncagi", "dialplan"])
async def cadran(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[Cadran]:
    async with Cadran(request.param, lab.bed.ports.ami, extensions=(*EXTENSIONS, NOBODY_THERE)) as running:
        yield running


async def lines_of(cadran: Cadran) -> None:
    """A trunk for calls that no campaign makes."""
    await cadran.create("lines", name="line-a", site=SITE, endpoint="line-a", capacity=5)
    await cadran.create("clients", name="Someone")


def picked_up_at(lab: Lab, extension: str) -> float:
    """When this phone was last lifted: noted before it says so to anybody."""
    return max(seen.at for seen in lab.phones.seen() if (seen.what, seen.number) == ("lifts", extension))


async def outcome_of(cadran: Cadran, call_id: str) -> str:
    """The call's outcome, once its row has one."""

    async def over() -> bool:
        return bool((await cadran.get(f"/api/v1/calls/{call_id}"))["outcome"])

    await lab_campaign.until(cadran, f"the outcome of {call_id}", over)
    return str((await cadran.get(f"/api/v1/calls/{call_id}"))["outcome"])


@pytest.mark.feature(
    "S100-01", clause="the customer is dialled only after the agent's phone was picked up, real Asterisk"
)
@pytest.mark.feature("S100-13", clause="cadran call on a real Asterisk: every step printed, with its time")
async def test_a_call_from_the_command_line(lab: Lab, cadran: Cadran) -> None:
    await lines_of(cadran)
    before = len(lab.line_a.seen())
    printed = await cadran.command("call", SITE, "1001", "0199001077")
    assert "connected" in printed
    assert all(" s  " in line for line in printed.splitlines() if line.strip())
    new = [seen for seen in lab.line_a.seen()[before:] if seen.number == "0199001077"]
    assert picked_up_at(lab, "1001") <= min(seen.at for seen in new)


@pytest.mark.feature("S100-02", clause="nobody picks up at the agent's: the customer is never dialled, real Asterisk")
async def test_nobody_picks_up_at_the_agents(lab: Lab, cadran: Cadran) -> None:
    await lines_of(cadran)
    with pytest.raises(Refused, match="agent_no_answer"):
        await cadran.command("call", SITE, NOBODY_THERE, "0199001078")
    assert "0199001078" not in lab.line_a.invited()


@pytest.mark.feature("C2C-02", clause="the documented door, real Asterisk: the phone first, the number on its answer")
async def test_click_to_call_through_the_documented_door(lab: Lab, cadran: Cadran) -> None:
    """The phone of the pool rings first; nobody is dialled for a phone that nobody picks up."""
    await lines_of(cadran)
    for extension in ("1001", NOBODY_THERE):
        phone = {"name": f"P{extension}", "site": SITE, "endpoint": extension, "kind": "extension"}
        await cadran.create("lines", **phone)
    made = await cadran.post("/api/v1/tokens", {"name": "web", "kind": "click2call"})
    door = f"http://127.0.0.1:{cadran.http_port}/api/public/click2call"
    headers = {"Authorization": f"Bearer {made['token']}"}

    async def click(number: str, phone: str) -> dict[str, Any]:
        body = {"number_to_call": number, "phone_line_used": phone}
        async with ClientSession() as session, session.post(door, json=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
        return answer

    before = max((seen.at for seen in lab.line_a.seen()), default=0.0)  # the far ends outlive each test
    answer = await click("0199001079", "1001")
    assert answer["phone_line_used"] == "1001"
    unanswered = await click("0199001080", NOBODY_THERE)
    assert await outcome_of(cadran, answer["call_id"]) == "connected"
    assert await outcome_of(cadran, unanswered["call_id"]) == "agent_no_answer"
    dialled = [seen for seen in lab.line_a.seen() if seen.number == "0199001079" and seen.at > before]
    assert dialled and picked_up_at(lab, "1001") <= min(seen.at for seen in dialled)
    assert "0199001080" not in lab.line_a.invited()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan"])
@pytest.mark.feature("RELY-06", clause="the daemon is killed and started again: the conversation on Asterisk goes on")
@pytest.mark.feature("RELY-05", clause="after a kill the record of a call that outlived the daemon is whole")
async def test_a_conversation_outlives_the_daemon(fresh_lab: Lab, tmp_path: Path, mode: str) -> None:
    """Two agents talk for 40 s; the daemon is killed and comes back meanwhile."""
    async with Cadran(mode, fresh_lab.bed.ports.ami) as cadran:
        campaign = await lab_campaign.set_up(cadran, extensions=EXTENSIONS[:2], on_demand=EXTENSIONS[1:2])
        file = tmp_path / "leads.csv"
        lab_campaign.write_numbers(file, ["0199001701", "0199001702"])
        await cadran.command("import", str(file), "--list", str(campaign.list_id))
        await lab_campaign.begin(cadran, campaign)
        talking = await until_talking(cadran, 2)
        await cadran.kill()
        await asyncio.sleep(2)
        await cadran.start()
        assert await until_talking(cadran, 2) == talking
        await lab_campaign.until_over(cadran, campaign, 2, timeout_s=300)
        await lab_campaign.release(cadran, campaign, fresh_lab)
        evidence = await lab_campaign.gather(cadran, campaign, fresh_lab)
        evidence.check()
        assert [attempt["outcome"] for attempt in evidence.attempts] == ["connected", "connected"]
        assert all(call.talked_s > 15 for call in evidence.customers().values())
        assert all(len(call.conversations) == 1 for call in evidence.customers().values())


@pytest.mark.timeout(900)
@pytest.mark.feature(
    "RELY-07", clause="the daemon is killed, a standby takes over on a real Asterisk: calls go on, it dials"
)
async def test_a_standby_takes_over(fresh_lab: Lab, tmp_path: Path) -> None:
    """One agent talks through the change of daemons; the standby then dials the other leads, nobody twice."""
    port = fresh_lab.bed.ports.ami
    async with Cadran("asyncagi", port) as first, Cadran("asyncagi", port, beside=first) as second:
        campaign = await lab_campaign.set_up(first, extensions=EXTENSIONS[:1], on_demand=())
        file = tmp_path / "leads.csv"
        lab_campaign.write_numbers(file, ["0199001701", "0199001102", "0199001103"])
        await first.command("import", str(file), "--list", str(campaign.list_id))
        await lab_campaign.begin(first, campaign)
        talking = await until_talking(first, 1)
        for call_id in talking:  # what is not in the database yet, the other machine can't know to the second
            await until_written(second, call_id, "connected")
        await first.kill()
        assert await until_talking(second, 1) == talking
        await lab_campaign.until_over(second, campaign, 3, timeout_s=300)
        await lab_campaign.release(second, campaign, fresh_lab)
        evidence = await lab_campaign.gather(second, campaign, fresh_lab)
        evidence.check()
        assert sorted(evidence.invited.values()) == [1, 1, 1]


async def until_talking(cadran: Cadran, count: int, timeout_s: float = 90.0) -> dict[str, Any]:
    """The agent of each call in conversation, once there are so many."""
    async with asyncio.timeout(timeout_s):
        while True:
            calls = (await cadran.get("/api/v1/snapshot"))["calls"].values()
            talking = {call["id"]: call["agent_id"] for call in calls if call["stage"] == "talking"}
            if len(talking) == count:
                return talking
            await asyncio.sleep(0.2)


async def until_written(cadran: Cadran, call_id: str, kind: str, timeout_s: float = 60.0) -> None:
    """Until the database holds this event of the call."""
    async with asyncio.timeout(timeout_s):
        while True:
            events = (await cadran.get(f"/api/v1/calls/{call_id}"))["events"]
            if kind in {event["kind"] for event in events}:
                return
            await asyncio.sleep(0.05)
