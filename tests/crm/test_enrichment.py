"""Who calls, known as the phone rings: name and page from the CRM within a time budget, a contact made once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls.causes import Outcome
from daemon.crm import pops
from tests.crm.office import Office
from tests.crm.test_crm_api import ask, make_api
from tests.crm.test_pops import ringing, view

NUMBER = "+33612345678"
AGENT: dict[str, Any] = {"headers": {"Authorization": "Bearer agent"}}


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[Office, TestClient[Any, Any]]]:
    """The API and the office's look-ups at work."""
    async with make_api() as (office, client):
        work = asyncio.create_task(office.service.pops.run())
        try:
            yield office, client
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def rung(office: Office, client: TestClient[Any, Any]) -> tuple[UUID, Any]:
    """A call rings the agent; what the agent's desk is shown of it."""
    id, agent = await ringing(office), office.agents[0].id
    office.service.pops.on_change({"calls": {str(id): view(office, id, agent, "ringing")}})
    return id, await ask(client, "GET", f"/pops/{id}", **AGENT)


@pytest.mark.feature("CRMI-02", clause="caller looked up on ring: name and page on the desk of who is rung")
async def test_the_desk_shows_who_calls() -> None:
    async with desk() as (office, client):
        contact = office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest"))
        _, shown = await rung(office, client)
        assert (shown["name"], shown["url"]) == ("Zoé", f"{office.crm.url}/contacts/{contact}")


@pytest.mark.feature("CRMI-02", clause="the look-up has a time budget: past it the page opens without a name")
async def test_a_slow_crm_holds_no_desk_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pops, "LOOK_UP_S", 0.1)
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", hook_url="https://crm.example/?q=*CALLING*"))
        office.crm.latency_s = 30.0
        _, shown = await rung(office, client)
        assert (shown["name"], shown["url"]) == ("", "https://crm.example/?q=%2B33612345678")
        assert office.service.pops.late == 1
        office.crm.latency_s = 0.0
        assert (await rung(office, client))[1]["name"] == "Zoé", "a look-up that was given up is not remembered"


@pytest.mark.feature("CRMI-02", clause="an unknown caller becomes one contact, known at the next ring")
async def test_an_unknown_caller_is_entered_once() -> None:
    async with desk() as (office, client):
        row = await office.integrate("generic-rest", create_contact="inbound", default_user="71")
        running = await office.running(row)
        for known in (False, True, True):
            id, shown = await rung(office, client)
            assert bool(shown["url"]) is known
            await office.world.apply(office.world.ended(id, Outcome.CONNECTED, talk_s=5.0))
            await office.settle(running)
        assert [each["phone"] for each in office.crm.contacts] == [NUMBER]
        assert len(office.crm.calls) == 3
