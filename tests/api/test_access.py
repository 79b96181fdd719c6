"""Who may do what: the matrix of routes, roles and groups; tokens; sign-in; the guard's bounds."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDict

from daemon.api.app import all_routes
from daemon.api.guard import CSP
from daemon.api.routes import KIND_RIGHTS, RIGHTS, Permission, Route, Routes
from daemon.calls.records import Role, TokenKind
from tests.api.fakes import World

Client = TestClient[Any, Any]


def concrete(route: Route, world: World) -> str:
    """The route's path with an id that exists in the first group where there is one."""
    rows = world.rows
    ids = {
        "groups": rows["group"].id, "clients": rows["client"].id, "campaigns": rows["campaign"].id,
        "lists": rows["list"].id, "lines": rows["line"].id, "caller-ids": rows["caller_id"].id,
        "agents": rows["agent"].id, "tokens": rows["token_c2c"].id,
    }  # fmt: skip
    part = route.path.split("/")[3] if route.path.count("/") > 2 else ""
    return (
        route.path.replace("{id}", str(ids.get(part, 1)))
        .replace("{key}", "1")
        .replace("{name}", "hourly")
        .replace("{site}", "main")
    )


NEEDED: dict[str, dict[str, Any]] = {
    "/dispose": {"attempt_id": "0" * 32, "code": "VENTE"},
    "/dial": {"number": "0199000123", "campaign_id": 1},
    "/digits": {"digits": "1"},
    "/supervise": {"extension": "1001"},
    "/callback": {"agent_id": 0},
    "/try": {"step": "connect"},
    "/users/{key}": {"agent_id": 1},
    "/journal/replay": {"states": ["dead"]},
}
"""Bodies of those routes that take none empty: what is asked about is whose row it is, not what is missing."""


async def ask(client: Client, route: Route, path: str, headers: dict[str, str]) -> int:
    needed = next((body for end, body in NEEDED.items() if route.path.endswith(end)), {})
    body = {"json": needed} if route.body is not None else {}
    path += "?expires=1&signature=x" if route.path.endswith("/audio") else ""
    async with client.request(route.method, path, headers=headers, **body) as response:
        return response.status


@pytest.mark.feature("ROLE-01", clause="role matrix over every endpoint, deny by default")
async def test_every_route_refuses_those_without_its_right(client: Client, world: World) -> None:
    keys = {role.value: RIGHTS[role] for role in Role} | {"c2c": KIND_RIGHTS[TokenKind.CLICK2CALL]}
    keys |= {"leads": KIND_RIGHTS[TokenKind.LEADS]}
    for route in all_routes():
        if route.permission is Permission.PUBLIC or route.raw_body == "text/event-stream":
            continue
        path = concrete(route, world)
        assert await ask(client, route, path, {}) == 401, route
        for key, rights in keys.items():
            if route.permission not in rights:
                assert await ask(client, route, path, world.auth(key)) in (401, 403), (key, route)


async def test_rights_are_used_somewhere_and_let_their_holders_in(client: Client, world: World) -> None:
    for route in all_routes():
        if route.method != "GET" or "stream" in route.path or "events" in route.path or "{" in route.path:
            continue
        holders = [role for role in Role if route.permission in RIGHTS[role]]
        for role in holders:
            status = await ask(client, route, route.path, world.auth(role.value))
            alone = route.path == "/api/v1/audit"  # spans all groups: needs a token that does, too
            assert status in ((403,) if alone else (200, 404)), (role, route.path, status)


def test_a_route_without_a_permission_stops_the_build() -> None:
    with pytest.raises(TypeError, match="declared permission"):
        Routes("/x").get("/y", permission="anybody")  # type: ignore[arg-type]


