"""A site for the page tests: the API on a loopback socket over a fake engine that the test moves, and Chromium."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from daemon.api.app import build_app
from daemon.compliance.rules import load_rule_sets
from daemon.engine.views import ImportView
from daemon.leads.service import ImportService
from daemon.settings import HttpTable
from daemon.tapes import Tapes
from tests.api.fakes import HandClock, World, crm_of, make_world

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""In the order they are taken. The first is Chromium without the window around the page, which nobody sees here: the
same pages cost less than half the processor."""
CHROMIUM = os.environ.get("CADRAN_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "")
RULES = load_rule_sets()
WAIT_MS = 60_000
"""A busy machine must not fail a page; a page that hangs still does."""
expect.set_options(timeout=WAIT_MS)

TOASTS_STAY = """(() => {
  const set = window.setTimeout;
  window.setTimeout = (work, ms, ...more) => set(work, ms >= 10000 ? 20 * ms : ms, ...more);
})()"""
"""What a page says for ten seconds is still there when a busy machine comes to look."""
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
HEAR_OF_THE_LOSS = """() => {
  const worker = new SharedWorker('/static/worker.js', { type: 'module', name: 'cadran' });
  window.lost = new Promise((told) => { worker.port.onmessage = ({ data }) => data.kind === 'lost' && told(); });
  worker.port.start();
}"""
"""The page's worker tells every port in turn: who hears of the loss here knows that no beat is on its way any more."""


class WallClock(HandClock):
    """Wall time as the browser sees it (ages are compared across the two), monotonic by hand not needed here.
    `fixed`: the instant while a test writes what has been."""

    fixed: datetime | None = None
    ahead = timedelta()

    def now(self) -> float:
        return datetime.now(UTC).timestamp()

    def utcnow(self) -> datetime:
        return self.fixed or datetime.now(UTC) + self.ahead

    def go_on_from(self, instant: datetime) -> None:
        """It is that instant now, for the pages too, whose clock is the daemon's. One that stood still would make every
        beat look as if it had been held up on its way."""
        self.fixed, self.ahead = None, instant - datetime.now(UTC)


@dataclass
class Site:
    """The running site and one browser context; `troubles` collects what must never happen on any page."""

    world: World
    server: TestServer
    context: BrowserContext
    troubles: list[str] = field(default_factory=list)
    under_way: dict[Page, set[Request]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return str(self.server.make_url(path))

    async def open(self, path: str = "/", *, width: int = 1366, height: int = 768) -> Page:
        page = await self.context.new_page()
        await page.set_viewport_size({"width": width, "height": height})
        page.on("console", lambda m: self.troubles.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda e: self.troubles.append(f"error: {e}"))
        origin = self.url("/")  # asked for now: a closed server has none, and its pages still try
        page.on("request", lambda request: self._own_host(request, origin))
        await page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
        )
        asked = self.under_way[page] = set()
        page.on("request", lambda r: None if r.url.endswith("/worker.js") else asked.add(r))  # its end is told nobody
        for over in ("requestfinished", "requestfailed"):
            page.on(over, lambda request: asked.discard(request))
        await page.goto(self.url(path))
        return page

    async def arrived(self, page: Page) -> None:
        """The page has drawn the address that it was sent to, and has all that it asked for there."""
        quiet = 0
        async with asyncio.timeout(WAIT_MS / 1000):
            while quiet < 2:  # an answer may be what makes it ask for the next
                await page.evaluate(DRAWN)
                quiet = 0 if self.under_way[page] else quiet + 1

    async def lose(self, page: Page) -> None:
        """The daemon is gone, and the page has heard of it."""
        await page.evaluate(HEAR_OF_THE_LOSS)
        await self.server.close()
        await page.evaluate("window.lost")

    def _own_host(self, request: Any, origin: str) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            self.troubles.append(f"foreign request: {request.url}")


def told(world: World, state: Mapping[str, Any]) -> None:
    """An import's progress on the stream, as the daemon puts it there."""
    fields = {name: state[name] for name in ("id", "group_id", "list_id", "state", "rows", "part")}
    world.door.show(ImportView(**fields))


@asynccontextmanager
async def open_site(
    browser: Browser,
    *,
    demo: str = "root",
    locale: str = "fr-FR",
    tapes: Callable[[World, Path], Awaitable[Tapes]] | None = None,
    outside: Callable[[World], dict[str, Any]] | None = None,
    **context: Any,
) -> AsyncIterator[Site]:
    """`demo`: whose token loopback browsers get; "" = they must sign in. `tapes` makes the recordings, in a folder;
    `outside` the doors of Zadarma or OVHcloud."""
    world = await make_world()
    world.clock = world.door.clock = WallClock()
    folder = TemporaryDirectory()
    importer = ImportService(
        world.store, world.store, world.clock, random.Random(4), Path(folder.name), announce=lambda x: told(world, x)
    )
    app: web.Application = build_app(
        world.door, world.store, HttpTable(stream_interval_s=0.05), world.clock, random.Random(3),
        site_ids=("main",), rule_sets=RULES, importer=importer, crm=crm_of(world),
        demo_token=world.tokens[demo] if demo else "",
        tapes=await tapes(world, Path(folder.name)) if tapes else None, **(outside(world) if outside else {}),
    )  # fmt: skip
    server = TestServer(app)
    await server.start_server()
    made = await browser.new_context(locale=locale, timezone_id="Europe/Paris", **context)
    made.set_default_timeout(WAIT_MS)
    await made.add_init_script(TOASTS_STAY)
    try:
        yield Site(world, server, made)
    finally:
        await made.close()
        await server.close()
        for outgoing in world.outgoing:
            await outgoing.close()
        await importer.close()
        folder.cleanup()


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """The system's Chromium; the test is skipped, and says so, where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (CADRAN_CHROMIUM)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()
