"""Why a campaign does not dial: six causes in a fixed order; `why_words` says the first that binds in one sentence."""

from __future__ import annotations

from datetime import datetime, timedelta

from daemon.agents.states import AgentState
from daemon.calls.records import CampaignMode, CampaignState
from daemon.compliance.zones import zone
from daemon.engine.live import CampaignLive, Live
from daemon.engine.views import CauseView

_LINK_CODES = frozenset(
    {
        "link",
        "resync",
        "pbx_stopping",
        "right_missing",
        "read_missing",
        "store",
        "journal_full",
        "lease",
        "database_older",
        "draining",
    }
)


Figures = dict[str, float | int | str | None]


def causes(campaign: CampaignLive, live: Live) -> tuple[CauseView, ...]:
    """Links, campaign, agents, leads, lines, pacing; each with its code and figures."""
    return (
        _links(campaign, live),
        _campaign(campaign, live),
        _agents(campaign),
        _leads(campaign, live),
        _lines(campaign, live),
        _pacing(campaign),
    )


def _links(campaign: CampaignLive, live: Live) -> CauseView:
    code = ""
    if not live.link.up:
        code = "link"
    elif not live.link.synced:
        code = "resync"
    elif live.link.right_missing:
        code = live.link.right_missing
    elif not live.store_ok:
        code = "store"
    elif not live.may_act():
        code = "lease"
    elif live.database_older:
        code = "database_older"
    elif campaign.limit in _LINK_CODES:
        code = campaign.limit
    figures: Figures = {"site": live.site.name or live.site.id}
    if code == "read_missing":
        figures["class"] = live.link.unheard
    return CauseView(name="links", ok=not code, code=code, figures=figures)


def _campaign(campaign: CampaignLive, live: Live) -> CauseView:
    if campaign.suspended:
        return CauseView(name="campaign", ok=False, code="suspended", figures={"reason": campaign.suspended})
    if campaign.state is not CampaignState.RUNNING:
        return CauseView(name="campaign", ok=False, code=str(campaign.state))
    if campaign.record.mode in (CampaignMode.MANUAL, CampaignMode.INBOUND):
        return CauseView(name="campaign", ok=False, code=str(campaign.record.mode))
    if campaign.limit == "hours":
        figures: Figures = {"rule_set": campaign.record.rule_set, "due": campaign.lead_counts.get("due", 0)}
        figures |= until(campaign, live, campaign.opens_utc)
        return CauseView(name="campaign", ok=False, code="hours", figures=figures)
    return CauseView(name="campaign", ok=True, code="running")


def _agents(campaign: CampaignLive) -> CauseView:
    figures: Figures = {str(state): campaign.agents[state] for state in AgentState if campaign.agents[state] > 0}
    if sum(campaign.agents[s] for s in AgentState) <= 0:
        return CauseView(name="agents", ok=False, code="none", figures=figures)
    if campaign.limit in ("agents", "inbound_waiting"):
        code = "none_ready" if campaign.limit == "agents" else campaign.limit
        return CauseView(name="agents", ok=False, code=code, figures=figures)
    return CauseView(name="agents", ok=True, code="ready", figures=figures)


def _leads(campaign: CampaignLive, live: Live) -> CauseView:
    counts = campaign.lead_counts
    figures: Figures = dict(counts)
    figures["total"] = sum(counts.values())
    code = ""
    if campaign.limit == "leads" and not campaign.hopper:
        if counts and not figures["total"]:
            code = "empty"
        elif counts.get("due", 0) == 0:
            code = "none_due"
            figures |= until(campaign, live, campaign.next_due_utc)
        elif campaign.claim_empty and campaign.opens_utc is not None:
            code = "zones_closed"
            figures |= until(campaign, live, campaign.opens_utc)
    return CauseView(name="leads", ok=not code, code=code or "due", figures=figures)


def until(campaign: CampaignLive, live: Live, at: datetime | None) -> Figures:
    """An instant as the sentence tells it, on the campaign's clock: the time, and the day unless it is today."""
    if at is None:
        return {}
    where = zone(campaign.record.zone)
    local = at.astimezone(where)
    day = "" if local.date() == live.utc.astimezone(where).date() else f"{local:%d/%m}"
    return {"until_at": at.isoformat(), "until": f"{local:%H:%M}", "until_day": day}


def _lines(campaign: CampaignLive, live: Live) -> CauseView:
    record = campaign.record
    known = [live.pool.lines[id] for id in record.line_ids if id in live.pool.lines]
    figures: Figures = {
        "free": sum(line.free(live.now) for line in known),
        "in_use": sum(line.in_use for line in known),
        "capacity": sum(line.record.capacity for line in known),
        "resting": sum(1 for line in known if line.state(live.now) == "resting"),
    }
    if not known:
        return CauseView(name="lines", ok=False, code="none", figures=figures)
    if campaign.limit in ("lines", "caller_ids"):
        back = min((rest for line in known if (rest := line.rests_until_at - live.now) > 0), default=None)
        if back is not None and campaign.limit == "lines":
            figures |= until(campaign, live, live.utc + timedelta(seconds=back))
        return CauseView(name="lines", ok=False, code=campaign.limit, figures=figures)
    return CauseView(name="lines", ok=True, code="free", figures=figures)


def _pacing(campaign: CampaignLive) -> CauseView:
    binding = campaign.limit in ("cps", "risk", "abandonment_room", "cautious_start")
    return CauseView(name="pacing", ok=not binding, code=campaign.limit or "one_to_one")
