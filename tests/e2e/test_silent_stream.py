"""A stream that is open in name alone: the page says how old its figures are, and makes a new one by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.floor import desk_world
from tests.e2e.site import Site, WallClock, open_site
from tests.e2e.test_voice_pages import in_call


@dataclass
class Way:
    """A proxy before the site that closes nothing. What the daemon sends on the streams open by now can be lost (a
    computer that slept, a half-open connection) or come `lag_s` late; one opened while `deaf` is lost at once. What the
    daemon sends on a stream that is opened while `clear` is not set waits for it."""

    site: Site
    port: int = 0
    lag_s: float = 0.0
    deaf: bool = False
    streams: list[str] = field(default_factory=list)
    """What becomes of each: "open", "lost", "late"."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    clear: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def all_are(self, fate: str) -> None:
        """Those that are open by now; the next one waits until the test has seen what becomes of the page."""
        self.clear.clear()
        self.streams[:] = [fate] * len(self.streams)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self.site.server.port)
        number: list[int] = []
        both = [self._asked(reader, there[1], number), self._told(there[0], writer, number)]
        tasks = [asyncio.create_task(one) for one in both]
        self.tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for closing in (writer, there[1]):
            closing.close()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: list[int]) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if b"GET /api/v1/stream " in data:
                    number.append(len(self.streams))
                    self.streams.append("lost" if self.deaf else "open")
                writer.write(data)

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: list[int]) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                fate = self.streams[number[-1]] if number else "open"
                if fate == "late":
                    loop.call_later(self.lag_s, writer.write, data)
                elif fate == "open":
                    if number:
                        await self.clear.wait()
                    writer.write(data)


@asynccontextmanager
async def way_to(site: Site) -> AsyncIterator[Way]:
    way = Way(site)
    way.clear.set()
    server = await asyncio.start_server(way.meet, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        await site.context.close()
        server.close()
        for task in way.tasks:
            task.cancel()


OLD = {"fr-FR": r"Données d’il y a \d+\ss", "en-GB": r"Data from \d+\ss ago"}


@pytest.mark.parametrize("locale", list(OLD))
async def test_a_stream_gone_silent_is_told_and_made_anew(browser: Browser, locale: str) -> None:
    async with open_site(browser, locale=locale) as site, way_to(site) as way:
        page, door = await site.context.new_page(), site.world.door
        await page.goto(way.url("/#/direct"))
        row = page.locator("tr.campaign", has_text="Assurance Auto 31")
        suspend = page.locator("header .suspend")
        await expect(suspend).to_be_enabled()
        door.change("campaigns", 1, answer_rate=0.31)
        await expect(row).to_contain_text("31")
        way.all_are("lost")
        door.change("campaigns", 1, answer_rate=0.47)
        await expect(page.locator(".band.watch")).to_contain_text(re.compile(OLD[locale]))
        await expect(suspend).to_be_disabled()
        way.clear.set()
        await expect(row).to_contain_text(re.compile(r"47\s?%"))
        await expect(page.locator(".band.watch")).to_have_count(0)
        await expect(suspend).to_be_enabled()
        assert way.streams[0] == "lost" and way.streams[-1] == "open"


async def test_a_way_that_holds_everything_up_does_not_make_old_figures_live(browser: Browser) -> None:
    """News that come 7 s late are 7 s old, however regularly they come; a new stream is tried."""
    async with open_site(browser) as site, way_to(site) as way:
        page = await site.context.new_page()
        await page.goto(way.url("/#/direct"))
        await expect(page.locator("header .suspend")).to_be_enabled()
        way.lag_s = 7.0
        way.all_are("late")
        band = page.locator(".band.watch")
        await expect(band).to_be_visible()
        while "open" not in way.streams:
            await page.wait_for_timeout(100)
            assert await band.count() == 1
        way.clear.set()
        await expect(band).to_have_count(0)


NOTE_WHEN_OLD = """(button) => { window.old = new Promise((told) => {
  new MutationObserver(() => button.disabled && told()).observe(button, { attributes: true });
}); }"""


async def test_a_clock_that_was_set_does_not_pass_for_a_slow_way(browser: Browser) -> None:
    """The daemon's clock is put back by six seconds. Its news look late, and are not: a new stream makes sure of it."""
    async with open_site(browser) as site:
        page, clock = await site.open("/"), site.world.clock
        suspend = page.locator("header .suspend")
        await expect(suspend).to_be_enabled()
        await suspend.evaluate(NOTE_WHEN_OLD)
        assert isinstance(clock, WallClock)
        clock.go_on_from(datetime.now(UTC) - timedelta(seconds=6))
        await page.evaluate("window.old")
        await expect(suspend).to_be_enabled()
        await expect(page.locator(".band.watch")).to_have_count(0)


async def test_a_call_that_came_while_the_stream_was_lost_is_there_with_its_person(browser: Browser) -> None:
    """The new stream begins with the call under way: the desk reads whose it is, and takes notes and outcome."""
    async with open_site(browser, demo="agent") as site, way_to(site) as way:
        await desk_world(site)
        page = await site.context.new_page()
        await page.goto(way.url("/desk"))
        await expect(page.get_by_role("button", name="Se connecter")).to_be_enabled()
        way.all_are("lost")
        await in_call(site)
        way.clear.set()
        await expect(page.locator(".deskband")).to_contain_text("En appel")
        await expect(page.get_by_role("heading", name="Jean DUPONT")).to_be_visible()
        await expect(page.locator("[name=notes]")).to_be_visible()
        assert way.streams[0] == "lost" and way.streams[-1] == "open"


async def test_the_page_keeps_trying(browser: Browser) -> None:
    """A proxy that opens the next stream too in name alone; the desk is told that its call goes on."""
    async with open_site(browser, demo="agent") as site, way_to(site) as way:
        page = await site.context.new_page()
        await page.goto(way.url("/desk"))
        dial = page.locator("main [aria-keyshortcuts=D]")
        await expect(dial).to_be_enabled()
        way.all_are("lost")
        way.deaf = True
        await expect(page.locator(".band.watch")).to_contain_text("votre appel continue au téléphone")
        await expect(dial).to_be_disabled()
        before = len(way.streams)
        while len(way.streams) == before:
            await page.wait_for_timeout(100)
        way.deaf = False
        way.clear.set()
        await expect(dial).to_be_enabled()
        assert way.streams.count("lost") > before and way.streams[-1] == "open"
