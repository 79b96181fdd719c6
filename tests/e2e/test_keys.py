"""Single keys of the supervision pages and the desk: what « ? » lists does what it says, and can be turned off."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from daemon.engine import commands as c
from tests.e2e.floor import desk_world, hold_the_clock, people, shot
from tests.e2e.site import open_site


async def test_a_supervisor_moves_opens_and_steers_by_keys(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        page = await site.open("/")
        name = page.locator("table.campaigns").get_by_role("link", name="Assurance Auto 31")
        await expect(name).to_be_visible()
        await page.keyboard.press("j")
        await expect(name).to_be_focused()
        await expect(page.get_by_role("button", name="Réduire la vitesse").first).to_be_enabled()
        await hold_the_clock(page)
        await page.keyboard.press("[")
        await expect(page.locator("tr.campaign .stepper .figure").first).to_have_text("5")
        assert site.world.door.of(c.TuneCampaign)[0].speed == 5
        await page.keyboard.press("g")
        await page.keyboard.press("a")
        await expect(page.locator("tr.row").first).to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        second = page.locator("tr.row").nth(1).get_by_role("link")
        await expect(second).to_be_focused()
        await page.keyboard.press(".")
        await expect(page.locator(".drawer h2")).to_contain_text(await second.inner_text())
        await page.keyboard.press("Escape")
        await expect(page.locator(".drawer")).to_have_count(0)
        assert not site.troubles, site.troubles


async def test_escape_closes_a_form_in_the_drawer_and_gives_the_focus_back(browser: Browser) -> None:
    """The form has the focus in its first field: the key must work from there too."""
    async with open_site(browser) as site:
        page = await site.open("/#/lignes")
        change = page.get_by_role("button", name="Modifier TR-1")
        await change.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-edit] [name=name]")).to_be_focused()
        await page.keyboard.type("x")
        await page.keyboard.press("Escape")
        await expect(page.locator(".drawer")).to_have_count(0)
        await expect(change).to_be_focused()
        assert not site.world.door.commands and not site.troubles, site.troubles


async def test_keys_are_listed_and_turned_off(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        await page.keyboard.press("?")
        drawer = page.locator(".drawer")
        await expect(drawer).to_contain_text("Suspendre tous les appels (à confirmer)")
        await shot(page, "touches-fr-light")
        await drawer.get_by_label("Touches simples actives").uncheck()
        await page.keyboard.press("Escape")
        await page.locator("body").press("g")
        await page.locator("body").press("a")
        await page.locator("body").press("?")
        await page.get_by_role("button", name="Raccourcis clavier").click()
        await expect(drawer.get_by_label("Touches simples actives")).not_to_be_checked()
        assert page.url.endswith("/") or page.url.endswith("/#/direct"), "no key acted"
        assert not site.troubles, site.troubles


async def test_the_desks_keys_are_turned_off(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        await desk_world(site)
        page = await site.open("/desk")
        await page.get_by_role("button", name="Se connecter").click()
        await expect(page.locator(".deskband")).to_contain_text("En pause")
        await page.get_by_label("Touches simples actives").uncheck()
        await page.locator("body").press("r")
        await page.get_by_label("Touches simples actives").check()
        await expect(page.get_by_role("button", name="R Prêt")).to_be_enabled()
        await hold_the_clock(page)
        await page.locator("body").press("r")
        await expect(page.locator(".deskband")).to_contain_text("Prêt")
        assert len(site.world.door.of(c.SetReady)) == 1 and not site.troubles
