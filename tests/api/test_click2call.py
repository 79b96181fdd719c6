"""The documented click-to-call, byte for byte: bodies, messages, codes, pool, quota, origins, log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from daemon.api import cors
from daemon.api.app import DEPS
from daemon.api.c2c_calls import SERVICE
from daemon.calls.lead_records import Intent
from daemon.calls.records import Group, Strategy, TokenKind
from daemon.engine import commands as c
from daemon.errors import CommandError
from tests.api.fakes import World

Client = TestClient[Any, Any]
PATH = "/api/public/click2call"
NUMBER = {"number_to_call": "0199000123"}


async def call(client: Client, world: World, body: Any = NUMBER, **headers: str) -> tuple[int, dict[str, Any]]:
    sent = {**world.auth("c2c"), **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with client.post(PATH, json=body, headers=sent) as response:
        return response.status, await response.json()


async def until(true: Callable[[], bool]) -> None:
    """Let the server's tasks run until something is true; 30 s at most."""
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never true")


def end_calls(world: World) -> None:
    for id in list(world.door.views["calls"]):
        world.door.gone("calls", id)


@pytest.mark.feature("C2C-01", clause="200 body per D2")
@pytest.mark.feature("C2C-02", clause="no agent session needed")
async def test_the_documented_answer(client: Client, world: World) -> None:
    status, body = await call(client, world)
    took = body["data"].pop("response_time_ms")
    assert isinstance(took, int)
    assert status == 200 and body == {
        "success": True,
        "message": "Appel lancé vers 0199000123",
        "call_id": 12345,
        "phone_line_used": "8001",
        "data": {
            "call_id": 12345,
            "phone_line_used": "8001",
            "number_called": "0199000123",
            "group": "OUEST",
        },
    }
    command = world.door.of(c.CallExtension)[0]
    assert (command.extension, command.e164, command.group_id) == ("8001", "+33199000123", world.rows["group"].id)


@pytest.mark.feature("C2C-01", clause="415 for another content type, 400 for what is no JSON or has no number")
async def test_malformed_requests(client: Client, world: World) -> None:
    headers = {**world.auth("c2c"), "Content-Type": "application/json"}
    for data, type_, status in (
        ("{", "application/json", 400),
        ("{}", "application/json", 400),
        ("number_to_call=1", "application/x-www-form-urlencoded", 415),
        ('{"number_to_call": "abc"}', "application/json", 400),
        ('{"number_to_call": "0199000123\\r\\nAction: x"}', "application/json", 400),
    ):
        async with client.post(PATH, data=data, headers={**headers, "Content-Type": type_}) as response:
            body = await response.json()
            assert response.status == status and body["success"] is False and body["error"], data
    assert not world.door.of(c.CallExtension)


@pytest.mark.feature("C2C-03", clause="the exact French messages and codes")
async def test_the_documented_errors(client: Client, world: World) -> None:
    async with client.post(PATH, json=NUMBER, headers={"Authorization": "Bearer clicsipx_OUEST_x"}) as response:
        assert (response.status, await response.json()) == (401, {"success": False, "error": "API Token invalide"})
    async with client.post(PATH, json=NUMBER) as response:
        assert (response.status, await response.json()) == (401, {"success": False, "error": "API Token invalide"})
    refused = (400, {"success": False, "error": "Ligne non disponible ou non autorisée"})
    assert await call(client, world, {**NUMBER, "phone_line_used": "9999"}) == refused
    for phone in world.rows["phones"]:
        world.door.change("lines", phone.id, state="off")
    assert await call(client, world) == (503, {"success": False, "error": "Aucune ligne disponible"})
    for phone in world.rows["phones"]:
        world.door.change("lines", phone.id, state="active")
    world.door.refuse["CallExtension"] = CommandError("pbx_unreachable")
    assert await call(client, world) == (504, {"success": False, "error": "Connection timeout"})


async def test_a_pbx_that_never_answers_is_a_timeout(serve: Any, world: World) -> None:
    client = await serve(command_deadline_s=0.05)
    world.door.silent = True
    assert await call(client, world) == (504, {"success": False, "error": "Connection timeout"})


@pytest.mark.parametrize(("number", "rule"), [("112", "urgence"), ("0899123456", "surtaxé"), ("3949", "numéro court")])
async def test_numbers_that_are_never_dialled(client: Client, world: World, number: str, rule: str) -> None:
    status, body = await call(client, world, {"number_to_call": number})
    assert (status, body) == (403, {"success": False, "error": f"Appel interdit : {rule}"})


