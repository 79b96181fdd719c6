"""Wall screens that wait for their six digits to be typed: nobody takes another's place, and who is in stays in."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from tests.api.fakes import World

Client = TestClient[Any, Any]


async def code(client: Client, address: str) -> dict[str, Any]:
    async with client.post("/api/v1/wall/codes", headers={"X-Forwarded-For": address}) as response:
        assert response.status == 201, await response.text()
        return dict(await response.json())


async def claim(client: Client, made: dict[str, Any]) -> tuple[int, str]:
    """Status, and the cookie that was set."""
    async with client.post("/api/v1/wall/claim", json={"key": made["key"]}) as response:
        return response.status, response.headers.get("Set-Cookie", "")


async def test_who_asks_for_codes_without_end_takes_no_screens_place(serve: Any, world: World) -> None:
    client = await serve(behind_proxy=True)
    screen = await code(client, "192.0.2.1")
    greedy = [await code(client, "192.0.2.66") for _ in range(205)]
    assert (await claim(client, screen))[0] == 200 and (await claim(client, greedy[-1]))[0] == 200
    assert (await claim(client, greedy[0]))[0] == 404, "the own oldest go"
    await code(client, "192.0.2.2")


async def test_a_screen_is_not_signed_out_by_the_calendar(client: Client, world: World) -> None:
    screen = await code(client, "192.0.2.1")
    body = {"code": screen["code"], "name": "Plateau nord"}
    async with client.post("/api/v1/wall/pair", headers=world.auth("supervisor"), json=body) as response:
        assert response.status == 201
    status, cookie = await claim(client, screen)
    assert status == 200 and f"Max-Age={400 * 86_400}" in cookie and "HttpOnly" in cookie
