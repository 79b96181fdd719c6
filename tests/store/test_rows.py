"""Configuration, leads, searches, red list and consents on both stores."""

from __future__ import annotations

from datetime import timedelta

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import (
    Agent,
    ApiToken,
    Campaign,
    CampaignMode,
    Client,
    Group,
    HoursWindow,
    LeadList,
    RecyclingRule,
    Status,
)
from daemon.errors import StoreConflict, StoreUnavailable
from daemon.ports import Store
from tests.store.world import SITE, World


async def test_a_record_comes_back_as_it_was_given(world: World) -> None:
    given = Campaign(
        group_id=world.group.id,
        client_id=world.client.id,
        name="Énergie «B»",
        site=SITE,
        mode=CampaignMode.PREDICTIVE,
        list_ids=[2, 1],
        hours=[HoursWindow(days=[1, 2], start="10:00", end="13:00")],
        recycling=[RecyclingRule(on="busy", delay_s=3600.0, max_count=2, priority="high")],
    )
    created = await world.store.create(given)
    assert created.version == 1
    given.id, given.version = created.id, 1
    assert created == given
    assert await world.store.get(Campaign, created.id) == given
    assert await world.store.find(Campaign, name="Énergie «B»") == [given]
    agent = await world.store.create(
        Agent(group_id=world.group.id, site=SITE, login="1001", name="Zoé", extension="1001", skills={"fr": 2})
    )
    assert (await world.store.find(Agent, group_id=world.group.id, enabled=True)) == [agent]
    token = await world.store.create(ApiToken(group_id=world.group.id, name="t", expires_at=world.clock.utcnow()))
    assert await world.store.get(ApiToken, token.id) == token


async def test_a_name_is_taken_once_a_group(world: World) -> None:
    twin = Campaign(group_id=world.group.id, client_id=world.client.id, name=world.campaign.name, site=SITE)
    with pytest.raises(StoreConflict) as caught:
        await world.store.create(twin)
    assert caught.value.field == "name"
    other = await world.store.create(Group(code="other"))
    client = await world.store.create(Client(group_id=other.id, name="Advertiser"))
    twin.group_id, twin.client_id = other.id, client.id
    assert (await world.store.create(twin)).id != world.campaign.id
    with pytest.raises(StoreConflict) as caught:
        await world.store.create(
            Campaign(group_id=other.id, client_id=client.id, name="B", site=SITE, id=0).__class__(
                group_id=other.id, client_id=999, name="B", site=SITE
            )
        )
    assert caught.value.field == "client_id"


async def test_changes_need_the_version_they_were_made_from(world: World) -> None:
    changed = await world.store.update(Campaign, world.campaign.id, {"speed": 8, "list_ids": []}, 1)
    assert (changed.version, changed.speed, changed.list_ids) == (2, 8, [])
    with pytest.raises(StoreConflict) as caught:
        await world.store.update(Campaign, world.campaign.id, {"speed": 9}, 1)
    assert caught.value.field == "version"
    with pytest.raises(StoreConflict):
        await world.store.update(Campaign, world.campaign.id, {"speed": "fast"}, None)
    with pytest.raises(StoreConflict):
        await world.store.update(Campaign, world.campaign.id, {"sped": 3}, None)
    with pytest.raises(StoreConflict):
        await world.store.update(Campaign, 999, {"speed": 3}, None)
    kept = await world.store.get(Campaign, world.campaign.id)
    assert kept == changed


async def test_a_row_in_use_is_not_deleted(world: World) -> None:
    with pytest.raises(StoreConflict):
        await world.store.delete(Client, world.client.id, None)
    await world.leads("+33612345678")
    with pytest.raises(StoreConflict) as caught:
        await world.store.delete(LeadList, world.listed.id, None)
    assert caught.value.field == "leads"
    status = await world.store.create(Status(group_id=world.group.id, code="VENTE", name="Vente", sale=True))
    with pytest.raises(StoreConflict):
        await world.store.delete(Status, status.id, 7)
    await world.store.delete(Status, status.id, 1)
    assert await world.store.get(Status, status.id) is None


async def test_a_changed_result_does_not_change_the_store(world: World) -> None:
    found = await world.store.get(Campaign, world.campaign.id)
    assert found is not None
    found.list_ids.append(77)
    again = await world.store.get(Campaign, world.campaign.id)
    assert again is not None
    assert again.list_ids == [world.listed.id]


