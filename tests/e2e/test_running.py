"""The pages over the whole daemon and a fake PBX, on real time: figures, steering, an agent's call, a lost PBX."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.running import Running, running

SOME = re.compile(r"^([5-9]|[1-9][0-9]+)$")


async def settled(site: Running) -> None:
    """No call is left and every fact is in the store. The engine is asked, not its view: what waits in the journal is
    shown once a second, so that on a busy machine the view may say 0 with the end of the last call still to be kept."""
    runner = site.app.hub.runners["demo"]
    async with asyncio.timeout(60):
        while runner.core.live.calls or runner.pending:  # noqa: ASYNC110 - two states, neither of which tells
            await asyncio.sleep(0.02)


@pytest.mark.feature("DASH-01", clause="the pages' figures of a campaign are those the store computes")
@pytest.mark.feature("DASH-01", clause="they follow the calls by the stream, without a reload")
async def test_the_figures_on_the_pages_are_those_of_the_database(browser: Browser) -> None:
    async with running() as site:
        page = await site.open(browser)
        await page.get_by_role("link", name="Assurance Auto 31").first.click()
        outcomes = page.locator("[data-outcomes]")
        await expect(outcomes.locator("[data-outcome=connected] b")).to_have_text(SOME, timeout=60_000)
        await page.get_by_role("button", name="Suspendre Assurance Auto 31").click()
        await expect(page.get_by_role("button", name="Démarrer Assurance Auto 31")).to_be_visible()
        await settled(site)
        rows = await site.store.report("by_outcome", campaign_id=site.campaign.id)
        kept = {row["outcome"]: row["attempts"] for row in rows if row["outcome"] != "not_placed"}
        assert kept["connected"] >= 5
        for outcome, count in kept.items():
            await expect(outcomes.locator(f"[data-outcome={outcome}] b")).to_have_text(str(count))
        placed = outcomes.locator("[data-outcome]:not([data-outcome=not_placed])")  # late intents of a busy machine
        await expect(placed).to_have_count(len(kept))
        ledger = await site.store.report("abandonment", campaign_id=site.campaign.id)
        live, lost = sum(r["answered_live"] for r in ledger), sum(r["abandoned"] for r in ledger)
        await expect(page.get_by_role("row", name="jour")).to_contain_text(f"{lost} sur {live}")
        await page.goto(f"{site.app.http_address}/#/rapports/by_campaign")
        [row] = await site.store.report("by_campaign")
        line = page.locator("main tbody tr").first
        names = ("attempts", "in_progress", "answered", "live", "connected", "abandoned", "machines", "sales")
        await expect(line.locator("td").nth(1)).to_have_text(str(row["attempts"]))
        assert (await line.locator("td").all_inner_texts())[1:9] == [str(row[name]) for name in names]


async def test_three_clicks_from_the_first_page_to_a_new_speed(browser: Browser) -> None:
    """The page signs in by itself in a demo; the engine's own record has the new speed."""
    async with running(agents=2) as site:
        page = await site.open(browser)
        await page.get_by_role("button", name="Augmenter la vitesse").first.click()
        await expect(page.locator("tr.campaign .stepper .figure").first).to_have_text("7")
        runner = site.app.hub.runners["demo"]
        assert runner.core.live.campaigns[site.campaign.id].record.speed == 7


@pytest.mark.feature(
    "STAT-05", clause="an agent works a real call from the desk: reload in mid-call, hang-up, disposition, next state"
)
async def test_an_agent_works_a_call_of_the_running_daemon(browser: Browser) -> None:
    async with running(agents=1, at_work=False, talk_s=1e6) as site:
        token = await site.token_of(site.agents[0])
        context = await browser.new_context(locale="fr-FR", timezone_id="Europe/Paris")
        desk = await context.new_page()
        await context.request.delete(f"{site.app.http_address}/api/v1/session")
        site.pages.append(desk)
        await context.request.post(f"{site.app.http_address}/api/v1/session", data={"token": token})
        await desk.goto(f"{site.app.http_address}/desk")
        await desk.get_by_label("Prêt").check()
        await desk.get_by_role("button", name="Se connecter").click()
        band = desk.locator(".deskband")
        await expect(band).to_contain_text("En appel", timeout=60_000)
        name = await desk.locator("main h1").inner_text()
        notes = desk.locator("[name=notes]")
        await notes.fill("rappeler lundi")
        await expect(desk.get_by_text("gardées")).to_be_visible()
        await desk.reload()
        await expect(notes).to_have_value("rappeler lundi")
        await expect(desk.locator("main h1")).to_have_text(name)
        hang_up = desk.locator("[aria-keyshortcuts=X]")
        await expect(hang_up).to_be_enabled()
        # Twice within two seconds: under load, two clicks of Playwright may be further apart than that.
        await hang_up.evaluate("button => { button.click(); button.click(); }")
        await expect(band).to_contain_text("Post-appel")
        await desk.keyboard.press("3")
        await desk.keyboard.press("Control+Shift+Enter")
        await expect(band).to_contain_text("En pause")
        await settled(site)
        [row] = [r for r in await site.store.report("by_status") if r["disposition"] == "REFUS"]
        assert row["attempts"] == 1
        found = (await site.store.search_attempts(None, {"disposition": "REFUS"}, 5, None)).rows
        assert [r["notes"] for r in found] == ["rappeler lundi"]


async def test_a_pbx_that_goes_is_named_on_the_page(browser: Browser) -> None:
    async with running(agents=2) as site:
        page = await site.open(browser)
        await expect(page.locator(".chain")).to_contain_text("PBX demo")
        await expect(page.locator(".chain .down")).to_have_count(0)
        await site.fake.close()
        await expect(page.locator(".chain .down", has_text="PBX demo")).to_have_count(1)
        await expect(page.locator("tr.why").first).to_contain_text("le PBX demo ne répond pas")
        band = page.locator(".band.watch")
        await expect(band.locator("[aria-hidden=true]").last).to_contain_text("Nouvel essai")
        answer = await page.context.request.get(f"{site.app.http_address}/api/v1/status")
        [link] = (await answer.json())["links"]
        assert not link["up"] and link["next_try_at"] > link["since"]
