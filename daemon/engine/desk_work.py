"""Agents at work: signing in and out, pauses, and what a call does to a desk: reserved, talking, wrap-up, free again.

What is asked for while something is in progress waits in `next_state`, and is entered when that is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from daemon.agents.states import BUSY, TALKING, AgentState, LegState
from daemon.calls.records import CampaignState, Status
from daemon.dialer import events as pacing
from daemon.engine.desk_states import DeskStates
from daemon.engine.live import Call, Desk, Live


class DeskWork(DeskStates):
    """See the module's first lines. `on_idle` is called with each desk that can take a call now."""

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self.on_idle: Callable[[Desk], None] = lambda desk: None
        self.end_preview: Callable[[Desk, bool], object] = lambda desk, give_back: None
        """The lead that was shown to this desk is so no longer; it goes back unless it is about to be dialled."""
        self.default_disposition: Callable[[Desk], None] = lambda desk: None

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
        if desk.preview is not None:
            self.end_preview(desk, True)
        self.set_state(desk, AgentState.SIGNED_OUT, by=by)
        desk.campaign_ids, desk.next_state, desk.back_to, desk.pause_kept = (), None, None, None
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
        desk.next_state = None  # ready, asked for while the phone was away, is so no longer
        self.set_state(desk, AgentState.PAUSED, code, by)

    def let_go(self, desk: Desk) -> None:
        """Reserved, and no call came of it: what was asked for meanwhile, else ready."""
        if desk.state is AgentState.RESERVED and desk.call is None:
            self._free(desk)

    # ---- around a call -----------------------------------------------------------------------------------------

    def reserve(self, desk: Desk, call: Call) -> None:
        """Keep this desk for that call."""
        if desk.preview is not None:
            self.end_preview(desk, desk.preview is not call.lead)
        desk.call = call
        if call.campaign:
            desk.last_campaign = call.campaign
        self.set_state(desk, AgentState.RESERVED)

    def on_call(self, desk: Desk, call: Call) -> None:
        """Talking. An agent who was so in an earlier life of the daemon has been counted."""
        again = desk.last_call is call and desk.state in TALKING
        desk.call, desk.last_call, desk.disposed = call, call, False
        desk.connect_failures = 0
        if call.campaign:
            desk.last_campaign = call.campaign
        if not again:
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
        desk.wrap_until_utc, desk.extended = live.utc + timedelta(seconds=limit), False
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
        if wanted is None and desk.pause_kept is not None:
            wanted, code = AgentState.PAUSED, desk.pause_kept
        desk.pause_kept = None
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
