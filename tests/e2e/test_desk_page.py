"""The agent's desk in Chromium: every key that is printed, what runs out and can be extended, who objects."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from playwright.async_api import Browser, Route, expect

from daemon.calls.lead_records import Intent, LeadDraft
from daemon.calls.records import Campaign, CampaignMode
from daemon.engine import commands as c
from tests.api.fakes import call_view
from tests.e2e.floor import ATTEMPT, desk_world, hold_the_clock
from tests.e2e.site import Site, open_site


async def an_attempt(site: Site) -> None:
    """The row of the call to the person of `desk_world`."""
    store, rows = site.world.store, site.world.rows
    lease = await store.acquire_lease("main", "test", 60.0)
    assert lease is not None
    intent = Intent(
        attempt_id=UUID(ATTEMPT), site="main", kind="campaign", group_id=rows["group"].id,
        campaign_id=rows["campaign"].id, client_id=rows["client"].id, lead_id=rows["lead_id"], e164="+33199001234",
        line_id=rows["line"].id, caller_id="+33162000000", agent_id=rows["agent"].id, rule_set="", attempts_max=0,
        attempts_days=0, at=datetime.now(UTC),
    )  # fmt: skip
    assert await store.commit_intents([intent], lease)


async def test_a_person_shown_can_be_passed_over_with_a_reason_or_never_be_called_again(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, campaign = site.world.rows["agent"].id, site.world.rows["campaign"]
        now = datetime.now(UTC)
        shown = {"state": "reserved", "code": "preview", "lead_id": site.world.rows["lead_id"], "since": now}
        shown |= {"campaign_id": campaign.id, "preview_until": now + timedelta(seconds=600), "extend_s": 30.0}
        door.change("agents", agent, **shown)
        page = await site.open("/desk")
        band = page.locator(".deskband")
        await expect(band).to_contain_text("Aperçu")
        await expect(band).to_contain_text("réservée encore")
        await expect(page.get_by_role("button", name="D Appeler")).to_be_enabled()
        await hold_the_clock(page)
        await page.keyboard.press("s")
        async with page.expect_response("**/preview/skip"):
            await page.keyboard.press("3")
        button = page.get_by_role("button", name="L Ne plus appeler")
        await expect(button).to_be_visible()
        await page.keyboard.press("l")
        await expect(page.get_by_role("button", name="L Encore L pour confirmer")).to_be_visible()
        assert not door.of(c.LeadsChanged), "asked for once is not confirmed"
        async with page.expect_response("**/preview/skip"):
            await page.keyboard.press("l")
        await expect(page.locator(".toast")).to_contain_text("liste rouge")
        assert await site.world.store.on_red_list(campaign.client_id, "+33199001234")
        door.change("agents", agent, state="ready", lead_id=0, preview_until=None)
        await expect(band).to_contain_text("Prêt")
        assert [x.reason for x in door.of(c.PreviewSkip)] == ["known", "do_not_call"]
        assert not site.troubles, site.troubles


@pytest.mark.feature("LEGL-07", clause="one key on the desk and its confirmation, in the call")
async def test_an_objection_in_the_call_holds_before_the_form_is_sent(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        await an_attempt(site)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        page = await site.open("/desk")
        await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
        await expect(page.get_by_text("présenté 01")).to_be_visible()
        await expect(page.get_by_role("button", name="L Ne plus appeler")).to_be_enabled()
        await hold_the_clock(page)
        await page.keyboard.press("l")
        await page.keyboard.press("l")
        await expect(page.get_by_role("button", name="L Ne sera plus appelé")).to_be_disabled()
        await expect(page.locator(".toast")).to_contain_text("liste rouge")
        assert await site.world.store.on_red_list(site.world.rows["client"].id, "+33199001234")
        await page.keyboard.press("b")
        await expect(page.locator(".outcomes [aria-pressed=true]")).to_contain_text("Rappel")
        await page.keyboard.press("?")
        await expect(page.locator("[data-keys]")).to_contain_text("Ne plus appeler")
        await page.keyboard.press("Escape")
        await expect(page.locator("[data-keys]")).to_have_count(0)
        assert not door.of(c.Dispose) and not site.troubles, site.troubles


async def test_a_wrap_up_warns_at_ten_seconds_and_is_extended_once(browser: Browser) -> None:
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        over = {"state": "wrap_up", "attempt_id": "", "last_attempt_id": ATTEMPT, "since": now, "extend_s": 30.0}
        door.change("agents", agent, **over, wrap_until=now + timedelta(minutes=10))
        page = await site.open("/desk")
        left = page.locator(".deskband [data-left]")
        await expect(left).to_contain_text("reste")
        await expect(page.locator(".deskband .mark")).to_have_count(0)
        door.change("agents", agent, wrap_until=datetime.now(UTC) + timedelta(seconds=9))
        await expect(page.locator(".deskband .mark.watch[data-left]")).to_be_visible()
        await expect(page.locator(".deskband [role=status]")).to_have_text("Plus que 10 secondes.")
        async with page.expect_response("**/extend"):
            await page.get_by_role("button", name="+ 30 s").click()
        await expect(page.locator("[data-more]")).to_be_visible()
        door.change("agents", agent, wrap_until=now + timedelta(minutes=10), extend_s=0.0)
        await expect(page.locator("[data-more]")).to_have_count(0)
        await expect(page.locator(".deskband .mark")).to_have_count(0)
        assert door.of(c.ExtendTime)[0].agent_id == agent and not site.troubles, site.troubles


async def test_a_letter_without_its_button_does_nothing(browser: Browser) -> None:
    """In a conversation there is no next person to ask for: S asked for one all the same."""
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        row = site.world.rows["campaign"]
        await site.world.store.update(Campaign, row.id, {"mode": CampaignMode.PREVIEW}, None)
        agent, now = site.world.rows["agent"].id, datetime.now(UTC)
        door.show(call_view(ATTEMPT, agent_id=agent, stage="talking", since=now, started=now))
        door.change("agents", agent, state="on_call", attempt_id=ATTEMPT, lead_id=site.world.rows["lead_id"], since=now)
        page, sent = await site.open("/desk"), list[str]()
        page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
        await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
        for letter in "srd":
            await page.keyboard.press(letter)
        door.gone("calls", ATTEMPT)
        door.change("agents", agent, state="paused", code="REPAS", attempt_id="", lead_id=0, since=datetime.now(UTC))
        await expect(page.locator(".deskband")).to_contain_text("/ 1:00:00")
        await expect(page.locator("[data-where]")).to_contain_text("PREVIEW (aperçu) · aucun rappel dû")
        assert not sent and not door.commands, "nothing was asked of the engine"
        await page.keyboard.press("s")
        await expect(page.locator(".deskband")).to_contain_text("REPAS")
        await expect(page.get_by_role("button", name="R Prêt")).to_be_enabled()
        await page.keyboard.press("p")
        await expect(page.locator("details.menu[open]")).to_contain_text("FORMATION")
        await page.keyboard.press("Escape")
        await expect(page.locator("details.menu[open]")).to_have_count(0)
        assert not site.troubles, site.troubles


async def test_an_answer_that_comes_late_shows_nobody_of_before(browser: Browser) -> None:
    """Two calls soon after each other while the daemon is slow: the person of the second one stays."""
    async with open_site(browser, demo="agent") as site:
        door = await desk_world(site)
        agent, rows = site.world.rows["agent"].id, site.world.rows
        [second] = await site.world.store.add_leads(
            rows["list"].id, [LeadDraft(e164="+33199001235", last_name="SUIVANT")]
        )
        page = await site.open("/desk")
        await expect(page.locator(".deskband")).to_be_visible()
        read, free, after = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def overtaken(route: Route) -> None:
            if read.is_set():
                await route.continue_()
                return
            answer = await route.fetch()
            read.set()
            await free.wait()
            await route.fulfill(response=answer)
            after.set()

        await page.route("**/api/v1/desk", overtaken)
        shown = {"state": "reserved", "code": "preview", "campaign_id": rows["campaign"].id}
        door.change("agents", agent, lead_id=rows["lead_id"], since=datetime.now(UTC), **shown)
        async with asyncio.timeout(30):
            await read.wait()
        door.change("agents", agent, lead_id=second)
        name = page.locator("main h1")
        await expect(name).to_have_text("SUIVANT")
        free.set()
        async with asyncio.timeout(30):
            await after.wait()
        await page.evaluate("fetch('/api/v1/session').then(() => new Promise((done) => requestAnimationFrame(done)))")
        await page.evaluate("new Promise((done) => requestAnimationFrame(done))")
        await expect(name).to_have_text("SUIVANT")
        assert not site.troubles, site.troubles
