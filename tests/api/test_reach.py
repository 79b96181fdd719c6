"""How far a token reaches: one limited to some campaigns, one of a group beside one of all groups."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, LeadList, Role
from daemon.engine import commands as c
from tests.api.fakes import World, agent_view, campaign_view

Client = TestClient[Any, Any]
CALL = "0199" * 8


async def ask(client: Client, world: World, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with client.request(method, f"/api/v1{path}", headers=world.auth(who), json=body) as response:
        return response.status, await response.json() if response.content_length else None


async def second_campaign(world: World) -> tuple[Campaign, LeadList]:
    """Another campaign of the group with a list of its own; a token `narrow` that is limited to it."""
    rows = world.rows
    group, client = rows["group"].id, rows["client"].id
    own = await world.store.create(LeadList(group_id=group, name="Fidélité"))
    await world.store.add_leads(own.id, [LeadDraft(e164="+33199000501", last_name="Deux")])
    await world.store.add_leads(rows["list"].id, [LeadDraft(e164="+33199000502", last_name="Un")])
    made = Campaign(group_id=group, client_id=client, name="Fidélité", site="main", list_ids=[own.id])
    campaign = await world.store.create(made)
    world.door.show(campaign_view(campaign.id, group, "Fidélité"))
    await world.token("narrow", group, role=Role.MANAGER, campaign_ids=[campaign.id])
    return campaign, own


@pytest.mark.feature(
    "ROLE-01", clause="campaigns assigned: leads of other campaigns' lists are neither found nor counted"
)
async def test_a_token_of_one_campaign_sees_the_leads_of_its_lists(client: Client, world: World) -> None:
    _, own = await second_campaign(world)
    other = world.rows["list"].id
    _, found = await ask(client, world, "narrow", "GET", "/leads")
    assert [row["last_name"] for row in found["rows"]] == ["Deux"]
    assert (await ask(client, world, "narrow", "GET", f"/leads?list_id={other}"))[0] == 404
    _, counts = await ask(client, world, "narrow", "GET", "/lead-counts")
    assert [row["list_id"] for row in counts["lists"]] == [own.id]
    assert (await ask(client, world, "narrow", "GET", f"/held-leads?list_id={other}"))[0] == 404
    held = [await ask(client, world, "narrow", "GET", f"/held-leads?reason={name}") for name in ("due", "consent")]
    assert {row["list_id"] for _, page in held for row in page["rows"]} == {own.id}
    _, found = await ask(client, world, "supervisor", "GET", "/leads")
    assert len(found["rows"]) == 2


@pytest.mark.feature(
    "ROLE-01", clause="campaigns assigned: who talks for another campaign is not listened to, nor cut off"
)
async def test_a_token_of_one_campaign_hears_no_other_campaigns_calls(client: Client, world: World) -> None:
    campaign, _ = await second_campaign(world)
    agent, group, first = world.rows["agent"].id, world.rows["group"].id, world.rows["campaign"].id

    async def tried(path: str, body: Any = None) -> int:
        return (await ask(client, world, "narrow", "POST", f"/agents/{agent}/{path}", body))[0]

    assert await tried("pause", {}) == 404, "at work on the other campaign alone: the live view shows it nobody here"
    both = {"campaign_ids": (first, campaign.id), "state": "on_call", "attempt_id": CALL}
    world.door.show(agent_view(agent, group, "S. Benali", "1001", campaign_id=first, **both))
    listen = {"extension": "1002", "mode": "listen"}
    for path, body in (
        ("supervise", listen), ("take-over", {"extension": "1002"}), ("hang-up", None), ("hold", None),
        ("transfer", {"extension": "1003"}), ("record/mute", {"on": True}),
    ):  # fmt: skip
        assert await tried(path, body) == 404, path
    assert not world.door.commands
    world.door.change("agents", agent, campaign_id=campaign.id)
    assert await tried("supervise", listen) == 202 and await tried("pause", {}) == 202
    assert [type(x) for x in world.door.commands] == [c.Supervise, c.SetPaused]


async def test_suspending_all_leaves_the_stopped_stopped_and_hangs_up_as_asked(client: Client, world: World) -> None:
    campaign, _ = await second_campaign(world)
    status, _ = await ask(client, world, "narrow", "POST", "/campaigns/stop-all", {"hang_up_ringing": True})
    (command,) = world.door.commands
    assert status == 202 and isinstance(command, c.StopAllCalls)
    assert (command.campaign_ids, command.hang_up_ringing) == ((campaign.id,), True)
    assert command.group_id == world.rows["group"].id


@pytest.mark.feature("ROLE-01", clause="a token that reaches further than one's own is neither renewed nor ended")
async def test_a_stronger_token_is_not_taken_over(client: Client, world: World) -> None:
    """Who renews a token is shown it: an administrator of one group would become one of all of them."""
    rows = world.rows
    for who, target in (("administrator", "root"), ("limited", "administrator"), ("limited", "c2c")):
        if who not in world.tokens:
            only = [rows["campaign"].id]
            await world.token(who, rows["group"].id, role=Role.ADMINISTRATOR, campaign_ids=only)
        path = f"/tokens/{rows['token_' + target].id}"
        for method, address in (("POST", f"{path}/rotate"), ("DELETE", path)):
            status, answer = await ask(client, world, who, method, address)
            assert status == 403, (who, target, method, answer)
        assert (await ask(client, world, who, "GET", path))[0] == 200
    await world.token("narrow", rows["group"].id, campaign_ids=[rows["campaign"].id])
    assert (await ask(client, world, "limited", "DELETE", f"/tokens/{rows['token_narrow'].id}"))[0] == 204
    assert (await ask(client, world, "root", "POST", f"/tokens/{rows['token_root'].id}/rotate"))[0] == 200


async def test_a_red_listed_person_is_not_rung_by_an_operators_call(client: Client, world: World) -> None:
    await world.store.set_dnc(world.rows["client"].id, "+33199000123", True, "anna", "by letter")
    body = {"extension": "1001", "number": "0199000123"}
    status, answer = await ask(client, world, "supervisor", "POST", "/calls", body)
    assert (status, answer["code"], answer["details"]["rule"]) == (403, "call_forbidden", "red_list")
    assert not world.door.commands
    assert (await ask(client, world, "supervisor", "POST", "/calls", {**body, "number": "0199000124"}))[0] == 202
    assert isinstance(world.door.of(c.CallExtension)[0].attempt_id, UUID)


async def test_a_zone_that_is_none_is_named_as_such(client: Client, world: World) -> None:
    status, answer = await ask(client, world, "supervisor", "GET", "/reports/by_day?zone=Europe/Pariss")
    assert (status, answer["code"], answer["details"]["field"]) == (400, "field_invalid", "zone")
    assert (await ask(client, world, "supervisor", "GET", "/reports/by_day?zone=Europe/Paris"))[0] == 200
