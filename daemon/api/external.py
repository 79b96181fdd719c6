"""The documented CLICSIPx leads API (features LEAD-01…08): validate, create one, create up to 100.

Keys come in X-API-Key and belong to a group; CORS is off here, since the key must never be in a browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.api.config_api import tell_engine
from daemon.api.decode import convert
from daemon.api.errors import clicsipx
from daemon.api.leads_api import ConsentBody
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Campaign, Group, LeadList
from daemon.compliance.zones import tz_group
from daemon.engine.commands import LeadsChanged
from daemon.errors import CommandError

routes = Routes("/api/external", "leads (CLICSIPx)")
BATCH_MAX = 100

Short = Annotated[str, Meta(max_length=50)]
Text = Annotated[str, Meta(max_length=200)]
Filled = Annotated[str, Meta(min_length=1, max_length=200)]
Phone = Annotated[str, Meta(min_length=1, max_length=40)]
ListId = Annotated[int, Meta(ge=1, le=2_147_483_647)]
ListText = Annotated[str, Meta(pattern="^[0-9]{1,10}$")]
REQUIRED = ("user_group", "user_aff", "status", "first_name", "last_name", "phone_number", "list_id")


class ExternalLead(msgspec.Struct, kw_only=True):
    """Features LEAD-02, LEAD-03, LEAD-07. Unknown fields are let pass: deployed clients send some."""

    user_group: Filled
    user_aff: Filled
    status: Annotated[str, Meta(min_length=1, max_length=20)]
    first_name: Filled
    last_name: Filled
    phone_number: Phone
    list_id: ListId | ListText
    email: Text = ""
    alt_phone: Short = ""
    address1: Text = ""
    address2: Text = ""
    address3: Text = ""
    city: Text = ""
    state: Text = ""
    province: Text = ""
    postal_code: Annotated[str, Meta(max_length=20)] = ""
    country_code: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "FR"
    comments: Annotated[str, Meta(max_length=2000)] = ""
    vendor_lead_code: Short = ""
    consent: ConsentBody | UnsetType | None = UNSET


class ExternalBatch(msgspec.Struct, kw_only=True):
    """Features LEAD-05: a batch, as documented. Each lead is judged by itself, and a bad one does not stop the rest."""

    leads: Annotated[list[ExternalLead], Meta(min_length=1, max_length=BATCH_MAX)]


class LeadData(Answer, kw_only=True):
    lead_id: int
    affectation_id: int
    vendor_lead_code: str
    list_id: int
    list_name: str
    campaign_id: str
    user_aff: str
    status: str


class LeadAnswer(Answer, kw_only=True):
    success: bool
    message: str
    data: LeadData


class BatchResult(Answer, kw_only=True):
    """One lead of a batch; `lead_id` or `error`."""

    index: int
    success: bool
    lead_id: int | None = None
    error: str | None = None


class BatchData(Answer, kw_only=True):
    created: int
    failed: int
    results: list[BatchResult]


class BatchAnswer(Answer, kw_only=True):
    """Features D28."""

    success: bool
    data: BatchData


class BatchBody(msgspec.Struct, kw_only=True):
    leads: list[Any]


class ValidData(Answer, kw_only=True):
    group: str
    name: str


class ValidAnswer(Answer, kw_only=True):
    success: bool
    message: str
    data: ValidData


@routes.get("/validate", permission=Permission.LEADS_API, reply=ValidAnswer, style="clicsipx")
async def validate(ask: Ask) -> Reply:
    """Whether the key is valid and active."""
    group = await ask.deps.auth.group(ask.who.group_id)
    data = ValidData(group=group.code if group else "", name=ask.who.name)
    return Reply(ValidAnswer(success=True, message="API Key valide", data=data))


@routes.post(
    "/leads",
    permission=Permission.LEADS_API,
    body=dict[str, Any],
    told=ExternalLead,
    reply=LeadAnswer,
    status=201,
    style="clicsipx",
)
async def create_lead(ask: Ask) -> Reply:
    """Create a lead, callable at once."""
    lead = parse(ask.body)
    data = (await _create(ask, [lead]))[0]
    if isinstance(data, CommandError):
        raise data
    return Reply(LeadAnswer(success=True, message="Lead créé avec succès", data=data), 201)


@routes.post(
    "/leads/batch",
    permission=Permission.LEADS_API,
    body=BatchBody | list[Any],
    told=ExternalBatch | Annotated[list[ExternalLead], Meta(min_length=1, max_length=BATCH_MAX)],
    reply=BatchAnswer,
    style="clicsipx",
)
async def create_batch(ask: Ask) -> Reply:
    """Create up to 100 leads; each failure is reported at its index."""
    rows: list[Any] = ask.body.leads if isinstance(ask.body, BatchBody) else ask.body
    if not 1 <= len(rows) <= BATCH_MAX:
        raise CommandError("field_invalid", {"field": "leads", "value": len(rows), "allowed": f"1 to {BATCH_MAX}"})
    parsed: list[ExternalLead | CommandError] = []
    for row in rows:
        try:
            parsed.append(parse(row))
        except CommandError as error:
            parsed.append(error)
    outcomes = await _create(ask, parsed)
    results = [_result(index, outcome) for index, outcome in enumerate(outcomes)]
    created = sum(result.success for result in results)
    data = BatchData(created=created, failed=len(results) - created, results=results)
    return Reply(BatchAnswer(success=True, data=data))


def _result(index: int, outcome: LeadData | CommandError) -> BatchResult:
    if isinstance(outcome, CommandError):
        return BatchResult(index=index, success=False, error=clicsipx(outcome)[1]["error"])
    return BatchResult(index=index, success=True, lead_id=outcome.lead_id)


def parse(raw: Any) -> ExternalLead:
    """One lead's body. Raises field_missing naming every missing field, field_invalid."""
    if not isinstance(raw, dict):
        raise CommandError("field_invalid", {"field": "lead", "value": "", "allowed": "an object"})
    missing = [name for name in REQUIRED if raw.get(name) in (None, "")]
    if missing:
        raise CommandError("field_missing", {"field": ", ".join(missing)})
    given = {name: value for name, value in raw.items() if value is not None}
    lead: ExternalLead = convert(given, ExternalLead)
    return lead


