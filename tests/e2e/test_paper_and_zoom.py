"""The pages on paper, at twice the size and on a narrow screen: nothing cut, nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from daemon.calls.causes import Outcome
from tests.api.test_recent import a_call, lease_of
from tests.e2e.floor import people, shot
from tests.e2e.printed import pages
from tests.e2e.site import Site, WallClock, open_site
from tests.e2e.test_screenshots import furnished

# What sticks out to the right, in or out of sight; a table may, within its own scrolling box.
STICKS_OUT = """() => {
  const right = (e) => Math.round(e.getBoundingClientRect().right);
  const free = (e) => !e.closest('table, .scroller, .sr, svg') && !e.querySelector('table');
  const wide = document.documentElement.scrollWidth;
  return [...document.querySelectorAll('body *')].filter((e) => right(e) > innerWidth + 1 && free(e))
    .map((e) => `${e.tagName} ${e.className} ${right(e)}`).concat(wide > innerWidth ? [`the page ${wide}`] : []);
}"""


@pytest.mark.parametrize(("width", "height"), [(683, 384), (320, 640)])
async def test_pages_reflow_and_lose_nothing(browser: Browser, width: int, height: int) -> None:
    """683: the common screen at 200 %; 320: the narrowest, or 400 %. What the wide page can do, the narrow one can."""
    async with furnished(browser, "fr", "light") as site:
        page = await site.open("/", width=width, height=height)
        found: dict[str, list[str]] = {}
        for name in ("direct", "agents", "campagnes/1", "campagnes/1/reglages", "listes", "listes/importer", "lignes",
                     "conformite", "rapports", "rapports/appels", "acces", "alertes"):  # fmt: skip
            await page.goto(site.url(f"/#/{name}"))
            await site.arrived(page)
            await expect(page.locator("main .card").first).to_be_visible()
            await expect(page.locator("main").get_by_text("Chargement")).to_have_count(0)
            if bad := await page.evaluate(STICKS_OUT):
                found[name] = bad
            if name in ("direct", "campagnes/1"):
                await shot(page, f"{name.replace('/', '-')}-{width}-fr-light")
        assert found == {}
        for what in ("Suspendre tous les appels", "EN", "Se déconnecter"):
            await expect(page.get_by_role("button", name=what, exact=True)).to_be_visible()
        for what in ("Direct", "Conformité", "Accès"):
            await expect(page.get_by_role("navigation").get_by_role("link", name=what)).to_be_visible()
        assert not site.troubles, site.troubles


async def on_paper(page: Page) -> list[str]:
    await expect(page.locator(".chain")).to_contain_text("PBX main")  # the stream has told sites, rules and names
    return pages(await page.pdf(prefer_css_page_size=True))


async def a_whole_day(site: Site) -> None:
    """A call an hour of 14 January 2025, Paris time."""
    world = site.world
    lease = await lease_of(world)
    assert isinstance(world.clock, WallClock)
    midnight = datetime(2025, 1, 13, 23, tzinfo=UTC)
    try:
        for hour in range(24):
            world.clock.fixed = midnight + timedelta(hours=hour, minutes=5)
            await a_call(world, lease, hour + 1, Outcome.CONNECTED)
    finally:
        world.clock.fixed = None


async def test_a_day_by_the_hour_is_one_sheet(browser: Browser) -> None:
    async with open_site(browser) as site:
        await a_whole_day(site)
        page = await site.open("/#/rapports/by_hour?p=custom&du=2025-01-14&au=2025-01-14&c=1")
        await expect(page.locator("main tbody tr")).to_have_count(25)
        await expect(page.get_by_label("Campagne").first).to_have_value("1")  # its name comes by the stream
        [sheet] = await on_paper(page)
        for text in ("Rapports", "Du:14/01/2025", "Au:14/01/2025", "Campagne:AssuranceAuto31", "Site:main",
                     "règles:fr-b2c-2026", "calculéle", "parroot", "by_hour.sql", "1/1", "14/0123:00",
                     "Total24"):  # fmt: skip
            assert text in sheet, text
        for chrome in ("Suspendre", "Imprimer", "Conformité", "FREN"):
            assert chrome not in sheet, chrome
        await expect(page.locator(".sheet-head")).to_have_count(0)  # the screen is as it was
        await page.emulate_media(media="print")
        await page.set_viewport_size({"width": 1123, "height": 794})
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        await expect(page.locator(".sheet-head")).to_be_visible()
        await shot(page, "rapports-paper-fr-light")
        assert not site.troubles, site.troubles


async def test_the_board_is_printed_whole_and_its_heads_on_each_sheet(browser: Browser) -> None:
    """The screen has a window of rows; paper has all, with the filter that chose them."""
    async with open_site(browser, color_scheme="dark") as site:
        people(site, 90)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row").first).to_be_visible()
        await page.get_by_role("button", name="En appel").click()
        sheets = await on_paper(page)
        assert len(sheets) > 1
        assert all("AgentPosteÉtatDepuisCampagne" in sheet for sheet in sheets)
        called = [f"Agent{n}{1000 + n}" for n in range(100, 190) if n % 10 < 6]
        assert [name for name in called if not any(name in sheet for sheet in sheets)] == []
        assert "Enappel54" in sheets[0] and f"{len(sheets)}/{len(sheets)}" in sheets[-1]
        await page.emulate_media(media="print", color_scheme="dark")
        light = "() => ['body', '.s-on_call'].map((e) => getComputedStyle(document.querySelector(e)))"
        assert await page.evaluate(f"({light})().map((x, i) => (i ? x.color : x.backgroundColor))") == [
            "rgb(255, 255, 255)",
            "rgb(8, 61, 119)",
        ]
        assert not site.troubles, site.troubles


@pytest.mark.parametrize(
    ("name", "query"), [("rapports/appels", "call_sums"), ("listes/rouge", ""), ("direct", "abandonment.sql")]
)
async def test_every_page_has_its_head_on_paper(browser: Browser, name: str, query: str) -> None:
    async with open_site(browser, locale="en-GB") as site:
        page = await site.open(f"/#/{name}")
        await site.arrived(page)
        await expect(page.locator("main .card").first).to_be_visible()
        await expect(page.locator("main").get_by_text("Loading")).to_have_count(0)
        first, *_ = await on_paper(page)
        for text in ("Site:main", "rules:fr-b2c-2026", "computedon", "byroot", query):
            assert text in first, text
        assert "Suspendall" not in first
