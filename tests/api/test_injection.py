"""Hostile text through every field of every endpoint: refused with the field's name, or proven harmless on the wire.

The fields are those of the OpenAPI document, which is drawn from the types that validate: a new one is tested at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from daemon.ami.codec import FieldRefused
from daemon.ami.transport import format_action
from daemon.api.app import all_routes
from daemon.api.external import ExternalLead
from daemon.api.openapi import document
from daemon.compliance.numbers import normalise
from daemon.engine import commands as c
from tests.api.fakes import World
from tests.api.test_access import concrete

Client = TestClient[Any, Any]
CONTROL = ["a\r\nAction: Originate", "a\nb", "a\rb", "a\x00b", "\x1b[31m", "a\u0085b", "a\u2028b"]
"""Never text of ours: refused wherever a string may stand, but for a line break where several lines may."""
HOSTILE = [
    "0612345678,0700000000", "06;rm -rf", "06&07", "${CHANNEL}", "$(id)", "06|07", "x" * 70_000, "٠٦١٢٣٤٥٦٧٨",
    "०६१२३४५६७८", "\u202e06", "' OR 1=1 --", "<script>alert(1)</script>", "../../etc/passwd", "Local/1@x",
    "PJSIP/1&PJSIP/2", "=cmd|' /C calc'!A0", "{{.Secret}}", "%s%n", "\U0001f600", "-1", "1e400",
]  # fmt: skip
MULTILINE = {"notes", "comments", "script"}
DOC = msgspec.json.decode(msgspec.json.encode(document()))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        node: Any = DOC
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        schema = node
    return schema


def kinds(schema: dict[str, Any]) -> set[str]:
    schema = resolved(schema)
    found = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", ()))
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= kinds(option)
    return found


def strings(schema: dict[str, Any], path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Paths of every field of a body that takes text; `[]` = an element of a list."""
    schema = resolved(schema)
    if depth > 4:
        return
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from strings(option, path, depth + 1)
    if "string" in kinds(schema) and path:
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from strings(part, (*path, name), depth + 1)
    if isinstance(schema.get("items"), dict):
        yield from strings(schema["items"], (*path, "[]"), depth + 1)


def planted(path: tuple[str, ...], value: str) -> Any:
    """A body with the value at that path and nothing else: types are checked before what is missing."""
    built: Any = value
    for part in reversed(path):
        built = [built] if part == "[]" else {part: built}
    return built


def places() -> list[tuple[str, str, tuple[str, ...]]]:
    found = []
    for path, methods in DOC["paths"].items():
        for method, operation in methods.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema:
                found += [(method, path, each) for each in dict.fromkeys(strings(schema))]
    return found


PLACES = places()
ROUTES = {(route.method.lower(), route.path): route for route in all_routes()}


def token_for(path: str) -> str:
    return "c2c" if "/public/" in path else "leads" if "/external/" in path else "root"


async def send(client: Client, world: World, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"X-API-Key": world.tokens[token_for(path)], "If-Match": "*"}
    url = concrete(ROUTES[method, path], world).replace("{site}", "main")
    url = re.sub(r"\{\w+\}", "1", url)
    async with client.request(method, url, json=body, headers=headers) as response:
        try:
            return response.status, await response.json(content_type=None)
        except ValueError:
            return response.status, {}


