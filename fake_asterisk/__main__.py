"""`python -m fake_asterisk`: the fake PBX as a server, until interrupted."""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from pathlib import Path

from fake_asterisk import FakeAsterisk, lab, people
from fake_asterisk.config import FakeConfig
from fake_asterisk.control import Control
from fake_asterisk.people import People


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser("fake_asterisk", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--ami-port", type=int, default=5038, help="0 chooses one (default %(default)s)")
    parser.add_argument("--ari-port", type=int, help="the REST interface too; 0 chooses one")
    parser.add_argument("--control-port", type=int, help="JSON lines: stops, faults, ledger; 0 chooses one")
    parser.add_argument("--lab", action="store_true", help="stand where the recorded server stood")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="users, telephones, contexts by DIR/manager.conf, …")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (default %(default)s)")
    parser.add_argument("--config", type=Path, help="TOML instead of the options below (people.from_toml)")
    parser.add_argument("--agents", type=int, default=10, help="agents' extensions from 1001 on, without --lab")
    parser.add_argument("--answer-chance", type=float, default=0.35, metavar="P")
    parser.add_argument("--talk-mean", type=float, default=60.0, metavar="S", help="mean seconds a customer stays")
    parser.add_argument("--silent", action="store_true", help="no sound arrives from anybody")
    return parser


def configuration(options: argparse.Namespace) -> FakeConfig:
    """What the options ask for."""
    if options.lab or options.conf:
        return lab.config(options.conf or lab.recorded())
    if options.config is not None:
        return people.from_toml(options.config.read_text(encoding="utf-8"))
    crowd = People(answer_chance=options.answer_chance, talk_mean_s=options.talk_mean, speaks=not options.silent)
    return people.config(agents=options.agents, people=crowd)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    fake = FakeAsterisk(configuration(options), rng=random.Random(options.seed))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    port = await fake.listen(options.ami_port, options.host)
    line = f"fake Asterisk: AMI on {options.host}:{port}"
    if options.ari_port is not None:
        line += f", ARI on {options.host}:{await fake.listen_ari(options.ari_port, options.host)}"
    control = Control(fake)
    if options.control_port is not None:
        line += f", control on {options.host}:{await control.listen(options.control_port, options.host)}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    await stop.wait()
    await control.close()
    await fake.close()


def main() -> int:
    """Entry point; 1 if a port cannot be opened or a configuration not be read."""
    options = arguments().parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve(options))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fake_asterisk: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
