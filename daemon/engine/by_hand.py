"""Calls that somebody asks for: an agent (a number, the next contact, a preview), or a program that rings an extension.

One method a command, found by its name (see daemon.engine.operate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from daemon.agents.states import AgentState, LegState
from daemon.calls.lead_records import Lead
from daemon.calls.records import Agent, CampaignMode, CampaignState
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.clicked import ClickedCalls
from daemon.engine.desks import Desks
from daemon.engine.live import Desk, Live
from daemon.engine.named import audit, campaign_of, need_free_phone, signed_in
from daemon.engine.next_call import NextCall
from daemon.engine.refusals import refused_lead, refused_number
from daemon.errors import CommandError

CODES: Final = {"right_missing": "pbx_right_missing", "read_missing": "pbx_read_missing", "lease": "standby"}
"""How a command's refusal names what keeps the site from placing, where it has a name of its own."""


class CallsByHand:
    """See the module's first lines. `obstacle`: what keeps the whole site from placing, "" if nothing does."""

    def __init__(
        self,
        live: Live,
        calls: CallFlow,
        desks: Desks,
        next_call: NextCall,
        clicked: ClickedCalls,
        obstacle: Callable[[], str],
    ) -> None:
        self._live, self._calls, self._desks = live, calls, desks
        self._next_call, self._clicked, self._obstacle = next_call, clicked, obstacle

    def _DialNumber(self, command: c.DialNumber) -> dict[str, Any]:
        live = self._live
        desk = self._free_desk(command.agent_id)
        campaign = campaign_of(self._live, command.campaign_id)
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
            self._refuse_if(record.group_id, command.e164, "")
            # The door has judged what is known of the person (the API's check_typed_number); hours bind here as well.
            lead.consent_at = live.utc
        refused = refused_lead(live, lead, record)
        if refused is not None:
            until = refused.until.isoformat() if refused.until else None
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": until})
        kept = desk.code if desk.state is AgentState.PAUSED else None
        call = self._next_call.start(campaign, desk, lead, "manual")
        if call is None:
            campaign.hopper.popleft()
            raise CommandError("line_unavailable", {"campaign_id": record.id})
        desk.pause_kept = kept
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
        desk = signed_in(self._live, command.agent_id)
        if desk.preview is None:
            raise CommandError("preview_gone", {"agent_id": desk.id})
        self._can_place()
        campaign = campaign_of(self._live, desk.preview_campaign_id)
        refused = refused_lead(self._live, desk.preview, campaign.record)
        if refused is not None:
            self.preview_over(desk)
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause})
        lead = self._next_call.end_preview(desk, give_back=False)
        assert lead is not None
        call = self._next_call.start(campaign, desk, lead, "preview")
        if call is None:
            self._desks.let_go(desk)
            raise CommandError("line_unavailable", {"campaign_id": campaign.id})
        return {"attempt_id": str(call.attempt_id), "lead_id": lead.id}

    def _PreviewSkip(self, command: c.PreviewSkip) -> None:
        desk = signed_in(self._live, command.agent_id)
        if desk.preview is None:
            raise CommandError("preview_gone", {"agent_id": desk.id})
        self.preview_over(desk)
        audit(self._live, command.by, "preview.skipped", desk.id, reason=command.reason)

    def preview_over(self, desk: Desk) -> None:
        """Skipped, run out or withdrawn: the lead goes back, the agent is ready again."""
        self._next_call.end_preview(desk, give_back=True)
        self._desks.let_go(desk)

    def _CallExtension(self, command: c.CallExtension) -> dict[str, Any]:
        """S100-01: the extension rings first; the number is dialled only when it answers."""
        live = self._live
        if command.attempt_id in live.calls:
            return {"attempt_id": str(command.attempt_id), "number": live.calls[command.attempt_id].number}
        self._can_place()
        self._refuse_if(command.group_id, command.e164, command.rule_set)
        need_free_phone(self._live, command.extension)
        wanted = [command.line_id] if command.line_id else self._clicked.trunks(command.group_id)
        line = self._clicked.take_line(wanted, command.group_id, command.attempt_id)
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
        self._clicked.open(command, line, desk, command.attempt_id)
        return {"attempt_id": str(command.attempt_id), "line_id": line.record.id, "line": line.record.name}

    def _HangUpCall(self, command: c.HangUpCall) -> None:
        call = self._live.calls.get(command.attempt_id)
        if call is None:
            raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
        self._calls.hang_up(call, by=command.by or "operator")

    def _free_desk(self, agent_id: int) -> Desk:
        desk = signed_in(self._live, agent_id)
        idle = desk.state in (AgentState.READY, AgentState.PAUSED) and desk.call is None
        if (not idle and desk.preview is None) or desk.leg_state is LegState.CLOSING:
            raise CommandError("agent_busy", {"agent_id": agent_id, "state": str(desk.state)})
        self._can_place()
        return desk

    def _can_place(self) -> None:
        obstacle = self._obstacle()
        if obstacle in ("link", "resync", "pbx_stopping"):
            raise CommandError("pbx_unreachable", {"site": self._live.site.id, "reason": obstacle})
        if obstacle in ("store", "journal_full"):
            raise CommandError("store_unavailable", {"reason": obstacle})
        if obstacle:
            raise CommandError(
                CODES.get(obstacle, obstacle),
                {"site": self._live.site.id},
            )

    def _refuse_if(self, group_id: int, e164: str, rule_set: str) -> None:
        refused = refused_number(self._live, group_id, e164, rule_set)
        if refused is not None:
            until = refused.until.isoformat() if refused.until else None
            raise CommandError("call_forbidden", {"rule": refused.rule, "clause": refused.clause, "until": until})
