"""The voice part of the drivers' contract on a real Asterisk."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from daemon.ami.modes import MODES
from tests.ami.ground import ALL_MODES, Ground, clean, site  # noqa: F401 - fixtures
from tests.ami.voice_contract import *  # noqa: F403 - the suite is the module
from tests.asterisk.ami import AmiClient
from tests.asterisk.bed import SECRET
from tests.asterisk.conftest import Lab


@pytest.fixture(params=list(ALL_MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


_calling: set[asyncio.Task[None]] = set()


@pytest.fixture
def ground(lab: Lab) -> Ground:
    def call_in(mode: str) -> None:
        """A Local channel stands for the trunk's: its far half runs our way in."""

        async def call() -> None:
            async with AmiClient(lab.bed.ports.ami) as ami:
                await ami.action(
                    "Originate", Channel=f"Local/0199000001@in-{mode}/n", Application="Wait", Data="60",
                    CallerID="<0612000077>", Async="true", Timeout="20000",
                )  # fmt: skip

        _calling.add(task := asyncio.create_task(call()))
        task.add_done_callback(_calling.discard)

    made = Ground(
        tcp_port=lab.bed.ports.ami,
        http_port=lab.bed.ports.http,
        secret=SECRET,
        users={name: f"cadran-{name}" for name in MODES} | {"ari": "ari"},
        trunk="line-a",
        numbers={"talks": "0612000012" + "01"},
        phones={"talker": "1001", "second": "1002"},
        route="route",
    )
    return replace(made, call_in=call_in)
