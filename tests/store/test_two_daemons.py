"""Two daemons, each with a site and a PBX of its own, on one PostgreSQL: what is changed at one holds at the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from daemon.app import CLI_TOKEN_FILE, Application, build
from daemon.calls.records import Agent, Blocked, CallerIdNumber, Campaign, Client, Group, LeadList, Line
from daemon.clock import SystemClock
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.settings import DaemonTable, HttpTable, Settings, SiteTable
from daemon.store import PostgresStore
from fake_asterisk import Behaviour, FakeAsterisk
from simulation.open_rules import rules_folder
from simulation.world import pbx

SITES = ("main", "north")
PATIENCE_S = 90.0
"""The promise is 5 s, kept on simulated time (tests/simulation/test_followed.py): a real machine may be slow."""
LISTED = "+33199000777"


def answers(endpoint: str, number: str, rng: random.Random) -> Behaviour:
    return Behaviour(answer_after_s=0.05, media_s=1e9)


class Daemon:
    """One of the two, and its API as an administrator sees it."""

    def __init__(self, site: str, folder: Path, ami_port: int, database: str) -> None:
        secret = folder / "secret"
        secret.write_text("s3cret\n")
        self.site, self.data = site, folder / f"data-{site}"
        settings = Settings(
            daemon=DaemonTable(
                data_dir=str(self.data), rules_dir=str(rules_folder(folder / "rules")), drain_s=0.2, instance=site
            ),
            http=HttpTable(tcp_port=0),
            sites=[
                SiteTable(
                    id=site, tcp_port=ami_port, username="basic", secret_file=str(secret), mode="dialplan",
                    backoff_min_s=0.05, backoff_max_s=0.2,
                )
            ],
        )  # fmt: skip
        store = PostgresStore(database, SystemClock(), pool_size=4)
        self.app: Application = build(settings, clock=SystemClock(), rng=random.Random(1), store=store)

    @property
    def live(self) -> Any:
        return self.app.hub.runners[self.site].core.live

    @property
    def up(self) -> bool:
        runner = self.app.hub.runners.get(self.site)
        return runner is not None and runner.leading and runner.core.live.link.synced

    async def ask(self, method: str, path: str, token: str = "", **body: Any) -> tuple[int, Any, str]:
        """Status, answer and ETag; writes name the version that is there now."""
        token = token or (self.data / CLI_TOKEN_FILE).read_text().split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.app.http_address}/api/v1/{path}"
        async with ClientSession() as session:
            if method in ("PATCH", "DELETE") and not path.startswith("tokens"):
                async with session.get(url, headers=headers) as seen:
                    headers["If-Match"] = seen.headers["ETag"]
            async with session.request(method, url, headers=headers, json=body or None) as reply:
                answer = await reply.json(content_type=None) if reply.status != 204 else None
                return reply.status, answer, reply.headers.get("ETag", "")


class Floor:
    """Both of them at work on a campaign that spans them, each with a line and an agent who is signed in."""

    def __init__(self) -> None:
        self.here: Daemon
        self.there: Daemon
        self.campaign: Campaign
        self.agents: list[Agent] = []
        self.lines: list[Line] = []

    async def soon(self, what: str, condition: Callable[[], bool]) -> None:
        """Until it is so, on a machine however busy."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():  # noqa: ASYNC110 - an engine on its own loop of batches
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{what}: not within {PATIENCE_S} s") from None


@pytest.fixture
async def floor(database: str, tmp_path: Path) -> AsyncIterator[Floor]:
    async with AsyncExitStack() as stack:
        store = PostgresStore(database, SystemClock(), pool_size=2)
        await store.open()
        stack.push_async_callback(store.close)
        made = Floor()
        group = await store.create(Group(code="T", name="T"))
        client = await store.create(Client(group_id=group.id, name="C"))
        leads = await store.create(LeadList(group_id=group.id, name="L"))
        for site in SITES:
            line = Line(group_id=group.id, site=site, name=f"T-{site}", endpoint="trunk", capacity=2)
            made.lines.append(await store.create(line))
            agent = Agent(group_id=group.id, site=site, login=site, name=site, extension="1001")
            made.agents.append(await store.create(agent))
        await store.create(CallerIdNumber(group_id=group.id, e164="+33162000001"))
        campaign = Campaign(
            group_id=group.id, client_id=client.id, name="Partout", site="", rule_set="open", list_ids=[leads.id],
            line_ids=[line.id for line in made.lines],
        )  # fmt: skip
        made.campaign = await store.create(campaign)
        daemons = []
        for site in SITES:
            config = pbx(1)
            config.behaviour_of = answers
            fake = FakeAsterisk(config, rng=random.Random(1))
            port = await fake.listen(0)
            stack.push_async_callback(fake.close)
            daemon = Daemon(site, tmp_path, port, database)
            stop = asyncio.Event()
            running = asyncio.create_task(daemon.app.run(stop))
            daemons.append(daemon)

            async def end(stop: asyncio.Event = stop, running: asyncio.Task[None] = running) -> None:
                stop.set()
                with suppress(asyncio.CancelledError):
                    await running

            stack.push_async_callback(end)
        made.here, made.there = daemons
        async with asyncio.timeout(PATIENCE_S):
            while not all(daemon.up for daemon in daemons):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        for daemon, agent in zip(daemons, made.agents, strict=True):
            await daemon.app.hub.submit(c.SignIn(agent_id=agent.id, campaign_ids=(made.campaign.id,)))
        yield made


