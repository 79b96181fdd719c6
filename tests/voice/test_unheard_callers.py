"""Callers whose arrival was told while no daemon listened to the PBX's AMI: the next listing lets them in."""

from __future__ import annotations

import asyncio

import pytest

from simulation.loop import VirtualLoop, run
from tests.voice.test_inbound import Reception

MODES = ("asyncagi", "dialplan")


@pytest.mark.feature("RELY-04", clause="who calls in while the link is away is served once it is back")
@pytest.mark.parametrize("mode", MODES)
def test_a_caller_while_the_link_was_away(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        world = desk.world
        await desk.open()
        await desk.staff()
        world.fake.faults.cut()
        caller = desk.caller(talk_s=10.0)
        await asyncio.sleep(0.1)
        assert not world.live.link.synced and desk.rows() == []
        await world.until(lambda: caller.bridge is not None, 10.0)
        await asyncio.sleep(30.0)
        (row,) = desk.rows()
        assert (row.outcome, row.e164) == ("connected", "+33612000001")
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("RELY-06", clause="who calls in while the daemon is away is served once it is back")
def test_a_caller_while_the_daemon_was_away() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "asyncagi", 1)
        world = desk.world
        await desk.open()
        await desk.staff()
        world.kill()
        caller = desk.caller(talk_s=10.0)
        gone = desk.caller("0612000002", talk_s=10.0)
        await asyncio.sleep(20.0)
        gone.soft_hangup(16)
        await asyncio.sleep(1.0)
        await world.start()
        await world.until(lambda: caller.bridge is not None, 10.0)
        await asyncio.sleep(30.0)
        assert [(row.outcome, row.e164) for row in desk.rows()] == [("connected", "+33612000001")]
        await world.stop()

    run(main, seed=7)


@pytest.mark.parametrize("mode", MODES)
def test_a_caller_told_of_twice_is_one_call(mode: str) -> None:
    """The arrival comes between the listing's asking and its answer: by both of them."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, mode, 1)
        world = desk.world
        await desk.open()
        await desk.staff()
        world.fake.faults.disturb_events(duplicate_every=1)
        world.fake.faults.cut()
        await asyncio.sleep(0.1)
        callers: list[object] = []
        while not world.live.link.synced:  # one every few milliseconds, so that some fall into the resync
            callers.append(desk.caller(f"06120001{len(callers):02d}", talk_s=5.0))
            await asyncio.sleep(0.05)
        await asyncio.sleep(120.0)
        numbers = [row.e164 for row in desk.rows()]
        assert len(numbers) == len(set(numbers)) == len(callers)
        await world.stop()

    run(main, seed=7)


@pytest.mark.feature("DASH-01", clause="callers of the day are still counted after a restart")
def test_callers_of_the_morning_are_counted_after_a_kill() -> None:
    """One met an agent, one left, one was turned away as the queue was full, one is talking as the daemon dies."""

    async def main(loop: VirtualLoop) -> None:
        desk = Reception(loop, "asyncagi", 1)
        world = desk.world
        await desk.open(queue_max=1)
        await desk.staff()
        talked = desk.caller(talk_s=10.0)
        await world.until(lambda: talked.bridge is not None, 5.0)
        left = desk.caller("0612000002")
        await asyncio.sleep(1.0)
        desk.caller("0612000003")
        await asyncio.sleep(1.0)
        left.soft_hangup(16)
        await asyncio.sleep(30.0)
        talks = desk.caller("0612000004", talk_s=60.0)
        await world.until(lambda: talks.bridge is not None, 5.0)
        await asyncio.sleep(1.0)
        before = dict(world.app.hub.view()["campaigns"][str(desk.campaign.id)].callers)
        assert {name: before[name] for name in ("arrived", "answered", "missed", "full")} == {
            "arrived": 4, "answered": 2, "missed": 2, "full": 1,
        }  # fmt: skip
        world.kill()
        await asyncio.sleep(2.0)
        await world.start()
        await asyncio.sleep(2.0)
        assert dict(world.app.hub.view()["campaigns"][str(desk.campaign.id)].callers) == before
        await asyncio.sleep(90.0)
        view = world.app.hub.view()
        assert dict(view["campaigns"][str(desk.campaign.id)].callers) == before
        assert view["agents"][str(world.agents[0].id)].today["calls"] == 2
        await world.stop()

    run(main, seed=7)
