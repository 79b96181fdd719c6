"""The pages of what a call can do, in Chromium: settings of machines, recording and calls that come in; missed calls;
the desk in a call; supervision; recordings. Both languages, no console error."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.records import Campaign
from tests.e2e.site import open_site
from tests.e2e.test_pages import shot


@pytest.mark.feature("AMD-01", clause="thresholds are set on the campaign's page")
async def test_only_changed_settings_of_a_folded_section_are_sent(browser: Browser) -> None:
    async with open_site(browser) as site:
        sent: list[str] = []
        site.world.door.change("campaigns", 1, mode="inbound")
        page = await site.open("/#/campagnes/1/reglages")
        page.on("request", lambda r: sent.append(r.post_data or "") if r.method == "PATCH" else None)
        await expect(page.locator("[name='inbound.wait_max_s']")).to_have_value("120")
        await page.locator("[name='inbound.wait_max_s']").fill("45")
        await page.locator("[name='inbound.dids']").select_option("+33162000000")
        await page.locator("[name='inbound.overflow']").fill("600@nuit")
        await shot(page, "campagnes-1-reception-fr-light")
        machines = page.locator("[data-section=machines]")
        await expect(machines.locator("[name=amd]")).to_be_hidden()
        await machines.locator("summary").click()
        await machines.locator("[name='amd_settings.greeting']").fill("1500")
        await machines.locator("[name='amd_settings.notsure_hangs_up']").check()
        await page.locator("[data-section=law] summary").click()
        await page.locator("[name=business]").check()
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.business and not row.amd
        assert (row.inbound.dids, row.inbound.wait_max_s, row.inbound.overflow) == (["+33162000000"], 45.0, "600@nuit")
        assert (row.amd_settings.greeting, row.amd_settings.notsure_hangs_up) == (1500, True)
        assert len(sent) == 1 and "ring_timeout_s" not in sent[0] and '"name"' not in sent[0]
        await page.goto(site.url("/#/campagnes/1/horaires"))
        await page.locator("[data-open]").get_by_role("button", name="Ajouter").click()
        await expect(page.locator("[data-open] .list li")).to_contain_text("10:00 – 13:00")
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.inbound.open[0].days == [1, 2, 3, 4, 5] and row.inbound.wait_max_s == 45.0
        assert not site.troubles, site.troubles
