"""The pages of what a call can do, in Chromium: settings of machines, recording and calls that come in; missed calls;
the desk in a call; supervision; recordings. Both languages, no console error."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from daemon.calls.facts import MissedCall, NumberedFact
from daemon.calls.lead_records import Intent
from daemon.calls.records import Blocked, CallerIdNumber, Campaign
from daemon.engine import commands as c
from daemon.tapes import Tapes
from tests.api.fakes import World, call_view
from tests.e2e.floor import ATTEMPT, desk_world, hold_the_clock, people, shot
from tests.e2e.site import Site, open_site
from tests.voice.test_recordings import Desk as Recorded

SECOND = "01999999-0000-7000-8000-000000000002"
LANGUAGES = [("light", "fr-FR"), ("dark", "en-GB")]
ALL = ("conference", "dtmf", "hold", "mute", "record", "record_on_demand", "spy")


async def missed_call(site: Site, owner: int = 0) -> UUID:
    """A caller whom nobody talked with."""
    rows, at, store = site.world.rows, datetime.now(UTC), site.world.store
    lease = await store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    id, group, campaign = UUID(int=0x0199 << 112 | 1), rows["group"].id, rows["campaign"].id
    intent = Intent(
        attempt_id=id, site="main", kind="inbound", group_id=group, campaign_id=campaign, client_id=0, lead_id=0,
        e164="+33199000077", line_id=0, caller_id="+33162000000", agent_id=0, rule_set="", attempts_max=0,
        attempts_days=0, at=at,
    )  # fmt: skip
    assert await store.commit_intents([intent], lease)
    fact = MissedCall(
        at=at, site="main", attempt_id=id, group_id=group, campaign_id=campaign, owner_agent_id=owner, due_at=at
    )
    await store.apply_facts([NumberedFact(site="main", fence=lease.fence, n=1, fact=fact)])
    return id


async def in_call(site: Site, attempt: str = ATTEMPT, **fields: Any) -> None:
    """The agent of the desk talks with the lead's person."""
    now, agent = datetime.now(UTC), site.world.rows["agent"].id
    site.world.door.show(call_view(attempt, agent_id=agent, stage="talking", since=now, started=now))
    lead = site.world.rows["lead_id"]
    given = {"state": "on_call", "attempt_id": attempt, "lead_id": lead, "since": now, **fields}
    site.world.door.change("agents", agent, **given)


async def told(page: Page, act: Awaitable[None]) -> None:
    """Do that, and wait until the daemon has answered."""
    async with page.expect_response(lambda r: "/agents/" in r.url and r.request.method == "POST"):
        await act


