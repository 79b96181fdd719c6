"""Zadarma's and OVHcloud's parts of the page Intégrations, and what they show on an agent's desk, in Chromium, with
fakes that speak real HTTP. Both languages, no console error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from daemon.calls.zadarma_records import ZadarmaCall, ZadarmaLink, ZadarmaUser
from daemon.crm.http import Outgoing
from daemon.crm.ovh_door import OvhService
from daemon.crm.ovh_feed import OvhFeed
from daemon.crm.ovh_lines import OvhLines
from daemon.crm.vault import Vault
from daemon.crm.zadarma import ZadarmaService
from daemon.crm.zadarma_keys import ZadarmaKeys
from daemon.settings import OutgoingTable, OvhFeedTable, OvhLineTable, OvhTable
from tests.api.fakes import World, call_view
from tests.crm.fake_ovh import LINE, TOKEN, FakeOvh, event
from tests.crm.zadarma_office import KEY, SECRET, FakeZadarma, signed
from tests.e2e.floor import ATTEMPT, desk_world, shot
from tests.e2e.site import Site, open_site
from tests.e2e.test_voice_pages import LANGUAGES, fits

WHEN = "2026-11-20 10:15:00"


@asynccontextmanager
async def zadarma_site(browser: Browser, **site: Any) -> AsyncIterator[tuple[Site, FakeZadarma, str]]:
    """The site, the fake and the fake's address."""
    zadarma = FakeZadarma()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", zadarma.answer)
    http = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",)))

    def outside(world: World) -> dict[str, Any]:
        keys = ZadarmaKeys(world.store, Vault(bytes(32), random.Random(5).randbytes))
        return {"zadarma": ZadarmaService(world.store, http, keys, world.clock)}

    async with TestServer(app) as server:
        try:
            async with open_site(browser, outside=outside, **site) as opened:
                yield opened, zadarma, str(server.make_url("")).rstrip("/")
        finally:
            await http.close()


async def notify(address: str, kind: str, extension: str = "101") -> None:
    """A notification at the address that the page gives, signed as Zadarma does."""
    fields = {"event": kind, "call_start": WHEN, "pbx_call_id": "in_abc", "caller_id": "+33199001234",
              "called_did": "33187654321", "internal": extension}  # fmt: skip
    proof = signed(fields["caller_id"] + fields["called_did"] + WHEN)
    async with (
        aiohttp.ClientSession() as session,
        session.post(address, data=fields, headers={"Signature": proof}) as answer,
    ):
        assert answer.status == 200, await answer.text()


@pytest.mark.feature("ZAD-06", clause="the page: key, secret, address to copy, extensions; taken ones are not offered")
@pytest.mark.feature("ZAD-10", clause="the page's test shows the balance")
@pytest.mark.feature("ZAD-01", clause="the page sends key and secret once and shows neither again")
@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_zadarma_is_linked_on_the_page(browser: Browser, theme: Any, locale: str) -> None:
    async with zadarma_site(browser, locale=locale, color_scheme=theme) as (site, zadarma, api_url):
        french = locale == "fr-FR"
        page = await site.open("/#/integrations")
        card = page.locator("[data-zadarma]")
        await card.locator("[name=key]").fill(KEY)
        await card.locator("[name=secret]").fill(SECRET)
        await card.locator("[name=addresses]").fill("127.0.0.1")
        await card.locator("[name=api_url]").fill(api_url)
        await card.locator("[name=enabled]").check()
        await card.locator("[name=show_name]").check()
        await card.get_by_role("button", name="Enregistrer" if french else "Save").click()
        address = await card.locator("code.token").inner_text()
        assert urlsplit(address).path.startswith("/api/v1/zadarma/notify/")
        row = (await site.world.store.find(ZadarmaLink))[0]
        assert (row.enabled, row.show_name, row.redirect, row.key) == (True, True, False, KEY)
        await expect(card.locator("[name=secret]")).to_have_value("")
        await card.get_by_role("button", name="Tester" if french else "Test").click()
        await expect(card.get_by_role("status")).to_contain_text("10,34 EUR" if french else "10.34 EUR")
        give = card.get_by_role("button", name="Attribuer" if french else "Assign")
        offered = card.locator("select[name=extension] option")
        await expect(offered).to_have_text(["100", "101", "102"])
        await card.locator("select[name=extension]").select_option("101")
        await give.click()
        await expect(card.locator("[data-users] li")).to_contain_text("101 1001 S. Benali")
        await expect(offered).to_have_text(["100", "102"])
        assert [(u.agent_id, u.extension) for u in await site.world.store.find(ZadarmaUser)] == [(1, "101")]
        await notify(address, "NOTIFY_START")
        await card.get_by_role("button", name="Actualiser" if french else "Refresh").click()
        await expect(card.locator("[data-calls] tr")).to_contain_text("entrant" if french else "incoming")
        assert KEY not in (whole := await page.content()) and SECRET not in whole
        await page.reload()
        await expect(card.locator("[data-users] li")).to_have_count(1)
        assert KEY not in (whole := await page.content()) and SECRET not in whole
        await card.locator("[name=redirect]").check()
        await card.get_by_role("button", name="Enregistrer" if french else "Save").click()
        await expect(page.locator(".toast")).to_be_visible()
        kept = (await site.world.store.find(ZadarmaLink))[0]
        assert (kept.redirect, kept.sealed, kept.key) == (True, row.sealed, KEY)
        await card.scroll_into_view_if_needed()
        await shot(page, f"integrations-zadarma-{locale[:2]}-{theme}")
        await fits(page)
        assert zadarma.refused == 0 and not site.troubles, site.troubles


