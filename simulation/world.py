"""A world: one daemon, one fake PBX, one memory store, people and agents, all on virtual time from one seed.

`World.start()` brings everything up; `add_campaign` and friends fill the store as an operator would; agents are driven
by `Desk`s that dispose of their calls. The fake PBX's own ledger is the witness.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import msgspec

import daemon
from daemon.agents.states import AgentState
from daemon.app import Application, build
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, CampaignMode, Client, Group, LeadList, Line, PauseCode, Status
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreUnavailable
from daemon.settings import AriTable, DaemonTable, HttpTable, Settings, SiteTable
from daemon.store.journal_files import MemoryFiles
from daemon.store.memory import MemoryStore
from fake_asterisk import FakeAsterisk, FakeConfig, lab, people
from fake_asterisk.config import AriUser
from simulation.loop import LIFE, Life, VirtualClock, VirtualLoop

AMI_PORT = 5038
ARI_PORT = 8088
RULES = """
id = "open"
title = "Every hour, no consent asked: for a fake PBX and tests only"
country = "FR"
audience = "business"
valid_from = 2020-01-01

[hours]
clause = "own policy"
source = "this simulation"
mark = "own"
holidays = ""
windows = [{ days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], from = "00:00", to = "24:00" }]


[consent]
clause = "own policy"
source = "this simulation"
mark = "own"
required = false

[abandonment]
clause = "own policy"
source = "this simulation"
mark = "own"
rate_max = 0.03
windows = ["hour", "day"]
connect_deadline_s = 2.0
clock_start = "answer"
ring_time_s_min = 15

[caller_id]
clause = "own policy"
source = "this simulation"
mark = "own"

[automated_message]
clause = "own policy"
source = "this simulation"
mark = "own"
policy = "allowed"

