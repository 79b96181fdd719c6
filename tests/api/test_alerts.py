"""Alerts over the API: open ones with since when, who looks after them, what the sinks were told, a test of them."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from tests.api.fakes import World

Client = TestClient[Any, Any]
KEY = "campaign_suspended: campaign 1"


async def alerts(client: Client, world: World, who: str = "supervisor") -> Any:
    async with client.get("/api/v1/alerts", headers=world.auth(who)) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def acknowledge(client: Client, world: World, who: str, key: str) -> int:
    async with client.post("/api/v1/alerts/acknowledge", headers=world.auth(who), json={"key": key}) as response:
        return response.status


async def test_an_alert_opens_is_looked_after_and_closes(client: Client, world: World) -> None:
    assert (await alerts(client, world))["open"] == []
    world.door.change("system", next(iter(world.door.views["system"])), alerts=(KEY,))
    [entry] = (await alerts(client, world))["open"]
    assert (entry["code"], entry["about"], entry["acknowledged_by"]) == ("campaign_suspended", "campaign 1", "")
    world.clock.advance(60)
    assert await acknowledge(client, world, "supervisor", KEY) == 200
    assert await acknowledge(client, world, "manager", KEY) == 200
    [entry] = (await alerts(client, world))["open"]
    assert entry["acknowledged_by"] == "supervisor" and entry["since"] < entry["acknowledged_at"]
    noted = [row for row in await world.store.report("audit") if row["what"] == "alert.acknowledged"]
    assert [(row["by"], row["detail"]) for row in noted] == [("supervisor", {"alert": KEY})]
    world.door.change("system", next(iter(world.door.views["system"])), alerts=())
    assert (await alerts(client, world))["open"] == []
    assert await acknowledge(client, world, "supervisor", KEY) == 404


async def test_only_an_administrator_tries_the_sinks(client: Client, world: World) -> None:
    for who, status in (("supervisor", 403), ("administrator", 202)):
        async with client.post("/api/v1/alerts/try", headers=world.auth(who)) as response:
            assert response.status == status
