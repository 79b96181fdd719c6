"""Click-to-call from its public door: the phone each strategy takes, what headers and log say, whose origin may."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.calls.records import Group, Strategy
from daemon.engine import commands as c
from daemon.errors import CommandError
from tests.api.fakes import World
from tests.api.test_click2call import NUMBER, PATH, call, end_calls

Client = TestClient[Any, Any]


async def used(client: Client, world: World, times: int, **more: str) -> list[str]:
    found = []
    for _ in range(times):
        status, body = await call(client, world, {**NUMBER, **more})
        assert status == 200, body
        found.append(body["phone_line_used"])
        end_calls(world)
        world.clock.advance(1)
    return found


@pytest.mark.feature("C2C-06", clause="least used goes by calls in all, round robin by the last use alone")
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.LEAST_USED, ["8002", "8003", "8002", "8003", "8002", "8003", "8001"]),
        (Strategy.ROUND_ROBIN, ["8002", "8003", "8001", "8002", "8003", "8001", "8002"]),
    ],
)
async def test_fewest_calls_is_not_longest_ago(
    client: Client, world: World, strategy: Strategy, expected: list[str]
) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_strategy": strategy}, None)
    assert await used(client, world, 3, phone_line_used="8001") == ["8001"] * 3
    assert await used(client, world, 7) == expected


@pytest.mark.feature("C2C-06", clause="fewest calls and longest unused are still known after a restart")
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.LEAST_USED, ["8003", "8002", "8003", "8002"]),  # 3, 1, 0 calls before
        (Strategy.ROUND_ROBIN, ["8003", "8001", "8002", "8003"]),  # 8002 was the last
    ],
)
async def test_a_restart_forgets_no_phones_calls(
    serve: Any, world: World, strategy: Strategy, expected: list[str]
) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_strategy": strategy}, None)
    before = await serve()
    assert await used(before, world, 3, phone_line_used="8001") == ["8001"] * 3
    assert await used(before, world, 1, phone_line_used="8002") == ["8002"]
    await before.app[DEPS].quotas.close()
    assert await used(await serve(), world, 4) == expected


@pytest.mark.feature("C2C-06", clause="random: every phone about as often, in no fixed order")
async def test_random(client: Client, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_strategy": Strategy.RANDOM}, None)
    found = await used(client, world, 90)
    assert set(found) == {"8001", "8002", "8003"} and min(Counter(found).values()) > 15
    assert any(a == b for a, b in pairwise(found)), "a turn is not random"


@pytest.mark.feature("C2C-06", clause="a busy or unregistered phone is passed over for the next; none left: 503")
@pytest.mark.parametrize("code", ["extension_busy", "extension_unregistered"])
async def test_a_phone_that_is_refused_is_passed_over(
    client: Client, world: World, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings, out = world.door._CallExtension, {"8001"}

    def refuse(command: c.CallExtension) -> dict[str, object]:
        if command.extension in out:
            raise CommandError(code, {"extension": command.extension})
        return rings(command)

    monkeypatch.setattr(world.door, "_CallExtension", refuse)
    status, body = await call(client, world)
    assert (status, body["phone_line_used"]) == (200, "8002")
    assert [command.extension for command in world.door.of(c.CallExtension)] == ["8001", "8002"]
    refused = (400, {"success": False, "error": "Ligne non disponible ou non autorisée"})
    assert await call(client, world, {**NUMBER, "phone_line_used": "8001"}) == refused
    end_calls(world)
    out |= {"8002", "8003"}
    assert await call(client, world) == (503, {"success": False, "error": "Aucune ligne disponible"})


@pytest.mark.feature("C2C-07", clause="a thousand an hour unless set; each answer says how many are left")
async def test_what_is_left_is_in_the_headers(client: Client, world: World) -> None:
    assert Group(code="NEW").c2c_per_hour == 1000
    for left in ("999", "998"):
        async with client.post(PATH, json=NUMBER, headers=world.auth("c2c")) as response:
            assert response.headers["X-RateLimit-Limit"] == "1000"
            assert response.headers["X-RateLimit-Remaining"] == left
        end_calls(world)


@pytest.mark.feature("C2C-08", clause="scheme and port handled; sub-domains only if listed; none listed: all")
@pytest.mark.parametrize(
    ("listed", "origin", "status"),
    [
        (["exemple.com", "app.exemple.com"], "https://app.exemple.com", 200),
        (["exemple.com"], "http://exemple.com", 200),
        (["exemple.com"], "https://exemple.com:8443", 403),
        (["exemple.com:8443"], "https://exemple.com:8443", 200),
        (["https://exemple.com"], "http://exemple.com", 403),
        (["exemple.com"], "https://exemple.com.evil.net", 403),
        (["exemple.com"], "null", 403),
        ([], "https://anything.example", 200),
    ],
)
async def test_whose_origin_may_call(client: Client, world: World, listed: list[str], origin: str, status: int) -> None:
    for id in (world.rows["group"].id, world.rows["other_group"].id):
        await world.store.update(Group, id, {"cors_origins": listed}, None)
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with client.options(PATH, headers=preflight) as response:
        assert response.status == (204 if status == 200 else 403)
    async with client.post(PATH, json=NUMBER, headers={**world.auth("c2c"), "Origin": origin}) as response:
        assert response.status == status
        assert response.headers.get("Access-Control-Allow-Origin") == (origin if status == 200 else None)
    assert len(world.door.of(c.CallExtension)) == (1 if status == 200 else 0), "refused before any phone rings"


@pytest.mark.feature("C2C-10", clause="each row has its time, the token, the call, the milliseconds it took")
async def test_a_row_of_the_log(client: Client, world: World) -> None:
    _, answer = await call(client, world)
    world.clock.advance(30)
    assert (await call(client, world, {**NUMBER, "phone_line_used": "9999"}))[0] == 400
    await client.app[DEPS].quotas.close()  # type: ignore[union-attr]
    rows = [r if isinstance(r, dict) else msgspec.structs.asdict(r) for r in world.store.tables.api_call_logs]
    good, bad = rows
    assert (bad["created_at"] - good["created_at"]).total_seconds() == 30.0 and bad["created_at"] == world.clock.utc
    assert (good["call_id"], bad["call_id"]) == (answer["call_id"], None)
    assert good["response_time_ms"] >= 0.0 and good["token_id"] == world.rows["token_c2c"].id
    assert (bad["success"], bad["status"], bad["error"]) == (False, 400, "Ligne non disponible ou non autorisée")
    assert world.tokens["c2c"] not in str(rows)
