"""What a supervisor, manager or administrator does on the pages, over the whole daemon and a fake PBX: the engine, the
store and the PBX are the witnesses. Waits are for conditions; nothing here depends on how fast the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.records import Campaign
from daemon.engine import commands as c
from tests.e2e.running import Running, running
from tests.e2e.test_running import settled

LATE_MS = 60_000


async def until(site: Running, condition: Callable[[], Any]) -> None:
    """The condition becomes true with some change of the live state; a minute of a loaded machine at most."""
    hub, done = site.app.hub, asyncio.Event()

    def look(_: object = None) -> None:
        if condition():
            done.set()

    remove = hub.listen(look)
    look()
    try:
        async with asyncio.timeout(60):
            await done.wait()
    finally:
        remove()


def live(site: Running) -> Any:
    return site.app.hub.runners["demo"].core.live


async def up(site: Running) -> None:
    await until(site, lambda: "demo" in site.app.hub.runners and live(site).link.synced)


async def signed_in(site: Running) -> None:
    """The agents, ready, by the engine's own door."""
    await up(site)
    for agent in site.agents:
        await site.app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(site.campaign.id,), ready=True, by="test"))
    await until(site, lambda: all(desk.state == "ready" for desk in live(site).desks.values()))


async def test_a_campaign_is_suspended_started_and_stopped(browser: Browser) -> None:
    async with running(agents=2) as site:
        page = await site.open(browser)
        row, why = page.locator("tr.campaign").first, page.locator("tr.why").first
        await expect(row).to_contain_text("Assurance Auto 31")
        await until(site, lambda: live(site).calls)
        await page.get_by_role("button", name="Suspendre Assurance Auto 31").click()
        start = page.get_by_role("button", name="Démarrer Assurance Auto 31")
        await expect(start).to_be_visible(timeout=LATE_MS)
        await expect(why).to_contain_text("Suspendue")
        await settled(site)
        placed = (await site.store.report("by_campaign"))[0]["attempts"]
        assert live(site).campaigns[site.campaign.id].state == "paused"
        await until(site, lambda: all(desk.state != "signed_out" for desk in live(site).desks.values()))
        await start.click()
        await expect(page.get_by_role("button", name="Suspendre Assurance Auto 31")).to_be_visible(timeout=LATE_MS)
        await until(site, lambda: live(site).calls)
        await page.get_by_role("button", name="Arrêter Assurance Auto 31").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("conversations continuent")
        await dialog.get_by_role("button", name="Arrêter").click()
        await expect(why).to_contain_text("Arrêtée", timeout=LATE_MS)
        await settled(site)
        assert (await site.store.report("by_campaign"))[0]["attempts"] > placed
        kept = await site.store.get(Campaign, site.campaign.id)
        assert kept is not None and kept.state == "stopped"


@pytest.mark.feature("CAMP-07", clause="mode, level and speed are changed on the page while the campaign runs")
async def test_mode_and_speed_are_changed_by_slider_number_and_buttons(browser: Browser) -> None:
    async with running(agents=1, at_work=False) as site:
        await up(site)
        page = await site.open(browser, f"/#/campagnes/{site.campaign.id}")
        figure = page.locator(".stepper .figure")
        await expect(figure).to_have_text("6")
        slider = page.get_by_role("slider", name="Vitesse")
        await expect(slider).to_be_enabled()
        await slider.press("ArrowRight")
        await expect(figure).to_have_text("7", timeout=LATE_MS)
        record = live(site).campaigns[site.campaign.id].record
        assert record.speed == 7
        number = page.get_by_role("spinbutton", name="Vitesse, de 0 à 10")
        await number.fill("3")
        await page.keyboard.press("Tab")
        await expect(figure).to_have_text("3", timeout=LATE_MS)
        await expect(slider).to_have_value("3")
        await expect(slider).to_have_attribute("aria-valuetext", "3 sur 10, lente, cible d’abandon 0,6\u202f%")
        await page.get_by_role("button", name="AUTO3").click()
        await expect(page.get_by_role("button", name="AUTO3")).to_have_attribute(
            "aria-pressed", "true", timeout=LATE_MS
        )
        await page.get_by_role("button", name="TURBO").click()
        await expect(slider).to_have_count(0, timeout=LATE_MS)
        await expect(page.get_by_text("Un appel par agent prêt, aucun risque")).to_be_visible()
        record = live(site).campaigns[site.campaign.id].record
        assert (record.mode, record.level, record.speed) == ("progressive", 3, 3)
        await page.get_by_role("tab", name="Journal").click()
        await expect(page.locator("main tbody tr").first).to_contain_text("demo")


