"""The voice part of the drivers' contract on the fake PBX, with the manager users and the include that Cadran ships."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from daemon.ami.modes import MODES
from fake_asterisk.config import AriUser, Endpoint, FakeConfig
from fake_asterisk.pbx import FakeAsterisk
from tests.ami.ground import ALL_MODES, Ground, clean, site  # noqa: F401 - fixtures
from tests.ami.test_contract import NUMBERS, ROUTE, SECRET, SHIPPED, behaviour_of, shipped_users
from tests.ami.voice_contract import *  # noqa: F403 - the suite is the module

WAYS_IN = """
[in-asyncagi]
exten => _X.,1,AGI(agi:async)
[in-dialplan]
exten => _X.,1,Goto(cadran-inbound,${EXTEN},1)
[in-ari]
exten => _X.,1,Stasis(cadran-par,${EXTEN})
"""


@pytest.fixture(params=list(ALL_MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    phones = [Endpoint(str(number), "route") for number in (1001, 1002)]
    ways_in = [Endpoint(way, f"in-{way}") for way in ("asyncagi", "dialplan", "ari")]
    trunks = [Endpoint("trunk", "route"), *ways_in]
    config = FakeConfig(
        users=shipped_users(),
        endpoints={endpoint.name: endpoint for endpoint in [*phones, *trunks]},
        behaviour_of=behaviour_of,
        dialplan=(SHIPPED / "extensions-cadran.conf").read_text("utf-8") + ROUTE + WAYS_IN,
        sounds={"cadran-safe-harbour": 1.0},
        login_delay_s=0.05,
        ari_users={"ari": AriUser(SECRET)},
    )
    pbx = FakeAsterisk(config, rng=random.Random(3))
    port = await pbx.listen(0)
    made = Ground(
        tcp_port=port,
        http_port=await pbx.listen_ari(0),
        secret=SECRET,
        users={name: f"cadran-{name}" for name in MODES} | {"ari": "ari"},
        trunk="trunk",
        numbers={what: f"{number}00000" for what, number in NUMBERS.items()},
        phones={"talker": "1001", "second": "1002"},
        route="route",
    )
    yield replace(made, call_in=lambda mode: pbx.call_in(mode, "0199000001", "0612000077") and None)
    await pbx.close()
