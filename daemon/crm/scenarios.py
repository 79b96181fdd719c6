"""What a template is for, one function a scenario: users, contacts, tickets, journals, global information.

In: a `Caller` and the call's variables. Out: plain values. Raises CrmError. None of it waits for anything of a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.crm.caller import Caller, Reply, Row, first_of
from daemon.crm.gotemplate import Scalar, Template, TemplateError, escaping
from daemon.crm.wire import CrmError, Exchange

Variables = Mapping[str, Scalar]
Trace = list[Exchange] | None

CONTACT_FIELDS = (
    "ContactsId",
    "FirstName",
    "LastName",
    "Company",
    "Email",
    "BusinessNumber",
    "BusinessNumber2",
    "BusinessFaxNumber",
    "MobileNumber",
    "MobileNumber2",
    "HomeNumber",
    "HomeNumber2",
    "HomeFaxNumber",
    "OtherNumber",
    "ZipCode",
    "Street",
    "City",
    "State",
    "Country",
    "Remark",
    "CustomValue",
)
"""YPS-03, each with a switch `…Enable`; the first two are always on."""
ALWAYS_ON = frozenset({"ContactsId", "FirstName"})
SUBJECT = "Extension Call"
TICKET_SUBJECT = "{{.Communication_Type}} {{.Call_Status}} - from {{.Call_From}} to {{.Call_To}}"
DESCRIPTION = (
    "{{.Time}} {{.Communication_Type}} {{.Call_Status}} - from {{.Call_From}} to {{.Call_To}} {{.Talk_Duration}}"
)
"""The source's defaults (YPS-09, YPS-11), used as they are: they are what installed CRMs search for."""


@dataclass(slots=True)
class User:
    """Someone of the CRM, to be associated with an agent."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


@dataclass(slots=True)
class Contact:
    """A person as the CRM knows them. `url`: their page, "" if the template gives none."""

    type: str
    id: str
    values: Row = field(default_factory=dict)
    url: str = ""

    @property
    def name(self) -> str:
        """As shown: first and last name, else the company."""
        full = " ".join(filter(None, (self.values.get("FirstName", ""), self.values.get("LastName", ""))))
        return full or self.values.get("Company", "")

    @property
    def variables(self) -> dict[str, Scalar]:
        """For journals and pages."""
        known: dict[str, Scalar] = {name: text for name, text in self.values.items() if text}
        return known | {"ContactSyncType": self.type, "ContactId": self.id, "ContactsId": self.id}


async def users(caller: Caller, trace: Trace = None) -> list[User]:
    """YPS-01: everyone the CRM lists."""
    found: list[User] = []
    for request in caller.template.scenario("UserAssociation").requests:
        for row in (await caller.run(request, {}, trace)).rows:
            if row.get("UserUniqueId"):
                names = (row.get("FirstName", ""), row.get("LastName", ""), row.get("Email", ""))
                found.append(User(row["UserUniqueId"], *names))
    return found


async def global_info(caller: Caller, trace: Trace = None) -> dict[str, str]:
    """YPS-14: what every other request may use; kept in the caller. Raises CrmError and keeps the old values."""
    found: dict[str, str] = {}
    for request in caller.template.scenario("GetGlobalInfo").requests:
        reply = await caller.run(request, found, trace)
        found |= {name: text for name, text in reply.first.items() if text}
    caller.globals = found
    return found


async def find_contact(
    caller: Caller, numbers: Variables, types: Sequence[str] | None = None, trace: Trace = None
) -> Contact | None:
    """YPS-02: the types in their order, the first hit wins. `numbers`: Phone and its other spellings."""
    scenario = caller.template.scenario("SyncContactAuto")
    for request in scenario.requests:
        if types is not None and request.name not in types:
            continue
        known = {**numbers, "ContactSyncType": request.name}
        row = first_of((await caller.run(request, known, trace)).rows, "ContactsId")
        if row is not None:
            return contact_of(caller, request.name, row, numbers)
    return None


def contact_of(caller: Caller, kind: str, row: Row, numbers: Variables) -> Contact:
    """A record as a contact: the fields that are switched on, others of the template's own, and the page."""
    switches = caller.template.scenario("SyncContactAuto").parameters
    off = {name for name in CONTACT_FIELDS
           if name not in ALWAYS_ON and switches.get(f"{name}Enable", "").strip() != "1"}  # fmt: skip
    contact = Contact(kind, row["ContactsId"], {name: text for name, text in row.items() if name not in off})
    contact.url = contact_url(caller, contact, row, numbers)
    return contact


