"""A campaign on the fake PBX with a CRM beside it, on simulated time: every call is told once, no call waits for it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon.calls.crm_records import CrmUser, Integration
from daemon.crm.http import Answer, OutgoingError
from daemon.crm.service import CrmService
from daemon.crm.shipped import shipped_templates
from daemon.crm.vault import Vault
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx

HOUR = 3600.0


class SimCrm:
    """A CRM in simulated time, in the generic template's dialect. Dead until `alive_at`: it takes connections and never
    answers, which is worse than refusing them."""

    def __init__(self, loop: VirtualLoop, alive_at: float) -> None:
        self._loop, self.alive_at = loop, alive_at
        self.calls: list[dict[str, Any]] = []
        self.asked = 0

    async def request(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Answer:
        self.asked += 1
        if self._loop.time() < self.alive_at:
            await asyncio.sleep(10.0)
            raise OutgoingError("timeout", "no answer within 10 s")
        await asyncio.sleep(0.2)
        parts = urlsplit(url)
        if method == "POST":
            self.calls.append(json.loads(body))
            return Answer(201, {}, b'{"id":"%d"}' % len(self.calls))
        wanted = parse_qs(parts.query).get("external_id", [""])[0]
        found = [{"id": str(n)} for n, call in enumerate(self.calls) if call.get("external_id") == wanted]
        rows: Mapping[str, Any] = {"contacts": []} if parts.path.endswith("contacts") else {"calls": found}
        return Answer(200, {}, json.dumps(rows).encode())


async def _integrated(world: World, crm: SimCrm) -> CrmService:
    assert world.store is not None
    assert world.group is not None
    row = await world.store.create(
        Integration(
            group_id=world.group.id, name="CRM", key="generic-rest", enabled=True, journal=True,
            source=shipped_templates()["generic-rest"].decode(),
            fields={"crm_url": "https://crm.example", "api_key": "k"}, options={"default_user": "0"},
        )
    )  # fmt: skip
    for agent in world.agents:
        await world.store.create(
            CrmUser(group_id=row.group_id, integration_id=row.id, crm_id=f"u{agent.id}", agent_id=agent.id)
        )
    rng = random.Random(9)
    return CrmService(
        world.store, crm, Vault(bytes(32), rng.randbytes), world.clock, rng,
        sites=lambda: [name for name, runner in world.app.hub.runners.items() if runner.leading],
        random_bytes=rng.randbytes,
    )  # fmt: skip


async def _campaign(loop: VirtualLoop, crm: SimCrm | None, rest_s: float = 0.0) -> tuple[World, CrmService | None]:
    crowd = people.People(answer_chance=0.5, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
    world = World(loop, seed=3, pbx_config=pbx(6, crowd))
    campaign = await world.furnish(agents=6, leads=60, lines=(4, 2), nailed=3, ring_timeout_s=15.0)
    service = await _integrated(world, crm) if crm is not None else None
    await world.start()
    if service is not None:
        world._tasks.append(loop.create_task(service.run(), name="crm"))
        service.listen(world.app.hub)
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    await world.until(lambda: world.live.campaigns[campaign.id].lead_counts.get("due", 1) == 0, HOUR, 5.0)
    await world.until(lambda: not world.live.calls, 600.0, 1.0)
    await asyncio.sleep(90.0 + rest_s)
    return world, service


@pytest.mark.feature("YPS-11", clause="a campaign's calls are in the CRM once each, also if it was dead for an hour")
@pytest.mark.parametrize("dead_s", [0.0, HOUR])
def test_every_call_of_a_campaign_is_told_once(dead_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        crm = SimCrm(loop, loop.time() + dead_s)
        world, _ = await _campaign(loop, crm, rest_s=1.15 * dead_s)
        assert world.store is not None
        tables = world.store.tables
        calls = {str(row.id): row for row in tables.attempts.values() if row.placed_at and row.outcome != "not_placed"}
        assert len(calls) >= 58
        told = Counter(call["external_id"] for call in crm.calls)
        assert set(told) == set(calls)
        assert set(told.values()) == {1}
        assert {row["state"] for row in tables.crm_journal.values()} == {"done"}
        for call in crm.calls:
            attempt = calls[call["external_id"]]
            assert call["user_id"] == (f"u{attempt.agent_id}" if attempt.agent_id else "0")
            assert call["talk_s"] == int(attempt.talk_s)
        if dead_s:
            assert crm.asked < 3 * len(calls) + 60, "a dead CRM was besieged"
        await world.stop()

    run(main, seed=3)


def _waits(crm_alive_after_s: float | None) -> list[tuple[Any, ...]]:
    """Each attempt with the instants the person heard ringing end and an agent begin; None: without any CRM."""
    found: list[tuple[Any, ...]] = []

    async def main(loop: VirtualLoop) -> None:
        crm = None if crm_alive_after_s is None else SimCrm(loop, loop.time() + crm_alive_after_s)
        world, _ = await _campaign(loop, crm)
        assert world.store is not None
        rows = sorted(world.store.tables.attempts.values(), key=lambda row: row.number)
        found.extend((row.e164, row.at, row.answered_at, row.connected_at, row.wait_s, row.outcome) for row in rows)
        await world.stop()

    run(main, seed=3)
    return found


@pytest.mark.feature("YPS-07", clause="call handling never waits: with a dead CRM every call is as without one")
def test_a_dead_crm_changes_nothing_for_calls() -> None:
    without, dead = _waits(None), _waits(10 * HOUR)
    assert len([row for row in without if row[3]]) > 10
    assert dead == without
