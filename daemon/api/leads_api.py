"""Leads over HTTP: add, search, read, history, red list, consent, and "may I call this person now?".

Numbers are shown whole to those who manage and to agents in their own desk; a supervisor's searches show them masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.api import scope
from daemon.api.config_api import tell_engine
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import AfterId, Answer, Body, Id, IdOrZero, Instant, Limit, Number, Query, Text
from daemon.calls.lead_records import Lead, LeadDraft
from daemon.calls.records import Agent, Campaign, Client, LeadList
from daemon.compliance.zones import tz_group
from daemon.engine.commands import LeadsChanged
from daemon.errors import CommandError

routes = Routes("/api/v1", "leads")

Short = Annotated[str, Meta(max_length=50)]
Comments = Annotated[str, Meta(max_length=2000)]
Priority = Annotated[int, Meta(ge=0, le=100)]


class ConsentBody(Body, kw_only=True):
    """Features LEAD-07, LEGL-08: when and how a person agreed; `until` at most a year later counts."""

    collected_at: Instant
    source: Annotated[str, Meta(min_length=1, max_length=200)]
    text_version: Short = ""
    ip: Short = ""
    out_of_hours: bool = False
    automated: bool = False


class LeadBody(Body, kw_only=True):
    """A person to call. One of last_name and company is needed (features IMPT-06)."""

    list_id: Id
    phone: Number
    first_name: Text = ""
    last_name: Text = ""
    company: Text = ""
    email: Text = ""
    alt_phone: Short = ""
    address1: Text = ""
    address2: Text = ""
    address3: Text = ""
    city: Text = ""
    postal_code: Annotated[str, Meta(max_length=20)] = ""
    state: Text = ""
    country_code: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "FR"
    comments: Comments = ""
    vendor_lead_code: Short = ""
    priority: Priority = 5
    running_contract: bool = False
    consent: ConsentBody | None = None
    fields: Annotated[dict[Short, Text], Meta(max_length=100)] = {}


class PersonPatch(Body, kw_only=True):
    """What may be corrected of who a lead is; what is not named stays."""

    first_name: Text | UnsetType = UNSET
    last_name: Text | UnsetType = UNSET
    company: Text | UnsetType = UNSET
    email: Text | UnsetType = UNSET
    alt_phone: Short | UnsetType = UNSET
    address1: Text | UnsetType = UNSET
    address2: Text | UnsetType = UNSET
    address3: Text | UnsetType = UNSET
    city: Text | UnsetType = UNSET
    state: Text | UnsetType = UNSET
    comments: Comments | UnsetType = UNSET


class LeadPatch(PersonPatch, kw_only=True):
    """What of a lead may be corrected; the number may not: it would carry another person's history."""

    priority: Priority | UnsetType = UNSET
    running_contract: bool | UnsetType = UNSET


class CallbackBody(Body, kw_only=True):
    """`agent_id`: whose callback it becomes, 0 = anybody's. `due_at`: another time for it; left out: as agreed."""

    agent_id: IdOrZero
    due_at: datetime | None = None


class LeadQuery(Query, kw_only=True):
    """Filters of features IMPT-11; all given ones apply together."""

    q: Short | None = None
    phone: Short | None = None
    email: Text | None = None
    status: Short | None = None
    outcome: Short | None = None
    vendor_lead_code: Short | None = None
    blocked_by: Short | None = None
    list_id: Id | None = None
    campaign_id: Id | None = None
    agent_id: Id | None = None
    last_attempt_from: Instant | None = None
    last_attempt_to: Instant | None = None
    group_id: IdOrZero = 0
    limit: Limit = 50
    after: AfterId | None = None


class LeadPage(Answer, kw_only=True):
    rows: list[dict[str, Any]]
    next_after: str | None = None


class Created(Answer, kw_only=True):
    id: int


class DncBody(Body, kw_only=True):
    """`on` false takes the number off the red list; that needs a reason, kept in the audit log."""

    client_id: Id
    number: Number
    on: bool = True
    reason: Text = ""


class ConsentGiven(Body, kw_only=True):
    client_id: Id
    number: Number
    consent: ConsentBody
    until: Instant | None = None


class ConsentRevoked(Body, kw_only=True):
    client_id: Id
    number: Number


class Touched(Answer, kw_only=True):
    """How many leads the change touched; the engine drops those it had queued."""

    e164: str
    leads: int


def mask(e164: str) -> str:
    """The two digits before the last pair hidden, for roles that need no whole number."""
    return f"{e164[:-4]}••{e164[-2:]}" if len(e164) > 6 else e164


