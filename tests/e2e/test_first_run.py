"""The first run in Chromium: three cards from a PBX that was found to a campaign that dials, left and resumed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from playwright.async_api import Browser, expect

from daemon.calls.devices import FoundDevice
from daemon.calls.records import Agent, Campaign, Client, LeadList, Line
from daemon.engine import commands as c
from daemon.ports import PbxStatus
from tests.e2e.site import Site, open_site

UP = PbxStatus(
    site="main", driver="ami", up=True, mode="dialplan", mode_reason="the include is there",
    devices=(
        *(FoundDevice("extension", str(number), "idle") for number in range(1001, 1005)),
        FoundDevice("trunk", "ovh", "idle"),
    ),
)  # fmt: skip


@asynccontextmanager
async def open_new_site(browser: Browser, status: PbxStatus = UP) -> AsyncIterator[Site]:
    """A site of an administrator who has typed nothing yet."""
    async with open_site(browser, outside=lambda world: {"pbx": lambda site: status}) as site:
        world = site.world
        for kind in (Campaign, LeadList, Line, Agent):
            for row in await world.store.find(kind):
                await world.store.delete(kind, row.id, None)
        for name in ("campaigns", "agents", "lines"):
            for id in list(world.door.views[name]):
                world.door.gone(name, id)
        yield site


async def test_three_cards_lead_from_the_pbx_found_to_a_campaign_that_dials(browser: Browser) -> None:
    async with open_new_site(browser) as site:
        store, group = site.world.store, site.world.rows["group"].id
        page = await site.open("/")
        pbx, lists, campaign = (page.locator(f"[data-card='{n}']") for n in (1, 2, 3))
        await expect(pbx).to_contain_text("dialplan")
        await expect(pbx).to_contain_text("l’inclusion est là")
        await expect(pbx).to_contain_text("4 postes trouvés")
        await expect(campaign.get_by_role("button", name="Démarrer")).to_be_disabled()
        await pbx.get_by_label("1004").uncheck()
        await pbx.get_by_role("button", name="Créer 3 agents et 1 ligne").click()
        await expect(pbx).to_have_class("card done")
        made = await store.find(Agent, group_id=group)
        assert [agent.extension for agent in made] == ["1001", "1002", "1003"]
        assert [(line.endpoint, line.capacity) for line in await store.find(Line)] == [("ovh", 10)]
        await lists.get_by_role("button", name="20 fiches d’essai").click()
        await expect(lists).to_have_class("card done")
        await expect(page.locator(".toast", has_text="20 fiches d’essai ajoutées")).to_be_visible()
        await page.get_by_role("button", name="Plus tard").click()
        await expect(page.get_by_text("Aucune campagne : sans campagne, aucun appel.")).to_be_visible()
        await page.reload()
        await page.get_by_role("button", name="Reprendre la mise en route").click()
        await expect(pbx).to_have_class("card done")
        await expect(pbx.get_by_label("1004")).not_to_be_checked()
        await campaign.get_by_label("Nom").fill("Essai du matin")
        async with page.expect_response(lambda answer: answer.url.endswith("/start")):  # the cards are at /#/direct too
            await campaign.get_by_role("button", name="Démarrer").click()
        await expect(page).to_have_url(site.url("/#/direct"))
        (row,) = await store.find(Campaign, group_id=group)
        assert (row.name, row.mode, len(row.list_ids), len(row.line_ids)) == ("Essai du matin", "progressive", 1, 1)
        assert site.world.door.of(c.StartCampaign)[0].campaign_id == row.id and await store.find(Client, group_id=group)
        assert not site.troubles, site.troubles


@pytest.mark.parametrize(("code", "said"), [("auth_failed", "write = originate,call"), ("refused", "port = 5038")])
async def test_a_pbx_that_fails_says_what_to_change_on_it(browser: Browser, code: str, said: str) -> None:
    down = PbxStatus(site="main", driver="ami", up=False, error_code=code, error="nobody answers at pbx:5038")
    async with open_new_site(browser, down) as site:
        site.world.door.change("links", "main", up=False)
        page = await site.open("/#/debut")
        card = page.locator("[data-card='1']")
        await expect(card).to_contain_text("nobody answers at pbx:5038")
        await expect(card.locator("[data-advice]")).to_contain_text(said)
        await expect(card.get_by_role("button", name="Copier")).to_be_enabled()
        await expect(card.locator(".s-ready")).to_have_count(0)
        assert not site.troubles, site.troubles


@pytest.mark.feature("S100-04", clause="the first page shows the line of manager.conf that is missing")
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("permission denied: originate", "write = originate,call"),
        ("permission denied: read call: the PBX tells user cadran no event of class call", "read = system,call"),
    ],
)
async def test_a_right_that_is_missing_is_shown_as_the_line_to_change(
    browser: Browser, missing: str, said: str
) -> None:
    async with open_new_site(browser, msgspec.structs.replace(UP, missing=(missing,))) as site:
        page = await site.open("/#/debut")
        advice = page.locator("[data-card='1'] [data-advice]")
        await expect(advice).to_contain_text(said)
        await expect(advice).to_have_count(1)
        assert not site.troubles, site.troubles
