"""A call as templates name it (YPS-12): from the attempt's row, the agent, the CRM's user and the contact.

Numbers are as the integration wants them; times are of its zone. Rows: `crm_due` of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from daemon.crm.gotemplate import Scalar

FORMATS = ("e164", "00", "digits", "national")


def spelled(e164: str, form: str) -> str:
    """A number in one of FORMATS: +33612345678, 0033612345678, 33612345678, 0612345678 (France; else as 00…)."""
    if not e164.startswith("+"):
        return e164
    if form == "00":
        return "00" + e164[1:]
    if form == "digits":
        return e164[1:]
    if form == "national":
        return "0" + e164[3:] if e164.startswith("+33") else "00" + e164[1:]
    return e164


def phone_variables(e164: str, form: str) -> dict[str, Scalar]:
    """Phone as wanted, and each spelling under a name of its own."""
    names: dict[str, Scalar] = {"Phone": spelled(e164, form), "SearchValue": spelled(e164, form)}
    return names | {
        "PhoneE164": e164,
        "Phone00": spelled(e164, "00"),
        "PhoneDigits": spelled(e164, "digits"),
        "PhoneNational": spelled(e164, "national"),
    }


def clock_text(seconds: float) -> str:
    """hh:mm:ss."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def named(name: str, number: str) -> str:
    """`Name <number>`, the number alone without a name."""
    return f"{name} <{number}>" if name else number


def disposition(outcome: str, inbound: bool) -> str:
    """One of the source's five words."""
    if outcome == "connected":
        return "ANSWERED"
    if outcome == "busy":
        return "BUSY"
    if outcome in ("machine", "fax"):
        return "VOICEMAIL"
    return "MISSED" if inbound or outcome == "abandoned" else "NO ANSWER"


def log_status(outcome: str, inbound: bool) -> str:
    """One of the source's four words."""
    if not inbound:
        return "Outgoing Call"
    if outcome == "machine":
        return "Voicemail"
    return "Incoming Call" if outcome == "connected" else "Missed Call"


def call_variables(row: Mapping[str, Any], form: str, zone: tzinfo) -> dict[str, Scalar]:
    """All of YPS-12 but subject, description, contact and ticket. `row`: an attempt with `agent_name`, `extension`,
    `crm_id`, `crm_first_name`, `crm_last_name`, `crm_email`, `lead_first_name`, `lead_last_name`."""
    inbound = row["kind"] == "inbound"
    number = spelled(row["e164"], form)
    person = " ".join(filter(None, (row.get("lead_first_name", ""), row.get("lead_last_name", ""))))
    us = (row.get("agent_name", ""), row.get("extension", "") or spelled(row["caller_id"], form))
    them = (person, number)
    (from_name, from_number), (to_name, to_number) = (them, us) if inbound else (us, them)
    start: datetime = row["at"]
    end: datetime = row["ended_at"] or start
    outcome, talk_s = row["outcome"] or "", row["talk_s"] or 0.0
    first, _, last = row.get("agent_name", "").partition(" ")
    return phone_variables(row["e164"], form) | {
        "Time": start.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
        "StartTimeUnix": int(start.timestamp()),
        "EndTimeUnix": int(end.timestamp()),
        "Call_From": named(from_name, from_number),
        "Call_To": named(to_name, to_number),
        "CallerName": from_name,
        "CallerDisplayName": from_name or from_number,
        "CallerNumber": from_number,
        "CalleeName": to_name,
        "CalleeNumber": to_number,
        "DisplayName": person or number,
        "CrmId": row.get("crm_id", ""),
        "ExtensionFirstName": row.get("crm_first_name", "") or first,
        "ExtensionLastName": row.get("crm_last_name", "") or last,
        "ExtensionEmail": row.get("crm_email", ""),
        "ContactNumber": number,
        "FirstName": row.get("lead_first_name", ""),
        "LastName": row.get("lead_last_name", ""),
        "CallDuration": max(0, int((end - start).total_seconds())),
        "Talk_Duration": clock_text(talk_s),
        "Talk_Duration_Sec": int(talk_s),
        "Communication_Type": "Inbound" if inbound else "Outbound",
        "Call_Status": "Completed" if outcome == "connected" else "Missed",
        "Call_Log_Status": log_status(outcome, inbound),
        "CallDisposition": disposition(outcome, inbound),
        "EnableCallRecording": 1 if row.get("recorded") else 0,
        "RecordPath": row.get("record_path", ""),
        "CallId": str(row["id"]),
        "CallNumber": row["number"],
        "CampaignId": row["campaign_id"],
        "LeadId": row["lead_id"],
        "Disposition": row.get("disposition") or "",
        "Notes": row.get("notes") or "",
        "Outcome": outcome,
    }
