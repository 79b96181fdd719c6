"""`cadran demo`: the real daemon, its own PostgreSQL and page, in real time, with a fake PBX and simulated agents.

Nobody is called. Everything lives in a temporary folder and ends with the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from daemon.api.auth import hash_of, new_token
from daemon.app import Application, build
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import (
    Agent,
    ApiToken,
    Campaign,
    CampaignMode,
    CampaignState,
    Client,
    Group,
    LeadList,
    Line,
    PauseCode,
    RecyclingRule,
    Role,
    Status,
    TokenKind,
)
from daemon.clock import Clock, SystemClock
from daemon.engine import commands as c
from daemon.errors import CommandError
from daemon.ports import Store
from daemon.service import set_up_logs
from daemon.settings import DaemonTable, HttpTable, Settings, SiteTable
from daemon.store.embedded import EmbeddedPostgres, usable_folder
from daemon.store.postgres import PostgresStore
from fake_asterisk import FakeAsterisk, people
from simulation.open_rules import rules_folder
from simulation.world import pbx

LEADS = 5000
STATUSES: tuple[tuple[str, str, dict[str, bool]], ...] = (
    ("VENTE", "Vente", {"sale": True, "final": True}),
    ("RAPPEL", "Rappel", {"callback": True}),
    ("REFUS", "Refus", {"not_interested": True}),
    ("REPONDEUR", "Répondeur", {"machine": True}),
    ("INJOIGN", "Injoignable", {}),
)
PAUSES = (("PAUSE", "Pause", 900.0), ("REPAS", "Repas", 2700.0), ("FORMATION", "Formation", 3600.0))
FIRST_NAMES = ("Camille", "Jean", "Aïcha", "Louis", "Inès", "Paul", "Zoé", "Karim", "Léa", "Hugo")
LAST_NAMES = ("Martin", "Bernard", "Diallo", "Petit", "Roy", "Moreau", "Benali", "Garnier", "Faure", "Lopez")


async def run_demo(*, port: int, agents: int, seed: int, seconds: float, say: Callable[[str], None]) -> None:
    """Everything up, a campaign dialling; returns at Ctrl-C, or after `seconds` if not 0."""
    folder = await asyncio.to_thread(_folder)
    try:
        async with AsyncExitStack() as stack:
            await _demo(folder, stack, port=port, agents=agents, seed=seed, seconds=seconds, say=say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """A folder that the database's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cadran-demo-", dir=usable_folder(Path(tempfile.gettempdir()))))
    folder.chmod(0o755)
    return folder


