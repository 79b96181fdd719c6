"""A campaign on the fake PBX, its calls read as OVHcloud's events over a connection that breaks, in simulated time."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon.crm.http import Answer, OutgoingError
from daemon.crm.ovh import EventStream, OvhEvent, ReadyToken
from daemon.crm.ovh_feed import OvhFeed
from daemon.engine import commands as c
from daemon.settings import OvhFeedTable
from fake_asterisk import people
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx


class BadLine:
    """Asks the feed as its door does; of three answers one is lost on its way and one is a server's error."""

    def __init__(self, feed: OvhFeed, rng: random.Random) -> None:
        self._feed, self._rng = feed, rng
        self.lost = 0

    async def request(self, method: str, url: str, **_: Any) -> Answer:
        named = parse_qs(urlsplit(url).query)
        found = await self._feed.poll(named["token"][0], named.get("session", [""])[0], 25.0)
        chance = self._rng.random()
        if named.get("session") and chance < 1 / 3:
            self.lost += bool(found and found["Events"])
            raise OutgoingError("unreachable", "cut")
        return Answer(502 if chance > 2 / 3 else 200, {}, json.dumps(found).encode())


@pytest.mark.feature(
    "OVH-03", clause="a campaign's calls through a connection that keeps breaking: none lost, none doubled"
)
@pytest.mark.feature("OVH-09", clause="each agent's own calls, with their numbers")
def test_the_feed_of_a_campaign() -> None:
    async def main(loop: VirtualLoop) -> None:
        crowd = people.People(answer_chance=0.6, talk_mean_s=20.0, ring_mean_s=4.0, machine_share=0.0)
        world = World(loop, seed=5, pbx_config=pbx(4, crowd))
        campaign = await world.furnish(agents=3, leads=30, lines=(4, 2), nailed=2, ring_timeout_s=15.0)
        assert world.store is not None and world.group is not None
        tables = [OvhFeedTable(group=world.group.code, agent=a.login, token_file=f"of-{a.id}") for a in world.agents]
        feed = OvhFeed(world.store, world.clock, tables, lambda key, path: path, "e1")
        rng = random.Random(8)
        line = BadLine(feed, rng)
        told: dict[int, list[OvhEvent]] = {agent.id: [] for agent in world.agents}

        def reader(id: int) -> Any:
            async def take(event: OvhEvent) -> None:
                told[id].append(event)

            return EventStream(line, ReadyToken(f"of-{id}"), rng, url="https://feed.example/").run(take)

        await world.start()
        works = [loop.create_task(feed.run()), *(loop.create_task(reader(agent.id)) for agent in world.agents)]
        world.app.hub.listen(feed.on_change, ("calls",))
        await world.staff(campaign)
        await asyncio.sleep(120.0)  # each reader has its first session
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        await world.until(lambda: world.live.campaigns[campaign.id].lead_counts.get("due", 1) == 0, 3600.0, 5.0)
        await world.until(lambda: not world.live.calls, 600.0, 1.0)
        await asyncio.sleep(300.0)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        talked = [row for row in world.store.tables.attempts.values() if row.connected_at]
        assert len(talked) > 10 and line.lost > 3
        for agent in world.agents:
            events = told[agent.id]
            mine = {str(row.id): row for row in talked if row.agent_id == agent.id}
            starts = Counter(each.call_id for each in events if each.event == "start_calling")
            ends = Counter(each.call_id for each in events if each.event == "end_calling")
            assert starts == ends and set(starts.values()) <= {1}
            assert set(mine) <= set(starts)
            for each in events:
                if each.call_id in mine:
                    assert "+" + each.called.removeprefix("00") == mine[each.call_id].e164
        await world.stop()

    run(main, seed=5)
