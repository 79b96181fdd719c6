"""A group with agents, a store in memory, an integration on a fake CRM: what the CRM's tests stand on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
from yarl import URL

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.crm_records import CrmUser, Integration
from daemon.calls.records import Agent
from daemon.crm.http import Outgoing
from daemon.crm.journal import Running
from daemon.crm.service import CrmService
from daemon.crm.shipped import shipped_templates
from daemon.crm.vault import Vault
from daemon.settings import OutgoingTable
from daemon.store import MemoryStore
from tests.crm.fake_crm import FakeCrm
from tests.store.world import SITE, FixedClock, World, make_world

SECRETS = {
    "generic-rest": {"api_key": "k3y-secret"},
    "zoho-like": {"client_secret": "s3cr3t"},
    "zendesk-like": {"api_token": "t0ken-secret"},
    "odoo-jsonrpc": {"api_key": "odoo-secret"},
    "sugarcrm": {"password": "sugar-secret"},
}


def fields_of(key: str, url: str) -> dict[str, str]:
    """What whoever sets it up types, secrets apart."""
    return {
        "generic-rest": {"crm_url": url},
        "zoho-like": {"accounts_url": url, "api_url": url, "crm_url": url, "client_id": "cid"},
        "zendesk-like": {"desk_url": url, "email": "a@desk.example"},
        "odoo-jsonrpc": {"odoo_url": url, "database": "db1", "login": "bot", "call_model": "phone.call"},
        "sugarcrm": {"crm_url": url, "username": "bot"},
    }[key]


@dataclass
class Office:
    """`calls`: ids of all finished calls that must be in the CRM once."""

    world: World
    service: CrmService
    crm: FakeCrm
    agents: list[Agent]
    calls: list[UUID] = field(default_factory=list)
    numbers: int = 0

    @property
    def clock(self) -> FixedClock:
        return self.world.clock

    async def integrate(self, key: str, source: bytes = b"", enabled: bool = True, **options: Any) -> Integration:
        """An integration with its fields, as the API makes one."""
        row = await self.world.store.create(
            Integration(
                group_id=self.world.group.id,
                name=key,
                key=key,
                source=(source or shipped_templates()[key]).decode(),
                enabled=enabled,
                journal=True,
                fields=fields_of(key, self.crm.url),
                options=options,
            )
        )
        sealed = self.service.sealed_with(row, SECRETS[key])
        return await self.world.store.update(Integration, row.id, {"sealed": sealed}, None)

    async def running(self, row: Integration) -> Running:
        """It, at work, without its worker: the tests look when they want to."""
        fresh = await self.world.store.get(Integration, row.id)
        assert fresh is not None
        self.service.running[row.id] = running = await self.service.build(fresh)
        await self.service._globals(running)
        return running

    async def authorize(self, row: Integration) -> None:
        """What a browser does: to the CRM's page, and back with a code."""
        url = await self.service.begin_authorization(row, "http://127.0.0.1/back")
        async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
            back = URL(answer.headers["Location"])
        await self.service.finish_authorization(back.query["state"], back.query["code"], "")

    async def associate(self, row: Integration) -> int:
        row = await self.world.store.get(Integration, row.id) or row
        await self.service.read_users(row)
        return (await self.service.associate(row))[0]

    async def call(
        self, number: str, agent: int = 0, outcome: Outcome = Outcome.CONNECTED, kind: str = "campaign",
        talk_s: float = 42.0, told: bool = True,
    ) -> UUID:  # fmt: skip
        """A call, from its intent to its end."""
        await self.world.later(0)
        attempt = await self.world.place(number, kind=kind, attempts_max=100)
        await self.world.apply(
            f.AttemptPlaced(at=self.clock.utcnow(), attempt_id=attempt, campaign_id=self.world.campaign.id)
        )
        self.clock.forward(1)
        talked = talk_s if outcome is Outcome.CONNECTED else 0.0
        await self.world.later(talked)
        await self.world.apply(self.world.ended(attempt, outcome, agent_id=agent, talk_s=talked))
        if told:
            self.calls.append(attempt)
        return attempt

    async def look(self, running: Running) -> int:
        return await self.service.writer.look(running, [SITE])

    async def settle(self, running: Running, looks: int = 200, step_s: float = 30.0) -> None:
        """Look until nothing is left to do, time passing."""
        for _ in range(looks):
            await self.look(running)
            figures = (await self.world.store.crm_figures([running.id]))[running.id]  # type: ignore[attr-defined]
            if not set(figures) & {"pending", "doubt", "sending"}:
                return
            await self.world.later(step_s)
        raise AssertionError(f"not settled: {figures}, {running.last_error}")

    async def users(self, row: Integration) -> list[CrmUser]:
        return await self.world.store.find(CrmUser, integration_id=row.id)


@asynccontextmanager
async def make_office(timeout_s: float = 20.0) -> AsyncIterator[Office]:
    """An office with three agents; the CRM knows two of them by their e-mail. `timeout_s`: how long it may take."""
    clock = FixedClock()
    store = MemoryStore(clock)
    await store.open()
    world = await make_world(store, clock)
    people = [("ada@example.com", "Ada Lovelace"), ("Bob@Example.com", "Bob Byte"), ("carl", "Carl Cable")]
    agents = [
        await store.create(Agent(group_id=world.group.id, site=SITE, login=login, name=name, extension=str(1001 + n)))
        for n, (login, name) in enumerate(people)
    ]
    crm = FakeCrm()
    crm.users = [
        {"id": "71", "first": "Ada", "last": "Lovelace", "email": "ADA@example.com"},
        {"id": "72", "first": "Bob", "last": "Byte", "email": "bob@example.com"},
        {"id": "73", "first": "Zed", "last": "Else", "email": ""},
    ]
    await crm.start()
    outgoing = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",), timeout_s=timeout_s))
    rng = random.Random(11)
    service = CrmService(
        store, outgoing, Vault(bytes(32), rng.randbytes), clock, rng, sites=lambda: [SITE], random_bytes=rng.randbytes
    )
    try:
        yield Office(world, service, crm, agents)
    finally:
        await outgoing.close()
        await crm.stop()
        await asyncio.sleep(0)
