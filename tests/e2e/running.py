"""The whole daemon on real time for the page tests: engine and API over a fake PBX, a store in memory, agents.

Calls are short, so that a day's worth of kinds of calls takes seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import msgspec
from playwright.async_api import Browser, Page

from daemon.api.auth import hash_of, new_token
from daemon.app import Application, build
from daemon.calls.records import Agent, ApiToken, Campaign, Role, TokenKind
from daemon.clock import SystemClock
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import HttpTable
from daemon.store.memory import MemoryStore
from fake_asterisk import FakeAsterisk, people
from simulation import demo
from simulation.world import pbx
from tests.e2e.site import TOASTS_STAY, WAIT_MS


@dataclass
class Running:
    """A daemon at work and what stands around it."""

    app: Application
    store: MemoryStore
    fake: FakeAsterisk
    campaign: Campaign
    agents: list[Agent]
    token: str
    pages: list[Page] = field(default_factory=list)

    async def open(self, browser: Browser, path: str = "/") -> Page:
        """A page of a browser of its own, signed in as on a demo."""
        context = await browser.new_context(locale="fr-FR", timezone_id="Europe/Paris")
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(TOASTS_STAY)
        page = await context.new_page()
        await page.set_viewport_size({"width": 1366, "height": 768})
        await page.goto(f"{self.app.http_address}{path}")
        self.pages.append(page)
        return page

    async def token_of(self, agent: Agent) -> str:
        """A token of an agent's desk."""
        secret = new_token(TokenKind.OPERATOR, "DEMO", random.Random(agent.id).randbytes)
        row = ApiToken(
            group_id=agent.group_id, name=agent.name, role=Role.AGENT, agent_id=agent.id,
            sha256=hash_of(secret), tail=secret[-4:], created_at=SystemClock().utcnow(),
        )  # fmt: skip
        await self.store.create(row)
        return secret


async def _work(app: Application, campaign: Campaign, agents: list[Agent]) -> None:
    """Agents sign in as soon as the PBX is there, and note each call as a refusal the moment it is over."""
    core = None
    while core is None or not core.live.link.synced:
        await asyncio.sleep(0.05)
        runner = app.hub.runners.get("demo")
        core = runner.core if runner is not None and runner.leading else None
    noted: set[UUID] = set()
    waiting = [agent.id for agent in agents]
    while True:
        for agent_id in list(waiting):
            with suppress(CommandError):
                await app.hub.submit(c.SignIn(agent_id=agent_id, campaign_ids=(campaign.id,), ready=True, by="test"))
                waiting.remove(agent_id)
        for agent_id, desk in list(core.live.desks.items()):
            call = desk.last_call
            if desk.state == "wrap_up" and call is not None and call.attempt_id not in noted:
                with suppress(CommandError):
                    await app.hub.submit(
                        c.Dispose(agent_id=agent_id, attempt_id=call.attempt_id, code="REFUS", then="ready", by="test")
                    )
                    noted.add(call.attempt_id)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def running(*, agents: int = 4, at_work: bool = True, talk_s: float = 0.5) -> AsyncIterator[Running]:
    """`at_work`: agents sign in and note their calls by themselves."""
    clock, rng = SystemClock(), random.Random(11)
    crowd = people.People(answer_chance=0.7, machine_share=0.0, talk_mean_s=talk_s, ring_mean_s=0.4)
    folder = TemporaryDirectory()
    fake = FakeAsterisk(pbx(agents, crowd), rng=rng)
    port = await fake.listen(0)
    store = MemoryStore(clock)
    await store.open()
    token = new_token(TokenKind.OPERATOR, "DEMO", rng.randbytes)
    settings = demo._settings(Path(folder.name), port, 0)
    settings = msgspec.structs.replace(settings, http=HttpTable(tcp_port=0, stream_interval_s=0.2))
    [campaign], rows = await demo._furnish(store, clock, agents, token)
    at_leisure = {"ring_timeout_s": 2.0, "wrap_up_max_s": 600.0}  # no call is noted by itself on a slow machine
    await store.update(Campaign, campaign.id, at_leisure, None)
    app = build(settings, clock=clock, rng=rng, store=store, demo_token=token)
    stop, up = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(app.run(stop, up.set))]
    try:
        async with asyncio.timeout(30):
            await up.wait()
        if at_work:
            tasks.append(asyncio.create_task(_work(app, campaign, rows)))
        made = Running(app, store, fake, campaign, rows, token)
        yield made
        for page in made.pages:
            await page.context.close()
    finally:
        for task in tasks[1:]:
            task.cancel()
        stop.set()
        for task in reversed(tasks):
            with suppress(asyncio.CancelledError):
                await task
        await fake.close()
        folder.cleanup()
