"""The wall screen: no personal data, pairing by six digits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, expect

from tests.api.fakes import campaign_view
from tests.e2e.floor import people, shot
from tests.e2e.site import Site, open_site


@asynccontextmanager
async def open_site_of(site: Site, browser: Browser, who: str) -> AsyncIterator[Page]:
    """Another browser on the same site: the page *Accès* of somebody who signed in."""
    context = await browser.new_context(locale="fr-FR", timezone_id="Europe/Paris")
    page = await context.new_page()
    await page.goto(site.url("/#/acces"))
    await page.locator("[name=token]").fill(site.world.tokens[who])
    await page.get_by_role("button", name="Se connecter").click()
    await page.locator("[name=code]").wait_for()
    try:
        yield page
    finally:
        await context.close()


async def test_the_wall_shows_no_personal_data(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        site.world.door.show(campaign_view(50, site.world.rows["group"].id, "Fidélité Presse", windows=()))
        page = await site.open("/wall", width=1920, height=1080)
        await expect(page.locator(".panel")).to_have_count(3)
        text = await page.locator("main").inner_text()
        assert "2,5" in text and "Agent 1" not in text and "Benali" not in text
        await shot(page, "wall-fr-dark")
        await page.set_viewport_size({"width": 480, "height": 320})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not site.troubles


async def test_a_wall_screen_is_paired_by_six_digits_and_sees_no_person(browser: Browser) -> None:
    async with open_site(browser, demo="") as site, open_site_of(site, browser, "supervisor") as desk:
        people(site)
        screen = await site.open("/wall", width=1920, height=1080)
        code = await screen.locator("[data-code]").inner_text()
        await shot(screen, "wall-pairing-fr-dark")
        await desk.locator("[name=code]").fill(code)
        await desk.locator("[name=screen]").fill("Plateau nord")
        await desk.get_by_role("button", name="Associer").click()
        await expect(screen.locator(".panel").first).to_be_visible()
        seen = await screen.evaluate("fetch('/api/v1/snapshot').then((r) => r.text())")
        assert "Agent 1" not in seen and "Benali" not in seen and '"on_call"' in seen
        status = await screen.evaluate(
            "fetch('/api/v1/session').then((r) => r.json())"
            ".then((who) => fetch('/api/v1/campaigns/1/pause', {method: 'POST', headers: {'X-CSRF-Token': who.csrf}}))"
            ".then((r) => r.status)"
        )
        assert status == 403
        assert (await screen.evaluate("fetch('/api/v1/session').then((r) => r.status)")) == 200
        # Its sign-in lapsed while it slept: the stream that it comes back to refuses it, and new digits are shown.
        await screen.context.clear_cookies()
        await screen.evaluate("dispatchEvent(new Event('cadran:refused'))")
        again = screen.locator("[data-code]")
        await expect(again).to_be_visible()
        assert await again.inner_text() != code