@pytest.mark.feature("ZAD-10", clause="a refused test says so on the page")
async def test_a_wrong_secret_is_told_by_the_test(browser: Browser) -> None:
    async with zadarma_site(browser) as (site, _, api_url):
        page = await site.open("/#/integrations")
        card = page.locator("[data-zadarma]")
        for name, text in (("key", KEY), ("secret", "not this one"), ("api_url", api_url)):
            await card.locator(f"[name={name}]").fill(text)
        await card.get_by_role("button", name="Enregistrer").click()
        await card.get_by_role("button", name="Tester").click()
        await expect(card.get_by_role("status")).to_contain_text("n’a pas accepté")
        await expect(page.locator(".toast.alert").last).to_contain_text("Not authorized")
        assert "not this one" not in await page.content()


@pytest.mark.feature("ZAD-12", clause="on the desk of whose extension rings, and on no other")
async def test_a_zadarma_call_shows_on_the_desk_of_whose_phone_rings(browser: Browser) -> None:
    async with zadarma_site(browser, demo="agent") as (site, _, api_url):
        await desk_world(site)
        store, rows = site.world.store, site.world.rows
        await store.create(
            ZadarmaLink(
                group_id=rows["group"].id, key=KEY, enabled=True, addresses=["127.0.0.1"], api_url=api_url,
                sealed=Vault(bytes(32), random.Random(6).randbytes).seal(
                    {"secret": SECRET}, f"zadarma of group {rows['group'].id}"
                ),
            )
        )  # fmt: skip
        for agent, extension in ((rows["agent"], "101"), (rows["agent2"], "102")):
            await store.create(ZadarmaUser(group_id=agent.group_id, link_id=1, agent_id=agent.id, extension=extension))
        page = await site.open("/desk")
        await expect(page.get_by_role("button", name="Se connecter")).to_be_enabled()
        band = page.locator("[data-phone=zadarma]")
        await notify(site.url("/api/v1/zadarma/notify/1"), "NOTIFY_INTERNAL", "102")
        await notify(site.url("/api/v1/zadarma/notify/1"), "NOTIFY_INTERNAL")
        await expect(band).to_contain_text("appel entrant")
        await expect(band).to_contain_text("Jean DUPONT")
        await shot(page, "desk-zadarma-fr-light")
        await notify(site.url("/api/v1/zadarma/notify/1"), "NOTIFY_END")
        await expect(band).to_contain_text("appel terminé")
        await band.get_by_role("button", name="Fermer").click()
        await expect(band).to_have_count(0)
        assert len(await store.find(ZadarmaCall)) == 1 and not site.troubles, site.troubles


@asynccontextmanager
async def ovh_site(browser: Browser, display: str = "popup", page: str = "", **site: Any) -> AsyncIterator[Any]:
    """The site, the fake of OVHcloud. `page`: what a call opens."""
    ovh = FakeOvh()
    await ovh.server.start_server()
    http = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",), timeout_s=20.0))
    line = OvhLineTable(service=LINE, group="OUEST", agent="1001", token_file="line", hook_url=page, display=display)
    table = OvhTable(events_url=ovh.url, poll_s=20.0, lines=[line],
                     feeds=[OvhFeedTable(group="OUEST", agent="1001", token_file="feed")])  # fmt: skip
    made: list[OvhService] = []

    def outside(world: World) -> dict[str, Any]:
        def secret(key: str, path: str) -> str:
            return TOKEN if path == "line" else "feed-of-1001"

        lines = OvhLines(world.store, http, http, world.clock, random.Random(2), table, secret, sleep=pause)
        made.append(OvhService(lines, OvhFeed(world.store, world.clock, table.feeds, secret, "e1")))
        return {"ovh": made[0]}

    async def pause(seconds: float) -> None:
        await asyncio.Event().wait()

    try:
        async with open_site(browser, outside=outside, **site) as opened:
            work = asyncio.create_task(made[0].run())
            try:
                yield opened, ovh
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await made[0].close()
    finally:
        await http.close()
        await ovh.server.close()


