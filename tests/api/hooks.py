"""What tests of webhooks stand on: a webhook added, calls told to the store, deliveries made until nothing is due."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiohttp.test_utils import TestClient

from daemon.api.app import DEPS
from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import Intent
from daemon.calls.records import Webhook
from daemon.crm.webhooks import Receiver, WebhookSender
from tests.api.fakes import World

Client = TestClient[Any, Any]
PATH = "/api/v1/webhooks"


async def add(client: Client, world: World, url: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "CRM", "url": url, **fields}
    async with client.post(PATH, json=body, headers=world.auth("administrator")) as response:
        made: dict[str, Any] = await response.json()
        assert response.status == 201, made
    return made


async def get(client: Client, world: World, path: str) -> dict[str, Any]:
    async with client.get(path, headers=world.auth("administrator")) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
    return body


class Calls:
    """Calls as the engine's facts tell them to the store."""

    def __init__(self, world: World) -> None:
        self.world, self.n, self.fence = world, 0, 0

    async def whole(self, number: int = 1) -> str:
        """A call told in four steps."""
        world, id = self.world, UUID(int=number)
        group, campaign = world.rows["group"].id, world.rows["campaign"].id
        lease = await world.store.acquire_lease("main", "test", 1e9)
        assert lease is not None
        self.fence, self.n = lease.fence, 0
        at = world.clock.utcnow()
        intent = Intent(
            attempt_id=id, site="main", kind="campaign", group_id=group, campaign_id=campaign, client_id=1, lead_id=0,
            e164=f"+3361234{number:04d}", line_id=1, caller_id="", agent_id=0, rule_set="", attempts_max=0,
            attempts_days=0, at=at,
        )  # fmt: skip
        assert await world.store.commit_intents([intent], lease)
        for kind in ("ringing", "answered", "connected"):
            await self._fact(f.CallEventFact(at=at, attempt_id=id, campaign_id=campaign, kind=kind, agent_id=4))
        await self._fact(
            f.AttemptEnded(
                at=at, attempt_id=id, campaign_id=campaign, client_id=1, lead_id=0, outcome=Outcome.CONNECTED,
                talk_s=12.0,
            )
        )  # fmt: skip
        return str(id)

    async def _fact(self, fact: f.AnyFact) -> None:
        self.n += 1
        await self.world.store.apply_facts([f.NumberedFact(site="main", fence=self.fence, n=self.n, fact=fact)])


def sender(client: Client) -> WebhookSender:
    found = client.app[DEPS].webhooks
    assert isinstance(found, WebhookSender)
    return found


async def receiver(client: Client, world: World, made: dict[str, Any]) -> Receiver:
    row = await world.store.get(Webhook, made["id"])
    assert row is not None
    return sender(client).receivers.setdefault(row.id, Receiver(row))


async def drain(client: Client, world: World, made: dict[str, Any]) -> None:
    """Deliver until nothing is due."""
    known = await receiver(client, world, made)
    while await sender(client).look(known):
        pass
