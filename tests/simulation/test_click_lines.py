"""Click-to-call and lines that fail, on simulated time, judged on the PBX's ledger."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from daemon.calls.records import Client, Line
from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import customers
from tests.simulation.test_lines import phone_legs, trunk_of, two_trunks

CLICKED = UUID(int=1)
MODES = ("asyncagi", "dialplan", "basic")


async def clicked(loop: VirtualLoop, mode: str, congested: dict[str, float]) -> World:
    """A click-to-call over two lines, the one that is tried first congested as said."""
    world = World(loop, seed=3, mode=mode, pbx_config=two_trunks(2, congested))
    await world.furnish(agents=2, leads=0, lines=(10, 10))
    assert world.store is not None and world.group is not None
    lines = await world.store.find(Line)
    await world.store.update(Line, lines[1].id, {"endpoint": "spare"}, None)
    await world.start()
    (advertiser,) = await world.store.find(Client)
    await world.submit(
        c.CallExtension(
            attempt_id=CLICKED, site="main", group_id=world.group.id, extension="1001", e164="+33199000123",
            client_id=advertiser.id,
        )
    )  # fmt: skip
    return world


def attempts(world: World) -> list[Any]:
    assert world.store is not None
    return list(world.store.tables.attempts.values())


@pytest.mark.feature(
    "TELC-11", clause="click-to-call: congestion on line A, the same phone is given the person on B, counted once"
)
@pytest.mark.parametrize("mode", MODES)
def test_a_click_goes_on_by_the_other_line(mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await clicked(loop, mode, {"trunk": 0.0})
        await asyncio.sleep(20.0)
        assert [trunk_of(leg.name) for leg in customers(world)] == ["trunk", "spare"]
        (phone,) = phone_legs(world, "1001")
        assert world.fake.ledger.talks and phone.ended_at is None and world.live.passing, (
            "one phone, rung once, that talks"
        )
        await asyncio.sleep(60.0)
        first, second = attempts(world)
        assert (first.id, first.outcome, first.counted) == (CLICKED, "congestion", False)
        assert (second.outcome, second.counted, second.kind) == ("connected", True, "click2call")
        assert second.line_id != first.line_id
        assert world.store is not None
        (step,) = [event for event in world.store.tables.events[CLICKED] if event["kind"] == "next_line"]
        assert step["detail"] == {"next": str(second.id), "line_id": second.line_id}
        assert phone.ended_at is not None and not world.live.passing and not world.live.calls
        assert all(line.in_use == 0 for line in world.live.pool.lines.values())
        await world.stop()

    run(main, seed=3)


def test_with_every_line_congested_the_phone_is_let_go() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await clicked(loop, "dialplan", {"trunk": 0.0, "spare": 0.0})
        await asyncio.sleep(30.0)
        assert [trunk_of(leg.name) for leg in customers(world)] == ["trunk", "spare"]
        assert [(row.outcome, row.counted) for row in attempts(world)] == [("congestion", False)] * 2
        (phone,) = phone_legs(world, "1001")
        assert phone.ended_at is not None and not world.live.passing
        await world.stop()

    run(main, seed=3)


def test_who_hangs_up_before_the_second_line_is_not_called_for() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await clicked(loop, "dialplan", {"trunk": 0.0})
        await world.until(lambda: len(customers(world)) == 1 and customers(world)[0].ended_at is not None, 30.0)
        (phone,) = phone_legs(world, "1001")
        channel = next(each for uid, each in world.fake.channels.items() if each.name == phone.name)
        assert channel.far_end is not None
        channel.far_end.say_goodbye()
        await asyncio.sleep(20.0)
        assert len(customers(world)) == 1 == len(attempts(world))
        assert not world.live.passing and not world.live.calls
        await world.stop()

    run(main, seed=3)