async def test_leads_keep_every_field_and_their_order(world: World) -> None:
    draft = LeadDraft(
        e164="+33612345678",
        first_name="Zoé",
        last_name="O'Brien",
        company="C\\A %_ «x»",
        email="Zoe@Example.org",
        city="Aix",
        postal_code="13100",
        status="NEW",
        vendor_lead_code="EXT-1",
        consent_at=world.clock.utcnow(),
        consent_source="form",
        fields={"a": [1, {"b": None}]},
    )
    ids = await world.store.add_leads(world.listed.id, [LeadDraft(e164="+33698765432"), draft])
    assert ids == sorted(ids)
    page = await world.store.search_leads(world.group.id, {}, 10, None)
    row = page.rows[0]
    assert {name: row[name] for name in ("id", "first_name", "company", "fields", "status", "consent_at")} == {
        "id": ids[1],
        "first_name": "Zoé",
        "company": "C\\A %_ «x»",
        "fields": {"a": [1, {"b": None}]},
        "status": "NEW",
        "consent_at": world.clock.utcnow(),
    }


async def test_a_vendor_code_makes_an_insert_idempotent(world: World) -> None:
    first = LeadDraft(e164="+33612345678", vendor_lead_code="EXT-1")
    other = LeadDraft(e164="+33698765432")
    [one] = await world.store.add_leads(world.listed.id, [first])
    again = await world.store.add_leads(world.listed.id, [other, first, other])
    assert again[1] == one
    assert len({*again, one}) == 3
    with pytest.raises(StoreConflict):
        await world.store.add_leads(999, [other])


async def test_search_filters_combine_and_pages_do_not_overlap(world: World) -> None:
    ids = await world.leads(*[f"+3361234{i:04d}" for i in range(7)], last_name="Martin")
    await world.leads("+33699999999", last_name="Durand", company="100% SA")
    search = world.store.search_leads
    seen: list[int] = []
    after: str | None = None
    while True:
        page = await search(world.group.id, {"q": "mart", "list_id": world.listed.id}, 3, after)
        seen += [row["id"] for row in page.rows]
        if (after := page.next_after) is None:
            break
    assert seen == ids[::-1]
    assert [row["e164"] for row in (await search(world.group.id, {"q": "100%"}, 5, None)).rows] == ["+33699999999"]
    assert (await search(world.group.id, {"q": "mart", "phone": "+33699999999"}, 5, None)).rows == []
    assert (await search(world.group.id + 1, {}, 5, None)).rows == []
    with pytest.raises(ValueError, match="unknown filter"):
        await search(world.group.id, {"e164; --": 1}, 5, None)


async def test_calls_are_found_by_every_filter_and_their_and(world: World) -> None:
    long = await world.place("+33612345678", line_id=3)
    short = await world.place("+33698765432", line_id=4, kind="click2call", campaign_id=0)
    inbound = await world.place("+33612340000", kind="inbound", agent_id=9)
    await world.apply(
        world.ended(long, Outcome.CONNECTED, talk_s=120.0, agent_id=4),
        world.ended(short, Outcome.NO_ANSWER),
    )

    async def found(**filters: object) -> list[object]:
        page = await world.store.search_attempts(world.group.id, filters, 10, None)
        return [row["id"] for row in page.rows]

    now = world.clock.utcnow()
    assert await found() == [inbound, short, long]
    assert await found(**{"from": now, "to": now + timedelta(seconds=1)}) == [inbound, short, long]
    assert await found(to=now) == []
    assert await found(direction="in") == [inbound]
    assert await found(direction="out") == [short, long]
    assert await found(campaign_id=world.campaign.id, direction="out") == [long]
    assert await found(line_id=4) == [short]
    assert await found(agent_id=4) == [long]
    assert await found(number="+33612345678") == [long]
    assert await found(duration_min=60) == [long]
    assert await found(duration_max=60) == [inbound, short]
    assert await found(outcome="no_answer") == [short]
    assert await found(outcome=["no_answer", "connected"], duration_min=1) == [long]
    assert await found(open=True) == [inbound]
    assert (await world.store.search_attempts(world.group.id + 1, {}, 10, None)).rows == []
    first = await world.store.search_attempts(None, {}, 2, None)
    rest = await world.store.search_attempts(None, {}, 2, first.next_after)
    assert [row["id"] for row in first.rows + rest.rows] == [inbound, short, long]


