"""Between a lead's claim and its call the person may be called, or refuse, as somebody on another list: the store sees
every list and site, and refuses an intent that does not know of it (features LEGL-01, LEGL-02, LEGL-07)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.calls.causes import Outcome
from tests.store.world import World

PERSON = "+33612345678"
NOTHING = datetime(1970, 1, 1, tzinfo=UTC)


async def granted(world: World, known_at: datetime | None, **more: Any) -> bool:
    intent = world.intent(PERSON, known_at=known_at, **more)
    return intent.attempt_id in await world.store.commit_intents([intent], world.lease)


@pytest.mark.parametrize(
    ("outcome", "counted", "held"), [(Outcome.NO_ANSWER, True, True), (Outcome.CONGESTION, False, False)]
)
async def test_a_call_made_since_the_claim_holds_the_next(
    world: World, outcome: Outcome, counted: bool, held: bool
) -> None:
    await world.leads(PERSON)
    await world.claim()
    await world.later(10.0)
    other = await world.place(PERSON)
    at = world.clock.utcnow()
    await world.apply(world.ended(other, outcome, counted=counted))
    await world.later(30.0)
    assert await granted(world, NOTHING) is not held
    if held:
        assert await granted(world, at), "a claim made now knows of it, and the law is asked with that"


async def test_a_refusal_said_since_the_claim_holds_the_next(world: World) -> None:
    first = await world.place(PERSON)
    called_at = world.clock.utcnow()
    await world.apply(world.ended(first, Outcome.CONNECTED, agent_id=4))
    await world.later(60.0)
    said_at = world.clock.utcnow()
    await world.apply(world.disposed(first, 0, "REFUS", refused=True))
    await world.later(30.0)
    assert not await granted(world, called_at)
    assert await granted(world, said_at)


async def test_the_red_list_holds_whatever_was_claimed_before(world: World) -> None:
    await world.leads(PERSON)
    await world.claim()
    await world.store.set_dnc(world.client.id, PERSON, True, "test", "asked")
    assert not await granted(world, NOTHING)


async def test_what_comes_from_no_claim_is_not_compared(world: World) -> None:
    """Calls by hand were judged at the door a moment ago; callers are let in."""
    before = await world.place(PERSON)
    await world.apply(world.ended(before, Outcome.NO_ANSWER, counted=True))
    await world.store.set_dnc(world.client.id, PERSON, True, "test", "asked")
    assert await granted(world, None, kind="inbound")


async def test_a_call_of_long_ago_is_nothing_new(world: World) -> None:
    """A claim brings along a month of attempts: one before that is not in it, and holds nobody."""
    old = await world.place(PERSON)
    await world.apply(world.ended(old, Outcome.NO_ANSWER, counted=True))
    await world.later(40 * 86_400.0)
    assert await granted(world, NOTHING)


async def test_technical_failures_count_in_a_row(world: World) -> None:
    """Five in a row and somebody must look (features D34); a call that reached the person begins the row anew, and one
    that never left says nothing of the number."""
    [lead_id] = await world.leads(PERSON)

    async def after(*outcomes: Outcome) -> int:
        for outcome in outcomes:
            attempt = await world.place(PERSON, lead_id)
            counted = outcome is Outcome.NO_ANSWER
            await world.apply(world.ended(attempt, outcome, lead_id, counted=counted))
        [lead] = await world.claim()
        await world.store.release_claims(world.lease.site)
        return lead.failures

    assert await after(Outcome.CONGESTION, Outcome.FAILED) == 2
    assert await after(Outcome.NOT_PLACED, Outcome.AGENT_NO_ANSWER) == 2
    assert await after(Outcome.NO_ANSWER) == 0
    assert await after(Outcome.CONGESTION) == 1
