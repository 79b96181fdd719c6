"""Reports on the page: by the hour and by chosen days, and call statistics under filters, against the store's rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page, expect

from daemon.calls.causes import Outcome
from tests.api.test_recent import a_call, lease_of
from tests.e2e.floor import shot
from tests.e2e.site import Site, WallClock, open_site
from tests.e2e.test_accessible import serious


def noon() -> datetime:
    """Of the day that it is where the page's clock is: near midnight that is another day than UTC's."""
    here = datetime.now(ZoneInfo("Europe/Paris"))
    return here.replace(hour=10, minute=5, second=0, microsecond=0).astimezone(UTC)


async def some_days(site: Site) -> None:
    """Calls yesterday at 9 and 10 UTC and five days before, all of the campaign."""
    world = site.world
    clock, lease = world.clock, await lease_of(world)
    assert isinstance(clock, WallClock)
    n = 0
    try:
        for days, hour, outcomes in (
            (1, 0, [Outcome.CONNECTED, Outcome.BUSY, Outcome.ABANDONED]),
            (1, 1, [Outcome.CONNECTED] * 2),
            (6, 0, [Outcome.NO_ANSWER] * 4),
        ):
            for outcome in outcomes:
                n += 1
                clock.fixed = noon() - timedelta(days=days) + timedelta(hours=hour, seconds=n)
                await a_call(world, lease, n, outcome)
    finally:
        clock.fixed = None


def day(ago: int) -> str:
    return (noon() - timedelta(days=ago)).date().isoformat()


async def attempts(page: Page) -> list[str]:
    """The column of calls placed, without the total."""
    rows = page.locator("main tbody tr")
    return [await rows.nth(i).locator("td").nth(1).inner_text() for i in range(await rows.count() - 1)]


@pytest.mark.feature("DASH-02", clause="by the hour and by chosen periods, on the page")
async def test_reports_by_hour_and_for_chosen_days(browser: Browser) -> None:
    async with open_site(browser) as site:
        await some_days(site)
        page = await site.open("/#/rapports/by_hour?p=yesterday")
        await expect(page.locator("main tbody tr")).to_have_count(3)
        assert await attempts(page) == ["3", "2"]
        await page.get_by_label("Du", exact=True).fill(day(6))
        await page.get_by_label("Au", exact=True).fill(day(6))
        await page.get_by_role("button", name="du … au").click()
        await expect(page.locator("main tbody tr")).to_have_count(2)
        assert await attempts(page) == ["4"]
        assert f"du={day(6)}" in page.url
        await page.get_by_label("Par", exact=True).select_option("by_day")
        year, month, number = day(6).split("-")
        await expect(page.locator("main tbody tr td").first).to_have_text(f"{number}/{month}/{year}")
        await page.get_by_role("button", name="7 jours").click()
        await expect(page.locator("main tbody tr")).to_have_count(3)
        rows = await site.world.store.report("by_day", start=noon() - timedelta(days=8))
        assert await attempts(page) == [str(row["attempts"]) for row in rows] == ["4", "5"]
        async with page.expect_download() as download:
            await page.get_by_role("link", name="CSV").click()
        text = (await (await download.value).path()).read_text("utf-8-sig")
        assert len(text.splitlines()) == 3 and day(6) in text
        assert not site.troubles, site.troubles


@pytest.mark.feature("DASH-02", clause="any column as a curve, and against the last period, on the page")
@pytest.mark.parametrize(("theme", "language"), [("light", "fr"), ("dark", "en")])
async def test_a_curve_of_any_column_against_the_last_period(browser: Browser, theme: str, language: str) -> None:
    locale = "fr-FR" if language == "fr" else "en-GB"
    async with open_site(browser, color_scheme=theme, locale=locale) as site:
        await some_days(site)
        page = await site.open(f"/#/rapports/by_hour?p=custom&du={day(1)}&au={day(1)}")
        curve, compared = page.locator("[data-curve]"), page.locator("tfoot")
        columns = curve.locator("rect.column")
        await expect(columns.nth(22)).to_be_attached()  # 23 to 25 hours, as the clocks change
        heights = [float(h) for h in await columns.evaluate_all("(all) => all.map((e) => e.getAttribute('height'))")]
        assert 23 <= len(heights) <= 25
        assert sorted(heights)[-3:] == [0.0, pytest.approx(max(heights) * 2 / 3), max(heights)]
        await expect(compared).to_have_count(0)  # the day before had nothing to compare with
        await expect(curve.locator("polyline.before")).to_have_count(0)
        await expect(curve.locator(".key.before")).to_contain_text("rien" if language == "fr" else "nothing")
        await page.goto(site.url(f"/#/rapports/by_day?p=custom&du={day(3)}&au={day(0)}"))
        await expect(curve.locator(".key.before")).to_contain_text(day(7)[8:])
        await expect(curve.locator("polyline.before")).to_have_count(1)
        before, change = compared.locator("tr").nth(0).locator("td"), compared.locator("tr").nth(1).locator("td")
        told = (await before.nth(0).inner_text(), await change.nth(0).inner_text())
        assert told == ("4", "+1"), "five calls in these four days, four in the four before"
        heads = await page.locator("thead th").all_inner_texts()
        by_column = dict(zip(heads[1:], await change.all_inner_texts(), strict=True))
        assert by_column["Rép." if language == "fr" else "Answer"] == ("+80,0 pt" if language == "fr" else "+80.0 pt")
        await page.get_by_label("Colonne de la courbe" if language == "fr" else "Column of the curve").select_option(
            "answer_rate"
        )
        await expect(page.locator("[data-curve=answer_rate]")).to_be_visible()
        assert "col=answer_rate" in page.url
        await expect(curve.locator("rect.column")).to_have_count(1)  # a rate of no calls is a gap, not a zero
        assert await serious(page) == []
        await shot(page, f"rapports-courbe-{language}-{theme}")
        await page.reload()
        await expect(page.locator("[data-curve=answer_rate]")).to_be_visible()
        await page.set_viewport_size({"width": 320, "height": 700})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert not site.troubles, site.troubles


@pytest.mark.feature("TELC-06", clause="each filter is on the page and taken off by one click")
@pytest.mark.feature("TELC-07", clause="totals, durations, answer rate by hour, day and more, on the page")
async def test_call_statistics_under_filters(browser: Browser) -> None:
    async with open_site(browser) as site:
        await some_days(site)
        page = await site.open("/#/rapports")
        await page.get_by_role("link", name="Statistiques d’appels").click()
        form, total = page.locator("[data-stats]"), page.locator("[data-total] td")
        await form.locator("[name=period]").select_option("7d")
        await form.locator("[name=by]").select_option("day")
        await form.get_by_role("button", name="Afficher").click()
        await expect(total.first).to_have_text("9")
        assert await total.all_inner_texts() == (["9", "4", "4", "1", "0", "0", "44,4\u202f%", "1:03", "0:21", "—"])
        await shot(page, "rapports-appels-fr-light")
        for name, value, count in (("status", "answered", "4"), ("duration_min", "10", "3"), ("direction", "out", "3")):
            control = form.locator(f"[name={name}]")
            await (control.fill(value) if name == "duration_min" else control.select_option(value))
            await form.get_by_role("button", name="Afficher").click()
            await expect(page.locator("[data-chips]")).to_contain_text({"status": "Décroché"}.get(name, ":"))
            await expect(total.first).to_have_text(count)
        await expect(page.locator("[data-chips] button")).to_have_count(4)
        await page.locator("[data-chips]").get_by_role("button", name="État : Décroché").click()
        await expect(page.locator("[data-chips] button")).to_have_count(3)
        await form.locator("[name=numbers]").fill("01 99 00 00 09")
        await form.locator("[name=direction]").select_option("in")
        await form.get_by_role("button", name="Afficher").click()
        await expect(total.first).to_have_text("0")
        await page.get_by_role("button", name="Tout effacer").click()
        await expect(total.first).to_have_text("9")
        await form.locator("[name=period]").select_option("custom")
        await form.locator("[name=from]").fill(day(6))
        await form.locator("[name=to]").fill(day(2))
        await form.get_by_role("button", name="Afficher").click()
        await expect(total.first).to_have_text("4")
        assert not site.troubles, site.troubles
