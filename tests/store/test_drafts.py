"""Desk drafts: one an agent, with the call it is about; both stores alike."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from tests.store.world import World

FIRST, SECOND = UUID(int=1), UUID(int=2)


async def test_one_draft_an_agent_until_its_call_is_done(world: World) -> None:
    store, now = world.store, world.clock.utcnow()
    assert await store.draft_of(7) is None
    await store.keep_draft(7, FIRST, {"notes": "a", "do_not_call": False}, now)
    await store.keep_draft(7, SECOND, {"notes": "b", "do_not_call": True}, now)
    await store.keep_draft(8, FIRST, {"notes": "c"}, now)
    assert await store.draft_of(7) == {"notes": "b", "do_not_call": True, "attempt_id": SECOND, "saved_at": now}
    await store.drop_draft(7, FIRST)
    assert await store.draft_of(7) is not None, "another call's"
    await store.drop_draft(7, SECOND)
    assert await store.draft_of(7) is None and await store.draft_of(8) is not None
    await store.drop_draft(8)
    assert await store.draft_of(8) is None


async def test_drafts_nobody_finished_go_after_a_day(world: World) -> None:
    store, now = world.store, world.clock.utcnow()
    await store.keep_draft(7, FIRST, {"notes": "a"}, now)
    await store.keep_draft(8, FIRST, {"notes": "b"}, now + timedelta(days=1, seconds=1))
    assert await store.draft_of(7) is None and await store.draft_of(8) is not None
