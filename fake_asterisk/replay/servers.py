"""The servers a replay can be done to: one that runs elsewhere, and fakes of our own, a fresh one for each scenario."""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


def replay_on_fake(scenario: Scenario, known: Mapping[str, str], token: str, make: FakeMaker = lab_fake) -> Outcome:
    """The scenario done to a fake that is made for it, in virtual time."""
    return run_virtually(_replay(scenario, known, token, make, tcp=False))


async def replay_over_tcp(scenario: Scenario, known: Mapping[str, str], token: str) -> Outcome:
    """The same in real time, over a loopback port."""
    return await _replay(scenario, known, token, lab_fake, tcp=True)


async def _replay(scenario: Scenario, known: Mapping[str, str], token: str, make: FakeMaker, *, tcp: bool) -> Outcome:
    fake = make(lab.config())
    try:
        server = FakeServer(fake, await fake.listen(0) if tcp else None)
        return await Replay(scenario, server, known, token).run()
    finally:
        await fake.close()
