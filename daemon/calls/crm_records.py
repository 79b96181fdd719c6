"""Rows of the CRM side: templates that were uploaded, integrations, the CRM's people, tickets made for calls."""

from __future__ import annotations

from typing import Any

from daemon.calls.records import Record


class CrmTemplateFile(Record, kw_only=True):
    """An uploaded template, as it came (YPT-01). Shipped ones are files, not rows. `logo`: "" or a data URL."""

    group_id: int
    key: str
    name: str
    source: str
    logo: str = ""


class Integration(Record, kw_only=True):
    """A template at work for a group. `source` is the template as it was applied: a later upload changes nothing until
    it is applied again. `sealed`: secret fields and tokens, encrypted under a key that is a file; `options`:
    daemon.crm.options. `journal`: finished calls are queued for it."""

    group_id: int
    name: str
    key: str
    source: str
    enabled: bool = False
    journal: bool = False
    fields: dict[str, str] = {}
    sealed: str = ""
    options: dict[str, Any] = {}


class CrmUser(Record, kw_only=True):
    """Someone of the CRM; `agent_id` 0 = nobody here (YPS-01)."""

    group_id: int
    integration_id: int
    crm_id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    agent_id: int = 0


class CrmTicket(Record, kw_only=True):
    """A helpdesk's ticket for a call, at most one (YPS-10). `state`: sending, made, failed, updated."""

    group_id: int
    integration_id: int
    attempt_id: str
    ticket_id: str = ""
    state: str = "sending"
