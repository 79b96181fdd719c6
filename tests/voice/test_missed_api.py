"""Missed calls and the blacklist on the API: who sees which tasks, and how one is ticked off."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.facts import MissedCall, NumberedFact
from daemon.calls.lead_records import Intent
from daemon.engine import commands as c
from tests.api.fakes import World

Client = TestClient[Any, Any]


async def missed(world: World, *owners: int) -> list[UUID]:
    """One missed call for each owner."""
    rows, at = world.rows, world.clock.utcnow()
    lease = await world.store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    ids = [UUID(int=0x0199 << 112 | n) for n in range(len(owners))]
    for n, (id, owner) in enumerate(zip(ids, owners, strict=True), 1):
        intent = Intent(
            attempt_id=id, site="main", kind="inbound", group_id=rows["group"].id, campaign_id=rows["campaign"].id,
            client_id=0, lead_id=0, e164="+33612000001", line_id=0, caller_id="+33199000001", agent_id=0, rule_set="",
            attempts_max=0, attempts_days=0, at=at,
        )  # fmt: skip
        assert await world.store.commit_intents([intent], lease)
        fact = MissedCall(
            at=at, site="main", attempt_id=id, group_id=rows["group"].id, campaign_id=rows["campaign"].id,
            owner_agent_id=owner, due_at=at,
        )  # fmt: skip
        await world.store.apply_facts([NumberedFact(site="main", fence=lease.fence, n=n, fact=fact)])
    return ids


async def tasks(client: Client, world: World, who: str) -> list[dict[str, Any]]:
    async with client.get("/api/v1/missed-calls", headers=world.auth(who)) as response:
        assert response.status == 200
        return list((await response.json())["rows"])


@pytest.mark.feature("ZAD-08", clause="the task is its owner's: shown to the owner and to supervisors, ticked off once")
async def test_a_task_is_its_owner_s(client: Client, world: World) -> None:
    own, others, pool = await missed(world, world.rows["agent"].id, 9999, 0)
    seen = await tasks(client, world, "agent")
    assert [UUID(row["attempt_id"]) for row in seen] == [own, pool] and seen[0]["did"] == "+33199000001"
    assert len(await tasks(client, world, "supervisor")) == 3
    async with client.post(f"/api/v1/missed-calls/{others}/done", headers=world.auth("agent")) as response:
        assert response.status == 404
    for _ in range(2):
        async with client.post(f"/api/v1/missed-calls/{own}/done", headers=world.auth("agent")) as response:
            assert response.status == 200
    assert [UUID(row["attempt_id"]) for row in await tasks(client, world, "agent")] == [pool]
    assert [row["what"] for row in world.store.tables.audit if row["what"].startswith("missed")] == ["missed_call.done"]


async def test_the_tasks_of_others_stand_in_nobodys_way(client: Client, world: World) -> None:
    """The desk asks for the first few: those of colleagues, who have many, are not among them."""
    *_, own = await missed(world, 9999, 9999, 9999, world.rows["agent"].id)

    async def first(who: str, query: str) -> list[UUID]:
        async with client.get(f"/api/v1/missed-calls?{query}", headers=world.auth(who)) as response:
            return [UUID(row["attempt_id"]) for row in (await response.json())["rows"]]

    assert await first("agent", "limit=2") == [own]
    assert len(await first("supervisor", "limit=2")) == 2
    await world.token("narrow", world.rows["group"].id, role="supervisor", campaign_ids=[9999])
    assert await first("narrow", "limit=2") == []


@pytest.mark.feature("ZAD-17", clause="called back from the task by the API; who is on the red list meanwhile is not")
async def test_called_back_from_the_task(client: Client, world: World) -> None:
    agent, campaign = world.rows["agent"], world.rows["campaign"]
    (own,) = await missed(world, agent.id)
    (task,) = await tasks(client, world, "agent")
    assert "••" in (await tasks(client, world, "supervisor"))[0]["e164"], "masked for who need not call"
    assert task["due_at"] is not None and task["campaign_id"] == campaign.id
    path, body = f"/api/v1/agents/{agent.id}/dial", {"number": task["e164"], "campaign_id": task["campaign_id"]}
    async with client.post(path, headers=world.auth("agent"), json=body) as response:
        assert response.status == 202
    (command,) = world.door.of(c.DialNumber)
    assert (command.agent_id, command.campaign_id, command.e164) == (agent.id, campaign.id, "+33612000001")
    async with client.post(f"/api/v1/missed-calls/{own}/done", headers=world.auth("agent")) as response:
        assert response.status == 200
    assert await tasks(client, world, "agent") == []
    await world.store.set_dnc(campaign.client_id, "+33612000001", True, "anna", "by letter")
    async with client.post(path, headers=world.auth("agent"), json=body) as response:
        answer = await response.json()
    assert (response.status, answer["code"]) == (403, "call_forbidden"), answer
    assert len(world.door.of(c.DialNumber)) == 1


@pytest.mark.feature("ZAD-18", clause="the blacklist is kept on the API: numbers in E.164, each once")
async def test_the_blacklist(client: Client, world: World) -> None:
    headers, body = world.auth("manager"), {"e164": "+33612000001", "reason": "menaces"}
    async with client.post("/api/v1/blacklist", headers=headers, json=body) as response:
        assert response.status == 201
        row = await response.json()
    async with client.post("/api/v1/blacklist", headers=headers, json=body) as response:
        assert response.status == 409
    async with client.post("/api/v1/blacklist", headers=headers, json={"e164": "0612"}) as response:
        assert response.status == 400
    assert world.door.commands[-1].table == "Blocked"
    path = f"/api/v1/blacklist/{row['id']}"
    async with client.delete(path, headers={**headers, "If-Match": "*"}) as response:
        assert response.status == 204


@pytest.mark.feature("ZAD-16", clause="the option of a campaign is set over the API, and what was read goes back whole")
async def test_the_name_on_the_phone_is_an_option(client: Client, world: World) -> None:
    path, headers = f"/api/v1/campaigns/{world.rows['campaign'].id}", world.auth("manager")
    async with client.get(path, headers=headers) as response:
        inbound = (await response.json())["inbound"]
    assert inbound["show_name"] is False
    changed = {"inbound": {**inbound, "show_name": True}}
    async with client.patch(path, headers={**headers, "If-Match": "*"}, json=changed) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["inbound"] == changed["inbound"]
