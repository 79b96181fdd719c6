"""From live state to views: only what was touched since the last publication, each view replaced whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemon.agents.states import AgentState
from daemon.calls.events import DeviceState
from daemon.calls.records import CampaignState
from daemon.calls.states import STAGES, CallState
from daemon.dialer.explain import sentence
from daemon.dialer.ledger import Window, hour_key
from daemon.engine.live import Call, CampaignLive, Desk, Live
from daemon.engine.more_time import more_time_s
from daemon.engine.views import TABLES, AgentView, AnyView, CallView, CampaignView, LineView, LinkView, WindowView
from daemon.engine.why import causes
from daemon.engine.why_words import in_words
from daemon.pool.lines import LineState

CAMPAIGN_VIEW_S = 0.1
"""Half of what the stream waits between two frames."""

UNSEEN_MAX = 1000
"""Touched rows of a table that nobody follows; past it their views are made, lest ids of calls long over pile up."""


class Publisher:
    """Keeps the current views; `take` returns what changed. Views that nobody follows are made when asked for."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.views: dict[str, dict[str, AnyView]] = {
            name: {} for name in ("links", "campaigns", "agents", "calls", "lines", "system")
        }
        self._made_at: dict[int, float] = {}
        self.due_at = float("inf")
        """When a campaign's view that was put off is due."""

    def take(self, followed: Collection[str] = TABLES) -> Mapping[str, Mapping[str, AnyView | None]]:
        """The views of everything touched since the last call, in the tables somebody follows; None for what is gone.
        The other tables' views are made by `refresh`."""
        self.due_at = float("inf")
        touched = self._live.changed
        if not touched:
            return {}
        changed = {table: touched.pop(table) for table in list(touched) if table in followed} if followed else {}
        if touched and max(map(len, touched.values())) > UNSEEN_MAX:
            for table, ids in touched.items():
                if len(ids) > UNSEEN_MAX:
                    self._make({table: ids})
                    touched[table] = {}
        if "campaigns" in changed:
            self._defer(changed["campaigns"])
        return self._make(changed) if changed else {}

    def refresh(self, followed: Collection[str]) -> None:
        """Make the views that nobody follows, for somebody who asks."""
        touched, self._live.changed = self._live.changed, {}
        for table in [table for table in touched if table in followed]:
            self._live.changed[table] = touched.pop(table)
        if touched:
            self._make(touched)

    def _make(self, changed: Mapping[str, Mapping[Any, None]]) -> dict[str, dict[str, AnyView | None]]:
        result: dict[str, dict[str, AnyView | None]] = {}
        for table, ids in changed.items():
            make: Callable[[Any], AnyView | None] = getattr(self, "_" + table)
            views = self.views[table]
            for key in ids:
                id, view = str(key), make(key)
                if view is None:
                    if views.pop(id, None) is None:
                        continue
                elif views.get(id) == view:
                    continue
                else:
                    views[id] = view
                result.setdefault(table, {})[id] = view
        return result

    def _defer(self, changed: dict[Any, None]) -> None:
        """Figures of a campaign move with every event: their view is made ten times a second at most. What somebody
        set shows at once."""
        live = self._live
        for id in list(changed):
            campaign, shown = live.campaigns.get(id), self.views["campaigns"].get(str(id))
            if campaign is None or not isinstance(shown, CampaignView):
                continue
            record = campaign.record
            same = (shown.state, shown.mode, shown.level, shown.speed, shown.version) == (
                campaign.state, record.mode, record.level, record.speed, record.version,
            )  # fmt: skip
            due_at = self._made_at.get(id, float("-inf")) + CAMPAIGN_VIEW_S
            if same and live.now < due_at:
                del changed[id]
                live.touch("campaigns", id)
                self.due_at = min(self.due_at, due_at)
            else:
                self._made_at[id] = live.now

    def _links(self, id: str) -> LinkView:
        link, site = self._live.link, self._live.site
        return LinkView(
            site=site.id,
            up=link.up,
            since=link.since_utc,
            driver=site.driver,
            mode=link.mode,
            version=link.version,
            code=link.code,
            message=link.message,
            capabilities=tuple(sorted(link.capabilities)),
            missing=link.missing,
            synced=link.synced,
            next_try_at=link.next_try_utc,
        )

    def _calls(self, id: UUID) -> CallView | None:
        call = self._live.calls.get(id)
        return None if call is None else call_view(call, self._live.site.id)

    def _agents(self, id: int) -> AgentView | None:
        desk = self._live.desks.get(id)
        return None if desk is None else agent_view(desk, self._live)

    def _lines(self, id: int) -> LineView | None:
        line = self._live.pool.lines.get(id)
        return None if line is None else line_view(line, self._live)

    def _campaigns(self, id: int) -> CampaignView | None:
        campaign = self._live.campaigns.get(id)
        return None if campaign is None else campaign_view(campaign, self._live)


