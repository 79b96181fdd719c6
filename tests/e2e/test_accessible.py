"""axe-core over the pages: no serious or critical finding, in both languages and both themes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.api.fakes import call_view
from tests.e2e.floor import ATTEMPT, desk_world, people
from tests.e2e.site import open_site

AXE = Path(__file__).parent / "vendor" / "axe.min.js"


async def serious(page: Page) -> list[str]:
    """Findings that matter, as "rule: element". The library is run by the debugger, past the page's own policy."""
    if not await page.evaluate("'axe' in window"):  # going to another « # » keeps the document, and what it has loaded
        await page.evaluate(AXE.read_text("utf-8"))
    found = await page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        ".filter(v => ['serious', 'critical'].includes(v.impact))"
        ".flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}`))"
    )
    return list(found)


@pytest.mark.parametrize(("theme", "language"), [("light", "fr"), ("dark", "en")])
async def test_supervision_pages(browser: Browser, theme: str, language: str) -> None:
    async with open_site(browser, color_scheme=theme, locale="fr-FR" if language == "fr" else "en-GB") as site:
        people(site)
        page = await site.open("/")
        problems: dict[str, list[str]] = {}
        for name in ("direct", "agents", "campagnes/1", "campagnes/1/reglages", "listes", "listes/importer",
                     "listes/recherche", "lignes", "conformite", "rapports", "rapports/appels", "acces"):  # fmt: skip
            await page.goto(site.url(f"/#/{name}"))
            await site.arrived(page)
            await expect(page.locator("main .card").first).to_be_visible()
            if found := await serious(page):
                problems[name] = found
        assert problems == {}


async def test_the_dialog_and_the_sign_in(browser: Browser) -> None:
    async with open_site(browser, demo="") as site:
        page = await site.open("/")
        await expect(page.locator("[name=token]")).to_be_visible()
        assert await serious(page) == []
        await page.locator("[name=token]").fill(site.world.tokens["manager"])
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Suspendre tous les appels").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await serious(page) == []


@pytest.mark.parametrize("name", ["campagnes", "campagnes/1/statuts", "campagnes/1/pauses"])
async def test_codes_and_clients(browser: Browser, name: str) -> None:
    async with open_site(browser) as site:
        await desk_world(site)
        page = await site.open(f"/#/{name}")
        await expect(page.get_by_role("button", name="Modifier").first).to_be_visible()
        assert await serious(page) == []


async def test_a_row_being_edited(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/lignes")
        await page.get_by_role("button", name="Modifier TR-1").click()
        await expect(page.locator("[data-edit] [name=name]")).to_be_focused()
        assert await serious(page) == []


async def test_the_desk_in_a_call(browser: Browser) -> None:
    async with open_site(browser, demo="agent", color_scheme="dark") as site:
        door = await desk_world(site)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        page = await site.open("/desk")
        await expect(page.locator(".deskband")).to_be_visible()
        assert await serious(page) == []
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        await expect(page.locator("[name=notes]")).to_be_visible()
        assert await serious(page) == []


async def test_the_wall(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/wall", width=1920, height=1080)
        await expect(page.locator(".panel").first).to_be_visible()
        assert await serious(page) == []
