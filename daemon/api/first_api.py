"""The first run: what the PBX was found to have, made into agents and lines at one go; people to try a campaign on.

The pages ask when there is no campaign yet, and later when a phone or trunk was added on the PBX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from daemon.api import scope
from daemon.api.checks import check_site
from daemon.api.config_api import tell_engine
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, Body, IdOrZero, NoQuery, Site
from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, LeadList, Line, Record
from daemon.engine.commands import ConfigChanged, LeadsChanged
from daemon.errors import CommandError

routes = Routes("/api/v1", "first run")

FOUND_MAX = 2000
LOOKED_THROUGH = 500
"""Leads of the list among which earlier test leads are looked for; further back, their codes keep them one."""
TEST_NAMES = (
    "Alma Verdier", "Basile Tournier", "Céline Arnoux", "Damien Lacroix", "Élise Bonnard", "Farid Mansour",
    "Gaëlle Rivoire", "Hector Pelletier", "Irène Castel", "Joachim Brun", "Katia Lemoine", "Lucien Armand",
    "Maya Delorme", "Noé Chartier", "Odile Fabre", "Pascal Granier", "Rachel Duprat", "Simon Vasseur",
    "Thérèse Collet", "Yanis Marchal",
)  # fmt: skip
Names = Annotated[list[Annotated[str, Meta(min_length=1, max_length=80)]], Meta(min_length=1, max_length=FOUND_MAX)]


class FoundPhone(Answer, kw_only=True):
    """An extension of the PBX. `agent_id`: the agent it is of, 0 = nobody's yet. `state`: as the PBX tells it."""

    extension: str
    state: str
    agent_id: int = 0


class FoundTrunk(Answer, kw_only=True):
    """A trunk of the PBX. `line_id`: the line that uses it, 0 = none yet."""

    endpoint: str
    state: str
    line_id: int = 0


class FoundSite(Answer, kw_only=True):
    """One PBX: its link, the control mode with its reason, what the rights leave out, its phones and trunks. Those that
    another group uses are not told."""

    site: str
    up: bool
    mode: str = ""
    mode_reason: str = ""
    version: str = ""
    code: str = ""
    error: str = ""
    missing: list[str] = []
    phones: list[FoundPhone] = []
    trunks: list[FoundTrunk] = []


class FoundAnswer(Answer, kw_only=True):
    rows: list[FoundSite]


class PhonesBody(Body, kw_only=True):
    """Extensions to make agents of, in the token's group if `group_id` is 0."""

    site: Site
    extensions: Names
    group_id: IdOrZero = 0


class TrunksBody(Body, kw_only=True):
    """Trunks to make lines of; `capacity`: calls at once, which no PBX tells."""

    site: Site
    endpoints: Names
    capacity: Annotated[int, Meta(ge=1, le=10_000)] = 1
    group_id: IdOrZero = 0


class Made(Answer, kw_only=True):
    """What was made now; what was there already is passed over."""

    ids: list[int]


async def _found(ask: Ask, site: str) -> FoundSite:
    status = ask.deps.pbx(site)
    if status is None:
        return FoundSite(site=site, up=False)
    store, who = ask.deps.store, ask.who
    agents = {row.extension: row for row in await store.find(Agent, site=site)}
    lines = {row.endpoint: row for row in await store.find(Line, site=site)}
    phones, trunks = [], []
    for device in status.devices[:FOUND_MAX]:
        taken = (agents if device.kind == "extension" else lines).get(device.name)
        if taken is not None and not who.sees_group(taken.group_id):
            continue
        id = taken.id if taken is not None else 0
        if device.kind == "extension":
            phones.append(FoundPhone(extension=device.name, state=device.state, agent_id=id))
        else:
            trunks.append(FoundTrunk(endpoint=device.name, state=device.state, line_id=id))
    return FoundSite(
        site=site, up=status.up, mode=status.mode, mode_reason=status.mode_reason, version=status.version,
        code=status.error_code, error=status.error, missing=list(status.missing), phones=phones, trunks=trunks,
    )  # fmt: skip


@routes.get("/found", permission=Permission.MANAGE, query=NoQuery, reply=FoundAnswer)
async def found(ask: Ask) -> Reply:
    """Phones and trunks that each PBX has, as its link lists them, and which of them are used already."""
    return Reply(FoundAnswer(rows=[await _found(ask, site) for site in ask.deps.site_ids]))


