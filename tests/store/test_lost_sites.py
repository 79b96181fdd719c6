"""A site that was renamed, or taken out of the settings, after a crash: what it held is anybody's again."""

from __future__ import annotations

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.facts import AgentStateSet, NumberedFact
from daemon.leads.upkeep import Upkeep
from daemon.settings import RetentionTable
from daemon.store import PostgresStore
from tests.store.world import LEASE_S, PARIS, SITE, World

NUMBERS = [f"+3361234567{n}" for n in range(6)]


async def nobody_leads_it(world: World, seconds: float) -> None:
    """Its daemon died so long ago."""
    world.clock.forward(seconds)
    if isinstance(world.store, PostgresStore):
        async with world.store._database.connection() as connection:
            await connection.execute("UPDATE site_leases SET until = until - make_interval(secs => $1)", seconds)


async def kept_up(world: World) -> None:
    """By another daemon, once."""

    async def changed(lists: tuple[int, ...]) -> None:
        return

    await Upkeep(world.store, world.clock, RetentionTable(), changed, proof_years=3).let_go()


async def due(world: World) -> int:
    """How many a site of another name can have."""
    lease = await world.store.acquire_lease("renamed", "daemon-b", LEASE_S)
    assert lease is not None
    return len(
        await world.store.claim_leads(world.campaign.id, 10, world.clock.utcnow(), [PARIS], "renamed", lease.fence)
    )


@pytest.mark.feature("RELY-03", clause="leads and people of a site that comes back under another name are not lost")
async def test_what_a_renamed_site_held_is_let_go(world: World) -> None:
    await world.leads(*NUMBERS)
    first = (await world.claim(4))[0]
    attempt = await world.place(first.e164, first.id)
    await nobody_leads_it(world, 3600.0)
    await kept_up(world)
    assert await due(world) == 2, "it may yet come back: people may be talking"
    await nobody_leads_it(world, 86_400.0)
    await kept_up(world)
    row = await world.store.attempt(attempt)
    assert row is not None and (row["outcome"], row["ended_by"]) == ("unknown", "daemon_down")
    assert await due(world) == 4


async def test_what_the_lost_site_s_journal_says_later_is_known_then(world: World) -> None:
    await world.leads(*NUMBERS)
    (lead,) = await world.claim(1)
    attempt = await world.place(lead.e164, lead.id)
    fence = world.lease.fence
    await nobody_leads_it(world, 2 * 86_400.0)
    await kept_up(world)
    await world.apply(world.ended(attempt, Outcome.BUSY, lead.id), fence=fence)
    row = await world.store.attempt(attempt)
    assert row is not None and row["outcome"] == "busy" and row["site"] == SITE


@pytest.mark.feature("RELY-05", clause="an agent moved to a younger site: their states are kept there from then on")
async def test_an_agent_moved_to_a_site_with_lower_fences(world: World) -> None:
    """Fences of two sites were compared: nothing of such an agent was written until the younger site's had passed the
    older's, so that a restart there forgot them, and their time was missing in the reports."""

    def numbered(site: str, fence: int, n: int, state: str) -> NumberedFact:
        fact = AgentStateSet(at=world.clock.utcnow(), agent_id=4, state=state)
        return NumberedFact(site=site, fence=fence, n=n, fact=fact)

    await world.store.apply_facts([numbered("old", 50, 1, "ready")])
    world.clock.forward(60.0)
    late = numbered("old", 50, 3, "paused")
    await world.store.apply_facts([numbered("old", 50, 2, "signed_out")])
    world.clock.forward(60.0)
    await world.store.apply_facts([numbered("new", 1, 1, "ready")])
    assert [row.state for row in await world.store.agent_states("new")] == ["ready"]
    await world.store.apply_facts([late])
    assert [row.state for row in await world.store.agent_states("new")] == ["ready"], "an older site's past"
    assert await world.store.agent_states("old") == []
