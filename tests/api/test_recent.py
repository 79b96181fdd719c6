"""The last minutes: calls and agents' time by minute, what changed; a group sees its own only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.facts import AnyFact, NumberedFact
from daemon.calls.lead_records import Intent, Lease
from tests.api.fakes import World

Client = TestClient[Any, Any]


async def a_call(world: World, lease: Lease, n: int, outcome: Outcome) -> UUID:
    """The `n`-th call of the campaign, over after 30 s."""
    rows, id, at = world.rows, UUID(int=0x0199 << 112 | n), world.clock.utcnow()
    intent = Intent(
        attempt_id=id, site="main", kind="campaign", group_id=rows["group"].id, campaign_id=rows["campaign"].id,
        client_id=rows["client"].id, lead_id=0, e164=f"+3319900{n:04d}", line_id=rows["line"].id, caller_id="",
        agent_id=0, rule_set="fr-b2c-2026", attempts_max=4, attempts_days=30, at=at,
    )  # fmt: skip
    assert await world.store.commit_intents([intent], lease)
    talked = outcome is Outcome.CONNECTED
    over = f.AttemptEnded(
        at=at + timedelta(seconds=30), site="main", attempt_id=id, lead_id=0, campaign_id=rows["campaign"].id,
        client_id=rows["client"].id, outcome=outcome,
        live=talked or outcome is Outcome.ABANDONED, connected_at=at + timedelta(seconds=9) if talked else None,
        answered_at=at + timedelta(seconds=8) if outcome in (Outcome.CONNECTED, Outcome.ABANDONED) else None,
        agent_id=rows["agent"].id if talked else 0, talk_s=21.0 if talked else 0.0,
    )  # fmt: skip
    await apply(world, lease, over)
    return id


async def apply(world: World, lease: Lease, *facts: AnyFact) -> None:
    """Facts in order: their numbers only grow, as the store asks for."""
    first = world.rows.get("facts", 0)
    world.rows["facts"] = first + len(facts)
    numbered = [NumberedFact(site="main", fence=lease.fence, n=first + i, fact=f) for i, f in enumerate(facts, 1)]
    await world.store.apply_facts(numbered)


async def lease_of(world: World) -> Lease:
    lease = await world.store.acquire_lease("main", "test", 3600.0)
    assert lease is not None
    return lease


async def recent(client: Client, world: World, who: str = "supervisor", more: str = "") -> Any:
    async with client.get(f"/api/v1/recent{more}", headers=world.auth(who)) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_calls_and_agents_by_minute(client: Client, world: World) -> None:
    lease, agent, campaign = await lease_of(world), world.rows["agent"].id, world.rows["campaign"].id
    world.clock.utc = world.clock.utc.replace(second=0, microsecond=0)
    state = {"site": "main", "agent_id": agent, "campaign_ids": (campaign,)}
    await apply(world, lease, f.AgentStateSet(at=world.clock.utcnow(), state="ready", **state))
    for n, outcome in enumerate([Outcome.BUSY, Outcome.ABANDONED, Outcome.CONNECTED], 2):
        await a_call(world, lease, n, outcome)
    id = UUID(int=0x0199 << 112 | 4)
    world.clock.utc += timedelta(seconds=90)
    talks = f.AgentStateSet(
        at=world.clock.utcnow(), state="on_call", attempt_id=id, **{**state, "campaign_id": campaign}
    )
    await apply(world, lease, talks)
    world.clock.utc += timedelta(seconds=30)
    found = await recent(client, world, more="?minutes=10")
    [minute] = found["calls"]
    assert {k: minute[k] for k in ("campaign_id", "placed", "connected", "live", "abandoned")} == {
        "campaign_id": campaign, "placed": 3, "connected": 1, "live": 2, "abandoned": 1,
    }  # fmt: skip
    first, second = found["agents"]
    assert (first["ready_s"], first["handling_s"], first["waits"]) == (60.0, 0.0, 0)
    assert (second["ready_s"], second["handling_s"], second["waits"], second["waited_s"]) == (30.0, 30.0, 1, 90.0)
    of_campaign = await recent(client, world, more=f"?minutes=10&campaign_id={campaign}")
    assert of_campaign["agents"] == found["agents"] and of_campaign["calls"] == found["calls"]
    other = await recent(client, world, "other_admin")
    assert other["calls"] == other["agents"] == [] and other["events"] == []


async def test_what_changed_is_told_newest_first(client: Client, world: World) -> None:
    lease, at = await lease_of(world), world.clock.utcnow()
    target, agent = str(world.rows["campaign"].id), world.rows["agent"].id
    steered = f.AuditFact(
        at=at, site="main", by="anna", what="campaign.tuned", target=target, detail={"speed": 7, "speed_was": 6}
    )
    lost = f.LinkChanged(at=at + timedelta(seconds=1), site="main", up=False)
    away = f.AgentStateSet(at=at + timedelta(seconds=2), site="main", agent_id=agent, state="paused", code="REPAS")
    await apply(world, lease, steered, lost, away)
    await a_call(world, lease, 2, Outcome.CONNECTED)
    world.clock.utc += timedelta(seconds=60)
    call, paused, down, tuned = (await recent(client, world))["events"]
    assert (call["kind"], call["detail"]["agent_id"]) == ("call", agent)
    assert (paused["id"], paused["what"], paused["detail"]) == (str(agent), "paused", {"code": "REPAS"})
    assert (down["kind"], down["id"], down["what"]) == ("link", "main", "down")
    assert (tuned["by"], tuned["detail"]) == ("anna", {"speed": 7, "speed_was": 6})
    assert [x["kind"] for x in (await recent(client, world, "other_admin"))["events"]] == ["link"]


async def test_it_reaches_back_four_hours_at_most(client: Client, world: World) -> None:
    async with client.get("/api/v1/recent?minutes=241", headers=world.auth("supervisor")) as response:
        assert response.status == 400
    async with client.get("/api/v1/recent?campaign_id=99", headers=world.auth("supervisor")) as response:
        assert response.status == 404
