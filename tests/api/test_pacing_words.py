"""Why so many calls were placed: stored decisions, read back in words (features §7; docs/pacing.md)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.calls import facts as f
from tests.api.fakes import START, World

FIGURES: dict[str, float | int | str | None] = {
    "ready": 2,
    "expected_free": 2.3,
    "in_flight": 9,
    "expected": 3.1,
    "answer_rate": 0.31,
    "risk": 0.021,
    "threshold": 0.034,
    "abandoned": 18,
    "allowed": 21,
    "window": "hour",
}
ENGLISH = "placing 7: 2 ready, 2.3 expected free, 31 % answer, risk 2.1 % ≤ 3.4 %, 18 abandoned of 21 allowed (risk)"
FRENCH = (
    "7 appels lancés : 2 prêts, 2,3 attendus, réponse 31 %, risque 2,1 % ≤ 3,4 %, 18 abandons sur 21 permis (risque)"
)


@pytest.mark.feature("CAMP-09", clause="each stored decision says in words why it placed so many, in both languages")
async def test_stored_decisions_are_told_in_words(client: TestClient[Any, Any], world: World) -> None:
    campaign = world.rows["campaign"]
    fact = f.PacingDecided(at=START, campaign_id=campaign.id, count=7, limit="risk", figures=FIGURES)
    await world.store.apply_facts([f.NumberedFact(site="main", fence=1, n=1, fact=fact)])
    for language, words in (("en", ENGLISH), ("fr", FRENCH)):
        query = {"campaign_id": str(campaign.id), "language": language}
        async with client.get("/api/v1/reports/pacing", params=query, headers=world.auth("supervisor")) as answer:
            assert answer.status == 200
            (row,) = (await answer.json())["rows"]
        assert row["sentence"] == words
        assert row["figures"] == FIGURES and row["count"] == 7 and row["limit"] == "risk"
