"""What agents do with their call in progress, and how supervisors join it: hold, mute, digits, ask, transfer, confer,
record; listen, whisper, barge, take over.

An agent's token acts for its own agent; supervising needs the right to steer, and every step of it is audited. What the
PBX's rights don't allow is answered 409 `not_possible_here`.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from daemon.api.agents_api import talking_agent
from daemon.api.control import submit
from daemon.api.fraud import CAPS, SETTLE_S
from daemon.api.history import key_of, live_call
from daemon.api.numbers import e164_of, refuse_red_listed
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Accepted, Body, Number
from daemon.engine import commands as c
from daemon.engine.views import CallView
from daemon.errors import CommandError

routes = Routes("/api/v1", "voice")

Extension = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,32}$")]


class OnBody(Body, kw_only=True):
    on: bool = True


class DigitsBody(Body, kw_only=True):
    digits: Annotated[str, Meta(pattern=r"^[0-9A-D*#]{1,32}$")]


class WhoBody(Body, kw_only=True):
    """Whom: an extension of the PBX, or an outside number; one of the two."""

    extension: Extension = ""
    number: Number | None = None


class SuperviseBody(Body, kw_only=True):
    """`extension`: the supervisor's own phone."""

    extension: Extension
    mode: Annotated[str, Meta(pattern="^(listen|whisper|barge)$")] = "listen"


class TakeOverBody(Body, kw_only=True):
    """`extension` may be left out by who listens already: that phone gets the call."""

    extension: Extension = ""


async def _whom(ask: Ask, group_id: int) -> dict[str, Any]:
    """Whom the body names. An outside number on the red list of any client of the group is refused: who asked not to be
    called is not called for a transfer either. Raises field_missing, number_invalid, call_forbidden."""
    body: WhoBody = ask.body
    if bool(body.extension) == bool(body.number):
        raise CommandError("field_missing", {"field": "extension"})
    if body.extension:
        return {"extension": body.extension}
    e164 = e164_of(body.number or "", "number")
    await refuse_red_listed(ask.deps.store, group_id, e164)
    return {"e164": e164}


async def _ring_third(ask: Ask, group_id: int, command: type[c.CallCommand], **which: Any) -> Reply:
    """Ring whom the body names, within the group's cap on dear destinations."""
    whom = await _whom(ask, group_id)
    async with ask.request.app[CAPS].hold(group_id, whom.get("e164", "+33"), settle_s=SETTLE_S):
        return await submit(ask, command(by=ask.who.name, **which, **whom))


async def _agent_to(ask: Ask, kind: type[c.CallCommand]) -> Reply:
    agent = await talking_agent(ask, ask.id)
    return await _ring_third(ask, agent.group_id, kind, agent_id=agent.id)


async def _for_agent(ask: Ask, kind: type[c.CallCommand], **more: Any) -> Reply:
    agent = await talking_agent(ask, ask.id)
    return await submit(ask, kind(agent_id=agent.id, by=ask.who.name, **more))


@routes.post("/agents/{id}/hold", permission=Permission.DESK, reply=Accepted, status=202)
async def hold(ask: Ask) -> Reply:
    """The customer waits with music."""
    return await _for_agent(ask, c.HoldCall)


@routes.post("/agents/{id}/resume", permission=Permission.DESK, reply=Accepted, status=202)
async def resume(ask: Ask) -> Reply:
    """The customer comes back; whoever was being asked is let go."""
    return await _for_agent(ask, c.ResumeCall)


@routes.post("/agents/{id}/mute", permission=Permission.DESK, body=OnBody, reply=Accepted, status=202)
async def mute(ask: Ask) -> Reply:
    """The customer does not hear the agent, until switched off."""
    return await _for_agent(ask, c.MuteAgent, on=ask.body.on)


@routes.post("/agents/{id}/digits", permission=Permission.DESK, body=DigitsBody, reply=Accepted, status=202)
async def digits(ask: Ask) -> Reply:
    """Send DTMF to the customer's side."""
    return await _for_agent(ask, c.SendDtmf, digits=ask.body.digits)


@routes.post("/agents/{id}/consult", permission=Permission.DESK, body=WhoBody, reply=Accepted, status=202)
async def consult(ask: Ask) -> Reply:
    """Hold the customer and ask somebody; then complete, confer or resume."""
    return await _agent_to(ask, c.Consult)