@pytest.mark.feature("ROLE-01", clause="nothing of one group is visible from another")
async def test_another_group_sees_and_changes_nothing(client: Client, world: World) -> None:
    stranger = world.auth("other_admin")
    seen = []
    for route in all_routes():
        if "{id}" not in route.path or not route.path.startswith("/api/v1"):
            continue
        path = concrete(route, world)
        if path.endswith("/1") and "statuses" in path:
            continue
        headers = {**stranger, "If-Match": "*"}
        status = await ask(client, route, path, headers)
        if status != 404:
            seen.append((route.method, path, status))
    assert not seen
    async with client.get("/api/v1/campaigns", headers=stranger) as response:
        names = [row["name"] for row in (await response.json())["rows"]]
    assert names == ["Autre"]
    async with client.get("/api/v1/snapshot", headers=stranger) as response:
        body = await response.json()
    assert list(body["campaigns"]) == [str(world.rows["other_campaign"].id)]
    assert body["agents"] == {} and body["lines"] == {}


@pytest.mark.feature("ROLE-01", clause="another group's rows can't be named in a body either")
async def test_bodies_cannot_name_another_groups_rows(client: Client, world: World) -> None:
    """An id in a body is looked up as one in a path is: the stranger's own campaign can't be given our lines."""
    rows, stranger = world.rows, world.auth("other_admin")
    own = rows["other_campaign"].id
    e164 = "+33199000123"
    taken = []
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/v1/campaigns", {"name": "N", "site": "main", "client_id": rows["client"].id}),
        ("PATCH", f"/api/v1/campaigns/{own}", {"client_id": rows["client"].id}),
        ("PATCH", f"/api/v1/campaigns/{own}", {"list_ids": [rows["list"].id]}),
        ("PATCH", f"/api/v1/campaigns/{own}", {"line_ids": [rows["line"].id]}),
        ("PATCH", f"/api/v1/campaigns/{own}", {"agent_ids": [rows["agent"].id]}),
        ("POST", "/api/v1/leads", {"list_id": rows["list"].id, "phone": e164, "last_name": "N"}),
        ("POST", "/api/v1/dnc", {"client_id": rows["client"].id, "number": e164}),
        ("POST", "/api/v1/consents/revoke", {"client_id": rows["client"].id, "number": e164}),
        ("POST", "/api/v1/compliance/check", {"campaign_id": rows["campaign"].id, "number": e164}),
        ("POST", "/api/v1/calls", {"extension": "1001", "number": e164, "line_id": rows["line"].id}),
        ("POST", "/api/v1/calls", {"extension": "1001", "number": e164, "group_id": rows["group"].id}),
        ("POST", "/api/v1/tokens", {"name": "N", "group_id": rows["group"].id}),
    ]
    for method, path, body in asked:
        headers = {**stranger, "If-Match": "*"}
        async with client.request(method, path, json=body, headers=headers) as response:
            answer = await response.json()
        named = answer.get("details", {}).get("field") in body and "of this group" in answer["detail"]
        if response.status not in (403, 404) and not (response.status == 400 and named):
            taken.append((path, body, response.status, answer))
    assert not taken and not world.door.commands


async def test_campaign_scope_hides_the_other_campaigns(client: Client, world: World) -> None:
    await world.token("scoped", world.rows["group"].id, role=Role.MANAGER, campaign_ids=[9999])
    async with client.get(f"/api/v1/campaigns/{world.rows['campaign'].id}", headers=world.auth("scoped")) as response:
        assert response.status == 404
    async with client.get("/api/v1/snapshot", headers=world.auth("scoped")) as response:
        assert (await response.json())["campaigns"] == {}


async def test_an_agent_acts_for_itself_alone(client: Client, world: World) -> None:
    own, other = world.rows["agent"].id, world.rows["agent2"].id
    async with client.post(f"/api/v1/agents/{own}/ready", headers=world.auth("agent")) as response:
        assert response.status == 202
    async with client.post(f"/api/v1/agents/{other}/ready", headers=world.auth("agent")) as response:
        assert response.status == 403
    async with client.get("/api/v1/snapshot", headers=world.auth("agent")) as response:
        assert list((await response.json())["agents"]) == [str(own)]


