"""A PBX to test drivers on, and a driver at work on it with all it has told: what the contract suites stand on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from daemon.ami.client import AmiClient, AmiOptions
from daemon.ami.driver import AmiDriver, DriverOptions
from daemon.ari.client import AriOptions
from daemon.ari.driver import AriDriver, AriDriverOptions
from daemon.calls import events as ev
from daemon.calls.actions import Connect, Hangup, OriginateAgent, OriginateCustomer
from daemon.calls.dialling import SiteTemplates
from daemon.calls.ids import agent_leg, customer_leg, uuid7
from daemon.clock import SystemClock
from daemon.errors import PbxRejected
from daemon.ports import Pbx

E = TypeVar("E", bound=ev.PbxEvent)
SITE = "par"
WITHIN_S = 40.0
RETRY_MAX_S = 1.0
"""However long a cut lasts, the driver tries again soon enough for `seen`."""
NAILED = ("asyncagi", "dialplan", "ari")
ALL_MODES = ("asyncagi", "dialplan", "basic", "ari")
"""Each control mode of each driver; ARI has one."""
DEAF = ("deaf", "deaf-all", "deaf-filter", "deaf-waits")
"""Manager users with every right to act, who read: all but class call, nothing, all but what their eventfilter drops,
and neither of the classes agi and user."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A PBX to test on. `numbers` by what the far end does: talks, leaves (talks, then hangs up), busy, unallocated,
    declined, congestion, rings, fax, and where the PBX has voices: human. `phones`: talker, second, unregistered."""

    tcp_port: int
    http_port: int = 0
    secret: str
    users: Mapping[str, str]
    trunk: str
    numbers: Mapping[str, str]
    phones: Mapping[str, str]
    templates: SiteTemplates = field(default_factory=SiteTemplates)
    route: str = ""
    sound: str = "cadran-safe-harbour"

    def port_of(self, mode: str) -> int:
        """Where the driver of that mode connects to."""
        return self.http_port if mode == "ari" else self.tcp_port

    call_in: Callable[[str], None] | None = None
    """Somebody (0612000077) calls 0199000001, to where this mode takes calls in."""


@dataclass
class Site:
    """A driver at work, with everything it has delivered."""

    driver: Pbx
    rng: random.Random
    trunk: str
    events: list[ev.PbxEvent] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, event: ev.PbxEvent) -> None:
        self.events.append(event)
        self._arrived.set()

    async def seen(self, kind: type[E], within_s: float = WITHIN_S, since: int = 0, **fields: Any) -> E:
        """The first event of this kind with these fields; the test fails if it does not come in time."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for event in self.events[since:]:
                        if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                            return event
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            told = "\n".join(map(str, self.events[since:]))
            raise AssertionError(f"no {kind.__name__} {fields} within {within_s:g} s; there was\n{told}") from None

    def count(self, kind: type[ev.LegEvent], leg: str) -> int:
        return sum(isinstance(event, kind) and event.leg == leg for event in self.events)

    def names(self, leg: str) -> list[str]:
        return [type(event).__name__ for event in self.events if isinstance(event, ev.LegEvent) and event.leg == leg]

    def customer(self, number: str, **more: Any) -> str:
        """Dial a customer; the leg's id."""
        leg = customer_leg(SITE, uuid7(SystemClock().utcnow(), self.rng))
        options = {
            "trunk": self.trunk,
            "caller_id": "0155510000",
            "ring_timeout_s": 8.0,
            "hold_s": 60.0,
            "account": "7",
        }
        self.driver.perform(OriginateCustomer(leg=leg, number=number, **{**options, **more}))
        return leg

    def agent(self, extension: str, agent_id: int = 7) -> str:
        leg = agent_leg(SITE, agent_id, SystemClock().utcnow(), self.rng)
        self.driver.perform(OriginateAgent(leg=leg, agent_id=agent_id, extension=extension, ring_timeout_s=8.0))
        return leg

    async def parked_agent(self, extension: str, agent_id: int = 7) -> str:
        leg = self.agent(extension, agent_id)
        await self.seen(ev.LegParked, leg=leg)
        return leg

    async def parked_customer(self, number: str, **more: Any) -> str:
        leg = self.customer(number, **more)
        await self.seen(ev.LegParked, leg=leg)
        return leg

    async def conversation(self, number: str, extension: str) -> tuple[str, str]:
        """An agent and a customer who talk: their legs."""
        agent = await self.parked_agent(extension)
        customer = await self.parked_customer(number)
        self.driver.perform(Connect(leg=agent, customer=customer))
        bridged = await self.seen(ev.LegBridged, leg=agent)
        assert bridged.peer == customer
        return agent, customer

    async def end(self, *legs: str) -> None:
        """Hang up and wait for the end."""
        for leg in legs:
            if not self.count(ev.LegHungUp, leg):
                self.driver.perform(Hangup(leg=leg))
        for leg in legs:
            await self.seen(ev.LegHungUp, leg=leg)


