"""What the tests of links and drivers share: no leg is given up on because the machine is slow."""

from __future__ import annotations

import pytest

from daemon.ami import perform


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform, "PROBE_DEADLINE_S", 30.0)
