"""Calls that ring with nobody left for them: agents have signed out, paused, been forced out, or lost their phones.

In: a campaign, at each look that placing takes at it, paused or not: phones go on ringing. Out: hang-ups of the calls
that its pacing policy names (daemon.dialer.surplus), as far as they are still unanswered and nobody is kept for them.
A person who has answered meanwhile is no longer hung up on: that call runs its course.
"""

from __future__ import annotations

from uuid import UUID

from daemon.calls.states import CallState
from daemon.dialer import events as pacing
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, CampaignLive, Live
from daemon.engine.outlook import Outlook

_UNANSWERED = frozenset({CallState.INTENDED, CallState.DIALLING, CallState.RINGING})


class Unattended:
    """See the module's first lines."""

    def __init__(self, live: Live, desks: Desks, calls: CallFlow, outlook: Outlook) -> None:
        self._live, self._desks, self._calls, self._outlook = live, desks, calls, outlook

    def hang_up(self, campaign: CampaignLive) -> int:
        """Hang up what rings for nobody; how many calls that were."""
        live = self._live
        if campaign.reserves or not campaign.policy.may_have_surplus(live.now):
            return 0
        if not live.link.synced or not live.may_act():
            return 0
        snapshot = self._outlook.snapshot(campaign, self._there(campaign))
        count = 0
        for id in campaign.policy.surplus(snapshot, live.now):
            call = campaign.calls.get(UUID(hex=id))
            if call is None or not _rings_for_nobody(call):
                continue
            campaign.policy.observe(pacing.CallHungUp(id, live.now))
            live.counters["unattended"] += 1
            live.event(call, "unattended", rang_s=_rang_s(call, live.now))
            self._calls.hang_up(call, by="engine")
            count += 1
        return count

    def _there(self, campaign: CampaignLive) -> int:
        """Agents who can take a call now, and those kept for a call that rings."""
        ready = sum(1 for desk in self._desks.ready_of(campaign) if desk.stays)
        return ready + sum(1 for call in campaign.calls.values() if call.desk is not None and call.state in _UNANSWERED)


def _rings_for_nobody(call: Call) -> bool:
    return call.desk is None and call.outcome is None and call.answered_at is None and call.state in _UNANSWERED


def _rang_s(call: Call, now: float) -> float:
    return 0.0 if call.ringing_at is None else round(now - call.ringing_at, 1)
