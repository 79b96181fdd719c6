"""Agents at work: sign in and out, ready, pause, dial, preview, dispose; the desk and its draft.

An agent's token acts for its own agent only; supervisors and above act for any agent they may see.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from daemon.api import scope
from daemon.api.checks import check_typed_number
from daemon.api.config_api import tell_engine
from daemon.api.control import submit
from daemon.api.numbers import e164_of
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import (
    Accepted,
    Answer,
    Body,
    Code,
    Id,
    IdOrZero,
    Ids,
    Instant,
    LongText,
    Number,
    PauseCodeText,
    Text,
)
from daemon.calls.records import Agent, Campaign, PauseCode, Role, Status
from daemon.engine.commands import (
    DialNumber,
    Dispose,
    ExtendTime,
    HangUpCall,
    LeadsChanged,
    NextContact,
    PreviewDial,
    PreviewSkip,
    SetPaused,
    SetReady,
    SignIn,
    SignOut,
)
from daemon.engine.views import AgentView, for_the_agent
from daemon.errors import CommandError, StoreUnavailable

routes = Routes("/api/v1", "agents")
HISTORY_MAX = 50


class SignInBody(Body, kw_only=True):
    """`campaign_ids` empty: every campaign that names the agent."""

    campaign_ids: Ids = []
    ready: bool = False


class PauseBody(Body, kw_only=True):
    code: PauseCodeText = ""


class DialBody(Body, kw_only=True):
    number: Number
    campaign_id: Id
    lead_id: IdOrZero = 0


class SkipBody(Body, kw_only=True):
    reason: Text = ""


class ObjectionBody(Body, kw_only=True):
    """Who objects: the person of this call; without it, the one under preview."""

    attempt_id: UUID | None = None


class DisposeBody(Body, kw_only=True):
    """What the agent says of the call. `then`: ready, paused or signed_out."""

    attempt_id: UUID
    code: Code
    notes: LongText = ""
    callback_at: Instant | None = None
    callback_mine: bool = True
    do_not_call: bool = False
    then: Annotated[str, Meta(pattern="^(ready|paused)$")] = "ready"
    pause_code: PauseCodeText = ""


class Draft(Body, kw_only=True):
    """What an agent has typed so far, kept for a reload or another machine."""

    attempt_id: Annotated[str, Meta(max_length=40)]
    notes: LongText = ""
    code: Annotated[str, Meta(max_length=12)] = ""
    callback_at: Annotated[str, Meta(max_length=40)] = ""
    do_not_call: bool = False
    saved_at: datetime | None = None


class DeskAnswer(Answer, kw_only=True):
    """Everything the desk paints after a reload: own state, the person, history, what may be chosen. `callbacks`: those
    that this agent owes, `callback_next_at` the first of them; `caller_id`: the number shown to who is called."""

    agent: AgentView | None
    agent_id: int
    name: str
    extension: str
    campaigns: list[dict[str, Any]]
    lead: dict[str, Any] | None
    history: list[dict[str, Any]]
    statuses: list[Status]
    pause_codes: list[PauseCode]
    draft: Draft | None
    now: datetime
    callbacks: int = 0
    callback_next_at: datetime | None = None
    caller_id: str = ""


async def agent_of(ask: Ask, agent_id: int) -> Agent:
    """The agent acted for; an agent's token acts for itself alone, one limited to some campaigns for those who are not
    at work on others only: the live view shows it nobody else."""
    if ask.who.role is Role.AGENT and agent_id != ask.who.agent_id:
        raise CommandError("forbidden", {"role": "agent", "permission": "steer"})
    agent, view = await scope.get(ask, Agent, agent_id), _view(ask, agent_id)
    if _limited(ask) and view and view.campaign_ids and not ask.who.campaign_ids.intersection(view.campaign_ids):
        raise CommandError("not_found", {"what": f"Agent {agent_id}"})
    return agent


async def talking_agent(ask: Ask, agent_id: int) -> Agent:
    """The agent whose conversation is acted on: one of a campaign that the token sees."""
    agent, view = await agent_of(ask, agent_id), _view(ask, agent_id)
    if _limited(ask) and view and view.campaign_id and view.campaign_id not in ask.who.campaign_ids:
        raise CommandError("not_found", {"what": f"Agent {agent_id}"})
    return agent


def _limited(ask: Ask) -> bool:
    return bool(ask.who.campaign_ids) and ask.who.role is not Role.AGENT


def _may_work(ask: Ask, campaign: Campaign, agent: Agent) -> bool:
    if ask.who.role is Role.AGENT:
        return not campaign.agent_ids or agent.id in campaign.agent_ids
    return ask.who.sees_campaign(campaign.group_id, campaign.id)


async def _campaigns(ask: Ask, agent: Agent) -> list[Campaign]:
    rows = await ask.deps.store.find(Campaign, group_id=agent.group_id)
    return [row for row in rows if _may_work(ask, row, agent)]


@routes.post("/agents/{id}/sign-in", permission=Permission.DESK, body=SignInBody, reply=Accepted, status=202)
async def sign_in(ask: Ask) -> Reply:
    """Start work on campaigns, paused or ready."""
    agent = await agent_of(ask, ask.id)
    allowed = [row.id for row in await _campaigns(ask, agent)]
    wanted = ask.body.campaign_ids or allowed
    if not set(wanted) <= set(allowed):
        details = {"field": "campaign_ids", "value": wanted, "allowed": f"among {allowed}"}
        raise CommandError("field_invalid", details)
    command = SignIn(agent_id=agent.id, campaign_ids=tuple(wanted), ready=ask.body.ready, by=ask.who.name)
    return await submit(ask, command)


@routes.post("/agents/{id}/sign-out", permission=Permission.DESK, reply=Accepted, status=202)
async def sign_out(ask: Ask) -> Reply:
    """Leave; in a call, after its end."""
    agent = await agent_of(ask, ask.id)
    with suppress(StoreUnavailable):  # nobody is kept at work by a database that is gone
        await ask.deps.store.drop_draft(agent.id)
    return await submit(ask, SignOut(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/ready", permission=Permission.DESK, reply=Accepted, status=202)
async def ready(ask: Ask) -> Reply:
    """Take calls. 409 extension_unregistered if the phone can't be reached (features S100-07)."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, SetReady(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/pause", permission=Permission.DESK, body=PauseBody, reply=Accepted, status=202)
