"""Whole weeks of a campaign, nights, a weekend, a public holiday and a clock change among them, judged from outside.

`make test-week` runs a longer one with more people; see tests/simulation/week.py for what is checked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from simulation.loop import VirtualLoop, run
from tests.simulation.week import Week

pytestmark = pytest.mark.timeout(600)

NOVEMBER = datetime(2026, 11, 9, 7, 0, tzinfo=UTC)  # Monday; Wednesday is Armistice Day
LAST_OF_SUMMER = datetime(2026, 10, 23, 7, 0, tzinfo=UTC)  # Friday; on Sunday the clocks go back in Europe alone


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks every few seconds whether there is news asks every few minutes: most of a week is night."""
    monkeypatch.setattr("daemon.app.SYSTEM_INTERVAL_S", 600.0)
    monkeypatch.setattr("daemon.engine.hopper.CLAIM_RETRY_S", 60.0)
    monkeypatch.setattr("daemon.engine.store_work.COUNTS_INTERVAL_S", 600.0)
    monkeypatch.setattr("daemon.engine.runner.AUDIT_INTERVAL_S", 3600.0)


def _judge(begin: datetime, days: float, *, agents: int = 2, scale: int = 1, seed: int) -> Week:
    """Let a campaign work and hold the PBX's ledger against the rules."""
    found: list[Week] = []

    async def main(loop: VirtualLoop) -> None:
        week = Week(loop, begin, agents=agents, scale=scale, seed=seed)
        await week.run(days)
        week.known()
        assert week.unlawful() == []
        assert week.forgotten(days) == []
        assert week.disorder() == []
        found.append(week)
        await week.world.stop()

    run(main, seed=seed)
    return found[0]


@pytest.mark.feature("LEGL-03", clause="a week with nights, a weekend and a holiday: nothing outside the hours")
@pytest.mark.feature("LEGL-08", clause="a consent that ends in the week ends the calls")
@pytest.mark.feature("RECY-02", clause="over a week every return is dialled when due, or at the next opening")
@pytest.mark.feature("CALB-01", clause="legal hours apply: a callback for the night is made at the opening")
@pytest.mark.feature("CAMP-10", clause="over a week new leads are dialled by priority, then oldest first")
def test_a_week_with_a_holiday() -> None:
    week = _judge(NOVEMBER, 7.0, seed=5)
    calls = week.calls()
    made = [at for each in calls.values() for at, _ in each]
    assert len(made) > 60
    assert {at.isoweekday() for at in made} == {1, 2, 4, 5}, "Wednesday is a holiday"
    said = [entry for person in week.people.values() for entry in person.said.values()]
    assert [due for _, _, due in said if due is not None and not 6 <= due.hour < 20]
    assert sum(len(each) >= 3 for each in calls.values()) >= 5, "several came back more than once"
    silent = next(number for number, person in week.people.items() if person.refused_at is not None)
    assert calls[silent][0][0].day == 12, "sixty days after a refusal are over on Thursday"
    week.world.clock._start += timedelta(hours=5)  # does the checker see anything at all?
    assert week.unlawful() and week.forgotten(7.0)


@pytest.mark.feature("LEGL-03", clause="the weekend the clocks go back: the hours of each place before and after")
def test_the_clocks_go_back() -> None:
    week = _judge(LAST_OF_SUMMER, 3.6, seed=7)
    firsts = {
        day: min(at for number, each in week.calls().items() for at, _ in each if number[:2] == "06" and at.day == day
                 and week.people[number].places[0][0] == "Europe/Paris")
        for day in (23, 26)
    }  # fmt: skip
    assert (firsts[23].hour, firsts[26].hour) == (8, 9), "ten o'clock in Paris, in summer and in winter time"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [11, 12])
def test_a_long_fortnight(seed: int) -> None:
    week = _judge(LAST_OF_SUMMER, 21.0, agents=6, scale=10, seed=seed)
    print(f"seed {seed}: {sum(map(len, week.calls().values()))} calls to {len(week.calls())} people in 21 days")
