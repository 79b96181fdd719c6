"""Who may do what, written down here, not read from the daemon's own table: a right given by mistake shows.

Each role's token asks every route of the app; what the rules below don't name must be refused with 403.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.api.app import all_routes
from daemon.api.routes import Route
from tests.api.fakes import World
from tests.api.test_access import ask, concrete

Client = TestClient[Any, Any]

NO_TOKEN = {
    "GET /api/public/ovh/events", "GET /api/v1/crm/oauth/callback", "GET /api/v1/openapi.json",
    "GET /api/v1/recordings/{id}/audio", "GET /api/v1/session", "POST /api/v1/session", "DELETE /api/v1/session",
    "POST /api/v1/wall/claim", "POST /api/v1/wall/codes", "GET /api/v1/zadarma/notify/{key}",
    "POST /api/v1/zadarma/notify/{key}", "GET /healthz", "GET /metrics", "GET /readyz",
}  # fmt: skip
"""All that is reachable without a token: the document, health, and doors with a secret of their own."""
ONLY_ITS_KIND = ("/api/public/click2call", "/api/public/status", "/api/external/")
SETS_UP = ("groups", "lines", "caller-ids", "webhooks", "tokens", "sites", "crm/integrations", "crm/templates")
"""What only an administrator writes; manager and below read at most."""
AT_A_DESK = (
    r"(GET|POST|PUT|DELETE|PATCH) /api/v1/agents/\{id\}/(?!supervise|take-over)",
    r"(GET|PUT) /api/v1/desk", r"GET /api/v1/(crm|ovh)/pops", r"(GET|POST) /api/v1/missed-calls",
    r"GET /api/v1/(pause-codes|statuses)", r"POST /api/v1/zadarma/call$", r"(GET|POST) /api/v1/zadarma/calls",
    r"GET /api/v1/(snapshot|stream)$",
)  # fmt: skip
ON_A_WALL = (r"GET /api/v1/(snapshot|stream)$",)
STEERS = (
    r"POST /api/v1/campaigns/(stop-all|\{id\}/(start|pause|stop|tune))$", r"POST /api/v1/calls", r"POST /api/v1/alerts",
    r"POST /api/v1/agents/\{id\}/", r"PATCH /api/v1/leads/\{id\}/callback$", r"POST /api/v1/wall/pair$",
    r"POST /api/v1/compliance/check$", r"POST /api/v1/recordings/\{id\}/link$",
)  # fmt: skip
"""What a supervisor may do beside reading, and beside what an agent may."""


def line_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def matches(rules: tuple[str, ...], line: str) -> bool:
    return any(re.match(rule, line) for rule in rules)


def forbidden(role: str, route: Route) -> bool:
    """Whether this role must not reach the route, by the rules above."""
    line, place = line_of(route), route.path.removeprefix("/api/v1/")
    if line in NO_TOKEN:
        return False
    if route.path.startswith(ONLY_ITS_KIND) or role in ("c2c", "leads"):
        own = {"c2c": "/api/public/", "leads": "/api/external/"}.get(role, "-")
        return not route.path.startswith(own)
    if role == "wall":
        return not matches(ON_A_WALL, line)
    if role == "agent":
        return not matches(AT_A_DESK, line)
    writes = route.method != "GET" and not matches(AT_A_DESK, line)
    steers = role in ("supervisor", "manager") and matches(STEERS, line)
    if role == "supervisor":
        return (writes and not steers) or place.startswith(("audit", "tokens", "webhooks", "people", "crm/i", "crm/t"))
    if role == "manager":
        return (writes and place.startswith(SETS_UP)) or place.startswith(("audit", "tokens", "webhooks", "crm/i"))
    return False


@pytest.mark.feature("ROLE-01", clause="each role is refused what the written rules don't give it, on every route")
@pytest.mark.parametrize("role", ["wall", "agent", "supervisor", "manager", "c2c", "leads"])
async def test_no_role_reaches_more_than_the_rules_say(client: Client, world: World, role: str) -> None:
    asked, open_to = 0, []
    for route in all_routes():
        if not forbidden(role, route):
            continue
        asked += 1
        status = await ask(client, route, concrete(route, world), {**world.auth(role), "If-Match": "*"})
        if status not in (401, 403):
            open_to.append((line_of(route), status))
    assert open_to == [] and asked > {"manager": 40}.get(role, 60)
    assert not world.door.commands


@pytest.mark.feature("ROLE-01", clause="without a token nothing is told, streams and unknown paths included")
async def test_without_a_token(client: Client, world: World) -> None:
    reached, told = set(), []
    for route in all_routes():
        if await ask(client, route, concrete(route, world), {}) != 401:
            reached.add(line_of(route))
        async with client.request(route.method, concrete(route, world)) as response:
            told += [
                line_of(route) for word in ("S. Benali", "Assurance Auto", "OUEST") if word in await response.text()
            ]
    assert reached <= NO_TOKEN and len(NO_TOKEN - reached) <= 2, reached ^ NO_TOKEN
    assert told == [], "nobody's data"
    served = {(r.method, r.resource.canonical) for r in client.app.router.routes() if r.resource is not None}  # type: ignore[union-attr]
    known = {(route.method, route.path) for route in all_routes()}
    beside = {path for method, path in served - known if method not in ("HEAD", "OPTIONS")}
    assert beside == {"/", "/desk", "/wall", "/static/{name}"}, "only the pages' files are served beside the table"


@pytest.mark.feature("ROLE-01", clause="live streams are refused to tokens that may not watch")
async def test_streams_ask_for_their_right(client: Client, world: World) -> None:
    for path, strangers in (
        ("/api/v1/stream", ("c2c", "leads")), ("/api/v1/calls/1/events", ("c2c", "leads", "agent", "wall")),
    ):  # fmt: skip
        for role in strangers:
            async with client.get(path, headers=world.auth(role)) as response:
                assert response.status in (401, 403), (path, role)
