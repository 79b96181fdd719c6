"""Fixtures: a world on the memory store, and the app over a real loopback socket."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from daemon.api.app import build_app
from daemon.compliance.rules import load_rule_sets
from daemon.settings import HttpTable
from tests.api.fakes import World, crm_of, make_world, sender_of

RULES = load_rule_sets()


@pytest.fixture
async def world() -> World:
    return await make_world()


Serve = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def serve(world: World) -> AsyncIterator[Serve]:
    """Starts the app with the given [http] keys; closed at the end."""
    clients: list[TestClient[Any, Any]] = []
    webhooks = sender_of(world)

    async def start(demo_token: str = "", **http: Any) -> TestClient[Any, Any]:
        http.setdefault("bad_requests_per_minute", 100_000)
        http.setdefault("stream_interval_s", 0.02)
        app = build_app(
            world.door, world.store, HttpTable(**http), world.clock, random.Random(3),
            site_ids=("main",), rule_sets=RULES, demo_token=demo_token,
            notify=lambda topic, details: world.alerts.append((topic, dict(details))),
            crm=crm_of(world),
            webhooks=webhooks, token_bytes=random.Random(5).randbytes, extensions=lambda site: ("1001", "1002", "1003"),
        )  # fmt: skip
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()
    for outgoing in world.outgoing:
        await outgoing.close()


@pytest.fixture
async def client(serve: Serve) -> TestClient[Any, Any]:
    return await serve()
