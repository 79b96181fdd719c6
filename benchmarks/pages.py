"""bench-pages: the agents board of 1,000 under load, in Chromium; and from a state change on the PBX to the pixel.

Board: the HTTP application over an engine door whose 1,000 agents change state every 30 s, in a process of its own; its
CPU without readers and with READERS (20) open streams, and one Chromium page's busy main thread. Pixel: a whole daemon
(memory store) and fake PBX in one process; customers are bridged to agents, and the page notes when
the agent's row says so. SECONDS (20) is the length of each measurement. Last line:
`bench-pages: ...`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from playwright.async_api import Browser, async_playwright

from benchmarks._held import percentile
from daemon.api.app import build_app
from daemon.api.auth import hash_of, new_token
from daemon.app import build
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import (
    Agent,
    ApiToken,
    Campaign,
    CampaignState,
    Client,
    Group,
    LeadList,
    Line,
    Role,
    TokenKind,
)
from daemon.clock import SystemClock
from daemon.engine import commands as c
from daemon.engine.views import AgentView, AnyView, Changes, LinkView, SystemView
from daemon.service import set_up_logs
from daemon.settings import DaemonTable, HttpTable, Settings, SiteTable
from daemon.store.memory import MemoryStore
from fake_asterisk import FakeAsterisk, people
from simulation.open_rules import rules_folder
from simulation.world import pbx

AGENTS = 1000
DESKS = 20
"""Agents of the daemon whose calls are followed to the pixel: all fit on the screen."""
CHANGE_EVERY_S = 30.0
READERS = int(os.environ.get("READERS", "20"))
SECONDS = float(os.environ.get("SECONDS", "20"))
STATES = ("ready", "on_call", "wrap_up", "on_call", "paused")
BUSY_GOAL, READERS_GOAL, PIXEL_GOAL_MS = 30.0, 10.0, 300.0
WATCH = """
() => {
  window.seen = [];
  const last = {};
  const look = () => {
    for (const row of document.querySelectorAll('tr.row')) {
      const name = row.cells[1].innerText.trim();
      const state = row.cells[2].innerText.trim();
      if (last[name] !== state) window.seen.push([name, state, Date.now()]);
      last[name] = state;
    }
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}
"""
"""Notes when a row of the board first says another state."""
GRACE_MS = 2000.0
"""What is not shown by then counts as so late."""
BRIDGED = re.compile(r"Channel: PJSIP/(10\d\d)-")


class Door:
    """An engine's door with nothing behind it: views that the benchmark changes."""

    def __init__(self, views: Mapping[str, dict[str, AnyView]]) -> None:
        self._views = views
        self._listeners: list[Callable[[Changes], None]] = []

    async def submit(self, command: c.AnyCommand) -> dict[str, object]:
        """Nothing is commanded here."""
        return {}

    def view(self) -> Mapping[str, Mapping[str, AnyView]]:
        """All views."""
        return self._views

    def listen(self, listener: Callable[[Changes], None], tables: Iterable[str] = ()) -> Callable[[], None]:
        """Hear of changes, of all tables."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def show(self, agent: AgentView) -> None:
        """An agent as it is now."""
        self._views["agents"][str(agent.id)] = agent
        for listener in list(self._listeners):
            listener({"agents": {str(agent.id): agent}})


def _views(now: datetime) -> dict[str, dict[str, AnyView]]:
    system = SystemView(
        version="bench", started=now, now=now, store_ok=True, store_since=now, journal_pending=0, leader={"bench": True}
    )
    agents: dict[str, AnyView] = {
        str(n): AgentView(
            id=n, group_id=1, site="bench", name=f"Agent {n}", login=str(n), extension=str(1000 + n), nailed=True,
            state="ready", code="", since=now, campaign_ids=(), campaign_id=0, attempt_id="", lead_id=0,
            phone="NOT_INUSE", today={"calls": 12.0, "sales": 2.0, "talk_s": 900.0, "ready_s": 60.0},
        )
        for n in range(1, AGENTS + 1)
    }  # fmt: skip
    link = LinkView(site="bench", up=True, since=now, mode="dialplan", synced=True)
    empty: dict[str, dict[str, AnyView]] = {"campaigns": {}, "calls": {}, "lines": {}}
    return {**empty, "links": {"bench": link}, "agents": agents, "system": {"bench": system}}


async def _token(store: MemoryStore, clock: SystemClock) -> str:
    group = await store.create(Group(code="B", name="B"))
    token = new_token(TokenKind.OPERATOR, "B", os.urandom)
    row = ApiToken(
        group_id=group.id, name="bench", role=Role.ADMINISTRATOR, all_groups=True, sha256=hash_of(token),
        tail=token[-4:], created_at=clock.utcnow(),
    )  # fmt: skip
    await store.create(row)
    return token


def serve_board(pipe: Any) -> None:
    """A process: the application over the door; its agents change. "cpu" down the pipe is answered by
    the seconds of CPU spent so far; "stop" ends it."""

    async def main() -> None:
        clock, rng = SystemClock(), random.Random(1)
        store = MemoryStore(clock)
        await store.open()
        token = await _token(store, clock)
        door = Door(_views(clock.utcnow()))
        app = build_app(door, store, HttpTable(), clock, rng, site_ids=("bench",), demo_token=token)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send((runner.addresses[0][1], token))
        number = 0
        while True:
            if pipe.poll():
                if pipe.recv() == "stop":
                    break
                pipe.send(time.process_time())
            await asyncio.sleep(CHANGE_EVERY_S / AGENTS)
            number += 1
            view = door.view()["agents"][str(1 + number % AGENTS)]
            assert isinstance(view, AgentView)
            state = STATES[(number // AGENTS + number) % len(STATES)]
            door.show(msgspec.structs.replace(view, state=state, since=clock.utcnow()))
        await runner.cleanup()

    asyncio.run(main())


def read(address: str, token: str, seconds: float) -> None:
    """A process: READERS streams kept open."""

    async def one(session: aiohttp.ClientSession) -> None:
        with suppress(TimeoutError, aiohttp.ClientError):
            async with session.get(f"{address}/api/v1/stream") as answer:
                async for _ in answer.content.iter_any():
                    pass

    async def main() -> None:
        timeout = aiohttp.ClientTimeout(total=seconds)
        headers = {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            await asyncio.gather(*(one(session) for _ in range(READERS)))

    asyncio.run(main())


def serve_daemon(pipe: Any) -> None:
    """A process: a daemon, its fake PBX and a campaign whose people all answer. Anything down the pipe ends it; then
    when which extension entered a bridge comes back, in milliseconds since 1970."""

    async def main() -> None:
        clock = SystemClock()
        set_up_logs("error", "console", clock)
        folder = Path(tempfile.mkdtemp(prefix="cadran-bench-"))
        (folder / "secret").write_text("s3cret\n")
        crowd = people.People(answer_chance=1.0, machine_share=0.0, ring_mean_s=0.5, talk_mean_s=4.0)
        fake = FakeAsterisk(pbx(DESKS, crowd), rng=random.Random(1))
        bridged: list[tuple[str, float]] = []
        emit = fake.emit

        def noted(mask: int, name: str, body: str, **more: Any) -> None:
            if name == "BridgeEnter" and (found := BRIDGED.search(body)):
                bridged.append((found[1], clock.utcnow().timestamp() * 1000))
            emit(mask, name, body, **more)

        fake.emit = noted  # type: ignore[method-assign]
        port = await fake.listen(0)
        store = MemoryStore(clock)
        await store.open()
        token = await _token(store, clock)
        campaign, agents = await _furnish(store)
        site = SiteTable(
            id="bench", tcp_port=port, username="basic", secret_file=str(folder / "secret"), mode="dialplan"
        )
        settings = Settings(
            daemon=DaemonTable(data_dir=str(folder / "data"), rules_dir=str(rules_folder(folder / "rules"))),
            http=HttpTable(tcp_port=0),
            sites=[site],
        )
        app = build(settings, clock=clock, rng=random.Random(2), store=store, demo_token=token)
        stop, up = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(app.run(stop, up.set))
        await up.wait()
        while not app.hub.runners["bench"].core.live.link.synced:
            await asyncio.sleep(0.1)
        for agent in agents:
            await app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        pipe.send(app.http_address)
        await asyncio.to_thread(pipe.recv)
        pipe.send(bridged)
        stop.set()
        await running
        shutil.rmtree(folder, ignore_errors=True)

    asyncio.run(main())


async def _furnish(store: MemoryStore) -> tuple[Campaign, list[Agent]]:
    client = await store.create(Client(group_id=1, name="B"))
    line = await store.create(Line(group_id=1, site="bench", name="T", endpoint="trunk", capacity=100))
    agents = [
        await store.create(Agent(group_id=1, site="bench", login=str(n), name=str(n), extension=str(n)))
        for n in range(1001, 1001 + DESKS)
    ]
    leads = await store.create(LeadList(group_id=1, name="L"))
    await store.add_leads(leads.id, [LeadDraft(e164=f"+33199{n:06d}") for n in range(2000)])
    campaign = await store.create(
        Campaign(
            group_id=1, client_id=client.id, name="B", site="bench", rule_set="open", state=CampaignState.RUNNING,
            list_ids=[leads.id], line_ids=[line.id], wrap_up_max_s=1.0,
        )
    )  # fmt: skip
    return campaign, agents


async def _cpu(pipe: Any, seconds: float) -> float:
    """Percent of a core that the process behind the pipe spends."""
    pipe.send("cpu")
    before: float = await asyncio.to_thread(pipe.recv)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    pipe.send("cpu")
    after: float = await asyncio.to_thread(pipe.recv)
    return 100.0 * (after - before) / (time.perf_counter() - began)


async def board(browser: Browser) -> dict[str, float]:
    """The board's figures: CPU of the daemon's side without and with readers, the page's busy share and its nodes."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    server = spawn.Process(target=serve_board, args=(there,), daemon=True)
    server.start()
    there.close()
    port, token = here.recv()
    address = f"http://127.0.0.1:{port}"
    await asyncio.sleep(2.0)
    alone = await _cpu(here, SECONDS)
    readers = spawn.Process(target=read, args=(address, token, SECONDS + 4.0), daemon=True)
    readers.start()
    await asyncio.sleep(3.0)
    watched = await _cpu(here, SECONDS)
    readers.join()
    page = await browser.new_page(viewport={"width": 1366, "height": 768})
    await page.goto(f"{address}/#/agents")
    await page.locator("tr.row").first.wait_for()
    await asyncio.sleep(3.0)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    before = await _metrics(session)
    await asyncio.sleep(SECONDS)
    after = await _metrics(session)
    here.send("stop")
    server.join(10)
    await page.close()
    busy = 100.0 * (after["TaskDuration"] - before["TaskDuration"]) / (after["Timestamp"] - before["Timestamp"])
    return {"alone": alone, "watched": watched, "busy": busy, "nodes": after["Nodes"], "heap": after["JSHeapUsedSize"]}


async def _metrics(session: Any) -> dict[str, float]:
    answer = await session.send("Performance.getMetrics")
    return {str(entry["name"]): float(entry["value"]) for entry in answer["metrics"]}


async def pixels(browser: Browser) -> list[float]:
    """Milliseconds from the PBX's BridgeEnter to the row that says so, sorted."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve_daemon, args=(there,), daemon=True)
    server.start()
    there.close()
    address = await asyncio.to_thread(here.recv)
    page = await browser.new_page(viewport={"width": 1366, "height": 1200}, locale="en-GB")
    await page.goto(f"{address}/#/agents")
    await page.locator("tr.row").first.wait_for()
    await asyncio.sleep(2.0)
    await page.evaluate(WATCH)
    began = await page.evaluate("() => Date.now()")
    await asyncio.sleep(SECONDS)
    ended = await page.evaluate("() => Date.now()") - GRACE_MS
    shown = [(name, at) for name, state, at in await page.evaluate("window.seen") if state == "On call"]
    here.send("stop")
    bridged = await asyncio.to_thread(here.recv)
    await asyncio.to_thread(server.join, 10)
    await page.close()
    waits = []
    for name, at in bridged:
        if began < at < ended:
            later = [when for who, when in shown if who == name and when >= at - 1]
            waits.append(min(later, default=at + GRACE_MS) - at)
    return sorted(waits)


async def measure() -> None:
    """Run and print."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        sys.exit("bench-pages needs Chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = await board(browser)
        waits = await pixels(browser)
        await browser.close()
    day = datetime.now(UTC).date()
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    extra = found["watched"] - found["alone"]
    print(
        f"{AGENTS} agents, a change of each every {CHANGE_EVERY_S:g} s: the daemon's side {found['alone']:.1f} % of a "
        f"core alone, {found['watched']:.1f} % with {READERS} streams; page: {found['nodes']:.0f} nodes, "
        f"{found['heap'] / 2**20:.0f} MB of script heap; PBX to pixel p50 {p50:.0f} ms, worst {waits[-1]:.0f} ms of "
        f"{len(waits)} ({day})"
    )
    print(f"bench-pages: main thread busy {found['busy']:.1f} % (goal < {BUSY_GOAL:g}), {READERS} open pages cost "
          f"{extra:.1f} % of a core (goal < {READERS_GOAL:g}), PBX to pixel p95 {p95:.0f} ms "
          f"(goal ≤ {PIXEL_GOAL_MS:g})")  # fmt: skip


def main() -> int:
    """Run."""
    asyncio.run(measure())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
