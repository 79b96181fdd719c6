"""A button pressed twice while its command is under way sends one command, by pointer and by key alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from playwright.async_api import Browser, Locator, Page, Route, expect

from daemon.calls.records import LeadList
from daemon.engine import commands as c
from tests.api.fakes import call_view
from tests.e2e.floor import ATTEMPT, desk_world, hold_the_clock
from tests.e2e.site import Site, open_site


@dataclass
class Held:
    """Writes of a page that wait on their way; `sent` counts those of the page, held or not."""

    sent: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    refused: bool = False

    async def pass_on(self, route: Route) -> None:
        if route.request.method == "GET" or route.request.url.endswith("/draft"):
            await route.continue_()
            return
        self.sent.append(route.request.url.split("/api/v1")[1])
        await self.gate.wait()
        if self.refused:
            await route.fulfill(status=409, json={"code": "agent_not_ready"})
        else:
            await route.continue_()

    def let_go(self) -> None:
        self.gate.set()

    def hold(self) -> None:
        self.gate = asyncio.Event()
        self.sent.clear()


@asynccontextmanager
async def holding(page: Page) -> AsyncIterator[Held]:
    held = Held()
    await page.route("**/api/v1/**", held.pass_on)
    try:
        yield held
    finally:
        held.let_go()


async def busy(button: Locator) -> None:
    await expect(button).to_have_attribute("aria-busy", "true")


ASK = "fetch('/api/v1/session').then((answer) => answer.text())"


async def sent_all(page: Page, held: Held) -> list[str]:
    """What has been sent by now, once something is: a request of its own goes the way of all before it."""
    while not held.sent:
        await page.wait_for_timeout(20)
    await page.evaluate(ASK)
    return held.sent


async def free(button: Locator) -> None:
    await expect(button).not_to_have_attribute("aria-busy", "true")


async def test_a_form_sent_twice_saves_one_row(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes")
        name, add = page.locator("main form [name=name]"), page.get_by_role("button", name="Ajouter une liste")
        await name.fill("Été 2027")
        async with holding(page) as held:
            await add.dblclick()
            await busy(add)
            await name.press("Enter")
            held.let_go()
            await expect(page.locator("main tbody th", has_text="Été 2027")).to_have_count(1)
            await free(add)
            assert held.sent == ["/lists"]
            held.hold()
            await name.fill("Automne")
            await add.click()  # another one, later, is another command
            held.let_go()
            await expect(page.locator("main tbody th", has_text="Automne")).to_have_count(1)
        saved = [row.name for row in await site.world.store.find(LeadList)]
        assert saved.count("Été 2027") == saved.count("Automne") == 1
        assert not site.troubles, site.troubles


async def test_a_command_that_is_refused_frees_its_button(browser: Browser) -> None:
    async with open_site(browser) as site:
        page = await site.open("/#/listes")
        switch = page.locator("main tbody").get_by_role("button", name="Désactiver").first
        await expect(switch).to_be_enabled()
        async with holding(page) as held:
            held.refused = True
            await switch.focus()
            await page.keyboard.press("Enter")
            await busy(switch)
            await page.keyboard.press("Space")
            held.let_go()
            await expect(page.locator(".toast.alert")).to_be_visible()
            await free(switch)
            await expect(switch).to_be_focused()
            assert len(held.sent) == 1
            held.refused = False
            await page.keyboard.press("Enter")
            await expect(page.locator("main tbody").get_by_role("button", name="Activer", exact=True)).to_be_visible()


async def at_the_desk(site: Site) -> Page:
    await desk_world(site)
    page = await site.open("/desk")
    sign_in = page.get_by_role("button", name="Se connecter")
    await expect(sign_in).to_be_enabled()
    await hold_the_clock(page)  # what is told late does not make its keys wait
    await expect(sign_in).to_be_enabled()
    return page


async def test_the_desks_keys_pressed_twice_send_one_command_each(browser: Browser) -> None:
    """Signing in, ready, dialling, hanging up, the outcome: what a hurried agent presses twice."""
    async with open_site(browser, demo="agent") as site:
        page, door, agent = await at_the_desk(site), site.world.door, site.world.rows["agent"].id
        band = page.locator(".deskband")
        async with holding(page) as held:

            async def twice(key: str, sent: str) -> None:
                """Press, and press again as soon as the first is on its way; then let it through."""
                held.hold()
                while not held.sent:  # it does nothing while the page has no fresh news
                    await page.keyboard.press(key)
                    await page.evaluate(ASK)
                await expect(page.locator("main [aria-busy=true]")).to_have_count(1)
                await page.keyboard.press(key)
                assert await sent_all(page, held) == [f"/agents/{agent}/{sent}"]
                held.let_go()
                await expect(page.locator("main [aria-busy=true]")).to_have_count(0)

            await twice("Enter", "sign-in")
            await expect(band).to_contain_text("En pause")
            await expect(page.locator("main [aria-keyshortcuts=R]")).to_be_enabled()
            await twice("r", "ready")
            await expect(band).to_contain_text("Prêt")
            await page.locator("[name=number]").fill("0199001234")
            held.hold()
            await page.locator("[name=number]").press("Enter")
            await expect(page.locator("form[aria-busy=true], form [aria-busy=true]")).not_to_have_count(0)
            await page.locator("[name=number]").press("Enter")
            await page.locator("main [aria-keyshortcuts=D]").click()
            assert await sent_all(page, held) == [f"/agents/{agent}/dial"]
            held.let_go()
            now = datetime.now(UTC)
            door.show(call_view(ATTEMPT, agent_id=agent, stage="ringing", since=now, started=now))
            door.change("agents", agent, state="ringing", attempt_id=ATTEMPT, since=now)
            await expect(page.locator("main [aria-keyshortcuts=X]")).to_be_enabled()
            await twice("x", "hang-up")
            door.change("agents", agent, state="on_call", lead_id=site.world.rows["lead_id"], since=now)
            await expect(page.locator("[name=notes]")).to_be_visible()
            await page.keyboard.press("2")
            await expect(page.locator(".outcomes [aria-pressed=true]")).to_have_count(1)
            held.hold()
            await page.locator("main [aria-keyshortcuts='Control+Enter']").dblclick()
            await page.keyboard.press("Control+Enter")
            assert await sent_all(page, held) == [f"/agents/{agent}/dispose"]
            held.let_go()
            await expect(band).to_contain_text("Prêt")
        for kind in (c.SignIn, c.SetReady, c.Dispose):
            assert len(door.of(kind)) == 1, kind


async def test_a_supervisors_command_on_an_agent_goes_once(browser: Browser) -> None:
    """The drawer closes with it, but not before the second press of a double click."""
    async with open_site(browser) as site:
        page = await site.open("/#/agents")
        await page.get_by_role("link", name="S. Benali").click()
        async with holding(page) as held:
            await (
                page.locator("aside.drawer")
                .get_by_role("button", name="Prêt")
                .evaluate("e => { e.click(); e.click(); }")
            )
            await expect(page.locator("aside.drawer")).to_have_count(0)
            assert len(await sent_all(page, held)) == 1
