"""A campaign that spans three sites (AMI 22, an old box, ARI) on PostgreSQL: one list, nobody called by two of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress
from inspect import isawaitable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from daemon.app import Application, build
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, Client, Group, LeadList, Line
from daemon.clock import SystemClock
from daemon.engine import commands as c
from daemon.settings import AriTable, DaemonTable, HttpTable, Settings, SiteTable
from daemon.store import PostgresStore
from fake_asterisk import Behaviour, FakeAsterisk
from fake_asterisk.config import AriUser
from simulation.open_rules import rules_folder
from simulation.world import pbx

SITES = ("main", "north", "south")
LEADS, AGENTS = 27, 2
NUMBERS = "0199"
DONE = """
SELECT NOT EXISTS (SELECT FROM attempts WHERE outcome IS NULL) AND NOT EXISTS (SELECT FROM leads l WHERE NOT EXISTS (
    SELECT FROM attempts a WHERE a.lead_id = l.id AND a.outcome <> 'not_placed'))"""


def behaviour(endpoint: str, number: str, rng: random.Random) -> Behaviour:
    """Phones answer and stay; people answer at once and talk for half a second, each third is busy."""
    if not number.startswith(NUMBERS):
        return Behaviour(answer_after_s=0.05, media_s=1e9)
    if int(number) % 3 == 0:
        return Behaviour(answer_after_s=None, fail_sip=486)
    return Behaviour(answer_after_s=0.1, hangup_after_s=0.6, media_s=1e9)


async def open_pbxs(stack: AsyncExitStack) -> tuple[dict[str, FakeAsterisk], dict[str, int]]:
    """The three PBXs on ports of their own."""
    fakes, ports = {}, {}
    for n, site in enumerate(SITES):
        config = pbx(AGENTS)
        config.behaviour_of = behaviour
        config.ari_users["dialer"] = AriUser("s3cret")
        if site == "north":
            config.ami_version, config.version = "1.1", "1.8.32"
        fakes[site] = FakeAsterisk(config, rng=random.Random(n))
        ports[site] = await (fakes[site].listen_ari(0) if site == "south" else fakes[site].listen(0))
        stack.push_async_callback(fakes[site].close)
    return fakes, ports


def settings_of(folder: Path, ports: dict[str, int]) -> Settings:
    secret = folder / "secret"
    secret.write_text("s3cret\n")
    common: dict[str, Any] = {"backoff_min_s": 0.05, "backoff_max_s": 0.2}
    ari = AriTable(url=f"http://127.0.0.1:{ports['south']}", username="dialer", password_file=str(secret))
    ami: dict[str, Any] = {"username": "basic", "secret_file": str(secret)}
    return Settings(
        daemon=DaemonTable(data_dir=str(folder / "data"), rules_dir=str(rules_folder(folder / "rules")), drain_s=1.0),
        http=HttpTable(tcp_port=0),
        sites=[
            SiteTable(id="main", tcp_port=ports["main"], mode="dialplan", **ami, **common),
            SiteTable(id="north", tcp_port=ports["north"], **ami, **common),
            SiteTable(id="south", driver="ari", ari=ari, **common),
        ],
    )


async def furnish(store: PostgresStore) -> tuple[Campaign, list[Agent]]:
    """One campaign of no site, with a line and agents on each."""
    group = await store.create(Group(code="T", name="T"))
    client = await store.create(Client(group_id=group.id, name="C"))
    leads = await store.create(LeadList(group_id=group.id, name="L"))
    await store.add_leads(leads.id, [LeadDraft(e164=f"+33199{n:06d}") for n in range(LEADS)])
    lines, agents = [], []
    for site in SITES:
        line = Line(group_id=group.id, site=site, name=f"T-{site}", endpoint="trunk", capacity=AGENTS)
        lines.append((await store.create(line)).id)
        for n in range(1001, 1001 + AGENTS):
            row = Agent(
                group_id=group.id, site=site, login=f"{site}{n}", name=f"{site} {n}", extension=str(n),
                nailed=site != "north",
            )  # fmt: skip
            agents.append(await store.create(row))
    campaign = Campaign(
        group_id=group.id, client_id=client.id, name="Partout", site="", rule_set="open", list_ids=[leads.id],
        line_ids=lines, calls_per_second=50.0, wrap_up_max_s=0.2, ring_timeout_s=15.0,
    )  # fmt: skip
    return await store.create(campaign), agents


async def until(app: Application, what: str, condition: Any) -> None:
    """Wait for a condition; whoever waits in vain is told what the sites say."""
    try:
        async with asyncio.timeout(150):
            while not (await met if isawaitable(met := condition()) else met):  # noqa: ASYNC110 - several engines
                await asyncio.sleep(0.05)
    except TimeoutError:
        told = {}
        for id, runner in app.hub.runners.items():
            live = runner.core.live
            desks = {desk.id: (desk.state, desk.leg_state) for desk in live.desks.values()}
            campaigns = [(c.limit, c.lead_counts, c.outcomes) for c in live.campaigns.values()]
            told[id] = (runner.pending, live.link, live.counters, list(live.calls.values()), desks, campaigns)
        raise TimeoutError(f"{what}: {told}") from None


@pytest.mark.feature(
    "PBX-04", clause="one campaign on three sites and one PostgreSQL: each person dialled once, by one"
)
async def test_three_sites_share_a_campaign(database: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        fakes, ports = await open_pbxs(stack)
        store = PostgresStore(database, SystemClock(), pool_size=6)
        await store.open()
        campaign, agents = await furnish(store)
        app = build(settings_of(tmp_path, ports), clock=SystemClock(), rng=random.Random(1), store=store)
        stop, up = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(app.run(stop, up.set))
        await up.wait()
        runners = app.hub.runners
        await until(app, "up", lambda: all(r.leading and r.core.live.link.synced for r in runners.values()))
        for agent in agents:
            await app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
        desks = lambda: [desk for r in runners.values() for desk in r.core.live.desks.values()]  # noqa: E731
        await until(app, "ready", lambda: [desk.state for desk in desks()] == ["ready"] * len(agents))
        await app.hub.submit(c.StartCampaign(campaign_id=campaign.id))

        def dialled(site: str) -> list[str]:
            return [leg.number for leg in fakes[site].ledger.legs.values() if leg.number.startswith(NUMBERS)]

        await until(app, "at work", lambda: min(len(dialled(site)) for site in SITES) > 0)
        fakes["south"].faults.cut()
        connection = await asyncpg.connect(database)
        stack.push_async_callback(connection.close)

        async def done() -> bool:
            """Each person has been tried, and no attempt is open: one that was on its way to the PBX as the link went
            is in doubt, and not repeated."""
            return bool(await connection.fetchval(DONE))

        await until(app, "done", done)
        await until(app, "over", lambda: not any(r.core.live.calls or r.pending for r in runners.values()))
        connected = sum(r.core.live.campaigns[campaign.id].outcomes["connected"] for r in runners.values())
        seen = lambda: app.hub.view()["campaigns"][str(campaign.id)].outcomes["connected"]  # noqa: E731
        await until(app, "seen", lambda: seen() == connected)  # people see one campaign
        stop.set()
        with suppress(asyncio.CancelledError):
            await running
        rows = await connection.fetch("SELECT site, lead_id, e164, outcome, placed_at FROM attempts")
        ledger = await connection.fetch("SELECT site, sum(answered_live) AS live FROM ledger GROUP BY site")
    by_site = {site: dialled(site) for site in SITES}
    for site, numbers in by_site.items():
        placed = [row for row in rows if row["site"] == site and row["placed_at"] is not None]
        assert Counter(numbers) <= Counter("0" + row["e164"].removeprefix("+33") for row in placed)
    everyone = Counter(number for numbers in by_site.values() for number in numbers)
    in_doubt = {"0" + row["e164"].removeprefix("+33") for row in rows if row["outcome"] == "unknown"}
    assert {number for number, count in everyone.items() if count > 1} <= in_doubt, "nobody is called by two sites"
    assert len(everyone.keys() | in_doubt) == LEADS, "nobody is left out"
    outcomes = Counter(row["outcome"] for row in rows)
    assert connected == outcomes["connected"] > 5
    assert {row["site"] for row in ledger if row["live"]} == set(SITES), "each keeps the ceiling on its own row"
