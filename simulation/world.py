"""A world: one daemon, one fake PBX, one memory store, people and agents, all on virtual time from one seed.

`World.start()` brings everything up; `furnish` fills the store as an operator would; `staff` lets agents sign in and
dispose of their calls. The fake PBX's own ledger is the witness.
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
from daemon.calls.records import Campaign, Client, Group
from daemon.engine import commands as c
from daemon.errors import CommandError, StoreUnavailable
from daemon.settings import AriTable, DaemonTable, HttpTable, Settings, SiteTable
from daemon.store.journal_files import MemoryFiles
from daemon.store.memory import MemoryStore
from fake_asterisk import FakeAsterisk, FakeConfig, lab, people
from fake_asterisk.config import AriUser
from simulation import waiting
from simulation.furnishing import Operator
from simulation.life import LIFE, Life
from simulation.loop import VirtualClock, VirtualLoop
from simulation.open_rules import rules_folder

AMI_PORT = 5038
ARI_PORT = 8088


def pbx(agents: int = 20, crowd: people.People | None = None, phones: people.Phones | None = None) -> FakeConfig:
    """A fake PBX with our include in its dialplan, as a site in mode `dialplan` has it."""
    include = (Path(daemon.__file__).parent / "config" / "asterisk" / "extensions-cadran.conf").read_text()
    return people.config(agents=agents, people=crowd, phones=phones, dialplan=lab.DIALPLAN + include)


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
        self._batches = waiting.Batches(self.loop)
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
        self._batches.listen(app)
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
        self._batches.listen(app)
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
        await waiting.until(self.loop, condition, bound_s, step_s)

    async def seen(self, condition: Callable[[], bool], bound_s: float, step_s: float = 0.05) -> None:
        """As `until`, for what only an engine's batch can bring about."""
        await self._batches.seen(condition, bound_s, step_s)

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
        assert self.store is not None
        await self.store.open()
        operator = Operator(self.store)
        made = await operator.campaign(
            agents=agents, leads=leads, lines=lines, nailed=agents if nailed is None else nailed, **campaign
        )
        self.group, self.client, self.agents, self.list = (
            operator.group,
            operator.client,
            operator.agents,
            operator.list,
        )
        return made

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
            if self._batches.news:
                self._batches.news = False
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
