"""What the tests with mutants share: a mutant is a bug somebody could write, and the checkers must see it.

A case is a scenario and the mutants that it shows, each with the rule by which it is seen. Run unharmed, the scenario
gives no violation; with one of its mutants it gives some, of that rule among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest

from daemon.calls.records import Campaign
from daemon.engine import commands as c
from fake_asterisk import people
from simulation import checkers
from simulation.loop import VirtualLoop, run
from simulation.world import World

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]
Scenario = Callable[[VirtualLoop], Coroutine[Any, Any, list[str]]]
Cases = Mapping[Scenario, Mapping[Mutant, str]]
CROWD = people.People(answer_chance=0.5, talk_mean_s=15.0, ring_mean_s=3.0, machine_share=0.0)


async def campaign_of(
    world: World, *, agents: int = 6, leads: int = 100, lines: Sequence[int] = (3, 2), **more: Any
) -> Campaign:
    """A campaign at work."""
    campaign = await world.furnish(agents=agents, leads=leads, lines=lines, ring_timeout_s=15.0, **more)
    await world.start()
    await world.staff(campaign)
    await asyncio.sleep(5.0)
    await world.submit(c.StartCampaign(campaign_id=campaign.id))
    return campaign


async def judge(world: World, campaign: Campaign, *, capacity: int = 5, calm: bool = False) -> list[str]:
    """Stop, let everything come to rest, ask the checkers."""
    await world.submit(c.StopCampaign(campaign_id=campaign.id))
    await asyncio.sleep(150.0)
    assert world.store is not None
    ledger, tables = world.fake.ledger, world.store.tables
    in_use = {line.record.name: line.in_use for line in world.live.pool.lines.values()}
    found = checkers.after_settling(ledger, tables, capacity, in_use)
    if calm:
        found += checkers.in_calm(ledger, tables, world.clock.utc_at)
    await world.stop()
    return [str(violation) for violation in found]


def each_scenario(cases: Cases) -> pytest.MarkDecorator:
    """Parametrises `scenario`."""
    return pytest.mark.parametrize("scenario", list(cases), ids=_name)


def each_mutant(cases: Cases) -> pytest.MarkDecorator:
    """Parametrises `scenario`, `mutant` and `rule`."""
    rows = [(scenario, mutant, rule) for scenario, mutants in cases.items() for mutant, rule in mutants.items()]
    return pytest.mark.parametrize(("scenario", "mutant", "rule"), rows, ids=_name)


def _name(each: Any) -> str:
    return each if isinstance(each, str) else str(each.__name__).strip("_")


def is_caught(scenario: Scenario, mutant: Mutant, rule: str, patch: Patch) -> None:
    """With the mutant the scenario breaks that rule."""
    mutant(patch)
    assert rule in {violation.split(":")[0] for violation in run(scenario, seed=8)}
