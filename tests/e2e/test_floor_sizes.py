"""The same pages for a thousand agents, for five and for none; the wall from a phone's width to a wall's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from playwright.async_api import Browser, expect

from tests.api.fakes import call_view, campaign_view
from tests.e2e.floor import people, shot
from tests.e2e.site import open_site
from tests.e2e.test_screenshots import furnished

NODES_MAX = 1500
ROWS_MAX = 60


def figure(text: str) -> int:
    return int(re.sub(r"\D", "", text) or 0)


async def test_a_thousand_agents_and_four_thousand_calls(browser: Browser) -> None:
    """Counts equal the rows, who is over the expected time is on top, and the page stays small."""
    async with open_site(browser) as site:
        people(site, 998)  # two more are the site's own
        now, stages = datetime.now(UTC), ("dialling", "ringing", "answered", "talking")
        site.world.door.show(*(
            call_view(str(UUID(int=n)), number=n, stage=stages[n % 4], since=now, started=now) for n in range(1, 4001)
        ))  # fmt: skip
        page = await site.open("/")
        await expect(page.locator(".kpi > .figure").nth(1)).to_have_text("4\u202f000")
        await expect(page.locator(".count", has_text="sonne").locator("b")).to_have_text("1\u202f000")
        assert await page.evaluate("document.querySelectorAll('*').length") < NODES_MAX
        await page.goto(site.url("/#/agents"))
        tabs = page.locator(".tabs button .figure")
        await expect(tabs.first).to_have_text("1\u202f000")
        counts = [figure(text) for text in await tabs.all_inner_texts()]
        assert sum(counts[1:]) == counts[0] == 1000
        over = sum(1 for a in site.world.door.views["agents"].values() if getattr(a, "over_run", False))
        assert over > 15
        first = page.locator("tr.row .mark")
        await expect(page.locator("tr.row").first).to_contain_text("à surveiller")
        await shot(page, "agents-thousand-fr-light")
        assert await first.count() == min(over, await page.locator("tr.row").count())  # those over the time, and first
        await page.locator(".scroller").evaluate("(e) => { e.scrollTop = e.scrollHeight; }")
        await expect(page.locator("tr.row").last).to_have_attribute("aria-rowindex", "1001")
        assert await page.locator("tr.row").count() <= ROWS_MAX
        assert await page.evaluate("document.querySelectorAll('*').length") < NODES_MAX
        assert not site.troubles, site.troubles


async def test_the_order_stands_still_while_frozen_and_says_how_many_would_move(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site, 40)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row").nth(5)).to_be_visible()
        before = await page.locator("tr.row th").all_inner_texts()
        await page.get_by_label("Figer").check()
        site.world.door.change("agents", 105, state="paused", code="REPAS", over_run=True)
        await expect(page.get_by_role("button", name=re.compile(r"\d+ à réordonner \(o\)"))).to_be_visible()
        assert await page.locator("tr.row th").all_inner_texts() == before
        await page.locator("h1, .brand").first.focus()
        await page.keyboard.press("o")
        await expect(page.locator("tr.row").nth(2)).to_contain_text("Agent 105")  # behind two that are over for longer


async def test_five_agents_are_no_desert_and_none_names_the_next_act(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site, 3)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row")).to_have_count(5)
        await shot(page, "agents-five-fr-light")
        box, last = await page.locator(".scroller").bounding_box(), await page.locator("tr.row").last.bounding_box()
        assert box is not None and last is not None
        assert box["y"] + box["height"] - last["y"] - last["height"] < 2 * last["height"]  # no empty room below
        for id in list(site.world.door.views["agents"]):
            site.world.door.gone("agents", id)
        await expect(page.get_by_text("Aucun agent. Créez-en un")).to_be_visible()
        await expect(page.get_by_text("Ajouter un agent")).to_be_visible()
        await shot(page, "agents-none-fr-light")
        await page.goto(site.url("/#/direct"))
        await expect(page.locator(".kpi > .figure").first).to_have_text("0")
        assert not site.troubles, site.troubles


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (480, 800)])
async def test_six_campaigns_on_the_wall_with_a_lost_pbx(browser: Browser, width: int, height: int) -> None:
    """The fullest screen there is fits as a whole; on a narrow one each panel has its five answers."""
    async with furnished(browser, "fr", "dark") as site:
        group = site.world.rows["group"].id
        site.world.door.show(*(campaign_view(n, group, f"Énergie du Sud-Ouest {n}") for n in (60, 61)))
        wall = await site.open("/wall", width=width, height=height)
        await expect(wall.locator(".panel")).to_have_count(6)
        await shot(wall, f"wall-six-{width}-fr-dark")
        site.world.door.change("links", "main", up=False, since=datetime.now(UTC))
        await expect(wall.locator(".chain .down", has_text="PBX main")).to_have_count(1)
        await expect(wall.locator(".band.watch")).to_be_visible()
        size = await wall.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert size[0] <= width and (size[1] <= height or width < 900), size
        least = "(all) => Math.min(...all.map((e) => parseFloat(getComputedStyle(e).fontSize)))"
        assert await wall.locator(".panel *").evaluate_all(least) >= max(12, 0.015 * min(width, height))
        assert await wall.locator(".hero b").evaluate_all(least) >= 0.08 * min(width, height)
        for text in ("On n’appelle pas", "ABANDON", "en appel", "attend", "VENTES"):
            await expect(wall.locator(".panel").last).to_contain_text(text)
        clock = wall.locator(".clock")
        await expect(clock).not_to_have_text(await clock.inner_text())
        assert not site.troubles, site.troubles
