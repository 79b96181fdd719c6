"""A call as templates name it: eight shapes of call, and every variable of the source's table; hooks by fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from daemon.crm import scenarios
from daemon.crm.gotemplate import Template
from daemon.crm.screenpop import hook_url
from daemon.crm.variables import call_variables, named, spelled

START = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": UUID(int=7), "number": 12, "kind": "campaign", "campaign_id": 3, "lead_id": 4, "e164": "+33612345678",
    "caller_id": "+33184880000", "at": START, "ended_at": START + timedelta(seconds=95), "outcome": "connected",
    "talk_s": 61.9, "agent_name": "Ada Lovelace", "extension": "1001", "crm_id": "71", "crm_email": "ada@example.com",
    "lead_first_name": "Zoé", "lead_last_name": "Bon",
}  # fmt: skip
ALL = [
    "Time",
    "StartTimeUnix",
    "EndTimeUnix",
    "Call_From",
    "Call_To",
    "CallerName",
    "CallerNumber",
    "CalleeName",
    "CalleeNumber",
    "CrmId",
    "ExtensionFirstName",
    "ExtensionLastName",
    "ExtensionEmail",
    "ContactNumber",
    "CallDuration",
    "Talk_Duration",
    "Talk_Duration_Sec",
    "Communication_Type",
    "Call_Status",
    "Call_Log_Status",
    "CallDisposition",
    "EnableCallRecording",
    "RecordPath",
    "DisplayName",
    "SearchValue",
    "CallerDisplayName",
]


@pytest.mark.parametrize(
    ("kind", "outcome", "expected"),
    [
        ("campaign", "connected", ("Outbound", "Completed", "Outgoing Call", "ANSWERED")),
        ("campaign", "no_answer", ("Outbound", "Missed", "Outgoing Call", "NO ANSWER")),
        ("click2call", "busy", ("Outbound", "Missed", "Outgoing Call", "BUSY")),
        ("campaign", "machine", ("Outbound", "Missed", "Outgoing Call", "VOICEMAIL")),
        ("campaign", "abandoned", ("Outbound", "Missed", "Outgoing Call", "MISSED")),
        ("inbound", "connected", ("Inbound", "Completed", "Incoming Call", "ANSWERED")),
        ("inbound", "no_answer", ("Inbound", "Missed", "Missed Call", "MISSED")),
        ("inbound", "machine", ("Inbound", "Missed", "Voicemail", "VOICEMAIL")),
    ],
)
def test_shapes_of_calls(kind: str, outcome: str, expected: tuple[str, ...]) -> None:
    known = call_variables(ROW | {"kind": kind, "outcome": outcome}, "national", ZoneInfo("Europe/Paris"))
    names = ("Communication_Type", "Call_Status", "Call_Log_Status", "CallDisposition")
    assert tuple(known[name] for name in names) == expected
    assert [name for name in ALL if name not in known] == []
    us, them = "Ada Lovelace <1001>", "Zoé Bon <0612345678>"
    assert (known["Call_From"], known["Call_To"]) == ((them, us) if kind == "inbound" else (us, them))
    assert (known["Time"], known["StartTimeUnix"]) == ("2026-11-23 10:15:00", 1795425300)
    assert (known["CallDuration"], known["Talk_Duration"], known["Talk_Duration_Sec"]) == (95, "00:01:01", 61)
    assert (known["CrmId"], known["ExtensionFirstName"], known["ExtensionLastName"]) == ("71", "Ada", "Lovelace")


def test_default_texts() -> None:
    known = call_variables(ROW, "e164", ZoneInfo("Europe/Paris"))
    subject = Template(scenarios.TICKET_SUBJECT).render(known)
    assert subject == "Outbound Completed - from Ada Lovelace <1001> to Zoé Bon <+33612345678>"
    description = Template(scenarios.DESCRIPTION).render(known)
    assert description == f"2026-11-23 10:15:00 {subject} 00:01:01"


def test_a_person_without_a_name_is_a_number() -> None:
    assert (named("", "12"), spelled("+441234567", "national"), spelled("+33612345678", "00")) == (
        "12", "00441234567", "0033612345678",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("template", "form", "expected"),
    [
        ("index.php?action=UnifiedSearch&query_string=*CALLING*", "e164",
         "index.php?action=UnifiedSearch&query_string=%2B33612345678"),
        ("?q=*CALLED*&q=*CALLED*", "e164", "?q=0612003400&q=0612003400"),
        ("?d=*DIALED*&e=*EVENT*", "00", "?d=a%20b%2Bc&e=start_ringing"),
        ("?n=*CALLING*", "national", "?n=0612345678"),
        ("?n=*CALLING*", "00", "?n=0033612345678"),
        ("?x=*OTHER*", "00", "?x=*OTHER*"),
    ],
)  # fmt: skip
def test_hooks(template: str, form: str, expected: str) -> None:
    values = {"CALLING": "0033612345678", "CALLED": "0612003400", "DIALED": "a b+c", "EVENT": "start_ringing"}
    assert hook_url(template, values, form) == expected