def shown(ask: Ask, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its numbers as the role may see them."""
    out = dict(row)
    if ask.who.may(Permission.MANAGE):
        return out
    for name in ("e164", "alt_phone", "number"):
        if isinstance(out.get(name), str) and out[name]:
            out[name] = mask(out[name])
    return out


def draft_of(body: LeadBody) -> LeadDraft:
    """The draft the store inserts. Raises field_missing, number_invalid."""
    if not (body.last_name.strip() or body.company.strip()):
        raise CommandError("field_missing", {"field": "last_name"})
    e164 = e164_of(body.phone, "phone", postal_code=body.postal_code)
    values = msgspec.structs.asdict(body)
    for name in ("list_id", "phone", "consent"):
        values.pop(name)
    consent = body.consent
    if consent is not None:
        values |= {
            "consent_at": consent.collected_at,
            "consent_source": consent.source,
            "consent_text_version": consent.text_version,
            "consent_out_of_hours": consent.out_of_hours,
            "consent_automated": consent.automated,
        }
    return LeadDraft(e164=e164, tz_group=tz_group(e164, body.postal_code), **values)


async def _client(ask: Ask, client_id: int) -> Client:
    return await scope.get(ask, Client, client_id)


async def _lead(ask: Ask, lead_id: int) -> Lead:
    lead = await ask.deps.store.lead_facts(lead_id)
    if lead is None or not ask.who.sees_campaign(lead.group_id, lead.campaign_id):
        raise CommandError("not_found", {"what": f"Lead {lead_id}"})
    return lead


@routes.post("/leads", permission=Permission.MANAGE, body=LeadBody, reply=Created, status=201)
async def add_lead(ask: Ask) -> Reply:
    """Add a person to a list; callable at once (features LEAD-06)."""
    row = await scope.get(ask, LeadList, ask.body.list_id)
    ids = await ask.deps.store.add_leads(row.id, [draft_of(ask.body)])
    await tell_engine(ask, LeadsChanged(by=ask.who.name))
    return Reply(Created(id=ids[0]), 201, {"Location": f"/api/v1/leads/{ids[0]}"})


@routes.get("/leads", permission=Permission.WATCH, query=LeadQuery, reply=LeadPage)
async def search_leads(ask: Ask) -> Reply:
    """Search leads; filters combine. A token limited to some campaigns sees the leads of their lists."""
    query: LeadQuery = ask.query
    group_id = scope.home_group(ask, query.group_id)
    own = ("group_id", "limit", "after")
    filters = {k: v for k, v in msgspec.structs.asdict(query).items() if v not in (None, "") and k not in own}
    if "phone" in filters:
        filters["phone"] = e164_of(filters["phone"], "phone", allow_special=True)
    if "list_id" in filters:
        await scope.check_list(ask, await scope.get(ask, LeadList, filters["list_id"]))
    if "campaign_id" in filters:
        await scope.get(ask, Campaign, filters["campaign_id"])
    page = await ask.deps.store.search_leads(group_id, filters, query.limit, query.after)
    lists = await scope.lists_in_sight(ask, group_id)
    rows = [shown(ask, row) for row in msgspec.to_builtins(page.rows) if lists is None or row["list_id"] in lists]
    return Reply(LeadPage(rows=rows, next_after=page.next_after))


@routes.get("/leads/{id}", permission=Permission.WATCH, reply=dict[str, Any])
async def read_lead(ask: Ask) -> Reply:
    """One lead, as the dialler sees it."""
    return Reply(shown(ask, msgspec.to_builtins(await _lead(ask, ask.id))))


@routes.get("/leads/{id}/history", permission=Permission.WATCH, reply=list[dict[str, Any]])
async def lead_history(ask: Ask) -> Reply:
    """Every attempt, status and note of a lead, newest first (features IMPT-12)."""
    lead = await _lead(ask, ask.id)
    history = await ask.deps.store.lead_history(lead.id)
    return Reply([shown(ask, row) for row in reversed(history)])


@routes.patch("/leads/{id}", permission=Permission.MANAGE, body=LeadPatch, reply=dict[str, Any])
async def change_lead(ask: Ask) -> Reply:
    """Correct a lead."""
    lead = await _lead(ask, ask.id)
    changes = {k: v for k, v in msgspec.structs.asdict(ask.body).items() if v is not UNSET}
    if changes:
        await ask.deps.store.update_lead(lead.id, changes)
        await tell_engine(ask, LeadsChanged(lead_ids=(lead.id,), by=ask.who.name))
    return Reply(shown(ask, msgspec.to_builtins(await _lead(ask, lead.id))))


@routes.patch("/leads/{id}/callback", permission=Permission.STEER, body=CallbackBody, reply=dict[str, Any])
async def move_callback(ask: Ask) -> Reply:
    """Give an agreed callback to another agent, to anybody, or another time (features CALB-01); its history stays."""
    lead = await _lead(ask, ask.id)
    if lead.callback_at is None:
        raise CommandError("not_found", {"what": f"Callback of lead {lead.id}"})
    if ask.body.agent_id:
        await scope.get(ask, Agent, ask.body.agent_id)
    due = ask.body.due_at or lead.callback_at
    if due.tzinfo is None:
        details = {"field": "due_at", "value": due.isoformat(), "allowed": "a time with its offset"}
        raise CommandError("field_invalid", details)
    changes: dict[str, Any] = {"callback_agent_id": ask.body.agent_id}
    if due != lead.callback_at:
        changes |= {"callback_at": due, "eligible_at": due, "blocked_by": "callback"}
    await ask.deps.store.update_lead(lead.id, changes)
    moved = {"agent_id": [lead.callback_agent_id, ask.body.agent_id], "due_at": [str(lead.callback_at), str(due)]}
    await ask.deps.store.note(ask.who.name, "callback.moved", str(lead.id), moved)
    await tell_engine(ask, LeadsChanged(lead_ids=(lead.id,), by=ask.who.name))
    return Reply(shown(ask, msgspec.to_builtins(await _lead(ask, lead.id))))


@routes.post("/dnc", permission=Permission.MANAGE, body=DncBody, reply=Touched)
async def set_dnc(ask: Ask) -> Reply:
    """Put a number on, or take it off, a client's red list; effective on what is already queued (features IMPT-13)."""
    client = await _client(ask, ask.body.client_id)
    if not ask.body.on and not ask.body.reason.strip():
        raise CommandError("field_missing", {"field": "reason"})
    e164 = e164_of(ask.body.number, "number", allow_special=True)
    source = ask.body.reason or "api"
    ids = await ask.deps.store.set_dnc(client.id, e164, ask.body.on, ask.who.name, source)
    what = "red_list.on" if ask.body.on else "red_list.off"
    detail = {"leads": ",".join(map(str, ids[:50])), "reason": ask.body.reason}
    await ask.deps.store.note(ask.who.name, what, f"client:{client.id}", detail)
    await tell_engine(ask, LeadsChanged(lead_ids=tuple(ids), e164s=(e164,), by=ask.who.name))
    return Reply(Touched(e164=e164, leads=len(ids)))


@routes.post("/consents", permission=Permission.MANAGE, body=ConsentGiven, reply=Touched)
async def add_consent(ask: Ask) -> Reply:
    """Record a person's consent with its proof (features LEGL-08)."""
    client = await _client(ask, ask.body.client_id)
    e164 = e164_of(ask.body.number, "number")
    given: ConsentBody = ask.body.consent
    consent = {
        "at": given.collected_at,
        "until": ask.body.until,
        "source": given.source,
        "text_version": given.text_version,
        "proof": given.ip,
        "out_of_hours": given.out_of_hours,
        "automated": given.automated,
    }
    ids = await ask.deps.store.add_consent(client.id, e164, consent)
    await _consent(ask, "given", client, ids, source=given.source, text_version=given.text_version)
    await tell_engine(ask, LeadsChanged(lead_ids=tuple(ids), e164s=(e164,), by=ask.who.name))
    return Reply(Touched(e164=e164, leads=len(ids)))


@routes.post("/consents/revoke", permission=Permission.MANAGE, body=ConsentRevoked, reply=Touched)
async def revoke_consent(ask: Ask) -> Reply:
    """Record that a person took their consent back; it wins over any earlier proof."""
    client = await _client(ask, ask.body.client_id)
    e164 = e164_of(ask.body.number, "number")
    ids = await ask.deps.store.revoke_consent(client.id, e164, ask.deps.clock.utcnow())
    await _consent(ask, "withdrawn", client, ids)
    await tell_engine(ask, LeadsChanged(lead_ids=tuple(ids), e164s=(e164,), by=ask.who.name))
    return Reply(Touched(e164=e164, leads=len(ids)))


async def _consent(ask: Ask, done: str, client: Client, ids: list[int], **detail: str) -> None:
    """Who entered it (features LEGL-08): into the audit log, by leads, never by number."""
    detail = {"leads": ",".join(map(str, ids[:50])), **detail}
    await ask.deps.store.note(ask.who.name, f"consent.{done}", f"client:{client.id}", detail)