@pytest.mark.feature("C2C-04", clause="shown once; rotation kills the old; two active tokens work")
async def test_a_token_is_shown_once_rotated_and_revoked(client: Client, world: World) -> None:
    admin = world.auth("administrator")
    body = {"name": "Site web", "kind": "click2call"}
    async with client.post("/api/v1/tokens", headers=admin, json=body) as response:
        assert response.status == 201
        made = await response.json()
    async with client.post("/api/v1/tokens", headers=admin, json=body) as response:
        second = await response.json()
    assert made["token"].startswith("clicsipx_OUEST_") and made["token"] != second["token"]
    for path in (f"/api/v1/tokens/{made['id']}", "/api/v1/tokens"):
        async with client.get(path, headers=admin) as response:
            text = await response.text()
        assert made["token"] not in text and "sha256" not in text
    assert await status_with(client, made["token"]) == 200 and await status_with(client, second["token"]) == 200
    async with client.post(f"/api/v1/tokens/{made['id']}/rotate", headers=admin) as response:
        rotated = await response.json()
    assert await status_with(client, made["token"]) == 401
    assert await status_with(client, rotated["token"]) == 200
    async with client.delete(f"/api/v1/tokens/{made['id']}", headers=admin) as response:
        assert response.status == 204
    assert await status_with(client, rotated["token"]) == 401


