"""A page that lost a link says which, since when, and what it no longer knows: no zero that should be a « ? »."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Error, Page, Route, expect

from daemon.calls.records import LeadList
from daemon.engine.views import WindowView
from tests.api.fakes import call_view
from tests.e2e.floor import ATTEMPT, people, shot
from tests.e2e.site import open_site
from tests.e2e.test_accessible import serious
from tests.e2e.test_screenshots import furnished

PLACES = """() => [...document.querySelectorAll('main :is(th, td, h2, .count, .card)')].map((e) => {
  const box = e.getBoundingClientRect();
  return [Math.round(box.x), Math.round(box.y)];
})"""


async def test_a_lost_database_is_counted_and_what_would_be_saved_waits(browser: Browser) -> None:
    async with open_site(browser) as site:
        page, now = await site.open("/#/listes"), datetime.now(UTC)
        field, add = page.locator("main form [name=name]"), page.get_by_role("button", name="Ajouter une liste")
        await field.fill("Été 2027")
        door = site.world.door
        door.change("system", "cadran", store_ok=False, store_since=now, journal_pending=1204)
        band = page.locator(".band.watch")
        await expect(band).to_contain_text("Aucun nouvel appel")
        await expect(band).to_contain_text("Faits gardés sur disque : 1\u202f204")
        await expect(page.locator(".chain .down", has_text=re.compile("^Base"))).to_have_count(1)
        await expect(add).to_have_attribute("aria-disabled", "true")
        await field.press("Enter")
        await expect(page.locator(".toast.alert")).to_contain_text("La base ne répond pas")
        await expect(field).to_have_value("Été 2027")
        await shot(page, "listes-base-lost-fr-light")
        await page.goto(site.url("/#/direct"))
        await expect(page.get_by_role("button", name="Suspendre Assurance Auto 31")).to_be_enabled()
        await page.goto(site.url("/#/listes"))
        await field.fill("Été 2027")
        door.change("system", "cadran", journal_pending=12)
        await expect(band).to_contain_text("disque : 12")
        door.change("system", "cadran", store_ok=True, store_since=now, journal_pending=0)
        await expect(band).to_have_count(0)
        await expect(add).to_have_attribute("aria-disabled", "false")
        await field.press("Enter")
        await expect(page.locator("main tbody th", has_text="Été 2027")).to_be_visible()
        assert not site.troubles, site.troubles


WHY = {"fr": "Impossible tant que la base ne répond pas", "en": "Not possible while the database does not answer"}


@pytest.mark.parametrize(("theme", "language"), [("light", "fr"), ("dark", "en")])
async def test_buttons_that_need_the_database_wait_and_say_why(browser: Browser, theme: str, language: str) -> None:
    """Those outside forms too, and links to files; a key of the reader's lands on them, as on any other button."""
    locale = "fr-FR" if language == "fr" else "en-GB"
    async with open_site(browser, color_scheme=theme, locale=locale) as site:
        page, now, door = await site.open("/#/listes"), datetime.now(UTC), site.world.door
        verb = {"fr": "Désactiver", "en": "Switch off"}[language]
        switch = page.locator("main tbody").get_by_role("button", name=verb).first
        await expect(switch).to_be_enabled()
        door.change("system", "cadran", store_ok=False, store_since=now, journal_pending=3)
        await expect(switch).to_have_attribute("aria-disabled", "true")
        await expect(switch).to_have_attribute("title", WHY[language])
        await switch.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".toast.alert").first).to_be_visible()
        assert all(each.active for each in await site.world.store.find(LeadList))
        assert await serious(page) == []
        await page.goto(site.url("/#/rapports/by_hour"))
        for needs in (
            page.get_by_role("link", name="CSV"),
            page.get_by_role("button", name={"fr": "Hier", "en": "Yesterday"}[language]),
        ):
            await expect(needs).to_have_attribute("aria-disabled", "true")
        await page.goto(site.url("/#/campagnes/1"))
        stop = page.get_by_role("button", name={"fr": "Arrêter", "en": "Stop"}[language]).first
        await expect(stop).to_be_enabled()
        await expect(stop).not_to_have_attribute("aria-disabled", "true")
        decisions = page.locator("[data-store]").first
        await expect(decisions).to_have_attribute("title", WHY[language])
        await shot(page, f"campagnes-1-base-lost-{language}-{theme}")
        door.change("system", "cadran", store_ok=True, store_since=now, journal_pending=0)
        await expect(decisions).to_have_attribute("aria-disabled", "false")
        await expect(decisions).not_to_have_attribute("title", WHY[language])
        await decisions.click()
        await expect(page.locator(".drawer")).to_be_visible()
        assert not site.troubles, site.troubles


