"""The servers a replay can be done to: one that runs elsewhere, and fakes of our own, a fresh one for each scenario."""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fake_asterisk import FakeAsterisk, FakeConfig, lab
from fake_asterisk.replay.runner import Connection, Outcome, Replay
from fake_asterisk.replay.scenario import Scenario
from fake_asterisk.replay.virtual import run_virtually


class CannotCommand(OSError):
    """This server takes no such command from outside AMI."""


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server reached by its address alone; it can neither be stopped nor booted from here."""

    host: str
    port: int

    async def connect(self) -> Connection:
        return await asyncio.open_connection(self.host, self.port)

    async def command(self, text: str) -> None:
        raise CannotCommand(f"{self.host}:{self.port} cannot be told {text!r} from here")


@dataclass(frozen=True, slots=True)
class FakeServer:
    """A fake in this process; its console is called directly. Reached at a TCP port, or (None) by a socket pair."""

    fake: FakeAsterisk
    port: int | None = None

    async def connect(self) -> Connection:
        if self.port is not None:
            return await asyncio.open_connection("127.0.0.1", self.port)
        if not self.fake.power.port_open:
            raise ConnectionRefusedError("the fake's port is closed")
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self.fake.protocol_factory(), theirs)
        return await asyncio.open_connection(sock=ours)

    async def command(self, text: str) -> None:
        if not self.fake.power.command(text):
            raise CannotCommand(f"the fake does not know {text!r}")


FakeMaker = Callable[[FakeConfig], FakeAsterisk]


def lab_fake(config: FakeConfig) -> FakeAsterisk:
    """The fake as `python -m fake_asterisk --lab` starts it."""
    return FakeAsterisk(config, rng=random.Random(1))


@dataclass(frozen=True, slots=True)
class Stage:
    """What a replay on the fake needs besides the scenario: the folder of the recorded server's configuration (None:
    the lab's own stands in), and how a fake is made of it."""

    conf: Path | None
    make: FakeMaker = lab_fake

    def secrets(self) -> dict[str, str]:
        """Of each user there."""
        return {user.name: user.secret for user in lab.config(self.conf).users.values()}


def replay_on_fake(scenario: Scenario, stage: Stage, known: Mapping[str, str], token: str) -> Outcome:
    """The scenario done to a fake that is made for it, in virtual time."""
    return run_virtually(_replay(scenario, stage, known, token, tcp=False))


async def replay_over_tcp(scenario: Scenario, stage: Stage, known: Mapping[str, str], token: str) -> Outcome:
    """The same in real time, over a loopback port."""
    return await _replay(scenario, stage, known, token, tcp=True)


async def _replay(scenario: Scenario, stage: Stage, known: Mapping[str, str], token: str, *, tcp: bool) -> Outcome:
    fake = stage.make(lab.config(stage.conf))
    try:
        server = FakeServer(fake, await fake.listen(0) if tcp else None)
        return await Replay(scenario, server, known, token).run()
    finally:
        await fake.close()
