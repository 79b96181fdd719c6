"""The pacing policy of a campaign as its row says, with the values steered live.

Made once as the campaign comes, then only configured, since it keeps what it has learned.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.calls.records import Campaign
from daemon.dialer.ledger import Ledger, LedgerRow, Window
from daemon.dialer.modes import Mode, PacingSettings
from daemon.dialer.pacing import PacingPolicy
from daemon.engine.law import RuleFacts
from daemon.engine.live import CampaignLive, Live
from daemon.engine.pooling import join

HOUR_TOLERANCE = 0.6
"""Part of a call forgiven in a clock hour: small teams can't have 3 % of 20 answers (issue: 3 % + 1 call)."""


def new_policy(
    live: Live, record: Campaign, rules: RuleFacts, booked: Sequence[LedgerRow]
) -> tuple[PacingPolicy, Ledger]:
    """The policy of a campaign that comes, with its ledger; `booked`: what the store knows of it."""
    settings = _settings(live, record, rules)
    ledger = Ledger(str(record.id), live.site.id, settings.windows, booked)
    return PacingPolicy(settings, ledger), ledger


def configure(live: Live, campaign: CampaignLive) -> None:
    """The campaign's row or live values changed: pacing keeps what it learned."""
    campaign.policy.configure(_settings(live, campaign.record, campaign.rules))
    campaign.ledger.load(())  # what it has summed is kept by the windows' names, and these may mean others now
    join(live, campaign)
    campaign.zones_until = None
    campaign.dirty = True


def _settings(live: Live, record: Campaign, rules: RuleFacts) -> PacingSettings:
    return PacingSettings(
        mode=Mode(record.mode.value),
        level=record.level,
        speed=record.speed,
        ceiling=_ceiling(record, rules),
        windows=_windows(record, rules),
        connect_deadline_s=min(rules.connect_deadline_s, live.dialer.connect_deadline_s),
        ring_timeout_s=_ring_timeout_s(record),
        ring_min_s=rules.ring_min_s,
        amd=record.amd,
        cps_limit=record.calls_per_second,
        wrap_up_limit_s=record.wrap_up_max_s,
    )


def _ceiling(record: Campaign, rules: RuleFacts) -> float:
    return min(record.abandonment_rate_max, rules.ceiling)


def _ring_timeout_s(record: Campaign) -> float:
    return max(15.0, record.ring_timeout_s)


def _windows(record: Campaign, rules: RuleFacts) -> tuple[Window, ...]:
    spans = {"hour": 0, "day": 1} | dict(rules.windows)
    return tuple(
        Window(
            name, days, _ceiling(record, rules), tolerance=0.0 if days else HOUR_TOLERANCE, pooled=record.pool_ledger
        )
        for name, days in spans.items()
    )
