"""What an engine that begins in the middle of a day reads of it: each call and interval on one side of the line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact
from tests.store.world import SITE, World


def _state(world: World, state: str, **fields: Any) -> f.AgentStateSet:
    return f.AgentStateSet(at=world.clock.utcnow(), agent_id=4, state=state, campaign_ids=(1,), **fields)


async def _call(world: World, outcome: Outcome | None, *more: AnyFact, **fields: Any) -> Any:
    attempt = await world.place(f"+336{world.clock.utcnow():%H%M%S}00", agent_id=4)
    at = world.clock.utcnow()
    await world.apply(f.AttemptPlaced(at=at, attempt_id=attempt, campaign_id=1), *more)
    if outcome is not None:
        await world.apply(world.ended(attempt, outcome, agent_id=4, answered_at=at, connected_at=at, **fields))
    return attempt


async def test_what_is_left_to_the_store(world: World) -> None:
    """Three calls of an earlier life (over, over but for its form, open) and one of this life; so the intervals."""
    await world.apply(_state(world, "ready"))
    await world.later(600)
    start = world.clock.utcnow()
    await world.later(100)
    sold = await _call(world, Outcome.CONNECTED)
    await world.apply(
        _state(world, "on_call", campaign_id=1, attempt_id=sold), world.disposed(sold, 0, "VENTE", sale=True)
    )
    await world.later(30)
    await world.apply(_state(world, "wrap_up", campaign_id=1, attempt_id=sold))
    form = await _call(world, Outcome.CONNECTED)
    await world.later(20)
    still_open = await _call(world, None, _state(world, "ready"))
    since = world.clock.utcnow()
    await world.later(5)
    fence = world.lease.fence
    await world.apply(
        world.disposed(form, 0, "VENTE", sale=True), world.ended(still_open, Outcome.BUSY), _state(world, "paused")
    )
    await _call(world, Outcome.BUSY)
    given = {"site": SITE, "fence": fence, "start": start}
    sums = await world.store.report("day_calls", open=[still_open], forms=[form], **given)
    names = ("outcome", "agent_id", "began", "placed", "answered", "connected", "ended", "sales")
    assert [tuple(row[name] for name in names) for row in sums] == [
        ("busy", None, 1, 1, 0, 0, 0, 0),
        ("connected", None, 2, 2, 2, 2, 2, 1),
        (None, 4, 3, 3, 2, 2, 2, 1),
    ], "what has become meanwhile of the one that was open is not here"
    rows = await world.store.report("day_agents", agent_ids=[4], since=[since], **given)
    spent = {row["state"]: (row["seconds"], row["calls"]) for row in rows}
    assert spent == {"ready": (100.0, 0), "on_call": (30.0, 1), "wrap_up": (20.0, 0)}
    elsewhere = given | {"site": "s2", "until": world.clock.utcnow() - timedelta(seconds=1)}
    told = await world.store.report("day_calls", only=[1], **elsewhere)
    assert sum(row["began"] for row in told if row["agent_id"] is None) == 3 and not any(row["own"] for row in told)
    assert await world.store.report("day_calls", only=[2], **elsewhere) == []