async def _demo(
    folder: Path,
    stack: AsyncExitStack,
    *,
    port: int,
    agents: int,
    seed: int,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    clock = SystemClock()
    set_up_logs("warning", "console", clock)
    say("Starting a PostgreSQL of its own ...")
    server = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", durable=False, tied=True))
    crowd = people.People(answer_chance=0.35, talk_mean_s=40.0, ring_mean_s=6.0)
    fake = FakeAsterisk(pbx(agents, crowd), rng=random.Random(seed))
    ami_port = await fake.listen(0)
    stack.push_async_callback(fake.close)
    store = PostgresStore(server.dsn(), clock)
    token = new_token(TokenKind.OPERATOR, "DEMO", secrets.token_bytes)
    app = build(_settings(folder, ami_port, port), clock=clock, rng=random.Random(seed), store=store, demo_token=token)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await store.open()
    campaigns, people_at_work = await _furnish(store, clock, agents, token)
    up = asyncio.Event()
    running = asyncio.create_task(app.run(stop, up.set))
    waiting = asyncio.create_task(up.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        running.result()
        return
    crew = asyncio.create_task(_work(app, campaigns, people_at_work, random.Random(seed + 1)))
    say(f"\nCadran is running: {app.http_address}/")
    say("A campaign is dialling on a fake PBX: nobody is called. Ctrl-C ends it and leaves nothing behind.\n")
    if seconds:
        loop.call_later(seconds, stop.set)
    try:
        await running
    finally:
        crew.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await crew
    say("Stopped.")


def _settings(folder: Path, ami_port: int, port: int) -> Settings:
    secret = folder / "ami-secret"
    secret.write_text("s3cret\n")
    return Settings(
        daemon=DaemonTable(data_dir=str(folder / "data"), rules_dir=str(rules_folder(folder / "rules")), drain_s=2.0),
        http=HttpTable(tcp_port=port),
        sites=[
            SiteTable(
                id="demo", name="Démo", tcp_port=ami_port, username="basic", secret_file=str(secret), mode="dialplan"
            )
        ],
    )


async def _furnish(store: Store, clock: Clock, count: int, token: str) -> tuple[list[Campaign], list[Agent]]:
    """What an operator would have typed: group, statuses, lines, agents, a list, a campaign; and the demo's token."""
    rng = random.Random(7)
    group = await store.create(Group(code="DEMO", name="Démonstration"))
    client = await store.create(Client(group_id=group.id, name="Assurances du Cadran"))
    await _codes(store, group)
    lines = [
        await store.create(
            Line(group_id=group.id, site="demo", name=name, endpoint="trunk", capacity=capacity, priority=priority)
        )
        for name, capacity, priority in (("TR-1", 3 * count, 10), ("TR-2", count, 5))
    ]
    agents = await _agents(store, group, count, rng)
    leads = await _leads(store, group, rng)
    campaign = await store.create(_campaign(client, leads, lines))
    await store.create(_token(group, token, clock))
    return [campaign], agents


async def _codes(store: Store, group: Group) -> None:
    """What agents can say of a call, and why they may pause."""
    for sort, (code, name, flags) in enumerate(STATUSES):
        status = Status(group_id=group.id, code=code, name=name, sort=sort)
        await store.create(msgspec.structs.replace(status, **flags))
    for code, name, expected in PAUSES:
        await store.create(PauseCode(group_id=group.id, code=code, name=name, expected_s=expected))


async def _agents(store: Store, group: Group, count: int, rng: random.Random) -> list[Agent]:
    """So many, each at the extension that is the login too."""
    names = [f"{first[0]}. {last}" for last in LAST_NAMES for first in FIRST_NAMES]
    rng.shuffle(names)
    agents = []
    for n in range(count):
        login, name = str(1001 + n), names[n % len(names)]
        agents.append(
            await store.create(Agent(group_id=group.id, site="demo", login=login, name=name, extension=login))
        )
    return agents


async def _leads(store: Store, group: Group, rng: random.Random) -> LeadList:
    """A list of people in Toulouse, whose numbers are nobody's."""
    leads = await store.create(LeadList(group_id=group.id, name="Prospects"))
    drafts = [
        LeadDraft(
            e164=f"+33199{n:06d}",
            first_name=rng.choice(FIRST_NAMES),
            last_name=rng.choice(LAST_NAMES),
            city="Toulouse",
            postal_code="31000",
        )
        for n in range(LEADS)
    ]
    await store.add_leads(leads.id, drafts)
    return leads


def _campaign(client: Client, leads: LeadList, lines: list[Line]) -> Campaign:
    """Predictive, and at work already."""
    return Campaign(
        group_id=client.group_id,
        client_id=client.id,
        name="Assurance Auto 31",
        site="demo",
        mode=CampaignMode.PREDICTIVE,
        level=2,
        speed=6,
        state=CampaignState.RUNNING,
        rule_set="open",
        list_ids=[leads.id],
        line_ids=[line.id for line in lines],
        gap_min_s=60.0,
        wrap_up_max_s=40.0,
        recycling=[
            RecyclingRule(on="no_answer", delay_s=120.0),
            RecyclingRule(on="busy", delay_s=60.0),
            RecyclingRule(on="INJOIGN", delay_s=300.0),
        ],
    )


def _token(group: Group, token: str, clock: Clock) -> ApiToken:
    """Who opens the page of the demo may do everything there, for a day."""
    now = clock.utcnow()
    return ApiToken(
        group_id=group.id,
        name="demo",
        role=Role.ADMINISTRATOR,
        all_groups=True,
        sha256=hash_of(token),
        tail=token[-4:],
        created_at=now,
        expires_at=now + timedelta(days=1),
    )


async def _work(app: Application, campaigns: list[Campaign], agents: list[Agent], rng: random.Random) -> None:
    """The agents: sign in, talk, note the outcome after a while, take a pause now and then."""
    ids = tuple(campaign.id for campaign in campaigns)
    waiting = {agent.id for agent in agents}
    noted: dict[int, UUID] = {}
    tasks: set[asyncio.Task[None]] = set()
    while True:
        runner = app.hub.runners.get("demo")
        if runner is not None and runner.leading and runner.core.live.link.synced:
            for agent_id in sorted(waiting):
                with contextlib.suppress(CommandError):
                    await app.hub.submit(c.SignIn(agent_id=agent_id, campaign_ids=ids, ready=True, by="demo"))
                    waiting.discard(agent_id)
            for agent_id, desk in list(runner.core.live.desks.items()):
                call = desk.last_call
                if desk.state == "wrap_up" and call is not None and noted.get(agent_id) != call.attempt_id:
                    noted[agent_id] = call.attempt_id
                    task = asyncio.create_task(_dispose(app, agent_id, call.attempt_id, rng))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                elif desk.state == "paused" and rng.random() < 0.02:
                    with contextlib.suppress(CommandError):
                        await app.hub.submit(c.SetReady(agent_id=agent_id, by="demo"))
        await asyncio.sleep(0.5)


async def _dispose(app: Application, agent_id: int, attempt_id: UUID, rng: random.Random) -> None:
    await asyncio.sleep(2.0 + rng.expovariate(1 / 8.0))
    code = rng.choices(("VENTE", "REFUS", "INJOIGN"), (1, 4, 5))[0]
    pause = rng.random() < 0.04
    with contextlib.suppress(CommandError):
        await app.hub.submit(
            c.Dispose(
                agent_id=agent_id,
                attempt_id=attempt_id,
                code=code,
                then="paused" if pause else "ready",
                pause_code="PAUSE" if pause else "",
                by="demo",
            )
        )
