"""The pages in Chromium, over the API and an engine whose views the test moves. Each test ends with no console error,
no policy violation and no request to another host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from daemon.api.checks import SEED_PAUSES, SEED_STATUSES
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, PauseCode, Status
from daemon.engine import commands as c
from daemon.errors import CommandError
from tests.api.fakes import FakeDoor, agent_view, call_view, campaign_view
from tests.e2e import pictures
from tests.e2e.site import Site, open_site

ATTEMPT = "01999999-0000-7000-8000-000000000001"


async def shot(page: Page, name: str) -> None:
    """A picture for docs/screenshots, on demand: it is the same page that the test has just checked."""
    if os.environ.get("CADRAN_SCREENSHOTS"):
        await pictures.write(page, name)


def people(site: Site, count: int = 40) -> None:
    """A floor of agents in all states."""
    now, group = datetime.now(UTC), site.world.rows["group"].id
    states = ["on_call"] * 6 + ["ready", "wrap_up", "paused", "reserved"]
    views = []
    for number in range(100, 100 + count):
        state = states[number % len(states)]
        views.append(
            agent_view(
                number, group, f"Agent {number}", str(1000 + number), state=state, over_run=number % 20 == 8,
                code="REPAS" if state == "paused" else "", since=now - timedelta(seconds=number * 3), campaign_ids=(1,),
                today={"calls": 31, "sales": 4, "talk_s": 5400.0, "ready_s": 600.0, "handling_s": 3200.0},
            )
        )  # fmt: skip
    site.world.door.show(*views)


@asynccontextmanager
async def open_site_of(site: Site, browser: Browser, who: str) -> AsyncIterator[Page]:
    """Another browser on the same site: the page *Accès* of somebody who signed in."""
    context = await browser.new_context(locale="fr-FR", timezone_id="Europe/Paris")
    page = await context.new_page()
    await page.goto(site.url("/#/acces"))
    await page.locator("[name=token]").fill(site.world.tokens[who])
    await page.get_by_role("button", name="Se connecter").click()
    await page.locator("[name=code]").wait_for()
    try:
        yield page
    finally:
        await context.close()


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
        site.world.door.listeners, held = [], site.world.door.listeners  # the engine's fact is late
        await row.get_by_role("button", name="Augmenter la vitesse").click()
        dialog = page.get_by_role("dialog")
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
        await site.server.close()
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
        await expect(page.locator(".chain .down")).to_contain_text("PBX main")
        assert not site.troubles


@pytest.mark.feature("SUPV-02", clause="agent state board")
async def test_the_agents_board_filters_and_forces_a_pause(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        page = await site.open("/#/agents")
        await expect(page.locator("tr.row").first).to_contain_text("Agent 128")
        await shot(page, "agents-fr-light")
        await page.locator(".tabs").get_by_role("button", name="En pause").click()
        await expect(page.locator("tr.row")).to_have_count(4)
        await page.get_by_role("button", name="Tous", exact=False).and_(page.locator(".tabs button")).click()
        await page.locator("[data-search]").fill("benali")
        await page.get_by_role("link", name="S. Benali").click()
        await page.locator(".drawer").get_by_role("button", name="Pause").first.click()
        await expect(page.locator("tr.row").first).to_contain_text("En pause")
        assert site.world.door.of(c.SetPaused)[0].agent_id == site.world.rows["agent"].id
        assert not site.troubles


async def test_a_thousand_agents_keep_the_page_small(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site, 1000)
        page = await site.open("/#/agents")
        await expect(
            page.get_by_role("button", name="Tous", exact=False).and_(page.locator(".tabs button"))
        ).to_contain_text("1\u202f002")
        assert await page.locator("tr.row").count() <= 60
        assert await page.evaluate("document.querySelectorAll('*').length") < 1500
        assert not site.troubles


async def test_two_supervisors_on_one_campaign_never_overwrite_each_other(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/campagnes/1/reglages")
        name = page.locator("form.form [name=name]")
        await expect(name).to_have_value("Assurance Auto 31")
        await site.world.store.update(Campaign, 1, {"name": "Assurance 31 bis"}, None)
        await name.fill("Auto 31")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.locator(".compare")).to_contain_text("Assurance 31 bis")
        await expect(name).to_have_value("Auto 31")
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.name == "Assurance 31 bis"
        await page.locator(".compare input[value=mine]").check()
        await page.get_by_role("button", name="Appliquer mes choix").click()
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.name == "Auto 31"


async def test_fields_that_do_not_overlap_are_merged(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/campagnes/1/reglages")
        await expect(page.locator("[name=priority]")).to_have_value("5")
        await site.world.store.update(Campaign, 1, {"name": "Assurance 31 bis"}, None)
        await page.locator("[name=priority]").fill("7")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.get_by_text("tout est gardé")).to_be_visible()
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and (row.name, row.priority) == ("Assurance 31 bis", 7)


async def test_sign_in_language_theme_and_an_expired_token(browser: Browser) -> None:
    async with open_site(browser, demo="", color_scheme="dark") as site:
        page = await site.open("/")
        await page.locator("[name=token]").fill("cadran_OUEST_wrong")
        await page.get_by_role("button", name="Se connecter").click()
        await expect(page.get_by_role("alert").filter(has_text="Jeton inconnu")).to_be_visible()
        await page.locator("[name=token]").fill(site.world.tokens["administrator"])
        await page.get_by_role("button", name="Se connecter").click()
        await expect(page.locator("tr.campaign")).to_have_count(1)
        await page.get_by_role("button", name="EN", exact=True).click()
        await expect(page.get_by_role("button", name="Suspend all calls")).to_be_visible()
        await expect(page.locator("tr.why").first).to_contain_text("placing 7")
        await shot(page, "direct-en-dark")
        token = site.world.rows["token_administrator"]
        headers = site.world.auth("root")
        await site.context.request.delete(site.url(f"/api/v1/tokens/{token.id}"), headers=headers)
        await expect(page.locator("[name=token]")).to_be_visible()
        await expect(page.get_by_text("Your access has expired")).to_be_visible()


async def test_the_next_person_in_a_browser_never_sees_the_last_ones_state(browser: Browser) -> None:
    """All tabs share one stream: it must not outlive a change of person."""
    async with open_site(browser, demo="") as site:
        first = await site.open("/")
        await first.locator("[name=token]").fill(site.world.tokens["administrator"])
        await first.keyboard.press("Enter")
        await expect(first.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        second = await site.open("/")
        await expect(second.locator("tr.campaign")).to_contain_text("Assurance Auto 31")
        await second.get_by_role("button", name="Se déconnecter").click()
        await second.locator("[name=token]").fill(site.world.tokens["other_admin"])
        await second.keyboard.press("Enter")
        await expect(second.locator("tr.campaign")).to_contain_text("Autre")
        site.world.door.change("campaigns", 1, speed=2)
        site.world.door.change("campaigns", 2, speed=3)
        await expect(second.locator("tr.campaign .stepper .figure")).to_have_text("3")
        await expect(second.get_by_text("Assurance Auto 31")).to_have_count(0)


@pytest.mark.feature("LEGL-04", clause="campaign hours are set on the page")
@pytest.mark.feature("RECY-02", clause="delays are chosen on the page")
async def test_hours_and_recycling_are_edited_as_rows(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/campagnes/1/horaires")
        await page.get_by_role("button", name="Ajouter").click()
        await expect(page.locator("main .list li")).to_contain_text("10:00 – 13:00")
        await page.goto(site.url("/#/campagnes/1/recyclage"))
        await page.locator("[name=on]").select_option("busy")
        await page.locator("[name=delay_s]").select_option("21600")
        await page.get_by_role("button", name="Ajouter").click()
        await expect(page.locator("main .list li")).to_contain_text("6 h")
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and [w.days for w in row.hours] == [[1, 2, 3, 4, 5]]
        assert [(r.on, r.delay_s, r.max_count) for r in row.recycling] == [("busy", 21600.0, 3)]
        assert not site.troubles


async def test_the_journal_of_a_campaign_names_who_and_what(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/campagnes/1/reglages")
        await page.locator("form [name=ring_timeout_s]").fill("21")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.locator(".toast")).to_be_visible()
        await page.get_by_role("tab", name="Journal").click()
        line = page.locator("main tbody tr").first
        await expect(line).to_contain_text("root")
        await expect(line).to_contain_text("→ 21")
        await shot(page, "campagnes-1-journal-fr-light")
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


async def test_a_token_is_shown_once(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/acces")
        await page.locator("form [name=name]").fill("Site web")
        await page.locator("form [name=kind]").select_option("click2call")
        await page.get_by_role("button", name="Générer", exact=True).click()
        await expect(page.locator("[data-token]")).to_contain_text("clicsipx_OUEST_")
        secret = await page.locator("[data-token]").inner_text()
        await page.reload()
        await expect(page.get_by_text("Site web")).to_be_visible()
        assert secret not in await page.content() and not site.troubles


@pytest.mark.feature("IMPT-04", clause="columns are mapped on the page, guessed by their headings")
@pytest.mark.feature("IMPT-10", clause="dry run before the import, on the page")
async def test_a_file_is_imported_in_four_clicks(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes/importer")
        text = "TEL;NOM;PRENOM;STATUT_2\r\n0199001234;DUPONT;Jean;x\r\n12;MARTIN;Zoé;\r\n0199001235;PETIT;Léa;\r\n"
        await expect(page.locator("[name=list_id]")).to_have_value(str(site.world.rows["list"].id))
        file = {"name": "clients.csv", "mimeType": "text/csv", "buffer": text.encode("cp1252")}
        await page.locator("[name=file]").set_input_files([file])
        await expect(page.locator("main")).to_contain_text("2 fiches seraient importées sur 3 lignes")
        await expect(page.get_by_role("row", name="STATUT_2")).to_contain_text("à choisir")
        await shot(page, "import-check-fr-light")
        await page.get_by_role("button", name="Importer 2 fiches").click()
        await expect(page.locator("main")).to_contain_text("2 fiches importées")
        found = await site.world.store.search_leads(site.world.rows["group"].id, {}, 10, None)
        assert sorted(row["last_name"] for row in found.rows) == ["DUPONT", "PETIT"]
        assert not site.troubles


async def test_an_imports_progress_comes_by_the_stream(browser: Browser) -> None:
    """No request asks how far it is; the page is left and come back to while it runs."""
    async with open_site(browser) as site:
        page = await site.open("/#/listes/importer")
        await expect(page.locator("[name=list_id]")).to_have_value(str(site.world.rows["list"].id))
        file = {"name": "a.csv", "mimeType": "text/csv", "buffer": b"TEL;NOM\r\n0199001234;DUPONT\r\n"}
        await page.locator("[name=file]").set_input_files([file])
        await expect(page.locator("main")).to_contain_text("1 fiche serait importée")
        [id] = site.world.door.views["imports"]
        asked: list[str] = []
        page.on("request", lambda r: asked.append(r.url) if "/imports/" in r.url else None)
        site.world.door.change("imports", id, state="running", part=0.4, rows=400)
        await expect(page.locator("progress")).to_have_js_property("value", 0.4)
        await expect(page.get_by_role("button", name="Importer 1 fiche")).to_be_disabled()
        await page.goto(site.url("/#/listes"))
        site.world.door.change("imports", id, part=0.7, rows=700)
        under_way = page.locator("[data-imports]")
        await expect(under_way.locator("progress")).to_have_js_property("value", 0.7)
        await expect(under_way).to_contain_text("NEW")
        await under_way.get_by_role("link").click()
        await expect(page.locator("progress")).to_have_js_property("value", 0.7)
        # One as it is come back to; before, at most the one that a stream overtaking an answer had set off.
        assert len(asked) <= 2 and not site.troubles, (asked, site.troubles)


@pytest.mark.feature("IMPT-13", clause="red list in one paste and Enter")
async def test_a_number_is_red_listed_with_one_paste(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes/rouge")
        await page.locator("[name=number]").fill("01 99 00 01 23")
        await page.keyboard.press("Enter")
        await expect(page.locator(".toast")).to_contain_text("liste rouge")
        assert site.world.door.of(c.LeadsChanged)[0].e164s == ("+33199000123",)


async def desk_world(site: Site) -> FakeDoor:
    world, group = site.world, site.world.rows["group"].id
    for seed in (*SEED_STATUSES, *SEED_PAUSES):
        kind = Status if isinstance(seed, Status) else PauseCode
        await world.store.create(kind(**{**{f: getattr(seed, f) for f in seed.__struct_fields__}, "group_id": group}))
    draft = LeadDraft(e164="+33199001234", first_name="Jean", last_name="DUPONT", city="Toulouse")
    (lead_id,) = await world.store.add_leads(world.rows["list"].id, [draft])
    world.rows["lead_id"] = lead_id
    world.door.change("agents", world.rows["agent"].id, state="signed_out", since=datetime.now(UTC))
    return world.door


@pytest.mark.feature("STAT-05", clause="disposition from the desk, by keyboard alone")
async def test_an_agent_works_a_call_by_keyboard_and_survives_a_reload(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent = site.world.rows["agent"].id
        page = await site.open("/desk")
        await expect(page.get_by_role("button", name="Se connecter")).to_be_enabled()
        await shot(page, "desk-1-signed-out-fr-light")
        await page.keyboard.press("Enter")
        await expect(page.locator(".deskband")).to_contain_text("En pause")
        await page.keyboard.press("r")
        await expect(page.locator(".deskband")).to_contain_text("Prêt")
        await shot(page, "desk-3-ready-fr-light")
        now = datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
        await expect(page.locator(".big")).to_have_text("01\u00a099\u00a000\u00a012\u00a034")
        await page.keyboard.press("n")
        await page.keyboard.type("Rappeler le soir")
        await page.keyboard.press("Escape")
        await page.keyboard.press("2")
        await shot(page, "desk-6-on-call-fr-light")
        await page.reload()
        await expect(page.locator("[name=notes]")).to_have_value("Rappeler le soir")
        await expect(page.locator(".outcomes [aria-pressed=true]")).to_contain_text("Rappel")
        door.change("agents", agent, state="wrap_up", wrap_until=datetime.now(UTC) + timedelta(seconds=55))
        await expect(page.locator(".deskband")).to_contain_text("reste 0:")
        await expect(page.locator("[name=notes]")).to_have_value("Rappeler le soir")
        await shot(page, "desk-7-wrap-up-fr-light")
        await page.keyboard.press("Control+Enter")
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


async def test_the_wall_shows_no_personal_data(browser: Browser) -> None:
    async with open_site(browser) as site:
        people(site)
        site.world.door.show(campaign_view(50, site.world.rows["group"].id, "Fidélité Presse", windows=()))
        page = await site.open("/wall", width=1920, height=1080)
        await expect(page.locator(".panel")).to_have_count(3)
        text = await page.locator("main").inner_text()
        assert "2,5" in text and "Agent 1" not in text and "Benali" not in text
        await shot(page, "wall-fr-dark")
        await page.set_viewport_size({"width": 480, "height": 320})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not site.troubles


async def test_a_wall_screen_is_paired_by_six_digits_and_sees_no_person(browser: Browser) -> None:
    async with open_site(browser, demo="") as site, open_site_of(site, browser, "supervisor") as desk:
        people(site)
        screen = await site.open("/wall", width=1920, height=1080)
        code = await screen.locator("[data-code]").inner_text()
        await shot(screen, "wall-pairing-fr-dark")
        await desk.locator("[name=code]").fill(code)
        await desk.locator("[name=screen]").fill("Plateau nord")
        await desk.get_by_role("button", name="Associer").click()
        await expect(screen.locator(".panel").first).to_be_visible()
        seen = await screen.evaluate("fetch('/api/v1/snapshot').then((r) => r.text())")
        assert "Agent 1" not in seen and "Benali" not in seen and '"on_call"' in seen
        status = await screen.evaluate(
            "fetch('/api/v1/session').then((r) => r.json())"
            ".then((who) => fetch('/api/v1/campaigns/1/pause', {method: 'POST', headers: {'X-CSRF-Token': who.csrf}}))"
            ".then((r) => r.status)"
        )
        assert status == 403