async def fits(page: Page) -> None:
    """Nothing scrolls sideways, no word is cut in a button, no key of the catalogue is shown bare."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = "[...document.querySelectorAll('button')].filter((b) => b.scrollWidth > b.clientWidth + 1)"
    assert await page.evaluate(cut + ".map((b) => b.textContent)") == []
    text = await page.locator("body").inner_text()
    assert "undefined" not in text and "[object" not in text


@pytest.mark.feature("AMD-01", clause="thresholds are set on the campaign's page")
async def test_only_changed_settings_of_a_folded_section_are_sent(browser: Browser) -> None:
    async with open_site(browser) as site:
        sent: list[str] = []
        site.world.door.change("campaigns", 1, mode="inbound")
        page = await site.open("/#/campagnes/1/reglages")
        page.on("request", lambda r: sent.append(r.post_data or "") if r.method == "PATCH" else None)
        await expect(page.locator("[name='inbound.wait_max_s']")).to_have_value("120")
        await page.locator("[name='inbound.wait_max_s']").fill("45")
        await page.locator("[name='inbound.dids']").select_option("+33162000000")
        await page.locator("[name='inbound.overflow']").fill("600@nuit")
        await shot(page, "campagnes-1-reception-fr-light")
        machines = page.locator("[data-section=machines]")
        await expect(machines.locator("[name=amd]")).to_be_hidden()
        await machines.locator("summary").click()
        await machines.locator("[name='amd_settings.greeting']").fill("1500")
        await machines.locator("[name='amd_settings.notsure_hangs_up']").check()
        await page.locator("[data-section=law] summary").click()
        await page.locator("[name=business]").check()
        await page.get_by_role("button", name="Enregistrer").click()
        await expect(page.get_by_text("Enregistré.")).to_be_visible()
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.business and not row.amd
        assert (row.inbound.dids, row.inbound.wait_max_s, row.inbound.overflow) == (["+33162000000"], 45.0, "600@nuit")
        assert (row.amd_settings.greeting, row.amd_settings.notsure_hangs_up) == (1500, True)
        assert len(sent) == 1 and "ring_timeout_s" not in sent[0] and '"name"' not in sent[0]
        await page.goto(site.url("/#/campagnes/1/horaires"))
        await page.locator("[data-open]").get_by_role("button", name="Ajouter").click()
        await expect(page.locator("[data-open] .list li")).to_contain_text("10:00 – 13:00")
        row = await site.world.store.get(Campaign, 1)
        assert row is not None and row.inbound.open[0].days == [1, 2, 3, 4, 5] and row.inbound.wait_max_s == 45.0
        assert not site.troubles, site.troubles


@pytest.mark.feature(
    "ZAD-08", clause="missed calls on the pages, with their owner: ticked off, called back from the desk"
)
async def test_missed_calls_are_tasks_on_the_lists_page_and_the_desk(browser: Browser) -> None:
    async with open_site(browser) as site:
        await desk_world(site)
        await missed_call(site, site.world.rows["agent"].id)
        page = await site.open("/#/listes/rappels")
        row = page.locator("main tbody tr")
        await expect(row).to_contain_text("01\u00a099\u00a000\u00a000\u00a077")
        await expect(row).to_contain_text("S. Benali")
        await shot(page, "listes-rappels-fr-light")
        await row.get_by_role("button", name="C’est fait").click()
        await expect(page.get_by_text("Aucun appel manqué : tous")).to_be_visible()
        await page.get_by_role("button", name="Faits").click()
        await expect(page.locator("main tbody tr")).to_contain_text("root")
        assert not site.troubles, site.troubles
    async with open_site(browser, demo="agent") as site:
        await desk_world(site)
        await missed_call(site)
        site.world.door.change("agents", site.world.rows["agent"].id, state="paused")
        desk = await site.open("/desk")
        await expect(desk.locator("[data-missed] li")).to_be_visible()
        await shot(desk, "desk-2-missed-fr-light")
        async with desk.expect_request("**/dial") as asked:  # whether it may be called now, the law says
            await desk.locator("[data-missed]").get_by_role("button", name="Rappeler").click()
        request = await asked.value
        assert request.post_data_json == {"number": "+33199000077", "campaign_id": 1}


@pytest.mark.feature("ZAD-18", clause="the blacklist is kept on the page")
async def test_numbers_are_refused_and_numbers_say_who_answers(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes/rouge")
        card = page.locator("[data-blacklist]")
        await card.locator("[name=e164]").fill("+33199000099")
        await card.locator("[name=reason]").fill("menaces")
        await card.get_by_role("button", name="Refuser ce numéro").click()
        await expect(card.locator("li")).to_contain_text("menaces")
        assert [row.e164 for row in await site.world.store.find(Blocked)] == ["+33199000099"]
        await shot(page, "listes-rouge-fr-light")
        await card.get_by_role("button", name="Ne plus refuser").click()
        await expect(card.locator("li")).to_have_count(0)
        assert await site.world.store.find(Blocked) == []
        group = site.world.rows["group"].id
        await site.world.store.create(CallerIdNumber(group_id=group, e164="+33199000050", name="Accueil", pool="nord"))
        row = await site.world.store.get(Campaign, 1)
        assert row is not None
        row.inbound.dids = ["+33199000050"]
        await site.world.store.update(Campaign, 1, {"inbound": row.inbound, "caller_id_pool": "nord"}, None)
        await page.goto(site.url("/#/lignes"))
        line = page.locator("[data-numbers] tr", has_text="Accueil")
        await expect(line.locator("td").nth(1)).to_have_text("Assurance Auto 31")
        await expect(line.locator("td").nth(2)).to_have_text("Assurance Auto 31")
        await shot(page, "lignes-fr-light")
        await fits(page)
        assert not site.troubles, site.troubles


@pytest.mark.feature("RECD-02", clause="a card number is muted by a key of the desk")
@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_the_desk_handles_a_call_by_keys(browser: Browser, theme: Any, locale: str) -> None:
    async with open_site(browser, demo="agent", locale=locale, color_scheme=theme) as site:
        door = await desk_world(site)
        agent = site.world.rows["agent"].id
        door.change("links", "main", capabilities=ALL)
        await in_call(site, recording="on")
        page = await site.open("/desk")
        line = page.locator("[data-line]")
        await expect(line.locator("[aria-keyshortcuts=H]")).to_be_enabled()
        await hold_the_clock(page)  # keys do nothing while what is shown is old, as on a busy machine
        for key, command in (("h", c.HoldCall), ("m", c.MuteAgent), ("c", c.MuteRecordedCall)):
            await told(page, page.keyboard.press(key))
            assert len(door.of(command)) == 1
        await page.keyboard.press("k")
        await expect(line.locator(".keypad button")).to_have_count(12)
        await told(page, page.keyboard.press("5"))
        await told(page, page.keyboard.press("#"))
        await expect(line.locator("output")).to_have_text("5#")
        await expect(page.locator(".outcomes [aria-pressed=true]")).to_have_count(0)
        await shot(page, f"desk-6-keypad-{locale[:2]}-{theme}")
        await page.keyboard.press("k")
        await expect(line.locator(".keypad")).to_have_count(0)
        await page.keyboard.press("t")
        await expect(page.locator("[name=whom]")).to_be_focused()
        await page.keyboard.type("1002")
        await told(page, page.keyboard.press("Enter"))
        await page.keyboard.press("Escape")
        await told(page, page.keyboard.press("t"))
        door.change("agents", agent, third="talking", state="on_hold", listeners=("Duval listen", "M. Diallo whisper"))
        await expect(line.get_by_role("button")).not_to_have_count(0)
        await expect(page.locator(".deskband")).to_contain_text("M. Diallo")
        await expect(page.locator(".deskband")).not_to_contain_text("Duval")
        conference = line.get_by_role(
            "button", name="Conférence à trois" if locale == "fr-FR" else "Three-way conference"
        )
        await told(page, conference.click())
        await shot(page, f"desk-6-transfer-{locale[:2]}-{theme}")
        await expect(page.locator("[aria-keyshortcuts=X]")).to_contain_text(
            "Raccrocher" if locale == "fr-FR" else "Hang up"
        )
        await fits(page)
        sent = [x for x in door.commands if isinstance(x, c.CallCommand)]
        kinds = [
            "HoldCall",
            "MuteAgent",
            "MuteRecordedCall",
            "SendDtmf",
            "SendDtmf",
            "Consult",
            "TransferCall",
            "Conference",
        ]
        await expect(page.locator(".toast.alert")).to_have_count(0)
        assert [type(x).__name__ for x in sent] == kinds
        assert [x.digits for x in door.of(c.SendDtmf)] == ["5", "#"] and door.of(c.Consult)[0].extension == "1002"
        assert not site.troubles, site.troubles


@pytest.mark.feature("CRMI-02", clause="the desk steers the CRM's window at the next call")
async def test_a_screen_pop_opens_by_a_click_and_follows_the_next_call(browser: Browser) -> None:
    opened: list[str] = []

    async def crm(request: web.Request) -> web.Response:
        opened.append(request.query_string)
        return web.Response(text="<title>CRM</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/fiche", crm)
    async with TestServer(app, host="localhost") as other, open_site(browser, demo="agent") as site:
        await desk_world(site)
        url = f"{other.make_url('/fiche')}?n=*CALLED*&e=*EVENT*"
        await site.world.store.update(Campaign, 1, {"screen_pop_url": url}, None)
        await in_call(site)
        page = await site.open("/desk")
        button = page.get_by_role("button", name="Ouvrir la fiche")
        await expect(button).to_be_visible()
        async with page.context.expect_page() as popup:
            await button.click()
        window = await popup.value
        await window.wait_for_url("**/fiche?n=%2B33199001234**")
        site.world.door.gone("calls", ATTEMPT)
        await in_call(site, SECOND, state="ringing", last_attempt_id=ATTEMPT)
        await expect(page.locator(".deskband")).to_contain_text("Sonnerie")
        assert len(opened) == 1
        async with window.expect_navigation():
            await in_call(site, SECOND, last_attempt_id=ATTEMPT)
        assert opened == ["n=%2B33199001234&e=on_call"] * 2 and len(page.context.pages) == 2
        assert not site.troubles, site.troubles


@pytest.mark.feature("SUPV-01", clause="listen, whisper, barge and take over from the board")
@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_a_supervisor_joins_a_call_from_the_board(browser: Browser, theme: Any, locale: str) -> None:
    async with open_site(browser, locale=locale, color_scheme=theme) as site:
        await desk_world(site)
        people(site, 6)
        await in_call(site)
        page, door, agent = await site.open("/#/agents"), site.world.door, site.world.rows["agent"].id
        await page.get_by_role("link", name="S. Benali").click()
        drawer = page.locator("[data-supervise]")
        words = ["Écouter", "Souffler", "Intervenir", "Prendre l’appel"] if locale == "fr-FR" else []
        for number in range(4):
            button = drawer.get_by_role("button").nth(number)
            assert not words or await button.inner_text() == words[number]
            if number == 0:  # without a phone of one's own, it says what is missing
                await button.click()
                await expect(page.locator(".toast.alert")).to_be_visible()
                await drawer.locator("[name=supv]").fill("1900")
            await told(page, button.click())
        assert [(x.mode, x.extension) for x in door.of(c.Supervise)] == [
            ("listen", "1900"), ("whisper", "1900"), ("barge", "1900"),
        ]  # fmt: skip
        assert [x.extension for x in door.of(c.TakeOver)] == ["1900"]
        door.change("agents", agent, listeners=("Duval whisper",))
        await expect(page.locator(".drawer")).to_contain_text("Duval")
        await expect(page.locator("tr.row", has_text="S. Benali")).to_contain_text("Duval")
        await shot(page, f"agents-supervise-{locale[:2]}-{theme}")
        await told(page, drawer.get_by_role("button").nth(4).click())
        assert door.of(c.StopSupervising) and not site.troubles, site.troubles
        await fits(page)


async def recorded(world: World, folder: Path) -> Tapes:
    """One call that was recorded, its file taken in."""
    desk = Recorded(world, folder)
    await desk.call()
    desk.record(3.0)
    assert await desk.tapes.take_in() == 1
    return desk.tapes


@pytest.mark.feature("RECD-01", clause="searched, heard and downloaded on the page")
@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_a_recording_is_found_heard_and_downloaded(browser: Browser, theme: Any, locale: str) -> None:
    async with open_site(browser, demo="supervisor", locale=locale, color_scheme=theme, tapes=recorded) as site:
        page = await site.open("/#/rapports")
        await page.locator("main a[href='#/enregistrements']").click()
        await expect(
            page.locator("main form [name=number]")
        ).to_be_visible()  # no longer the reports, which have rows too
        row = page.locator("main tbody tr")
        await expect(row).to_contain_text("Assurance Auto 31")
        await page.locator("main form [name=number]").fill("01 99 00 99 99")
        await page.keyboard.press("Enter")
        await expect(row).to_have_count(0)
        await page.locator("main form [name=number]").fill("01 99 00 12 34")
        await page.keyboard.press("Enter")
        await expect(row).to_contain_text("0:12")
        async with page.expect_download() as download:
            await row.get_by_role("button").nth(1).click()
        assert (await download.value).suggested_filename == "call-1-1.wav"
        await row.get_by_role("button").nth(0).click()
        await expect(page.locator("audio")).to_have_js_property("duration", 3)
        muted = "muet de 0:03 à 0:05" if locale == "fr-FR" else "muted from 0:03 to 0:05"
        await expect(page.get_by_role("img", name=muted).locator("rect.gap")).to_have_attribute("width", "20.83")
        await shot(page, f"enregistrements-{locale[:2]}-{theme}")
        await fits(page)
        assert not site.troubles, site.troubles


@pytest.mark.parametrize(("theme", "locale"), LANGUAGES)
async def test_integrations_and_settings_open_in_both_languages(browser: Browser, theme: Any, locale: str) -> None:
    async with open_site(browser, locale=locale, color_scheme=theme) as site:
        page = await site.open("/")
        await page.locator(".rail a[href='#/integrations']").click()
        await expect(page.locator("select[name=template]")).to_be_visible()
        await shot(page, f"integrations-{locale[:2]}-{theme}")
        await fits(page)
        await page.goto(site.url("/#/campagnes/1/reglages"))
        for section in ("agent", "machines", "tape", "law", "inbound"):
            await page.locator(f"[data-section={section}] summary").click()
        await expect(page.locator("[name='inbound.call_back']")).to_be_visible()
        await fits(page)
        assert "campaign." not in await page.locator("main").inner_text()
        await page.locator("[data-section=machines]").scroll_into_view_if_needed()
        await shot(page, f"campagnes-1-reglages-{locale[:2]}-{theme}")
        assert not site.troubles, site.troubles