@routes.post("/agents/{id}/transfer", permission=Permission.DESK, body=WhoBody, reply=Accepted, status=202)
async def transfer(ask: Ask) -> Reply:
    """Give the customer to somebody unasked; if nobody answers there, the customer comes back."""
    return await _agent_to(ask, c.TransferCall)


@routes.post("/agents/{id}/transfer/complete", permission=Permission.DESK, reply=Accepted, status=202)
async def complete(ask: Ask) -> Reply:
    """Give the customer to whom the agent is asking."""
    return await _for_agent(ask, c.CompleteTransfer)


@routes.post("/agents/{id}/conference", permission=Permission.DESK, reply=Accepted, status=202)
async def conference(ask: Ask) -> Reply:
    """Customer, agent and third party together."""
    return await _for_agent(ask, c.Conference)


@routes.post("/agents/{id}/conference/leave", permission=Permission.DESK, reply=Accepted, status=202)
async def leave_conference(ask: Ask) -> Reply:
    """The agent leaves the two others."""
    return await _for_agent(ask, c.LeaveConference)


@routes.post("/agents/{id}/record", permission=Permission.DESK, body=OnBody, reply=Accepted, status=202)
async def record(ask: Ask) -> Reply:
    """Start or stop recording this conversation (features RECD-01)."""
    return await _for_agent(ask, c.RecordCall, on=ask.body.on)


@routes.post("/agents/{id}/record/mute", permission=Permission.DESK, body=OnBody, reply=Accepted, status=202)
async def mute_recording(ask: Ask) -> Reply:
    """Silence in the recording while a card number is said (features RECD-02)."""
    return await _for_agent(ask, c.MuteRecordedCall, on=ask.body.on)


# ---- supervision -----------------------------------------------------------------------------------------------------


@routes.post("/agents/{id}/supervise", permission=Permission.STEER, body=SuperviseBody, reply=Accepted, status=202)
async def supervise(ask: Ask) -> Reply:
    """Listen to an agent's conversation, whisper to the agent, or barge in (features SUPV-01)."""
    agent = await talking_agent(ask, ask.id)
    body: SuperviseBody = ask.body
    if not body.extension:
        raise CommandError("field_missing", {"field": "extension"})
    command = c.Supervise(agent_id=agent.id, extension=body.extension, mode=body.mode, by=ask.who.name)
    return await submit(ask, command)


@routes.post("/agents/{id}/supervise/stop", permission=Permission.STEER, reply=Accepted, status=202)
async def stop_supervising(ask: Ask) -> Reply:
    """Hear this agent no longer."""
    agent = await talking_agent(ask, ask.id)
    return await submit(ask, c.StopSupervising(agent_id=agent.id, by=ask.who.name))


@routes.post("/agents/{id}/take-over", permission=Permission.STEER, body=TakeOverBody, reply=Accepted, status=202)
async def take_over(ask: Ask) -> Reply:
    """Get the customer from the agent."""
    agent = await talking_agent(ask, ask.id)
    return await submit(ask, c.TakeOver(agent_id=agent.id, extension=ask.body.extension, by=ask.who.name))


# ---- calls without an agent session: click-to-call -------------------------------------------------------------------


def _live(ask: Ask) -> CallView:
    view = live_call(ask, key_of(ask.request.match_info["key"]))
    if view is None:
        raise CommandError("call_gone")
    return view


async def _for_call(ask: Ask, kind: type[c.CallCommand]) -> Reply:
    return await submit(ask, kind(attempt_id=UUID(_live(ask).id), by=ask.who.name))


@routes.post("/calls/{key}/hold", permission=Permission.STEER, reply=Accepted, status=202)
async def hold_call(ask: Ask) -> Reply:
    """Hold the customer of a call in progress, click-to-call too."""
    return await _for_call(ask, c.HoldCall)


@routes.post("/calls/{key}/resume", permission=Permission.STEER, reply=Accepted, status=202)
async def resume_call(ask: Ask) -> Reply:
    """The customer comes back."""
    return await _for_call(ask, c.ResumeCall)


@routes.post("/calls/{key}/transfer", permission=Permission.STEER, body=WhoBody, reply=Accepted, status=202)
async def transfer_call(ask: Ask) -> Reply:
    """Give the customer of a call in progress to somebody else, click-to-call too."""
    view = _live(ask)
    return await _ring_third(ask, view.group_id, c.TransferCall, attempt_id=UUID(view.id))
