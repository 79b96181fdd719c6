"""Click-to-call and lines that fail, on simulated time, judged on the PBX's ledger."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from daemon.calls.records import Client, Line
from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from tests.simulation.office import customers
from tests.simulation.test_lines import office, phone_legs, trunk_of, two_trunks


@pytest.mark.feature(
    "TELC-11",
    clause="click-to-call: congestion on line A is not counted, the phone is free at once, the same person's next"
    " click goes out on line B",
)
def test_the_click_after_a_congested_one_takes_the_other_line() -> None:
    async def main(loop: VirtualLoop) -> None:
        world = await office(loop, two_trunks(2, {"trunk": 0.0}), leads=0, lines=(10, 10))
        assert world.store is not None and world.group is not None
        first_line = next(line for line in await world.store.find(Line) if line.endpoint == "trunk")
        assert first_line.priority == max(line.priority for line in await world.store.find(Line))
        (advertiser,) = await world.store.find(Client)

        async def click(number: int) -> None:
            await world.submit(
                c.CallExtension(
                    attempt_id=UUID(int=number), site="main", group_id=world.group.id if world.group else 0,
                    extension="1001", e164="+33199000123", client_id=advertiser.id,
                )
            )  # fmt: skip

        await click(1)
        await world.until(lambda: not world.live.calls, 30.0)
        rows = world.store.tables.attempts
        await world.until(lambda: rows[UUID(int=1)].outcome is not None, 5.0)
        assert (rows[UUID(int=1)].outcome, rows[UUID(int=1)].counted) == ("congestion", False)
        (phone,) = phone_legs(world, "1001")
        await world.until(lambda: phone.ended_at is not None, 5.0)
        await click(2)
        await asyncio.sleep(60.0)
        assert [trunk_of(leg.name) for leg in customers(world)] == ["trunk", "spare"]
        assert (rows[UUID(int=2)].outcome, rows[UUID(int=2)].counted) == ("connected", True)
        assert rows[UUID(int=2)].line_id != rows[UUID(int=1)].line_id == first_line.id
        await world.stop()

    run(main, seed=3)