def told_without_text(method: str, path: str) -> bool:
    """Whether the document names the fields of this body, and none of them takes text."""
    schema = DOC["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    return bool(resolved(schema).get("properties")) and not list(strings(schema))


def test_every_text_field_of_every_endpoint_is_found() -> None:
    with_body = {(m, p) for (m, p), route in ROUTES.items() if route.body is not None}
    found = {(method, path) for method, path, _ in PLACES}
    assert len(PLACES) > 100 and len(found) > 30 and found <= with_body
    assert {("post", "/api/public/click2call"), ("post", "/api/v1/calls"), ("post", "/api/v1/webhooks")} <= found
    of_leads = {path for method, route, path in PLACES if route == "/api/external/leads"}
    assert {(field.encode_name,) for field in msgspec.structs.fields(ExternalLead)} - {("consent",)} <= of_leads
    free = [key for key in sorted(with_body - found) if not told_without_text(*key)]
    assert not free, "a body whose document names no fields is tested by nobody"


@pytest.mark.parametrize("value", CONTROL, ids=range(len(CONTROL)))
async def test_control_characters_are_refused_in_every_field_with_its_name(
    client: Client, world: World, value: str
) -> None:
    before = len(world.door.commands)
    for method, path, field in PLACES:
        name = next(part for part in reversed(field) if part != "[]")
        if name in MULTILINE and value in ("a\nb", "a\r\nAction: Originate", "a\rb", "a\u0085b", "a\u2028b"):
            continue
        status, answer = await send(client, world, method, path, planted(field, value))
        assert status == 400, (method, path, field, status, answer)
        told = answer.get("details", {}).get("field", "") or answer.get("error", "")
        assert name in told, (method, path, field, answer)
    assert len(world.door.commands) == before


async def test_query_strings_and_paths_refuse_them_too(client: Client, world: World) -> None:
    for route in all_routes():
        if route.method != "GET" or route.path.endswith(("/stream", "/events")) or route.query is None:
            continue
        url = re.sub(r"\{\w+\}", "1", concrete(route, world))
        for field in msgspec.structs.fields(route.query):
            headers = {"X-API-Key": world.tokens[token_for(route.path)]}
            async with client.get(url, params={field.encode_name: "a\r\nb"}, headers=headers) as response:
                assert response.status == 400, (route.path, field.name, response.status)
                body = await response.json()
                assert field.encode_name in str(body.get("details", body)), (route.path, field.name, body)
        async with client.get(url + "%0d%0aX: y", headers=headers) as response:
            assert response.status in (400, 404), route.path


async def test_other_hostile_text_breaks_nothing(client: Client, world: World) -> None:
    """Refused, or taken as the text it is: never a failure of ours, and no command to the PBX carries it."""
    before = len(world.door.commands)
    for number, (method, path, field) in enumerate(PLACES):
        for value in (HOSTILE[number % len(HOSTILE)], HOSTILE[(number * 7 + 3) % len(HOSTILE)], HOSTILE[6]):
            status, answer = await send(client, world, method, path, planted(field, value))
            assert status < 500 or status in (501, 503, 504), (method, path, field, value[:40], answer)
    for command in world.door.commands[before:]:
        to_pbx = isinstance(command, c.CallExtension | c.DialNumber)
        assert not to_pbx or re.fullmatch(r"\+[1-9][0-9]{5,14}", command.e164), command


async def test_what_reaches_the_wire_is_one_action_with_the_values_it_was_given() -> None:
    """The last line of defence: whatever came so far, no second action and no further header is written."""
    for value in [*CONTROL, *HOSTILE]:
        action = {"Action": "Originate", "ActionID": "1", "Channel": f"PJSIP/{value}", "CallerID": value}
        try:
            written = format_action(action)
        except FieldRefused:
            continue
        assert written.count(b"\r\n\r\n") == 1 and written.endswith(b"\r\n\r\n"), value
        assert len(written[:-4].split(b"\r\n")) == 4 and b"\x00" not in written, value
    for value in ("a\r\nAction: Originate", "a\nb", "a\x00b"):
        with pytest.raises(FieldRefused):
            format_action({"Action": "Originate", "ActionID": "1", "Channel": value})


def test_numbers_that_pass_the_doors_are_digits() -> None:
    for value in [*CONTROL, *HOSTILE, "(06) 12.34-56 78", "+33 (0)6 12 34 56 78"]:
        number = normalise(value)
        assert number.refused is not None or re.fullmatch(r"\+[1-9][0-9]{5,14}", number.e164), value
