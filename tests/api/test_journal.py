"""The journal of a campaign: who changed what, old and new; a group sees its own only."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from tests.api.fakes import World

Client = TestClient[Any, Any]


async def journal(client: Client, world: World, who: str, more: str = "") -> Any:
    path = f"/api/v1/campaigns/{world.rows['campaign'].id}/journal{more}"
    async with client.get(path, headers=world.auth(who)) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def change(client: Client, world: World, **fields: Any) -> None:
    path = f"/api/v1/campaigns/{world.rows['campaign'].id}"
    headers = world.auth("manager")
    async with client.get(path, headers=headers) as response:
        etag = response.headers["ETag"]
    async with client.patch(path, headers={**headers, "If-Match": etag}, json=fields) as response:
        assert response.status == 200, await response.text()


async def test_each_change_says_who_and_from_what_to_what(client: Client, world: World) -> None:
    await change(client, world, name="Hiver", ring_timeout_s=20.0)
    await change(client, world, name="Printemps")
    latest, first = await journal(client, world, "supervisor")
    assert (latest["by"], latest["what"]) == ("manager", "changed")
    assert latest["changes"] == [{"field": "name", "was": "Hiver", "now": "Printemps"}]
    assert {x["field"]: x["now"] for x in first["changes"]} == {"name": "Hiver", "ring_timeout_s": 20.0}
    assert [x["id"] for x in await journal(client, world, "supervisor", f"?before={latest['id']}")] == [first["id"]]


async def test_what_the_engine_tuned_shows_old_and_new(client: Client, world: World) -> None:
    target = str(world.rows["campaign"].id)
    await world.store.note("anna", "campaign.tuned", target, {"speed": 7, "speed_was": 6})
    await world.store.note("anna", "line.enabled", target, {})
    [entry] = await journal(client, world, "supervisor")
    assert entry["what"] == "tuned" and entry["changes"] == [{"field": "speed", "was": 6, "now": 7}]


async def test_the_log_of_all_is_no_report(client: Client, world: World) -> None:
    for name in ("audit", "journal"):
        async with client.get(f"/api/v1/reports/{name}", headers=world.auth("supervisor")) as response:
            assert response.status == 404
