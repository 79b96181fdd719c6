"""What a desk is in, state and leg, and how it gets there; everybody who must know is told in the same instant.

State changes are facts; each closes the interval before at the same instant, so a day's intervals add up to the time
signed in (PAUS-03). When which state follows is daemon.engine.desk_work's and daemon.engine.desks'.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.agents.states import HANDLING, TALKING, AgentState, LegState
from daemon.calls.actions import Hangup, OriginateAgent
from daemon.calls.facts import AgentStateSet
from daemon.calls.ids import agent_leg
from daemon.dialer import events as pacing
from daemon.engine.live import CampaignLive, Desk, Live

_BUSY = frozenset({AgentState.RESERVED, AgentState.ON_CALL, AgentState.ON_HOLD})
"""Somebody who takes a call makes no room for another: a campaign that predicts need not look because of it."""


class DeskStates:
    """See the module's first lines."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def set_state(self, desk: Desk, state: AgentState, code: str = "", by: str = "engine") -> None:
        """Enter a state: the interval before ends now, as a fact; pacing is told."""
        live = self._live
        if desk.passing or (state is desk.state and code == desk.code):
            return
        spent = live.now - desk.since_at
        before = desk.state
        today_ms = int(1000 * (live.now - max(desk.since_at, desk.today_from_at)))
        if before is AgentState.READY:
            desk.today["ready_s"] += today_ms
        elif before in HANDLING:
            desk.today["handling_s"] += today_ms
            if before in TALKING:
                desk.today["talk_s"] += today_ms
        for campaign in self.campaigns_of(desk):
            if before is not AgentState.SIGNED_OUT:
                campaign.agents[before] -= 1
            if state is not AgentState.SIGNED_OUT:
                campaign.agents[state] += 1
            today_s = live.now - max(desk.since_at, campaign.today_from_at)
            if before is AgentState.READY:
                campaign.ready_s += today_s
                if desk.call is not None and desk.call.campaign is campaign:
                    campaign.waits.append(spent)
            elif before in HANDLING and desk.last_campaign is campaign:
                campaign.handling_s += today_s
            if state not in _BUSY or live.takes_turns(campaign):
                campaign.dirty = True
            live.touch("campaigns", campaign.id)
            self._tell(campaign, desk, state)
        desk.state, desk.code = state, code
        desk.since_at, desk.since_utc = live.now, live.utc
        if state is AgentState.READY:
            live.ready[desk.id] = desk
        elif before is AgentState.READY:
            live.ready.pop(desk.id, None)
        self.watch_pause(desk)
        call = desk.call or (desk.last_call if state is AgentState.WRAP_UP else None)
        live.fact(
            AgentStateSet(
                at=live.utc,
                site=live.site.id,
                agent_id=desk.id,
                state=state,
                code=code,
                campaign_id=call.campaign_id if call else 0,
                attempt_id=call.attempt_id if call else None,
                leg=desk.leg,
                campaign_ids=desk.campaign_ids,
                by=by,
            )
        )
        live.touch("agents", desk.id)

    def watch_pause(self, desk: Desk) -> None:
        """A pause that outlasts its code's time is flagged when it does, not when something else happens (PAUS-02)."""
        code = self._live.pause_code(desk)
        if code is not None:
            # A hair later, since the clock of the timers and that of the rows are not one.
            self._live.timers.set(("overrun", desk.id), desk.since_at + code.expected_s + 0.1)

    def _tell(self, campaign: CampaignLive, desk: Desk, state: AgentState) -> None:
        id, now = str(desk.id), self._live.now
        if state is AgentState.READY:
            campaign.policy.observe(pacing.AgentReady(id, now))
        elif state in (AgentState.ON_CALL, AgentState.ON_HOLD):
            campaign.policy.observe(pacing.AgentTalking(id, now))
        elif state is AgentState.WRAP_UP:
            campaign.policy.observe(pacing.AgentWrapUp(id, now))
        elif state is not AgentState.RESERVED:
            campaign.policy.observe(pacing.AgentLeft(id, now))

    def _tell_intent(self, desk: Desk) -> None:
        """Pacing must not count on a busy agent who goes when done."""
        leaves = desk.next_state in (AgentState.PAUSED, AgentState.SIGNED_OUT)
        for campaign in self.campaigns_of(desk):
            campaign.policy.observe(pacing.AgentLeaving(str(desk.id), self._live.now, leaves))

    def campaigns_of(self, desk: Desk) -> Iterator[CampaignLive]:
        """The live campaigns this desk works for."""
        for id in desk.campaign_ids:
            campaign = self._live.campaigns.get(id)
            if campaign is not None:
                yield campaign

    def ready_of(self, campaign: CampaignLive) -> Iterator[Desk]:
        """Desks that could take a call of this campaign now."""
        for desk in list(self._live.ready.values()):
            if desk.can_take and campaign.id in desk.campaign_ids:
                yield desk

    def nails(self, desk: Desk) -> bool:
        """Whether this desk's phone stays connected: it wants to, and the control mode can."""
        desk.stays = desk.nailed and "nailed_agents" in self._live.link.capabilities
        return desk.stays

    # ---- the desk's own leg ------------------------------------------------------------------------------------

    def ring(self, desk: Desk) -> None:
        """Ring the agent's phone."""
        live = self._live
        if desk.leg_state is not LegState.NONE:
            return
        self._leg(desk, agent_leg(live.site.id, desk.id, live.utc, live.rng))
        desk.leg_state = LegState.RINGING
        call = desk.call
        live.act(
            OriginateAgent(
                leg=desk.leg,
                agent_id=desk.id,
                extension=desk.record.extension,
                ring_timeout_s=live.dialer.agent_ring_s,
                caller_id=(call.e164 if call.name else call.caller_id) if call else "",
                caller_name=call.name or call.campaign.record.name if call and call.campaign else "Cadran",
            )
        )
        live.timers.set(("agentring", desk.leg), live.now + live.dialer.agent_ring_s + live.dialer.verdict_grace_s)
        live.touch("agents", desk.id)

    def _leg(self, desk: Desk, leg: str) -> None:
        if desk.leg:
            self._live.legs.pop(desk.leg, None)
        desk.leg = leg
        if leg:
            self._live.legs[leg] = desk

    def adopt_leg(self, desk: Desk, leg: str, state: LegState) -> None:
        """Take over a leg found on the PBX."""
        self._leg(desk, leg)
        desk.leg_state = state
        self._live.touch("agents", desk.id)

    def hang_up(self, desk: Desk) -> None:
        """End the desk's leg; nothing is offered to it until its end is seen."""
        live = self._live
        if desk.leg_state in (LegState.NONE, LegState.CLOSING):
            return
        desk.leg_state = LegState.CLOSING
        live.timers.clear(("agentring", desk.leg))
        live.act(Hangup(leg=desk.leg))
        live.timers.set(("agentgone", desk.leg), live.now + live.dialer.verdict_grace_s)
