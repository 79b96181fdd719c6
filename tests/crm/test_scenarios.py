"""Contacts, chains, tickets and global information, one promise a test, on the fake CRM."""

from __future__ import annotations

import asyncio

import pytest

from daemon.calls.causes import Outcome
from daemon.crm import scenarios
from daemon.crm.shipped import shipped_templates
from daemon.crm.variables import phone_variables
from daemon.crm.wire import CrmError
from tests.crm.office import make_office

NUMBER = "+33612345678"


def asked(office: object, part: str) -> int:
    return sum(part in path for _, path, _, _ in office.crm.requests)  # type: ignore[attr-defined]


async def test_contacts_are_looked_up_in_order_and_remembered() -> None:
    async with make_office() as office:
        row = await office.integrate("zoho-like")
        await office.authorize(row)
        running = await office.running(row)
        missing = await running.contacts.of(NUMBER, inbound=True, create=False)
        assert missing is None
        assert (asked(office, "/Contacts/search"), asked(office, "/Leads/search")) == (1, 1)
        office.clock.forward(31)
        id = office.crm.add_contact(first="Zoé", last="Bon", phone=NUMBER)
        for _ in range(3):
            found = await running.contacts.of(NUMBER, inbound=True, create=False)
            assert found is not None
            assert (found.id, found.type, found.name) == (id, "Contacts", "Zoé Bon")
            assert found.variables["ContactsId"] == found.variables["ContactId"] == id
            assert found.url == f"{office.crm.url}/crm/org77/tab/Contacts/{id}"
        assert (asked(office, "/Contacts/search"), asked(office, "/Leads/search")) == (2, 1)


async def test_switches() -> None:
    source = shipped_templates()["generic-rest"].replace(
        b'Name="CompanyEnable" Value="1"', b'Name="CompanyEnable" Value="0"'
    )
    async with make_office() as office:
        office.crm.add_contact(first="Zoé", company="ACME", phone=NUMBER, mobile="+33700000000")
        running = await office.running(await office.integrate("generic-rest", source))
        found = await running.contacts.of(NUMBER, inbound=True, create=False)
        assert found is not None
        assert "Company" not in found.values
        assert found.values["MobileNumber"] == "+33700000000"


async def test_unknown_numbers() -> None:
    async with make_office() as office:
        row = await office.integrate("generic-rest", create_contact="inbound")
        contacts = (await office.running(row)).contacts
        one, two = await asyncio.gather(*(contacts.of(NUMBER, inbound=True, create=True) for _ in range(2)))
        assert one is not None
        assert two is not None
        assert one.id == two.id
        assert len(office.crm.contacts) == 1
        for withheld in ("", "anonymous", "+"):
            assert await contacts.of(withheld, inbound=True, create=True) is None
        assert await contacts.of("+33699999999", inbound=False, create=True) is None
        assert len(office.crm.contacts) == 1


async def test_chains_fill_in() -> None:
    async with make_office() as office:
        office.crm.add_contact(first="Zoé", phone=NUMBER, mobile="+33700000000")
        running = await office.running(await office.integrate("zendesk-like"))
        found = await scenarios.find_contact(running.caller, phone_variables(NUMBER, "e164"))
        assert found is not None
        assert found.values["BusinessNumber"] == NUMBER
        assert found.values["BusinessNumber2"] == "+33700000000"
        assert asked(office, "/identities.json") == 1


async def test_global_information() -> None:
    async with make_office() as office:
        row = await office.integrate("odoo-jsonrpc", default_user="71")
        office.crm.fault = "500"
        running = await office.running(row)
        assert office.service.status(running.row)["state"] == "degraded"
        office.crm.fault = ""
        office.clock.forward(61)
        await office.service._globals(running)
        assert running.caller.globals["OdooUid"] == "9"
        again = await office.running(row)
        assert again.caller.globals["OdooUid"] == "9"


async def test_an_error_inside_a_good_answer_is_an_error() -> None:
    async with make_office() as office:
        running = await office.running(await office.integrate("odoo-jsonrpc"))
        running.caller.auth.fields["api_key"] = "wrong"
        with pytest.raises(CrmError, match="Access Denied") as refused:
            await scenarios.users(running.caller)
        assert refused.value.code == "rejected"


@pytest.mark.feature("YPS-10", clause="no update if no ticket could be made")
async def test_a_ticket_that_could_not_be_made_is_not_updated() -> None:
    source = shipped_templates()["zendesk-like"].replace(b"/api/v2/tickets.json", b"/api/v2/nowhere.json")
    async with make_office() as office:
        row = await office.integrate("zendesk-like", source, default_user="71")
        running = await office.running(row)
        await office.call(NUMBER, outcome=Outcome.BUSY)
        for _ in range(3):
            await office.look(running)
            await office.world.later(120)
        assert asked(office, "/api/v2/tickets/") == 0
        assert office.service.status(running.row)["last_error"]


@pytest.mark.feature("YPS-01", clause="an extension that is not associated has no journal")
async def test_agents_without_a_user_are_not_told_of() -> None:
    async with make_office() as office:
        row = await office.integrate("generic-rest")
        await office.associate(row)
        running = await office.running(row)
        await office.call(NUMBER, office.agents[2].id)
        await office.call(NUMBER, 0)
        await office.settle(running)
        rows = await office.world.store.crm_rows(row.id, "skipped", 0, 10)  # type: ignore[attr-defined]
        assert sorted(each["error"] for each in rows) == [
            "no default user", "no user of the CRM is associated with the agent",
        ]  # fmt: skip
        assert office.crm.calls == []


async def test_secrets_sealed_with_another_key_stop_the_integration_only() -> None:
    async with make_office() as office:
        row = await office.integrate("generic-rest", default_user="71")
        await office.world.store.update(type(row), row.id, {"sealed": "QUJD" * 20}, None)
        await office.service._staff()
        fresh = await office.world.store.get(type(row), row.id)
        assert fresh is not None
        assert office.service.status(fresh)["state"] == "broken"
        assert "crm.key" in office.service.status(fresh)["last_error"]
        await office.call(NUMBER, told=False)
        figures = await office.world.store.crm_figures([row.id])  # type: ignore[attr-defined]
        assert figures[row.id]["pending"]["count"] == 1, "the call must wait for whoever mends it"


@pytest.mark.parametrize("wanted", [False, True])
async def test_recordings_are_linked_where_that_is_wanted(wanted: bool) -> None:
    async def link(attempt_id: object, group_id: int) -> str:
        return f"https://cadran.example/{attempt_id}?signature=x&g={group_id}"

    async with make_office() as office:
        row = await office.integrate("generic-rest", default_user="71", play_recordings=wanted)
        office.service.writer.recording_url = link
        running = await office.running(row)
        id = await office.call(NUMBER)
        await office.settle(running)
        expected = f"https://cadran.example/{id}?signature=x&g={office.world.group.id}" if wanted else None
        assert office.crm.calls[0]["raw"].get("recording") == expected
