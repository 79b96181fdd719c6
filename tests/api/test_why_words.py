"""The sentence of a silent campaign names reasons and states as the pages' words do, in both languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.engine.views import CauseView
from daemon.engine.why_words import REASONS, STATES, in_words

WORDS = Path(__file__).resolve().parents[2] / "daemon" / "api" / "pages" / "words"


@pytest.mark.parametrize(("place", "language"), [(0, "en"), (1, "fr")])
def test_reasons_and_states_are_named_as_on_the_pages(place: int, language: str) -> None:
    words = json.loads((WORDS / f"{language}.json").read_text("utf-8"))
    assert {code: texts[place] for code, texts in REASONS.items()} == {
        code: words[f"blocked.{code}"] for code in REASONS
    }
    assert {code: texts[place] for code, texts in STATES.items()} == {code: words[f"state.{code}"] for code in STATES}


def test_agents_who_are_not_ready_are_counted_by_what_they_do() -> None:
    cause = CauseView(name="agents", ok=False, code="none_ready", figures={"on_call": 19, "paused": 1, "wrap_up": 2})
    assert in_words(cause, "en") == "No agent is ready: on call 19, wrap-up (ACW) 2, paused 1"
    assert in_words(cause, "fr") == "Aucun agent prêt : en appel 19, post-appel 2, en pause 1"


def test_lines_at_rest_say_when_the_first_is_back() -> None:
    figures = {"in_use": 4, "capacity": 4, "resting": 2, "free": 0, "until": "14:40", "until_day": ""}
    cause = CauseView(name="lines", ok=False, code="lines", figures=figures)
    assert in_words(cause, "fr") == ("Aucune ligne libre : 4 sur 4 occupées, 2 au repos, la première revient à 14:40")
    assert in_words(cause, "en") == "No line is free: 4 of 4 in use, 2 resting, the first is back at 14:40"


def test_only_the_greatest_reasons_are_in_the_sentence() -> None:
    held = {"recycling": 5, "consent": 9, "dnc": 1, "final": 2}
    figures = {"due": 0, "total": 1_017, **held, "until": "10:00", "until_day": "24/11"}
    cause = CauseView(name="leads", ok=False, code="none_due", figures=figures)
    assert in_words(cause, "en") == (
        "Not dialling: 0 leads due of 1,017; held: no consent 9, recycling 5, closed 2, …;"
        " next lead due on 24/11 at 10:00"
    )
