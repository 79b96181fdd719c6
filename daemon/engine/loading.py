"""Configuration rows into the live state: what is new, changed or gone. A campaign's live values follow its row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from daemon.agents.states import AgentState
from daemon.calls import events as ev
from daemon.calls import records as rec
from daemon.calls.lead_records import AgentStateRow, OpenAttempt
from daemon.calls.records import Campaign, CampaignState
from daemon.dialer.ledger import LedgerRow
from daemon.engine.desks import Desks
from daemon.engine.hopper import Hopper
from daemon.engine.live import CampaignLive, Desk, Live
from daemon.engine.policies import configure, new_policy
from daemon.engine.pooling import join
from daemon.errors import CommandError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rows:
    """Configuration rows read from the store; `gone`: ids that are no longer there, by record class name."""

    records: Sequence[rec.Record]
    gone: Mapping[str, tuple[int, ...]]
    ledgers: Mapping[int, tuple[LedgerRow, ...]]
    tz_groups: Mapping[int, tuple[str, ...]]
    saved_n: int = 0
    """The store had every fact of ours up to this one as they were read."""


class Loading:
    """See the module's first line. One a site."""

    def __init__(self, live: Live, desks: Desks, hopper: Hopper) -> None:
        self._live, self._desks, self._hopper = live, desks, hopper
        self.check_startable: Callable[[CampaignLive], None] = lambda campaign: None
        """Raises the CommandError that forbids a campaign to run here (daemon.engine.operate)."""
        self._going: dict[tuple[str, int], None] = {}
        """Agents and campaigns that are no longer there, but for a call in progress."""
        self.on_new: Callable[[CampaignLive | Desk], None] = lambda who: None
        """A campaign or an agent whose day so far is not known (daemon.engine.earlier)."""

    def load(self, rows: Rows) -> None:
        """Rows created, changed or gone. Live values (a campaign's state and speed, whether a line is on) follow their
        row too, but for what was ordered here and is not in it yet."""
        live = self._live
        for name, ids in rows.gone.items():
            for id in ids:
                self._remove(name, id)
        for row in sorted(rows.records, key=_load_order):
            record = live.unsaved.over(row, rows.saved_n, live.out.facts)
            if isinstance(record, rec.Group):
                live.groups[record.id] = record
            elif isinstance(record, rec.Status):
                live.statuses[record.id] = record
            elif isinstance(record, rec.PauseCode):
                live.pause_codes[record.id] = record
            elif isinstance(record, rec.Blocked):
                self._block(record)
            elif isinstance(record, rec.CallerIdNumber):
                live.caller_ids.set(record)
            elif isinstance(record, rec.Line) and record.site == live.site.id:
                live.pool.set(record)
                live.touch("lines", record.id)
            elif isinstance(record, rec.Campaign) and record.site in ("", live.site.id):
                self._load_campaign(record, rows)
            elif isinstance(record, rec.Agent) and record.site == live.site.id:
                self._load_agent(record)
            else:
                self._moved(record)
        for campaign in live.campaigns.values():
            campaign.dirty = True

    def _moved(self, record: rec.Record) -> None:
        """A row of another site, which may have been ours until now: two sites would dial a campaign of one, fill its
        line twice, and both have the agent."""
        name = type(record).__name__
        if record.id in self.known().get(name, ()):
            self._remove(name, record.id)

    def known(self) -> dict[str, Collection[int]]:
        """Ids of the rows that are held, by record class name."""
        live = self._live
        return {
            "Group": live.groups,
            "Status": live.statuses,
            "PauseCode": live.pause_codes,
            "Blocked": live.blocked,
            "CallerIdNumber": live.caller_ids.numbers,
            "Line": live.pool.lines,
            "Campaign": live.campaigns,
            "Agent": live.desks,
        }

    def _load_campaign(self, record: Campaign, rows: Rows) -> None:
        live = self._live
        campaign = live.campaigns.get(record.id)
        try:
            rules = live.law.rules(record.rule_set, live.utc)
        except CommandError as error:  # its file was taken away: that is this campaign's trouble, not the site's
            log.error("campaign.not_loaded", site=live.site.id, campaign_id=record.id, **error.details)
            live.alerts[f"campaign {record.id}"] = "campaign_suspended"
            return
        if campaign is None or not campaign.suspended:
            live.alerts.pop(f"campaign {record.id}", None)
        self._going.pop(("Campaign", record.id), None)
        if campaign is None:
            policy, ledger = new_policy(live, record, rules, rows.ledgers.get(record.id, ()))
            campaign = CampaignLive(
                record=record, rules=rules, policy=policy, ledger=ledger, state=record.state, since_utc=live.utc
            )
            campaign.tokens_at = live.now
            campaign.tz_groups = rows.tz_groups.get(record.id, ())
            live.campaigns[record.id] = campaign
            self.on_new(campaign)
            join(live, campaign)
            for desk in live.desks.values():
                if record.id in desk.campaign_ids:
                    campaign.agents[desk.state] += 1
        elif campaign.rules == rules and _as(campaign, record.version) == record:
            campaign.record = record  # told of what was done here, or of what is known already
            return
        else:
            hopper_changed = (campaign.record.list_ids, campaign.record.order) != (record.list_ids, record.order)
            campaign.record, campaign.rules = record, rules
            configure(live, campaign)
            if record.state is not campaign.state:
                self._ordered_elsewhere(campaign, record.state)
            if hopper_changed:
                self._hopper.drop_leads(campaign, frozenset(), frozenset(), frozenset())
        live.touch("campaigns", record.id)

    def _ordered_elsewhere(self, campaign: CampaignLive, state: CampaignState) -> None:
        """Another site of it, or another daemon, was told to start, pause or stop this campaign."""
        live = self._live
        if state is CampaignState.RUNNING:
            try:
                self.check_startable(campaign)
            except CommandError as error:
                log.warning("campaign.not_started", site=live.site.id, campaign_id=campaign.id, code=error.code)
                return
            campaign.suspended = ""
            live.alerts.pop(f"campaign {campaign.id}", None)
        else:
            self._hopper.withdraw_previews(campaign)
        campaign.state, campaign.since_utc = state, live.utc

    def _load_agent(self, record: rec.Agent) -> None:
        live = self._live
        self._going.pop(("Agent", record.id), None)
        desk = live.desks.get(record.id)
        if desk is None:
            desk = live.desks[record.id] = Desk(record=record, since_at=live.now, since_utc=live.utc)
            self.on_new(desk)
        desk.record = record
        desk.phone = live.phones.get(record.extension, ev.DeviceState.UNKNOWN)
        self._desks.nailing_changed(desk)
        if not record.enabled and desk.state is not AgentState.SIGNED_OUT:
            self._desks.sign_out(desk, "administrator")
        live.touch("agents", record.id)

    def _block(self, record: rec.Blocked) -> None:
        self._unblock(record.id)
        self._live.blocked[record.id] = record
        self._live.blacklist[record.group_id, record.e164] = record.id

    def _unblock(self, id: int) -> None:
        row = self._live.blocked.pop(id, None)
        if row is not None and self._live.blacklist.get((row.group_id, row.e164)) == id:
            del self._live.blacklist[row.group_id, row.e164]

    def stand_in(self, attempts: Iterable[OpenAttempt], agents: Iterable[AgentStateRow]) -> None:
        """At start, before those at work are adopted: an agent whose row is gone may be in a conversation, which is
        theirs to its end."""
        live = self._live
        groups = {row.attempt_id: row.group_id for row in attempts}
        for row in agents:
            if row.agent_id in live.desks or row.state == AgentState.SIGNED_OUT:
                continue
            group_id = groups.get(row.attempt_id, 0) if row.attempt_id is not None else 0
            record = rec.Agent(id=row.agent_id, group_id=group_id, site=live.site.id, login="", name="", extension="")
            record = msgspec.structs.replace(record, nailed=False, enabled=False)
            live.desks[row.agent_id] = Desk(record=record, since_at=live.now, since_utc=live.utc)
            self._going["Agent", row.agent_id] = None

    def see_off(self) -> None:
        """Whoever may not work any more leaves, now or after the call in progress."""
        for desk in list(self._live.desks.values()):
            if not desk.record.enabled:
                self._desks.sign_out(desk, "administrator")

    def _remove(self, name: str, id: int) -> None:
        live = self._live
        if name == "Line":
            live.pool.remove(id)
            live.alerts.pop(f"line {id}", None)
            live.touch("lines", id)
        elif name == "CallerIdNumber":
            if (number := live.caller_ids.numbers.get(id)) is not None:
                live.alerts.pop(f"caller ID {number.record.e164}", None)
            live.caller_ids.remove(id)
        elif name == "Blocked":
            self._unblock(id)
        elif name == "Status":
            live.statuses.pop(id, None)
        elif name == "PauseCode":
            live.pause_codes.pop(id, None)
        elif name == "Group":
            live.groups.pop(id, None)
        elif name == "Agent" and (desk := live.desks.get(id)) is not None:
            self._desks.sign_out(desk, "administrator")
            self._going[name, id] = None
        elif name == "Campaign":
            live.alerts.pop(f"campaign {id}", None)
            if (campaign := live.campaigns.get(id)) is not None:
                self._hopper.drop_leads(campaign, frozenset(), frozenset(), frozenset())
                campaign.state = CampaignState.STOPPED
                self._going[name, id] = None
                live.touch("campaigns", id)
        self.sweep()

    def sweep(self) -> None:
        """What is no longer there goes when its last call has."""
        live = self._live
        for name, id in list(self._going):
            if name == "Agent" and live.desks[id].call is None and not live.desks[id].signed_in:
                del live.desks[id], self._going[name, id]
                live.touch("agents", id)
            elif name == "Campaign" and not live.campaigns[id].calls:
                del live.campaigns[id], self._going[name, id]
                live.touch("campaigns", id)


def _as(campaign: CampaignLive, version: int) -> Campaign:
    """The row that would say what holds here now."""
    return msgspec.structs.replace(campaign.record, version=version, state=campaign.state)


def _load_order(record: rec.Record) -> tuple[int, int]:
    """What others refer to comes first."""
    order = (rec.Group, rec.Status, rec.PauseCode, rec.Blocked, rec.CallerIdNumber, rec.Line, rec.Campaign, rec.Agent)
    return next((n for n, kind in enumerate(order) if isinstance(record, kind)), len(order)), record.id
