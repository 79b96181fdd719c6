"""The pages' words and colours, without a browser: same keys in both languages, all used keys exist, contrast."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "daemon" / "api" / "pages"
FR = json.loads((PAGES / "words" / "fr.json").read_text("utf-8"))
EN = json.loads((PAGES / "words" / "en.json").read_text("utf-8"))
SCRIPTS = sorted(PAGES.rglob("*.js"))


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    assert set(FR) == set(EN)
    for key, text in FR.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", EN[key])), key


def test_every_word_a_page_asks_for_exists() -> None:
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        for key in re.findall(r"""\b(?:t|empty)\(\s*'([a-z_.0-9]+)'""", text):
            assert key in FR, f"{script.name}: {key}"
        for key in re.findall(r"""\blabelled\('[a-z_]+', '([a-z_.]+)'""", text):
            assert key in FR, f"{script.name}: {key}"
        for words, names in re.findall(r"""\bheads\('([a-z_.]*)', \[([^\]]*)\]""", text):
            for name in re.findall(r"(?<!\.)'([a-z_.0-9]+)'", names):
                assert words + name in FR, f"{script.name}: {words}{name}"
        for start in re.findall(r"""\bt\(`([a-z_]+\.[a-z_]*)\$\{""", text):
            assert any(key.startswith(start) for key in FR), f"{script.name}: {start}"
        for name in re.findall(r"""\bword\('([a-z_]+)'""", text):
            assert any(key.startswith(name + ".") for key in FR), f"{script.name}: {name}"


def test_states_stages_and_outcomes_of_the_engine_all_have_words() -> None:
    from daemon.agents.states import AgentState
    from daemon.calls.causes import Outcome
    from daemon.calls.records import CampaignMode
    from daemon.calls.states import STAGES

    keys = [f"state.{s}" for s in AgentState] + [f"outcome.{o}" for o in Outcome]
    keys += [f"stage.{s}" for s in STAGES.values()] + [f"mode.{m}" for m in CampaignMode]
    assert [key for key in keys if key not in FR] == []


def test_every_reason_that_holds_a_lead_back_has_words() -> None:
    """What the engine writes into `blocked_by`, as its source has it, and what a count of leads adds."""
    from daemon.dialer import recycling

    source = Path(recycling.__file__).read_text("utf-8")
    reasons = set(re.findall(r'LeadNext\([^"\n]*"([a-z_]+)"', source))
    assert {"recycled_out", "done", "technical_limit"} <= reasons
    reasons |= {"dnc", "erased", "consent", "callback", "in_progress", "list_off", "waiting"}
    assert sorted(f"blocked.{reason}" for reason in reasons if f"blocked.{reason}" not in FR) == []


def test_french_is_written_without_exclamation_or_veuillez() -> None:
    for key, text in FR.items():
        assert "!" not in text and "euillez" not in text, key


def test_no_page_asks_for_another_host_or_runs_inline_code() -> None:
    for file in [*SCRIPTS, *PAGES.glob("*.html"), *PAGES.glob("*.css")]:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, file.name
        assert "innerHTML" not in text.replace("no innerHTML", "") and "eval(" not in text, file.name
        if file.suffix == ".html":
            assert " style=" not in text and not re.search(r"<script(?![^>]*src=)", text), file.name


def _loads(script: Path, seen: set[Path], *, on_demand: bool = False) -> set[Path]:
    """A script and all that it imports; `on_demand`: what comes only when it is opened, too."""
    if script not in seen:
        seen.add(script)
        later = r"|import\(" if on_demand else ""
        for name in re.findall(rf"""(?:from {later})'(\.[^']+)'""", script.read_text("utf-8")):
            _loads((script.parent / name).resolve(), seen, on_demand=on_demand)
    return seen


@pytest.mark.parametrize("page", ["app.js", "desk.js", "wall.js"])
def test_a_pages_scripts_stay_small(page: str) -> None:
    """All that a page loads, its worker too, before compression."""
    scripts = _loads(PAGES / page, set()) | _loads(PAGES / "worker.js", set())
    assert 30_000 < sum(script.stat().st_size for script in scripts) <= 250_000
    assert {
        script
        for name in ("app.js", "desk.js", "wall.js", "worker.js")
        for script in _loads(PAGES / name, set(), on_demand=True)
    } == set(SCRIPTS)  # none that no page loads


def _tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9A-F]{6})", block))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_ink_is_legible_on_every_surface(theme: int) -> None:
    css = (PAGES / "style.css").read_text("utf-8")
    tokens = _tokens(re.findall(r":root[^{]*\{([^}]*)\}", css)[theme if theme == 0 else -1])
    for surface in ("bg", "surface"):
        for ink in ("text", "text-2", "accent", "ready", "on-call", "reserved", "wrap", "pause", "alert"):
            assert contrast(tokens[ink], tokens[surface]) >= 4.5, (ink, surface)
        assert contrast(tokens["control"], tokens[surface]) >= 3.0
    for tint in ("tint-info", "tint-watch", "tint-alert"):
        assert contrast(tokens["text"], tokens[tint]) >= 7.0
    assert contrast(tokens["on-accent"], tokens["accent"]) >= 4.5
    assert contrast(tokens["on-accent"], tokens["alert"]) >= 4.5


def test_fields_of_shipped_crm_templates_have_words() -> None:
    """Titles are English, as the format has them; the page says them in its language."""
    crm = PAGES.parents[1] / "config" / "crm"
    titles = {
        t for path in crm.rglob("*.xml") for t in re.findall(r'<Parameter\b[^>]*Title="([^"]+)"', path.read_text())
    }
    assert "Client secret" in titles
    keys = {"crm.label." + re.sub("[^a-z]+", "_", title.split(", e.g. ")[0].lower()) for title in titles}
    assert sorted(keys - set(FR)) == []
