"""The supervisors' board on simulated time: how old what it shows is, from the PBX's side to a browser's bytes."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from daemon.api.live_scope import Scope
from daemon.api.metrics import Metrics
from daemon.api.routes import Principal
from daemon.api.stream import Reader, Streams
from daemon.settings import HttpTable
from fake_asterisk import Behaviour, people
from simulation.loop import VirtualLoop, run
from simulation.world import World
from tests.simulation.office import open_office

ANSWERS = people.People(fixed={"0": Behaviour(ring_after_s=0.2, answer_after_s=3.0, hangup_after_s=20.0, media_s=60.0)})
Shown = list[tuple[float, str, str]]


async def watch(world: World, group_id: int, shown: Shown) -> None:
    """A board's reader: when which agent was shown in which state, (seconds of the loop, extension, state)."""
    streams = Streams(world.app.hub, world.clock, random.Random(1), HttpTable().stream_interval_s, Metrics())
    reader = Reader(Principal())
    streams.join(Scope(group_id), reader, "")
    extensions: dict[str, str] = {}
    while True:
        await reader.wake.wait()
        reader.wake.clear()
        while reader.queue:
            data = json.loads(reader.queue.popleft().partition(b"data: ")[2])
            reader.queued_bytes = 0
            for id, fields in data.get("agents", {}).items():
                extensions[id] = fields.get("extension", extensions.get(id, ""))
                if "state" in fields:
                    shown.append((world.loop.time(), extensions[id], fields["state"]))


def spoken(world: World) -> list[tuple[str, float, float | None]]:
    """(extension, begin, end) of each conversation on the PBX."""
    talks = []
    for talk in world.fake.ledger.talks():
        for id in (talk.one, talk.other):
            leg = world.fake.ledger.legs[id]
            extension = leg.name.split("/")[1].split("-")[0]
            if extension.startswith("10"):
                talks.append((extension, talk.from_at, talk.to_at))
    return talks


@pytest.mark.feature("SUPV-02", clause="each conversation's begin and end is on the board within a second of the PBX's")
def test_the_board_is_never_a_second_behind() -> None:
    async def main(loop: VirtualLoop) -> None:
        world, campaign = await open_office(loop, ANSWERS, agents=6, leads=60)
        shown: Shown = []
        task = loop.create_task(watch(world, campaign.group_id, shown))
        began = loop.time()
        await asyncio.sleep(240.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        until = loop.time() - 2.0

        def after(at: float, extension: str, wanted: Any) -> float:
            """Seconds until the board shows it."""
            return min((when - at for when, who, state in shown if who == extension and when >= at and wanted(state)),
                       default=float("inf"))  # fmt: skip

        talks = [talk for talk in spoken(world) if began < talk[1] < until]
        starts = [after(begin, extension, lambda state: state == "on_call") for extension, begin, _ in talks]
        ends = [after(end, extension, lambda state: state != "on_call") for extension, _, end in talks
                if end is not None and end < until]  # fmt: skip
        assert len(talks) > 20 and len(ends) > 15
        assert max(starts) < 1.0 and max(ends) < 1.0
        await world.stop()

    run(main, seed=1)
