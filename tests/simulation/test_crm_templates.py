"""Each shipped template beside a campaign on the fake PBX, on simulated time: its CRM has every call once, after being
dead, out of order, slow, answering with pages for people, and forgetting its tokens."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from daemon.calls.crm_records import CrmUser, Integration
from daemon.crm.http import Answer, OutgoingError
from daemon.crm.service import CrmService
from daemon.crm.shipped import shipped_templates
from daemon.crm.vault import Vault
from daemon.engine import commands as c
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.crm.fake_crm import FakeCrm
from tests.crm.office import SECRETS, fields_of

URL = "https://crm.example"
DEAD_S = 400.0


class InProcess:
    """The fake CRM without sockets, which simulated time has none of: its own routes and handlers are called. Dead
    until `alive_at`: it takes connections and never answers."""

    def __init__(self, crm: FakeCrm, loop: VirtualLoop, alive_at: float) -> None:
        self.crm, self._loop, self.alive_at = crm, loop, alive_at
        self._router = web.UrlDispatcher()
        for method, path, handler in crm._routes():
            self._router.add_route(method, path, handler)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"",
        timeout_s: float | None = None, **_: Any,
    ) -> Answer:  # fmt: skip
        if self._loop.time() < self.alive_at:
            await asyncio.sleep(timeout_s or 10.0)
            raise OutgoingError("timeout", "no answer")
        payload = aiohttp.StreamReader(mock.Mock(_reading_paused=False), 2**20, loop=self._loop)
        payload.feed_data(body)
        payload.feed_eof()
        path = url.removeprefix(URL)
        request = make_mocked_request(method, path, headers=dict(headers or {}), payload=payload)
        found = await self._router.resolve(request)
        request._match_info = found
        await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(timeout_s or 10.0):
                answer = cast(web.Response, await self.crm._middleware(request, found.handler))
        except TimeoutError as error:
            raise OutgoingError("timeout", "no answer") from error
        given = answer.body if isinstance(answer.body, bytes) else b""
        return Answer(answer.status, dict(answer.headers), given)


async def integrated(world: World, http: InProcess, key: str) -> CrmService:
    """An integration made from the template, with its secrets and a user for each agent."""
    assert world.store is not None and world.group is not None
    rng = random.Random(9)
    service = CrmService(
        world.store, http, Vault(bytes(32), rng.randbytes), world.clock, rng,
        sites=lambda: [name for name, runner in world.app.hub.runners.items() if runner.leading],
        random_bytes=rng.randbytes,
    )  # fmt: skip
    row = await world.store.create(
        Integration(
            group_id=world.group.id, name=key, key=key, enabled=True, journal=True,
            source=shipped_templates()[key].decode(), fields=fields_of(key, URL), options={"default_user": "99"},
        )
    )  # fmt: skip
    row = await world.store.update(Integration, row.id, {"sealed": service.sealed_with(row, SECRETS[key])}, None)
    for agent in world.agents:
        await world.store.create(
            CrmUser(group_id=row.group_id, integration_id=row.id, crm_id=str(agent.id), agent_id=agent.id)
        )
    if key == "zoho-like":
        alive_at, http.alive_at = http.alive_at, 0.0
        url = await service.begin_authorization(row, "https://cadran.example/back")
        back = dict(parse_qsl(urlsplit((await http.request("GET", url)).headers["Location"]).query))
        await service.finish_authorization(back["state"], back["code"], "")
        http.alive_at = alive_at
    return service


@pytest.mark.feature("CRMI-01", clause="each shipped template beside a campaign on the fake PBX: every call once")
@pytest.mark.parametrize("key", sorted(shipped_templates()))
def test_every_call_of_a_campaign_is_told_once(key: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        crm = FakeCrm()
        http = InProcess(crm, loop, loop.time() + DEAD_S)
        crowd = people.People(answer_chance=0.5, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
        world = World(loop, seed=3, pbx_config=pbx(3, crowd))
        campaign = await world.furnish(agents=3, leads=12, lines=(4,), nailed=2, ring_timeout_s=15.0)
        service = await integrated(world, http, key)
        await world.start()
        world._tasks.append(loop.create_task(service.run(), name="crm"))
        service.listen(world.app.hub)
        await world.staff(campaign)
        await asyncio.sleep(5.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: world.live.campaigns[campaign.id].lead_counts.get("due", 1) == 0, 3600.0, 5.0)
        await world.until(lambda: not world.live.calls, 600.0, 1.0)
        assert crm.calls == [], "the CRM was to be dead all that time"
        for fault in ("500", "html", "html_recorded"):
            crm.fault, before = fault, len(crm.requests)
            crm.expire()
            await world.until(lambda: len(crm.requests) > before, 900.0, 5.0)  # noqa: B023 - waited for within the turn
            await asyncio.sleep(30.0)
        crm.fault, crm.slow_s = "slow", 30.0
        await asyncio.sleep(120.0)
        crm.fault = ""
        await asyncio.sleep(500.0)
        assert world.store is not None
        tables = world.store.tables
        calls = {str(row.id): row for row in tables.attempts.values() if row.placed_at and row.outcome != "not_placed"}
        told = Counter(call["external"] for call in crm.calls)
        assert len(calls) >= 11 and set(told) == set(calls) and set(told.values()) == {1}, told.most_common(3)
        assert {row["state"] for row in tables.crm_journal.values()} == {"done"}
        for call in crm.calls:
            attempt = calls[call["external"]]
            assert call["user"] in (str(attempt.agent_id or 99), attempt.agent_id or 99)
        if key == "zendesk-like":
            assert len(crm.tickets) == len(calls)
        await world.stop()

    run(main, seed=3)
