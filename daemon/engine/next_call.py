"""One call: the next lead that the law lets us call at this instant, a line, a caller ID, and the agent it is kept for.

Used by placing (daemon.engine.placing) and by commands that place a call for one agent.
"""

from __future__ import annotations

from datetime import timedelta

from daemon.agents.states import AgentState
from daemon.calls.facts import RefusalFact
from daemon.calls.lead_records import Lead
from daemon.calls.records import CampaignMode
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.hopper import Hopper
from daemon.engine.live import Call, CampaignLive, Desk, Live
from daemon.engine.refusals import refused_lead

CALLBACK_GRACE_S = 300.0
"""A due callback waits so long for its own agent, then anybody takes it (CALB-01)."""

CALLBACK_RETRY_S = 30.0
"""A callback whose own agent is busy is looked at again after so long."""


class NextCall:
    """See the module's first lines. One a site."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks, hopper: Hopper) -> None:
        self._live, self._calls, self._desks, self._hopper = live, calls, desks, hopper

    def place(self, campaign: CampaignLive, desk: Desk | None) -> bool:
        """Start a call to the next lead, kept for `desk` unless None; whether there was one, a line and a caller ID."""
        lead = self.next_lead(campaign, desk)
        if lead is None:
            return False
        return self.start(campaign, desk, lead, "callback" if lead.callback_at else "campaign") is not None

    def next_lead(self, campaign: CampaignLive, desk: Desk | None) -> Lead | None:
        """The next lead that the law lets us call at this instant; refused ones leave with their rule."""
        aside: list[Lead] = []
        try:
            for _ in range(len(campaign.hopper)):
                lead = campaign.hopper.popleft()
                if desk is None and lead.abandoned_at is not None:
                    aside.append(lead)  # see Placing._recall
                elif self.for_another(campaign, desk, lead):
                    self.to_owner(campaign, lead)
                elif self.lawful(campaign, lead):
                    return lead
        finally:
            campaign.hopper.extendleft(reversed(aside))
        campaign.limit = "leads"
        return None

    def start(self, campaign: CampaignLive, desk: Desk | None, lead: Lead, kind: str) -> Call | None:
        """Place a call to a given lead; None (lead back in the hopper) if no line or caller ID is free."""
        live, record = self._live, campaign.record
        id = live.new_id()
        # Each counts as used by being taken, so neither is taken where the other is lacking.
        free = live.pool.free(record.line_ids, live.now)
        caller_id = live.caller_ids.choose(record, lead.e164, live.utc.date(), live.now) if free else ""
        if not free or caller_id is None:
            campaign.limit = "caller_ids" if free else "lines"
            campaign.hopper.appendleft(lead)
            return None
        line = live.pool.take(record.line_ids, record.strategy, id, live.now)
        assert line is not None
        campaign.tokens -= 1.0
        live.touch("lines", line.record.id)
        return self._calls.open(
            kind=kind,
            e164=lead.e164,
            group_id=record.group_id,
            client_id=record.client_id,
            campaign=campaign,
            lead=lead,
            line_id=line.record.id,
            trunk=line.record.endpoint,
            caller_id=caller_id,
            desk=desk,
            rule_set=record.rule_set,
            attempt_id=id,
        )

    def lawful(self, campaign: CampaignLive, lead: Lead) -> bool:
        """Whether the law lets this lead be called at this instant; if not, the refusal is a fact."""
        live = self._live
        refused = refused_lead(live, lead, campaign.record)
        if refused is None:
            return True
        live.counters["refused"] += 1
        live.fact(
            RefusalFact(
                at=live.utc,
                site=live.site.id,
                lead_id=lead.id,
                campaign_id=campaign.id,
                client_id=lead.client_id,
                rule=refused.rule,
                clause=refused.clause,
                rule_set=campaign.record.rule_set,
                until=refused.until,
            )
        )
        return False

    def for_another(self, campaign: CampaignLive, desk: Desk | None, lead: Lead) -> bool:
        """A callback whose agent is another one, and not overdue."""
        mine = desk is not None and lead.callback_agent_id == desk.id
        return bool(lead.callback_agent_id) and not mine and not self._overdue(lead)

    def _overdue(self, lead: Lead) -> bool:
        return lead.callback_at is None or self._live.utc >= lead.callback_at + timedelta(seconds=CALLBACK_GRACE_S)

    def to_owner(self, campaign: CampaignLive, lead: Lead) -> None:
        """A callback goes to its own agent if ready, whoever has waited for longer (CALB-01); else it is looked at
        again soon, and its agent is not counted on meanwhile."""
        desk = self._live.desks.get(lead.callback_agent_id)
        if desk is not None and desk.can_take and campaign.id in desk.campaign_ids:
            if campaign.record.mode is CampaignMode.PREVIEW:
                self.show(campaign, desk, lead)
                return
            if self.start(campaign, desk, lead, "callback") is not None:
                return
            campaign.hopper.popleft()  # put back for want of a line or a caller ID
        elif desk is not None and desk.signed_in:
            campaign.promised[desk.id] = self._live.now + CALLBACK_RETRY_S + 5.0
        self._hopper.release(campaign.id, lead, delay_s=CALLBACK_RETRY_S)

    # ---- previews ----------------------------------------------------------------------------------------------

    def show(self, campaign: CampaignLive, desk: Desk, lead: Lead) -> None:
        """Reserve the lead to this desk for the campaign's preview time."""
        live = self._live
        self.end_preview(desk, give_back=True)  # who asks for the next one has not taken this one
        desk.preview, desk.preview_campaign_id = lead, campaign.id
        desk.preview_until_utc = live.utc + timedelta(seconds=campaign.record.preview_timeout_s)
        desk.extended = False
        self._desks.set_state(desk, AgentState.RESERVED, "preview")
        live.timers.set(("preview", desk.id), live.now + campaign.record.preview_timeout_s)

    def end_preview(self, desk: Desk, *, give_back: bool) -> Lead | None:
        """The preview is over; the lead goes back unless it is about to be dialled."""
        live = self._live
        live.timers.clear(("preview", desk.id))
        lead, desk.preview, desk.preview_until_utc = desk.preview, None, None
        if lead is not None and give_back:
            self._hopper.release(desk.preview_campaign_id, lead, delay_s=60.0)
        return lead