async def status_with(client: Client, token: str) -> int:
    async with client.get("/api/public/status", headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status


async def test_nobody_makes_a_token_stronger_than_their_own(client: Client, world: World) -> None:
    admin = world.auth("administrator")
    for body in ({"name": "x", "all_groups": True}, {"name": "x", "group_id": world.rows["other_group"].id}):
        async with client.post("/api/v1/tokens", headers=admin, json=body) as response:
            assert response.status == 403


async def test_an_expired_token_is_refused(client: Client, world: World) -> None:
    until = world.clock.utcnow() + timedelta(minutes=1)
    await world.token("short", world.rows["group"].id, role=Role.SUPERVISOR, expires_at=until)
    async with client.get("/api/v1/status", headers=world.auth("short")) as response:
        assert response.status == 200
    world.clock.advance(61)
    async with client.get("/api/v1/status", headers=world.auth("short")) as response:
        assert response.status == 401
        assert (await response.json())["code"] == "token_invalid"


@pytest.mark.feature("ROLE-03", clause="a revoked token fails at once and closes its stream")
async def test_revocation_closes_the_open_stream(client: Client, world: World) -> None:
    async with client.get("/api/v1/stream", headers=world.auth("supervisor")) as stream:
        assert b"retry" in await stream.content.readline()
        row = world.rows["token_supervisor"]
        async with client.delete(f"/api/v1/tokens/{row.id}", headers=world.auth("administrator")) as response:
            assert response.status == 204
        async with asyncio.timeout(30):
            rest = await stream.content.read()
    assert b'event: bye\ndata: {"reason":"revoked"}' in rest
    async with client.get("/api/v1/status", headers=world.auth("supervisor")) as response:
        assert response.status == 401


async def test_signing_in_by_cookie_needs_the_csrf_header_to_write(client: Client, world: World) -> None:
    async with client.post("/api/v1/session", json={"token": world.tokens["supervisor"]}) as response:
        assert response.status == 200
        session = await response.json()
        cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    path = f"/api/v1/campaigns/{world.rows['campaign'].id}/pause"
    async with client.post(path) as response:
        assert response.status == 403 and (await response.json())["code"] == "csrf_missing"
    async with client.post(path, headers={"X-CSRF-Token": session["csrf"]}) as response:
        assert response.status == 202
    async with client.delete("/api/v1/session") as response:
        assert response.status == 204
    async with client.get("/api/v1/session") as response:
        assert response.status == 401


async def test_a_click_to_call_token_signs_nobody_in(client: Client, world: World) -> None:
    async with client.post("/api/v1/session", json={"token": world.tokens["c2c"]}) as response:
        assert response.status == 401


async def test_demo_signs_in_on_loopback_names_only(serve: Any, world: World) -> None:
    client = await serve(demo_token=world.tokens["root"])
    async with client.get("/api/v1/session", headers={"Host": "evil.example:80"}) as response:
        assert response.status == 401
    async with client.get("/api/v1/session") as response:
        assert response.status == 200 and (await response.json())["demo"] is True


@pytest.mark.feature("ROLE-02", clause="operators authenticate by reverse proxy header")
async def test_the_proxy_header_counts_only_from_a_trusted_proxy(serve: Any, world: World) -> None:
    name = {"X-Remote-User": "supervisor", "X-Forwarded-For": "198.51.100.7"}
    trusting = await serve(behind_proxy=True, proxy_user_header="X-Remote-User")
    async with trusting.get("/api/v1/status", headers=name) as response:
        assert response.status == 200
    async with trusting.post("/api/v1/campaigns/stop-all", json={}, headers=name) as response:
        assert response.status == 403
    direct = await serve(proxy_user_header="X-Remote-User")
    async with direct.get("/api/v1/status", headers=name) as response:
        assert response.status == 401


@pytest.mark.feature("S100-05", clause="control API has its own IP allow-list")
async def test_addresses_outside_the_allow_list_are_refused(serve: Any, world: World) -> None:
    client = await serve(allow=["192.0.2.0/24"])
    async with client.get("/api/v1/status", headers=world.auth("supervisor")) as response:
        assert response.status == 403
        assert (await response.json())["code"] == "address_not_allowed"
    client = await serve(allow=["192.0.2.0/24"], behind_proxy=True)
    headers = {**world.auth("supervisor"), "X-Forwarded-For": "203.0.113.9, 192.0.2.7"}
    async with client.get("/api/v1/status", headers=headers) as response:
        assert response.status == 200


async def test_what_a_client_says_above_its_proxys_own_line_is_not_believed(serve: Any, world: World) -> None:
    """Some proxies append to the header that came, others add a line of their own below it."""
    client = await serve(allow=["192.0.2.0/24"], behind_proxy=True, proxy_user_header="X-Remote-User")
    said = CIMultiDict([("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "203.0.113.9")])
    async with client.get(
        "/api/v1/status", headers=CIMultiDict([*world.auth("supervisor").items(), *said.items()])
    ) as r:
        assert (r.status, (await r.json())["details"]) == (403, {"address": "203.0.113.9"})
    names = CIMultiDict([("X-Forwarded-For", "192.0.2.7"), ("X-Remote-User", "root"), ("X-Remote-User", "supervisor")])
    async with client.get("/api/v1/tokens", headers=names) as response:
        assert response.status == 401


async def test_token_guesses_are_throttled_and_known_tokens_are_not(serve: Any, world: World) -> None:
    client = await serve(bad_requests_per_minute=5)
    async with client.get("/api/v1/status", headers=world.auth("supervisor")) as response:
        assert response.status == 200
    for number in range(5):
        guess = {"Authorization": f"Bearer cadran_OUEST_{number}"}
        async with client.get("/api/v1/status", headers=guess) as response:
            assert response.status == 401
    async with client.get("/api/v1/status", headers={"Authorization": "Bearer cadran_OUEST_x"}) as response:
        assert response.status == 429 and int(response.headers["Retry-After"]) > 0
    async with client.get("/api/v1/status", headers=world.auth("supervisor")) as response:
        assert response.status == 200
    world.clock.advance(61)
    async with client.get("/api/v1/status", headers={"Authorization": "Bearer cadran_OUEST_x"}) as response:
        assert response.status == 401


async def test_security_headers_stand_on_every_answer(client: Client, world: World) -> None:
    for path in ("/", "/api/v1/openapi.json", "/nowhere", "/api/v1/status"):
        async with client.get(path) as response:
            assert response.headers["Content-Security-Policy"] == CSP
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Request-Id"]


async def test_a_body_past_the_limit_is_refused(serve: Any, world: World) -> None:
    client = await serve(body_bytes_max=2048)
    big = json.dumps({"name": "x" * 5000}).encode()
    headers = {**world.auth("administrator"), "Content-Type": "application/json"}
    async with client.post("/api/v1/lists", data=big, headers=headers) as response:
        assert response.status == 413

    async def chunks() -> Any:
        for _ in range(10):
            yield b" " * 1000

    async with client.post("/api/v1/lists", data=chunks(), headers=headers) as response:
        assert response.status == 413