def contact_url(caller: Caller, contact: Contact, row: Row, numbers: Variables) -> str:
    """YPS-05: the contact's page, http or https; "" if the template gives none, or nothing that is one."""
    scenario = caller.template.scenario("SyncContactAuto")
    if scenario.parameters.get("ContactUrlType", "").strip() == "retrieve_from_contact":
        url = row.get("ContactUrl", "")
        return url if url.startswith(("https://", "http://")) else ""
    form = scenario.parameters.get("URLFormat", "").strip()
    try:
        return Template(form).render(caller.known({**numbers, **contact.variables}), escaping.Url(), caller.zone)
    except TemplateError:
        return ""


async def create_contact(
    caller: Caller, kind: str, first_name: str, last_name: str, number: str, known: Variables, trace: Trace = None
) -> Contact | None:
    """YPS-08: a new contact of this type (the template's first if ""); None if the template makes none."""
    scenario = caller.template.scenario("CreateNewContact")
    request = scenario.request(kind) if kind else next(iter(scenario.requests), None)
    if request is None:
        return None
    names: dict[str, Scalar] = {"FirstName": first_name, "LastName": last_name, "BusinessNumber": number}
    reply = await caller.run(request, {**known, **names, "ContactSyncType": request.name}, trace)
    row = {**{name: str(text) for name, text in names.items()}, **reply.first}
    row.setdefault("ContactsId", "")
    return contact_of(caller, request.name, row, known)


def texts(caller: Caller, scenario: str, known: Variables, options: Mapping[str, str]) -> dict[str, Scalar]:
    """Subject and Description: the integration's own if the template allows it, else the template's, else the source's;
    and whether recordings are to be played."""
    parameters = caller.template.scenario(scenario).parameters
    found: dict[str, Scalar] = {}
    fallback = {"Subject": TICKET_SUBJECT if scenario == "CreateNewTicket" else SUBJECT, "Description": DESCRIPTION}
    for name, default in fallback.items():
        own = options.get(f"{scenario}.{name}", "") if parameters.get(f"Enable{name}", "1").strip() != "0" else ""
        form = own or parameters.get(name, "") or default
        try:
            found[name] = Template(form).render(caller.known(known), zone=caller.zone)
        except TemplateError as error:
            raise CrmError("template", f"{name}: {error}", ours=True) from error
    return found


async def create_ticket(caller: Caller, known: Variables, options: Mapping[str, str], trace: Trace = None) -> str:
    """YPS-09: the new ticket's id, "" if the template makes none or reads no id."""
    request = caller.template.scenario("CreateNewTicket").request("CreateNewTicket")
    if request is None:
        return ""
    ready = {**known, **texts(caller, "CreateNewTicket", known, options)}
    return (await caller.run(request, ready, trace)).first.get("TicketId", "")


async def update_ticket(caller: Caller, known: Variables, options: Mapping[str, str], trace: Trace = None) -> bool:
    """YPS-10: the second request, with what only the call's end brings. False if the template has none."""
    request = caller.template.scenario("CreateNewTicket").request("UpdateTicket")
    if request is None:
        return False
    await caller.run(request, {**known, **texts(caller, "CreateNewTicket", known, options)}, trace)
    return True


async def write_journal(
    caller: Caller, known: Variables, options: Mapping[str, str], key: str, trace: Trace = None
) -> Reply:
    """YPS-11: the call's record. `key` is the same at each try, for CRMs that look at it."""
    request = caller.template.scenario("CallJournal").request("CallJournal")
    if request is None:
        raise CrmError("template", "the template has no request CallJournal", ours=True)
    return await caller.run(request, {**known, **texts(caller, "CallJournal", known, options)}, trace, key)


async def find_journal(caller: Caller, known: Variables, trace: Trace = None) -> str | None:
    """Whether the record is there already: our addition, a request FindCallJournal in the scenario CallJournal, asked
    when a try ended in doubt. Its id, "" if it is not there, None if the template can't tell."""
    request = caller.template.scenario("CallJournal").request("FindCallJournal")
    if request is None:
        return None
    row = first_of((await caller.run(request, known, trace)).rows, "JournalId")
    return row["JournalId"] if row else ""


def journal_is_idempotent(caller: Caller) -> bool:
    """Whether sending it twice does no harm: PUT, or the template says so (parameter RetryInDoubt = 1)."""
    scenario = caller.template.scenario("CallJournal")
    request = scenario.request("CallJournal")
    safe = request is not None and request.method == "PUT"
    return safe or scenario.parameters.get("RetryInDoubt", "").strip() == "1"
