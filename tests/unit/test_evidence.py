"""The judge of the campaigns on a real Asterisk: what an outage excuses, and that it excuses nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.asterisk import campaign
from tests.asterisk.campaign import SITE, Evidence
from tests.asterisk.witness import CallSeen, Conversation

ID = "01a201bc-08c5-7e9f-be48-7f295cd4a52a"
OUTAGE = (100.0, 101.5)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine is granted is left out: the instants here are nobody's clock."""
    monkeypatch.setattr(campaign, "TALK_TOLERANCE_S", 1.0)


def evidence(began: float, ended: float, outages: list[tuple[float, float]], **row: Any) -> list[str]:
    """What is found to disagree about one call of the habit 11, which the row has talk for two seconds."""
    leg = f"{SITE}-{ID.replace('-', '')}"
    attempt = {
        "id": ID, "number": 1, "e164": "+33199001101", "outcome": "connected", "answered_at": "then", "agent_id": 7,
        "talk_s": 2.0,
    } | row  # fmt: skip
    call = CallSeen(leg, "line-a", "0199001101", began - 1.0, began - 0.1, ended, 16)
    call.conversations.append(Conversation(f"{SITE}-ag-7-01a201c4195d0156", began, ended))
    return Evidence([attempt], {leg: call}, Counter({"0199001101": 1}), {"line-a": 1}, outages).problems()


@pytest.mark.parametrize(
    ("began", "ended", "outages", "agrees"),
    [
        (50.0, 52.0, [], True),
        (50.0, 53.5, [], False),
        (50.0, 53.5, [OUTAGE], False),
        (100.2, 103.5, [OUTAGE], True),  # begun in the outage: up to 1.3 s of it unseen
        (100.2, 104.9, [OUTAGE], False),
        (99.9, 103.3, [OUTAGE], True),  # begun as the link was cut: told to a socket that nobody read
        (99.5, 102.9, [OUTAGE], False),  # begun while the link was up: no excuse
        (99.0, 99.8, [OUTAGE], True),  # its end was on the way
        (98.0, 99.5, [OUTAGE], True),
        (97.5, 98.0, [OUTAGE], False),
    ],
)
def test_talk_is_excused_by_an_outage_alone(
    began: float, ended: float, outages: list[tuple[float, float]], agrees: bool
) -> None:
    found = evidence(began, ended, outages)
    assert (found == []) == agrees, found


def test_an_answer_is_never_excused() -> None:
    assert evidence(100.2, 102.0, [OUTAGE], outcome="no_answer", answered_at=None, talk_s=0.0) != []
    assert evidence(100.2, 102.0, [OUTAGE], outcome="unknown", answered_at=None, talk_s=0.0) == []
