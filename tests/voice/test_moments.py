"""Agent or customer hang up at each of twenty moments of a transfer, a conference and a take-over: no channel is left,
the outcome is right, the agent is free (checked by `finished` on the fake PBX's own channels)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from daemon.engine import commands as c
from daemon.errors import CommandError
from simulation.loop import VirtualLoop
from tests.voice.test_handling import ASKED, channel_of, conversation, far_end_leaves, finished, plays

pytestmark = pytest.mark.timeout(120)

STEPS: dict[str, list[tuple[float, type[c.CallCommand], dict[str, str]]]] = {
    "transfer": [(0.0, c.Consult, {"extension": ASKED}), (4.0, c.CompleteTransfer, {})],
    "conference": [
        (0.0, c.Consult, {"extension": ASKED}),
        (4.0, c.Conference, {}),
        (6.0, c.LeaveConference, {}),
    ],
    "take_over": [
        (0.0, c.Supervise, {"extension": ASKED, "mode": "barge"}),
        (3.0, c.TakeOver, {"extension": ASKED}),
    ],
}
MOMENTS = {
    "transfer": (0.001, 0.02, 0.3, 1.0, 3.0, 4.002, 4.03, 4.15, 5.0),
    "conference": (4.002, 4.02, 4.06, 4.15, 5.0, 6.01, 7.0),
    "take_over": (0.05, 2.0, 3.02, 5.0),
}
ALL = [(what, at) for what, moments in MOMENTS.items() for at in moments]
assert len(ALL) == 20


@pytest.mark.parametrize("who", ["agent", "customer", "third"])
@pytest.mark.parametrize(("what", "at"), ALL)
def test_hanging_up_at_this_moment(what: str, at: float, who: str) -> None:
    mode = ("asyncagi", "dialplan")[ALL.index((what, at)) % 2]

    async def main(loop: VirtualLoop) -> None:
        world, desk, call = await conversation(loop, mode)
        began = loop.time()
        agent_leg = desk.leg
        events = [(when, kind, more) for when, kind, more in STEPS[what]]
        events.append((at, c.CallCommand, {}))
        for when, kind, more in sorted(events, key=lambda step: step[0]):
            await asyncio.sleep(max(0.0, began + when - loop.time()))
            if kind is c.CallCommand:
                third = next(iter(world.live.sides), "")
                far_end_leaves(world, {"agent": agent_leg, "customer": call.leg, "third": third}[who])
                continue
            with suppress(CommandError):  # the hang-up came before
                await world.submit(kind(agent_id=desk.id, by="Chef", **more))
        await asyncio.sleep(15.0)
        if who != "customer" and call.state != "ended":
            bridge = channel_of(world, call.leg).bridge
            assert bridge is not None and len(bridge.channels) > 1, "somebody talks with the customer"
        kept = who != "third" or call.third is not None or call.room or call.state != "ended"
        assert kept, "a customer is not dropped because the one asked for leaves"
        if call.state != "ended":
            far_end_leaves(world, call.leg)
        assert await finished(world, call) == "connected"
        await world.stop()

    plays(main)
