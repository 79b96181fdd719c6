"""At the abandonment ceiling the alert stands in the row of the speed, in words, in both languages."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from daemon.engine.views import WindowView
from tests.e2e.site import open_site

WORDS = {
    "fr-FR": ("à traiter maintenant", "un appel par agent jusqu’à"),
    "en-GB": ("act now", "one call per agent until"),
}


@pytest.mark.feature("CAMP-08", clause="at the ceiling, an alert in words beside the speed, in French and in English")
@pytest.mark.parametrize("locale", list(WORDS))
async def test_the_ceiling_alerts_beside_the_speed(browser: Browser, locale: str) -> None:
    level, what = WORDS[locale]

    def hour(abandoned: int, room: int) -> tuple[WindowView, ...]:
        return (WindowView(name="hour", abandoned=abandoned, live=100, room=room, ceiling=0.03),)

    async with open_site(browser, locale=locale) as site:
        site.world.door.change("campaigns", 1, windows=hour(0, 3))
        page = await site.open("/")
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row.locator(".stepper")).to_be_visible()
        await expect(row.locator(".mark")).to_have_count(0)
        for abandoned, room in ((3, 0), (5, -2)):  # at the ceiling, and above it
            site.world.door.change("campaigns", 1, windows=hour(abandoned, room))
            await expect(row.locator(".meter").first).to_contain_text(str(abandoned))
            await expect(row.locator(".mark.act").first).to_contain_text(level)
            await expect(row.locator(".meter.act").first).to_have_attribute("aria-label", re.compile(what))
        site.world.door.change("campaigns", 1, windows=hour(0, 3))
        await expect(row.locator(".mark")).to_have_count(0)
        assert not site.troubles
