"""The contract of the control modes on a real Asterisk."""

from __future__ import annotations

import pytest

from daemon.ami.modes import MODES
from tests.ami.contract import *  # noqa: F403 - the suite is the module
from tests.ami.ground import ALL_MODES, DEAF, Ground, clean, site  # noqa: F401 - fixtures
from tests.asterisk.bed import SECRET
from tests.asterisk.conftest import Lab

KINDS = {
    "talks": 12,
    "leaves": 10,
    "busy": 20,
    "unallocated": 21,
    "declined": 22,
    "congestion": 23,
    "rings": 30,
    "fax": 42,
}


@pytest.fixture(params=list(ALL_MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ground_of(lab: Lab) -> Ground:
    """The lab as the contract wants it."""
    numbers = {name: f"06120000{digits}01" for name, digits in {**KINDS, "human": 40}.items()}
    plain = ("nocalls", "onlyoriginate", "ari", "ari-nocalls", *DEAF)
    return Ground(
        tcp_port=lab.bed.ports.ami,
        http_port=lab.bed.ports.http,
        secret=SECRET,
        users={name: f"cadran-{name}" for name in MODES} | {name: name for name in plain},
        trunk="line-a",
        numbers=numbers,
        phones={"talker": "1001", "second": "1002", "unregistered": "1009"},
        route="route",
    )


@pytest.fixture
def ground(lab: Lab) -> Ground:
    return ground_of(lab)