@pytest.mark.feature("OVH-08", clause="live on the supervisor's page, newest first, without a reload")
@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_a_supervisor_follows_the_lines_events(browser: Browser, theme: Any, locale: str) -> None:
    async with ovh_site(browser, demo="supervisor", locale=locale, color_scheme=theme) as (site, ovh):
        page = await site.open("/#/integrations")
        card = page.locator("[data-ovh]")
        await expect(card).to_be_visible()
        await expect(page.locator("[data-zadarma], select[name=template]")).to_have_count(0)
        ovh.happen(event("start_ringing", 1), event("end_ringing", 2, Calling="0033699999999"))
        rows = card.locator("[data-events] tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("06 99 99 99 99".replace(" ", "\u00a0"))
        ovh.happen(event("start_calling", 3, Calling=LINE, Called="0033612345678"))
        await expect(rows).to_have_count(3)
        await expect(rows.first).to_contain_text("appelle" if locale == "fr-FR" else "starts calling")
        await shot(page, f"integrations-ovh-{locale[:2]}-{theme}")
        await fits(page)
        assert TOKEN not in await page.content() and not site.troubles, site.troubles


@pytest.mark.feature("OVH-01", clause="the page shows how a line fares, its refusal too, and no token")
async def test_a_line_is_tried_on_the_page(browser: Browser) -> None:
    async with ovh_site(browser) as (site, ovh):
        ovh.script.append(503)
        page = await site.open("/#/integrations")
        row = page.locator("[data-ovh] [data-lines] tbody tr")
        await expect(row.get_by_role("status")).to_contain_text("en échec status 503")
        await expect(page.locator("[data-ovh] code.token")).to_contain_text("/api/public/ovh/events?token=…")
        ovh.happen(event("registered", 1))
        await row.get_by_role("button", name="Tester").click()
        await expect(row.get_by_role("status")).to_contain_text("reliée")
        whole = await page.content()
        assert TOKEN not in whole and "feed-of-1001" not in whole and not site.troubles, site.troubles


@pytest.mark.feature("OVH-06", clause="on the desk: a window opens by a click and is steered; an overlay asks first")
@pytest.mark.parametrize("display", ["popup", "modal"])
async def test_a_call_on_the_line_opens_its_page_on_the_desk(browser: Browser, display: str) -> None:
    async def record(request: web.Request) -> web.Response:
        return web.Response(text="<title>CRM</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/fiche", record)
    async with TestServer(app, host="localhost") as crm:
        hook = f"{crm.make_url('/fiche')}?n=*CALLING*"
        async with ovh_site(browser, display, hook, demo="agent") as (site, ovh):
            await desk_world(site)
            page = await site.open("/desk")
            await expect(page.get_by_role("button", name="Se connecter")).to_be_enabled()
            ovh.happen(event("start_ringing", 1))
            await expect(page.locator("[data-phone=ovh]")).to_contain_text("Appel de 06")
            where = page.get_by_role("dialog") if display == "modal" else page.locator("[data-phone=ovh]")
            async with page.context.expect_page() as opened:
                await where.get_by_role("button", name="Ouvrir la fiche").click()
            window = await opened.value
            await window.wait_for_url("**/fiche?n=0033612345678")
            async with window.expect_navigation(url="**/fiche?n=0033698765432"):
                ovh.happen(event("start_ringing", 2, Calling="0033698765432"))
            assert len(page.context.pages) == 2 and not site.troubles, site.troubles


async def test_what_is_typed_into_an_overlay_does_nothing_behind_it(browser: Browser) -> None:
    """It may come while the agent writes notes: what they go on typing must not act on the call."""
    async with ovh_site(browser, "modal", "http://localhost/fiche?n=*CALLING*", demo="agent") as (site, ovh):
        door, agent, now = await desk_world(site), site.world.rows["agent"].id, datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        page = await site.open("/desk")
        outcomes, chosen = page.locator(".outcomes button"), page.locator(".outcomes [aria-pressed=true]")
        await expect(outcomes.nth(1)).to_be_enabled()
        ovh.happen(event("start_ringing", 1))
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("2")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(chosen).to_have_count(0)
        await page.keyboard.press("2")
        await expect(chosen).to_contain_text("Rappel")
