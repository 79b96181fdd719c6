"""What a supervisor is told before it hurts, why a number was placed, who may what and who did what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from playwright.async_api import Browser, expect

from daemon.calls.lead_records import Intent
from tests.e2e.site import Site, open_site


async def calls_placed(site: Site, count: int) -> None:
    """So many calls of the first campaign, over the last ten minutes."""
    store, rows, now = site.world.store, site.world.rows, datetime.now(UTC)
    lease = await store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    intents = [
        Intent(
            attempt_id=UUID(int=n + 1), site="main", kind="campaign", group_id=rows["group"].id,
            campaign_id=rows["campaign"].id, client_id=rows["client"].id, lead_id=0, e164=f"+33199001{n:03d}",
            line_id=rows["line"].id, caller_id="", agent_id=0, rule_set="", attempts_max=0, attempts_days=0,
            at=now - timedelta(minutes=10) + timedelta(seconds=6 * n),
        )
        for n in range(count)
    ]  # fmt: skip
    assert len(await store.commit_intents(intents, lease)) == count


async def test_leads_and_lines_that_run_out_are_told_before_they_have(browser: Browser) -> None:
    async with open_site(browser) as site:
        await calls_placed(site, 100)  # ten a minute
        site.world.door.change("campaigns", 1, leads={"due": 50, "recycling": 9366})
        site.world.door.change("lines", site.world.rows["line"].id, in_use=30)
        page = await site.open("/")
        seen = page.locator("section.card", has=page.get_by_role("heading", name="À voir")).locator("li")
        await expect(seen.filter(has_text="50 fiches dues")).to_have_count(1)
        await expect(seen.filter(has_text="aucune libre, 30 sur 30")).to_have_count(1)
        site.world.door.change("campaigns", 1, leads={"due": 50_000, "recycling": 9366})
        site.world.door.change("lines", site.world.rows["line"].id, in_use=10)
        await expect(seen).to_have_count(0)
        assert not site.troubles, site.troubles


async def test_roles_and_rules_of_alerts_are_there_to_read(browser: Browser) -> None:
    async with open_site(browser) as site:
        await site.world.store.note("S. Benali", "campaign.tuned", "1", {"speed": 7, "speed_was": 6})
        page = await site.open("/#/acces")
        await expect(page.locator("[data-roles] tbody tr")).to_have_count(6)
        await expect(page.locator("[data-journal] tbody tr").first).to_contain_text("Campagne : cadence modifiée")
        await expect(page.locator("[data-journal] tbody tr").first).to_contain_text("Assurance Auto 31")
        await page.goto(site.url("/#/alertes"))
        await expect(page.locator("[data-rules]")).to_contain_text("Quota click-to-call")
        await page.goto(site.url("/#/campagnes/1"))
        await page.get_by_role("button", name="60 dernières décisions").click()
        await expect(page.locator("aside.drawer")).to_contain_text("Aucune décision gardée")
        await page.keyboard.press("Escape")
        await expect(page.locator("aside.drawer")).to_have_count(0)
        assert not site.troubles, site.troubles
