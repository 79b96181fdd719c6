"""The compliance panel in Chromium: may this person be called, and what it costs to call all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.lead_records import LeadDraft
from tests.e2e.site import WallClock, open_site


@pytest.mark.feature("LEGL-09", clause="the fines stand in the compliance panel, beside the verdict on a number")
async def test_the_panel_tells_the_rule_and_the_fines(browser: Browser) -> None:
    async with open_site(browser) as site:
        await site.world.store.add_leads(
            site.world.rows["list"].id, [LeadDraft(e164="+33612345678", last_name="Durand")]
        )
        clock = site.world.clock
        assert isinstance(clock, WallClock)
        clock.go_on_from(datetime.now(UTC).replace(hour=9, minute=30))
        page = await site.open("/#/conformite")
        await expect(page.get_by_text("75 000 €")).to_contain_text("375 000 € pour une société")
        await expect(page.locator("main select[name=campaign_id]").first).to_have_value(
            "1"
        )  # its name comes by the stream
        await page.get_by_label("Numéro").first.fill("06 12 34 56 78")
        await page.get_by_role("button", name="Vérifier").click()
        await expect(page.get_by_role("status").first).to_contain_text("L. 223-1")
