"""What the log of click-to-call has of requests that were turned away at the door, or broken off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.calls.records import ApiToken, Group
from daemon.engine import commands as c
from daemon.errors import StoreUnavailable
from tests.api.fakes import World
from tests.api.test_click2call import NUMBER, PATH, call, until

Client = TestClient[Any, Any]
COLUMNS = ("group_id", "token_id", "number_called", "status", "error", "success", "ip_address")


async def rows_of(client: Client, world: World) -> list[dict[str, Any]]:
    """The log's rows once all are written."""
    assert client.app is not None
    await client.app[DEPS].quotas.close()
    return list(world.store.tables.api_call_logs)


@pytest.mark.feature("C2C-10", clause="an origin that is not allowed leaves a row, with the number it asked for")
async def test_a_foreign_origin_leaves_a_row(client: Client, world: World) -> None:
    group, token = world.rows["group"].id, world.rows["token_c2c"].id
    await world.store.update(Group, group, {"cors_origins": ["exemple.com"]}, None)
    assert (await call(client, world, Origin="https://ailleurs.example"))[0] == 403
    assert (await call(client, world, Origin="https://exemple.com"))[0] == 200
    refused, called = await rows_of(client, world)
    assert {name: refused[name] for name in COLUMNS} == {
        "group_id": group, "token_id": token, "number_called": "0199000123", "status": 403,
        "error": "Domaine non autorisé", "success": False, "ip_address": "127.0.0.1",
    }  # fmt: skip
    assert refused["created_at"] == world.clock.utc and refused["response_time_ms"] >= 0.0
    assert called["success"] is True


@pytest.mark.feature("C2C-10", clause="an address that is not allowed leaves a row, the caller's behind a proxy")
async def test_a_foreign_address_leaves_a_row(serve: Any, world: World) -> None:
    client = await serve(allow=["10.1.0.0/16"], behind_proxy=True, trusted_proxies=["127.0.0.1/32"])
    assert (await call(client, world, X_Forwarded_For="203.0.113.9"))[0] == 403
    assert (await call(client, world, X_Forwarded_For="10.1.2.3"))[0] == 200
    refused, called = await rows_of(client, world)
    assert (refused["error"], refused["ip_address"]) == ("Adresse non autorisée", "203.0.113.9")
    assert refused["group_id"] == world.rows["group"].id and called["ip_address"] == "10.1.2.3"


@pytest.mark.feature("C2C-10", clause="a bad body and a wrong type leave a row of the token's group")
async def test_malformed_requests_leave_rows(client: Client, world: World) -> None:
    headers = world.auth("c2c")
    for data, type_ in (("{", "application/json"), ("{}", "application/json"), ("a=1", "text/plain")):
        async with client.post(PATH, data=data, headers={**headers, "Content-Type": type_}) as response:
            assert response.status in (400, 415)
    rows = await rows_of(client, world)
    assert [(row["status"], row["error"]) for row in rows] == [
        (400, "JSON invalide"),
        (400, "Champ obligatoire manquant : number_to_call"),
        (415, "Content-Type doit être application/json"),
    ]
    assert {row["group_id"] for row in rows} == {world.rows["group"].id}


@pytest.mark.feature("C2C-10", clause="a lapsed token leaves a row of its group, an unknown one a row of none")
async def test_refused_tokens_leave_rows(client: Client, world: World) -> None:
    token = world.rows["token_c2c"]
    await world.store.update(ApiToken, token.id, {"disabled_at": world.clock.utc}, None)
    assert (await call(client, world))[0] == 401
    async with client.post(PATH, json=NUMBER, headers={"Authorization": "Bearer clicsipx_OUEST_x"}) as response:
        assert response.status == 401
    async with client.post(PATH, json=NUMBER) as response:
        assert response.status == 401
    rows = await rows_of(client, world)
    assert [(row["group_id"], row["token_id"]) for row in rows] == [(token.group_id, token.id), (0, 0), (0, 0)]
    assert {row["error"] for row in rows} == {"API Token invalide"}
    assert not any(secret in str(rows) for secret in (world.tokens["c2c"], "clicsipx_OUEST_x"))


async def test_a_flood_of_guesses_does_not_fill_the_log(serve: Any, world: World) -> None:
    client = await serve(bad_requests_per_minute=3)
    for _ in range(10):
        async with client.post(PATH, json=NUMBER, headers={"Authorization": "Bearer guess"}) as response:
            assert response.status in (401, 429)
    assert [row["status"] for row in await rows_of(client, world)][:3] == [401] * 3
    assert sum(not row["success"] for row in world.store.tables.api_call_logs) == 3


@pytest.mark.feature("C2C-11", clause="what was refused at the door counts in the figures, with advice")
async def test_refusals_are_in_the_figures(client: Client, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"cors_origins": ["exemple.com"]}, None)
    assert (await call(client, world, Origin="https://ailleurs.example"))[0] == 403
    assert (await call(client, world))[0] == 200
    async with client.get("/api/public/status", headers=world.auth("c2c")) as response:
        hour = (await response.json())["data"]["last_hour"]
    assert (hour["calls"], hour["failed"]) == (2, 1)
    await rows_of(client, world)
    world.clock.advance(1)
    async with client.get("/api/v1/stats/click2call", headers=world.auth("supervisor")) as response:
        figures = await response.json()
    assert (figures["calls"], figures["failed"]) == (2, 1)
    (error,) = figures["errors"]
    assert error["error"] == "Domaine non autorisé" and error["advice_fr"] and error["advice_en"]


async def test_a_request_broken_off_leaves_a_row(client: Client, world: World) -> None:
    world.door.silent = True
    waiting = asyncio.create_task(call(client, world))
    await until(lambda: bool(world.door.of(c.CallExtension)))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: bool(world.store.tables.api_call_logs))
    (row,) = await rows_of(client, world)
    assert (row["status"], row["success"], row["phone_line_used"]) == (499, False, "8001")


async def test_a_lost_database_uses_no_quota_up(client: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_per_hour": 1}, None)
    assert (await call(client, world, {"number_to_call": "112"}))[0] == 403  # the hour is known

    async def lost(*_: object) -> bool:
        raise StoreUnavailable("lost")

    with monkeypatch.context() as outage:
        outage.setattr(world.store, "on_red_list", lost)
        for _ in range(3):
            assert await call(client, world) == (
                503,
                {"success": False, "error": "Service momentanément indisponible"},
            )
    assert (await call(client, world))[0] == 200, "the one call of the hour was never made"
    statuses = [row["status"] for row in await rows_of(client, world)]
    assert statuses == [403, 503, 503, 503, 200]
