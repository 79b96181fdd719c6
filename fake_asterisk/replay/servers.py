"""The servers a replay can be done to: one that runs elsewhere, and fakes of our own, a fresh one for each scenario."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fake_asterisk import FakeAsterisk, FakeConfig, lab
from fake_asterisk.replay.runner import Outcome, Replay
from fake_asterisk.replay.scenario import Scenario


class CannotCommand(OSError):
    """This server takes no such command from outside AMI."""


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server reached by its address alone; it can neither be stopped nor booted from here."""

    host: str
    port: int

    async def command(self, text: str) -> None:
        raise CannotCommand(f"{self.host}:{self.port} cannot be told {text!r} from here")


@dataclass(slots=True)
class FakeServer:
    """A fake in this process; its console is called directly."""

    fake: FakeAsterisk
    port: int
    host: str = "127.0.0.1"

    async def command(self, text: str) -> None:
        if not self.fake.power.command(text):
            raise CannotCommand(f"the fake does not know {text!r}")


FakeMaker = Callable[[FakeConfig], FakeAsterisk]


def lab_fake(config: FakeConfig) -> FakeAsterisk:
    """The fake as `python -m fake_asterisk --lab` starts it."""
    return FakeAsterisk(config, rng=random.Random(1))


async def replay_on_fake(
    scenario: Scenario, known: Mapping[str, str], token: str, make: FakeMaker = lab_fake
) -> Outcome:
    """The scenario done to a fake that is started for it on a loopback port and ended after it."""
    fake = make(lab.config())
    try:
        server = FakeServer(fake, await fake.listen(0))
        return await Replay(scenario, server, known, token).run()
    finally:
        await fake.close()
