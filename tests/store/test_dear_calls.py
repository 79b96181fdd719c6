"""What the toll-fraud cap counts, the same in both stores."""

from __future__ import annotations

from datetime import timedelta

import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from tests.store.world import World


async def test_dear_calls_by_class_of_destination(world: World) -> None:
    began = world.clock.utcnow()
    over = await world.place("+442012345671", kind="click2call")
    await world.apply(
        world.ended(over, Outcome.CONNECTED, answered_at=began, live=True, at=began + timedelta(minutes=7))
    )
    await world.place("+442012345672", kind="test")
    unanswered = await world.place("+262692123456", kind="click2call")
    await world.apply(world.ended(unanswered, Outcome.NO_ANSWER))
    never = await world.place("+442012345673", kind="click2call")
    await world.apply(world.ended(never, Outcome.AGENT_NO_ANSWER, counted=False))
    await world.place("+33199000123", kind="click2call")
    home = await world.place("+33199000124")
    rung = f.CallEventFact(
        at=began + timedelta(minutes=1), attempt_id=home, campaign_id=0, kind="transfer", agent_id=0,
        detail={"to": "number", "destination": "overseas"},
    )  # fmt: skip
    await world.apply(rung)
    rows = await world.store.report(
        "dear_calls", group_id=world.group.id, start=began - timedelta(hours=1), end=began + timedelta(minutes=10)
    )
    assert [(row["destination"], row["calls"]) for row in rows] == [("foreign", 2), ("overseas", 2)]
    assert [row["minutes"] for row in rows] == [pytest.approx(17.0, abs=0.1), pytest.approx(9.0, abs=0.1)]
    assert await world.store.report("dear_calls", group_id=world.group.id + 1) == []
    assert await world.store.report("dear_calls", group_id=world.group.id, start=began + timedelta(days=1)) == []