async def test_a_refusal_of_the_law_is_403_with_its_rule(client: Client, world: World) -> None:
    world.door.refuse["CallExtension"] = CommandError("call_forbidden", {"rule": "liste rouge"})
    assert await call(client, world) == (403, {"success": False, "error": "Appel interdit : liste rouge"})


@pytest.mark.feature("C2C-06", clause="strategies; a busy line is skipped")
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ROUND_ROBIN, ["8001", "8002", "8003", "8001"]),
        (Strategy.PRIORITY, ["8002", "8002", "8002", "8002"]),
        (Strategy.LEAST_USED, ["8001", "8002", "8003", "8001"]),
    ],
)
async def test_strategies(client: Client, world: World, strategy: Strategy, expected: list[str]) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_strategy": strategy}, None)
    used = []
    for _ in range(4):
        status, body = await call(client, world)
        assert status == 200
        used.append(body["phone_line_used"])
        end_calls(world)
        world.clock.advance(1)
    assert used == expected


@pytest.mark.feature("C2C-06", clause="200 concurrent requests never double-allocate")
async def test_concurrent_requests_never_share_a_phone(client: Client, world: World) -> None:
    answers = await asyncio.gather(*(call(client, world) for _ in range(200)))
    good = [body["phone_line_used"] for status, body in answers if status == 200]
    assert sorted(good) == ["8001", "8002", "8003"]
    assert {status for status, _ in answers} == {200, 503}
    end_calls(world)
    assert (await call(client, world))[0] == 200


async def test_a_phone_that_turns_out_busy_is_passed_over(client: Client, world: World) -> None:
    submit = world.door.submit

    async def busy_first(command: c.AnyCommand) -> dict[str, object]:
        if isinstance(command, c.CallExtension) and command.extension == "8001":
            raise CommandError("extension_busy")
        return await submit(command)

    world.door.submit = busy_first  # type: ignore[method-assign]
    assert (await call(client, world))[1]["phone_line_used"] == "8002"


@pytest.mark.feature("C2C-05", clause="toggle effective on next allocation")
async def test_a_line_switched_off_is_not_rung(client: Client, world: World) -> None:
    first = world.rows["phones"][0].id
    async with client.post(f"/api/v1/lines/{first}/disable", headers=world.auth("administrator")) as response:
        assert response.status == 202
    assert (await call(client, world))[1]["phone_line_used"] == "8002"