async def test_a_lost_pbx_leaves_no_state_as_if_it_were_known(browser: Browser) -> None:
    """On the board, a campaign and the wall; the wall names the link as the other pages do."""
    async with open_site(browser) as site:
        people(site, 6)
        door, agent, now = site.world.door, site.world.rows["agent"].id, datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT)
        page, wall = await site.open("/#/agents"), await site.open("/wall", width=1920, height=1080)
        row = page.locator("tr.row", has_text="S. Benali")
        await expect(row).to_contain_text("7 · conversation")
        await expect(wall.locator(".panel").first).to_contain_text("On appelle")
        door.change("links", "main", up=False, since=now)
        await expect(row).to_contain_text("En appel ?")
        await expect(row).to_contain_text("7 · ?")
        await expect(page.get_by_text("PBX main : état inconnu depuis")).to_be_visible()
        await shot(page, "agents-pbx-lost-fr-light")
        await page.goto(site.url("/#/campagnes/1"))
        for stage in ("composé", "sonne", "décroché", "attend un agent", "conversation"):
            await expect(page.locator("main .count", has_text=stage).first).to_have_text(f"{stage} ?")
        await expect(wall.locator(".chain .down", has_text="PBX main")).to_have_count(1)
        await shot(wall, "wall-pbx-lost-fr-dark")
        panel = wall.locator(".panel").first
        await expect(panel).to_contain_text("On n’appelle pas")
        await expect(panel).to_contain_text("le PBX main ne répond pas")
        assert [text.strip() for text in await panel.locator(".row").first.locator("b").all_inner_texts()] == ["?"] * 3
        assert not site.troubles, site.troubles


async def test_a_lost_pbx_says_when_it_is_tried_again(browser: Browser) -> None:
    """The seconds are for the eye: a screen reader is told once, in words that stand still."""
    async with open_site(browser) as site:
        page, door, now = await site.open("/"), site.world.door, datetime.now(UTC)
        band = page.locator(".band.watch")
        seen, heard = band.locator("> span[aria-hidden]"), band.locator(".sr")
        door.change("links", "main", up=False, since=now, next_try_at=now + timedelta(minutes=5))
        await expect(seen).to_contain_text(re.compile(r"Nouvel essai dans 2\d\d\ss\.$"))
        await expect(heard).to_have_text(re.compile(r"Le PBX main ne répond plus depuis \d\d:\d\d:\d\d\. Aucun nouvel"))
        first = await heard.inner_text()
        door.change("links", "main", next_try_at=now - timedelta(seconds=1))
        await expect(seen).to_contain_text("Nouvel essai en cours.")
        assert await heard.inner_text() == first
        door.change("links", "main", next_try_at=None)
        await expect(seen).not_to_contain_text("Nouvel essai")
        await page.get_by_role("button", name="EN", exact=True).click()
        door.change("links", "main", next_try_at=datetime.now(UTC) + timedelta(minutes=5))
        await expect(seen).to_contain_text(re.compile(r"Next try in 2\d\d s\.$"))
        door.change("links", "main", up=True, since=now, next_try_at=None)
        await expect(band).to_have_count(0)
        assert not site.troubles, site.troubles


async def stop_the_clock(page: Page) -> None:
    """The page's clock stands still from now on. It may be stopped at an instant to come only, and a busy machine may
    tell it when that is over: it stands still then too, where it is, and can be moved on."""
    try:
        await page.clock.pause_at(datetime.now(UTC).timestamp() + 1)
    except Error as late:
        if "to the past" not in late.message:
            raise


ENDS_IN_A_GAP = """(plot) => [...plot.querySelectorAll('.gap')].some(
  (gap) => gap.x.baseVal.value + gap.width.baseVal.value > plot.querySelector('.grid-line').x2.baseVal.value - 1)"""


