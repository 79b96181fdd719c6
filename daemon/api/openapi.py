"""OpenAPI 3.1, drawn from the route table and the types that validate. Served at /api/v1/openapi.json, built once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from daemon import __version__
from daemon.api.routes import Ask, Permission, Route, Routes
from daemon.api.types import Problem

routes = Routes("/api/v1", "meta")

ERROR_TEXTS = {
    400: "A field is missing or not allowed; `details` names it",
    401: "No valid token",
    403: "The token's role, group or address does not allow this",
    404: "Not found in what this token may see",
    409: "Impossible in the present state; `code` says why",
    412: "Changed meanwhile: If-Match is stale; `details.current` is the present version",
    413: "Body too large",
    415: "Content type is not application/json",
    428: "If-Match is missing",
    429: "Too many refused requests, or quota reached",
    500: "Internal error, logged under request_id",
    501: "Not available in this installation",
    503: "The database, the PBX or a line is not available; retry",
    504: "Not applied in time",
}


def _body(route: Route) -> Any:
    """The type of the body that the document tells of."""
    return route.body if route.told is None else route.told


def _errors(route: Route) -> list[int]:
    """The error statuses a route may answer."""
    codes = {429, 500, 503}
    if route.permission is not Permission.PUBLIC:
        codes |= {401, 403}
    if "{" in route.path:
        codes.add(404)
    if route.body is not None or route.query is not None:
        codes.add(400)
    if route.body is not None:
        codes |= {413, 415}
    if route.method != "GET":
        codes |= {400, 403, 404, 409, 501, 504}
    if route.if_match:
        codes |= {412, 428}
    codes.add(400)  # a query where none is taken
    return sorted(codes | set(route.extra))


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in route.path_names:
        schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80}
        if name == "id":
            schema = {"type": "integer", "minimum": 1, "maximum": 2_147_483_647}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        (schema_ref,), defs = msgspec.json.schema_components([route.query], ref_template="#/components/schemas/{name}")
        own = defs.pop(route.query.__name__)
        components.update(defs)
        required = set(own.get("required", ()))
        for name, schema in own["properties"].items():
            found.append({"name": name, "in": "query", "required": name in required, "schema": schema})
        assert schema_ref
    if route.if_match:
        schema = {"type": "string", "pattern": '^(\\*|(W/)?"[0-9]+")$'}
        found.append({"name": "If-Match", "in": "header", "required": True, "schema": schema})
    return found


def _operation(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    name = f"{route.method.lower()}_{route.path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}"
    operation: dict[str, Any] = {
        "operationId": name.replace("-", "_").replace(".", "_"),
        "summary": route.summary,
        "tags": [route.tag],
        "x-permission": route.permission.value,
        "parameters": _parameters(route, components),
        "responses": _responses(route, schema_of),
    }
    if route.permission is Permission.PUBLIC:
        operation["security"] = []
    if route.body is not None:
        content = {"application/json": {"schema": schema_of[id(_body(route))]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.raw_body == "octets":
        schema = {"type": "string", "contentMediaType": "application/octet-stream"}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": schema}}}
    return operation


def _responses(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    ok: dict[str, Any] = {"description": "Done"}
    if route.status == 202:
        ok["description"] = "Asked of the engine; done when its fact arrives on the stream"
    if route.raw_body and route.raw_body != "octets":
        ok["content"] = {route.raw_body: {"schema": {"type": "string"}}}
    elif route.reply is not None:
        ok["content"] = {"application/json": {"schema": schema_of[id(route.reply)]}}
        if route.path.startswith(("/api/v1/reports", "/api/v1/people/export", "/api/v1/exports")):
            ok["content"]["text/csv"] = {"schema": {"type": "string"}}
    if route.if_match or route.status == 201:
        ok["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Version, for If-Match"}}
    responses = {str(route.status): ok}
    for status in _errors(route):
        if route.style == "clicsipx":
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/ClicsipxError"}}}
        else:
            content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        if str(status) not in responses:
            responses[str(status)] = {"description": ERROR_TEXTS.get(status, "Error"), "content": content}
    return responses


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole document."""
    from daemon.api.app import all_routes  # the table is complete only there

    table = all_routes()
    types = [kind for route in table for kind in (_body(route), route.reply) if kind is not None]
    unique = list({id(kind): kind for kind in types}.values())
    schemas, components = msgspec.json.schema_components([*unique, Problem], ref_template="#/components/schemas/{name}")
    schema_of = {id(kind): schema for kind, schema in zip(unique, schemas, strict=False)}
    components = dict(components)
    components["ClicsipxError"] = {
        "type": "object",
        "required": ["success", "error"],
        "properties": {"success": {"const": False}, "error": {"type": "string"}},
    }
    paths: dict[str, Any] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cadran",
            "version": __version__,
            "description": "Outbound calling beside an Asterisk. Errors: docs/api-errors.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"cookie": []}, {"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "cadran_session"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


@routes.get("/openapi.json", permission=Permission.PUBLIC, reply=dict[str, Any])
async def openapi(ask: Ask) -> web.StreamResponse:
    """This document."""
    return web.Response(body=msgspec.json.encode(document()), content_type="application/json")
