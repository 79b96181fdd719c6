"""The agents' board: filters, a forced pause, a thousand agents."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from daemon.engine import commands as c
from tests.e2e.floor import people, shot
from tests.e2e.site import open_site


@pytest.mark.feature("SUPV-02", clause="agent state board")
async def test_the_agents_board_filters_and_forces_a_pause(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row").first).to_contain_text("Agent 128")
        await shot(page, "agents-fr-light")
        await page.locator(".tabs").get_by_role("button", name="En pause").click()
        await expect(page.locator("tr.row")).to_have_count(4)
        await page.get_by_role("button", name="Tous", exact=False).and_(page.locator(".tabs button")).click()
        await page.locator("[data-search]").fill("benali")
        await page.get_by_role("link", name="S. Benali").click()
        await page.locator(".drawer").get_by_role("button", name="Pause").first.click()
        await expect(page.locator("tr.row").first).to_contain_text("En pause")
        assert site.world.door.of(c.SetPaused)[0].agent_id == site.world.rows["agent"].id
        assert not site.troubles


async def test_a_thousand_agents_keep_the_page_small(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site, 1000)
        page = await site.open("/#/agents")
        await expect(
            page.get_by_role("button", name="Tous", exact=False).and_(page.locator(".tabs button"))
        ).to_contain_text("1\u202f002")
        assert await page.locator("tr.row").count() <= 60
        assert await page.evaluate("document.querySelectorAll('*').length") < 1500
        assert not site.troubles


@pytest.mark.feature("SUPV-02", clause="occupancy counts the state an agent is in, not only those that have ended")
async def test_occupancy_goes_on_in_a_long_conversation(browser: Browser) -> None:
    async with open_site(browser) as site:
        agent = site.world.rows["agent"].id
        an_hour = {"calls": 1, "sales": 0, "talk_s": 0.0, "ready_s": 3600.0, "handling_s": 0.0}
        site.world.door.change(
            "agents", agent, state="on_call", since=datetime.now(UTC) - timedelta(hours=3), today=an_hour
        )
        page = await site.open("/#/agents")
        row = page.locator("tr.row").filter(has_text="S. Benali")
        await expect(row.locator("td").nth(8)).to_have_text(re.compile(r"^75\s?%$"))
        assert not site.troubles
