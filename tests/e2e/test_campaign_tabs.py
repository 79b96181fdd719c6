"""The tabs of a campaign in Chromium: in their order, only what changed is sent, the law's bounds."""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import Browser, Page, Route, expect

from daemon.calls.records import CallerIdNumber, Campaign, LeadList
from daemon.engine.views import WindowView
from tests.e2e.site import Site, open_site

TABS = ["Cadence", "Réglages", "Listes", "Numéros", "Statuts", "Pauses", "Recyclage", "Horaires", "Journal"]


async def campaign_of(site: Site) -> Campaign:
    row = await site.world.store.get(Campaign, 1)
    assert row is not None
    return row


async def saved(page: Page) -> None:
    await page.get_by_role("button", name="Enregistrer").click()
    await expect(page.get_by_text("Enregistré.").last).to_be_visible()


async def test_lists_and_numbers_have_tabs_of_their_own_and_send_what_changed(browser: Browser) -> None:
    async with open_site(browser) as site:
        store, group = site.world.store, site.world.rows["group"].id
        summer = await store.create(LeadList(group_id=group, name="Été"))
        north = await store.create(CallerIdNumber(group_id=group, e164="+33199000050", name="Accueil", pool="nord"))
        sent: list[str] = []
        page = await site.open("/#/campagnes/1/listes")
        page.on("request", lambda r: sent.append(r.post_data or "") if r.method == "PATCH" else None)
        await expect(page.get_by_role("tab")).to_have_text(TABS)
        await page.get_by_label("Été").check()
        await saved(page)
        assert (await campaign_of(site)).list_ids == [site.world.rows["list"].id, summer.id]
        await page.get_by_role("tab", name="Numéros").click()
        await page.get_by_label("+33199000050").check()
        await page.get_by_label("TR-1").uncheck()
        await page.locator("[name=caller_id_pool]").select_option("nord")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.locator("[data-picks=numbers] .s-ready")).to_have_count(1)
        row = await campaign_of(site)
        assert row.caller_id_ids == [site.world.rows["caller_id"].id, north.id]
        assert (row.line_ids, row.caller_id_pool, row.strategy) == ([], "nord", "priority")
        assert [sorted(json.loads(body)) for body in sent] == [
            ["list_ids"], ["caller_id_ids", "caller_id_pool", "line_ids"]
        ]  # fmt: skip
        assert not site.troubles, site.troubles


@pytest.mark.feature("LEGL-01", clause="each field shows its limit by the rule set chosen")
async def test_the_laws_bounds_stand_beside_the_fields_they_bound(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/campagnes/1/reglages")
        form = page.locator("form.form")
        await expect(form).to_contain_text("4 au plus en 30 jours (loi)")
        await expect(form).to_contain_text("3 % au plus (loi)".replace(" %", "\u202f%"))
        await form.locator("[name=rule_set]").select_option("us-tsr")
        await expect(form).not_to_contain_text("4 au plus en 30 jours")
        await expect(form).to_contain_text("15 s au moins (loi)")
        await form.locator("[name=rule_set]").select_option("fr-b2c-2026")
        await form.locator("[name=abandonment_rate_max]").fill("2.5")
        await saved(page)
        assert (await campaign_of(site)).abandonment_rate_max == 0.025
        await form.locator("[name=attempts_max]").fill("6")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.locator(".toast.alert")).to_contain_text("4")
        assert (await campaign_of(site)).attempts_max == 4


async def test_before_the_first_abandoned_call_nothing_alarms_and_at_the_ceiling_it_says_what_happens(
    browser: Browser,
) -> None:
    """Twelve answers leave no room for an abandoned call, though nothing is wrong."""

    def window(name: str, abandoned: int, live: int, room: int) -> WindowView:
        return WindowView(name=name, abandoned=abandoned, live=live, room=room, ceiling=0.03)

    async with open_site(browser) as site:
        site.world.door.change("campaigns", 1, windows=(window("hour", 0, 12, 0), window("day", 0, 12, 0)))
        page = await site.open("/")
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row).to_contain_text("1 dès 34 rép.")
        await expect(row).not_to_contain_text("reste 0")
        await expect(row.locator(".mark")).to_have_count(0)
        site.world.door.change("campaigns", 1, windows=(window("hour", 2, 40, -1), window("day", 2, 120, 1)))
        await expect(row.locator(".mark.act")).to_have_count(2)
        await page.goto(site.url("/#/campagnes/1"))
        await expect(page.locator("p.mark.act")).to_contain_text("un appel par agent jusqu’à")
        await expect(page.get_by_text("Au plafond, Cadran revient seul à un appel par agent prêt.")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not site.troubles


async def test_a_late_answer_shows_no_other_campaigns_settings(browser: Browser) -> None:
    """Who goes on to another campaign while the first is still being read must not find, and save, the first one's."""
    async with open_site(browser) as site:
        page, asked, free = await site.open("/#/direct"), asyncio.Event(), asyncio.Event()

        async def slow(route: Route) -> None:
            asked.set()
            await free.wait()
            await route.continue_()

        await page.route("**/api/v1/campaigns/1", slow)
        await page.goto(site.url("/#/campagnes/1/reglages"))
        await asked.wait()  # one that goes on at once never asks for the first, on a slow machine
        await page.goto(site.url("/#/campagnes/2/reglages"))
        name = page.locator("main form.form [name=name]")
        await expect(name).to_have_value("Autre")
        async with page.expect_response("**/api/v1/campaigns/1"):
            free.set()
        # What the page would still ask for before it painted the first one's settings is answered meanwhile.
        await page.evaluate("(async () => { for (let i = 0; i < 12; i += 1) await fetch('/api/v1/rule-sets'); })()")
        await expect(name).to_have_value("Autre")
        assert not site.troubles, site.troubles
