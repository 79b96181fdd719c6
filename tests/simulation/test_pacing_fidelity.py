"""The whole daemon dials as its policy alone does, and events late and lost cost it no law: `make bench-fidelity`,
small (docs/pacing.md has the figures of the whole)."""

from __future__ import annotations

import pytest

from benchmarks.pacing.peers import PolicyDialer
from simulation import twins
from simulation.loop import run
from simulation.shift import Scenario

pytestmark = pytest.mark.timeout(300)

SHORT = Scenario(name="short", agents=12, talk_s=50.0, wrap_s=12.0, answer=((0.0, 0.4),))
SHIFT_S = 900.0


def test_the_daemon_dials_as_its_policy_alone() -> None:
    bare = twins.bare(SHORT, 1, PolicyDialer(SHORT), SHIFT_S)
    whole = run(lambda loop: twins.whole(loop, SHORT, 1, SHIFT_S), seed=1)
    assert whole.connected > 90, "a shift that says something"
    assert abs(whole.occupancy - bare.occupancy) <= 0.05
    assert abs(whole.abandoned - bare.abandoned) <= 4
    assert whole.hour_excess <= 1.0
    assert whole.seen_abandoned <= whole.abandoned, "the PBX saw nobody wait whom the daemon does not count"


@pytest.mark.feature("CAMP-09", clause="events of the PBX a second late and one in 200 lost: still under the ceiling")
def test_late_and_lost_events_stay_legal() -> None:
    found = run(lambda loop: twins.whole(loop, SHORT, 2, SHIFT_S, twins.late_and_lost(2)), seed=2)
    assert found.connected > 75
    assert found.hour_excess <= 1.0
    assert found.occupancy >= 0.7
