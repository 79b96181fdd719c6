"""Reports: both stores give the same rows for the same history, and the figures are those of the calls."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.records import Agent
from daemon.ports import Store
from daemon.store import MemoryStore, PostgresStore, reports
from tests.store.world import SITE, START, FixedClock, World, make_world


async def a_day(world: World) -> None:
    """Some forty calls, breaks, refusals and requests, by seed."""
    rng = random.Random(11)
    store, clock = world.store, world.clock
    for login in ("1001", "1002"):
        await store.create(Agent(group_id=world.group.id, site=SITE, login=login, name=login, extension=login))
    ids = await world.leads(*[f"+3361234{i:04d}" for i in range(40)])
    for lead_id in ids:
        await world.later(rng.randrange(60, 3000))
        outcome = rng.choice([*Outcome])
        agent_id = rng.choice([1, 2]) if outcome == Outcome.CONNECTED else 0
        attempt = await world.place(f"+3361234{lead_id:04d}", lead_id, line_id=rng.choice([3, 4]))
        at = clock.utcnow()
        answered = at + timedelta(seconds=8) if outcome in (Outcome.CONNECTED, Outcome.ABANDONED) else None
        detail: dict[str, Any] = {"agent_id": agent_id, "answered_at": answered, "live": answered is not None}
        detail |= {"connected_at": at + timedelta(seconds=9) if agent_id else None}
        detail |= {"talk_s": rng.randrange(0, 400) / 4 if agent_id else 0.0, "ring_s": rng.choice([None, 2.5, 8.0])}
        await world.apply(
            f.AgentStateSet(
                at=at,
                agent_id=rng.choice([1, 2]),
                state=(state := rng.choice(["ready", "on_call", "paused"])),
                attempt_id=attempt if state == "on_call" else None,
                campaign_id=world.campaign.id if state == "on_call" else 0,
                campaign_ids=(world.campaign.id,),
            ),
            world.ended(attempt, outcome, lead_id, **detail),
            f.LedgerAdded(at=at, campaign_id=world.campaign.id, hour=at.replace(minute=0, second=0), answered_live=1),
            f.PacingDecided(at=at, campaign_id=world.campaign.id, count=2, limit="risk", figures={"risk": 0.5}),
            f.LinkChanged(at=at, up=bool(agent_id)),
            f.AuditFact(at=at, by="anna", what="campaign.tuned", target=str(world.campaign.id), detail={"speed": 5}),
        )
        if agent_id:
            due = at + timedelta(days=1) if rng.random() < 0.3 else None
            code = "RAPPEL" if due else rng.choice(["VENTE", "REFUS"])
            flags = {"sale": code == "VENTE", "refused": code == "REFUS", "callback_at": due}
            await world.apply(world.disposed(attempt, lead_id, code, agent_id=agent_id, **flags))
        if rng.random() < 0.3:
            await world.apply(
                f.RefusalFact(
                    at=at,
                    lead_id=lead_id,
                    campaign_id=world.campaign.id,
                    client_id=world.client.id,
                    rule=rng.choice(["hours", "consent"]),
                    clause="",
                    rule_set="fr-b2c-2026",
                )
            )
        ok = rng.random() < 0.8
        error = "" if ok else rng.choice(["Rate limit dépassé", "Aucune ligne disponible"])
        row = {"created_at": at, "group_id": world.group.id, "success": ok, "error": error, "status": 200}
        await store.log_api_call(row | {"phone_line_used": rng.choice(["l1", "l2"]), "response_time_ms": 12.5})
    await store.set_dnc(world.client.id, "+33612340001", True, "anna", "page")


@pytest.fixture
async def both(database: str, clock: FixedClock) -> tuple[World, World]:
    """The same day in each store."""
    worlds = []
    for store in (MemoryStore(FixedClock()), PostgresStore(database, own := FixedClock(), pool_size=2)):
        own = store._clock  # type: ignore[assignment]
        await store.open()
        worlds.append(await make_world(store, own))
        await a_day(worlds[-1])
    return worlds[0], worlds[1]


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


async def test_both_stores_give_the_same_rows(both: tuple[World, World]) -> None:
    memory, postgres = both
    start, end = START + timedelta(hours=2), START + timedelta(hours=12)
    for name in reports.names():
        parameters = reports.load(name).parameters
        wanted = {"group_id": 1, "campaign_id": 1, "agent_id": 1, "line_id": 3, "start": start, "end": end}
        wanted |= {"client_id": 1, "list_id": 1, "zone": "America/Martinique", "limit": 7}
        wanted |= {"at": end, "valid_days": 365, "rule": "hours"}
        life = {"site": SITE, "fence": 25, "start": start}
        elsewhere = {"site": "s2", "fence": 1, "start": start, "only": [1, 2], "until": end}
        for given in ({}, {"group_id": 1}, {"group_id": 2}, wanted, life, elsewhere):
            used = {key: value for key, value in given.items() if key in parameters}
            first = await memory.store.report(name, **used)
            second = await postgres.store.report(name, **used)
            assert second == [comparable(row) for row in first], (name, used)
            streamed = [row async for row in postgres.store.stream(name, **used)]
            assert streamed == second
    await memory.store.close()
    await postgres.store.close()


async def test_totals_are_those_of_the_calls(world: World) -> None:
    for outcome, answered in ((Outcome.CONNECTED, True), (Outcome.ABANDONED, True), (Outcome.BUSY, False)):
        attempt = await world.place()
        at = world.clock.utcnow()
        answered_at = at if answered else None
        await world.apply(world.ended(attempt, outcome, answered_at=answered_at, live=answered, talk_s=4.0 * answered))
    left_out = await world.place()
    await world.apply(world.ended(left_out, Outcome.NOT_PLACED, counted=False))
    [row] = await world.store.report("totals", group_id=world.group.id)
    assert (row["attempts"], row["answered"], row["connected"], row["abandoned"]) == (3, 2, 1, 1)
    assert row["answer_rate"] == pytest.approx(2 / 3)
    assert (row["talk_s"], row["talk_mean_s"]) == (8.0, 4.0)
    assert (await world.store.report("totals", group_id=99))[0]["attempts"] == 0


async def test_a_mistyped_report_or_parameter_is_refused(store: Store) -> None:
    for name in ("nonsense", "../migrations/0001_core", ""):
        with pytest.raises(KeyError):
            await store.report(name)
    with pytest.raises(ValueError, match="unknown parameter"):
        await store.report("totals", campagne_id=1)


@pytest.mark.feature("C2C-10", clause="the documented query of api_call_logs works as is")
async def test_the_documented_query_of_the_log_works_as_is(database: str, clock: FixedClock) -> None:
    store = PostgresStore(database, clock)
    await store.open()
    for number in range(12):
        clock.forward(1)
        row = {"created_at": clock.utcnow(), "number_called": f"+3361234{number:04d}", "success": True}
        await store.log_api_call(row)
    async with store._database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM api_call_logs ORDER BY created_at DESC LIMIT 10")
    assert [row["number_called"][-2:] for row in rows] == [f"{i:02d}" for i in range(11, 1, -1)]
    await store.close()
