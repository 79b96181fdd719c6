"""Which past attempts hold a lead back: those that reached the network, and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from daemon.calls.lead_records import Lead
from daemon.compliance.facts import facts_of

NOW = datetime(2026, 11, 17, 9, 30, tzinfo=UTC)


def lead(**fields: object) -> Lead:
    wanted: dict[str, object] = {
        "id": 1,
        "list_id": 1,
        "campaign_id": 1,
        "group_id": 1,
        "client_id": 1,
        "e164": "+33199001001",
    }
    return Lead(**{**wanted, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempts", "times", "held_from"),
    [
        (0, [], None),
        (1, [], NOW - timedelta(minutes=1)),
        (1, [NOW - timedelta(hours=5)], None),
    ],
    ids=["never placed", "older than the times reach", "placed before, not placed since"],
)
def test_an_attempt_that_was_not_placed_does_not_hold_the_lead(
    attempts: int, times: list[datetime], held_from: datetime | None
) -> None:
    """A lead whose originate was lost with the link comes back at once, not after the gap between attempts."""
    facts = facts_of(lead(attempts=attempts, attempt_times=times, last_attempt_at=NOW - timedelta(minutes=1)))
    assert facts.last_attempt_at == held_from
    assert facts.attempt_times == tuple(times)
