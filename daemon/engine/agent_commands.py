"""What agents and their supervisors ask for at a desk: sign in and out, ready, pauses, dispositions.

One method a command, found by its name (see daemon.engine.operate).
"""

from __future__ import annotations

from daemon.agents.states import AgentState
from daemon.calls.events import DeviceState
from daemon.calls.facts import DispositionSet, DncAdded
from daemon.calls.records import PauseMode, Status
from daemon.dialer.recycling import after_status
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.hopper import Hopper
from daemon.engine.live import Call, Desk, Live
from daemon.engine.more_time import give_more_time
from daemon.engine.named import campaign_of, desk_of, need_ringable, signed_in
from daemon.engine.next_call import NextCall
from daemon.errors import CommandError


class AgentCommands:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks, hopper: Hopper, next_call: NextCall) -> None:
        self._live, self._calls, self._desks, self._hopper, self._next_call = live, calls, desks, hopper, next_call
        desks.default_disposition = self.default_disposition

    def _SignIn(self, command: c.SignIn) -> None:
        desk = desk_of(self._live, command.agent_id)
        for id in command.campaign_ids:
            campaign_of(self._live, id)
        if not desk.record.enabled:
            raise CommandError("agent_disabled", {"agent_id": desk.id})
        desk.phone = self._live.phones.get(desk.record.extension, DeviceState.UNKNOWN)
        need_ringable(self._live, desk.record.extension)
        if not self._live.link.synced and self._desks.nails(desk):
            raise CommandError("pbx_unreachable", {"site": self._live.site.id})
        self._desks.sign_in(desk, command.campaign_ids, command.ready, command.by)

    def _SignOut(self, command: c.SignOut) -> None:
        self._desks.sign_out(desk_of(self._live, command.agent_id), command.by)

    def _SetReady(self, command: c.SetReady) -> None:
        desk = signed_in(self._live, command.agent_id)
        need_ringable(self._live, desk.record.extension)
        if desk.state is AgentState.WRAP_UP and not desk.disposed:
            raise CommandError("disposition_required", {"agent_id": desk.id})
        self._desks.ready(desk, command.by)

    def _SetPaused(self, command: c.SetPaused) -> None:
        desk = signed_in(self._live, command.agent_id)
        code = self.check_pause_code(desk, command.code)
        if desk.preview is not None:
            self._next_call.end_preview(desk, give_back=True)
            desk.next_state = None
            self._desks.set_state(desk, AgentState.PAUSED, code, command.by)
            return
        self._desks.paused(desk, code, command.by)

    def check_pause_code(self, desk: Desk, code: str) -> str:
        """PAUS-01, by the strictest of the desk's campaigns. Raises CommandError."""
        modes = {campaign.record.pause_mode for campaign in self._desks.campaigns_of(desk)}
        if PauseMode.REQUIRED in modes and not code:
            raise CommandError("pause_code_required", {"field": "code"})
        if code and modes == {PauseMode.OFF}:
            raise CommandError("pause_code_refused", {"field": "code", "value": code})
        known = sorted(p.code for p in self._live.pause_codes.values() if p.group_id == desk.record.group_id)
        if code and code not in known:
            raise CommandError("pause_code_unknown", {"field": "code", "value": code, "allowed": known})
        return code

    def _Dispose(self, command: c.Dispose) -> None:
        live = self._live
        desk = signed_in(self._live, command.agent_id)
        call = desk.last_call
        if call is None:
            raise CommandError("agent_not_in_call", {"agent_id": desk.id})
        if call.attempt_id != command.attempt_id or desk.disposed:
            if desk.disposed and call.attempt_id == command.attempt_id:
                return  # the same form sent twice
            raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
        status = self._status(command.code, desk.record.group_id, call.campaign_id)
        if status is None:
            known = sorted({s.code for s in live.statuses.values() if s.group_id == desk.record.group_id})
            raise CommandError("status_unknown", {"field": "code", "value": command.code, "allowed": known})
        if status.callback and command.callback_at is None:
            raise CommandError("callback_required", {"field": "callback_at"})
        if command.then not in ("ready", "paused"):
            raise CommandError(
                "field_invalid", {"field": "then", "value": command.then, "allowed": ["ready", "paused"]}
            )
        pause_code = self.check_pause_code(desk, command.pause_code) if command.then == "paused" else ""
        self._dispose(desk, call, status, command)
        self._desks.disposed(desk, status, AgentState(command.then), pause_code)

    def _ExtendTime(self, command: c.ExtendTime) -> None:
        desk = signed_in(self._live, command.agent_id)
        if not give_more_time(desk, self._live):
            raise CommandError("no_more_time", {"agent_id": desk.id})

    def default_disposition(self, desk: Desk) -> None:
        """Wrap-up ran out (STAT-05): the campaign's default status, logged as such."""
        call = desk.last_call
        if call is None or call.campaign is None:
            desk.disposed = True
            return
        code = call.campaign.record.default_status
        status = self._status(code, desk.record.group_id, call.campaign_id)
        status = status or Status(group_id=desk.record.group_id, code=code, name=code)
        self._dispose(desk, call, status, None)
        desk.disposed = True

    def _dispose(self, desk: Desk, call: Call, status: Status, command: c.Dispose | None) -> None:
        live = self._live
        campaign = call.campaign
        callback_at = command.callback_at if command and status.callback else None
        rules = campaign.record.recycling if campaign else []
        gap = campaign.record.gap_min_s if campaign else 14_400.0
        recycled = call.lead.recycled if call.lead else 0
        following = after_status(status, rules, recycled, gap, callback_at, live.utc)
        mine = bool(command and command.callback_mine)
        live.fact(
            DispositionSet(
                at=live.utc,
                site=live.site.id,
                attempt_id=call.attempt_id,
                campaign_id=call.campaign_id,
                lead_id=call.lead_id,
                client_id=call.client_id,
                agent_id=desk.id,
                code=status.code,
                by_default=command is None,
                notes=command.notes if command else "",
                sale=status.sale,
                refused=status.not_interested,
                final=status.final or status.not_workable,
                callback_at=callback_at,
                callback_agent_id=desk.id if callback_at and mine else 0,
                lead_eligible_at=following.eligible_at,
                lead_blocked_by=following.blocked_by,
                lead_recycled=following.recycled,
                lead_recycle_priority=following.priority,
            )
        )
        if status.machine and command:
            self._calls.machine_reported(call)
        if command and command.do_not_call:
            live.fact(
                DncAdded(
                    at=live.utc,
                    site=live.site.id,
                    client_id=call.client_id,
                    lead_id=call.lead_id,
                    attempt_id=call.attempt_id,
                    by=command.by or str(desk.id),
                )
            )
            self._forget_number(call.e164)

    def _status(self, code: str, group_id: int, campaign_id: int) -> Status | None:
        found = [
            status
            for status in self._live.statuses.values()
            if status.code == code and status.group_id == group_id and status.campaign_id in (0, campaign_id)
        ]
        return max(found, key=lambda status: status.campaign_id, default=None)

    def _forget_number(self, e164: str) -> None:
        for campaign in self._live.campaigns.values():
            self._hopper.drop_leads(campaign, frozenset(), frozenset({e164}), frozenset())
