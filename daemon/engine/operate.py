"""Commands: each is validated against live state, applied at once, or refused with a stable code.

One method a command; what it returns is known at once, its lasting effect is a fact on the stream. Here are those about
campaigns, lines, leads and the daemon; `more` has the other parts of the engine that take commands.
"""

from __future__ import annotations

from typing import Any

from daemon.calls.facts import CampaignSet, LineSet
from daemon.calls.records import CampaignMode, CampaignState
from daemon.calls.states import CallState
from daemon.engine import commands as c
from daemon.engine.callflow import CallFlow
from daemon.engine.hopper import Hopper
from daemon.engine.live import CampaignLive, Live
from daemon.engine.named import audit, campaign_of
from daemon.engine.policies import configure
from daemon.errors import CommandError


class Operations:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, hopper: Hopper) -> None:
        self._live, self._calls, self._hopper = live, calls, hopper
        self.more: tuple[object, ...] = ()
        """Other parts of the engine that have commands of their own."""

    def apply(self, command: c.AnyCommand) -> dict[str, Any]:
        """Apply one command. Raises CommandError."""
        name = "_" + type(command).__name__
        handler = next((getattr(part, name) for part in (self, *self.more) if hasattr(part, name)), None)
        if handler is None:
            raise CommandError("command_unknown", {"command": type(command).__name__})
        result = handler(command)
        return result if isinstance(result, dict) else {}

    # ---- campaigns ---------------------------------------------------------------------------------------------

    def _StartCampaign(self, command: c.StartCampaign) -> None:
        campaign = campaign_of(self._live, command.campaign_id)
        self.check_startable(campaign)
        campaign.suspended = ""
        self._live.alerts.pop(f"campaign {campaign.id}", None)
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
        self._check_message(campaign, record.mode)

    def _check_message(self, campaign: CampaignLive, mode: CampaignMode) -> None:
        """Who is abandoned must be told who called, where the rule set asks for it: no predictive dialling without."""
        record, live = campaign.record, self._live
        if mode is not CampaignMode.PREDICTIVE or record.safe_message or live.dialer.safe_message:
            return
        if live.law.rules(record.rule_set, live.utc).message_required:
            raise CommandError("message_missing", {"campaign_id": record.id, "rule_set": record.rule_set})

    def missing_for(self, mode: CampaignMode) -> list[str]:
        """Capabilities that this mode of dialling needs and the control mode in force lacks (DESIGN 2)."""
        link = self._live.link
        if not link.up or mode is not CampaignMode.PREDICTIVE:
            return []
        return [name for name in ("nailed_agents", "play_message") if name not in link.capabilities]

    def _PauseCampaign(self, command: c.PauseCampaign) -> None:
        self._set_campaign(campaign_of(self._live, command.campaign_id), CampaignState.PAUSED, command.by)

    def _StopCampaign(self, command: c.StopCampaign) -> dict[str, Any]:
        campaign = campaign_of(self._live, command.campaign_id)
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
        if state is not CampaignState.RUNNING:
            self._hopper.withdraw_previews(campaign)
        live.fact(
            CampaignSet(at=live.utc, site=live.site.id, campaign_id=campaign.id, state=state, by=by, reason=reason)
        )
        audit(self._live, by, f"campaign.{state}", campaign.id)
        live.touch("campaigns", campaign.id)

    def suspend(self, campaign: CampaignLive, reason: str) -> None:
        """A broken invariant in one of its calls: no new calls until somebody starts it again."""
        campaign.suspended = reason
        self._live.alerts[f"campaign {campaign.id}"] = "campaign_suspended"
        self._set_campaign(campaign, CampaignState.PAUSED, "engine", reason)

    def _TuneCampaign(self, command: c.TuneCampaign) -> None:
        live = self._live
        campaign = campaign_of(self._live, command.campaign_id)
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
            self._check_message(campaign, CampaignMode(command.mode))
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
        audit(
            self._live,
            command.by,
            "campaign.tuned",
            campaign.id,
            **{f"{name}_was": before[name] for name in changed},
            **changed,
        )
        configure(self._live, campaign)
        live.touch("campaigns", campaign.id)

    def _StopAllCalls(self, command: c.StopAllCalls) -> dict[str, Any]:
        stopped = hung = 0
        for campaign in self._live.campaigns.values():
            if command.campaign_ids and campaign.id not in command.campaign_ids:
                continue
            if command.group_id in (0, campaign.record.group_id) and campaign.state is CampaignState.RUNNING:
                self._set_campaign(campaign, CampaignState.PAUSED, command.by, "stop_all")
                hung += self._end_unanswered(campaign) if command.hang_up_ringing else 0
                stopped += 1
        return {"paused": stopped, "hung_up": hung}

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
        audit(self._live, command.by, "line.enabled" if command.enabled else "line.disabled", command.line_id)
        live.touch("lines", command.line_id)
        for campaign in live.campaigns.values():
            campaign.dirty = True

    def _DatabaseReconciled(self, command: c.DatabaseReconciled) -> None:
        """The journal's keeper has taken it already; here it is written down who said so."""
        audit(self._live, command.by, "database.reconciled", self._live.site.id)

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
            self._hopper.give_back(campaign)  # this site may never come back: others are to dial these
            self._hopper.withdraw_previews(campaign)
            campaign.dirty = True
