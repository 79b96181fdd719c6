"""A short soak in every test run: three working days of a quarter of an hour on simulated time (`make soak` runs
twelve of eight hours, `make soak-hour` one real hour at ten calls a second)."""

from __future__ import annotations

import pytest

from daemon.engine import store_work
from simulation import soak
from simulation.loop import VirtualLoop, run

DAYS, WORK_S = 3, 900.0


@pytest.mark.timeout(120)
@pytest.mark.feature(
    "RELY-10", clause="night for night, simulated: tasks, timers, leases, waiting actions, and what the daemon holds"
)
def test_nothing_is_left_of_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "WORK_S", WORK_S)
    monkeypatch.setattr(soak, "DAY_S", WORK_S + 2 * 3600.0)
    monkeypatch.setattr(store_work, "COUNTS_INTERVAL_S", 600.0)
    kept: list[soak.Soak] = []

    async def main(loop: VirtualLoop) -> None:
        kept.append(soak.Soak(loop, 3))
        await kept[0].main(DAYS)

    run(main, seed=1)
    nights = kept[0].nights
    assert kept[0].attempts > 50 * DAYS, "there was work"
    for night in nights:
        assert (night.calls, night.leases, night.actions_waiting) == (0, 0, 0)
    assert len({night.tasks for night in nights}) == 1
    assert nights[-1].timers <= nights[0].timers
    assert nights[-1].bytes <= 1.2 * nights[0].bytes
