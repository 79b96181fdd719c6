"""Where a page begins is what the page before ended with; anything else is refused and named."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.api.fakes import World

Client = TestClient[Any, Any]


@pytest.mark.parametrize("path", ["leads", "calls", "recordings"])
async def test_after_what(client: Client, world: World, path: str) -> None:
    for after, status in (("abc", 400), ("-1", 400), ("9" * 19, 400), ("7", 200)):
        asked = client.get(f"/api/v1/{path}", headers=world.auth("administrator"), params={"after": after})
        async with asked as response:
            body = await response.text()
            assert response.status == status, body
            assert status == 200 or ("after" in body and after in body)
