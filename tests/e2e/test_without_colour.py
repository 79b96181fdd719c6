"""Without colour each state and threshold still has a sign of its own and a word; a calm floor has no alarm."""

from __future__ import annotations

from itertools import combinations

from playwright.async_api import Browser, Page, expect

from daemon.agents.states import AgentState
from daemon.engine.views import WindowView
from tests.e2e.floor import people, shot
from tests.e2e.site import open_site
from tests.e2e.test_screenshots import furnished

STATES = [state.value for state in AgentState]
SIGNS = """(all) => all.map((e) => [e.querySelector('use')?.getAttribute('href') || '', e.textContent.trim()])"""


async def signs(page: Page, selector: str) -> list[tuple[str, str]]:
    return [(sign, text) for sign, text in await page.locator(selector).evaluate_all(SIGNS)]


async def test_states_and_thresholds_are_named_in_grey(browser: Browser) -> None:
    """As by an eye without colours: what is left is the sign and the word, and no two states share both."""
    async with furnished(browser, "fr", "light") as site:
        for number, state in enumerate(STATES, 100):
            site.world.door.change("agents", number, state=state)
        page = await site.open("/#/agents", height=1600)
        debugger = await page.context.new_cdp_session(page)
        await debugger.send("Emulation.setEmulatedVisionDeficiency", {"type": "achromatopsia"})
        found = {}
        for state in STATES:
            await expect(page.locator(f"tr.row .chip.s-{state}").first).to_be_visible()
            [found[state], *_] = await signs(page, f"tr.row .chip.s-{state}")
        for (one, a), (other, b) in combinations(found.items(), 2):
            assert a[0] and a[1] and a[1] != b[1], (one, other)
        await shot(page, "agents-grey-fr-light")
        alike = {(one, other) for (one, a), (other, b) in combinations(found.items(), 2) if a[0] == b[0]}
        assert alike <= {("reserved", "ringing"), ("paused", "on_hold"), ("on_hold", "paused")}
        await page.goto(site.url("/#/direct"))
        await expect(page.locator("tr.campaign .mark").first).to_be_visible()
        marks = await signs(page, ".mark")
        await page.set_viewport_size({"width": 1920, "height": 1080})
        await debugger.send("Emulation.setEmulatedVisionDeficiency", {"type": "deuteranopia"})
        await shot(page, "direct-1920-deuteranopia-fr-light")
        await debugger.send("Emulation.setEmulatedVisionDeficiency", {"type": "none"})
        await shot(page, "direct-1920-fr-light")
        assert marks and all(sign and text for sign, text in marks)


async def test_states_have_a_border_where_colours_are_the_systems(browser: Browser) -> None:
    async with open_site(browser, forced_colors="active") as site:
        people(site)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row").first).to_be_visible()
        for selector in ("tr.row .chip", "tr.row .mark", ".rail a[aria-current]", ".langs [aria-pressed=true]"):
            border = await page.locator(selector).first.evaluate("(e) => getComputedStyle(e).borderTopWidth")
            assert border in ("1px", "2px"), selector
        await shot(page, "agents-forced-colours-fr-light")


async def test_a_calm_floor_shows_no_watch_or_alert_colour(browser: Browser) -> None:
    async with open_site(browser, demo="supervisor") as site:
        door = site.world.door
        for id in ("1", "2"):
            if id in door.views["campaigns"]:
                quiet = tuple(WindowView(name=n, abandoned=1, live=900, room=26, ceiling=0.03) for n in ("hour", "30d"))
                door.change("campaigns", id, windows=quiet)
        for id in list(door.views["lines"]):
            door.change("lines", id, in_use=6)
        page = await site.open("/")
        await expect(page.locator("tr.campaign")).to_have_count(1)
        await expect(page.locator(".suspend")).to_be_enabled()  # the first beat has come: all of it asks now
        await site.arrived(page)
        await expect(page.locator(".mark, .down, .band.watch, .band.alert, .watch, .act")).to_have_count(0)
        await page.goto(site.url("/#/agents"))
        await expect(page.locator("tr.row").first).to_be_visible()
        await expect(page.locator("main .mark, .down, .band.watch, .band.alert")).to_have_count(0)
