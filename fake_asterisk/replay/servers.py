"""The servers a replay can be done to: one that runs elsewhere, and fakes of our own, a fresh one for each scenario."""

from collections.abc import Mapping
from dataclasses import dataclass

from fake_asterisk.replay.runner import Outcome
from fake_asterisk.replay.scenario import Scenario


class CannotCommand(OSError):
    """This server takes no commands from outside AMI."""


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server reached by its address alone; it can neither be stopped nor booted from here."""

    host: str
    port: int

    async def command(self, text: str) -> None:
        raise CannotCommand(f"{self.host}:{self.port} cannot be told {text!r} from here")


async def replay_on_fake(scenario: Scenario, known: Mapping[str, str], token: str) -> Outcome:
    """The scenario done to a fake that is started for it on a loopback port and ended after it."""
    raise CannotCommand("the fake server is not part of this build")