async def pause(ask: Ask) -> Reply:
    """Pause now, or after the call in progress (features PAUS-01)."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, SetPaused(agent_id=agent.id, code=ask.body.code, by=ask.who.name))


@routes.post("/agents/{id}/dispose", permission=Permission.DESK, body=DisposeBody, reply=Accepted, status=202)
async def dispose(ask: Ask) -> Reply:
    """Give the last call its status; may be sent while talking."""
    agent = await agent_of(ask, ask.id)
    body: DisposeBody = ask.body
    reply = await submit(ask, Dispose(agent_id=agent.id, by=ask.who.name, **msgspec.structs.asdict(body)))
    with suppress(StoreUnavailable):  # the disposition is taken; an old draft goes with the next, or in a day
        await ask.deps.store.drop_draft(agent.id, body.attempt_id)
    return reply


@routes.post("/agents/{id}/dial", permission=Permission.DESK, body=DialBody, reply=Accepted, status=202)
async def dial(ask: Ask) -> Reply:
    """A manual call: the agent's phone rings first (features CAMP-02)."""
    agent = await agent_of(ask, ask.id)
    campaign = await _own_campaign(ask, agent, ask.body.campaign_id)
    e164 = e164_of(ask.body.number, "number")
    await check_typed_number(ask, campaign, e164, ask.body.lead_id)
    command = DialNumber(
        agent_id=agent.id, campaign_id=campaign.id, e164=e164, lead_id=ask.body.lead_id, by=ask.who.name
    )
    return await submit(ask, command)


async def _own_campaign(ask: Ask, agent: Agent, campaign_id: int) -> Campaign:
    for row in await _campaigns(ask, agent):
        if row.id == campaign_id:
            return row
    raise CommandError("campaign_unknown")


@routes.post("/agents/{id}/next", permission=Permission.DESK, reply=Accepted, status=202)
async def next_contact(ask: Ask) -> Reply:
    """Call, or preview, the best due lead of the agent's campaigns (features S100-12)."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, NextContact(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/preview/dial", permission=Permission.DESK, reply=Accepted, status=202)
async def preview_dial(ask: Ask) -> Reply:
    """Accept the lead under preview (features CAMP-06)."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, PreviewDial(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/preview/skip", permission=Permission.DESK, body=SkipBody, reply=Accepted, status=202)
async def preview_skip(ask: Ask) -> Reply:
    """Give the lead under preview back."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, PreviewSkip(agent_id=agent.id, reason=ask.body.reason, by=ask.who.name))


@routes.post("/agents/{id}/objection", permission=Permission.DESK, body=ObjectionBody, reply=Accepted, extra=(404,))
async def objection(ask: Ask) -> Reply:
    """The person on the desk asks not to be called again (features LEGL-07): on the client's red list at once, whatever
    becomes of the form. 409 call_gone, preview_gone if somebody else is there by now."""
    agent = await agent_of(ask, ask.id)
    client_id, e164 = await _person_there(ask, agent, ask.body.attempt_id)
    ids = await ask.deps.store.set_dnc(client_id, e164, True, ask.who.name, "desk")
    detail = {"leads": ",".join(map(str, ids[:50])), "reason": "desk"}
    await ask.deps.store.note(ask.who.name, "red_list.on", f"client:{client_id}", detail)
    await tell_engine(ask, LeadsChanged(lead_ids=tuple(ids), e164s=(e164,), by=ask.who.name))
    return Reply(Accepted())


async def _person_there(ask: Ask, agent: Agent, attempt_id: UUID | None) -> tuple[int, str]:
    """Client and number of the agent's call, in progress or just over; without one, of the lead under preview."""
    view, store = _view(ask, agent.id), ask.deps.store
    if attempt_id is not None:
        row = await store.attempt(attempt_id)
        if view is None or row is None or str(attempt_id) not in (view.attempt_id, view.last_attempt_id):
            raise CommandError("call_gone", {"attempt_id": str(attempt_id)})
        return row["client_id"], row["e164"]
    lead = await store.lead_facts(view.lead_id) if view and view.state == "reserved" and not view.attempt_id else None
    if view is None or lead is None or lead.group_id != agent.group_id:
        raise CommandError("preview_gone", {"agent_id": agent.id})
    campaign = await store.get(Campaign, view.campaign_id)
    return campaign.client_id if campaign else lead.client_id, lead.e164


