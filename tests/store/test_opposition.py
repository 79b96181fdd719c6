"""Many numbers on the red list at once, in both stores."""

from __future__ import annotations

from datetime import timedelta

from daemon.calls.lead_records import LeadDraft
from tests.store.world import World


async def test_every_lead_of_the_client_is_held_at_once(world: World) -> None:
    first, second, third = await world.leads("+33612345678", "+33612345679", "+33612345670")
    found = await world.store.add_dnc(world.client.id, ["+33612345678", "+33612345670", "+33698765432"], "a", "file")
    assert found == (3, 2)
    assert [lead.id for lead in await world.claim()] == [second]
    for lead_id, held in ((first, True), (second, False), (third, True)):
        facts = await world.store.lead_facts(lead_id)
        assert facts is not None and facts.dnc is held


async def test_again_adds_nothing_and_a_later_lead_is_held_too(world: World) -> None:
    await world.leads("+33612345678")
    assert await world.store.add_dnc(world.client.id, ["+33612345678", "+33612345678"], "a", "file") == (1, 1)
    assert await world.store.add_dnc(world.client.id, ["+33612345678"], "a", "file") == (0, 0)
    await world.store.add_leads(world.listed.id, [LeadDraft(e164="+33612345678", last_name="again")])
    assert await world.claim() == []
    assert await world.store.set_dnc(world.client.id, "+33612345678", False, "a", "asked") != []
    assert len(await world.claim()) == 2


async def test_a_waiting_lead_does_not_come_back(world: World) -> None:
    [lead_id] = await world.leads("+33612345678")
    soon = world.clock.utcnow() + timedelta(minutes=1)
    await world.store.update_lead(lead_id, {"eligible_at": soon})
    assert await world.store.add_dnc(world.client.id, ["+33612345678"], "a", "file") == (1, 1)
    world.clock.forward(120)
    assert await world.claim() == []
