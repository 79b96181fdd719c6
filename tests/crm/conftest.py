"""What the tests of CRMs share: nothing is given up on because the machine is slow."""

from __future__ import annotations

import pytest

from daemon.api import crm_api
from daemon.crm import pops, zadarma_feed


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((pops, "LOOK_UP_S"), (crm_api, "POP_WAIT_S"), (zadarma_feed, "TIMEOUT_S")):
        monkeypatch.setattr(module, name, 60.0)