async def test_everything_is_suspended_and_conversations_go_on(browser: Browser) -> None:
    async with running(agents=2, talk_s=1e6) as site:
        page = await site.open(browser)
        await until(site, lambda: [x.state for x in live(site).calls.values()].count("talking") == 2)
        talking = {str(id) for id, call in live(site).calls.items() if call.state == "talking"}
        await page.get_by_role("button", name="Suspendre tous les appels").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("button", name="Annuler")).to_be_focused()
        await dialog.get_by_role("button", name="Tout suspendre").click()
        await expect(page.locator("tr.campaign.paused")).to_have_count(1, timeout=LATE_MS)
        await until(site, lambda: {str(id) for id in live(site).calls} == talking)
        assert live(site).campaigns[site.campaign.id].state == "paused"


@pytest.mark.feature("SUPV-02", clause="a supervisor makes an agent pause, ready and signed out from the board")
async def test_an_agents_state_is_forced_from_the_board(browser: Browser) -> None:
    async with running(agents=2, at_work=False) as site:
        await up(site)
        await site.app.hub.submit(c.PauseCampaign(campaign_id=site.campaign.id, by="test"))
        await signed_in(site)
        one, other = site.agents
        page = await site.open(browser, "/#/agents")
        row = page.locator("tr.row", has_text=one.extension)
        await expect(row).to_contain_text("Prêt")
        menu, drawer = row.get_by_role("button", name=f"Actions sur {one.name}"), page.locator(".drawer")
        await menu.click()
        await drawer.get_by_role("button", name="REPAS").click()
        await expect(row).to_contain_text("En pause REPAS", timeout=LATE_MS)
        desk = live(site).desks[one.id]
        assert (desk.state, desk.code) == ("paused", "REPAS")
        await menu.click()
        await drawer.get_by_role("button", name="Mettre prêt").click()
        await expect(row).to_contain_text("Prêt", timeout=LATE_MS)
        assert live(site).desks[one.id].state == "ready"
        await menu.click()
        await drawer.get_by_role("button", name="Déconnecter").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("ne recevra plus d’appel")
        await dialog.get_by_role("button", name="Déconnecter").click()
        await expect(row).to_contain_text("Hors ligne", timeout=LATE_MS)
        assert live(site).desks[other.id].state == "ready"


@pytest.mark.feature("C2C-05", clause="a line is switched off and on again by one button, beside the running daemon")
async def test_a_line_is_switched_off_and_on(browser: Browser) -> None:
    async with running(agents=1, at_work=False) as site:
        await up(site)
        page = await site.open(browser, "/#/lignes")
        first, second = page.get_by_role("row", name="TR-1"), page.get_by_role("row", name="TR-2")
        await second.get_by_role("switch").click()
        await expect(second).to_contain_text("désactivée", timeout=LATE_MS)
        lines = {line.record.name: line for line in live(site).pool.lines.values()}
        assert not lines["TR-2"].record.enabled and lines["TR-1"].record.enabled
        await first.get_by_role("switch").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("la dernière ligne active")
        await dialog.get_by_role("button", name="Annuler").click()
        await second.get_by_role("switch").click()
        await expect(second.get_by_role("switch")).to_have_text("Désactiver", timeout=LATE_MS)
        lines = {line.record.name: line for line in live(site).pool.lines.values()}
        assert lines["TR-1"].record.enabled and lines["TR-2"].record.enabled


