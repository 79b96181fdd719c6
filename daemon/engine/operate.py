"""Commands: each is validated against live state, applied at once, or refused with a stable code.

One method a command; what it returns is known at once, its lasting effect is a fact on the stream.
"""

from __future__ import annotations

from typing import Any

from daemon.agents.states import AgentState
from daemon.calls.events import DeviceState
from daemon.calls.facts import AuditFact, CampaignSet, DispositionSet, DncAdded, LineSet
from daemon.calls.records import Agent, CampaignMode, CampaignState, Lead, LineKind, PauseMode, Status, Strategy
from daemon.calls.states import CallState
from daemon.dialer.recycling import after_status
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.hopper import Hopper
from daemon.engine.live import Call, CampaignLive, Desk, Live
from daemon.engine.next_call import NextCall
from daemon.engine.placing import Placing
from daemon.engine.policies import configure
from daemon.errors import CommandError

IN_USE = frozenset({DeviceState.RINGING, DeviceState.IN_USE})
UNRINGABLE = frozenset({DeviceState.UNAVAILABLE})
"""A phone in this state can't be rung; UNKNOWN may only mean that these rights don't tell."""


class Operations:
    """See the module's first lines."""

    def __init__(
        self, live: Live, calls: CallFlow, desks: Desks, placing: Placing, hopper: Hopper, next_call: NextCall
    ) -> None:
        self._live = live
        self._calls = calls
        self._desks = desks
        self._placing = placing
        self._hopper = hopper
        self._next_call = next_call
        self.more: tuple[object, ...] = ()
        """Other parts of the engine that have commands of their own."""
        desks.default_disposition = self.default_disposition

    def apply(self, command: c.AnyCommand) -> dict[str, Any]:
        """Apply one command. Raises CommandError."""
        name = "_" + type(command).__name__
        handler = next((getattr(part, name) for part in (self, *self.more) if hasattr(part, name)), None)
        if handler is None:
            raise CommandError("command_unknown", {"command": type(command).__name__})
        result = handler(command)
        return result if isinstance(result, dict) else {}

    # ---- finding things ----------------------------------------------------------------------------------------

    def _campaign(self, id: int) -> CampaignLive:
        campaign = self._live.campaigns.get(id)
        if campaign is None:
            raise CommandError("campaign_unknown", {"campaign_id": id})
        return campaign

    def _desk(self, id: int) -> Desk:
        desk = self._live.desks.get(id)
        if desk is None:
            raise CommandError("agent_unknown", {"agent_id": id})
        return desk

    def _signed_in(self, id: int) -> Desk:
        desk = self._desk(id)
        if desk.state is AgentState.SIGNED_OUT:
            raise CommandError("agent_signed_out", {"agent_id": id})
        return desk

    def _ringable(self, extension: str) -> None:
        if self._live.phones.get(extension) in UNRINGABLE:
            raise CommandError("extension_unregistered", {"extension": extension})

    def _free_phone(self, extension: str) -> None:
        """One call a phone: this engine alone serves the site, so what it rings and what the PBX says decide. After a
        restart or a takeover the PBX's word stands for calls that an earlier daemon began."""
        self._ringable(extension)
        rung = any(desk.record.extension == extension for desk in self._live.passing)
        if rung or self._live.phones.get(extension) in IN_USE:
            raise CommandError("extension_busy", {"extension": extension})

    def _audit(self, by: str, what: str, target: object, **detail: str | int | float | bool | None) -> None:
        live = self._live
        live.fact(AuditFact(at=live.utc, site=live.site.id, by=by, what=what, target=str(target), detail=detail))

    # ---- campaigns ---------------------------------------------------------------------------------------------

    def _StartCampaign(self, command: c.StartCampaign) -> None:
        campaign = self._campaign(command.campaign_id)
        self.check_startable(campaign)
        campaign.suspended = ""
        self._set_campaign(campaign, CampaignState.RUNNING, command.by)

    def check_startable(self, campaign: CampaignLive) -> None:
        """Raises the CommandError that forbids this campaign to run."""
        live, record = self._live, campaign.record
        shown = [number.record.e164 for number in live.caller_ids.of(record)]
        owned = [n.record.e164 for n in live.caller_ids.numbers.values() if n.record.group_id == record.group_id]
        for problem in live.law.problems(record, shown, owned, live.utc):
            raise CommandError(problem.rule, {"campaign_id": record.id, "text": problem.clause})
        missing = self.missing_for(record.mode)
        if missing:
            raise CommandError("mode_impossible", {"mode": str(record.mode), "missing": missing})

    def missing_for(self, mode: CampaignMode) -> list[str]:
        """Capabilities that this mode of dialling needs and the control mode in force lacks (DESIGN 2)."""
        link = self._live.link
        if not link.up or mode is not CampaignMode.PREDICTIVE:
            return []
        return [name for name in ("nailed_agents", "play_message") if name not in link.capabilities]

    def _PauseCampaign(self, command: c.PauseCampaign) -> None:
        self._set_campaign(self._campaign(command.campaign_id), CampaignState.PAUSED, command.by)

    def _StopCampaign(self, command: c.StopCampaign) -> dict[str, Any]:
        campaign = self._campaign(command.campaign_id)
        self._set_campaign(campaign, CampaignState.STOPPED, command.by)
        ended = self._end_unanswered(campaign) if command.hang_up_ringing else 0
        return {"talking": campaign.stages["talking"], "hung_up": ended}

    def _end_unanswered(self, campaign: CampaignLive) -> int:
        unanswered = [call for call in campaign.calls.values() if call.answered_at is None]
        for call in unanswered:
            self._calls.hang_up(call, by="supervisor")
        return len(unanswered)

    def _set_campaign(self, campaign: CampaignLive, state: CampaignState, by: str, reason: str = "") -> None:
        live = self._live
        if campaign.state is state:
            return
        campaign.state, campaign.since_utc, campaign.dirty = state, live.utc, True
        live.fact(
            CampaignSet(at=live.utc, site=live.site.id, campaign_id=campaign.id, state=state, by=by, reason=reason)
        )
        self._audit(by, f"campaign.{state}", campaign.id)
        live.touch("campaigns", campaign.id)

    def suspend(self, campaign: CampaignLive, reason: str) -> None:
        """A broken invariant in one of its calls: no new calls until somebody starts it again."""
        campaign.suspended = reason
        self._live.alerts[f"campaign {campaign.id}"] = "campaign_suspended"
        self._set_campaign(campaign, CampaignState.PAUSED, "engine", reason)

    def _TuneCampaign(self, command: c.TuneCampaign) -> None:
        live = self._live
        campaign = self._campaign(command.campaign_id)
        record = campaign.record
        if command.from_speed is not None and command.from_speed != record.speed:
            raise CommandError("changed_meanwhile", {"field": "speed", "value": record.speed})
        if command.mode is not None:
            allowed = [str(mode) for mode in CampaignMode]
            if command.mode not in allowed:
                raise CommandError("field_invalid", {"field": "mode", "value": command.mode, "allowed": allowed})
            missing = self.missing_for(CampaignMode(command.mode))
            if missing:
                raise CommandError("mode_impossible", {"mode": command.mode, "missing": missing})
        if command.level is not None and command.level not in (1, 2, 3):
            raise CommandError("field_invalid", {"field": "level", "value": command.level, "allowed": "1 to 3"})
        if command.speed is not None and not 0 <= command.speed <= 10:
            raise CommandError("field_invalid", {"field": "speed", "value": command.speed, "allowed": "0 to 10"})
        before: dict[str, str | int] = {"mode": str(record.mode), "level": record.level, "speed": record.speed}
        record.mode = CampaignMode(command.mode or record.mode)
        record.level = record.level if command.level is None else command.level
        record.speed = record.speed if command.speed is None else command.speed
        live.fact(
            CampaignSet(
                at=live.utc,
                site=live.site.id,
                campaign_id=campaign.id,
                mode=command.mode,
                level=command.level,
                speed=command.speed,
                by=command.by,
            )
        )
        after: dict[str, str | int] = {"mode": str(record.mode), "level": record.level, "speed": record.speed}
        changed = {name: value for name, value in after.items() if value != before[name]}
        self._audit(
            command.by, "campaign.tuned", campaign.id, **{f"{name}_was": before[name] for name in changed}, **changed
        )
        configure(self._live, campaign)
        live.touch("campaigns", campaign.id)

    def _StopAllCalls(self, command: c.StopAllCalls) -> dict[str, Any]:
        stopped = hung = 0
        for campaign in self._live.campaigns.values():
            if command.group_id in (0, campaign.record.group_id) and campaign.state is CampaignState.RUNNING:
                self._set_campaign(campaign, CampaignState.PAUSED, command.by, "stop_all")
                hung += self._end_unanswered(campaign) if command.hang_up_ringing else 0
                stopped += 1
        return {"paused": stopped, "hung_up": hung}

    # ---- agents ------------------------------------------------------------------------------------------------

    def _SignIn(self, command: c.SignIn) -> None:
        desk = self._desk(command.agent_id)
        for id in command.campaign_ids:
            self._campaign(id)
        if not desk.record.enabled:
            raise CommandError("agent_disabled", {"agent_id": desk.id})
        desk.phone = self._live.phones.get(desk.record.extension, DeviceState.UNKNOWN)
        self._ringable(desk.record.extension)
        if not self._live.link.synced and self._desks.nails(desk):
            raise CommandError("pbx_unreachable", {"site": self._live.site.id})
        self._desks.sign_in(desk, command.campaign_ids, command.ready, command.by)

    def _SignOut(self, command: c.SignOut) -> None:
        self._desks.sign_out(self._desk(command.agent_id), command.by)

    def _SetReady(self, command: c.SetReady) -> None:
        desk = self._signed_in(command.agent_id)
        self._ringable(desk.record.extension)
        if desk.state is AgentState.WRAP_UP and not desk.disposed:
            raise CommandError("disposition_required", {"agent_id": desk.id})
        self._desks.ready(desk, command.by)

    def _SetPaused(self, command: c.SetPaused) -> None:
        desk = self._signed_in(command.agent_id)
        code = self.check_pause_code(desk, command.code)
        if desk.preview is not None:
            self._next_call.end_preview(desk, give_back=True)
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

    def _status(self, code: str, group_id: int, campaign_id: int) -> Status | None:
        found = [
            status
            for status in self._live.statuses.values()
            if status.code == code and status.group_id == group_id and status.campaign_id in (0, campaign_id)
        ]
        return max(found, key=lambda status: status.campaign_id, default=None)

    def _Dispose(self, command: c.Dispose) -> None:
        live = self._live
        desk = self._signed_in(command.agent_id)
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

    def _forget_number(self, e164: str) -> None:
        for campaign in self._live.campaigns.values():
            self._hopper.drop_leads(campaign, frozenset(), frozenset({e164}), frozenset())

    # ---- calls asked by hand -----------------------------------------------------------------------------------

    def _free_desk(self, agent_id: int) -> Desk:
        desk = self._signed_in(agent_id)
        idle = desk.state in (AgentState.READY, AgentState.PAUSED) and desk.call is None
        if not idle and desk.preview is None:
            raise CommandError("agent_busy", {"agent_id": agent_id, "state": str(desk.state)})
        self._can_place()
        return desk

    def _can_place(self) -> None:
        obstacle = self._placing.site_obstacle()
        if obstacle in ("link", "resync", "pbx_stopping"):
            raise CommandError("pbx_unreachable", {"site": self._live.site.id, "reason": obstacle})
        if obstacle in ("store", "journal_full"):
            raise CommandError("store_unavailable", {"reason": obstacle})
        if obstacle:
            raise CommandError(
                {"right_missing": "pbx_right_missing", "lease": "standby"}.get(obstacle, obstacle),
                {"site": self._live.site.id},
            )

    def _refuse_if(self, e164: str, rule_set: str) -> None:
        refused = self._live.law.refuses_number(e164, rule_set, self._live.utc)
        if refused is not None:
            until = refused.until.isoformat() if refused.until else None
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": until})

    def _DialNumber(self, command: c.DialNumber) -> dict[str, Any]:
        live = self._live
        desk = self._free_desk(command.agent_id)
        campaign = self._campaign(command.campaign_id)
        record = campaign.record
        lead = desk.preview if desk.preview is not None and desk.preview.e164 == command.e164 else None
        if lead is None:
            lead = Lead(
                id=command.lead_id,
                list_id=0,
                campaign_id=record.id,
                group_id=record.group_id,
                client_id=record.client_id,
                e164=command.e164,
                tz_group="",
                running_contract=record.running_contract,
            )
            self._refuse_if(command.e164, "")
            # The door has judged what is known of the person (the API's check_typed_number); hours bind here as well.
            lead.consent_at = live.utc
        refused = live.law.refuses(lead, record, live.utc)
        if refused is not None:
            until = refused.until.isoformat() if refused.until else None
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": until})
        call = self._next_call.start(campaign, desk, lead, "manual")
        if call is None:
            campaign.hopper.popleft()
            raise CommandError("line_unavailable", {"campaign_id": record.id})
        return {"attempt_id": str(call.attempt_id)}

    def _NextContact(self, command: c.NextContact) -> dict[str, Any]:
        desk = self._free_desk(command.agent_id)
        for campaign in sorted(self._desks.campaigns_of(desk), key=lambda x: (-x.record.priority, x.id)):
            if campaign.state is not CampaignState.RUNNING:
                continue
            lead = self._next_call.next_lead(campaign, desk)
            if lead is None:
                continue
            if campaign.record.mode is CampaignMode.PREVIEW:
                self._next_call.show(campaign, desk, lead)
                return {"lead_id": lead.id, "preview": True}
            call = self._next_call.start(campaign, desk, lead, "campaign")
            if call is not None:
                return {"attempt_id": str(call.attempt_id), "lead_id": lead.id}
        raise CommandError("no_lead_due", {"agent_id": desk.id})

    def _PreviewDial(self, command: c.PreviewDial) -> dict[str, Any]:
        desk = self._signed_in(command.agent_id)
        if desk.preview is None:
            raise CommandError("preview_gone", {"agent_id": desk.id})
        self._can_place()
        campaign = self._campaign(desk.preview_campaign_id)
        refused = self._live.law.refuses(desk.preview, campaign.record, self._live.utc)
        if refused is not None:
            self._next_call.end_preview(desk, give_back=True)
            self._desks.ready(desk, command.by)
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause})
        lead = self._next_call.end_preview(desk, give_back=False)
        assert lead is not None
        call = self._next_call.start(campaign, desk, lead, "preview")
        if call is None:
            self._desks.set_state(desk, AgentState.READY)
            raise CommandError("line_unavailable", {"campaign_id": campaign.id})
        return {"attempt_id": str(call.attempt_id), "lead_id": lead.id}

    def _PreviewSkip(self, command: c.PreviewSkip) -> None:
        desk = self._signed_in(command.agent_id)
        if desk.preview is None:
            raise CommandError("preview_gone", {"agent_id": desk.id})
        self.preview_over(desk)
        self._audit(command.by, "preview.skipped", desk.id, reason=command.reason)

    def preview_over(self, desk: Desk) -> None:
        """Skipped or run out: the lead goes back, the agent is ready again."""
        self._next_call.end_preview(desk, give_back=True)
        if desk.state is AgentState.RESERVED and desk.call is None:
            self._desks.set_state(desk, desk.next_state or AgentState.READY, desk.next_code)
            desk.next_state = None

    def _HangUpCall(self, command: c.HangUpCall) -> None:
        call = self._live.calls.get(command.attempt_id)
        if call is None:
            raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
        self._calls.hang_up(call, by=command.by or "operator")

    def _CallExtension(self, command: c.CallExtension) -> dict[str, Any]:
        """S100-01: the extension rings first; the number is dialled only when it answers."""
        live = self._live
        if command.attempt_id in live.calls:
            return {"attempt_id": str(command.attempt_id), "number": live.calls[command.attempt_id].number}
        self._can_place()
        self._refuse_if(command.e164, command.rule_set)
        self._free_phone(command.extension)
        trunks = [
            line.record.id
            for line in live.pool.lines.values()
            if line.record.kind is LineKind.TRUNK and command.group_id in (0, line.record.group_id)
        ]
        wanted = [command.line_id] if command.line_id else trunks
        group = live.groups.get(command.group_id)
        strategy = group.c2c_strategy if group else Strategy.PRIORITY
        line = live.pool.take(wanted, strategy, command.attempt_id, live.now)
        if line is None:
            raise CommandError("line_unavailable", {"lines": len(wanted)})
        record = Agent(
            group_id=command.group_id,
            site=live.site.id,
            login=command.extension,
            name=command.extension,
            extension=command.extension,
            nailed=False,
        )
        desk = Desk(record=record, passing=True)
        live.passing.append(desk)
        self._calls.open(
            kind=command.kind,
            e164=command.e164,
            group_id=command.group_id,
            client_id=command.client_id,
            campaign=None,
            lead=None,
            line_id=line.record.id,
            trunk=line.record.endpoint,
            caller_id=command.caller_id,
            desk=desk,
            rule_set=command.rule_set,
            attempt_id=command.attempt_id,
        )
        return {"attempt_id": str(command.attempt_id), "line_id": line.record.id, "line": line.record.name}

    # ---- lines, leads, the daemon ------------------------------------------------------------------------------

    def _SetLine(self, command: c.SetLine) -> None:
        live = self._live
        line = live.pool.lines.get(command.line_id)
        if line is None:
            raise CommandError("line_unknown", {"line_id": command.line_id})
        line.record.enabled = command.enabled
        if command.enabled:
            live.pool.wake(command.line_id)
            live.alerts.pop(f"line {command.line_id}", None)
        live.fact(
            LineSet(at=live.utc, site=live.site.id, line_id=command.line_id, enabled=command.enabled, by=command.by)
        )
        self._audit(command.by, "line.enabled" if command.enabled else "line.disabled", command.line_id)
        live.touch("lines", command.line_id)
        for campaign in live.campaigns.values():
            campaign.dirty = True

    def _DatabaseReconciled(self, command: c.DatabaseReconciled) -> None:
        """The journal's keeper has taken it already; here it is written down who said so."""
        self._audit(command.by, "database.reconciled", self._live.site.id)

    def _LeadsChanged(self, command: c.LeadsChanged) -> None:
        live = self._live
        named = bool(command.lead_ids or command.e164s or command.list_ids)
        for campaign in live.campaigns.values():
            if command.campaign_id in (0, campaign.id):
                if named:
                    self._hopper.drop_leads(
                        campaign,
                        frozenset(command.lead_ids),
                        frozenset(command.e164s),
                        frozenset(command.list_ids),
                    )
                campaign.claim_after_at = 0.0
                campaign.dirty = True
        self._cancel_unplaced(frozenset(command.lead_ids), frozenset(command.e164s))

    def _cancel_unplaced(self, lead_ids: frozenset[int], e164s: frozenset[str]) -> None:
        """A lead changed between claim and originate is dropped before its phone rings (LEGL-07)."""
        for call in list(self._live.calls.values()):
            before = call.state in (CallState.INTENDED, CallState.AGENT_FIRST)
            if before and ((call.lead_id and call.lead_id in lead_ids) or call.e164 in e164s):
                self._calls.hang_up(call, by="leads")

    def _Drain(self, command: c.Drain) -> None:
        self._live.draining = True
        for campaign in self._live.campaigns.values():
            campaign.dirty = True
