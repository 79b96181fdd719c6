"""Integrations in a real browser: the page that adds and tries them, and the snippet that makes numbers clickable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Route, expect

from daemon.crm.shipped import shipped_templates
from tests.crm.fake_crm import FakeCrm
from tests.crm.test_crm_api import png
from tests.e2e.site import open_site

SNIPPET = Path(__file__).resolve().parents[2] / "docs" / "examples" / "click2call-links.js"


@pytest.mark.feature("CRMI-02", clause="the page adds an integration, tries it step by step and switches it on")
async def test_an_integration_is_added_tried_and_enabled(browser: Browser) -> None:
    crm = FakeCrm(users=[{"id": "71", "first": "Ada", "last": "L", "email": "ada@example.com"}])
    crm.add_contact(first="Zoé", phone="+33612345678")
    await crm.start()
    try:
        async with open_site(browser) as site:
            page = await site.open("/#/integrations")
            await page.locator("select[name=template]").select_option("generic-rest")
            await expect(page.get_by_label("Clé d’API")).to_be_visible()
            await page.locator("input[name=name]").fill("Mon CRM")
            await page.locator("input[name=field_crm_url]").fill(crm.url)
            await page.locator("input[name=field_api_key]").fill("k3y-secret")
            await page.get_by_role("button", name="Ajouter", exact=True).click()
            await expect(page.get_by_role("heading", name="Mon CRM")).to_contain_text("désactivée")
            await page.locator("input[name=crm_phone]").fill("+33612345678")
            for step, said in (("Lire les utilisateurs", "count: 1"), ("Chercher un contact", "name: Zoé")):
                row = page.locator("li", has_text=step)
                await row.get_by_role("button", name="Essayer").click()
                await expect(row.get_by_role("status")).to_contain_text(said)
            await page.locator("li", has_text="Chercher un contact").locator("summary").first.click()
            await expect(page.locator("pre.wire").filter(has_text="X-Api-Key").first).to_contain_text("•••")
            assert "k3y-secret" not in await page.content()
            await page.get_by_role("button", name="Activer").click()
            await expect(page.get_by_role("button", name="Désactiver")).to_be_visible()
            assert not site.troubles
    finally:
        await crm.stop()


@pytest.mark.feature("YPT-02", clause="the logo is taken on the page, and shown beside the integration")
async def test_a_template_of_ones_own_has_its_logo(browser: Browser) -> None:
    source = shipped_templates()["generic-rest"].replace(b'Key="generic-rest"', b'Key="own"')
    async with open_site(browser) as site:
        page = await site.open("/#/integrations")
        files = page.locator("input[type=file][accept='.xml']")
        await files.set_input_files({"name": "own.xml", "mimeType": "application/xml", "buffer": source})
        logo = page.locator("input[name=logo]")
        async with page.expect_console_message(lambda message: message.type == "error"):
            await logo.set_input_files({"name": "a.gif", "mimeType": "image/png", "buffer": b"GIF89a"})
        await expect(page.locator(".toast.alert")).to_contain_text("Logo refusé")
        assert len(site.troubles) == 1, "the refusal, as the browser reports it"
        await logo.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": png(150)})
        await page.locator("input[name=name]").fill("Le nôtre")
        await page.get_by_role("button", name="Ajouter", exact=True).click()
        beside = page.locator("li [data-logo=own]")
        await expect(beside).to_be_visible()
        assert await beside.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 150
        assert len(site.troubles) == 1, site.troubles


async def test_an_integration_whose_removal_is_refused_stays_open(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/integrations")
        await page.locator("select[name=template]").select_option("generic-rest")
        await page.locator("input[name=name]").fill("Mon CRM")
        await page.locator("input[name=field_crm_url]").fill("http://127.0.0.1:9")
        await page.locator("input[name=field_api_key]").fill("k3y-secret")
        await page.get_by_role("button", name="Ajouter", exact=True).click()
        opened = page.locator("h1", has_text="Mon CRM")
        await expect(opened).to_be_visible()

        async def away(route: Route) -> None:
            if route.request.method == "DELETE":
                await route.fulfill(status=503, json={"code": "store_unavailable"})
            else:
                await route.continue_()

        await page.route("**/api/v1/crm/integrations/*", away)
        await page.locator("main button.danger").click()
        async with page.expect_response(lambda r: r.request.method == "GET" and r.url.endswith("/crm/templates")):
            await page.locator("dialog [name=ok]").click()  # read anew, whatever became of it
        await expect(page.locator(".toast.alert")).to_contain_text("La base ne répond pas")
        await expect(opened).to_be_visible()
        await page.unroute("**/api/v1/crm/integrations/*")
        await page.locator("main button.danger").click()
        await page.locator("dialog [name=ok]").click()
        await expect(opened).to_have_count(0)


@pytest.mark.feature("CRMI-02", clause="numbers on any page become click-to-call links")
async def test_numbers_on_a_page_become_links_that_call(browser: Browser) -> None:
    asked: list[dict[str, str]] = []

    async def call(request: web.Request) -> web.Response:
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "authorization,content-type"}
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=headers)
        asked.append(await request.json() | {"token": request.headers["Authorization"]})
        return web.json_response({"success": True}, headers=headers)

    async def host(request: web.Request) -> web.Response:
        text = (
            "<!doctype html><meta charset=utf-8><body><p id=a>Appelez le 06 12 34 56 78 ou +44 20 7946 0958.</p>"
            "<p id=b>Facture 20240612345678, 01/02/2024, v1.02.03.04.05</p>"
            "<textarea>0612345678</textarea><div id=c></div>"
            f"<script src=/s.js data-daemon='{request.url.origin()}/' data-extension=1001></script>"
        )
        return web.Response(text=text, content_type="text/html")

    async def snippet(_: web.Request) -> web.Response:
        return web.Response(text=SNIPPET.read_text("utf-8"), content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/", host)
    app.router.add_get("/s.js", snippet)
    app.router.add_route("*", "/api/public/click2call", call)
    async with TestServer(app) as server:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(str(server.make_url("/")))
        links = page.locator("a.cadran-call")
        await expect(links).to_have_count(2)
        assert await links.evaluate_all("all => all.map(a => a.href)") == ["tel:+33612345678", "tel:+442079460958"]
        assert "06 12 34 56 78 ou" in await page.locator("#a").inner_text()
        await page.evaluate("document.getElementById('c').innerHTML = '<i>0033 1 23 45 67 89</i>'")
        await expect(links).to_have_count(3)
        await page.evaluate("localStorage.setItem('cadran.token', 't0k')")
        await links.nth(2).click()
        await expect(links.nth(2)).to_have_attribute("title", "Appel lancé")
        assert json.dumps(asked) == json.dumps(
            [{"number_to_call": "+33123456789", "phone_line_used": "1001", "token": "Bearer t0k"}]
        )
        await context.close()
