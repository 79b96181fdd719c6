"""The law's figures on both stores: calls held back one by one, consents by state, red lists and their changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from daemon.calls import facts as f
from tests.store.world import World

DAY = timedelta(days=1)


async def refuse(world: World, lead_id: int, rule: str, hours: float) -> None:
    at = world.clock.utcnow() + timedelta(hours=hours)
    fact = f.RefusalFact(
        at=at, lead_id=lead_id, campaign_id=world.campaign.id, client_id=world.client.id, rule=rule,
        clause=f"clause of {rule}", rule_set="r", until=at + DAY,
    )  # fmt: skip
    await world.apply(fact)


async def test_refusals_counted_are_the_refusals_listed_page_by_page(world: World) -> None:
    first, second = await world.leads("+33612345678", "+33612345679", last_name="Durand")
    for lead_id, rule, hours in (
        (first, "hours", 0),
        (first, "hours", 0),
        (second, "hours", 1),
        (second, "consent", 2),
    ):
        await refuse(world, lead_id, rule, hours)
    asked = {"group_id": world.group.id, "start": world.clock.utcnow(), "end": world.clock.utcnow() + 2 * DAY}
    counted = await world.store.report("refused_by_rule", **asked)
    for row in counted:
        listed: list[dict[str, Any]] = []
        place: dict[str, Any] = {}
        while page := await world.store.report("refused", **asked, rule=row["rule"], rule_set="r", limit=2, **place):
            listed += page
            place = {f"before_{name}": page[-1][name] for name in ("at", "site", "fence", "n")}
        assert (len(listed), len({each["lead_id"] for each in listed})) == (row["refusals"], row["people"])
        assert listed == sorted(listed, key=lambda each: (each["at"], each["n"]), reverse=True)
    [newest] = await world.store.report("refused", **asked, limit=1)
    assert (newest["rule"], newest["e164"], newest["clause"]) == ("consent", "+33612345679", "clause of consent")
    assert await world.store.report("refused", group_id=world.group.id + 1) == []


async def test_consents_are_valid_expired_or_withdrawn(world: World) -> None:
    store, client, now = world.store, world.client.id, world.clock.utcnow()
    for number, ago in ((1, 10), (2, 364), (3, 366), (4, 10), (5, 10)):
        await store.add_consent(client, f"+3361234567{number}", {"at": now - ago * DAY})
    await store.revoke_consent(client, "+33612345674", now - DAY)
    await store.revoke_consent(client, "+33612345675", now - 2 * DAY)
    await store.add_consent(client, "+33612345675", {"at": now - DAY})  # agreed again
    await store.add_consent(client, "+33612345671", {"at": now - DAY, "until": now})  # it counts, and is over
    await world.leads("+33612345680", "+33612345674", consent_at=now - 5 * DAY)
    await world.leads("+33612345681", consent_at=now - 366 * DAY)
    rows = await store.report("consents_by_state", group_id=world.group.id, at=now, valid_days=365)
    assert rows == [
        {"kind": "leads", "valid": 1, "expired": 1, "withdrawn": 1},
        {"kind": "register", "valid": 2, "expired": 2, "withdrawn": 1},
    ]
    ageless = await store.report("consents_by_state", group_id=world.group.id, at=now, valid_days=0)
    assert [row["expired"] for row in ageless] == [0, 1]


async def test_a_red_lists_size_and_what_changed_in_it(world: World) -> None:
    store, client = world.store, world.client.id
    await store.set_dnc(client, "+33612345671", True, "anna", "page")
    await world.later(86_400)
    start = world.clock.utcnow()
    await store.set_dnc(client, "+33612345672", True, "anna", "page")
    await store.set_dnc(client, "+33612345673", True, "anna", "page")
    await store.set_dnc(client, "+33612345671", False, "anna", "asked in writing")
    await store.note("anna", "red_list.off", f"client:{client}", {})
    rows = await store.report("red_list_by_client", group_id=world.group.id, start=start, end=start + DAY)
    assert rows == [{"client_id": client, "size": 2, "added": 2, "removed": 1}]
