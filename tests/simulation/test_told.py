"""A webhook whose receiver is dead costs no call a moment: the same run with and without it, by the PBX's ledger."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from daemon.calls.records import Webhook
from daemon.crm.http import OutgoingError
from daemon.crm.webhooks import WebhookKeys, WebhookSender
from daemon.engine import commands as c
from daemon.settings import WebhooksTable
from fake_asterisk import people
from simulation.checkers import CUSTOMER
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx


class Dead:
    """A way out that leads nowhere: each request takes its whole bound, and fails."""

    def __init__(self) -> None:
        self.tried = 0

    async def request(self, *_: Any, timeout_s: float, **__: Any) -> None:
        self.tried += 1
        await asyncio.sleep(timeout_s)
        raise OutgoingError("timeout", "no answer")


def campaign(told: bool) -> tuple[list[tuple[Any, ...]], int, int]:
    """Ten minutes of a campaign: (legs as the PBX saw them, requests tried, messages waiting)."""
    seen: list[tuple[Any, ...]] = []
    dead = Dead()
    waiting = [0]

    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.5, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
        world = World(loop, seed=5, mode="dialplan", pbx_config=pbx(4, crowd))
        row = await world.furnish(agents=4, leads=200)
        assert world.store is not None and world.group is not None
        await world.start()
        keys = WebhookKeys(b"k" * 32)
        if told:
            hook = Webhook(group_id=world.group.id, name="CRM", url="https://crm.example/", key_id=keys.id)
            await world.store.create(hook)
        sender = WebhookSender(
            world.store, dead, keys, world.clock, random.Random(9), WebhooksTable(),  # type: ignore[arg-type]
            sites=lambda: ["main"], notify=lambda topic, details: None,
        )  # fmt: skip
        sending = asyncio.create_task(sender.run())
        await world.staff(row)
        await world.submit(c.StartCampaign(campaign_id=row.id))
        await asyncio.sleep(600.0)
        legs = [leg for leg in world.fake.ledger.legs.values() if CUSTOMER.match(leg.uniqueid)]
        seen.extend((leg.number, leg.made_at, leg.answered_at, tuple(s.entered_at for s in leg.stays)) for leg in legs)
        waiting[0] = len(world.store.tables.outbox)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await world.stop()

    run(main, seed=5)
    return seen, dead.tried, waiting[0]


@pytest.mark.feature("CRMI-03", clause="a dead receiver delays no call: each step to the PBX at the same instant")
def test_a_dead_receiver_delays_no_call() -> None:
    alone, _, nothing = campaign(told=False)
    beside, tried, waiting = campaign(told=True)
    assert len(alone) > 40 and nothing == 0
    assert tried > 5 and waiting > 100, "it was tried, and everything waits for it"
    assert beside == alone
