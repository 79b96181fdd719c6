"""Rows of the settings edited on the pages: pools of lines and numbers, the group's choice of phones, lists, agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from daemon.calls.records import (
    Agent,
    CallerIdNumber,
    Campaign,
    Client,
    Group,
    LeadList,
    Line,
    PauseCode,
    Record,
    Status,
)
from daemon.engine import commands as c
from tests.e2e.floor import shot
from tests.e2e.site import WallClock, open_site


async def save(page: Page, **fields: str) -> None:
    """Type into the drawer's form, and save."""
    form = page.locator("[data-edit]")
    for name, value in fields.items():
        await form.locator(f"[name={name}]").fill(value)
    await form.get_by_role("button", name="Enregistrer").click()


@pytest.mark.feature("C2C-05", clause="the pool's priorities are set on the page, a phone switched by one button")
async def test_lines_and_numbers_are_edited_on_their_page(browser: Browser) -> None:
    async with open_site(browser) as site:
        store, rows = site.world.store, site.world.rows
        page = await site.open("/#/lignes")
        await page.get_by_role("button", name="Modifier TR-1").click()
        await expect(page.locator("[data-edit] [name=capacity]")).to_have_value("30")
        await shot(page, "lignes-edit-fr-light")
        await save(page, capacity="12", priority="9", minutes_per_month="3000")
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        line = await store.get(Line, rows["line"].id)
        assert line is not None and (line.capacity, line.priority, line.minutes_per_month) == (12, 9, 3000)
        await (
            page.get_by_role("button", name="Modifier +33162000000")
            .or_(page.get_by_role("button", name="Modifier 01\u00a062"))
            .click()
        )
        await expect(page.locator("[data-edit] [name=pool]")).to_be_visible()
        await save(page, pool="nord", daily_cap="150", name="Accueil")
        number = page.locator("[data-numbers] tr", has_text="Accueil")
        await expect(number).to_contain_text("150")
        row = await store.get(CallerIdNumber, rows["caller_id"].id)
        assert row is not None and (row.pool, row.daily_cap, row.enabled) == ("nord", 150, True)
        await page.get_by_role("button", name="Modifier Ouest").click()
        await page.locator("[data-edit] [name=c2c_strategy]").select_option("least_used")
        await save(page, c2c_per_hour="250", cors_origins="https://a.example, https://b.example")
        await expect(page.locator("[data-api]")).to_contain_text("Moins utilisée")
        await expect(page.locator("[data-quota]").first).to_contain_text("0 sur 250 cette heure")
        group = await store.get(Group, rows["group"].id)
        assert group is not None and group.cors_origins == ["https://a.example", "https://b.example"]
        phone = page.get_by_role("row", name="P8001")
        await phone.get_by_role("switch").click()
        await expect(phone).to_contain_text("Activer")
        assert not site.troubles, site.troubles


async def test_what_a_form_shows_as_chosen_is_what_the_campaign_has(browser: Browser) -> None:
    """Several choices of one list, and none of another: saving one field sends that one alone."""
    async with open_site(browser) as site:
        store, rows = site.world.store, site.world.rows
        more = await store.create(LeadList(group_id=rows["group"].id, name="Été"))
        lists = [rows["list"].id, more.id]
        phones = [line.id for line in rows["phones"]]
        await store.update(Campaign, 1, {"list_ids": lists, "line_ids": phones, "agent_ids": []}, None)
        page = await site.open("/#/campagnes/1/listes")
        await expect(page.locator("[name=list_ids]:checked")).to_have_count(2)
        await page.get_by_role("tab", name="Numéros").click()
        await expect(page.locator("[name=line_ids]:checked")).to_have_count(3)
        await expect(page.get_by_label("TR-1")).not_to_be_checked()
        await page.get_by_role("tab", name="Réglages").click()
        await expect(page.locator("[name=agent_ids]")).to_have_values([])
        await page.locator("form [name=priority]").fill("7")
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        row = await store.get(Campaign, 1)
        assert row is not None and row.priority == 7
        assert (row.list_ids, row.line_ids, row.agent_ids) == (lists, phones, [])
        assert not site.troubles, site.troubles


