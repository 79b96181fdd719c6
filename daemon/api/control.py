"""Steering: campaigns, lines, calls, and "why is it not dialling". Commands answer 202; the stream tells when done."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from daemon.api import scope
from daemon.api.live_scope import Scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Accepted, Answer, Body
from daemon.calls.records import Campaign, CampaignMode, Line
from daemon.engine.commands import (
    AnyCommand,
    DatabaseReconciled,
    PauseCampaign,
    SetLine,
    StartCampaign,
    StopAllCalls,
    StopCampaign,
    TuneCampaign,
)
from daemon.engine.views import CampaignView, CauseView, LinkView, SystemView, WindowView
from daemon.errors import CommandError

routes = Routes("/api/v1", "control")


class StopBody(Body, kw_only=True):
    """`hang_up_ringing`: also end what is not answered yet."""

    hang_up_ringing: bool = False


class TuneBody(Body, kw_only=True):
    """Live change. `from_speed`: refuse if the speed is no longer this (somebody else was faster)."""

    mode: CampaignMode | None = None
    level: Annotated[int, Meta(ge=1, le=3)] | None = None
    speed: Annotated[int, Meta(ge=0, le=10)] | None = None
    from_speed: Annotated[int, Meta(ge=0, le=10)] | None = None


class IntegrationTrouble(Answer, kw_only=True):
    """A CRM that is not as it should be. `state`: broken, unauthorized, degraded; `waiting`: calls to be told yet."""

    id: int
    name: str
    state: str
    failed: int
    waiting: int


class WhyAnswer(Answer, kw_only=True):
    """The six causes in order; `binding` is the first that holds the campaign back. due + held = all leads.

    `integrations`: those in trouble. They hold no call back: what they were to be told waits.
    """

    campaign_id: int
    state: str
    binding: str
    why: str
    why_fr: str
    causes: tuple[CauseView, ...]
    leads: dict[str, int]
    windows: tuple[WindowView, ...]
    pacing: dict[str, float | int | str | None]
    integrations: list[IntegrationTrouble]


class StatusAnswer(Answer, kw_only=True):
    """The daemon, its links, and each campaign in one line."""

    now: datetime
    version: str
    system: SystemView | None
    links: list[LinkView]
    campaigns: list[dict[str, Any]]
    calls: dict[str, int]
    agents: dict[str, int]


async def submit(ask: Ask, command: AnyCommand) -> Reply:
    """Hand a command to the engine: 202 with what is known at once."""
    result = await ask.deps.door.submit(command)
    return Reply(Accepted(result=dict(result)), 202)


@routes.post("/campaigns/stop-all", permission=Permission.STEER, body=StopBody, reply=Accepted, status=202)
async def stop_all(ask: Ask) -> Reply:
    """Suspend every running campaign that the token sees. Conversations go on."""
    command = StopAllCalls(
        group_id=0 if ask.who.all_groups else ask.who.group_id,
        campaign_ids=tuple(sorted(ask.who.campaign_ids)),
        hang_up_ringing=ask.body.hang_up_ringing,
        by=ask.who.name,
    )
    return await submit(ask, command)


@routes.post("/campaigns/{id}/start", permission=Permission.STEER, reply=Accepted, status=202)
async def start_campaign(ask: Ask) -> Reply:
    """Dial as soon as everything else allows."""
    row = await scope.get(ask, Campaign, ask.id)
    return await submit(ask, StartCampaign(campaign_id=row.id, by=ask.who.name))


@routes.post("/campaigns/{id}/pause", permission=Permission.STEER, reply=Accepted, status=202)
async def pause_campaign(ask: Ask) -> Reply:
    """No new calls from here on; those under way finish by themselves and nobody is signed out."""
    row = await scope.get(ask, Campaign, ask.id)
    return await submit(ask, PauseCampaign(campaign_id=row.id, by=ask.who.name))


@routes.post("/campaigns/{id}/stop", permission=Permission.STEER, body=StopBody, reply=Accepted, status=202)
async def stop_campaign(ask: Ask) -> Reply:
    """Pause, and release the agents when their call ends."""
    row = await scope.get(ask, Campaign, ask.id)
    command = StopCampaign(campaign_id=row.id, hang_up_ringing=ask.body.hang_up_ringing, by=ask.who.name)
    return await submit(ask, command)


@routes.post("/campaigns/{id}/tune", permission=Permission.STEER, body=TuneBody, reply=Accepted, status=202)
async def tune_campaign(ask: Ask) -> Reply:
    """Change mode, level or speed while it runs (features CAMP-07)."""
    row = await scope.get(ask, Campaign, ask.id)
    body: TuneBody = ask.body
    command = TuneCampaign(
        campaign_id=row.id,
        mode=body.mode.value if body.mode else None,
        level=body.level,
        speed=body.speed,
        from_speed=body.from_speed,
        by=ask.who.name,
    )
    try:
        return await submit(ask, command)
    except CommandError as error:
        if error.code == "changed_meanwhile":
            raise CommandError("speed_moved", error.details) from error
        raise


@routes.get("/campaigns/{id}/why", permission=Permission.WATCH, reply=WhyAnswer)
async def why(ask: Ask) -> Reply:
    """Why it dials as it does, or does not: the same words as the page and the command line."""
    row = await scope.get(ask, Campaign, ask.id)
    view = ask.deps.door.view().get("campaigns", {}).get(str(row.id))
    if not isinstance(view, CampaignView):
        raise CommandError("campaign_unknown")
    troubles = await ask.deps.crm.troubles(row.group_id) if ask.deps.crm is not None else []
    return Reply(
        WhyAnswer(
            campaign_id=row.id,
            state=view.state,
            binding=view.binding,
            why=view.why,
            why_fr=view.why_fr,
            causes=view.causes,
            leads=view.leads,
            windows=view.windows,
            pacing=view.pacing,
            integrations=[IntegrationTrouble(**trouble) for trouble in troubles],
        )
    )


@routes.post("/lines/{id}/enable", permission=Permission.ADMINISTER, reply=Accepted, status=202)
async def enable_line(ask: Ask) -> Reply:
    """Switch a line on, or end its rest; effective on the next allocation (features C2C-05)."""
    row = await scope.get(ask, Line, ask.id)
    return await submit(ask, SetLine(line_id=row.id, enabled=True, by=ask.who.name))


@routes.post("/lines/{id}/disable", permission=Permission.ADMINISTER, reply=Accepted, status=202)
async def disable_line(ask: Ask) -> Reply:
    """Switch a line off; a call on it runs to its end."""
    row = await scope.get(ask, Line, ask.id)
    return await submit(ask, SetLine(line_id=row.id, enabled=False, by=ask.who.name))


@routes.post("/sites/{site}/reconciled", permission=Permission.ADMINISTER, reply=Accepted, status=202)
async def database_reconciled(ask: Ask) -> Reply:
    """Say that what a restored, older database lacks has been seen to: the site may dial again."""
    if not ask.who.all_groups:
        raise CommandError("forbidden")
    return await submit(ask, DatabaseReconciled(site=ask.request.match_info["site"], by=ask.who.name))


@routes.get("/status", permission=Permission.WATCH, reply=StatusAnswer)
async def status(ask: Ask) -> Reply:
    """The daemon, its links, and what each campaign does and why."""
    view, shown = ask.deps.door.view(), Scope.of(ask.who)
    campaigns = [c for c in view.get("campaigns", {}).values() if isinstance(c, CampaignView) and shown.shows(c)]
    calls: dict[str, int] = {}
    agents: dict[str, int] = {}
    for call in view.get("calls", {}).values():
        if shown.shows(call):
            stage = getattr(call, "stage", "")
            calls[stage] = calls.get(stage, 0) + 1
    for agent in view.get("agents", {}).values():
        if shown.shows(agent):
            state = getattr(agent, "state", "")
            agents[state] = agents.get(state, 0) + 1
    system = next(iter(view.get("system", {}).values()), None)
    return Reply(
        StatusAnswer(
            now=ask.deps.clock.utcnow(),
            version=ask.deps.version,
            system=system if isinstance(system, SystemView) else None,
            links=[link for link in view.get("links", {}).values() if isinstance(link, LinkView)],
            campaigns=[_line(c) for c in sorted(campaigns, key=lambda c: c.id)],
            calls=calls,
            agents=agents,
        )
    )


def _line(view: CampaignView) -> dict[str, Any]:
    """A campaign in one line of the status."""
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "mode": view.mode,
        "level": view.level,
        "speed": view.speed,
        "binding": view.binding,
        "why": view.why,
        "why_fr": view.why_fr,
        "stages": view.stages,
        "leads": view.leads,
    }
