"""The name of who calls, on the agent's phone as the PBX rings it (features ZAD-16): an option of the campaign."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent
from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from simulation.loop import VirtualLoop, run
from tests.voice.test_inbound import DID, Reception

CALLER = "+33612000001"


async def rung(desk: Reception, number: str = "0612000001") -> tuple[str, str]:
    """(number, name) that the agent's phone shows for a call; it has been connected then."""
    world = desk.world
    before = set(world.fake.channels)
    channel = desk.caller(number, talk_s=5.0)
    await world.until(lambda: channel.bridge is not None, 30.0)
    (phone,) = (each for id, each in world.fake.channels.items() if id not in before and each is not channel)
    shown = phone.caller
    await asyncio.sleep(30.0)
    return shown[0], shown[1]


async def opened(loop: VirtualLoop, mode: str, show_name: bool) -> Reception:
    desk = Reception(loop, mode, 1)
    await desk.open(show_name=show_name)
    world = desk.world
    assert world.store is not None
    await world.store.update(Agent, world.agents[0].id, {"nailed": False}, None)
    await world.submit(c.ConfigChanged(table="Agent", ids=(world.agents[0].id,)))
    leads = [
        LeadDraft(e164=CALLER, first_name="Zoé", last_name='Lune "Z" <b>'),
        LeadDraft(e164="+33612000003", company="SARL Martin"),
    ]
    await world.store.add_leads(world.list.id, leads)
    await desk.staff()
    return desk


@pytest.mark.feature(
    "ZAD-16", clause="our own PBX: with the option, CALLERID(name) of the phone that rings is the client's"
)
@pytest.mark.parametrize("mode", ["asyncagi", "dialplan", "ari"])
def test_the_phone_shows_who_calls(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await opened(loop, mode, True)
        assert await rung(desk) == (CALLER, "Zoé Lune Z b")
        assert await rung(desk, "0612000003") == ("+33612000003", "SARL Martin")
        assert await rung(desk, "0612000009") == (DID, desk.campaign.name), "nobody's number that we know"
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("ZAD-16", clause="without the option no name is looked up, and none is shown")
def test_off_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await opened(loop, "dialplan", False)
        monkeypatch.setattr(desk.world.store, "search_leads", None)
        assert await rung(desk) == (DID, desk.campaign.name)
        await desk.world.stop()

    run(main, seed=7)


@pytest.mark.feature("ZAD-16", clause="a store that is slow or away holds no caller up")
@pytest.mark.parametrize("away", [True, False])
def test_a_call_waits_for_no_name(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = await opened(loop, "dialplan", True)

        async def no_answer(*_: Any) -> Any:
            if away:
                raise StoreUnavailable("away")
            await asyncio.sleep(3600.0)

        monkeypatch.setattr(desk.world.store, "search_leads", no_answer)
        began = loop.time()
        assert await rung(desk) == (DID, desk.campaign.name)
        assert loop.time() - began < 40.0
        (row,) = desk.rows()
        assert row.outcome == "connected" and row.wait_s is not None and row.wait_s < 5.0
        await desk.world.stop()

    run(main, seed=7)