async def test_a_line_changed_meanwhile_is_not_overwritten(browser: Browser) -> None:
    async with open_site(browser) as site:
        store, id = site.world.store, site.world.rows["line"].id
        page = await site.open("/#/lignes")
        await page.get_by_role("button", name="Modifier TR-1").click()
        await expect(page.locator("[data-edit] [name=capacity]")).to_have_value("30")
        await store.update(Line, id, {"capacity": 10}, None)
        await save(page, capacity="20")
        await expect(page.locator("[data-edit]")).to_contain_text("entre-temps : 10")
        await expect(page.locator("[data-edit] [name=capacity]")).to_have_value("20")
        line = await store.get(Line, id)
        assert line is not None and line.capacity == 10
        await page.locator("[data-edit]").get_by_role("button", name="Enregistrer").click()
        await expect(page.locator("[data-edit]")).to_have_count(0)
        line = await store.get(Line, id)
        assert line is not None and line.capacity == 20


@pytest.mark.parametrize(
    ("hash_", "name", "row", "theirs", "mine"),
    [
        ("campagnes/1/statuts", "VENTE", Status(group_id=0, code="VENTE", name="Vente"), "Affaire", "Signature"),
        ("campagnes/1/pauses", "REPAS", PauseCode(group_id=0, code="REPAS", name="Repas"), "Midi", "Déjeuner"),
        ("campagnes", "Mutuelle", Client(group_id=0, name="Mutuelle"), "Mutuelle du Sud", "Mutuelle du Nord"),
    ],
)
async def test_a_code_or_client_changed_meanwhile_is_not_overwritten(
    browser: Browser, hash_: str, name: str, row: Record, theirs: str, mine: str
) -> None:
    """Two supervisors with the same row: the second sees what the first wrote, and only then may replace it."""
    kind = type(row)
    async with open_site(browser) as site:
        store = site.world.store
        fields = {f: getattr(row, f) for f in row.__struct_fields__}
        made = await store.create(kind(**{**fields, "group_id": site.world.rows["group"].id}))
        page = await site.open(f"/#/{hash_}")
        await page.get_by_role("button", name=f"Modifier {name}").click()
        typed = page.locator("[data-edit] [name=name]")
        await expect(typed).to_have_value(getattr(row, "name"))  # noqa: B009 (Record itself has none)
        await store.update(kind, made.id, {"name": theirs}, None)
        await save(page, name=mine)
        await expect(page.locator("[data-edit]")).to_contain_text(f"entre-temps : {theirs}")
        await expect(typed).to_have_value(mine)
        kept = await store.get(kind, made.id)
        assert getattr(kept, "name", "") == theirs
        await page.locator("[data-edit]").get_by_role("button", name="Enregistrer").click()
        await expect(page.locator("[data-edit]")).to_have_count(0)
        await expect(page.locator("main")).to_contain_text(mine)
        kept = await store.get(kind, made.id)
        assert getattr(kept, "name", "") == mine


@pytest.mark.feature("PAUS-02", clause="a pause code's expected time is set on the page, in minutes")
@pytest.mark.feature("STAT-02", clause="a status and its flags are edited on the page")
async def test_statuses_and_pause_codes_are_edited_and_deleted(browser: Browser) -> None:
    async with open_site(browser) as site:
        store, group = site.world.store, site.world.rows["group"].id
        status = await store.create(Status(group_id=group, code="DEVIS", name="Devis", sort=3))
        code = await store.create(PauseCode(group_id=group, code="REPAS", name="Repas", expected_s=2700.0))
        page = await site.open("/#/campagnes/1/statuts")
        await page.get_by_role("button", name="Modifier DEVIS").click()
        await page.locator("[data-edit] [name=callback]").check()
        await shot(page, "campagnes-1-statuts-edit-fr-light")
        await save(page, sort="1")
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        kept = await store.get(Status, status.id)
        assert kept is not None and (kept.callback, kept.sort, kept.name) == (True, 1, "Devis")
        await page.goto(site.url("/#/campagnes/1/pauses"))
        await page.get_by_role("button", name="Modifier REPAS").click()
        await expect(page.locator("[data-edit] [name=expected_s]")).to_have_value("45")
        await save(page, expected_s="50")
        await expect(page.locator("[data-pauses]")).to_contain_text("50 min")
        pause = await store.get(PauseCode, code.id)
        assert pause is not None and pause.expected_s == 3000.0
        await page.get_by_role("button", name="Modifier REPAS").click()
        await page.locator("[data-edit]").get_by_role("button", name="Supprimer").click()
        await page.get_by_role("dialog").get_by_role("button", name="Supprimer").click()
        await expect(page.get_by_text("Aucun code de pause")).to_be_visible()
        assert await store.get(PauseCode, code.id) is None
        assert not site.troubles, site.troubles


