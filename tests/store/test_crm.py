"""CRM journals in both stores: one row a call and integration, put in with the fact that ends the call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.crm_records import CrmTicket, CrmUser, Integration
from daemon.calls.records import Agent
from daemon.errors import StoreConflict
from daemon.ports import CrmStore, Store
from tests.store.world import SITE, World


async def integration(world: World, **fields: Any) -> Integration:
    values: dict[str, Any] = {"name": "CRM", "key": "generic", "source": "<x/>", "enabled": True, "journal": True}
    return await world.store.create(Integration(group_id=world.group.id, **(values | fields)))


async def call(world: World, outcome: Outcome = Outcome.CONNECTED, *, placed: bool = True, **fields: Any) -> UUID:
    """A call from intent to end."""
    attempt = await world.place()
    if placed:
        await world.apply(f.AttemptPlaced(at=world.clock.utcnow(), attempt_id=attempt, campaign_id=world.campaign.id))
    await world.apply(world.ended(attempt, outcome, **fields))
    return attempt


async def due(world: World, id: int) -> list[dict[str, Any]]:
    assert isinstance(world.store, CrmStore)
    return await world.store.crm_due(id, [SITE], world.clock.utcnow(), 100)


async def test_a_finished_call_is_queued_once_with_its_agent_and_lead(world: World) -> None:
    crm = await integration(world)
    agent = await world.store.create(Agent(group_id=world.group.id, site=SITE, login="a", name="Ada L", extension="12"))
    (lead,) = await world.leads("+33612345678", first_name="Zoé", last_name="Bon")
    attempt = await world.place(lead_id=lead)
    await world.apply(f.AttemptPlaced(at=world.clock.utcnow(), attempt_id=attempt, campaign_id=world.campaign.id))
    facts = await world.apply(world.ended(attempt, Outcome.CONNECTED, lead, agent_id=agent.id, talk_s=12.5))
    await world.store.apply_facts(facts)
    (row,) = await due(world, crm.id)
    assert (row["id"], row["agent_id"], row["state"], row["tries"]) == (attempt, agent.id, "pending", 0)
    assert (row["agent_name"], row["extension"], row["lead_first_name"]) == ("Ada L", "12", "Zoé")
    assert (row["outcome"], row["talk_s"], row["e164"]) == ("connected", 12.5, "+33612345678")


async def test_what_is_no_call_or_nobody_wants_is_not_queued(world: World) -> None:
    off = await integration(world, enabled=False)
    quiet = await integration(world, name="quiet", journal=False)
    on = await integration(world, name="on")
    await call(world, Outcome.NOT_PLACED, placed=False)
    assert await due(world, on.id) == []
    await call(world, Outcome.BUSY)
    assert len(await due(world, on.id)) == 1
    assert await due(world, off.id) == await due(world, quiet.id) == []


async def test_a_row_is_taken_once_and_its_end_is_kept(world: World) -> None:
    crm = await integration(world)
    attempt = await call(world)
    store, now = world.store, world.clock.utcnow()
    assert isinstance(store, CrmStore)
    key = (crm.id, attempt, 0)
    assert await store.crm_mark(key, ("pending",), "sending", now)
    assert not await store.crm_mark(key, ("pending",), "sending", now), "two senders took the same row"
    assert await due(world, crm.id) == []
    assert await store.crm_mark(key, ("sending",), "done", now, tried=True, journal_id="J1")
    (row,) = await store.crm_rows(crm.id, "done", 0, 10)
    assert (row["journal_id"], row["tries"], row["done_at"]) == ("J1", 1, now)
    assert (await store.crm_figures([crm.id]))[crm.id]["done"]["count"] == 1
    assert await store.crm_trim(now + timedelta(seconds=1)) == 1
    assert await store.crm_rows(crm.id, "", 0, 10) == []


async def test_what_a_dead_daemon_was_sending_is_in_doubt(world: World) -> None:
    crm = await integration(world)
    attempt = await call(world)
    store, now = world.store, world.clock.utcnow()
    assert isinstance(store, CrmStore)
    await store.crm_mark((crm.id, attempt, 0), ("pending",), "sending", now)
    assert await store.crm_lost(["elsewhere"], now) == 0
    assert await store.crm_lost([SITE], now) == 1
    (row,) = await due(world, crm.id)
    assert row["state"] == "doubt"


async def test_later_tries_wait_and_a_person_may_replay(world: World) -> None:
    crm = await integration(world)
    attempt = await call(world)
    store, now = world.store, world.clock.utcnow()
    assert isinstance(store, CrmStore)
    key = (crm.id, attempt, 0)
    await store.crm_mark(key, ("pending",), "pending", now, tried=True, next_at=now + timedelta(seconds=30), error="no")
    assert await due(world, crm.id) == []
    world.clock.forward(30)
    assert (await due(world, crm.id))[0]["tries"] == 1
    await store.crm_mark(key, ("pending",), "dead", now, error="given up")
    assert await store.crm_replay(crm.id, ("dead",), None, now) == 1
    assert [row["tries"] for row in await due(world, crm.id)] == [0]


async def test_rows_go_with_their_integration_but_users_hold_it(world: World) -> None:
    crm = await integration(world)
    await call(world)
    user = await world.store.create(CrmUser(group_id=world.group.id, integration_id=crm.id, crm_id="7"))
    with pytest.raises(StoreConflict):
        await world.store.delete(Integration, crm.id, None)
    await world.store.delete(CrmUser, user.id, None)
    await world.store.delete(Integration, crm.id, None)
    assert isinstance(world.store, CrmStore)
    assert await world.store.crm_rows(crm.id, "", 0, 10) == []


async def test_a_call_has_one_ticket(store: Store, world: World) -> None:
    crm = await integration(world)
    ticket = CrmTicket(group_id=world.group.id, integration_id=crm.id, attempt_id="x")
    await store.create(ticket)
    with pytest.raises(StoreConflict) as refused:
        await store.create(ticket)
    assert refused.value.field == "attempt_id"
