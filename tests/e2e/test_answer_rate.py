"""An answer rate far below that of the same hour of the last seven days is marked in shape and words (pages.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.causes import Outcome
from tests.api.test_recent import a_call, lease_of
from tests.e2e.floor import shot
from tests.e2e.site import Site, WallClock, open_site
from tests.e2e.test_accessible import serious

SAID = {"fr": "réponse {now} % cette heure, 50 % d’habitude", "en": "answer rate {now}% this hour, usually 50%"}


async def some_calls(site: Site, at: datetime, answered: int, calls: int, first: int) -> None:
    """`calls` calls around `at`, numbered from `first`; the clock goes on from there."""
    clock, lease = site.world.clock, await lease_of(site.world)
    assert isinstance(clock, WallClock)
    clock.fixed = at
    for n in range(calls):
        await a_call(site.world, lease, first + n, Outcome.CONNECTED if n < answered else Outcome.NO_ANSWER)
    clock.go_on_from(at)


@pytest.mark.parametrize(("theme", "language"), [("light", "fr"), ("dark", "en")])
async def test_fewer_answers_than_usual_are_marked(browser: Browser, theme: str, language: str) -> None:
    locale = "fr-FR" if language == "fr" else "en-GB"
    async with open_site(browser, color_scheme=theme, locale=locale) as site:
        now = datetime.now(UTC).replace(minute=30, second=0)
        await some_calls(site, now - timedelta(days=1), 15, 30, 1)
        await some_calls(site, now - timedelta(days=1, hours=2), 0, 30, 100)  # another hour: not this one's mean
        await some_calls(site, now, 10, 30, 200)  # 33 %: a third below 50 %
        page = await site.open("/")
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        rate, item = (
            row.locator("[data-explain='col.answer']"),
            page.locator("li", has_text=SAID[language].split("{")[0]),
        )
        await expect(item).to_contain_text(SAID[language].format(now="33").replace(" %", "\u202f%"))
        await expect(item.locator(".mark.watch")).to_have_count(1)
        await expect(rate.locator(".mark.watch")).to_have_count(1)
        assert await serious(page) == []
        await shot(page, f"direct-answers-{language}-{theme}")
        await some_calls(site, now, 0, 30, 300)  # 10 of 60: two thirds below
        await page.reload()
        await expect(item.locator(".mark.act")).to_have_count(1)
        await expect(item).to_contain_text("17")
        await some_calls(site, now, 30, 30, 400)  # 40 of 90: as usual
        async with page.expect_response(lambda r: "by_campaign" in r.url and f"{now:%Y-%m-%dT%H}%3A00" in r.url):
            await page.reload()
        await expect(page.get_by_text("Assurance Auto 31").first).to_be_visible()
        await expect(item).to_have_count(0)
        await expect(rate).to_contain_text("31")
        await expect(rate.locator(".mark")).to_have_count(0)
        assert not site.troubles, site.troubles
