"""The compliance panel in Chromium: may this person be called, and what it costs to call all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.lead_records import LeadDraft
from tests.e2e.site import open_site


@pytest.mark.feature("LEGL-09", clause="the fines stand in the compliance panel, beside the verdict on a number")
async def test_the_panel_tells_the_rule_and_the_fines(browser: Browser) -> None:
    async with open_site(browser) as site:
        await site.world.store.add_leads(
            site.world.rows["list"].id, [LeadDraft(e164="+33612345678", last_name="Durand")]
        )
        site.world.clock.utc = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
        page = await site.open("/#/conformite")
        await expect(page.get_by_text("75 000 €")).to_contain_text("375 000 € pour une société")
        await page.get_by_label("Numéro").first.fill("06 12 34 56 78")
        await page.get_by_role("button", name="Vérifier").click()
        await expect(page.get_by_role("status").first).to_contain_text("L. 223-1")