async def test_an_imported_file_is_there_to_be_called(browser: Browser) -> None:
    """From the file to the campaign's own count of leads, by the engine."""
    async with running(agents=1, at_work=False) as site:
        await up(site)
        page = await site.open(browser, "/#/listes/importer")
        text = "TEL;NOM;PRENOM\r\n0199900001;DUPONT;Jean\r\n12;MARTIN;Zoé\r\n0199900002;PETIT;Léa\r\n"
        await expect(page.locator("[name=list_id]")).not_to_have_value("")
        file = {"name": "clients.csv", "mimeType": "text/csv", "buffer": text.encode("cp1252")}
        await page.locator("[name=file]").set_input_files([file])
        await expect(page.locator("main")).to_contain_text("2 fiches seraient importées sur 3 lignes", timeout=LATE_MS)
        await page.get_by_role("button", name="Importer 2 fiches").click()
        await expect(page.locator("main")).to_contain_text("2 fiches importées sur 3 lignes", timeout=LATE_MS)
        await page.goto(f"{site.app.http_address}/#/campagnes/{site.campaign.id}")
        await expect(page.locator(".causes")).to_contain_text("sur 5\u202f002", timeout=LATE_MS)
        await page.goto(f"{site.app.http_address}/#/listes/recherche")
        await page.locator("form.search [name=phone]").fill("0199900002")
        await page.get_by_role("button", name="Rechercher").click()
        await expect(page.locator("main tbody tr")).to_contain_text("PETIT")


async def test_a_token_opens_the_page_until_it_is_revoked(browser: Browser) -> None:
    async with running(agents=1, at_work=False) as site:
        page = await site.open(browser, "/#/acces")
        await page.locator("form [name=name]").fill("M. Diallo")
        await page.locator("form [name=role]").select_option("supervisor")
        await page.get_by_role("button", name="Générer", exact=True).click()
        secret = await page.locator("[data-token]").inner_text()
        context = await browser.new_context(locale="fr-FR", timezone_id="Europe/Paris")
        other = await context.new_page()
        site.pages.append(other)
        await context.request.post(f"{site.app.http_address}/api/v1/session", data={"token": secret})
        await other.goto(site.app.http_address)
        await expect(other.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        await expect(other.locator(".user")).to_contain_text("M. Diallo")
        await page.get_by_role("row", name="M. Diallo").get_by_role("button", name="Révoquer").click()
        dialog = page.get_by_role("dialog")
        await dialog.locator("[name=typed]").fill(secret[-4:])
        await dialog.locator("[name=reason]").fill("départ")
        await dialog.get_by_role("button", name="Révoquer").click()
        await expect(other.locator("[name=token]")).to_be_visible(timeout=LATE_MS)
        assert secret not in await page.locator("table").first.inner_text()


async def test_two_supervisors_of_the_running_daemon_never_overwrite_each_other(browser: Browser) -> None:
    async with running(agents=1, at_work=False) as site:
        await up(site)
        path = f"/#/campagnes/{site.campaign.id}/reglages"
        mine, theirs = await site.open(browser, path), await site.open(browser, path)
        for page in (mine, theirs):
            await expect(page.locator("form.form [name=name]")).to_have_value("Assurance Auto 31")
        await theirs.locator("form.form [name=name]").fill("Assurance 31 bis")
        await theirs.get_by_role("button", name="Enregistrer").click()
        await expect(theirs.get_by_text("Enregistré.")).to_be_visible()
        await mine.locator("form.form [name=name]").fill("Auto 31")
        await mine.get_by_role("button", name="Enregistrer").click()
        await expect(mine.locator(".compare")).to_contain_text("Assurance 31 bis")
        await expect(mine.locator("form.form [name=name]")).to_have_value("Auto 31")
        kept = await site.store.get(Campaign, site.campaign.id)
        assert kept is not None and kept.name == "Assurance 31 bis"
        assert kept.line_ids == site.campaign.line_ids and kept.agent_ids == site.campaign.agent_ids
        await expect(theirs.get_by_role("heading", name="Assurance 31 bis")).to_be_visible(timeout=LATE_MS)


async def test_a_new_campaign_is_created_and_started(browser: Browser) -> None:
    """It says by itself why it does not dial yet."""
    async with running(agents=1, at_work=False) as site:
        await up(site)
        page = await site.open(browser, "/#/campagnes/nouvelle")
        await page.locator("form [name=name]").fill("Rappel Devis")
        await page.locator("form [name=list_ids]").select_option(label="Prospects")
        await page.locator("form [name=line_ids]").select_option(label=["TR-1", "TR-2"])
        await page.get_by_role("button", name="Créer").click()
        await expect(page.get_by_role("heading", name="Rappel Devis")).to_be_visible(timeout=LATE_MS)
        await page.get_by_role("button", name="Démarrer Rappel Devis").click()
        await expect(page.locator(".causes .binding")).to_contain_text("aucun agent connecté", timeout=LATE_MS)
        [made] = [row for row in await site.store.find(Campaign) if row.name == "Rappel Devis"]
        assert made.state == "running" and len(made.line_ids) == 2
