"""One Chromium for the page tests: launching it is most of what such a test costs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.site import open_browser


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser lives on one event loop, so its tests share it. They take as long as a busy machine needs: each wait in
    them has a bound of its own."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)
