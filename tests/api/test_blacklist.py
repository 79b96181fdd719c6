"""Off the blacklist: the leads that were held for it are due at once, those of others are left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Blocked
from daemon.engine.commands import ConfigChanged, LeadsChanged
from tests.api.fakes import World

Client = TestClient[Any, Any]
NUMBER, OTHER = "+33612000001", "+33612000002"


@pytest.mark.feature("ZAD-18", clause="taken off the blacklist, or its number mended: due again at once")
@pytest.mark.parametrize("how", ["deleted", "mended"])
async def test_off_the_list_is_due_at_once(client: Client, world: World, how: str) -> None:
    rows, store, at = world.rows, world.store, world.clock.utc
    mine = await store.add_leads(rows["list"].id, [LeadDraft(e164=NUMBER), LeadDraft(e164=OTHER)])
    theirs = await store.add_leads(rows["other_list"].id, [LeadDraft(e164=NUMBER)])
    held, elsewhere, strangers = mine[0], mine[1], theirs[0]
    rules = {held: "blacklist", elsewhere: "hours", strangers: "blacklist"}
    facts = [
        f.RefusalFact(at=at, site="main", lead_id=id, campaign_id=1, client_id=1, rule=rule, clause="", rule_set="r",
                      until=at + timedelta(hours=1))
        for id, rule in rules.items()
    ]  # fmt: skip
    await store.apply_facts([f.NumberedFact(site="main", fence=1, n=n, fact=fact) for n, fact in enumerate(facts, 1)])

    async def holds() -> dict[int, str]:
        return {id: row.blocked_by for id in rules if (row := store.tables.leads[id])}

    assert await holds() == rules
    row = await store.create(Blocked(group_id=rows["group"].id, e164=NUMBER))
    headers, path = {**world.auth("manager"), "If-Match": "*"}, f"/api/v1/blacklist/{row.id}"
    if how == "deleted":
        async with client.delete(path, headers=headers) as response:
            assert response.status == 204
    else:
        async with client.patch(path, headers=headers, json={"reason": "menaces"}) as response:
            assert response.status == 200
        assert await holds() == rules
        async with client.patch(path, headers=headers, json={"e164": "+33612000009"}) as response:
            assert response.status == 200
    assert await holds() == {**rules, held: ""} and store.tables.leads[held].eligible_at is None
    first, second = world.door.commands[-2:]
    assert isinstance(first, ConfigChanged) and first.table == "Blocked", "the engine hears of the number first"
    assert isinstance(second, LeadsChanged) and second.lead_ids == (held,)
