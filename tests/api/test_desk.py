"""What the agent's desk gets from the API: the person, in the call and after it; drafts; nothing of others."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.calls.lead_records import Intent, LeadDraft
from daemon.engine import commands as c
from daemon.settings import HttpTable
from tests.api.fakes import World

Client = TestClient[Any, Any]
ATTEMPT = UUID("01999999-0000-7000-8000-000000000001")


async def a_call(world: World) -> int:
    """A lead of the first group and the attempt row of a call to it."""
    draft = LeadDraft(e164="+33199001234", first_name="Jean", last_name="DUPONT")
    (lead_id,) = await world.store.add_leads(world.rows["list"].id, [draft])
    lease = await world.store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    intent = Intent(
        attempt_id=ATTEMPT, site="main", kind="campaign", group_id=world.rows["group"].id,
        campaign_id=world.rows["campaign"].id, client_id=world.rows["client"].id, lead_id=lead_id,
        e164="+33199001234", line_id=world.rows["line"].id, caller_id="", agent_id=world.rows["agent"].id,
        rule_set="", attempts_max=0, attempts_days=0, at=world.clock.utcnow(),
    )  # fmt: skip
    assert await world.store.commit_intents([intent], lease)
    return lead_id


async def desk(client: Client, world: World) -> dict[str, Any]:
    async with client.get("/api/v1/desk", headers=world.auth("agent")) as response:
        assert response.status == 200
        return dict(await response.json())


@pytest.mark.feature("STAT-05", clause="the person stays on the desk through wrap-up")
async def test_the_person_is_there_in_the_call_and_in_wrap_up(client: Client, world: World) -> None:
    lead_id, agent = await a_call(world), world.rows["agent"].id
    assert (await desk(client, world))["lead"] is None
    world.door.change("agents", agent, state="on_call", attempt_id=str(ATTEMPT), lead_id=lead_id)
    assert (await desk(client, world))["lead"]["last_name"] == "DUPONT"
    world.door.change("agents", agent, state="wrap_up", attempt_id="", lead_id=0, last_attempt_id=str(ATTEMPT))
    assert (await desk(client, world))["lead"]["last_name"] == "DUPONT"
    world.door.change("agents", agent, state="ready", last_attempt_id="")
    assert (await desk(client, world))["lead"] is None


async def test_a_draft_comes_back_and_goes_with_its_disposition(client: Client, world: World) -> None:
    await a_call(world)
    headers = world.auth("agent")
    body = {"attempt_id": str(ATTEMPT), "notes": "rappeler\nle soir", "code": "RAPPEL"}
    async with client.put("/api/v1/desk/draft", headers=headers, json=body) as response:
        assert response.status == 200
    assert (await desk(client, world))["draft"]["notes"] == "rappeler\nle soir"
    done = {"attempt_id": str(ATTEMPT), "code": "RAPPEL", "callback_at": "2026-11-25T09:00:00Z"}
    async with client.post(f"/api/v1/agents/{world.rows['agent'].id}/dispose", headers=headers, json=done) as response:
        assert response.status == 202
    assert (await desk(client, world))["draft"] is None


async def test_a_draft_outlives_the_daemon_and_is_refused_without_a_call(client: Client, world: World) -> None:
    """What was typed is in the store: another daemon over it gives it back, whole."""
    await a_call(world)
    body = {"attempt_id": str(ATTEMPT), "notes": "à rappeler", "do_not_call": True, "callback_at": "demain"}
    async with client.put("/api/v1/desk/draft", headers=world.auth("agent"), json=body) as response:
        assert response.status == 200
    other = build_app(
        world.door, world.store, HttpTable(), world.clock, random.Random(5), site_ids=("main",), rule_sets={}
    )
    async with TestClient(TestServer(other)) as after:
        found = (await desk(after, world))["draft"]
        assert {name: found[name] for name in body} == body and found["code"] == ""
        sign_out = f"/api/v1/agents/{world.rows['agent'].id}/sign-out"
        async with after.post(sign_out, headers=world.auth("agent")) as response:
            assert response.status == 202
        assert (await desk(after, world))["draft"] is None
    bad = {"attempt_id": "none", "notes": "x"}
    async with client.put("/api/v1/desk/draft", headers=world.auth("agent"), json=bad) as response:
        assert response.status == 400 and (await response.json())["code"] == "field_invalid"


async def test_a_supervisors_token_has_no_desk(client: Client, world: World) -> None:
    async with client.get("/api/v1/desk", headers=world.auth("supervisor")) as response:
        assert response.status == 404


async def objects(client: Client, world: World, attempt_id: UUID | None = None) -> tuple[int, str]:
    url = f"/api/v1/agents/{world.rows['agent'].id}/objection"
    body = {} if attempt_id is None else {"attempt_id": str(attempt_id)}
    async with client.post(url, headers=world.auth("agent"), json=body) as response:
        return response.status, (await response.json()).get("code", "")


@pytest.mark.feature(
    "LEGL-07", clause="the agent's key puts the person on the red list at once, before, in and after a call"
)
async def test_who_objects_is_on_the_red_list_at_once(client: Client, world: World) -> None:
    agent, listed = world.rows["agent"].id, (world.rows["client"].id, "+33199001234")
    assert await objects(client, world) == (409, "preview_gone")
    assert await objects(client, world, ATTEMPT) == (409, "call_gone")
    lead_id = await a_call(world)
    assert not await world.store.on_red_list(*listed)
    world.door.change("agents", agent, state="reserved", lead_id=lead_id, campaign_id=world.rows["campaign"].id)
    assert await objects(client, world) == (200, "")
    assert await world.store.on_red_list(*listed)
    assert world.door.of(c.LeadsChanged)[-1].e164s == ("+33199001234",)
    await world.store.set_dnc(*listed, False, "test", "")
    world.door.change("agents", agent, state="wrap_up", lead_id=0, last_attempt_id=str(ATTEMPT))
    assert await objects(client, world, ATTEMPT) == (200, "")
    assert await world.store.on_red_list(*listed), "whether the form is sent or runs out"


async def test_an_agent_asks_for_more_time_for_the_own_desk_alone(client: Client, world: World) -> None:
    headers = world.auth("agent")
    async with client.post(f"/api/v1/agents/{world.rows['agent'].id}/extend", headers=headers) as response:
        assert response.status == 202
    assert world.door.of(c.ExtendTime)[0].agent_id == world.rows["agent"].id
    async with client.post(f"/api/v1/agents/{world.rows['agent2'].id}/extend", headers=headers) as response:
        assert response.status == 403
