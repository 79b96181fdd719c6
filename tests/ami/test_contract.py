"""The contract of the control modes on the fake PBX, with the manager users and the include that Cadran ships."""

from __future__ import annotations

import configparser
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fake_asterisk.config import AriUser, Behaviour, Endpoint, FakeConfig
from fake_asterisk.pbx import FakeAsterisk
from fake_asterisk.rights import ManagerUser
from tests.ami.contract import *  # noqa: F403 - the suite is the module
from tests.ami.ground import ALL_MODES, DEAF, Ground, clean, site  # noqa: F401 - fixtures

SHIPPED = Path(__file__).resolve().parent.parent.parent / "config" / "asterisk"
SECRET = "fake-secret"
ROUTE = """
[route]
exten => _0X!,1,Dial(PJSIP/${EXTEN}@trunk,60)
 same => n,Hangup()
"""
HABITS = {
    "0101": Behaviour(ring_after_s=0.02, answer_after_s=0.1, media_s=60),
    "0102": Behaviour(ring_after_s=0.02, answer_after_s=0.1, hangup_after_s=3.0),
    "0103": Behaviour(rings=None, fail_sip=486),
    "0104": Behaviour(rings=None, fail_sip=404),
    "0105": Behaviour(rings=None, fail_sip=603),
    "0106": Behaviour(rings=None, fail_sip=503),
    "0107": Behaviour(ring_after_s=0.02, answer_after_s=None),
    "0108": Behaviour(ring_after_s=0.02, answer_after_s=0.1, media_s=8, voice="human"),
    "0109": Behaviour(ring_after_s=0.02, answer_after_s=0.1, media_s=8, voice="fax"),
}
NUMBERS = dict(
    zip(
        ("talks", "leaves", "busy", "unallocated", "declined", "congestion", "rings", "human", "fax"),
        HABITS,
        strict=True,
    )
)


def behaviour_of(endpoint: str, number: str, rng: random.Random) -> Behaviour:
    return HABITS.get(number[:4], Behaviour(ring_after_s=0.02, answer_after_s=0.1, media_s=60))


def shipped_users() -> dict[str, ManagerUser]:
    """The users of config/asterisk/manager-cadran.conf, one who may look and hang up but not call, the reverse, and
    those who may do all and hear too little: see DEAF."""
    manager = configparser.ConfigParser(inline_comment_prefixes=None, comment_prefixes=(";",), strict=False)
    manager.read(SHIPPED / "manager-cadran.conf", "utf-8")
    users = [ManagerUser.of(name, SECRET, manager[name]["read"], manager[name]["write"]) for name in manager.sections()]
    users.append(ManagerUser.of("nocalls", SECRET, "system,call", "call"))
    users.append(ManagerUser.of("onlyoriginate", SECRET, "system,call", "originate"))
    users.append(ManagerUser.of("deaf", SECRET, "system,agi,user", "system,call,agi,originate"))
    users.append(ManagerUser.of("deaf-all", SECRET, "", "system,call,agi,originate"))
    users.append(ManagerUser.of("deaf-filter", SECRET, "all", "system,call,agi,originate", "!Privilege: call"))
    users.append(ManagerUser.of("deaf-waits", SECRET, "system,call", "system,call,agi,originate"))
    return {user.name: user for user in users}


@pytest.fixture(params=list(ALL_MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    phones = [Endpoint(str(number), "route", registered=number != 1009) for number in (1001, 1002, 1009)]
    config = FakeConfig(
        users=shipped_users(),
        endpoints={endpoint.name: endpoint for endpoint in [*phones, Endpoint("trunk", "route")]},
        behaviour_of=behaviour_of,
        dialplan=(SHIPPED / "extensions-cadran.conf").read_text("utf-8") + ROUTE,
        sounds={"cadran-safe-harbour": 3.0},
        login_delay_s=0.05,
        ari_users={"ari": AriUser(SECRET), "ari-nocalls": AriUser(SECRET, read_only=True)},
    )
    pbx = FakeAsterisk(config, rng=random.Random(3))
    port, http_port = await pbx.listen(0), await pbx.listen_ari(0)
    yield Ground(
        tcp_port=port,
        http_port=http_port,
        secret=SECRET,
        users={
            "nocalls": "nocalls",
            "onlyoriginate": "onlyoriginate",
            "ari": "ari",
            "ari-nocalls": "ari-nocalls",
            **{name: name for name in DEAF},
            **{name: f"cadran-{name}" for name in ("asyncagi", "dialplan", "basic")},
        },
        trunk="trunk",
        numbers={what: f"{number}00000" for what, number in NUMBERS.items()},
        phones={"talker": "1001", "second": "1002", "unregistered": "1009"},
        route="route",
    )
    await pbx.close()
