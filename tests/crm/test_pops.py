"""The page that opens with a call: at the chosen event, once a call and agent, never in the way of the call."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from daemon.crm.pops import Pop
from daemon.engine.views import CallView
from tests.crm.office import Office, make_office
from tests.crm.test_crm_api import ask, make_api

NUMBER = "+33612345678"


def view(office: Office, id: UUID, agent: int, stage: str) -> CallView:
    now = office.clock.utcnow()
    return CallView(
        id=str(id), number=1, kind="inbound", group_id=office.world.group.id, campaign_id=0, lead_id=0, agent_id=agent,
        line_id=0, site="s1", stage=stage, since=now, started=now,
    )  # fmt: skip


async def ringing(office: Office, kind: str = "inbound") -> UUID:
    await office.world.later(0)
    return await office.world.place(NUMBER, kind=kind)


async def popped(office: Office, id: UUID, agent: int, *stages: str, ended: bool = False) -> Pop | None:
    """What the desk is shown after the call has gone through these stages."""
    pops = office.service.pops
    task = asyncio.create_task(pops.run())
    for stage in stages:
        pops.on_change({"calls": {str(id): view(office, id, agent, stage)}})
    if ended:
        pops.on_change({"calls": {str(id): None}})
    try:
        return await pops.of(str(id), agent, 30.0 if stages else 0.2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("event", "stages", "ended"),
    [("ringing", ("ringing",), False), ("answered", ("ringing", "talking"), False), ("end", ("talking",), True)],
)
async def test_the_page_opens_at_the_chosen_event(event: str, stages: tuple[str, ...], ended: bool) -> None:
    async with make_office() as office:
        contact = office.crm.add_contact(first="Zoé", phone=NUMBER)
        row = await office.integrate("generic-rest", popup=event)
        await office.running(row)
        pop = await popped(office, await ringing(office), 1, *stages, ended=ended)
        assert pop is not None
        assert (pop.url, pop.name, pop.automatic) == (f"{office.crm.url}/contacts/{contact}", "Zoé", True)


@pytest.mark.parametrize(("calls", "opens"), [("inbound", False), ("all", True)])
async def test_outgoing_calls_open_nothing_unless_wanted(calls: str, opens: bool) -> None:
    async with make_office() as office:
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", popup_calls=calls))
        id = await ringing(office, "campaign")
        office.service.pops.on_change({"calls": {str(id): view(office, id, 1, "ringing")}})
        office.service.pops.on_change({"calls": {str(id): view(office, id, 1, "talking")}})
        task = asyncio.create_task(office.service.pops.run())
        found = await office.service.pops.of(str(id), 1, 30.0 if opens else 0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (found is not None) is opens
        assert len(office.crm.requests) == int(opens), "the CRM was asked more than once, or for nothing"


@pytest.mark.parametrize("display", ["popup", "modal", "silent"])
async def test_hooks_by_fields(display: str) -> None:
    async with make_office() as office:
        url = f"{office.crm.url}/v1/users?who=*CALLING*&what=*EVENT*"
        row = await office.integrate("generic-rest", hook_url=url, display=display, number_format="00")
        await office.running(row)
        pop = await popped(office, await ringing(office), 1, "ringing") if display != "silent" else None
        if display == "silent":
            await _silent(office)
            return
        assert pop is not None
        assert pop.display == display
        assert pop.url == f"{office.crm.url}/v1/users?who=0033612345678&what=start_ringing"


async def _silent(office: Office) -> None:
    id = await ringing(office)
    task = asyncio.create_task(office.service.pops.run())
    office.service.pops.on_change({"calls": {str(id): view(office, id, 1, "ringing")}})
    async with asyncio.timeout(30):
        while not any("what=start_ringing" in path for _, path, _, _ in office.crm.requests):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await office.service.pops.of(str(id), 1, 0.1) is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.feature("YPS-10", clause="the ticket is there while they talk, and completed under the same id at the end")
async def test_a_ticket_is_made_as_the_phone_rings() -> None:
    async with make_office() as office:
        row = await office.integrate("zendesk-like", default_user="71")
        running = await office.running(row)
        id = await ringing(office)
        task = asyncio.create_task(office.service.pops.run())
        office.service.pops.on_change({"calls": {str(id): view(office, id, 1, "ringing")}})
        async with asyncio.timeout(30):
            while not office.crm.tickets:  # noqa: ASYNC110 - what is waited for raises no event
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        from daemon.calls.causes import Outcome

        await office.world.apply(office.world.ended(id, Outcome.CONNECTED, talk_s=5.0))
        await office.settle(running)
        assert list(office.crm.tickets) == [500]
        assert len(office.crm.tickets[500]["updates"]) == 1
        assert office.crm.calls[0]["ticket"] == 500


async def test_a_desk_sees_its_own_calls_page_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_api() as (office, client):
        await office.service.pops._keep(Pop("call-1", office.agents[0].id, "https://crm.example/1", name="Zoé"))
        mine: dict[str, Any] = {"headers": {"Authorization": "Bearer agent"}}
        assert (await ask(client, "GET", "/pops/call-1", **mine))["url"] == "https://crm.example/1"
        await office.service.pops._keep(Pop("call-2", office.agents[1].id, "https://crm.example/2"))
        monkeypatch.setattr("daemon.api.crm_api.POP_WAIT_S", 0.2)
        assert (await ask(client, "GET", "/pops/call-2", **mine))["url"] == ""


async def test_a_call_seen_again_after_its_end_opens_no_second_page() -> None:
    """A site that begins anew shows its calls afresh."""
    async with make_office() as office:
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", popup="ringing"))
        id = await ringing(office)
        assert await popped(office, id, 1, "ringing", ended=True) is not None
        assert office.service.pops.made == 1
        await popped(office, id, 1, "ringing", "talking", ended=True)
        other = await ringing(office)
        assert await popped(office, other, 1, "ringing") is not None  # events are taken in order: the first is over
        assert office.service.pops.made == 2


@pytest.mark.feature("YPS-06", clause="a call whose row is odd opens no page, and those after it do")
async def test_an_odd_row_is_not_the_end_of_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_office() as office:
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest"))
        attempt, odd = office.world.store.attempt, await ringing(office)

        async def read(id: UUID) -> Any:
            row = await attempt(id)
            return {**row, "e164": None} if id == odd and row is not None else row

        monkeypatch.setattr(office.world.store, "attempt", read)
        working = asyncio.create_task(office.service.run())
        pops = office.service.pops
        pops.on_change({"calls": {str(odd): view(office, odd, 1, "ringing")}})
        assert await pops.of(str(odd), 1, 0.5) is None
        sound = await office.world.place(NUMBER, kind="inbound")
        pops.on_change({"calls": {str(sound): view(office, sound, 1, "ringing")}})
        found = await pops.of(str(sound), 1, 5.0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert found is not None and found.name == "Zoé"
