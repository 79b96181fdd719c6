"""Zadarma's rows on both stores: each call once, extensions one to one, times and lists as they were put in."""

from __future__ import annotations

import pytest

from daemon.calls.zadarma_records import SENDER, ZadarmaCall, ZadarmaLink, ZadarmaUser
from daemon.errors import StoreConflict
from daemon.store.pseudonyms import Pseudonyms
from tests.store.world import World


async def test_links_users_and_calls(world: World) -> None:
    store, group, now = world.store, world.group.id, world.clock.utcnow()
    link = await store.create(ZadarmaLink(group_id=group, key="k"))
    assert (await store.find(ZadarmaLink, enabled=False))[0].addresses == [SENDER]
    with pytest.raises(StoreConflict) as second:
        await store.create(ZadarmaLink(group_id=group))
    await store.create(ZadarmaUser(group_id=group, link_id=link.id, agent_id=1, extension="101"))
    with pytest.raises(StoreConflict) as extension:
        await store.create(ZadarmaUser(group_id=group, link_id=link.id, agent_id=2, extension="101"))
    with pytest.raises(StoreConflict) as agent:
        await store.create(ZadarmaUser(group_id=group, link_id=link.id, agent_id=1, extension="102"))
    assert [each.value.field for each in (second, extension, agent)] == ["group_id", "extension", "agent_id"]
    call = ZadarmaCall(
        group_id=group, link_id=link.id, pbx_call_id="in_1", at=now, day="2026-11-20", direction="in",
        e164="+33612345678", due_at=now, events=[{"event": "NOTIFY_START"}],
    )  # fmt: skip
    kept = await store.create(call)
    with pytest.raises(StoreConflict) as twice:
        await store.create(call)
    assert twice.value.field == "pbx_call_id"
    assert await store.find(ZadarmaCall, link_id=link.id, day="2026-11-20") == [kept]
    assert (kept.due_at, kept.events) == (now, [{"event": "NOTIFY_START"}])
    with pytest.raises(StoreConflict):
        await store.update(ZadarmaCall, kept.id, {"task": "open"}, kept.version + 1)
    await store.use_pseudonyms(Pseudonyms(b"k" * 32))
    erased = await store.erase_person(group, "+33612345678")
    assert erased["counts"]["zadarma_calls"] == 1
    assert await store.find(ZadarmaCall, group_id=group) == []
