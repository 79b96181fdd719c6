"""A fake PBX that an AMI client cannot tell from Asterisk 22.

In process (any loop, also one of virtual time; any transport)::

    fake = FakeAsterisk(lab.config(), loop=loop, rng=random.Random(7), wall=clock.epoch)
    transport, protocol = connect(fake.protocol_factory)   # in-memory pipe or asyncio.Server
    fake.faults.cut(); fake.power.command("core stop now"); fake.ledger.originates

As a server: `python -m fake_asterisk --lab --ami-port 5038` (`--help` for more).

* `FakeAsterisk`: channels, bridges, sessions; `ledger`, `faults`, `power` hang on it.
* `FakeConfig`, `Behaviour`, `Endpoint`, `ManagerUser`: what it is made of; `lab.config()`, `people.config(...)`.
* `Ledger`: the independent witness of what was dialled, answered, bridged and how it ended.
"""

from fake_asterisk import lab, people
from fake_asterisk.config import Behaviour, Endpoint, FakeConfig
from fake_asterisk.faults import Faults
from fake_asterisk.ledger import Ledger, Leg, Originated, Talk
from fake_asterisk.pbx import FakeAsterisk
from fake_asterisk.power import Power
from fake_asterisk.rights import ManagerUser

__all__ = [
    "Behaviour",
    "Endpoint",
    "FakeAsterisk",
    "FakeConfig",
    "Faults",
    "Ledger",
    "Leg",
    "ManagerUser",
    "Originated",
    "Power",
    "Talk",
    "lab",
    "people",
]
