"""Fixtures of the real-Asterisk suite. Without Asterisk or SIPp its tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.ami import perform
from tests.asterisk import far_ends
from tests.asterisk.bed import AsteriskBed
from tests.asterisk.far_ends import FarEnd
from tests.asterisk.root import AsteriskRoot, find_root, find_sipp


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a real Asterisk; more time too, since calls last as long as calls last."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asterisk)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No leg is given up on because the machine is slow."""
    monkeypatch.setattr(perform, "PROBE_DEADLINE_S", 30.0)


@dataclass
class Lab:
    """An Asterisk with its far ends: all customers of two lines, and the agents' phones."""

    bed: AsteriskBed
    line_a: FarEnd
    line_b: FarEnd
    phones: FarEnd

    def start(self) -> None:
        for far_end in (self.line_a, self.line_b, self.phones):
            far_end.start()
        self.bed.start()

    def close(self) -> None:
        self.bed.close()
        for far_end in (self.line_a, self.line_b, self.phones):
            far_end.stop()


@pytest.fixture(scope="session")
def asterisk_root() -> AsteriskRoot:
    root = find_root()
    if isinstance(root, str):
        pytest.skip(root)
    return root


@pytest.fixture(scope="session")
def sipp() -> str:
    path = find_sipp()
    if path is None:
        pytest.skip("SIPp is not installed (the package sip-tester)")
    return path


def make_lab(
    root: AsteriskRoot, sipp: str, folder: Path, habits: Mapping[str, far_ends.Habit] = far_ends.CUSTOMER_HABITS
) -> Lab:
    """A lab that is not started yet; `habits` of the customers by the third and fourth digit from the end."""
    bed = AsteriskBed(root)
    customers = {f"[^@]*{digits}[0-9][0-9]": habit for digits, habit in habits.items()}
    return Lab(
        bed,
        FarEnd(sipp, folder / "line-a", bed.ports.line_a, customers),
        FarEnd(sipp, folder / "line-b", bed.ports.line_b, customers),
        FarEnd(sipp, folder / "phones", bed.ports.phones, far_ends.PHONE_HABITS),
    )


@pytest.fixture(scope="module")
def lab(asterisk_root: AsteriskRoot, sipp: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for the tests of a module."""
    made = make_lab(asterisk_root, sipp, tmp_path_factory.mktemp("far-ends"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def fresh_lab(asterisk_root: AsteriskRoot, sipp: str, tmp_path: Path) -> Iterator[Lab]:
    """A lab for one test alone, which may kill and restart what it likes."""
    made = make_lab(asterisk_root, sipp, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()