def call_view(call: Call, site: str) -> CallView:
    """A call in progress as its readers see it."""
    return CallView(
        id=str(call.attempt_id),
        number=call.number,
        kind=call.kind,
        group_id=call.group_id,
        campaign_id=call.campaign_id,
        lead_id=call.lead_id,
        agent_id=call.desk.id if call.desk else 0,
        line_id=call.line_id,
        site=site,
        stage=STAGES.get(call.state, "ended"),
        since=call.since_utc,
        started=call.opened_utc,
        queued=call.queued,
    )


def agent_view(desk: Desk, live: Live) -> AgentView:
    """An agent as supervisors and the desk page see it."""
    call = desk.call
    code = live.pause_code(desk)
    return AgentView(
        id=desk.id,
        group_id=desk.record.group_id,
        site=live.site.id,
        name=desk.record.name,
        login=desk.record.login,
        extension=desk.record.extension,
        nailed=desk.record.nailed,
        state=desk.state,
        code=desk.code,
        since=desk.since_utc,
        campaign_ids=desk.campaign_ids,
        campaign_id=call.campaign_id if call else (desk.preview_campaign_id if desk.preview else 0),
        attempt_id=str(call.attempt_id) if call else "",
        lead_id=call.lead_id if call else (desk.preview.id if desk.preview else 0),
        phone=live.phones.get(desk.record.extension, DeviceState.UNKNOWN),
        next_state=desk.next_state or "",
        over_run=bool(code and (live.utc - desk.since_utc).total_seconds() > code.expected_s),
        wrap_until=desk.wrap_until_utc if desk.state is AgentState.WRAP_UP else None,
        preview_until=desk.preview_until_utc,
        extend_s=more_time_s(desk, live),
        last_attempt_id=str(desk.last_call.attempt_id) if desk.last_call and not desk.disposed else "",
        muted=desk.muted,
        recording="" if call is None or not call.tape else "on" if call.tape_muted_at is None else "muted",
        third=_third(call, live),
        listeners=tuple(
            f"{side.by} {side.mode}" for side in live.sides.values() if side.purpose == "spy" and side.desk is desk
        )
        if live.sides
        else (),
        silent_listening=live.site.silent_listening,
        today={
            "calls": desk.today["calls"],
            "sales": desk.today["sales"],
            "talk_s": desk.today["talk_s"] / 1000,
            "ready_s": desk.today["ready_s"] / 1000,
            "handling_s": desk.today["handling_s"] / 1000,
        },
    )


def _third(call: Call | None, live: Live) -> str:
    """What the third party of a call does; empty without one."""
    if call is None or not live.sides:
        return ""
    return next((str(s.state) for s in live.sides.values() if s.call is call and s.purpose != "spy"), "")


