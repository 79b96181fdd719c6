"""Mutants of hours, oppositions and promised callbacks (tests.simulation.mutants)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from daemon.calls.facts import LedgerAdded
from daemon.calls.records import Status
from daemon.dialer import recycling
from daemon.engine import agent_commands
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.live import Call
from daemon.engine.operate import Operations
from daemon.store.memory_dialling import MemoryDialling
from simulation import checkers
from simulation.loop import VirtualLoop, run
from simulation.world import World, pbx
from tests.simulation.mutants import (
    CROWD,
    Cases,
    Mutant,
    Patch,
    Scenario,
    campaign_of,
    each_mutant,
    each_scenario,
    is_caught,
    judge,
)

# ---- an hour strikes -------------------------------------------------------------------------------------------------


async def _hour_strikes(loop: VirtualLoop) -> list[str]:
    """A campaign that works from ten to eleven until a few minutes past."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    world.clock.skew = timedelta(minutes=28)
    campaign = await campaign_of(world)
    await asyncio.sleep(200.0)
    return await judge(world, campaign, calm=True)


def _hour_rollover_loses_the_ledger(patch: Patch) -> None:
    """What is booked while the hour before was the last one seen is thrown away with it."""
    original = CallFlow._count
    seen: list[Any] = []

    def count(self: CallFlow, call: Call, *, abandoned: bool) -> None:
        original(self, call, abandoned=abandoned)
        facts = self._live.out.facts
        if facts and isinstance(facts[-1], LedgerAdded):
            if seen and facts[-1].hour != seen[-1]:
                facts.pop()
                seen.append(self._live.utc.replace(minute=0, second=0, microsecond=0))
            elif not seen:
                seen.append(facts[-1].hour)

    patch.setattr(CallFlow, "_count", count)


# ---- people who must not be called any more --------------------------------------------------------------------------


async def _red_list(loop: VirtualLoop) -> list[str]:
    """Leads are queued in memory; then half of the people are put on the red list."""
    world = World(loop, seed=8, pbx_config=pbx(6, CROWD))
    campaign = await campaign_of(world)
    await asyncio.sleep(20.0)
    assert world.store is not None
    assert world.client is not None
    called = {o.number[-9:] for o in world.fake.ledger.originates}
    numbers = [f"+3319900{n:04d}" for n in range(0, 100, 2)]
    forbidden = [number for number in numbers if number[-9:] not in called]
    assert len(forbidden) > 20
    lead_ids: list[int] = []
    for number in forbidden:
        lead_ids += await world.store.set_dnc(world.client.id, number, True, "test", "asked")
    await world.submit(c.LeadsChanged(lead_ids=tuple(lead_ids), e164s=tuple(forbidden)))
    at = loop.time()
    await asyncio.sleep(100.0)
    found = checkers.nobody_forbidden(world.fake.ledger, {number[-9:]: at for number in forbidden})
    return [str(violation) for violation in found] + await judge(world, campaign)


def _dnc_checked_at_claim_only(patch: Patch) -> None:
    """What was claimed before the number was red-listed is dialled all the same: neither is it given back, nor does the
    store look again as the call is about to be placed."""
    patch.setattr(Operations, "_LeadsChanged", lambda self, command: None)
    patch.setattr(MemoryDialling, "_overlooks", lambda self, intent: False)


# ---- the clocks are put forward --------------------------------------------------------------------------------------


async def _summer_time(loop: VirtualLoop) -> list[str]:
    """29 March 2026, from 01:57 in Paris: people ask for a call in seven minutes, past the hour that is skipped."""
    world = World(loop, seed=8, pbx_config=pbx(4, CROWD))
    world.clock.skew = datetime(2026, 3, 29, 0, 57, tzinfo=UTC) - world.clock.utcnow()
    campaign = await world.furnish(agents=4, leads=60, lines=(4,), ring_timeout_s=15.0)
    await world.start()
    for agent in world.agents:
        await world.submit(c.SignIn(agent_id=agent.id, campaign_ids=(campaign.id,), ready=True))
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    promised: dict[str, float] = {}
    while loop.time() < 1000.0 + 900.0:
        await asyncio.sleep(0.5)
        for desk in list(world.live.desks.values()):
            if desk.state != "wrap_up" or desk.disposed:
                continue
            number = desk.last_call.e164[-9:]
            later = len(promised) < 4 and number not in promised
            due = world.clock.utcnow() + timedelta(minutes=7)
            await world.submit(
                c.Dispose(
                    agent_id=desk.id,
                    attempt_id=desk.last_call.attempt_id,
                    code="RAPPEL" if later else "REFUS",
                    callback_at=due if later else None,
                    callback_mine=False,
                )
            )
            if later:
                promised[number] = loop.time() + 420.0
    assert len(promised) == 4
    found = checkers.callbacks_kept(world.fake.ledger, promised, 90.0)
    return [str(violation) for violation in found] + await judge(world, campaign)


def _callback_lost_at_dst(patch: Patch) -> None:
    """A callback is reckoned on the clock on the wall; a time that the wall's clock skips is no time."""
    original = recycling.after_status
    paris = ZoneInfo("Europe/Paris")

    def after_status(status: Status, rules: Any, recycled: int, gap: float, at: datetime | None, now: datetime) -> Any:
        if at is not None:
            wall = now.astimezone(paris).replace(tzinfo=None) + (at - now)
            there = wall.replace(tzinfo=paris).astimezone(UTC).astimezone(paris).replace(tzinfo=None)
            at = at if there == wall else None
        return original(status, rules, recycled, gap, at, now)

    patch.setattr(agent_commands, "after_status", after_status)


CASES: Cases = {
    _hour_strikes: {
        _hour_rollover_loses_the_ledger: "CAMP-09",
    },
    _red_list: {
        _dnc_checked_at_claim_only: "LEGL-07",
    },
    _summer_time: {
        _callback_lost_at_dst: "CALB-01",
    },
}


@each_scenario(CASES)
def test_unharmed(scenario: Scenario) -> None:
    assert run(scenario, seed=8) == []


@each_mutant(CASES)
def test_mutant_is_caught(scenario: Scenario, mutant: Mutant, rule: str, monkeypatch: Patch) -> None:
    is_caught(scenario, mutant, rule, monkeypatch)