[technical]
clause = "own policy"
source = "this simulation"
mark = "own"
max = 1000
hours = 1
"""


def pbx(agents: int = 20, crowd: people.People | None = None, phones: people.Phones | None = None) -> FakeConfig:
    """A fake PBX with our include in its dialplan, as a site in mode `dialplan` has it."""
    include = (Path(daemon.__file__).parent / "config" / "asterisk" / "extensions-cadran.conf").read_text()
    return people.config(agents=agents, people=crowd, phones=phones, dialplan=lab.DIALPLAN + include)


def rules_folder(folder: Path) -> Path:
    """Write the open rule set into `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open.toml").write_text(RULES)
    return folder


@dataclass(slots=True)
class AgentHabits:
    """How simulated agents work: wrap-up seconds (mean of an exponential), chance of each status."""

    wrap_up_s: float = 15.0
    statuses: tuple[str, ...] = ("VENTE", "REFUS", "INJOIGN")


class _Unreachable:
    """The database as a machine sees it that is cut off from it."""

    async def before(self, op: str) -> None:
        raise StoreUnavailable(f"no route to the database for {op}")

    async def after(self, op: str) -> None:
        return


@dataclass
class World:
    """See the module's first lines."""

    loop: VirtualLoop
    seed: int
    pbx_config: FakeConfig | None = None
    mode: str = "asyncagi"
    store: MemoryStore | None = None
    http: bool = False
    settings_changes: Callable[[Settings], Settings] | None = None
    clock: VirtualClock = field(init=False)
    fake: FakeAsterisk = field(init=False)
    app: Application = field(init=False)

    def __post_init__(self) -> None:
        assert self.loop.network is not None
        self.clock = VirtualClock(self.loop)
        self.rng = random.Random(self.seed)
        config = self.pbx_config or pbx()
        self.fake = FakeAsterisk(config, loop=self.loop, rng=random.Random(self.seed + 1), wall=self.clock.epoch)
        self.loop.network.serve(AMI_PORT, self.fake.protocol_factory)
        if self.mode == "ari":
            config.ari_users.setdefault("dialer", AriUser("s3cret"))
            self.loop.network.serve(ARI_PORT, self.fake.ari_protocol_factory)
        self.store = self.store or MemoryStore(self.clock)
        self.habits = AgentHabits()
        self._folder = TemporaryDirectory(prefix="cadran-world-")
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self.lives: list[Life] = []
        self.instance = "sim"
        self._disks: dict[str, dict[str, MemoryFiles]] = {}
        self.standby: tuple[str, Application, Life] | None = None
        self._after_batch: Callable[[], None] | None = None
        self._news = True
        """An engine has had a batch since the agents were last looked at."""
        self.two_machines = False
        """Whether both daemons are told that there is another: only then may one outlive its way to the database."""
        self.group: Group | None = None
        self.client: Client | None = None

    @property
    def journals(self) -> dict[str, MemoryFiles]:
        """The journals on the disk of the machine whose daemon is at work, by site."""
        return self._disks.setdefault(self.instance, {})

    def settings(self, instance: str = "") -> Settings:
        """The daemon's settings in this world."""
        folder = Path(self._folder.name)
        secret = folder / "secret"
        secret.write_text("s3cret\n")
        ari = self.mode == "ari"
        username = "dialer" if self.mode in ("asyncagi", "ari") else "basic"
        settings = Settings(
            daemon=DaemonTable(
                data_dir=str(folder), rules_dir=str(rules_folder(folder / "rules")), instance=instance or self.instance
            ),
            http=HttpTable(tcp_port=0),
            sites=[
                SiteTable(
                    id="main",
                    name="Sim",
                    driver="ari" if ari else "ami",
                    ari=AriTable(url=f"http://127.0.0.1:{ARI_PORT}", username=username, password_file=str(secret)),
                    tcp_port=AMI_PORT,
                    username=username,
                    secret_file=str(secret),
                    mode="auto" if ari else self.mode,
                    backoff_max_s=2.0,
                )
            ],
        )
        lease = msgspec.structs.replace(settings.lease, standby=self.two_machines)
        settings = msgspec.structs.replace(settings, lease=lease)
        return self.settings_changes(settings) if self.settings_changes else settings

    async def start(self, wait: bool = True) -> None:
        """A daemon's life begins; with `wait`, until the PBX's snapshot is reconciled."""
        assert self.store is not None
        before = getattr(self, "app", None)
        self.life = Life(f"life {len(self.lives) + 1}")
        self.lives.append(self.life)
        context = copy_context()
        context.run(LIFE.set, self.life)
        await self.store.open()
        task = self.loop.create_task(self._live_on(), name="daemon", context=context)
        self.life.kept.append(task)
        self._daemon_task = task
        if wait:
            await self.until(lambda: self.app is not before and self.runner.leading and self.live.link.synced, 60.0)

    async def _live_on(self) -> None:
        """One life of the daemon, inside its own context."""
        assert self.store is not None
        number = len(self.lives)
        app = build(
            self.settings(),
            clock=self.clock,
            rng=random.Random(self.seed * 1000 + number),
            store=self.store,
            journal_in_memory=True,
        )
        app.sites.memory_files = self.journals
        self._listen_to_batches(app)
        self.app = app
        self.life.kept.append(app)
        async with asyncio.TaskGroup() as group:
            for site in app.settings.sites:
                group.create_task(app.sites.keep(site), name=f"site {site.id}")
            group.create_task(app.show_system(), name="system")

    # ---- a second machine --------------------------------------------------------------------------------------

    async def stand_by(self) -> None:
        """A second daemon, with a disk of its own, waits for the site's lease."""
        assert self.store is not None
        instance = "two" if self.instance == "sim" else "sim"
        store = MemoryStore(self.clock, tables=self.store.tables, faults=self.store.faults)
        await store.open()
        app = build(
            self.settings(instance),
            clock=self.clock,
            rng=random.Random(self.seed * 1000 + 500 + len(self.lives)),
            store=store,
            journal_in_memory=True,
        )
        app.sites.memory_files = self._disks.setdefault(instance, {})
        self._listen_to_batches(app)
        life = Life(f"life {len(self.lives) + 1} of {instance}")
        self.lives.append(life)
        context = copy_context()
        context.run(LIFE.set, life)
        task = self.loop.create_task(app.sites.keep(app.settings.sites[0]), name=f"daemon {instance}", context=context)
        life.kept.extend((app, task, store))
        self.standby = (instance, app, life)

    @property
    def standby_runner(self) -> Any:
        """The second daemon's engine of the site."""
        assert self.standby is not None
        return self.standby[1].hub.runners["main"]

    def cut_off(self, app: Application) -> None:
        """That daemon reaches the database no more."""
        store = app.store
        assert isinstance(store, MemoryStore)
        store.faults = _Unreachable()

    def take_over(self) -> None:
        """The second daemon is the world's from now on; the first machine is switched off."""
        assert self.standby is not None
        if not self.life.dead:
            self.kill()
        self.instance, self.app, self.life = self.standby
        store = self.app.store
        assert isinstance(store, MemoryStore)
        self.store, self._daemon_task, self.standby = store, self.life.kept[1], None

    async def kill_and_start_other(self) -> None:
        """The other machine's daemon takes over, so that what its journal holds is applied."""
        self.kill()
        self.instance = "two" if self.instance == "sim" else "sim"
        await self.start()

    @property
    def other_has_facts(self) -> bool:
        """Whether the disk of the machine that is not at work holds a journal."""
        other = self._disks.get("two" if self.instance == "sim" else "sim", {})
        return any(files.names() for files in other.values())

    def kill(self) -> None:
        """kill -9: nothing of this life runs again; its connections are reset; the journal's written bytes survive."""
        assert self.loop.network is not None
        self.life.end(self.loop)
        self.life.kept.append(self.app)
        self.loop.network.kill(self.life)

    @property
    def runner(self) -> Any:
        return self.app.hub.runners["main"]

    @property
    def live(self) -> Any:
        """The engine's live state, for checkers."""
        return self.runner.core.live

    async def until(self, condition: Callable[[], bool], bound_s: float, step_s: float = 0.05) -> None:
        """Wait until `condition()`; TimeoutError after `bound_s` virtual seconds."""
        loop, met = self.loop, self.loop.create_future()
        deadline = loop.time() + bound_s
        timer: Any = None

        def look() -> None:
            nonlocal timer
            try:
                if condition():
                    met.set_result(None)
                    return
            except (KeyError, AttributeError):
                pass
            except Exception as error:
                met.set_exception(error)
                return
            if loop.time() > deadline:
                met.set_exception(TimeoutError("the world did not get there"))
                return
            timer = loop.call_later(step_s, look)  # a timer alone: a task would be woken thousands of times in a run

        look()
        try:
            await met
        finally:
            if timer is not None:
                timer.cancel()

    async def seen(self, condition: Callable[[], bool], bound_s: float, step_s: float = 0.05) -> None:
        """As `until`, for what only an engine's batch can bring about: looked at every `step_s` as there, but only if
        there has been a batch since."""
        loop, met = self.loop, self.loop.create_future()
        next_at = end_at = loop.time()
        deadline = end_at + bound_s
        while end_at <= deadline:
            end_at += step_s
        armed: Any = None

        def look() -> None:
            nonlocal armed
            armed = None
            try:
                if not met.done() and condition():
                    met.set_result(None)
            except (KeyError, AttributeError):
                pass
            except Exception as error:
                met.set_exception(error)

        def after_batch() -> None:
            nonlocal armed, next_at
            if armed is None and not met.done():
                now = loop.time()
                while next_at <= now:
                    next_at += step_s
                armed = loop.call_at(next_at, look)

        def too_late() -> None:
            if not met.done():
                look()
            if not met.done():
                met.set_exception(TimeoutError("the world did not get there"))

        look()
        end = loop.call_at(end_at, too_late)
        self._after_batch = after_batch
        try:
            await met
        finally:
            self._after_batch = None
            for timer in (armed, end):
                if timer is not None:
                    timer.cancel()

    def _listen_to_batches(self, app: Application) -> None:
        """An engine's sign of life after each batch is `seen`'s as well."""
        told = app.sites._beat

        def beat(site: str) -> None:
            told(site)
            self._news = True
            if self._after_batch is not None:
                self._after_batch()

        app.sites._beat = beat  # type: ignore[method-assign]

    async def stop(self) -> None:
        """End the daemon in order."""
        if not self.life.dead:
            self._tasks.append(self._daemon_task)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.cleanup()

    async def submit(self, command: c.AnyCommand) -> dict[str, object]:
        """A command through the hub, as the API gives it."""
        return await self.app.hub.submit(command)

    # ---- an operator's work ------------------------------------------------------------------------------------

    async def furnish(
        self, *, agents: int, leads: int, lines: Sequence[int] = (30,), nailed: int | None = None, **campaign: Any
    ) -> Campaign:
        """Group, client, statuses, lines of these capacities, agents (`nailed` of them nailed up), list, campaign."""
        store = self.store
        assert store is not None
        await store.open()
        self.group = await store.create(Group(code="SIM", name="Simulation"))
        self.client = await store.create(Client(group_id=self.group.id, name="Client"))
        for code, flags in (
            ("VENTE", {"sale": True, "final": True}),
            ("REFUS", {"not_interested": True}),
            ("RAPPEL", {"callback": True}),
            ("INJOIGN", {}),
        ):
            status = Status(group_id=self.group.id, code=code, name=code.title())
            await store.create(msgspec.structs.replace(status, **flags))
        await store.create(PauseCode(group_id=self.group.id, code="PAUSE", name="Pause", expected_s=900.0))
        trunks = [
            await store.create(
                Line(
                    group_id=self.group.id,
                    site="main",
                    name=f"T{n}",
                    endpoint="trunk",
                    capacity=capacity,
                    priority=10 - n,
                )
            )
            for n, capacity in enumerate(lines)
        ]
        people = [
            await store.create(
                Agent(
                    group_id=self.group.id,
                    site="main",
                    login=str(1001 + n),
                    name=f"Agent {1001 + n}",
                    extension=str(1001 + n),
                    nailed=nailed is None or n < nailed,
                )
            )
            for n in range(agents)
        ]
        self.agents = people
        found = await store.create(LeadList(group_id=self.group.id, name="List"))
        self.list = found
        await store.add_leads(found.id, [LeadDraft(e164=f"+3319900{n:04d}", last_name=f"P{n}") for n in range(leads)])
        fields: dict[str, Any] = {
            "mode": CampaignMode.PROGRESSIVE,
            "wrap_up_max_s": 60.0,
            "calls_per_second": 20.0,
            "rule_set": "open",
            "gap_min_s": 0.0,
        } | campaign
        return await store.create(
            Campaign(
                group_id=self.group.id,
                client_id=self.client.id,
                name=campaign.pop("name", "Campaign"),
                site="main",
                list_ids=[found.id],
                line_ids=[line.id for line in trunks],
                **fields,
            )
        )

    async def staff(self, campaign: Campaign, *, ready: bool = True) -> None:
        """Sign the agents in and keep them working: each call is disposed of after a wrap-up of the habits."""
        for agent in self.agents:
            await self.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=ready))
        self._tasks.append(asyncio.create_task(self._work(), name="agents"))

    async def _work(self) -> None:
        """Twice a second the agents are looked at, by a timer: a task would be woken thousands of times in a run."""
        loop, busy, failed = self.loop, dict[int, UUID](), self.loop.create_future()
        timer: Any = None

        def look() -> None:
            nonlocal timer
            if self._news:
                self._news = False
                try:
                    self._dispose_of_new(busy)
                except Exception as error:
                    failed.set_exception(error)
                    return
            timer = loop.call_later(0.5, look)

        timer = loop.call_later(0.5, look)
        try:
            await failed
        finally:
            timer.cancel()

    def _dispose_of_new(self, busy: dict[int, UUID]) -> None:
        """Agents who have entered wrap-up since the last look will dispose of their calls."""
        wrap_up = AgentState.WRAP_UP
        for desk in [desk for desk in self.live.desks.values() if desk.state is wrap_up and not desk.disposed]:
            id = desk.id
            if busy.get(id) != desk.last_call.attempt_id:
                busy[id] = desk.last_call.attempt_id
                wait = self.rng.expovariate(1.0 / self.habits.wrap_up_s)
                task = asyncio.create_task(self._dispose(id, desk.last_call.attempt_id, wait), name=f"wrap {id}")
                self._tasks.append(task)
        if len(self._tasks) > 200:
            self._tasks = [task for task in self._tasks if not task.done()]

    async def _dispose(self, agent_id: int, attempt_id: UUID, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        code = self.rng.choice(self.habits.statuses)
        try:
            await self.submit(c.Dispose(agent_id=agent_id, attempt_id=attempt_id, code=code))
        except CommandError:
            return  # wrap-up ran out, or the world was shaken meanwhile
