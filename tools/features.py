"""Which promised behaviour is proven by which test: lists the clauses per id, rewrites docs/features.md.

Run by `make features`. Tests are collected, not run; whether they pass is read from .cache/feature-outcomes.json,
where each test run notes its marked tests. A behaviour counts as proven if at least one test claims it and none of
the tests that claim it failed or was skipped when last run; a test never run here is counted and reported as such.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = ROOT / ".cache" / "feature-outcomes.json"
HEAD = """\
# What Cadran promises, and what proves it

Made by `make features` from docs/features.toml and the tests; don't edit. A test stands here when it is marked with the
id and reaches the behaviour through a public door: the API, the command line, a page, or what the PBX gets to see.
"""


@dataclass
class Feature:
    """A promise and its proofs: clause -> tests that claim it."""

    id: str
    section: str
    title: str
    acceptance: str
    clauses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def tests(self) -> list[str]:
        return sorted({test for tests in self.clauses.values() for test in tests})


def load_features() -> dict[str, Feature]:
    """The promises by id, in the order of the file."""
    entries = tomllib.loads((ROOT / "docs" / "features.toml").read_text("utf-8"))["feature"]
    return {entry["id"]: Feature(**entry) for entry in entries}


def collect_proofs() -> list[dict[str, str]]:
    """The marked tests, as pytest collects them. Exits with pytest's own words if collection fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "proofs.json"
        words = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "--no-header",
            f"--feature-map={target}",
            "tests",
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 5):  # 5: no test at all
            sys.exit(f"features: the tests could not be collected\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return list(json.loads(target.read_text("utf-8"))) if target.exists() else []


def page(features: dict[str, Feature]) -> str:
    """docs/features.md. The same tests give the same page, whatever has been run."""
    parts = [HEAD]
    section = ""
    for feature in features.values():
        if feature.section != section:
            section = feature.section
            parts.append(f"\n## {section}\n\n| id | behaviour | proven by |\n|---|---|---|\n")
        proofs = "<br>".join(
            f"{clause}: {', '.join(f'`{short(test)}`' for test in sorted(set(tests)))}"
            for clause, tests in sorted(feature.clauses.items())
        )
        text = f"**{feature.title}.** {feature.acceptance}"
        parts.append(f"| {feature.id} | {escape(text)} | {escape(proofs) or '—'} |\n")
    return "".join(parts)


def short(test: str) -> str:
    """A test's id without the folder every test is in."""
    return test.removeprefix("tests/")


def escape(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    features = load_features()
    for proof in collect_proofs():
        tests = features[proof["id"]].clauses[proof["clause"]]
        if proof["test"] not in tests:
            tests.append(proof["test"])
    outcomes: dict[str, str] = json.loads(OUTCOMES.read_text("utf-8")) if OUTCOMES.exists() else {}
    (ROOT / "docs" / "features.md").write_text(page(features), "utf-8")
    proven = 0
    not_run: set[str] = set()
    for feature in features.values():
        tests = feature.tests()
        broken = [test for test in tests if outcomes.get(test) in ("failed", "skipped")]
        not_run |= {test for test in tests if test not in outcomes}
        proven += bool(tests) and not broken
        for clause, claiming in sorted(feature.clauses.items()):
            print(f"{feature.id}  {clause}  [{', '.join(short(test) for test in claiming)}]")
        for test in broken:
            print(f"{feature.id}  NOT counted: {short(test)} {outcomes[test]} when last run")
    if not_run:
        print(f"{len(not_run)} of these tests have not been run here yet (make test, make test-asterisk)")
    print(f"features: {proven} of {len(features)} proven")


if __name__ == "__main__":
    main()
