"""What every test run shares: the `feature` marker, and the rule that nothing may be skipped where all is installed.

- `@pytest.mark.feature("CAMP-09", clause="safe message within 2 s")` says which promised behaviour a test proves
  through a public door. The id must be in docs/features.toml. Each run notes the outcomes of marked tests in
  .cache/feature-outcomes.json, which tools/features.py reads.
- With CADRAN_REQUIRE_ALL=1 (set by .ci/run, which installs everything) a skipped test is a failed one: a machine
  that is meant to have Asterisk, SIPp, Chromium and the rest can't pass by lacking them.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
FEATURES = ROOT / "docs" / "features.toml"
OUTCOMES = ROOT / ".cache" / "feature-outcomes.json"
REQUIRE_ALL = os.environ.get("CADRAN_REQUIRE_ALL") == "1"

# One commit, one verdict: generated examples are the same in each run. CADRAN_EXPLORE=1 draws fresh ones.
# Whether examples are made fast enough is asked of the machine, so it is not asked.
_ANY_MACHINE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("repeatable", derandomize=True, **_ANY_MACHINE)
settings.register_profile("explore", **_ANY_MACHINE)
settings.load_profile("explore" if os.environ.get("CADRAN_EXPLORE") == "1" else "repeatable")

_outcomes: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--feature-map", metavar="FILE", help="write which collected test proves which clause, as JSON")


def marked_clauses(item: pytest.Item) -> list[tuple[str, str]]:
    """The (id, clause) pairs a test claims. The id is the marker's first argument; the clause is the keyword
    `clause`, or the second argument. Raises UsageError for a marker that lacks either."""
    pairs = []
    for marker in item.iter_markers("feature"):
        words = [*marker.args, marker.kwargs.get("clause", "")]
        if len(words) < 2 or not all(isinstance(word, str) and word for word in words[:2]):
            raise pytest.UsageError(f"{item.nodeid}: feature needs an id and a clause")
        pairs.append((words[0], words[1]))
    return pairs


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = (
        {entry["id"] for entry in tomllib.loads(FEATURES.read_text("utf-8"))["feature"]} if FEATURES.exists() else None
    )
    proofs = []
    for item in items:
        for feature, clause in marked_clauses(item):
            if known is not None and feature not in known:
                raise pytest.UsageError(f"{item.nodeid}: no feature {feature!r} in docs/features.toml")
            proofs.append({"id": feature, "clause": clause, "test": item.nodeid.partition("[")[0]})
            # Carried by the report, so that the outcome is known where xdist's workers report to.
            item.user_properties.append(("feature", feature))
    if path := config.getoption("--feature-map"):
        Path(path).write_text(json.dumps(proofs), "utf-8")


def _unwelcome(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail")


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{reason}\nCADRAN_REQUIRE_ALL=1: everything is meant to be installed here, so a skip fails."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _unwelcome(report):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _unwelcome(report):
        _refuse(report)
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not any(name == "feature" for name, _ in report.user_properties):
        return
    test = report.nodeid.partition("[")[0]
    if report.failed or _outcomes.get(test) == "failed":
        _outcomes[test] = "failed"
    elif report.skipped:
        _outcomes.setdefault(test, "skipped")
    elif report.when == "call":
        _outcomes[test] = "passed"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note the outcomes beside those of earlier runs: the suites run apart (unit tests here, real Asterisk there)."""
    if hasattr(session.config, "workerinput") or not _outcomes:
        return
    noted: dict[str, Any] = {}
    if OUTCOMES.exists():
        noted = json.loads(OUTCOMES.read_text("utf-8"))
    OUTCOMES.parent.mkdir(exist_ok=True)
    OUTCOMES.write_text(json.dumps({**noted, **_outcomes}, indent=1, sort_keys=True), "utf-8")
