"""`/readyz`, by which a load balancer or a deployment decides: a daemon that stops is not ready any more."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.api.fakes import World


@pytest.mark.feature("RELY-06", clause="a daemon that stops says on /readyz that it is not ready, and why")
async def test_a_daemon_that_stops_is_not_ready(client: TestClient[Any, Any], world: World) -> None:
    async with client.get("/readyz") as response:
        assert (response.status, (await response.json())["ready"]) == (200, True)
    ((key, _),) = world.door.view()["system"].items()
    world.door.change("system", key, draining=True)
    async with client.get("/readyz") as response:
        answer = await response.json()
    assert (response.status, answer["ready"], answer["store"], answer["draining"]) == (503, False, True, True)
