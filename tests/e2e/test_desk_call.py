"""An agent's call on the desk, by keyboard alone: notes, outcome, reload, drafts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, Route, expect

from daemon.engine import commands as c
from tests.api.fakes import call_view
from tests.e2e.floor import ATTEMPT, desk_world, shot
from tests.e2e.site import open_site


async def press(page: Page, key: str) -> None:
    """A key, once the button that carries it can be pressed: it does nothing before, as while no beat has come."""
    await expect(page.locator(f"main [aria-keyshortcuts='{key}']")).to_be_enabled()
    await page.keyboard.press(key)


@pytest.mark.feature("STAT-05", clause="disposition from the desk, by keyboard alone")
async def test_an_agent_works_a_call_by_keyboard_and_survives_a_reload(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent = site.world.rows["agent"].id
        page = await site.open("/desk")
        await expect(page.get_by_role("button", name="Se connecter")).to_be_enabled()
        await shot(page, "desk-1-signed-out-fr-light")
        await press(page, "Enter")
        await expect(page.locator(".deskband")).to_contain_text("En pause")
        await press(page, "R")
        await expect(page.locator(".deskband")).to_contain_text("Prêt")
        await shot(page, "desk-3-ready-fr-light")
        now = datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
        await expect(page.locator(".big")).to_have_text("01\u00a099\u00a000\u00a012\u00a034")
        notes = page.locator("[name=notes]")
        await expect(notes).to_be_visible()
        await page.keyboard.press("n")
        await expect(notes).to_be_focused()
        await page.keyboard.type("Rappeler le soir")
        await expect(notes).to_have_value("Rappeler le soir")
        await page.keyboard.press("Escape")
        await expect(notes).not_to_be_focused()
        await press(page, "2")
        await expect(page.locator(".outcomes [aria-pressed=true]")).to_contain_text("Rappel")
        await shot(page, "desk-6-on-call-fr-light")
        await page.reload()
        await expect(notes).to_have_value("Rappeler le soir")
        await expect(page.locator(".outcomes [aria-pressed=true]")).to_contain_text("Rappel")
        door.change("agents", agent, state="wrap_up", wrap_until=datetime.now(UTC) + timedelta(seconds=55))
        await expect(page.locator(".deskband")).to_contain_text("reste 0:")
        await expect(notes).to_have_value("Rappeler le soir")
        await shot(page, "desk-7-wrap-up-fr-light")
        await press(page, "Control+Enter")
        await expect(page.locator(".deskband")).to_contain_text("Prêt")
        done = door.of(c.Dispose)[0]
        assert (done.code, done.notes, done.then) == ("RAPPEL", "Rappeler le soir", "ready") and done.callback_at
        assert not site.troubles


async def test_the_drafts_are_also_kept_by_the_daemon(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        page = await site.open("/desk")
        await page.locator("[name=notes]").fill("déjà client")
        await expect(page.get_by_text("gardées")).to_be_visible()
        await page.evaluate("sessionStorage.clear()")
        await page.reload()
        await expect(page.locator("[name=notes]")).to_have_value("déjà client")


async def test_a_desk_that_cannot_read_keeps_its_call_and_names_nobody_else(browser: Browser) -> None:
    """The database is away as the next call comes: it can be ended, the person before does not stand there, and the
    desk reads again by itself once it can."""
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        page = await site.open("/desk")
        person = page.get_by_role("heading", name="Jean DUPONT")
        await expect(person).to_be_visible()

        async def away(route: Route) -> None:
            await route.fulfill(status=503, json={"code": "store_unavailable"})

        await page.route("**/api/v1/desk", away)
        after = ATTEMPT[:-1] + "2"
        door.show(call_view(after, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, attempt_id=after, since=now)
        await expect(page.get_by_role("alert").filter(has_text="La base ne répond pas")).to_be_visible()
        await expect(page.get_by_role("button", name="X Raccrocher")).to_be_enabled()
        await expect(page.locator("[name=notes]")).to_be_editable()
        await expect(person).to_have_count(0)
        await expect(page.get_by_text("Aucune fiche")).to_have_count(0)
        await page.locator("[name=notes]").fill("rappeler")
        await page.unroute("**/api/v1/desk")
        await expect(person).to_be_visible()
        await expect(page.get_by_role("alert").filter(has_text="La base ne répond pas")).to_have_count(0)
        await expect(page.locator("[name=notes]")).to_have_value("rappeler")