async def test_a_lost_stream_stops_timers_hatches_figures_and_cuts_the_plots(browser: Browser) -> None:
    """At 6 s an age in words, at 20 s nothing on the page passes for live. The page's clock is the test's."""
    async with furnished(browser, "fr", "light") as site:
        page = await site.context.new_page()
        await page.set_viewport_size({"width": 1366, "height": 768})
        await page.clock.install(time=datetime.now(UTC))
        await page.goto(site.url("/"))
        await expect(page.locator("svg.plot polyline")).not_to_have_count(0)
        plot = page.locator("svg.plot").first
        while await plot.evaluate(ENDS_IN_A_GAP):  # a page slow to open took its first sample before any beat
            await page.wait_for_timeout(500)
        await stop_the_clock(page)
        await site.lose(page)
        band = page.locator(".band.watch")
        for _ in range(10):
            await page.clock.run_for(1_000)
            if await band.count():
                break
        await expect(band).to_contain_text(re.compile(r"Données d’il y a \d+\ss"))
        await expect(page.locator("body.stale")).to_have_count(0)
        await shot(page, "direct-6s-fr-light")
        await page.clock.run_for(15_000)
        await expect(page.locator("body.stale")).to_have_count(1)
        await expect(page.locator(".band.watch")).to_contain_text("dernières données à")
        clock = await page.locator(".clock").inner_text()
        await page.clock.run_for(11_000)
        assert await page.locator(".clock").inner_text() == clock
        assert await plot.evaluate(ENDS_IN_A_GAP)
        hatched = "(e) => getComputedStyle(e).backgroundImage.startsWith('repeating-linear-gradient')"
        for figure in (".kpi > .figure", ".kpi .count b", "tr.campaign td.n"):
            assert await page.locator(figure).first.evaluate(hatched), figure
        for name in (
            "Suspendre tous les appels",
            "Arrêter Assurance Auto 31",
            "Augmenter la vitesse de Assurance Auto 31",
        ):
            button = page.get_by_role("button", name=name)
            await expect(button).to_be_disabled()
            await expect(button).to_have_attribute("title", "Impossible tant que Cadran ne répond pas")


UNREAD = {
    "/#/campagnes/1/reglages": ("campaigns/1", "form [name=name]"),
    "/#/alertes": ("alerts", "[data-rules]"),
    "/#/conformite": ("compliance/day", "[data-rule], .card:has([name=jour]) .empty"),
}


@pytest.mark.parametrize("where", list(UNREAD))
async def test_what_cannot_be_read_says_why_and_can_be_asked_for_again(browser: Browser, where: str) -> None:
    """It does not pretend for ever to be reading."""
    asked, shown = UNREAD[where]

    async def away(route: Route) -> None:
        await route.fulfill(status=503, json={"code": "store_unavailable"})

    async with open_site(browser) as site:
        page = await site.open("/#/direct")
        await page.route(f"**/api/v1/{asked}", away)
        await page.goto(site.url(where))
        trouble = page.get_by_role("alert").filter(has_text="La base ne répond pas")
        await expect(trouble).to_be_visible()
        await expect(page.get_by_text("Lecture de l’état")).to_have_count(0)
        await expect(page.locator(shown)).to_have_count(0)
        await page.unroute(f"**/api/v1/{asked}")
        await trouble.get_by_role("button", name="Actualiser").click()
        await expect(page.locator(shown).first).to_be_visible()
        await expect(trouble).to_have_count(0)


async def places(page: Page) -> list[list[int]]:
    return list(await page.evaluate(PLACES))


async def test_figures_change_and_nothing_moves(browser: Browser) -> None:
    async with furnished(browser, "fr", "light") as site:
        page, door = await site.open("/#/direct"), site.world.door
        await expect(page.locator(".suspend")).to_be_enabled()  # the first beat has come: all of it asks now
        await expect(page.locator("svg.plot polyline")).not_to_have_count(0)
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row).to_contain_text("31")
        await site.arrived(page)
        before = await places(page)
        windows = [("hour", 0, 212, 7), ("day", 8, 724, 13), ("30d", 402, 17980, 137)]
        door.change(
            "campaigns", 1, answer_rate=0.05, wait_s=9.0, leads={"due": 99, "recycling": 9366},
            agents={"on_call": 9, "ready": 2},
            windows=tuple(WindowView(name=w, abandoned=a, live=n, room=r, ceiling=0.03) for w, a, n, r in windows),
        )  # fmt: skip
        await expect(row).to_contain_text("5\u202f%")
        assert await places(page) == before
        await page.goto(site.url("/#/agents"))
        await expect(page.locator("tr.row").nth(10)).to_be_visible()
        await site.arrived(page)
        before = await places(page)
        for number in range(100, 140):
            door.change("agents", number, today={"calls": 132, "sales": 0, "ready_s": 900.0, "handling_s": 90.0})
        await expect(page.locator("tr.row", has_text="Agent 128")).to_contain_text("132")
        assert await places(page) == before
        assert not site.troubles, site.troubles
