"""Lists: importing a file with its check, progress by the stream, the red list."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from daemon.engine import commands as c
from tests.e2e.floor import shot
from tests.e2e.site import open_site


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
        async with page.expect_response(lambda r: r.request.method == "GET" and "/api/v1/imports/" in r.url):
            await page.locator("[name=file]").set_input_files([file])  # its own page opens, and asks once
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
