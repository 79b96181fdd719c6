"""A campaign's settings: two people at once, hours and recycling as rows, who changed what."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from daemon.calls.records import Campaign
from tests.e2e.floor import shot
from tests.e2e.site import open_site


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
        for seconds, said in ((90 * 60, "90 min"), (172800, "2 jours"), (90, "90 s")):
            short = [{"on": "busy", "delay_s": seconds, "max_count": 3, "priority": "normal"}]
            url, headers = site.url("/api/v1/campaigns/1"), {**site.world.auth("root"), "If-Match": "*"}
            answer = await site.context.request.patch(url, data={"recycling": short}, headers=headers)
            assert answer.ok, await answer.text()
            await page.reload()
            await expect(page.locator("main .list li")).to_contain_text(f"Occupé {said}")
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