@pytest.mark.feature(
    "C2C-07", clause="429 at the group's hourly quota; failures not counted; Retry-After; hourly reset"
)
async def test_the_quota(client: Client, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_per_hour": 2}, None)
    assert (await call(client, world, {"number_to_call": "112"}))[0] == 403
    assert (await call(client, world))[0] == 200
    assert (await call(client, world))[0] == 200
    async with client.post(PATH, json=NUMBER, headers=world.auth("c2c")) as response:
        assert (response.status, await response.json()) == (429, {"success": False, "error": "Rate limit dépassé"})
        assert int(response.headers["Retry-After"]) == 28 * 60 - 7
    end_calls(world)
    world.clock.advance(28 * 60)
    assert (await call(client, world))[0] == 200


@pytest.mark.feature("C2C-08", clause="preflight; sub-domain not implied; scheme and port handled")
async def test_origins(client: Client, world: World) -> None:
    for id in (world.rows["group"].id, world.rows["other_group"].id):
        await world.store.update(Group, id, {"cors_origins": ["exemple.com"]}, None)
    good, bad = {"Origin": "https://exemple.com"}, {"Origin": "https://app.exemple.com"}
    async with client.options(PATH, headers={**good, "Access-Control-Request-Method": "POST"}) as response:
        assert response.status == 204 and response.headers["Access-Control-Allow-Origin"] == good["Origin"]
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    async with client.options(PATH, headers=bad) as response:
        assert response.status == 403 and "Access-Control-Allow-Origin" not in response.headers
    async with client.post(PATH, json=NUMBER, headers={**world.auth("c2c"), **good}) as response:
        assert response.status == 200 and response.headers["Access-Control-Allow-Origin"] == good["Origin"]
    async with client.post(PATH, json=NUMBER, headers={**world.auth("c2c"), **bad}) as response:
        assert (response.status, await response.json()) == (403, {"success": False, "error": "Domaine non autorisé"})


@pytest.mark.parametrize(
    ("origin", "entry", "allowed"),
    [
        ("https://exemple.com", "exemple.com", True),
        ("http://exemple.com", "exemple.com", True),
        ("https://exemple.com:8443", "exemple.com", False),
        ("https://exemple.com:8443", "exemple.com:8443", True),
        ("http://exemple.com", "https://exemple.com", False),
        ("https://app.exemple.com", "exemple.com", False),
        ("https://exemple.com.evil.net", "exemple.com", False),
        ("https://EXEMPLE.com", "Exemple.com", True),
        ("null", "exemple.com", False),
        ("https://exemple.com:x", "exemple.com", False),
    ],
)
def test_origin_rules(origin: str, entry: str, allowed: bool) -> None:
    assert cors.allowed(origin, [entry]) is allowed
    assert cors.allowed(origin, []) is True


async def test_a_retry_with_its_key_never_calls_twice(client: Client, world: World) -> None:
    answers = await asyncio.gather(*(call(client, world, Idempotency_Key="abc") for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert len({body["call_id"] for _, body in answers}) == 1 == len(world.door.of(c.CallExtension))
    world.door.refuse["CallExtension"] = CommandError("pbx_unreachable")
    assert (await call(client, world, Idempotency_Key="failed"))[0] == 504
    world.door.refuse.clear()
    assert (await call(client, world, Idempotency_Key="failed"))[0] == 200


async def test_a_key_is_one_call_to_one_number(client: Client, world: World) -> None:
    """Another number under a key that was used gets no answer as if it had been called, a restart in between or not."""
    assert (await call(client, world, Idempotency_Key="k1"))[0] == 200
    assert (await call(client, world, {"number_to_call": "+33 1 99 00 01 23"}, Idempotency_Key="k1"))[0] == 200
    end_calls(world)
    client.app[SERVICE].answers.clear()
    (placed,) = world.door.of(c.CallExtension)
    await kept(world, placed)
    for _ in range(2):
        status, body = await call(client, world, {"number_to_call": "0199000124"}, Idempotency_Key="k1")
        assert (status, body["error"]) == (409, "Idempotency-Key déjà utilisé pour un autre numéro")
        assert (await call(client, world, Idempotency_Key="k1"))[0] == 200  # now known from memory again
    assert len(world.door.of(c.CallExtension)) == 1


async def kept(world: World, placed: c.CallExtension) -> None:
    """The call's row, as the engine writes it."""
    lease = await world.store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    intent = Intent(
        attempt_id=placed.attempt_id, site="main", kind="click2call", group_id=placed.group_id, campaign_id=0,
        client_id=placed.client_id, lead_id=0, e164=placed.e164, line_id=0, caller_id="", agent_id=0, rule_set="",
        attempts_max=0, attempts_days=0, at=world.clock.utcnow(),
    )  # fmt: skip
    assert await world.store.commit_intents([intent], lease)


@pytest.mark.feature("C2C-09", clause="lines, strategy, last hour, quota; needs a token")
async def test_status(client: Client, world: World) -> None:
    await call(client, world)
    await call(client, world, {"number_to_call": "112"})
    async with client.get("/api/public/status") as response:
        assert response.status == 401
    async with client.get("/api/public/status", headers=world.auth("c2c")) as response:
        body = await response.json()
    assert body["success"] is True
    assert body["data"]["lines"] == {"available": 2, "total": 3, "strategy": "round_robin"}
    assert body["data"]["last_hour"] | {"avg_response_ms": 0} == {
        "calls": 2, "succeeded": 1, "failed": 1, "success_rate": 0.5, "avg_response_ms": 0,
    }  # fmt: skip
    limit = {"limit": 1000, "used": 1, "remaining": 999, "reset_at": "2026-11-24T14:00:00Z"}
    assert body["data"]["rate_limit"] == limit


@pytest.mark.feature("C2C-10", clause="each request logged with time, number, line, ok, error, origin IP, ms")
async def test_every_request_is_logged(client: Client, world: World) -> None:
    await call(client, world)
    await call(client, world, {"number_to_call": "112"})
    await client.app[DEPS].quotas.close()
    rows = [r if isinstance(r, dict) else msgspec.structs.asdict(r) for r in world.store.tables.api_call_logs]
    assert [(r["number_called"], r["phone_line_used"], r["success"], r["status"]) for r in rows] == [
        ("0199000123", "8001", True, 200),
        ("112", "", False, 403),
    ]
    assert rows[1]["error"] == "Appel interdit : urgence" and rows[0]["ip_address"] == "127.0.0.1"


async def test_one_groups_token_never_rings_another_groups_phone(client: Client, world: World) -> None:
    await world.token("est", world.rows["other_group"].id, kind=TokenKind.CLICK2CALL)
    async with client.post(PATH, json=NUMBER, headers=world.auth("est")) as response:
        assert response.status == 503
    body = {**NUMBER, "phone_line_used": "8001"}
    async with client.post(PATH, json=body, headers=world.auth("est")) as response:
        assert response.status == 400
    assert not world.door.of(c.CallExtension)


async def test_a_named_phone_in_use_is_refused_by_its_own_message(client: Client, world: World) -> None:
    body = {**NUMBER, "phone_line_used": "8002"}
    assert (await call(client, world, body))[0] == 200
    refused = (400, {"success": False, "error": "Ligne non disponible ou non autorisée"})
    assert await call(client, world, body) == refused


@pytest.mark.feature("C2C-12", clause="quota over 80 %, failures over 10 %, no line: once each")
async def test_alerts_are_given_once(client: Client, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_per_hour": 10}, None)
    for _ in range(9):
        assert (await call(client, world))[0] == 200
        end_calls(world)
    assert world.alerts == [("click2call.quota", {"group": "OUEST", "used": 9, "limit": 10})]
    for _ in range(3):
        assert (await call(client, world, {"number_to_call": "112"}))[0] == 403
    assert [topic for topic, _ in world.alerts] == ["click2call.quota", "click2call.failures"]
    assert world.alerts[1][1]["error"] == "Appel interdit : urgence"
    for phone in world.rows["phones"]:
        world.door.change("lines", phone.id, state="off")
    for _ in range(2):
        assert (await call(client, world))[0] == 503
    assert world.alerts[2:] == [("click2call.no_line", {"group": "OUEST"})]
    for phone in world.rows["phones"]:
        world.door.change("lines", phone.id, state="active")
    assert (await call(client, world))[0] == 200
    world.clock.advance(3600)
    end_calls(world)
    for _ in range(9):
        await call(client, world)
        end_calls(world)
    assert [topic for topic, _ in world.alerts[3:]] == ["click2call.quota"]


async def test_a_client_that_hangs_up_gives_its_quota_back(client: Client, world: World) -> None:
    await world.store.update(Group, world.rows["group"].id, {"c2c_per_hour": 1}, None)
    world.door.silent = True
    waiting = asyncio.create_task(call(client, world))
    await until(lambda: bool(world.door.of(c.CallExtension)))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    quotas = client.app[DEPS].quotas
    hour = await quotas.hour(world.rows["group"].id)
    await until(lambda: hour.in_flight == 0)
    world.door.silent = False
    assert (await call(client, world))[0] == 200


async def test_a_stolen_token_can_spend_only_so_much_abroad(serve: Any, world: World) -> None:
    client = await serve(foreign_calls_per_day=2)
    group, line = world.rows["group"].id, world.rows["line"].id
    lease = await world.store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    at = world.clock.utcnow()
    intents = [
        Intent(
            attempt_id=UUID(int=number), site="main", kind="click2call", group_id=group, campaign_id=0, client_id=0,
            lead_id=0, e164=f"+44201234567{number}", line_id=line, caller_id="", agent_id=0, rule_set="",
            attempts_max=0, attempts_days=0, at=at,
        )
        for number in (1, 2)
    ]  # fmt: skip
    assert len(await world.store.commit_intents(intents, lease)) == 2
    status, body = await call(client, world, {"number_to_call": "+442012345679"})
    assert (status, body) == (403, {"success": False, "error": "Appel interdit : plafond international"})
    assert (await call(client, world))[0] == 200
    world.clock.advance(86_400)
    end_calls(world)
    assert (await call(client, world, {"number_to_call": "+442012345679"}))[0] == 200


@pytest.mark.feature("LEGL-07", clause="a red-listed number is refused to click-to-call, also after its erasure")
async def test_a_red_listed_number_is_refused(client: Client, world: World) -> None:
    advertiser, e164 = world.rows["client"].id, "+33199000123"
    refused = (403, {"success": False, "error": "Appel interdit : liste rouge"})
    await world.store.set_dnc(advertiser, e164, True, "anna", "lettre")
    assert await call(client, world) == refused
    await world.store.erase_person(world.rows["group"].id, e164)
    assert await call(client, world) == refused
    assert not world.door.of(c.CallExtension)
    await world.store.set_dnc(advertiser, e164, False, "anna", "par écrit")
    status, _ = await call(client, world)
    assert status == 200
