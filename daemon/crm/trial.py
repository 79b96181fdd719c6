"""Trying a template step by step: each step's requests and answers as they went, secrets masked.

Used by the page (before an integration is switched on) and by `cadran crm try`. The sample call is made up; `create`
steps leave a test record in the CRM, marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from daemon.crm import scenarios
from daemon.crm.caller import Caller
from daemon.crm.gotemplate import Scalar
from daemon.crm.options import Options
from daemon.crm.variables import call_variables, phone_variables
from daemon.crm.wire import CrmError, Exchange

STEPS: Final = ("connect", "globals", "users", "contact", "create_contact", "ticket", "journal")
SAMPLE_ID = UUID("00000000-0000-7000-8000-000000000001")


@dataclass(slots=True)
class Trial:
    """What a step did. `found`: values to show (a contact's name, a ticket's id, how many users)."""

    step: str
    ok: bool = True
    code: str = ""
    error: str = ""
    found: dict[str, str] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)


def steps_of(caller: Caller) -> list[str]:
    """The steps that this template has something for."""
    template = caller.template
    has = {
        "connect": True,
        "globals": bool(template.scenario("GetGlobalInfo").requests),
        "users": template.on("UserAssociation"),
        "contact": bool(template.scenario("SyncContactAuto").requests),
        "create_contact": template.on("CreateNewContact"),
        "ticket": template.on("CreateNewTicket"),
        "journal": template.on("CallJournal"),
    }
    return [step for step in STEPS if has[step]]


def sample_call(now: datetime, phone: str, options: Options, user: str = "") -> dict[str, Scalar]:
    """A call that could have been: a minute of talk that has just ended."""
    row: dict[str, Any] = {
        "id": SAMPLE_ID, "number": 1, "kind": "click2call", "campaign_id": 0, "lead_id": 0, "e164": phone,
        "caller_id": "", "at": now - timedelta(seconds=75), "ended_at": now, "outcome": "connected", "talk_s": 60.0,
        "agent_name": "Cadran Test", "extension": "1001", "crm_id": user, "notes": "Cadran test",
    }  # fmt: skip
    return call_variables(row, options.number_format, options.tz)


async def run_step(caller: Caller, step: str, phone: str, options: Options, now: datetime, user: str = "") -> Trial:
    """One step; what goes wrong is in the trial, never raised."""
    trial = Trial(step)
    before = len(caller.auth.exchanges)
    try:
        trial.found = await _run(caller, step, phone, options, now, user, trial.exchanges)
    except CrmError as error:
        trial.ok, trial.code, trial.error = False, error.code, str(error)
    trial.exchanges = caller.auth.exchanges[before:] + trial.exchanges
    secrets = caller.auth.secrets
    trial.exchanges = [exchange.masked(secrets) for exchange in trial.exchanges]
    return trial


async def _run(
    caller: Caller, step: str, phone: str, options: Options, now: datetime, user: str, trace: list[Exchange]
) -> dict[str, str]:
    numbers = phone_variables(phone, options.number_format)
    known: Mapping[str, Scalar] = sample_call(now, phone, options, user)
    match step:
        case "connect":
            if not caller.auth.connected:
                raise CrmError(
                    "not_connected", "fields are missing, or the access has not been authorized yet", ours=True
                )
            await caller.auth.ready()
            return {"auth": caller.template.auth}
        case "globals":
            return await scenarios.global_info(caller, trace)
        case "users":
            people = await scenarios.users(caller, trace)
            return {"count": str(len(people)), "first": people[0].email if people else ""}
        case "contact":
            contact = await scenarios.find_contact(caller, numbers, options.sync_types or None, trace)
            return _shown(contact)
        case "create_contact":
            made = await scenarios.create_contact(caller, options.create_type, "Cadran", "Test", str(numbers["Phone"]),
                                                  numbers, trace)  # fmt: skip
            return _shown(made)
        case "ticket":
            id = await scenarios.create_ticket(caller, known, options.texts, trace)
            if id:
                await scenarios.update_ticket(caller, {**known, "TicketId": id}, options.texts, trace)
            return {"ticket_id": id}
        case "journal":
            reply = await scenarios.write_journal(caller, known, options.texts, "cadran-test", trace)
            return {"journal_id": reply.first.get("JournalId", "")}
    raise CrmError("template", f"no step {step!r}; known: {', '.join(STEPS)}", ours=True)


def _shown(contact: scenarios.Contact | None) -> dict[str, str]:
    if contact is None:
        return {"found": "no"}
    return {"found": "yes", "type": contact.type, "id": contact.id, "name": contact.name, "url": contact.url}
