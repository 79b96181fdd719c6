"""Who is in front of the page: sign-in, language, theme, a token that expires, the next person, a new token."""

from __future__ import annotations

import asyncio

from playwright.async_api import Browser, Route, expect

from tests.e2e.floor import shot
from tests.e2e.site import open_site


async def test_sign_in_language_theme_and_an_expired_token(browser: Browser) -> None:
    async with open_site(browser, demo="", color_scheme="dark") as site:
        page = await site.open("/")
        await page.locator("[name=token]").fill("cadran_OUEST_wrong")
        await page.get_by_role("button", name="Se connecter").click()
        await expect(page.get_by_role("alert").filter(has_text="Jeton inconnu")).to_be_visible()
        await page.locator("[name=token]").fill(site.world.tokens["administrator"])
        await page.get_by_role("button", name="Se connecter").click()
        await expect(page.locator("tr.campaign")).to_have_count(1)
        await page.get_by_role("button", name="EN", exact=True).click()
        await expect(page.get_by_role("button", name="Suspend all calls")).to_be_visible()
        await expect(page.locator("tr.why").first).to_contain_text("placing 7")
        await shot(page, "direct-en-dark")
        token = site.world.rows["token_administrator"]
        headers = site.world.auth("root")
        await site.context.request.delete(site.url(f"/api/v1/tokens/{token.id}"), headers=headers)
        await expect(page.locator("[name=token]")).to_be_visible()
        await expect(page.get_by_text("Your access has expired")).to_be_visible()


async def test_the_next_person_in_a_browser_never_sees_the_last_ones_state(browser: Browser) -> None:
    """All tabs share one stream: it must not outlive a change of person."""
    async with open_site(browser, demo="") as site:
        first = await site.open("/")
        await first.locator("[name=token]").fill(site.world.tokens["administrator"])
        await first.keyboard.press("Enter")
        await expect(first.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        second = await site.open("/")
        await expect(second.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        async with second.expect_event("load"):  # the page begins anew: what is typed before would be lost
            await second.get_by_role("button", name="Se déconnecter").click()
        await site.arrived(second)  # it knows that nobody is signed in
        await second.locator("[name=token]").fill(site.world.tokens["other_admin"])
        await second.keyboard.press("Enter")
        await expect(second.locator("tr.campaign")).to_contain_text("Autre")
        site.world.door.change("campaigns", 1, speed=2)
        site.world.door.change("campaigns", 2, speed=3)
        await expect(second.locator("tr.campaign .stepper .figure")).to_have_text("3")
        await expect(second.get_by_text("Assurance Auto 31")).to_have_count(0)


async def test_who_signs_in_before_the_page_knows_who_is_there_stays_signed_in(browser: Browser) -> None:
    """The answer that nobody is signed in comes late, and says nothing of who has signed in since."""
    async with open_site(browser, demo="") as site:
        page, asked, free = await site.open("about:blank"), asyncio.Event(), asyncio.Event()

        async def late(route: Route) -> None:
            if route.request.method == "GET":
                answer = await route.fetch()
                asked.set()
                await free.wait()
                await route.fulfill(response=answer)
            else:
                await route.continue_()

        await page.route("**/api/v1/session", late)
        await page.goto(site.url("/"))
        await asked.wait()
        await page.locator("[name=token]").fill(site.world.tokens["administrator"])
        await page.keyboard.press("Enter")
        await expect(page.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        free.set()
        await site.arrived(page)
        await expect(page.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        await expect(page.locator("[name=token]")).to_have_count(0)


async def test_a_token_is_shown_once(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/acces")
        await page.locator("form [name=name]").fill("Site web")
        await page.locator("form [name=kind]").select_option("click2call")
        await page.get_by_role("button", name="Générer", exact=True).click()
        await expect(page.locator("[data-token]")).to_contain_text("clicsipx_OUEST_")
        secret = await page.locator("[data-token]").inner_text()
        await page.reload()
        await expect(page.get_by_text("Site web")).to_be_visible()
        assert secret not in await page.content() and not site.troubles


async def test_what_was_typed_to_confirm_outlives_a_refusal(browser: Browser) -> None:
    """The database is away as a token is revoked: the dialog says so, and the reason is not typed a second time."""
    async with open_site(browser) as site:
        page = await site.open("/#/acces")
        row = page.locator("main tr", has_text=site.world.rows["token_supervisor"].name)
        dialog = page.get_by_role("dialog")

        async def away(route: Route) -> None:
            await route.fulfill(status=503, json={"code": "store_unavailable"})

        await page.route("**/api/v1/tokens/*", away)
        await row.get_by_role("button", name="Révoquer").click()
        await dialog.locator("[name=typed]").fill(site.world.rows["token_supervisor"].tail)
        await dialog.locator("[name=reason]").fill("départ")
        await dialog.get_by_role("button", name="Révoquer").click()
        await expect(dialog.locator(".toast.alert")).to_contain_text("La base ne répond pas")
        await expect(dialog.locator("[name=reason]")).to_have_value("départ")
        await page.unroute("**/api/v1/tokens/*")
        await expect(dialog.locator("[name=ok]")).not_to_have_attribute("aria-busy", "true")
        await dialog.get_by_role("button", name="Révoquer").click()
        await expect(dialog).to_have_count(0)
        await expect(row.get_by_role("button", name="Révoquer")).to_have_count(0)


async def test_a_desk_without_an_agent_says_so(browser: Browser) -> None:
    """It asks for nothing that it cannot get."""
    async with open_site(browser, demo="supervisor") as site:
        page = await site.open("/desk")
        await expect(page.get_by_role("alert").filter(has_text="n’est pas celui d’un agent")).to_be_visible()
        await site.arrived(page)
        assert not site.troubles, site.troubles
