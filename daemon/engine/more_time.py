"""More time for an agent, once a wrap-up or preview, if the campaign allows it (WCAG 2.2.1).

Whoever reads or types slowly would else lose the form, or the person shown, to the clock.
"""

from __future__ import annotations

from datetime import timedelta

from daemon.agents.states import AgentState
from daemon.engine.live import Desk, Live


def more_time_s(desk: Desk, live: Live) -> float:
    """Seconds the desk may still ask for; 0 where nothing runs out, none are allowed, or they were given already."""
    if desk.extended:
        return 0.0
    if desk.state is AgentState.WRAP_UP and desk.wrap_until_utc is not None and desk.last_campaign is not None:
        return desk.last_campaign.record.extend_s
    campaign = live.campaigns.get(desk.preview_campaign_id) if desk.preview is not None else None
    return campaign.record.extend_s if campaign is not None and desk.preview_until_utc is not None else 0.0


def give_more_time(desk: Desk, live: Live) -> bool:
    """Move the end of the wrap-up or preview; False if none may be moved."""
    more = timedelta(seconds=more_time_s(desk, live))
    if not more:
        return False
    if desk.state is AgentState.WRAP_UP and desk.wrap_until_utc is not None:
        until = desk.wrap_until_utc = desk.wrap_until_utc + more
        timer = "wrap"
    else:
        assert desk.preview_until_utc is not None
        until = desk.preview_until_utc = desk.preview_until_utc + more
        timer = "preview"
    live.timers.set((timer, desk.id), live.now + (until - live.utc).total_seconds())
    desk.extended = True
    live.touch("agents", desk.id)
    return True
