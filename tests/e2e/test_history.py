"""Plots and events begin with what happened before the page was open, and go on with the stream."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from tests.api.fakes import call_view
from tests.api.test_recent import a_call, apply, lease_of
from tests.e2e.floor import ATTEMPT, people, shot
from tests.e2e.site import Site, WallClock, open_site


async def an_hour(site: Site) -> None:
    """Fifty minutes of one agent's work, ready and in calls by turns; the speed was raised twenty minutes ago."""
    world, lease = site.world, await lease_of(site.world)
    agent, campaign = world.rows["agent"].id, world.rows["campaign"].id
    clock, now = world.clock, datetime.now(UTC)
    assert isinstance(clock, WallClock)
    outcomes = [Outcome.CONNECTED] * 9 + [Outcome.ABANDONED]
    try:
        for n in range(1, 300):
            at = now - timedelta(minutes=50) + timedelta(seconds=10 * n)
            clock.fixed = at
            talks = n % 2 == 0
            id = await a_call(world, lease, n, outcomes[n % 10]) if talks else None
            state = f.AgentStateSet(
                at=at, site="main", agent_id=agent, state="on_call" if talks else "ready", attempt_id=id,
                campaign_id=campaign if talks else 0, campaign_ids=(campaign,),
            )  # fmt: skip
            await apply(world, lease, state)
        at = now - timedelta(minutes=20)
        detail = {"speed": 6, "speed_was": 5}
        tuned = f.AuditFact(
            at=at, site="main", by="M. Diallo", what="campaign.tuned", target=str(campaign), detail=detail
        )
        away = f.AgentStateSet(at=at, site="main", agent_id=world.rows["agent2"].id, state="paused", code="REPAS")
        await apply(world, lease, tuned, away)
    finally:
        clock.fixed = None


@pytest.mark.feature("OVH-08", clause="the page lists calls and changes since before it was opened, newest first")
async def test_direct_is_not_empty_when_it_opens(browser: Browser) -> None:
    async with open_site(browser) as site:
        await an_hour(site)
        people(site)
        page = await site.open("/")
        events = page.locator(".events li")
        await expect(events.first).to_contain_text("Conversation n°")
        calls = page.locator("h2", has_text="Événements").get_by_role("button", name="Appels")
        await calls.click()
        await expect(page.get_by_text("vitesse 5 → 6, M. Diallo")).to_be_visible()
        await expect(page.get_by_text("P. Roy : En pause REPAS")).to_be_visible()
        await expect(events).to_have_count(2)
        await calls.click()
        plot = page.locator("svg.plot", has=page.locator("polyline")).first
        await expect(plot.locator("polyline").first).to_have_attribute("points", re.compile(r"^(\S+\s+){30}\S"))
        await shot(page, "direct-history-fr-light")
        site.world.door.change("campaigns", 1, speed=8)
        await expect(events.first).to_contain_text("vitesse 6 → 8")
        now = datetime.now(UTC)
        site.world.door.show(call_view(ATTEMPT, number=777, agent_id=100, stage="ringing", since=now, started=now))
        site.world.door.change("calls", ATTEMPT, stage="talking")
        await expect(events.first).to_contain_text("Conversation n° 777 : Agent 100")
        await page.get_by_role("button", name="Tout voir").click()
        await expect(page.get_by_role("button", name="Tout voir")).to_have_count(0)
        assert await events.count() > 100
        await page.get_by_text("Tableau Occupation").click()
        await expect(page.locator(".numbers-rows tbody tr").nth(30)).to_be_visible()
        assert not site.troubles, site.troubles


async def test_events_can_be_frozen(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/")
        await expect(page.locator("tr.campaign").first).to_be_visible()
        await site.arrived(page)  # what was before is known: what comes from now on is new to it
        site.world.door.change("campaigns", 1, speed=7)
        await expect(page.locator(".events li")).to_have_count(1)
        await page.get_by_role("button", name="Figer").click()
        site.world.door.change("campaigns", 1, speed=8)
        await expect(page.locator("tr.campaign .stepper .figure").first).to_have_text("8")
        await expect(page.locator(".events li")).to_have_count(1)
        await page.get_by_role("button", name="Reprendre").click()
        await expect(page.locator(".events li")).to_have_count(2)


@pytest.mark.feature("CAMP-08", clause="the page says what the last change of speed did to wait and abandonment")
async def test_a_campaigns_last_hour_shows_what_a_change_did(browser: Browser) -> None:
    async with open_site(browser) as site:
        await an_hour(site)
        page = await site.open("/#/campagnes/1")
        hour = page.locator("[data-hour]")
        await expect(hour.locator("svg.plot")).to_have_count(4)
        await expect(hour.locator("line.change title").first).to_have_text("Vitesse 5 → 6, M. Diallo")
        await expect(hour).to_contain_text("attente 0 s, abandon")
        await shot(page, "campagnes-1-fr-light")
        assert not site.troubles, site.troubles