@pytest.mark.feature("PBX-04", clause="two daemons on one database: a setting changed at one holds at the other")
async def test_settings_lines_numbers_and_agents_follow(floor: Floor) -> None:
    here, there, campaign = floor.here, floor.there, floor.campaign
    agent, line = floor.agents[1], floor.lines[1]

    status, _, _ = await here.ask("PATCH", f"campaigns/{campaign.id}", wrap_up_max_s=17, name="Ailleurs")
    assert status == 200
    seen = there.live.campaigns[campaign.id]
    await floor.soon("settings", lambda: (seen.record.wrap_up_max_s, seen.record.name) == (17.0, "Ailleurs"))

    status, _, _ = await here.ask("POST", f"campaigns/{campaign.id}/start")
    assert status == 202
    await floor.soon("start", lambda: seen.state == "running")
    await here.ask("POST", f"campaigns/{campaign.id}/tune", speed=8)
    await floor.soon("speed", lambda: seen.record.speed == 8)
    await here.ask("POST", f"campaigns/{campaign.id}/pause")
    await floor.soon("pause", lambda: seen.state == "paused")
    assert here.live.campaigns[campaign.id].state == "paused"

    await here.ask("PATCH", f"lines/{line.id}", capacity=9)
    await floor.soon("line", lambda: there.live.pool.lines[line.id].record.capacity == 9)
    status, number, _ = await here.ask("POST", "caller-ids", e164="+33162000002", group_id=campaign.group_id)
    assert status == 201
    await floor.soon("number", lambda: number["id"] in there.live.caller_ids.numbers)
    await here.ask("DELETE", f"caller-ids/{number['id']}")
    await floor.soon("number gone", lambda: number["id"] not in there.live.caller_ids.numbers)

    assert there.live.desks[agent.id].signed_in
    status, _, _ = await here.ask("PATCH", f"agents/{agent.id}", enabled=False)
    assert status == 200
    await floor.soon("agent", lambda: not there.live.desks[agent.id].signed_in)
    assert here.live.desks[floor.agents[0].id].signed_in


@pytest.mark.feature("ZAD-18", clause="a number blacklisted at one daemon is refused by the other, and let go of")
async def test_the_blacklist_follows(floor: Floor) -> None:
    here, there, campaign = floor.here, floor.there, floor.campaign

    async def refused() -> str:
        command = c.DialNumber(agent_id=floor.agents[1].id, campaign_id=campaign.id, e164=LISTED)
        try:
            answer = await there.app.hub.submit(command)
        except CommandError as error:
            return str(error.details["rule"])
        return f"dialled {answer}"

    status, row, _ = await here.ask("POST", "blacklist", e164=LISTED, group_id=campaign.group_id)
    assert status == 201
    await floor.soon("listed", lambda: row["id"] in there.live.blocked)
    assert await refused() == "blacklist"
    await here.ask("DELETE", f"blacklist/{row['id']}")
    await floor.soon("let go of", lambda: row["id"] not in there.live.blocked)
    assert (await refused()).startswith("dialled")


@pytest.mark.feature("ZAD-18", clause="a blacklist filled by the thousand beside the daemons comes into force")
async def test_a_blacklist_filled_by_a_statement(floor: Floor, database: str) -> None:
    store = PostgresStore(database, SystemClock(), pool_size=1)
    await store.open()
    async with store._database.connection() as connection:
        await connection.execute(
            "INSERT INTO blacklist (group_id, e164) SELECT $1, '+3361' || lpad(i::text, 7, '0')"
            " FROM generate_series(1, 5000) AS i",
            floor.campaign.group_id,
        )
    for daemon in (floor.here, floor.there):
        await floor.soon("filled", lambda live=daemon.live: len(live.blacklist) == 5000)  # type: ignore[misc]
    await store.delete(Blocked, min(floor.there.live.blocked), None)
    await floor.soon("one gone", lambda: len(floor.there.live.blacklist) == 4999)
    await store.close()


@pytest.mark.feature("ROLE-03", clause="a token revoked at one daemon is refused by the other")
async def test_a_revoked_token_is_refused_everywhere(floor: Floor) -> None:
    here, there = floor.here, floor.there
    body = {"name": "CRM", "role": "supervisor", "group_id": floor.campaign.group_id}
    status, token, _ = await here.ask("POST", "tokens", **body)
    assert status == 201
    status, _, _ = await there.ask("GET", "campaigns", token=token["token"])
    assert status == 200
    status, _, _ = await here.ask("DELETE", f"tokens/{token['id']}")
    assert status == 204
    async with asyncio.timeout(PATIENCE_S):
        while (await there.ask("GET", "campaigns", token=token["token"]))[0] == 200:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.2)
