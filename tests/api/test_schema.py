"""The OpenAPI document against the daemon: generated requests, with and without a token. No 5xx, no surprise."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode

from daemon.api.app import all_routes
from daemon.api.openapi import document
from tests.api.fakes import World

Client = TestClient[Any, Any]
EXAMPLES = 5
NEGATIVE_EXAMPLES = 3
"""Generated requests an operation: the document has about a hundred of them, and two helpings each (with, without)."""

schema = schemathesis.openapi.from_dict(msgspec.json.decode(msgspec.json.encode(document())))
STREAMS = ("/stream", "/events")
UNSENDABLE = {"authorization", "x-api-key", "content-type", "content-length", "host", "transfer-encoding"}
CHECKS_OF_ANSWERS = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
"""Beside these: no 5xx (below), auth by role and group (test_access), requests against the document (below)."""


def cases() -> list[Any]:
    found = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.endswith(STREAMS):
            found.append(operation)
    return found


OPERATIONS = cases()
WITH_BODY = [o for o in OPERATIONS if any(b.media_type == "application/json" for b in o.body)]


@pytest.mark.parametrize("operation", OPERATIONS, ids=[f"{o.method} {o.path}" for o in OPERATIONS])
async def test_generated_requests_never_break_the_daemon(client: Client, world: World, operation: Any) -> None:
    """Each request is valid by the document; the answer must be one the document names, with a body of its schema."""
    drawn: list[Any] = []

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def collect(case: Any) -> None:
        drawn.append(case)

    await asyncio.to_thread(collect)
    token = "c2c" if "/public/" in operation.path else "leads" if "/external/" in operation.path else "root"
    for number, case in enumerate(drawn):
        headers = {k: v for k, v in (case.headers or {}).items() if k != "Authorization"}
        if number % 3:
            headers |= {"X-API-Key": world.tokens[token]}
        status, kind, body, response = await send(client, case, headers)
        assert status < 500 or status in (501, 503, 504), (status, body, case.as_curl_command())
        said = document()["paths"][operation.path][operation.method.lower()]["responses"]
        assert str(status) in said, (status, body, case.as_curl_command())
        if body and status != 304:
            assert kind in said[str(status)].get("content", {kind: None}), (status, kind)
        case.validate_response(response, checks=CHECKS_OF_ANSWERS)


@pytest.mark.parametrize("operation", WITH_BODY, ids=[f"{o.method} {o.path}" for o in WITH_BODY])
async def test_requests_against_the_document_break_nothing(client: Client, world: World, operation: Any) -> None:
    """What the document does not allow is answered as it says: no 5xx, no answer that it does not name."""
    drawn: list[Any] = []

    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @settings(
        max_examples=NEGATIVE_EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def collect(case: Any) -> None:
        drawn.append(case)

    await asyncio.to_thread(collect)
    token = "c2c" if "/public/" in operation.path else "leads" if "/external/" in operation.path else "root"
    for case in drawn:
        headers = {k: v for k, v in (case.headers or {}).items() if k.lower() not in UNSENDABLE}
        status, _, body, response = await send(client, case, {**headers, "X-API-Key": world.tokens[token]})
        assert status < 500 or status in (501, 503, 504), (status, body, case.as_curl_command())
        case.validate_response(response, checks=CHECKS_OF_ANSWERS)


async def send(client: Client, case: Any, headers: dict[str, str]) -> tuple[int, str, bytes, Response]:
    """A generated case over the test's own connection."""
    path = case.formatted_path
    options: dict[str, Any] = {}
    if case.query:
        options["params"] = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in case.query.items()}
    if case.body is not schemathesis.core.NOT_SET and case.body is not None:
        if case.media_type == "application/json":
            options["data"] = msgspec.json.encode(case.body)
        else:
            options["data"] = case.body if isinstance(case.body, bytes) else str(case.body).encode()
        headers = {**headers, "Content-Type": case.media_type or "application/json"}
    headers = {k: str(v).encode("latin-1", "replace").decode("latin-1") for k, v in headers.items()}
    async with client.request(case.method.upper(), path, headers=headers, **options) as response:
        body = await response.read()
        request = requests.Request(case.method.upper(), f"http://127.0.0.1{path}").prepare()
        names = {name.lower(): response.headers.getall(name) for name in response.headers}
        seen = Response(response.status, names, body, request, 0.1, verify=False)
        return response.status, response.content_type, body, seen


CORPUS = [
    "a\r\nAction: Originate", "a\nb", "a\x00b", "0612345678,0700000000", "06;rm -rf", "06&07", "(06)", "${CHANNEL}",
    "$(id)", "06|07", "x" * 5000, "٠٦١٢٣٤٥٦٧٨", "०६१२३४५६७८", "\u202e06", "' OR 1=1 --", "<script>alert(1)</script>",
    "../../etc/passwd", "\ud83d\ude00", "", "Local/1@x", "PJSIP/1&PJSIP/2",
]  # fmt: skip


@pytest.mark.parametrize("value", CORPUS, ids=range(len(CORPUS)))
async def test_hostile_text_reaches_no_command(client: Client, world: World, value: str) -> None:
    """Numbers, extensions and line names go to the PBX: what is not one of those is refused with the field's name."""
    agent, campaign = world.rows["agent"].id, world.rows["campaign"].id
    places: list[tuple[str, str, dict[str, Any], str]] = [
        ("/api/public/click2call", "c2c", {"number_to_call": value}, ""),
        ("/api/v1/calls", "manager", {"site": "main", "extension": value, "number": "0199000123"}, "extension"),
        ("/api/v1/calls", "manager", {"site": "main", "extension": "1001", "number": value}, "number"),
        (f"/api/v1/agents/{agent}/dial", "agent", {"number": value, "campaign_id": campaign}, "number"),
        ("/api/v1/lines", "administrator", {"name": "L", "site": "main", "endpoint": value}, "endpoint"),
        ("/api/v1/agents", "manager", {"login": value, "name": "N", "site": "main"}, "login"),
        ("/api/v1/campaigns", "manager", {"name": "N", "site": "main", "safe_message": value or "é"}, "safe_message"),
    ]
    before = len(world.door.commands)
    for path, token, body, field in places:
        async with client.post(path, json=body, headers=world.auth(token)) as response:
            problem = await response.json()
            harmless = value in ("(06)", "../../etc/passwd") and response.status < 400
            assert response.status in (400, 403) or harmless, (path, response.status, problem)
            if field and response.status == 400:
                assert problem["details"]["field"] == field, (path, problem)
    assert len(world.door.commands) == before


def test_the_document_is_the_same_each_time() -> None:
    document.cache_clear()
    first = msgspec.json.encode(document())
    document.cache_clear()
    assert msgspec.json.encode(document()) == first
    assert len(all_routes()) > 80
