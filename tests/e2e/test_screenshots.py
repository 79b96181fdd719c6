"""Every page and state of the desk, in French and English, light and dark: nothing scrolls sideways, no word is
missing. With CADRAN_SCREENSHOTS set each is a picture in docs/screenshots, in four looks; without it two are opened."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList
from tests.api.fakes import agent_view, call_view, campaign_view
from tests.e2e.floor import ATTEMPT, desk_world, people, shot
from tests.e2e.site import Site, open_site
from tests.e2e.test_history import an_hour

LOOKS = [("fr", "light"), ("en", "dark")]
if os.environ.get("CADRAN_SCREENSHOTS"):
    LOOKS += [("fr", "dark"), ("en", "light")]
PAGES = (
    "direct", "agents", "campagnes", "campagnes/1", "campagnes/1/reglages", "campagnes/1/horaires",
    "campagnes/1/recyclage", "campagnes/1/statuts", "campagnes/1/pauses", "campagnes/1/journal", "campagnes/nouvelle",
    "listes", "listes/importer", "listes/recherche", "listes/rouge", "listes/rappels", "lignes", "conformite",
    "rapports", "rapports/appels", "acces", "integrations", "alertes", "debut",
)  # fmt: skip
UNWORDED = re.compile(
    r"undefined|\[object|\bNaN\b|"
    r"\b(?:col|tip|name|tab|do|error|blocked|state|outcome|search|list|report|stats|desk)\.[a-z_]+\b"
)


async def sound(page: Page, name: str) -> None:
    """What no page may show; then its picture."""
    found = UNWORDED.search(await page.locator("body").inner_text())
    assert found is None, f"{name}: {found and found.group()}"
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"{name} scrolls sideways: {wide}"
    await shot(page, name)


@asynccontextmanager
async def furnished(browser: Browser, language: str, theme: str, demo: str = "root") -> AsyncIterator[Site]:
    """A floor at work: forty agents, three campaigns, an hour of calls, statuses, leads."""
    locale = "fr-FR" if language == "fr" else "en-GB"
    async with open_site(browser, demo=demo, locale=locale, color_scheme=theme) as site:
        await desk_world(site)
        world, group = site.world, site.world.rows["group"].id
        await an_hour(site)
        people(site)
        world.door.change("agents", world.rows["agent"].id, state="ready")
        turbo = {"mode": "progressive", "agents": {"on_call": 8, "ready": 1}, "why": "placing 1: 1 ready, 0 in flight",
                 "why_fr": "1 appel lancé : 1 prêt, 0 en cours", "wait_s": 34.0, "leads": {"due": 1905}}  # fmt: skip
        world.door.show(campaign_view(50, group, "Fidélité Presse", **turbo))
        held = {"mode": "preview", "agents": {"on_call": 4}, "leads": {"due": 0, "recycling": 214}, "windows": (),
                "why": "Not dialling: 0 leads due of 214", "why_fr": "Ne compose pas : 0 fiche due sur 214",
                "answer_rate": None, "wait_s": None}  # fmt: skip
        world.door.show(campaign_view(51, group, "Rappel Devis", **held))
        names = [("Jean", "DUPONT"), ("Zoé", "MARTIN"), ("Léa", "PETIT")]
        drafts = [LeadDraft(e164=f"+3319900{n:04d}", first_name=a, last_name=b) for n, (a, b) in enumerate(names, 1240)]
        await world.store.add_leads(world.rows["list"].id, drafts)
        await world.store.create(LeadList(group_id=group, name="Prospects d’été", rank=2))
        yield site


@pytest.mark.parametrize(("language", "theme"), LOOKS)
async def test_every_page_in_its_looks(browser: Browser, language: str, theme: str) -> None:
    async with furnished(browser, language, theme) as site:
        page, look = await site.open("/"), f"{language}-{theme}"
        for name in PAGES:
            await page.goto(site.url(f"/#/{name}"))
            await site.arrived(page)
            await expect(page.locator("main .card").first).to_be_visible()
            await expect(
                page.locator("main").get_by_text("Chargement" if language == "fr" else "Loading")
            ).to_have_count(0)
            if name == "listes/recherche":
                await page.locator("form.search button").click()
                await expect(page.locator("main tbody tr").nth(2)).to_be_visible()
            if name in ("direct", "campagnes/1"):
                await expect(page.locator("svg.plot polyline")).not_to_have_count(0)  # a flat one has no height
            await sound(page, f"{name.replace('/', '-')}-{look}")
        assert not site.troubles, site.troubles


@pytest.mark.parametrize(("language", "theme"), LOOKS)
async def test_dialogs_drawers_and_lost_links_in_their_looks(browser: Browser, language: str, theme: str) -> None:
    french = language == "fr"
    async with furnished(browser, language, theme) as site:
        page, look = await site.open("/"), f"{language}-{theme}"
        dialog, drawer = page.get_by_role("dialog"), page.locator(".drawer")
        await page.locator(".suspend").click()
        await expect(dialog).to_be_visible()
        await sound(page, f"direct-suspend-{look}")
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.goto(site.url("/#/agents"))
        await page.locator("[data-menu]").first.click()
        await expect(drawer).to_be_visible()
        await sound(page, f"agents-drawer-{look}")
        await page.goto(site.url("/#/campagnes/1/reglages"))
        name = page.locator("form.form [name=name]")
        await expect(name).to_have_value("Assurance Auto 31")
        await page.keyboard.press("Escape")
        await site.world.store.update(Campaign, 1, {"name": "Assurance 31 bis"}, None)
        await name.fill("Auto 31")
        await name.press("Enter")
        await expect(page.locator(".compare")).to_be_visible()
        await sound(page, f"campagnes-1-compare-{look}")
        await page.goto(site.url("/#/direct"))
        site.world.door.change("links", "main", up=False, since=datetime.now(UTC))
        await expect(page.locator(".chain .down").first).to_be_visible()
        await sound(page, f"direct-pbx-lost-{look}")
        await site.lose(page)
        await page.evaluate("() => { const now = Date.now; Date.now = () => now() + 20000; }")
        await expect(page.locator("body.stale")).to_have_count(1)
        await expect(page.locator(".suspend")).to_be_disabled()
        await sound(page, f"direct-offline-{look}")
    async with open_site(browser, demo="", locale="fr-FR" if french else "en-GB", color_scheme=theme) as site:
        page = await site.open("/")
        await expect(page.locator("[name=token]")).to_be_visible()
        await sound(page, f"sign-in-{look}")


@pytest.mark.parametrize(("language", "theme"), LOOKS)
async def test_the_seven_states_of_the_desk_in_their_looks(browser: Browser, language: str, theme: str) -> None:
    async with furnished(browser, language, theme, demo="agent") as site:
        door, rows, look = site.world.door, site.world.rows, f"{language}-{theme}"
        agent, now = rows["agent"].id, datetime.now(UTC)
        door.change("agents", agent, state="signed_out", since=now)
        page = await site.open("/desk")
        band = page.locator(".deskband")

        async def state(number: int, name: str, **fields: object) -> None:
            door.change("agents", agent, state=name, since=now, **fields)
            await expect(band).to_have_class(re.compile(rf"\bs-{name}\b"))
            if fields.get("lead_id") or fields.get("last_attempt_id"):
                await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
            await sound(page, f"desk-{number}-{name.replace('_', '-')}-{look}")

        await state(1, "signed_out")
        await state(2, "paused", code="REPAS")
        await state(3, "ready", code="")
        await state(4, "reserved", lead_id=rows["lead_id"])
        door.show(call_view(ATTEMPT, agent_id=agent, stage="ringing", since=now, started=now))
        await state(5, "ringing", lead_id=rows["lead_id"], attempt_id=ATTEMPT)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        await state(6, "on_call", lead_id=rows["lead_id"], attempt_id=ATTEMPT)
        await state(7, "wrap_up", lead_id=rows["lead_id"], wrap_until=now + timedelta(minutes=9))
        assert not site.troubles, site.troubles


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_the_wall_at_its_sizes(browser: Browser, language: str) -> None:
    """Dark always. Legible small, nothing personal, full on a wall screen."""
    async with furnished(browser, language, "dark") as site:
        door, group = site.world.door, site.world.rows["group"].id
        door.show(agent_view(900, group, "Nadia Khelifi", "1900", state="ready"))
        page = await site.open("/wall", width=1920, height=1080)
        await expect(page.locator(".panel")).to_have_count(4)
        assert "Khelifi" not in await page.locator("body").inner_text()
        await sound(page, f"wall-{language}-dark")
        await page.set_viewport_size({"width": 480, "height": 640})
        await sound(page, f"wall-small-{language}-dark")
        assert not site.troubles, site.troubles