@routes.post("/agents/{id}/extend", permission=Permission.DESK, reply=Accepted, status=202)
async def extend(ask: Ask) -> Reply:
    """More time for the wrap-up or preview that runs out: once, by what the campaign allows (`extend_s`)."""
    agent = await agent_of(ask, ask.id)
    return await submit(ask, ExtendTime(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/hang-up", permission=Permission.DESK, reply=Accepted, status=202)
async def hang_up(ask: Ask) -> Reply:
    """End the agent's call in progress."""
    agent = await talking_agent(ask, ask.id)
    view = _view(ask, agent.id)
    if view is None or not view.attempt_id:
        raise CommandError("agent_not_in_call")
    return await submit(ask, HangUpCall(attempt_id=UUID(view.attempt_id), by=ask.who.name))


def _view(ask: Ask, agent_id: int) -> AgentView | None:
    view = ask.deps.door.view().get("agents", {}).get(str(agent_id))
    return view if isinstance(view, AgentView) else None


async def _lead_id(ask: Ask, view: AgentView | None) -> int:
    """The person on the desk: under preview or on the line; in wrap-up, the one of the call that just ended."""
    if view is None or view.lead_id:
        return view.lead_id if view else 0
    if not view.last_attempt_id:
        return 0
    row = await ask.deps.store.attempt(UUID(view.last_attempt_id))
    return int(row["lead_id"] or 0) if row else 0


@routes.get("/desk", permission=Permission.DESK, reply=DeskAnswer, extra=(404,))
async def desk(ask: Ask) -> Reply:
    """The signed-in agent's desk, whole: what a reload needs to paint the same state."""
    if not ask.who.agent_id:
        raise CommandError("agent_unknown")
    agent = await scope.get(ask, Agent, ask.who.agent_id)
    store, view = ask.deps.store, _view(ask, agent.id)
    lead_id = await _lead_id(ask, view)
    lead = await store.lead_facts(lead_id) if lead_id else None
    campaign_id = view.campaign_id if view else 0
    campaigns = await _campaigns(ask, agent)
    statuses = [s for s in await store.find(Status, group_id=agent.group_id) if s.campaign_id in (0, campaign_id)]
    draft = await store.draft_of(agent.id)
    owed = [row for row in await store.report("callbacks", agent_id=agent.id) if row["due_at"] is not None]
    attempt = await store.attempt(UUID(view.attempt_id)) if view and view.attempt_id else None
    fields = ("id", "name", "mode", "level", "state", "screen_pop_url", "script", "pause_mode", "preview_timeout_s")
    return Reply(
        DeskAnswer(
            agent=for_the_agent(view) if view else None,
            agent_id=agent.id,
            name=agent.name,
            extension=agent.extension,
            campaigns=[{name: getattr(c, name) for name in fields} for c in campaigns],
            lead=msgspec.to_builtins(lead) if lead and lead.group_id == agent.group_id else None,
            history=(await store.lead_history(lead_id))[:HISTORY_MAX] if lead else [],
            statuses=sorted(statuses, key=lambda s: (s.sort, s.id)),
            pause_codes=await store.find(PauseCode, group_id=agent.group_id),
            draft=msgspec.convert(msgspec.to_builtins(draft), Draft) if draft else None,
            now=ask.deps.clock.utcnow(),
            callbacks=len(owed),
            callback_next_at=owed[0]["due_at"] if owed else None,
            caller_id=attempt["caller_id"] if attempt else "",
        )
    )


@routes.put("/desk/draft", permission=Permission.DESK, body=Draft, reply=Draft)
async def keep_draft(ask: Ask) -> Reply:
    """Keep what the agent has typed, under the call's id."""
    if not ask.who.agent_id:
        raise CommandError("agent_unknown")
    body = msgspec.structs.replace(ask.body, saved_at=ask.deps.clock.utcnow())
    typed = {name: getattr(body, name) for name in ("notes", "code", "callback_at", "do_not_call")}
    await ask.deps.store.keep_draft(ask.who.agent_id, _call_id(body.attempt_id), typed, ask.deps.clock.utcnow())
    return Reply(body)


def _call_id(text: str) -> UUID:
    """The call a draft is of. Raises field_invalid."""
    try:
        return UUID(text)
    except ValueError as error:
        details = {"field": "attempt_id", "value": text, "allowed": "a call's UUID"}
        raise CommandError("field_invalid", details) from error
