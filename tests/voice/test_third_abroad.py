"""Where a third party's number leads is written down, for the toll-fraud cap to count: the class, never the number."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine import commands as c
from simulation.loop import VirtualLoop, run
from tests.voice.test_elsewhere import conversation


@pytest.mark.parametrize(
    ("e164", "detail"),
    [
        ("+442012345679", {"to": "number", "destination": "foreign"}),
        ("+262692123456", {"to": "number", "destination": "overseas"}),
        ("+33199009876", {"to": "number"}),
    ],
)
def test_the_step_names_the_class_of_the_destination(e164: str, detail: dict[str, str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, "dialplan")
        assert world.store is not None
        await world.submit(c.Consult(agent_id=desk.id, e164=e164))
        await asyncio.sleep(2.0)
        (step,) = [event for event in world.store.tables.events[call.attempt_id] if event["kind"] == "consult"]
        assert step["detail"] == detail
        rows = await world.store.report("dear_calls", group_id=call.group_id)
        assert [row["destination"] for row in rows] == [detail[k] for k in ("destination",) if k in detail]
        await world.stop()

    run(main, seed=5)
