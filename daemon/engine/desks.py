"""Agents at work: their states and intervals, their own legs, wrap-up, and what follows a call.

A desk's leg is nailed (stays parked between calls) or rung for each call. State changes are facts; each closes the
interval before at the same instant, so a day's intervals add up to the time signed in (PAUS-03).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from daemon.agents.states import BUSY, HANDLING, AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.actions import Hangup, OriginateAgent
from daemon.calls.causes import Outcome
from daemon.calls.facts import AgentStateSet
from daemon.calls.ids import agent_leg
from daemon.calls.records import CampaignState, Status
from daemon.calls.states import CallState
from daemon.dialer import events as pacing
from daemon.engine.live import Call, CampaignLive, Desk, Live

CONNECTS_FAILED_MAX = 2
"""A desk whose connects fail so often in a row is not what we take it for (an event of its leg was lost)."""

RERING_S = (1.0, 5.0, 15.0, 30.0)
"""Waits before a nailed-up phone that was lost is rung again; the last one repeats."""


class Desks:
    """See the module's first lines. `on_idle` is called with each desk that can take a call now."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.on_idle: Callable[[Desk], None] = lambda desk: None
        self.on_leg_lost: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_leg_up: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_connect_failed: Callable[[Call], None] = lambda call: None
        self.on_bridged: Callable[[Call, Desk], None] = lambda call, desk: None
        self.on_unbridged: Callable[[Call], None] = lambda call: None
        self.default_disposition: Callable[[Desk], None] = lambda desk: None
        self.on_held_free: Callable[[Desk, Call], None] = lambda desk, call: None
        self.on_held_lost: Callable[[Desk, Call], None] = lambda desk, call: None

    # ---- states ------------------------------------------------------------------------------------------------

    def set_state(self, desk: Desk, state: AgentState, code: str = "", by: str = "engine") -> None:
        """Enter a state: the interval before ends now, as a fact; pacing is told."""
        live = self._live
        if desk.passing or (state is desk.state and code == desk.code):
            return
        spent = live.now - desk.since_at
        before = desk.state
        if before is AgentState.READY:
            desk.today["ready_s"] += int(spent * 1000)
        elif before in HANDLING:
            desk.today["handling_s"] += int(spent * 1000)
        for campaign in self.campaigns_of(desk):
            if before is not AgentState.SIGNED_OUT:
                campaign.agents[before] -= 1
            if state is not AgentState.SIGNED_OUT:
                campaign.agents[state] += 1
            if before is AgentState.READY:
                campaign.ready_s += spent
                if desk.call is not None and desk.call.campaign is campaign:
                    campaign.waits.append(spent)
            elif before in HANDLING and desk.last_campaign is campaign:
                campaign.handling_s += spent
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

    # ---- signing in and out ------------------------------------------------------------------------------------

    def sign_in(self, desk: Desk, campaign_ids: tuple[int, ...], ready: bool, by: str) -> None:
        """Start work: a nailed-up phone rings first; on demand, the state holds at once."""
        wanted = AgentState.READY if ready else AgentState.PAUSED
        if desk.state is not AgentState.SIGNED_OUT:
            self._change_campaigns(desk, campaign_ids)
            return
        desk.campaign_ids = campaign_ids
        desk.next_state, desk.next_code, desk.back_to = None, "", None
        desk.leg_failures = 0
        if self.nails(desk):
            desk.next_state = wanted
            self.ring(desk)
            self.set_state(desk, AgentState.RINGING, by=by)
        else:
            self.set_state(desk, wanted, by=by)
            self._idle(desk)

    def _change_campaigns(self, desk: Desk, campaign_ids: tuple[int, ...]) -> None:
        live = self._live
        for campaign in self.campaigns_of(desk):
            campaign.agents[desk.state] -= 1
            if campaign.id not in campaign_ids:
                campaign.policy.observe(pacing.AgentLeft(str(desk.id), live.now))
        desk.campaign_ids = campaign_ids
        for campaign in self.campaigns_of(desk):
            campaign.agents[desk.state] += 1
            campaign.dirty = True
            self._tell(campaign, desk, desk.state)
            live.touch("campaigns", campaign.id)
        live.touch("agents", desk.id)
        self._idle(desk)

    def nails(self, desk: Desk) -> bool:
        """Whether this desk's phone stays connected: it wants to, and the control mode can."""
        desk.stays = desk.nailed and "nailed_agents" in self._live.link.capabilities
        return desk.stays

    def sign_out(self, desk: Desk, by: str) -> None:
        """Leave now, or after the call in progress."""
        if desk.state is AgentState.SIGNED_OUT:
            return
        if desk.call is not None or desk.state in (AgentState.ON_CALL, AgentState.ON_HOLD):
            desk.next_state, desk.next_code = AgentState.SIGNED_OUT, ""
            self._tell_intent(desk)
            self._live.touch("agents", desk.id)
            return
        if desk.state is AgentState.WRAP_UP and not desk.disposed:
            self.default_disposition(desk)
        self._leave(desk, by)

    def _leave(self, desk: Desk, by: str) -> None:
        self._live.timers.clear(("wrap", desk.id))
        self._live.timers.clear(("rering", desk.id))
        self.set_state(desk, AgentState.SIGNED_OUT, by=by)
        desk.campaign_ids, desk.next_state, desk.back_to = (), None, None
        self.hang_up(desk)

    def ready(self, desk: Desk, by: str) -> None:
        """Ready now, or after what is in progress."""
        if desk.state in BUSY or desk.state is AgentState.RINGING or desk.leg_state is LegState.RINGING:
            desk.next_state, desk.next_code = AgentState.READY, ""
            self._tell_intent(desk)
            self._live.touch("agents", desk.id)
            return
        if self.nails(desk) and desk.leg_state is LegState.NONE:
            desk.next_state = AgentState.READY
            self.ring(desk)
            return
        self.set_state(desk, AgentState.READY, by=by)
        self._idle(desk)

    def paused(self, desk: Desk, code: str, by: str) -> None:
        """Pause now, or after what is in progress. A person being given to this agent is not dropped for it."""
        if desk.state in BUSY or desk.state is AgentState.RINGING:
            desk.next_state, desk.next_code = AgentState.PAUSED, code
            self._tell_intent(desk)
            self._live.touch("agents", desk.id)
            return
        self.set_state(desk, AgentState.PAUSED, code, by)

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
                caller_id=call.caller_id if call else "",
                caller_name=call.campaign.record.name if call and call.campaign else "Cadran",
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

    def on_event(self, desk: Desk, event: ev.LegEvent) -> None:
        """An event of the desk's own leg."""
        live = self._live
        if desk.call is not None and not desk.call.queued and not isinstance(event, ev.LegFailed):
            desk.call.queued = True
            live.touch("calls", desk.call.attempt_id)
        if isinstance(event, ev.LegParked):
            self._parked(desk)
        elif isinstance(event, ev.LegBridged):
            other = live.legs.get(event.peer)
            if isinstance(other, Call):
                self.on_bridged(other, desk)
        elif isinstance(event, ev.LegUnbridged):
            if desk.call is not None and desk.call.state is CallState.TALKING:
                self.on_unbridged(desk.call)
        elif isinstance(event, ev.ConnectFailed):
            self._connect_failed(desk, event.customer_gone)
        elif isinstance(event, ev.LegHungUp | ev.LegFailed):
            call = desk.call
            if isinstance(event, ev.LegFailed) and not event.sent and call and call.state is CallState.AGENT_FIRST:
                call.outcome = call.outcome or Outcome.NOT_PLACED  # its phone was never rung
            self._lost(desk)

    def _parked(self, desk: Desk) -> None:
        live = self._live
        live.timers.clear(("agentring", desk.leg))
        if desk.leg_state is LegState.CLOSING:
            return
        before, desk.leg_state = desk.leg_state, LegState.PARKED
        desk.leg_failures = 0
        live.touch("agents", desk.id)
        if before is LegState.CONNECTING:
            self._connect_failed(desk)
            return
        call = desk.call
        if call is not None and call.state is CallState.AGENT_FIRST:
            self.on_leg_up(desk, call)
            return
        if call is not None and (call.state is CallState.HELD or call.room):
            self.on_held_free(desk, call)
            return
        if before is LegState.BRIDGED:
            if call is not None and call.state is CallState.TALKING:
                self.on_unbridged(call)
                self._after_talk(desk)
            if not self.nails(desk):
                self.hang_up(desk)
            else:
                self._idle(desk)  # who gave a call on was ready before the leg was free
            return
        if not self.nails(desk) and call is None:
            self.hang_up(desk)
            return
        self._settle(desk)

    def _settle(self, desk: Desk) -> None:
        """The phone is there (again): enter what was wanted, or go back to what was interrupted."""
        if desk.state is AgentState.RINGING:
            wanted, code = desk.next_state or AgentState.PAUSED, desk.next_code
            desk.next_state = None
            if wanted is AgentState.SIGNED_OUT:
                self._leave(desk, "engine")
                return
            self.set_state(desk, wanted, code)
        elif desk.state is AgentState.UNREACHABLE:
            self.set_state(desk, desk.back_to or AgentState.PAUSED, desk.back_code)
            desk.back_to = None
        elif desk.next_state is AgentState.READY and desk.state is AgentState.PAUSED:
            desk.next_state = None
            self.set_state(desk, AgentState.READY)
        self._idle(desk)

    def _connect_failed(self, desk: Desk, customer_gone: bool = False) -> None:
        """The offered customer was not there (`customer_gone`: surely), or the leg is not fit: it is free again."""
        live = self._live
        live.timers.clear(("bridge", desk.leg))
        call, desk.connecting = desk.connecting, None
        if call is not None:
            call.left |= customer_gone
        if desk.leg_state is LegState.CONNECTING:
            desk.leg_state = LegState.PARKED
        live.counters["connects_failed"] += 1
        desk.connect_failures += not customer_gone
        if desk.connect_failures >= CONNECTS_FAILED_MAX:
            desk.connect_failures = 0
            self.hang_up(desk)
        held = desk.call
        if held is not None and held.state is CallState.HELD:
            self.on_held_free(desk, held)
            return
        if call is not None and desk.call is call:
            desk.call = None
            self.on_connect_failed(call)
            self._free(desk)
        else:
            self._idle(desk)

    def on_bridge_deadline(self, desk: Desk) -> None:
        """Both are not in the bridge in time. The command can't be withdrawn: end the agent's leg, and only when its
        end is seen may the person be offered to another (stale command)."""
        call, desk.connecting = desk.connecting, None
        if desk.leg_state is not LegState.CONNECTING:
            return
        self._live.counters["bridges_late"] += 1
        self.hang_up(desk)
        if call is not None:
            call.waits_for_leg = desk.leg

    def _lost(self, desk: Desk) -> None:
        """The desk's leg is gone."""
        live = self._live
        leg, before = desk.leg, desk.leg_state
        for kind in ("agentring", "agentgone", "bridge"):
            live.timers.clear((kind, leg))
        self._leg(desk, "")
        desk.leg_state, desk.connecting = LegState.NONE, None
        live.touch("agents", desk.id)
        call = desk.call
        if call is not None and (call.state is CallState.HELD or call.room):
            self.on_held_lost(desk, call)
        elif call is not None:
            if call.state is CallState.TALKING:
                self.on_unbridged(call)
                self._after_talk(desk)
            self.on_leg_lost(desk, call)
        waiting = (
            [c for c in live.calls.values() if c.waits_for_leg == leg] if leg and before is LegState.CLOSING else []
        )
        for held in waiting:
            held.waits_for_leg = ""
            self.on_leg_lost(desk, held)
        if desk.passing:
            if desk in live.passing:
                live.passing.remove(desk)
            return
        if desk.state is AgentState.SIGNED_OUT or not self.nails(desk):
            return
        if before is LegState.RINGING:
            desk.leg_failures += 1
            self._unreachable(desk)
        if desk.signed_in:
            wait = RERING_S[min(desk.leg_failures, len(RERING_S) - 1)]
            live.timers.set(("rering", desk.id), live.now + wait)

    def _unreachable(self, desk: Desk) -> None:
        if desk.state is AgentState.UNREACHABLE:
            return
        if desk.state is AgentState.RINGING:
            desk.back_to, desk.back_code = desk.next_state or AgentState.PAUSED, desk.next_code
            desk.next_state = None
        elif desk.state in (AgentState.READY, AgentState.PAUSED):
            desk.back_to, desk.back_code = desk.state, desk.code
        else:
            return
        self.set_state(desk, AgentState.UNREACHABLE)

    def rering(self, desk: Desk) -> None:
        """A nailed-up phone was lost some time ago: ring it, unless nobody wants it any more."""
        if desk.state is AgentState.SIGNED_OUT or desk.leg_state is not LegState.NONE or not self.nails(desk):
            return
        if not self._live.link.synced:
            self._live.timers.set(("rering", desk.id), self._live.now + RERING_S[-1])
            return
        self.ring(desk)

    # ---- around a call -----------------------------------------------------------------------------------------

    def reserve(self, desk: Desk, call: Call) -> None:
        """Keep this desk for that call."""
        desk.call = call
        desk.preview = None
        if call.campaign:
            desk.last_campaign = call.campaign
        self.set_state(desk, AgentState.RESERVED)

    def on_call(self, desk: Desk, call: Call) -> None:
        """Talking."""
        desk.call, desk.last_call, desk.disposed = call, call, False
        desk.connect_failures = 0
        if call.campaign:
            desk.last_campaign = call.campaign
        desk.today["calls"] += 1
        self.set_state(desk, AgentState.ON_CALL)

    def call_over(self, desk: Desk, call: Call) -> None:
        """The call has ended, whatever became of it: free the desk of it."""
        if desk.call is not call:
            return
        talked = call.connected_at is not None and desk.last_call is call
        desk.call, desk.muted = None, False
        if desk.leg_state is LegState.CONNECTING:
            # The person left while being connected: the command may still run; its own end frees the leg.
            desk.connecting = None
        if desk.passing:
            if desk.leg_state is LegState.NONE and desk in self._live.passing:
                self._live.passing.remove(desk)  # it never rang, so no end of a leg will come to take it away
            self.hang_up(desk)
            return
        if talked:
            desk.today["talk_s"] += int(call.talk_s * 1000)
            self._after_talk(desk)
        else:
            self._free(desk)
        if not self.nails(desk) and desk.leg_state in (LegState.PARKED, LegState.RINGING):
            self.hang_up(desk)

    def released(self, desk: Desk, call: Call) -> None:
        """The conversation goes on without this desk: given to somebody else."""
        if desk.call is not call:
            return
        desk.call, desk.muted = None, False
        if desk.passing:
            self.hang_up(desk)
            return
        if call.connected_at is not None:
            desk.today["talk_s"] += int((self._live.now - call.connected_at) * 1000)
        self._after_talk(desk)
        if not self.nails(desk) and desk.leg_state in (LegState.PARKED, LegState.RINGING):
            self.hang_up(desk)

    def _after_talk(self, desk: Desk) -> None:
        """Conversation over: wrap-up, unless its outcome is set already."""
        live = self._live
        if desk.state not in (AgentState.ON_CALL, AgentState.ON_HOLD):
            return
        call = desk.last_call
        campaign = call.campaign if call else None
        if desk.disposed or campaign is None:
            self._after_wrap(desk)
            return
        limit = campaign.record.wrap_up_max_s
        desk.wrap_until_utc = live.utc + timedelta(seconds=limit)
        live.timers.set(("wrap", desk.id), live.now + limit)
        self.set_state(desk, AgentState.WRAP_UP)

    def on_wrap_deadline(self, desk: Desk) -> None:
        """Wrap-up ran out: the campaign's default status is set, and said to be so (STAT-05)."""
        if desk.state is not AgentState.WRAP_UP:
            return
        if not desk.disposed:
            self.default_disposition(desk)
        if desk.next_state is None and not self._live.dialer.wrap_up_default:
            desk.next_state = AgentState.PAUSED
        self._after_wrap(desk)

    def disposed(self, desk: Desk, status: Status, then: AgentState, pause_code: str) -> None:
        """The agent has chosen the outcome; while talking it takes effect at the end of the call. A pause asked for
        during the call holds against `then` ready, which every form has by default."""
        desk.disposed = True
        if status.sale:
            desk.today["sales"] += 1
        pauses = desk.next_state is AgentState.PAUSED and then is AgentState.READY
        if desk.next_state is not AgentState.SIGNED_OUT and not pauses:
            desk.next_state, desk.next_code = then, pause_code
            self._tell_intent(desk)
        if desk.state is AgentState.WRAP_UP:
            self._after_wrap(desk)
        else:
            self._live.touch("agents", desk.id)

    def _after_wrap(self, desk: Desk) -> None:
        self._live.timers.clear(("wrap", desk.id))
        desk.wrap_until_utc = None
        self._free(desk)

    def _free(self, desk: Desk) -> None:
        """Enter what was asked for meanwhile; ready otherwise. A campaign that was stopped releases its agents."""
        if desk.passing or desk.state is AgentState.SIGNED_OUT:
            return
        wanted, code = desk.next_state, desk.next_code
        desk.next_state, desk.next_code = None, ""
        stopped = all(campaign.state is CampaignState.STOPPED for campaign in self.campaigns_of(desk))
        if wanted is None and stopped:
            wanted = AgentState.PAUSED
        if wanted is AgentState.SIGNED_OUT:
            self._leave(desk, "engine")
            return
        self.set_state(desk, wanted or AgentState.READY, code)
        self._idle(desk)

    def _idle(self, desk: Desk) -> None:
        if desk.can_take:
            self.on_idle(desk)
