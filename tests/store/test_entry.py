"""Leads without consent are held as they come in, in both stores; what changes that lifts them (features LEGL-08)."""

from __future__ import annotations

import pytest

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign
from daemon.ports import ConsentRules, ImportTarget, LeadSink, StagedLead
from tests.store.world import World

RULES = ConsentRules(
    required=frozenset({"strict", "both"}), business=frozenset({"both"}), contract=frozenset({"strict"})
)


@pytest.fixture
async def strict(world: World) -> World:
    """The world's campaign asks for consent."""
    world.store.use_consent_rules(RULES)
    await world.store.update(Campaign, world.campaign.id, {"rule_set": "strict"}, None)
    while await world.store.review_consent(1000):
        pass
    return world


async def held(world: World) -> dict[str, str]:
    """What holds each lead, by the end of its number."""
    page = await world.store.search_leads(world.group.id, {}, 100, None)
    return {row["e164"][-1]: row["blocked_by"] for row in page.rows}


async def test_what_comes_in_without_consent_is_held_and_not_due(strict: World) -> None:
    store, now = strict.store, strict.clock.utcnow()
    await store.add_consent(strict.client.id, "+33612345673", {"at": now})
    await strict.leads("+33612345671", "+33612345673")
    await strict.leads("+33612345672", consent_at=now)
    await strict.leads("+33612345674", running_contract=True)
    assert await held(strict) == {"1": "consent", "2": "", "3": "", "4": "consent"}
    assert await store.callable_counts(strict.campaign.id, now) == {"due": 2, "consent": 2}
    assert sorted(lead.e164[-1] for lead in await strict.claim()) == ["2", "3"]


async def test_a_file_too(strict: World) -> None:
    sink, now = strict.store, strict.clock.utcnow()
    assert isinstance(sink, LeadSink)
    await strict.leads("+33612345671", "+33612345672")
    target = ImportTarget(
        list_id=strict.listed.id, group_id=strict.group.id, duplicates="merge", keys=("phone",), scope="group"
    )
    staging = await sink.open_staging(target)
    drafts = [LeadDraft(e164="+33612345671", consent_at=now), LeadDraft(e164="+33612345672", last_name="Durand"),
              LeadDraft(e164="+33612345673"), LeadDraft(e164="+33612345674", consent_at=now)]  # fmt: skip
    rows = [StagedLead(row=n, root=n, draft=draft, email_key="", name_key="") for n, draft in enumerate(drafts, 1)]
    await staging.stage(rows)
    await staging.finish(now)
    assert await held(strict) == {"1": "", "2": "consent", "3": "consent", "4": ""}


async def test_a_consent_or_a_contract_lifts_it(strict: World) -> None:
    store, now = strict.store, strict.clock.utcnow()
    one, _, _ = await strict.leads("+33612345671", "+33612345672", "+33612345673")
    await store.update_lead(one, {"consent_at": now})
    await store.add_consent(strict.client.id, "+33612345672", {"at": now})
    assert await held(strict) == {"1": "", "2": "", "3": "consent"}


async def test_other_rules_of_the_campaign_are_followed(strict: World) -> None:
    store = strict.store
    await strict.leads("+33612345671")
    await strict.leads("+33612345672", running_contract=True)
    steps: list[tuple[dict[str, object], dict[str, str]]] = [
        ({"running_contract": True}, {"1": "consent", "2": ""}),
        ({"rule_set": "both"}, {"1": "consent", "2": "consent"}),
        ({"business": True}, {"1": "", "2": ""}),
        ({"business": False}, {"1": "consent", "2": "consent"}),
        ({"rule_set": "open"}, {"1": "", "2": ""}),
    ]
    for changes, expected in steps:
        await store.update(Campaign, strict.campaign.id, changes, None)
        while await store.review_consent(1):
            pass
        assert await held(strict) == expected, changes


async def test_a_list_that_another_campaign_works_without_consent_is_not_held(strict: World) -> None:
    store = strict.store
    await strict.leads("+33612345671")
    await store.create(
        Campaign(group_id=strict.group.id, client_id=strict.client.id, name="Other", site="s1", rule_set="open",
                 list_ids=[strict.listed.id])
    )  # fmt: skip
    assert await store.review_consent(1000) == [strict.listed.id]
    await strict.leads("+33612345672")
    assert await held(strict) == {"1": "", "2": ""}


async def test_leads_in_a_call_or_on_the_red_list_stay_as_they_are(strict: World) -> None:
    store = strict.store
    await store.update(Campaign, strict.campaign.id, {"rule_set": "open"}, None)
    while await store.review_consent(1000):
        pass
    await strict.leads("+33612345671")
    await strict.claim()
    await strict.leads("+33612345672", "+33612345673")
    await store.set_dnc(strict.client.id, "+33612345672", True, "me", "test")
    await store.update(Campaign, strict.campaign.id, {"rule_set": "strict"}, None)
    while await store.review_consent(1000):
        pass
    assert await held(strict) == {"1": "", "2": "dnc", "3": "consent"}
