"""What a command names, found in the live state, or the CommandError that says why it can't be used; and the audit fact
that says who asked.
"""

from __future__ import annotations

from daemon.agents.states import AgentState
from daemon.calls.events import DeviceState
from daemon.calls.facts import AuditFact
from daemon.engine.live import CampaignLive, Desk, Live
from daemon.errors import CommandError

IN_USE = frozenset({DeviceState.RINGING, DeviceState.IN_USE})
UNRINGABLE = frozenset({DeviceState.UNAVAILABLE})
"""A phone in this state can't be rung; UNKNOWN may only mean that these rights don't tell."""


def campaign_of(live: Live, id: int) -> CampaignLive:
    """Raises CommandError `campaign_unknown`."""
    campaign = live.campaigns.get(id)
    if campaign is None:
        raise CommandError("campaign_unknown", {"campaign_id": id})
    return campaign


def desk_of(live: Live, id: int) -> Desk:
    """Raises CommandError `agent_unknown`."""
    desk = live.desks.get(id)
    if desk is None:
        raise CommandError("agent_unknown", {"agent_id": id})
    return desk


def signed_in(live: Live, id: int) -> Desk:
    """Raises CommandError `agent_unknown`, `agent_signed_out`."""
    desk = desk_of(live, id)
    if desk.state is AgentState.SIGNED_OUT:
        raise CommandError("agent_signed_out", {"agent_id": id})
    return desk


def need_ringable(live: Live, extension: str) -> None:
    """Raises CommandError `extension_unregistered`."""
    if live.phones.get(extension) in UNRINGABLE:
        raise CommandError("extension_unregistered", {"extension": extension})


def need_free_phone(live: Live, extension: str) -> None:
    """One call a phone: this engine alone serves the site, so what it rings and what the PBX says decide. After a
    restart or a takeover the PBX's word stands for calls that an earlier daemon began."""
    need_ringable(live, extension)
    rung = any(desk.record.extension == extension for desk in live.passing)
    if rung or live.phones.get(extension) in IN_USE:
        raise CommandError("extension_busy", {"extension": extension})


def audit(live: Live, by: str, what: str, target: object, **detail: str | int | float | bool | None) -> None:
    """Who did it, to what."""
    live.fact(AuditFact(at=live.utc, site=live.site.id, by=by, what=what, target=str(target), detail=detail))
