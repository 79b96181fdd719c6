"""The pacing of a campaign whose row is changed while it dials is that of a campaign which began so."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from daemon.calls.records import Campaign, CampaignMode
from daemon.compliance import load_rule_sets
from daemon.dialer.modes import PacingSettings
from daemon.engine.core import EngineCore
from daemon.engine.loading import Rows
from daemon.engine.rules import SiteLaw
from daemon.settings import DialerTable, SiteTable

CAMPAIGN = Campaign(
    id=1, version=1, group_id=1, client_id=1, name="Spring", site="par", mode=CampaignMode.PREDICTIVE, rule_set="fr-b2b"
)


def paced(*rows: Campaign) -> PacingSettings:
    """The pacing settings of a campaign that had these rows, one after the other."""
    site = SiteTable(id="par")
    core = EngineCore(site, DialerTable(), SiteLaw(site, load_rule_sets()), random.Random(1))
    core.live.utc = datetime(2026, 11, 20, 10, tzinfo=UTC)
    for row in rows:
        core.loading.load(Rows([row], {}, {}, {}))
    return core.live.campaigns[1].policy.settings


@pytest.mark.parametrize(
    "change",
    [
        {"rule_set": "uk-ofcom"},
        {"rule_set": "ca-crtc"},
        {"wrap_up_max_s": 5.0},
        {"abandonment_rate_max": 0.01},
        {"ring_timeout_s": 40.0},
        {"amd": True},
        {"pool_ledger": True},
        {"mode": CampaignMode.PROGRESSIVE, "speed": 3, "calls_per_second": 1.0},
    ],
)
def test_a_changed_row_is_paced_as_one_that_began_so(change: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(CAMPAIGN, **change)
    assert paced(CAMPAIGN, changed) == paced(changed)
    assert paced(changed) != paced(CAMPAIGN)
