"""What is older than the limits, in both stores: who is found, who is not, and what is dropped."""

from __future__ import annotations

from datetime import datetime, timedelta

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.store.pseudonyms import Pseudonyms
from tests.store.world import World

YEAR = timedelta(days=365)
OLD, DIALLED, AGREED, LATER, RECENT = (f"+3361234567{n}" for n in range(5))


async def stale(world: World, before: datetime, page: int, proof_before: datetime | None = None) -> list[str]:
    """Everybody stale, page by page."""
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        people, after = await world.store.stale_people(before, after, page, proof_before)
        found += [e164 for group_id, e164 in people if group_id == world.group.id]
    return found


async def test_only_who_was_not_heard_of_for_so_long_is_found(world: World) -> None:
    begin = world.clock.utcnow()
    await world.store.use_pseudonyms(Pseudonyms(b"k" * 32))
    _, dialled, _ = await world.leads(OLD, DIALLED, LATER)
    await world.leads(AGREED, consent_at=begin)
    await world.store.add_consent(world.client.id, LATER, {"at": begin, "until": begin + 4 * YEAR})
    await world.later((2 * YEAR).total_seconds())
    await world.leads(RECENT)
    attempt = await world.place(DIALLED, dialled)
    await world.apply(world.ended(attempt, Outcome.NO_ANSWER, dialled))
    await world.later((1.5 * YEAR).total_seconds())
    before = world.clock.utcnow() - 3 * YEAR
    assert await stale(world, before, 2) == [OLD]
    await world.store.erase_person(world.group.id, OLD)
    assert await stale(world, before, 100) == [], "the erased are not found again"
    await world.later(YEAR.total_seconds())
    assert sorted(await stale(world, world.clock.utcnow() - 3 * YEAR, 100)) == [AGREED], "its year counts first"


async def test_the_proof_of_a_consent_keeps_the_person_for_longer(world: World) -> None:
    begin = world.clock.utcnow()
    await world.leads(OLD, LATER)
    await world.leads(AGREED, consent_at=begin)
    await world.store.add_consent(world.client.id, LATER, {"at": begin})
    await world.later((3 * YEAR).total_seconds())
    now, month = world.clock.utcnow(), timedelta(days=30)
    assert sorted(await stale(world, now - month, 2)) == [OLD, AGREED, LATER], "both agreements ended two years ago"
    assert await stale(world, now - month, 2, now - 3 * YEAR) == [OLD], "their proof is kept for three"
    assert sorted(await stale(world, now - month, 2, now)) == [OLD, AGREED, LATER], "never shorter than the rest"
    await world.store.revoke_consent(world.client.id, LATER, now)
    await world.later(month.total_seconds() * 13)
    now = world.clock.utcnow()
    assert sorted(await stale(world, now - month, 2, now - 3 * YEAR)) == [OLD, AGREED], "counted from the revocation"


async def test_steps_of_old_calls_are_dropped_and_the_calls_stay(world: World) -> None:
    attempt = await world.place()
    step = f.CallEventFact(at=world.clock.utcnow(), attempt_id=attempt, campaign_id=world.campaign.id, kind="answered")
    await world.apply(step, world.ended(attempt, Outcome.CONNECTED))
    await world.store.log_api_call({"created_at": world.clock.utcnow(), "endpoint": "click2call"})
    await world.later(timedelta(days=30).total_seconds())
    kept = await world.store.purge_steps(world.clock.utcnow() - timedelta(days=31))
    assert (kept["days_of_steps"], kept["api_calls"]) == (0, 0) or kept["api_calls"] == 0
    row = await world.store.attempt(attempt)
    assert row is not None and len(row["events"]) == 1
    gone = await world.store.purge_steps(world.clock.utcnow() - timedelta(days=29))
    assert gone["days_of_steps"] >= 1 and gone["api_calls"] == 1
    row = await world.store.attempt(attempt)
    assert row is not None and row["events"] == [] and row["outcome"] == "connected"
    await world.apply(f.CallEventFact(at=world.clock.utcnow(), attempt_id=attempt, campaign_id=1, kind="note"))


async def test_whose_erasure_was_put_off_is_found_by_retention(world: World) -> None:
    """Asked for in a call, it takes the person out of the queue and is to be asked for again; if nobody does, their
    time comes all the same."""
    await world.store.use_pseudonyms(Pseudonyms(b"k" * 32))
    [lead] = await world.leads(OLD)
    await world.store.update_lead(lead, {"blocked_by": "erased", "eligible_at": None})
    await world.later((3 * YEAR).total_seconds())
    assert await stale(world, world.clock.utcnow() - YEAR, 10) == [OLD]
    await world.store.erase_person(world.group.id, OLD)
    assert await stale(world, world.clock.utcnow() - YEAR, 10) == []
