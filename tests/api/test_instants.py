"""A time without its offset is refused where it would decide something: nobody can say which hour was meant."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.engine.commands import Dispose
from tests.api.fakes import World
from tests.api.test_external import key, lead

Client = TestClient[Any, Any]
NAIVE, GOOD = "2026-11-20T10:00:00", "2026-11-20T10:00:00+01:00"
BEYOND = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
"""Before the first year, and after the last, where the database counts."""


@pytest.mark.feature(
    "LEAD-07", clause="a consent's time needs its offset: without, the lead is refused and the field named"
)
@pytest.mark.parametrize(
    ("at", "status"), [(NAIVE, 400), ("2026-11-20", 400), ("hier", 400), *((at, 400) for at in BEYOND), (GOOD, 201)]
)
async def test_when_a_person_agreed(client: Client, world: World, at: str, status: int) -> None:
    sent = lead(world, consent={"collected_at": at, "source": "web"})
    async with client.post("/api/external/leads", headers=key(world), json=sent) as response:
        body = await response.json()
        assert response.status == status, body
        assert status == 201 or "consent.collected_at" in body["error"]
    assert len(world.store.tables.leads) == (status == 201)


@pytest.mark.parametrize(("at", "status"), [(NAIVE, 400), (GOOD, 202)])
async def test_when_to_call_back(client: Client, world: World, at: str, status: int) -> None:
    body = {"attempt_id": "01930000-0000-7000-8000-000000000001", "code": "RAPPEL", "callback_at": at}
    async with client.post(
        f"/api/v1/agents/{world.rows['agent'].id}/dispose", headers=world.auth("agent"), json=body
    ) as response:
        assert response.status == status, await response.text()
    assert len(world.door.of(Dispose)) == (status == 202)


@pytest.mark.parametrize("field", ["start", "end"])
@pytest.mark.parametrize("path", ["/api/v1/calls", "/api/v1/reports/abandonment", "/api/v1/recordings"])
async def test_from_when_to_when(client: Client, world: World, path: str, field: str) -> None:
    """A report of other hours than were meant would be believed."""
    for at, status in ((NAIVE, 400), *((at, 400) for at in BEYOND), (GOOD, 200)):
        async with client.get(path, headers=world.auth("administrator"), params={field: at}) as response:
            body = await response.text()
            assert response.status == status, body
            assert status == 200 or field in body


async def test_a_day_that_no_database_knows(client: Client, world: World) -> None:
    for path in ("day", "refusals", "register"):
        address = f"/api/v1/compliance/{path}"
        async with client.get(address, headers=world.auth("administrator"), params={"day": "0001-01-01"}) as response:
            body = await response.json()
            assert (response.status, body["details"]["field"]) == (400, "day")
