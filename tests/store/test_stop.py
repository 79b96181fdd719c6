"""How the daemon ends while something is open: what it leaves is told, and kept for the next one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon import sites
from daemon.app import Application, build
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, Client, Group, LeadList, Line, PauseCode
from daemon.clock import SystemClock
from daemon.engine import commands as c
from daemon.errors import FactsLost, StoreUnavailable
from daemon.settings import DaemonTable, HttpTable, Settings, SiteTable
from daemon.store.journal_files import MemoryFiles
from daemon.store.memory import MemoryStore
from fake_asterisk import Behaviour, FakeAsterisk
from simulation.open_rules import rules_folder
from simulation.world import pbx


class Away:
    """A database that can be away, or take a lease back without ever saying so."""

    away = mute = False

    async def before(self, op: str) -> None:
        if self.mute and op == "release_lease":
            await asyncio.Event().wait()
        if self.away:
            raise StoreUnavailable("away")

    async def after(self, op: str) -> None:
        return


class Office:
    """One site, two agents, and somebody who answers and talks on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database, self.clock = folder, Away(), SystemClock()
        self.store = MemoryStore(self.clock, faults=self.database)
        config = pbx(2)
        config.behaviour_of = lambda endpoint, number, rng: Behaviour(answer_after_s=0.05, media_s=1e9)
        self.pbx = FakeAsterisk(config, rng=random.Random(1))

    async def furnish(self) -> None:
        store = self.store
        await store.open()
        group = await store.create(Group(code="T", name="T"))
        client = await store.create(Client(group_id=group.id, name="C"))
        line = await store.create(Line(group_id=group.id, site="main", name="L", endpoint="trunk", capacity=5))
        leads = await store.create(LeadList(group_id=group.id, name="L"))
        await store.add_leads(leads.id, [LeadDraft(e164="+33199000001")])
        await store.create(PauseCode(group_id=group.id, code="PAUSE", name="Pause"))
        self.agents = [
            await store.create(Agent(group_id=group.id, site="main", login=n, name=n, extension=n))
            for n in ("1001", "1002")
        ]
        self.campaign = await store.create(
            Campaign(
                group_id=group.id, client_id=client.id, name="C", site="main", rule_set="open", list_ids=[leads.id],
                line_ids=[line.id], calls_per_second=50.0,
            )
        )  # fmt: skip

    def build(self, ami_port: int, drain_s: float = 0.2, **more: Any) -> Application:
        secret = self.folder / "secret"
        secret.write_text("s3cret\n")
        site = SiteTable(
            id="main", tcp_port=ami_port, username="basic", secret_file=str(secret), mode="dialplan",
            backoff_min_s=0.05, backoff_max_s=0.2,
        )  # fmt: skip
        rules = str(rules_folder(self.folder / "rules"))
        settings = Settings(
            daemon=DaemonTable(data_dir=str(self.folder / "data"), rules_dir=rules, drain_s=drain_s),
            http=HttpTable(tcp_port=0),
            sites=[site],
        )
        return build(settings, clock=self.clock, rng=random.Random(1), store=self.store, **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - an engine on its own loop of batches
            await asyncio.sleep(0.01)


async def talking(office: Office, app: Application) -> None:
    """The daemon is up, one agent talks; then the database goes away, and the other agent takes a break."""
    await until(lambda: "main" in app.hub.runners and app.hub.runners["main"].core.live.link.synced)
    live = app.hub.runners["main"].core.live
    for agent in office.agents:
        await app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(office.campaign.id,), ready=True))
    await until(lambda: [desk.state for desk in live.desks.values()] == ["ready", "ready"])
    await app.hub.submit(c.StartCampaign(campaign_id=office.campaign.id))
    await until(lambda: any(call.connected_at is not None for call in live.calls.values()))
    await until(lambda: app.hub.runners["main"].pending == 0)
    office.database.away = True
    (idle,) = [desk for desk in live.desks.values() if desk.state == "ready"]
    await app.hub.submit(c.SetPaused(agent_id=idle.id, code="PAUSE"))


@pytest.mark.feature("RELY-05", clause="a stop while the database is away: told with counts, kept, applied by the next")
async def test_a_stop_tells_what_it_leaves_and_the_next_start_has_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    await office.furnish()
    async with AsyncExitStack() as stack:
        port = await office.pbx.listen(0)
        stack.push_async_callback(office.pbx.close)
        app = office.build(port)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await talking(office, app)
        with capture_logs() as logs:
            stop.set()
            await asyncio.wait_for(running, 100)
        (incomplete,) = [row for row in logs if row["event"] == "drain.incomplete"]
        (stopped,) = [row for row in logs if row["event"] == "site.stopped"]
        assert (incomplete["log_level"], incomplete["reason"]) == ("warning", "bound reached")
        assert (stopped["log_level"], stopped["site"], stopped["conversations"]) == ("warning", "main", 1)
        assert stopped["facts_kept_in_journal"] >= 1 and stopped["facts_lost"] == 0
        intervals = office.store.tables.intervals

        def breaks() -> int:
            return sum(row.code == "PAUSE" for rows in intervals.values() for row in rows)

        assert breaks() == 0
        office.database.away = False
        app, stop = office.build(port, drain_s=15.0), asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await until(lambda: "main" in app.hub.runners and app.hub.runners["main"].core.live.link.synced)
        await until(lambda: breaks() == 1)  # what the first one left in its journal
        assert [call.connected_at is None for call in app.hub.runners["main"].core.live.calls.values()] == [False]
        with capture_logs() as logs:
            stop.set()
            await asyncio.wait_for(running, 100)
        (stopped,) = [row for row in logs if row["event"] == "site.stopped"]
        assert (stopped["log_level"], stopped["facts_waiting"], stopped["conversations"]) == ("info", 0, 1)


async def test_a_stop_that_can_keep_nothing_is_an_error(tmp_path: Path) -> None:
    """Neither the database nor the journal's disk takes what the daemon knows: it ends, and not as if all were well."""
    office = Office(tmp_path)
    await office.furnish()
    async with AsyncExitStack() as stack:
        port = await office.pbx.listen(0)
        stack.push_async_callback(office.pbx.close)
        disk = MemoryFiles()
        app = office.build(port, journal_in_memory=True)
        app.sites.memory_files["main"] = disk
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await until(lambda: "main" in app.hub.runners and app.hub.runners["main"].core.live.link.synced)
        disk.room = 0
        await talking(office, app)
        stop.set()
        with pytest.raises(FactsLost, match=r"site main: \d+ facts could not be kept: .*no space left"):
            await asyncio.wait_for(running, 100)


async def test_a_database_that_does_not_answer_does_not_hold_up_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "DRAIN_GRACE_S", 0.2)
    office = Office(tmp_path)
    await office.furnish()
    async with AsyncExitStack() as stack:
        port = await office.pbx.listen(0)
        stack.push_async_callback(office.pbx.close)
        app, stop = office.build(port, drain_s=15.0), asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await until(lambda: "main" in app.hub.runners and app.hub.runners["main"].core.live.link.synced)
        office.database.mute = True
        with capture_logs() as logs:
            stop.set()
            await asyncio.wait_for(running, 100)
        events = [row["event"] for row in logs]
        assert "lease.not_released" in events and "site.stopped" in events
