"""The end of a seed: faults off, no new calls, and everything comes to rest, or has had the time to.

What counts as rest is looked at from outside and inside: as long as anything is open anywhere, the run goes on to
`SETTLE_S`, and the checkers then find it open. Only a world in which nothing is left to happen ends sooner.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from daemon.agents.states import AgentState, LegState
from daemon.engine import commands as c
from daemon.errors import CommandError
from simulation.checkers import CUSTOMER
from simulation.world import World

SETTLE_S = 240.0
QUIET_S = 60.0
"""Nothing may be left of a call 60 s after the faults end. So long everything stays at rest, the PBX is listed and the
watchdog has looked at least twice, which is what it needs to mend (and thereby confess) what the engine got wrong."""
REPLAY_S = 20.0

_RESTS = frozenset({AgentState.READY, AgentState.PAUSED, AgentState.SIGNED_OUT})
_LEG_RESTS = frozenset({LegState.NONE, LegState.PARKED})


async def settle(world: World, campaign_id: int) -> None:
    """Faults of the PBX and the disks off, both machines' journals applied.

    The store's faults are the caller's to end.
    """
    world.fake.faults.clear()
    world.fake.power.command("core abort shutdown")
    if not world.fake.power.stays:
        world.fake.power.command("boot")  # only then: a start from scratch would end every call, leaked ones too
    if world.standby is not None:
        world.take_over()
    for files in world.journals.values():
        files.room = 1 << 40
    if world.life.dead:
        await world.start()
    await world.until(lambda: world.runner.leading and world.live.link.synced, 120.0)
    for _ in range(20):
        try:
            await world.submit(c.StopCampaign(campaign_id=campaign_id))
            break
        except CommandError:
            await asyncio.sleep(1.0)
    with suppress(TimeoutError):
        await world.until(Rest(world).long_enough, SETTLE_S, step_s=1.0)
    if world.other_has_facts:
        await world.kill_and_start_other()
        await asyncio.sleep(REPLAY_S)


class Rest:
    """Since when nothing has been in motion."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since_at: float | None = None

    def long_enough(self) -> bool:
        """To be asked once a second: whether the world was at rest each time for `QUIET_S`."""
        now = self._world.loop.time()
        if not at_rest(self._world):
            self._since_at = None
            return False
        if self._since_at is None:
            self._since_at = now
        return now - self._since_at >= QUIET_S


def at_rest(world: World) -> bool:
    """Whether nothing is left to happen: no customer on the PBX, no attempt without an outcome, no call, lease, agent
    or phone in motion in the engine, no fact on its way into the store."""
    runner, live = world.runner, world.live
    return (
        runner.leading
        and live.link.synced
        and not live.calls
        and not live.sides
        and not runner.pending
        and not any(line.in_use for line in live.pool.lines.values())
        and all(_rests(desk) for desk in live.desks.values())
        and not any(CUSTOMER.match(id) for id in world.fake.channels)
        and world.store is not None
        and all(row.outcome is not None for row in world.store.tables.attempts.values())
    )


def _rests(desk: Any) -> bool:
    return desk.call is None and desk.connecting is None and desk.state in _RESTS and desk.leg_state in _LEG_RESTS
