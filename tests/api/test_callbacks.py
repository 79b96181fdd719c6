"""A callback that changes hands, over the API (features CALB-01)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent
from daemon.engine.commands import LeadsChanged
from tests.api.fakes import World
from tests.store.world import World as Facts

Client = TestClient[Any, Any]


@pytest.mark.feature(
    "CALB-01", clause="a callback goes to another agent, to anybody or another time; its history stays"
)
async def test_a_callback_changes_hands(client: Client, world: World) -> None:
    store, rows = world.store, world.rows
    [lead_id] = await store.add_leads(rows["list"].id, [LeadDraft(e164="+33612345678", last_name="Durand")])
    other = await store.create(
        Agent(group_id=rows["group"].id, site="main", login="1777", name="Zoé", extension="1777")
    )
    lease = await store.acquire_lease("main", "test", 4.0)
    assert lease is not None
    facts = Facts(store, world.clock, rows["group"], rows["client"], rows["list"], rows["campaign"], lease)  # type: ignore[arg-type]
    attempt = await facts.place("+33612345678", lead_id, site="main", attempts_max=0)
    due = world.clock.utcnow() + timedelta(hours=3)
    await facts.apply(facts.ended(attempt, Outcome.CONNECTED, lead_id))
    await facts.apply(facts.disposed(attempt, lead_id, "RAPPEL", callback_at=due, callback_agent_id=rows["agent"].id))
    path, sooner = f"/api/v1/leads/{lead_id}/callback", due - timedelta(hours=1)

    async def move(status: int, **body: Any) -> Any:
        async with client.patch(path, headers=world.auth("supervisor"), json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    assert (await move(200, agent_id=other.id))["callback_agent_id"] == other.id
    (owed,) = await store.report("callbacks", group_id=rows["group"].id)
    assert (owed["agent_id"], owed["due_at"]) == (other.id, due), "the time agreed stays"
    assert isinstance(world.door.commands[-1], LeadsChanged)
    await move(200, agent_id=0, due_at=sooner.isoformat())
    (owed,) = await store.report("callbacks", group_id=rows["group"].id)
    assert (owed["agent_id"], owed["due_at"]) == (0, sooner)
    page = await store.search_leads(rows["group"].id, {}, 5, None)
    assert (page.rows[0]["eligible_at"], page.rows[0]["blocked_by"]) == (sooner, "callback")
    kinds = [entry["type"] for entry in await store.lead_history(lead_id)]
    assert sorted(kinds) == ["attempt", "callback"], "the conversation that agreed on it is still there"
    await move(404, agent_id=999_999)
    [without] = await store.add_leads(rows["list"].id, [LeadDraft(e164="+33612345679")])
    path = f"/api/v1/leads/{without}/callback"
    await move(404, agent_id=other.id)