async def test_red_list_blocks_and_unblocks_at_once(world: World) -> None:
    ids = await world.leads("+33612345678", "+33612345678", "+33698765432")
    await world.store.update_lead(ids[1], {"blocked_by": "final"})
    assert await world.store.set_dnc(world.client.id, "+33612345678", True, "anna", "phone") == ids[:2]
    assert [lead.id for lead in await world.claim()] == [ids[2]]
    new = await world.leads("+33612345678")
    assert await world.claim() == [], "a lead added later is blocked too"
    assert await world.store.set_dnc(world.client.id, "+33612345678", False, "anna", "phone") == ids[:2] + new
    assert [lead.id for lead in await world.claim()] == [ids[0], new[0]], "what else held a lead still does"


async def test_a_red_list_is_its_clients_alone(world: World) -> None:
    other = await world.store.create(Client(group_id=world.group.id, name="Other"))
    await world.leads("+33612345678")
    assert await world.store.set_dnc(other.id, "+33612345678", True, "anna", "phone") == []
    [lead] = await world.claim()
    assert not lead.dnc


async def test_consents_are_kept_and_revocation_wins(world: World) -> None:
    [lead_id] = await world.leads("+33612345678", consent_at=world.clock.utcnow() - timedelta(days=400))
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert facts.consent_at == world.clock.utcnow() - timedelta(days=400)
    await world.store.update_lead(lead_id, {"blocked_by": "consent"})
    until = world.clock.utcnow() + timedelta(days=90)
    consent = {"at": world.clock.utcnow(), "until": until, "source": "form", "automated": True}
    assert await world.store.add_consent(world.client.id, "+33612345678", consent) == [lead_id]
    [lead] = await world.claim()
    assert (lead.consent_at, lead.consent_until, lead.consent_automated) == (world.clock.utcnow(), until, True)
    assert lead.consent_revoked_at is None
    world.clock.forward(5)
    assert await world.store.revoke_consent(world.client.id, "+33612345678", world.clock.utcnow()) == [lead_id]
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert facts.consent_revoked_at == world.clock.utcnow()


async def test_a_consent_that_came_with_the_lead_can_be_revoked(world: World) -> None:
    [lead_id] = await world.leads("+33612345678", consent_at=world.clock.utcnow())
    world.clock.forward(1)
    await world.store.revoke_consent(world.client.id, "+33612345678", world.clock.utcnow())
    facts = await world.store.lead_facts(lead_id)
    assert facts is not None
    assert facts.consent_revoked_at == world.clock.utcnow()


async def test_a_changed_lead_moves_in_the_queue(world: World) -> None:
    ids = await world.leads("+33612345678", "+33698765432", "+33611111111")
    assert await world.store.update_lead(ids[2], {"priority": 9, "tz_group": "Europe/Paris"})
    assert await world.store.update_lead(ids[0], {"first_name": "Zoé"})
    assert not await world.store.update_lead(999, {"first_name": "Zoé"})
    with pytest.raises(StoreConflict):
        await world.store.update_lead(ids[0], {"claimed_by": "me"})
    assert [lead.id for lead in await world.claim()] == [ids[2], ids[0], ids[1]]


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.ping()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.open()
    await store.ping()


async def test_a_lead_is_found_by_its_second_number_however_that_was_written(world: World) -> None:
    """Imports write it in E.164; the API keeps it as it was sent."""
    ids = []
    ways = ("+33745678901", "07 45 67 89 01", "07.45.67.89.01", "0033745678901", "", "chez Léa")
    for n, alt_phone in enumerate(ways):
        ids += await world.leads(f"+3361234567{n}", alt_phone=alt_phone)
    page = await world.store.search_leads(world.group.id, {"phone": "+33745678901"}, 10, None)
    assert [row["id"] for row in reversed(page.rows)] == ids[:4]
    page = await world.store.search_leads(world.group.id, {"phone": "+33612345675"}, 10, None)
    assert [row["id"] for row in page.rows] == ids[5:]
