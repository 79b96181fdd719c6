"""Direct: steering, what is refused, lost links, alerts, what figures mean. Each test ends with no console error, no
policy violation and no request to another host."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from daemon.engine import commands as c
from daemon.errors import CommandError
from tests.e2e.floor import hold_the_clock, people, shot
from tests.e2e.site import open_site


@pytest.mark.feature("CAMP-08", clause="the abandonment rate stands beside the speed")
async def test_a_supervisor_steers_a_live_campaign(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        page = await site.open("/")
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        await expect(row).to_contain_text("AUTOMATIQUE2")
        await expect(row).to_contain_text("1,9")
        await expect(page.locator("tr.why").first).to_contain_text("7 appels lancés")
        await expect(page.get_by_text("Démonstration")).to_be_visible()
        await shot(page, "direct-fr-light")
        await expect(row.get_by_role("button", name="Augmenter la vitesse")).to_be_enabled()
        await hold_the_clock(page)  # what is asked for is given up after ten seconds
        site.world.door.listeners, held = [], site.world.door.listeners  # the engine's fact is late
        await row.get_by_role("button", name="Augmenter la vitesse").click()
        dialog = page.get_by_role("dialog")
        async with page.expect_response("**/tune"):
            await dialog.get_by_role("button", name="Augmenter").click()
        await expect(row.locator(".asked")).to_contain_text("7")
        await expect(row.locator(".stepper .figure")).to_have_text("6")
        site.world.door.listeners = held
        site.world.door.change("campaigns", 1, speed=7)
        await expect(row.locator(".stepper .figure")).to_have_text("7")
        await expect(row.locator(".asked")).to_have_count(0)
        assert site.world.door.of(c.TuneCampaign)[0].from_speed == 6
        pause = page.get_by_role("button", name="Suspendre Assurance Auto 31")
        await pause.click()
        await expect(page.get_by_role("button", name="Démarrer Assurance Auto 31")).to_be_visible()
        await page.locator(".toast").get_by_role("button", name="Annuler").click()
        await expect(pause).to_be_visible()
        assert [type(x).__name__ for x in site.world.door.commands[-2:]] == ["PauseCampaign", "StartCampaign"]
        assert not site.troubles


async def test_suspending_everything_takes_two_clicks_and_says_what_goes_on(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await page.get_by_role("button", name="Suspendre tous les appels").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("38 conversations continuent")
        await expect(dialog.get_by_role("button", name="Annuler")).to_be_focused()
        await dialog.get_by_role("button", name="Tout suspendre").click()
        await expect(page.locator("tr.campaign.paused")).to_have_count(2)
        assert site.world.door.of(c.StopAllCalls) and not site.troubles


async def test_a_refused_command_says_why_and_the_true_value_stays(browser: Browser) -> None:
    async with open_site(browser) as site:
        site.world.door.refuse["StartCampaign"] = CommandError("caller_id_forbidden")
        site.world.door.change("campaigns", 1, state="stopped")
        page = await site.open("/")
        await page.get_by_role("button", name="Démarrer Assurance Auto 31").click()
        await expect(page.locator(".toast.alert")).to_contain_text("La campagne reste arrêtée")
        await expect(page.get_by_role("button", name="Démarrer Assurance Auto 31")).to_be_enabled()


async def test_a_silent_daemon_is_shown_with_its_age_and_commands_wait(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        await expect(page.get_by_role("button", name="Suspendre tous les appels")).to_be_enabled()
        # The page's clock stands still but for what passes here: how long the machine takes for this must not count.
        await page.evaluate("() => { let at = Date.now(); Date.now = () => at; window.pass = (ms) => { at += ms; }; }")
        await site.lose(page)
        await page.evaluate("() => window.pass(6000)")
        await expect(page.locator(".band.watch")).to_contain_text("Données d’il y a")
        await expect(page.get_by_role("button", name="Suspendre tous les appels")).to_be_disabled()
        await page.evaluate("() => window.pass(12000)")
        await expect(page.locator("body.stale")).to_have_count(1)
        await expect(page.locator(".band.watch")).to_contain_text("Les appels continuent au téléphone")
        await shot(page, "direct-offline-fr-light")


async def test_a_lost_pbx_shows_question_marks_not_zeros(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        site.world.door.change("links", "main", up=False, since=datetime.now(UTC))
        await expect(page.locator("tr.why").first).to_contain_text("le PBX main ne répond pas")
        await expect(page.locator(".kpi").nth(1)).to_contain_text("?")
        await expect(page.locator(".chain .down", has_text="PBX main")).to_have_count(1)
        assert not site.troubles


async def test_an_alert_is_named_in_words_and_taken_over(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/direct")
        system = next(iter(site.world.door.views["system"]))
        site.world.door.change("system", system, alerts=("campaign_suspended: campaign 1",))
        await page.get_by_label("Alertes ouvertes : 1").click()
        line = page.locator("main tbody tr").first
        await expect(line).to_contain_text("Campagne suspendue par une anomalie")
        await expect(line).to_contain_text("Assurance Auto 31")
        await line.get_by_role("button", name="Prendre en charge").click()
        await expect(line).to_contain_text("root")
        await shot(page, "alertes-fr-light")
        site.world.door.change("system", system, alerts=())
        await expect(page.get_by_text("Aucune alerte ouverte.")).to_be_visible()
        assert not site.troubles


async def test_figures_are_explained_by_a_key_and_by_hovering(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/direct")
        link = page.locator("table.campaigns").get_by_role("link", name="Assurance Auto 31")
        await link.focus()
        await page.keyboard.press("i")
        drawer = page.locator(".drawer")
        await expect(drawer).to_contain_text("Taux de réponse")
        await expect(drawer).to_contain_text("abandonment.sql")
        await page.keyboard.press("Escape")
        await expect(drawer).to_have_count(0)
        assert "agent_durations.sql" in (await page.locator("[data-explain=occupancy]").get_attribute("title") or "")
        assert not site.troubles