def ami_driver(ground: Ground, mode: str, rng: random.Random, **changes: Any) -> Pbx:
    driver_keys = {key: changes.pop(key) for key in ("templates", "wanted_mode") if key in changes}
    ami = {
        "host": "127.0.0.1",
        "username": ground.users[mode],
        "retry_first_s": 0.1,
        "retry_max_s": RETRY_MAX_S,
        "boot_wait_s": 0.5,
        **changes,
    }
    options = {"wanted_mode": mode, "templates": ground.templates, **driver_keys}
    return AmiDriver(DriverOptions(site=SITE, ami=AmiOptions(**ami), **options), clock=SystemClock(), rng=rng)


def ari_driver(ground: Ground, mode: str, rng: random.Random, **changes: Any) -> Pbx:
    changes.pop("wanted_mode", None)
    templates = changes.pop("templates", ground.templates)
    password = changes.pop("secret")
    ari = AriOptions(
        host="127.0.0.1",
        username=ground.users["ari-nocalls" if mode == "nocalls" else "ari"],
        password=password,
        app=f"cadran-{SITE}",
        retry_first_s=0.1,
        retry_max_s=RETRY_MAX_S,
        **changes,
    )
    return AriDriver(AriDriverOptions(site=SITE, ari=ari, templates=templates), clock=SystemClock(), rng=rng)


@asynccontextmanager
async def site_on(ground: Ground, mode: str, *, up: bool = True, **changes: Any) -> AsyncIterator[Site]:
    """A driver on the PBX, as the user of `mode`. `changes`: other options of the link, or `driver`, `templates`,
    `wanted_mode`."""
    changes.setdefault("tcp_port", ground.port_of(mode))
    changes.setdefault("secret", lambda: ground.secret)
    rng = random.Random()
    make = ari_driver if changes.pop("driver", mode) == "ari" else ami_driver
    driver = make(ground, mode, rng, **changes)
    site = Site(driver, rng, ground.trunk)
    task = asyncio.create_task(driver.run(site.deliver))
    try:
        if up:
            await site.seen(ev.PbxSnapshot)
        yield site
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def clean(ground: Ground, mode: str) -> AsyncIterator[None]:
    """At the end of the test, no leg of ours may be left on the PBX. One that has just ended may be listed still."""
    yield
    for tries_left in reversed(range(20)):
        async with site_on(ground, mode) as afterwards:
            left = (await afterwards.seen(ev.PbxSnapshot)).legs
            if not left:
                return
            if not tries_left:
                await afterwards.end(*(leg.leg for leg in left))
                raise AssertionError(f"left on the PBX: {left}")
        await asyncio.sleep(0.5)


@pytest.fixture
async def site(ground: Ground, mode: str, clean: None) -> AsyncIterator[Site]:
    """A driver that is up."""
    async with site_on(ground, mode) as made:
        yield made


async def hang_up_unseen(ground: Ground, mode: str, leg: str) -> None:
    """End a leg behind the back of the driver under test: until the PBX knows of no such channel."""
    done = asyncio.Event()
    username = ground.users["dialplan" if mode == "ari" else mode]
    options = AmiOptions(host="127.0.0.1", tcp_port=ground.tcp_port, username=username, secret=lambda: ground.secret)
    client = AmiClient(options, rng=random.Random(), on_messages=lambda _: None, on_down=lambda *_: None)

    async def hang_up() -> None:
        with suppress(PbxRejected):  # no such channel: it is gone
            while True:
                await client.send({"Action": "Hangup", "Channel": leg})
                await asyncio.sleep(0.05)
        done.set()

    task = asyncio.create_task(client.run(hang_up))
    await asyncio.wait_for(done.wait(), WITHIN_S)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