async def _group(ask: Ask, code: str) -> Group:
    """The group the body names; a key opens its own only, unless it is of level 10 (features LEAD-01)."""
    own = await ask.deps.auth.group(ask.who.group_id)
    if own is not None and own.code == code:
        return own
    if ask.who.all_groups:
        found = await ask.deps.store.find(Group, code=code)
        if found:
            return found[0]
    raise CommandError("group_forbidden", {"group": code})


async def _create(ask: Ask, leads: Sequence[ExternalLead | CommandError]) -> list[LeadData | CommandError]:
    """Insert what is good, list by list, and wake the dialler once."""
    out: list[LeadData | CommandError] = []
    for lead in leads:
        if isinstance(lead, CommandError):
            out.append(lead)
            continue
        try:
            out.append(await _create_one(ask, lead))
        except CommandError as error:
            out.append(error)
    if any(isinstance(outcome, LeadData) for outcome in out):
        await tell_engine(ask, LeadsChanged(by=ask.who.name))
    return out


async def _create_one(ask: Ask, lead: ExternalLead) -> LeadData:
    group = await _group(ask, lead.user_group)
    row = await ask.deps.store.get(LeadList, int(lead.list_id))
    if row is None or row.group_id != group.id:
        raise CommandError("not_found", {"what": f"list_id {lead.list_id}"})
    draft = _draft(ask, lead)
    campaign_id = await _campaign_id(ask, row)
    known = await _known(ask, group, row, draft) if lead.vendor_lead_code else 0
    lead_id = known or (await ask.deps.store.add_leads(row.id, [draft]))[0]
    return LeadData(
        lead_id=lead_id,
        affectation_id=lead_id,
        vendor_lead_code=draft.vendor_lead_code,
        list_id=row.id,
        list_name=row.name,
        campaign_id=campaign_id,
        user_aff=lead.user_aff,
        status=lead.status,
    )


async def _known(ask: Ask, group: Group, row: LeadList, draft: LeadDraft) -> int:
    """The lead sent before under the same vendor code (features LEAD-05): a retry never makes a second person."""
    filters = {"list_id": row.id, "vendor_lead_code": draft.vendor_lead_code}
    page = await ask.deps.store.search_leads(group.id, filters, 1, None)
    return int(msgspec.to_builtins(page.rows[0])["id"]) if page.rows else 0


async def _campaign_id(ask: Ask, row: LeadList) -> str:
    """The campaign that dials the list, as text (as documented); empty if none does."""
    for campaign in await ask.deps.store.find(Campaign, group_id=row.group_id):
        if row.id in campaign.list_ids:
            return str(campaign.id)
    return ""


def _draft(ask: Ask, lead: ExternalLead) -> LeadDraft:
    e164 = e164_of(lead.phone_number, "phone_number", postal_code=lead.postal_code)
    now = ask.deps.clock.utcnow()
    code = lead.vendor_lead_code or f"EXT-{int(now.timestamp() * 1000)}-{ask.deps.rng.getrandbits(32):08x}"
    names = ("first_name", "last_name", "email", "alt_phone", "address1", "address2", "address3", "city", "comments")
    values: dict[str, Any] = {name: getattr(lead, name) for name in (*names, "postal_code", "country_code", "status")}
    values["state"] = lead.state or lead.province
    consent = lead.consent
    if isinstance(consent, ConsentBody):
        values |= {
            "consent_at": consent.collected_at,
            "consent_source": consent.source,
            "consent_text_version": consent.text_version,
            "consent_out_of_hours": consent.out_of_hours,
            "consent_automated": consent.automated,
        }
    fields = {"user_aff": lead.user_aff, **({"consent_ip": consent.ip} if isinstance(consent, ConsentBody) else {})}
    return LeadDraft(
        e164=e164,
        tz_group=tz_group(e164, lead.postal_code),
        vendor_lead_code=code,
        priority=10 if lead.status.upper() == "NEW" else 5,
        fields=fields,
        **values,
    )