def line_view(line: LineState, live: Live) -> LineView:
    """A line with its counters."""
    record = line.record
    resting = line.rests_until_at - live.now
    used: datetime | None = None
    if line.last_used_at > float("-inf"):
        used = live.utc - timedelta(seconds=live.now - line.last_used_at)
    return LineView(
        id=record.id,
        group_id=record.group_id,
        site=record.site,
        name=record.name,
        kind=record.kind,
        state=line.state(live.now),
        capacity=record.capacity,
        in_use=line.in_use,
        priority=record.priority,
        calls=line.calls,
        succeeded=line.succeeded,
        last_used=used,
        resting_until=live.utc + timedelta(seconds=resting) if resting > 0 else None,
        reason=line.reason if resting > 0 else "",
        quality={
            name: None if value is None else round(value, 4)
            for name, value in live.quality[record.id].figures().items()
        }
        if record.id in live.quality
        else {},
    )


def campaign_view(campaign: CampaignLive, live: Live) -> CampaignView:
    """A campaign with its figures and the one answer to "why is it not dialling?"."""
    record = campaign.record
    found = causes(campaign, live)
    binding = next((cause for cause in found if not cause.ok), None)
    decision = campaign.decision if campaign.state is CampaignState.RUNNING else None
    pacing: dict[str, float | int | str | None] = {"limit": campaign.limit}
    if decision is not None:
        figures = decision.figures
        pacing |= {
            "count": decision.count,
            "ready": figures.ready,
            "expected_free": round(figures.expected_free, 2),
            "answer_rate": round(figures.answer_rate, 4),
            "risk": round(figures.risk, 4),
            "threshold": round(figures.threshold, 4),
            "abandoned": figures.abandoned,
            "allowed": figures.allowed,
            "sentence": sentence(decision, "en"),
            "sentence_fr": sentence(decision, "fr"),
        }
    if record.amd:
        pacing["false_positives"] = round(campaign.false_positives, 1)
    busy = campaign.ready_s + campaign.handling_s
    paced = "sentence" in pacing and (binding is None or binding.name == "pacing")
    return CampaignView(
        id=record.id,
        group_id=record.group_id,
        name=record.name,
        site=record.site,
        state=campaign.state,
        mode=record.mode,
        level=record.level,
        speed=record.speed,
        rule_set=record.rule_set,
        version=record.version,
        since=campaign.since_utc,
        stages={
            name: campaign.stages[name]
            for name in ("agent_ringing", "dialling", "ringing", "answered", "waiting", "talking", "message")
            if campaign.stages[name]
        },
        agents={state: count for state in AgentState if (count := campaign.agents[state]) > 0},
        outcomes=dict(campaign.outcomes),
        answer_rate=min(1.0, campaign.answered / campaign.placed) if campaign.placed else None,
        occupancy=campaign.handling_s / busy if busy > 0 else None,
        wait_s=sum(campaign.waits) / len(campaign.waits) if campaign.waits else None,
        windows=tuple(_window(campaign, window, live) for window in campaign.ledger.windows),
        causes=found,
        binding=binding.name if binding else "",
        why=str(pacing["sentence"]) if paced else in_words(binding, "en") if binding else "",
        why_fr=str(pacing["sentence_fr"]) if paced else in_words(binding, "fr") if binding else "",
        pacing=pacing,
        leads=dict(campaign.lead_counts),
        suspended=campaign.suspended,
        callers=_callers(campaign, live),
    )


def _callers(campaign: CampaignLive, live: Live) -> dict[str, float]:
    """Calls coming in, counted apart from our own (CAMP-12)."""
    if not campaign.record.inbound.dids:
        return {}
    waits = [c.need_at for c in campaign.calls.values() if c.kind == "inbound" and c.state is CallState.WAITING]
    longest = max((live.now - at for at in waits if at is not None), default=0.0)
    return {**campaign.callers, "waiting": len(waits), "longest_s": round(longest, 1)}


def _window(campaign: CampaignLive, window: Window, live: Live) -> WindowView:
    connected, abandoned = campaign.ledger.totals(window, hour_key(live.utc, campaign.record.zone))
    total = connected + abandoned
    room = int(window.ceiling * total + window.tolerance) - abandoned
    return WindowView(name=window.name, abandoned=abandoned, live=total, room=room, ceiling=window.ceiling)
