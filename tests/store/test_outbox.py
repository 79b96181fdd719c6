"""What webhooks have still to be told, the same in memory and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from daemon.calls import facts as f
from daemon.calls.records import Group, Webhook
from daemon.ports import Store, WebhookStore
from tests.store.world import SITE, FixedClock, World, make_world

SITES = (SITE,)


def outbox(store: Store) -> WebhookStore:
    assert isinstance(store, WebhookStore)
    return store


def key(row: dict[str, Any]) -> tuple[int, str, int, int]:
    return row["webhook_id"], row["site"], row["fence"], row["n"]


async def hook(store: Store, group: Group, name: str, *topics: str) -> Webhook:
    return await store.create(Webhook(group_id=group.id, name=name, url="https://crm.example/", topics=list(topics)))


async def whole_call(world: World, e164: str = "+33612345678") -> Any:
    """A call told in three steps."""
    attempt = await world.place(e164)
    await world.apply(
        f.CallEventFact(at=world.clock.utcnow(), attempt_id=attempt, campaign_id=1, kind="ringing"),
        world.ended(attempt, f.Outcome.CONNECTED, talk_s=5.0),
        world.disposed(attempt, 0, "VENTE", sale=True),
    )
    return attempt


async def test_webhooks_are_told_of_calls_in_order_without_numbers(store: Store, clock: FixedClock) -> None:
    world = await make_world(store, clock)
    everything, ends = await hook(store, world.group, "all"), await hook(store, world.group, "ends", "call.ended")
    off = await hook(store, world.group, "off")
    await store.update(Webhook, off.id, {"enabled": False}, None)
    stranger = await hook(store, await store.create(Group(code="other")), "others")
    attempt = await whole_call(world)
    told: dict[int, list[str]] = {}
    for webhook in (everything, ends, off, stranger):
        told[webhook.id] = []
        while due := await outbox(store).outbox_due(webhook.id, SITES, clock.utcnow(), 10):
            assert len({row["attempt_id"] for row in due}) == len(due), "one step of a call at a time"
            for row in due:
                assert "612345678" not in str(row["payload"]) and row["payload"]["attempt_id"] == str(attempt)
                told[webhook.id].append(row["topic"])
            await outbox(store).outbox_done([key(row) for row in due])
    assert told[everything.id] == ["call.ringing", "call.ended", "call.disposition"]
    assert (told[ends.id], told[off.id], told[stranger.id]) == (["call.ended"], [], [])


async def test_a_step_that_fails_holds_up_its_own_call_alone(store: Store, clock: FixedClock) -> None:
    world = await make_world(store, clock)
    webhook = await hook(store, world.group, "all")
    first, second = await whole_call(world, "+33612340001"), await whole_call(world, "+33612340002")
    due = await outbox(store).outbox_due(webhook.id, SITES, clock.utcnow(), 10)
    assert [row["attempt_id"] for row in due] == [first, second]
    assert await outbox(store).outbox_due(webhook.id, ("elsewhere",), clock.utcnow(), 10) == []
    later = clock.utcnow() + timedelta(seconds=60)
    await outbox(store).outbox_failed(key(due[0]), later, "503", clock.utcnow())
    await outbox(store).outbox_done([key(due[1])])
    due = await outbox(store).outbox_due(webhook.id, SITES, clock.utcnow(), 10)
    assert [(row["attempt_id"], row["topic"]) for row in due] == [(second, "call.ended")]
    clock.forward(61)
    due = await outbox(store).outbox_due(webhook.id, SITES, clock.utcnow(), 10)
    waiting = next(row for row in due if row["attempt_id"] == first)
    assert (waiting["topic"], waiting["tries"], waiting["error"]) == ("call.ringing", 1, "503")
    assert waiting["expires_at"] == waiting["at"] + timedelta(days=1)


async def test_dead_letters_are_listed_replayed_and_in_the_end_forgotten(store: Store, clock: FixedClock) -> None:
    world, box = await make_world(store, clock), outbox(store)
    webhook = await hook(store, world.group, "all")
    attempt = await whole_call(world)
    row = (await box.outbox_due(webhook.id, SITES, clock.utcnow(), 10))[0]
    await box.outbox_failed(key(row), None, "410", clock.utcnow())
    due = await box.outbox_due(webhook.id, SITES, clock.utcnow(), 10)
    assert [each["topic"] for each in due] == ["call.ended"], "a dead letter holds nothing up"
    dead = await box.outbox_dead(webhook.id, None, 10)
    assert [(each["topic"], each["error"], each["attempt_id"]) for each in dead] == [("call.ringing", "410", attempt)]
    last = (dead[0]["at"], dead[0]["fence"], dead[0]["n"])
    assert await box.outbox_dead(webhook.id, last, 10) == []
    figures = {"pending": 2, "dead": 1, "oldest_at": row["at"]}
    assert await box.outbox_figures([webhook.id, 999]) == {webhook.id: figures}
    now, until = clock.utcnow(), clock.utcnow() + timedelta(days=3)
    assert await box.outbox_replay(webhook.id, ["main-0-0"], now, until) == 0
    name = f"{row['site']}-{row['fence']}-{row['n']}"
    assert await box.outbox_replay(webhook.id, [name], now, until) == 1
    again = (await box.outbox_due(webhook.id, SITES, now, 10))[0]
    assert (again["topic"], again["tries"], again["expires_at"]) == ("call.ringing", 0, until)
    clock.forward(86_400)
    assert await box.outbox_sweep(clock.utcnow(), clock.utcnow() - timedelta(days=30)) == 2, "the replayed one has time"
    assert (await box.outbox_figures([webhook.id]))[webhook.id]["dead"] == 2
    clock.forward(31 * 86_400)
    assert await box.outbox_sweep(clock.utcnow(), clock.utcnow() - timedelta(days=30)) == 1
    assert (await box.outbox_figures([webhook.id]))[webhook.id]["dead"] == 1
    assert await box.outbox_replay(webhook.id, None, clock.utcnow(), until) == 1


async def test_what_is_no_step_of_a_call_is_told_to_those_who_asked(store: Store, clock: FixedClock) -> None:
    world, box = await make_world(store, clock), outbox(store)
    everything, calls = await hook(store, world.group, "all"), await hook(store, world.group, "calls", "call.ended")
    other = await hook(store, await store.create(Group(code="other")), "others")
    now = clock.utcnow()
    assert await box.outbox_add(world.group.id, "alert", {"alert": "x"}, now, (SITE, 9, 1)) == 1
    assert await box.outbox_add(world.group.id, "alert", {"alert": "x"}, now, (SITE, 9, 1)) == 0, "the same one twice"
    assert await box.outbox_add(world.group.id, "test", {}, now, (SITE, 9, 2), only=calls.id) == 1
    assert await box.outbox_add(world.group.id, "test", {}, now, (SITE, 9, 3), only=other.id) == 0
    assert await box.outbox_add(world.group.id, "alert", {"alert": "y"}, now, (SITE, 9, 4)) == 1
    due = await box.outbox_due(everything.id, SITES, now, 10)
    assert [row["payload"] for row in due] == [{"alert": "x"}, {"alert": "y"}], "no call, no order to keep"
    assert [row["topic"] for row in await box.outbox_due(calls.id, SITES, now, 10)] == ["test"]
    await store.delete(Webhook, everything.id, None)
    assert await box.outbox_figures([everything.id]) == {}