def _known(wanted: Iterable[str], there: dict[str, int], code: str, field: str) -> list[str]:
    """Those wanted that are still free, in order, each once. Raises `code` for what the PBX does not have."""
    free = []
    for name in dict.fromkeys(wanted):
        if name not in there:
            raise CommandError(code, {"field": field, "value": name, "allowed": sorted(there)[:50]})
        if not there[name]:
            free.append(name)
    return free


async def _make(ask: Ask, rows: Sequence[Agent] | Sequence[Line], found: Sequence[str]) -> Reply:
    """201 with the ids: each row in the audit log with what it was `found` as, the engine told of all at one go."""
    made: list[Record] = []
    try:
        for row, name in zip(rows, found, strict=True):
            created = await ask.deps.store.create(row)
            made.append(created)
            kind = type(row).__name__
            await ask.deps.store.note(ask.who.name, f"{kind.lower()}.created", str(created.id), {"found": name})
    finally:  # one that is refused, its login being somebody else's, takes nothing back of those before it
        ids = tuple(row.id for row in made)
        if made:
            await tell_engine(ask, ConfigChanged(table=type(made[0]).__name__, ids=ids, by=ask.who.name))
    return Reply(Made(ids=list(ids)), 201)


@routes.post("/found/agents", permission=Permission.MANAGE, body=PhonesBody, reply=Made, status=201)
async def make_agents(ask: Ask) -> Reply:
    """One agent for each of these phones of the PBX; its number is the login, and its name until that is changed."""
    check_site(ask, ask.body.site)
    group_id = scope.home_group(ask, ask.body.group_id)
    there = {x.extension: x.agent_id for x in (await _found(ask, ask.body.site)).phones}
    free = _known(ask.body.extensions, there, "extension_unknown", "extensions")
    rows = [Agent(group_id=group_id, site=ask.body.site, login=x, name=f"Agent {x}", extension=x) for x in free]
    return await _make(ask, rows, free)


@routes.post("/found/lines", permission=Permission.ADMINISTER, body=TrunksBody, reply=Made, status=201)
async def make_lines(ask: Ask) -> Reply:
    """One line for each of these trunks of the PBX."""
    check_site(ask, ask.body.site)
    group_id = scope.home_group(ask, ask.body.group_id)
    there = {x.endpoint: x.line_id for x in (await _found(ask, ask.body.site)).trunks}
    free, capacity = _known(ask.body.endpoints, there, "field_invalid", "endpoints"), ask.body.capacity
    rows = [Line(group_id=group_id, site=ask.body.site, name=x, endpoint=x, capacity=capacity) for x in free]
    return await _make(ask, rows, free)


@routes.post("/lists/{id}/test-leads", permission=Permission.MANAGE, reply=Made, status=201)
async def add_test_leads(ask: Ask) -> Reply:
    """Twenty people who do not exist, on numbers kept for fiction (01 99 00 00 01 to 20), which reach nobody. Their
    consent is noted as what it is, a trial's, so that a rule set which asks for one lets them be called."""
    row = await scope.get(ask, LeadList, ask.id)
    there = await ask.deps.store.search_leads(row.group_id, {"list_id": row.id}, LOOKED_THROUGH, None)
    held = {lead["e164"] for lead in there.rows}
    drafts = []
    for number, name in enumerate(TEST_NAMES, 1):
        e164 = f"+33199000{number:03d}"
        first, _, last = name.partition(" ")
        if e164 not in held:
            drafts.append(
                LeadDraft(
                    e164=e164, first_name=first, last_name=last, city="Paris", postal_code="75001",
                    vendor_lead_code=f"ESSAI-{number:02d}", consent_at=ask.deps.clock.utcnow(),
                    consent_source="essai : personne fictive", comments="Fiche d'essai : numéro réservé à la fiction.",
                )
            )  # fmt: skip
    ids = await ask.deps.store.add_leads(row.id, drafts) if drafts else []
    if ids:
        await ask.deps.store.note(ask.who.name, "list.test_leads", str(row.id), {"count": len(ids)})
        await tell_engine(ask, LeadsChanged(list_ids=(row.id,), by=ask.who.name))
    return Reply(Made(ids=ids), 201)
