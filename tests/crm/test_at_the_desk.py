"""Contacts, pages, tickets and journals of calls as they are seen from outside: by an agent's desk over the API, and by
a CRM over real HTTP."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

import pytest

from daemon.calls.causes import Outcome
from daemon.calls.crm_records import CrmUser
from daemon.crm import service as module
from daemon.crm.shipped import shipped_templates
from tests.crm.office import Office
from tests.crm.test_crm_api import add, ask, make_api
from tests.crm.test_enrichment import AGENT, desk, rung
from tests.crm.test_pops import ringing, view
from tests.crm.test_variables import ALL

NUMBER = "+33612345678"
JOURNAL = """<Information Key="own" CallJournal="1" UserAssociation="1"><Scenarios>
<Scenario Id="AuthMethod"><Parameters>
<Parameter Father="CustomFieldList" Name="crm_url"/><Parameter Father="CustomFieldList" Name="api_key"/>
<Parameter Father="PopulateTemplateString" Type="Header" Name="X-Api-Key" Value="{{.api_key}}"/></Parameters></Scenario>
<Scenario Id="CallJournal"><Requests><Request Name="CallJournal" Method="POST" URLFormat="{{.crm_url}}/v1/calls">
<Parameters><Parameter Name="Data" Type="Body" Value=BODY/></Parameters><Outputs><Output Name="JournalId" Path="id"/>
</Outputs></Request></Requests></Scenario></Scenarios></Information>"""


def asked(office: Office, part: str) -> int:
    return sum(part in path for _, path, _, _ in office.crm.requests)


@pytest.mark.feature("YPS-02", clause="types in order, the first hit wins, found once and remembered")
@pytest.mark.feature("YPS-05", clause="the source's sample of a contact's page, rendered")
async def test_contacts_are_looked_up_in_order_and_remembered() -> None:
    async with desk() as (office, client):
        row = await office.integrate("zoho-like")
        await office.authorize(row)
        await office.running(row)
        assert (await rung(office, client))[1]["url"] == ""
        order = [path for _, path, _, _ in office.crm.requests if "/search" in path]
        assert ["Contacts" in path for path in order] == [True, False] and "Leads" in order[1]
        office.clock.forward(31)
        id = office.crm.add_contact(first="Zoé", last="Bon", phone=NUMBER)
        for _ in range(3):
            _, shown = await rung(office, client)
            assert (shown["name"], shown["url"]) == ("Zoé Bon", f"{office.crm.url}/crm/org77/tab/Contacts/{id}")
        assert (asked(office, "/Contacts/search"), asked(office, "/Leads/search")) == (2, 1)


@pytest.mark.feature("YPS-02", clause="fields that are switched off are not taken")
@pytest.mark.parametrize("on", ["1", "0"])
async def test_switched_fields(on: str) -> None:
    source = shipped_templates()["generic-rest"].replace(
        b'Name="CompanyEnable" Value="1"', f'Name="CompanyEnable" Value="{on}"'.encode()
    )
    async with desk() as (office, _):
        office.crm.add_contact(first="Zoé", company="ACME", phone=NUMBER, mobile="+33700000000")
        text = {"CallJournal.Description": "{{.FirstName}}|{{.Company}}|{{.MobileNumber}}|{{.ContactsId}}"}
        running = await office.running(await office.integrate("generic-rest", source, default_user="71", texts=text))
        await office.call(NUMBER)
        await office.settle(running)
        company = "ACME" if on == "1" else ""
        assert office.crm.calls[0]["raw"]["description"] == f"Zoé|{company}|+33700000000|1000"


@pytest.mark.feature("YPS-05", clause="only http and https are opened")
@pytest.mark.parametrize(("url", "opened"), [("https://crm.example", True), ("javascript:alert(1)//", False)])
async def test_only_web_addresses_are_opened(url: str, opened: bool) -> None:
    source = shipped_templates()["generic-rest"].replace(
        b'Value="{{.crm_url}}/{{.ContactSyncType}}', f'Value="{url}/{{{{.ContactSyncType}}}}'.encode()
    )
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", source))
        shown = (await rung(office, client))[1]["url"]
        assert shown == ("https://crm.example/contacts/1000" if opened else "")


@pytest.mark.feature("YPS-05", clause="or the address that the CRM gives with the contact")
async def test_the_crms_own_address_of_a_contact() -> None:
    source = shipped_templates()["generic-rest"]
    source = source.replace(b'Value="specify_url_format"/>', b'Value="retrieve_from_contact"/>'
                            b'<Parameter Name="ContactFieldForUri" Value="contacts.#.company"/>')  # fmt: skip
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER, company="https://crm.example/people/zoe")
        await office.running(await office.integrate("generic-rest", source))
        assert (await rung(office, client))[1]["url"] == "https://crm.example/people/zoe"


@pytest.mark.feature("YPS-06", clause="one page a call and agent, at ringing, at the answer or at the end")
@pytest.mark.parametrize("event", ["ringing", "answered", "end"])
async def test_the_page_opens_at_the_chosen_event(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.api.crm_api.POP_WAIT_S", 0.15)
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        row = await office.integrate("generic-rest", popup=event, always_query=True)
        await office.running(row)
        id, agent, pops = await ringing(office), office.agents[0].id, office.service.pops
        steps: dict[str, Any] = {"ringing": "ringing", "answered": "talking", "end": None}
        seen = []
        for name, stage in steps.items():
            for _ in range(2):  # told twice, as a view that changed in some other way
                shown = view(office, id, agent, stage) if stage else None
                pops.on_change({"calls": {str(id): shown}})
            monkeypatch.setattr("daemon.api.crm_api.POP_WAIT_S", 30.0 if name == event else 0.15)
            seen.append(bool((await ask(client, "GET", f"/pops/{id}", **AGENT))["url"]))
        first = list(steps).index(event)
        assert seen == [n >= first for n in range(3)]
        assert asked(office, "/contacts?") == 1, "one page, one look-up"


@pytest.mark.feature("YPS-06", clause="incoming calls only, unless wanted otherwise")
@pytest.mark.parametrize(("calls", "opens"), [("inbound", False), ("all", True)])
async def test_outgoing_calls_open_nothing_unless_wanted(
    calls: str, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.api.crm_api.POP_WAIT_S", 30.0 if opens else 0.2)
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", popup_calls=calls))
        id = await ringing(office, "campaign")
        office.service.pops.on_change({"calls": {str(id): view(office, id, office.agents[0].id, "ringing")}})
        assert bool((await ask(client, "GET", f"/pops/{id}", **AGENT))["url"]) is opens
        assert asked(office, "/contacts?") == int(opens)


@pytest.mark.feature("OVH-09", clause="our own PBX's calls fire the same hook, at ringing")
@pytest.mark.feature("OVH-06", clause="our own calls: popup and modal on the desk, silent by the server alone")
@pytest.mark.parametrize("display", ["popup", "modal", "silent"])
async def test_our_own_calls_fire_the_hook(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = display == "silent"
    monkeypatch.setattr("daemon.api.crm_api.POP_WAIT_S", 0.2 if silent else 30.0)
    async with desk() as (office, client):
        url = f"{office.crm.url}/v1/users?who=*CALLING*&what=*EVENT*"
        given = {"hook_url": url, "display": display, "number_format": "00"}
        await office.running(await office.integrate("generic-rest", **given))
        _, shown = await rung(office, client)
        where = "/v1/users?who=0033612345678&what=start_ringing"
        if not silent:
            assert (shown["url"], shown["display"]) == (f"{office.crm.url}{where}", display)
            return
        assert shown["url"] == ""
        async with asyncio.timeout(30):
            while not asked(office, where):  # noqa: ASYNC110 - what is waited for raises no event
                await asyncio.sleep(0.01)


@pytest.mark.feature("YPS-07", clause="off: who was found is not asked for again; on: each call asks")
@pytest.mark.parametrize(("always", "times"), [(False, 1), (True, 3)])
async def test_local_first_or_always_the_crm(always: bool, times: int) -> None:
    async with desk() as (office, client):
        office.crm.add_contact(first="Zoé", phone=NUMBER)
        await office.running(await office.integrate("generic-rest", always_query=always))
        for _ in range(3):
            assert (await rung(office, client))[1]["name"] == "Zoé"
        assert asked(office, "/contacts?") == times


@pytest.mark.feature("YPS-08", clause="one contact for two calls that end at once; none against the options")
@pytest.mark.parametrize(("create", "made"), [("outbound", 1), ("inbound", 0), ("off", 0)])
async def test_an_unknown_number_becomes_one_contact(create: str, made: int) -> None:
    async with desk() as (office, _):
        running = await office.running(
            await office.integrate("generic-rest", default_user="71", create_contact=create, sync_types=[])
        )
        for _ in range(2):
            await office.call(NUMBER)
        await asyncio.gather(office.look(running), office.look(running))
        await office.settle(running)
        assert [each["phone"] for each in office.crm.contacts] == [NUMBER] * made
        assert len(office.crm.calls) == 2


@pytest.mark.feature("YPS-08", clause="none for a masked number")
@pytest.mark.parametrize("masked", ["", "anonymous"])
async def test_a_masked_number_becomes_no_contact(masked: str) -> None:
    async with desk() as (office, _):
        running = await office.running(await office.integrate("generic-rest", default_user="71", create_contact="both"))
        await office.call(masked, kind="inbound")
        await office.settle(running)
        assert office.crm.contacts == [] and len(office.crm.calls) == 1


@pytest.mark.feature("YPS-15", clause="a chain fills what is empty and nothing else, once a record")
async def test_chains_fill_in() -> None:
    async with desk() as (office, _):
        office.crm.add_contact(first="Zoé", phone=NUMBER, mobile="+33700000000")
        text = {"CreateNewTicket.Description": "{{.BusinessNumber}}|{{.BusinessNumber2}}"}
        running = await office.running(await office.integrate("zendesk-like", default_user="71", texts=text))
        await office.call(NUMBER)
        await office.settle(running)
        assert f"{NUMBER}|+33700000000" in str(office.crm.tickets[500])
        assert asked(office, "/identities.json") == 1


@pytest.mark.feature("YPS-09", clause="the defaults of subject and description, letter by letter, in the ticket")
async def test_the_default_texts_of_a_ticket() -> None:
    async with desk() as (office, client):
        row = await add(office, client, "zendesk-like")
        found = await ask(client, "POST", f"/integrations/{row['id']}/try", json={"step": "ticket"})
        assert found["ok"], found
        ticket = str(office.crm.tickets[500])
        whom = "Outbound Completed - from Cadran Test <1001> to +33123456789"
        assert whom in ticket and f" {whom} 00:01:00" in ticket
        assert office.crm.tickets[500]["made"]["subject"] == whom


SHAPES = [
    ("campaign", Outcome.CONNECTED, ("Outbound", "Completed", "Outgoing Call", "ANSWERED")),
    ("campaign", Outcome.NO_ANSWER, ("Outbound", "Missed", "Outgoing Call", "NO ANSWER")),
    ("click2call", Outcome.BUSY, ("Outbound", "Missed", "Outgoing Call", "BUSY")),
    ("campaign", Outcome.MACHINE, ("Outbound", "Missed", "Outgoing Call", "VOICEMAIL")),
    ("campaign", Outcome.ABANDONED, ("Outbound", "Missed", "Outgoing Call", "MISSED")),
    ("inbound", Outcome.CONNECTED, ("Inbound", "Completed", "Incoming Call", "ANSWERED")),
    ("inbound", Outcome.NO_ANSWER, ("Inbound", "Missed", "Missed Call", "MISSED")),
    ("inbound", Outcome.MACHINE, ("Inbound", "Missed", "Voicemail", "VOICEMAIL")),
]


@pytest.mark.feature("YPS-12", clause="eight shapes of call, all variables, as the CRM was sent them")
async def test_every_variable_of_every_shape_of_call() -> None:
    names = [*ALL, "ContactSyncType", "ContactId", "TicketId", "external_id"]
    body = "{" + ",".join(f'"{name}":"{{{{.{name.replace("external_id", "CallId")}}}}}"' for name in names)
    body += ',"user_id":"","contact_id":"","number":"","status":"","talk_s":0}'
    source = JOURNAL.replace("BODY", quoteattr(body)).encode()
    async with desk() as (office, _):
        row = await office.integrate("generic-rest", source, number_format="national")
        ada = office.agents[0].id
        await office.world.store.create(
            CrmUser(group_id=row.group_id, integration_id=row.id, crm_id="71", email="ada@example.com", agent_id=ada)
        )
        running = await office.running(row)
        begun = []
        for kind, outcome, _ in SHAPES:
            begun.append(int(office.clock.utcnow().timestamp()))
            await office.call(NUMBER, ada, outcome, kind)
            await office.settle(running)
        for n, ((kind, outcome, words), start) in enumerate(zip(SHAPES, begun, strict=True)):
            told = office.crm.calls[n]["raw"]
            status = ("Communication_Type", "Call_Status", "Call_Log_Status", "CallDisposition")
            assert tuple(told[name] for name in status) == words
            inbound, talk_s = kind == "inbound", 42 if outcome is Outcome.CONNECTED else 0
            us, them = "Ada Lovelace <1001>", "0612345678"
            assert (told["Call_From"], told["Call_To"]) == ((them, us) if inbound else (us, them))
            names = ("Ada Lovelace", "1001"), ("", "0612345678")
            caller, callee = (names[1], names[0]) if inbound else names
            assert (told["CallerName"], told["CallerNumber"]) == caller
            assert (told["CalleeName"], told["CalleeNumber"]) == callee
            assert (told["ContactNumber"], told["CrmId"], told["ExtensionEmail"]) == (them, "71", "ada@example.com")
            assert (told["ExtensionFirstName"], told["ExtensionLastName"]) == ("Ada", "Lovelace")
            assert (told["Talk_Duration"], told["Talk_Duration_Sec"]) == (f"00:00:{talk_s:02d}", str(talk_s))
            length = int(told["EndTimeUnix"]) - int(told["StartTimeUnix"])
            assert (abs(int(told["StartTimeUnix"]) - start) <= 1, told["CallDuration"]) == (True, str(length))
            local = datetime.fromtimestamp(int(told["StartTimeUnix"]), ZoneInfo("Europe/Paris"))
            assert told["Time"] == f"{local:%Y-%m-%d %H:%M:%S}"
            assert (told["EnableCallRecording"], told["RecordPath"], told["TicketId"]) == ("0", "", "")


@pytest.mark.feature("YPS-14", clause="read at the start, and again at each; a failure degrades, and is retried")
async def test_global_information(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    async with make_api() as (office, client):
        row = await office.integrate("odoo-jsonrpc", default_user="71")
        office.crm.fault = "500"

        async def state(wanted: str) -> None:
            async with asyncio.timeout(20):
                while (await ask(client, "GET", f"/integrations/{row.id}"))["status"]["state"] != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        def logins() -> int:
            return sum('"common"' in body.replace(" ", "") for _, _, _, body in office.crm.requests)

        for start in range(2):
            work = asyncio.create_task(office.service.run())
            if start == 0:
                await state("degraded")
                office.crm.fault = ""
                office.clock.forward(61)
            before = len(office.crm.calls)
            await office.call(NUMBER)
            async with asyncio.timeout(20):
                while len(office.crm.calls) == before:  # noqa: ASYNC110 - what is waited for raises no event
                    await asyncio.sleep(0.01)
            await state("connected")
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            office.service.running.clear()  # as in a new process
            assert logins() >= 2 + start