async def test_what_a_campaign_uses_is_not_deleted_and_says_why(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes")
        await page.get_by_role("button", name="Modifier NEW").click()
        await page.locator("[data-edit]").get_by_role("button", name="Supprimer").click()
        await page.get_by_role("dialog").get_by_role("button", name="Supprimer").click()
        await expect(page.locator(".toast.alert")).to_contain_text("Assurance Auto 31")
        await save(page, name="Neuves", rank="3")
        await expect(page.get_by_role("row", name="Neuves")).to_contain_text("3")
        await page.locator("form [name=name]").first.fill("Vide")
        await page.keyboard.press("Enter")
        await page.get_by_role("row", name="Vide").get_by_role("button", name="Désactiver").click()
        await expect(page.get_by_role("row", name="Vide")).to_contain_text("Activer")
        await page.get_by_role("button", name="Modifier Vide").click()
        await page.locator("[data-edit]").get_by_role("button", name="Supprimer").click()
        await page.get_by_role("dialog").get_by_role("button", name="Supprimer").click()
        await expect(page.get_by_role("row", name="Vide")).to_have_count(0)
        assert sorted(x.name for x in await site.world.store.find(LeadList)) == ["EST", "Neuves"]


async def test_an_agent_is_added_and_edited(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/agents")
        await page.get_by_text("Ajouter un agent").click()
        form = page.locator("details form")
        await form.locator("[name=name]").fill("N. Petit")
        await form.locator("[name=login]").fill("1006")
        await form.get_by_role("button", name="Ajouter").click()
        await expect(page.locator(".toast")).to_contain_text("N. Petit")
        await page.get_by_role("link", name="S. Benali").click()
        await page.locator(".drawer").get_by_role("button", name="Modifier").click()
        await save(page, extension="1044")
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        found = {a.login: a for a in await site.world.store.find(Agent)}
        assert found["1006"].extension == "1006" and found["1001"].extension == "1044"


@pytest.mark.feature(
    "C2C-11", clause="the page shows totals, each phone, and the errors with advice, as the log has them"
)
async def test_click_to_call_figures_are_those_of_the_log(browser: Browser) -> None:
    async with open_site(browser) as site:
        at, clock = datetime.now(UTC).replace(minute=30), site.world.clock
        assert isinstance(clock, WallClock)
        clock.go_on_from(at + timedelta(seconds=1))  # one clock hour for the whole test
        for ok, line, error in [(True, "8001", "")] * 3 + [(False, "", "Aucune ligne disponible")]:
            row = {
                "created_at": at,
                "group_id": site.world.rows["group"].id,
                "success": ok,
                "error": error,
                "status": 200,
            }
            await site.world.store.log_api_call(row | {"phone_line_used": line, "response_time_ms": 20.0})
        page = await site.open("/#/lignes")
        api = page.locator("[data-api]")
        await expect(api).to_contain_text("4 appels demandés, 3 réussis (75,0\u202f%), 20 ms en moyenne")
        await expect(api.get_by_role("row", name="8001")).to_contain_text("100,0")
        await expect(api).to_contain_text("Ajoutez des lignes au pool")
        quota, group = api.locator("[data-quota]").first, site.world.rows["group"]
        await expect(quota).to_contain_text("3 sur 1\u202f000 cette heure, remis à zéro à")
        await expect(quota.get_by_role("meter")).to_have_attribute("aria-valuenow", "0.003")
        await expect(quota.locator(".mark")).to_have_count(0)
        for limit, said in ((4, None), (3, "à traiter maintenant")):
            await site.world.store.update(Group, group.id, {"c2c_per_hour": limit}, None)
            await page.reload()
            await expect(quota).to_contain_text(f"3 sur {limit}")
            await expect(quota.locator(".mark")).to_have_text([said] if said else [])
        await shot(page, "lignes-quota-fr-light")
        assert not site.troubles


async def test_without_a_campaign_direct_is_the_three_first_cards(browser: Browser) -> None:
    """What is there is found and ticked; the last card starts the first campaign."""
    async with open_site(browser) as site:
        for id in list(site.world.door.views["campaigns"]):
            site.world.door.gone("campaigns", id)
        page = await site.open("/")
        await expect(page.get_by_role("heading", name="Trois étapes")).to_be_visible()
        await expect(page.locator(".cards .done")).to_have_count(2)
        await shot(page, "direct-first-run-fr-light")
        card = page.locator(".cards .card").nth(2)
        await card.locator("[name=name]").fill("Première")
        async with page.expect_response("**/start"):
            await card.get_by_role("button", name="Démarrer").click()
        [started] = site.world.door.of(c.StartCampaign)
        made = await site.world.store.get(Campaign, started.campaign_id)
        assert made is not None and (made.name, made.mode) == ("Première", "progressive") and made.list_ids
        assert not site.troubles, site.troubles
