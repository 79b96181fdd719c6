"""Recordings on both stores: rows once, search, what becomes of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.calls import facts as f
from daemon.errors import StoreConflict
from daemon.ports import TapeStore
from tests.store.world import SITE, World


async def test_a_recording_s_life(world: World) -> None:
    attempt, store = await world.place(), world.store
    assert isinstance(store, TapeStore)
    row = await store.attempt(attempt)
    assert row is not None
    at = world.clock.utcnow()

    def begun(number: int) -> f.RecordingStarted:
        group = int(row["group_id"]) if row else 0
        return f.RecordingStarted(
            at=at, site=SITE, attempt_id=attempt, group_id=group, number=number, file=f"x-{number}.wav", by="campaign"
        )

    over = f.RecordingEnded(at=at, site=SITE, attempt_id=attempt, number=1, duration_s=7.5, muted=[(1.0, 2.25)])
    await world.apply(begun(1), begun(1), begun(2), over)
    await world.apply(f.RecordingEnded(at=at, site=SITE, attempt_id=attempt, number=2, duration_s=0.0, failed=True))

    async def found(**filters: Any) -> list[tuple[int, str]]:
        page = await store.search_recordings(row["group_id"] if row else 0, filters, 10, None)
        return [(each["number"], each["state"]) for each in page.rows]

    assert await found() == [(2, "failed"), (1, "waiting")]
    assert await found(state="waiting", campaign_id=row["campaign_id"], duration_min=7.0) == [(1, "waiting")]
    assert await found(number=row["e164"], start=at, end=at + timedelta(seconds=1)) == await found()
    assert await found(number="+33600000000") == await found(start=at + timedelta(seconds=1)) == []
    assert (await store.search_recordings(None, {}, 1, None)).next_after is not None
    assert (await store.search_recordings(row["group_id"] + 1, {}, 10, None)).rows == []
    [waiting] = await store.recordings_in(("waiting",), at + timedelta(seconds=1), 10)
    assert waiting["muted"] == [[1.0, 2.25]] and (waiting["duration_s"], waiting["file"]) == (7.5, "x-1.wav")
    await store.set_recording(waiting["id"], {"path": "/kept/x-1.mp3", "bytes": 99, "state": "kept"})
    kept = await store.recording(waiting["id"])
    assert kept is not None and (kept["path"], kept["bytes"], kept["call_number"]) == (
        "/kept/x-1.mp3",
        99,
        row["number"],
    )
    with pytest.raises(StoreConflict):
        await store.set_recording(waiting["id"], {"file": "other"})
    with pytest.raises(StoreConflict):
        await store.search_recordings(None, {"colour": "red"}, 10, None)
    await world.apply(over)
    assert (await found())[1] == (1, "kept"), "told again, it stays what it has become"


async def test_missed_calls_are_asked_for_by_owner_and_campaign(world: World) -> None:
    """Those to be called back oldest first; those done, the last first: the day's are on top after months of them."""
    store, ids = world.store, []
    assert isinstance(store, TapeStore)
    group, campaign = world.group.id, world.campaign.id
    for n, owner in enumerate((7, 0, 8)):
        await world.later(60.0)
        at = world.clock.utcnow()
        ids.append(await world.place(f"+3361234560{n}", kind="inbound", attempts_max=0))
        told = {
            "attempt_id": ids[-1],
            "group_id": group,
            "campaign_id": campaign,
            "owner_agent_id": owner,
            "due_at": at,
        }
        await world.apply(f.MissedCall(at=at, site=SITE, **told))

    async def found(done: bool = False, limit: int = 10, **more: Any) -> list[int]:
        rows = await store.missed_calls(group, done=done, limit=limit, **more)
        return [ids.index(row["attempt_id"]) for row in rows]

    assert await found() == [0, 1, 2] and await found(limit=1) == [0]
    assert await found(owner=8) == [1, 2] and await found(owner=8, limit=1) == [1]
    assert await found(campaign_ids={campaign}) == [0, 1, 2] and await found(campaign_ids={campaign + 1}) == []
    assert await found(attempt_id=ids[2]) == [2] and await found(attempt_id=ids[2], owner=7) == []
    for n in (1, 0, 2):
        await world.later(60.0)
        assert await store.missed_call_done(ids[n], world.clock.utcnow(), "anna")
    assert await found() == [] and await found(done=True) == [2, 0, 1] and await found(done=True, limit=1) == [2]
