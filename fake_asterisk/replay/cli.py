"""The command line of the replay: options in, one line a scenario out, the last one `replay: N of M equal`.

Exit status: 0 all equal (and at least one), 1 some are not, 2 wrong use. `record` as the first word makes a recording
instead: `record DRAFT.json ... --out FOLDER`.
"""

# ruff: noqa: T201  (what this prints is its result)

import argparse
import asyncio
import secrets as entropy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fake_asterisk import lab
from fake_asterisk.replay.folder import Recording, read_folder
from fake_asterisk.replay.recorder import load_draft, record
from fake_asterisk.replay.runner import Outcome, Replay, hang_up_leftovers
from fake_asterisk.replay.scenario import LATER_NEEDS, ScenarioError
from fake_asterisk.replay.servers import ExternalServer, Stage, replay_on_fake, replay_over_tcp

CLEANER = "dialer"  # the lab's user who may do everything
SHOWN = 5
REST_S = 0.4  # between two scenarios on one server: its channels end, its devices become idle


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["record"]:
        return _record(_record_parser().parse_args(words[1:]))
    options = _parser().parse_args(words)
    try:
        recordings, left_out, wrong = read_folder(options.captures)
        recordings, more = _chosen(recordings, options)
        stage = Stage(options.conf or conf_of(options.captures))
        known = _secrets(stage, options.secret)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if stage.conf is None and not options.host:
        print("no configuration of the recorded server (--conf): the fake's own contexts instead", file=sys.stderr)
    for line in [*left_out, *more]:
        print(f"left out: {line}")
    for line in wrong:
        print(f"WRONG      {line}")
    equal, count = _replay_all(recordings, options, stage, known), len(recordings) + len(wrong)
    print(f"replay: {equal} of {count} equal")
    return 0 if equal == count > 0 else 1


def _chosen(recordings: list[Recording], options: argparse.Namespace) -> tuple[list[Recording], list[str]]:
    """The recordings to replay, and why others are not."""
    names = {recording.scenario.name for recording in recordings}
    if unknown := [name for name in options.only if name not in names]:
        raise ValueError(f"no recording is called {', '.join(unknown)} in {options.captures}")
    if options.only:
        recordings = [recording for recording in recordings if recording.scenario.name in options.only]
    if options.host is None:
        return recordings, []
    able = [recording for recording in recordings if not recording.scenario.needs]
    unable = [
        f"{recording.scenario.name}: needs {need} ({LATER_NEEDS.get(need, 'unknown')})"
        for recording in recordings
        for need in recording.scenario.needs
    ]
    return able, unable


def conf_of(captures: Path) -> Path | None:
    """The configuration of the server whose recordings these are: beside them, or else where the shared ones' is."""
    beside = captures.resolve().parent / "lab" / "conf"
    return beside if beside.is_dir() else lab.recorded()


def _secrets(stage: Stage, pairs: Sequence[str]) -> dict[str, str]:
    known = stage.secrets()
    for pair in pairs:
        user, equals, secret = pair.partition("=")
        if not equals:
            raise ValueError(f"--secret {pair}: must be USER=SECRET")
        known[user] = secret
    return known


def _replay_all(
    recordings: list[Recording], options: argparse.Namespace, stage: Stage, known: Mapping[str, str]
) -> int:
    """How many were equal."""
    if options.host or options.real_time:
        return asyncio.run(_replay_in_real_time(recordings, options, stage, known))
    equal = 0
    for recording in recordings:
        outcome = replay_on_fake(recording.scenario, stage, known, entropy.token_hex(4))
        equal += _report(recording, outcome, verbose=options.verbose)
    return equal


async def _replay_in_real_time(
    recordings: list[Recording], options: argparse.Namespace, stage: Stage, known: Mapping[str, str]
) -> int:
    """One after the other on a server that is shared, otherwise several at a time."""
    slots = asyncio.Semaphore(1 if options.host else max(options.jobs, 1))

    async def one(recording: Recording) -> bool:
        async with slots:
            if options.host:
                outcome = await _on_external(recording, ExternalServer(options.host, options.port), known)
            else:
                outcome = await replay_over_tcp(recording.scenario, stage, known, entropy.token_hex(4))
            return _report(recording, outcome, verbose=options.verbose)

    return sum(await asyncio.gather(*(one(recording) for recording in recordings)))


async def _on_external(recording: Recording, server: ExternalServer, known: Mapping[str, str]) -> Outcome:
    outcome = await Replay(recording.scenario, server, known, entropy.token_hex(4)).run()
    await _clean(server, outcome, known)
    return outcome


def _report(recording: Recording, outcome: Outcome, *, verbose: bool) -> bool:
    differences = recording.differences(outcome)
    name = recording.scenario.name
    if not differences:
        print(f"equal      {name}", flush=True)
        return True
    shown = differences if verbose else differences[:SHOWN]
    rest = f"\n  and {len(differences) - len(shown)} more (-v shows them)" if len(differences) > len(shown) else ""
    lines = "\n".join(f"  {line}" for difference in shown for line in str(difference).splitlines())
    print(f"DIFFERENT  {name}\n{lines}{rest}", flush=True)
    return False


def _record(options: argparse.Namespace) -> int:
    """Each draft done to the server in turn."""
    try:
        known = _secrets(Stage(options.conf or lab.recorded()), options.secret)
        server = ExternalServer(options.host, options.port)
        for path in options.drafts:
            print(f"recorded   {asyncio.run(_record_one(path, server, known, options.out))}", flush=True)
    except (OSError, ValueError, ScenarioError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _record_one(path: Path, server: ExternalServer, known: Mapping[str, str], folder: Path) -> str:
    draft = load_draft(path)
    outcome = await record(draft, server, known, entropy.token_hex(4), folder)
    await _clean(server, outcome, known)
    if outcome.problems:
        raise ScenarioError(f"{draft.name}: {'; '.join(outcome.problems)}")
    return draft.name


async def _clean(server: ExternalServer, outcome: Outcome, known: Mapping[str, str]) -> None:
    if outcome.roles.ids:
        await hang_up_leftovers(server, CLEANER, known[CLEANER], outcome.roles.ids.values())
    await asyncio.sleep(REST_S)


def _record_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fake_asterisk.replay record")
    parser.add_argument("drafts", type=Path, nargs="+", help="scenarios without times and ids")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5038)
    parser.add_argument("--conf", type=Path, metavar="DIR", help="that server's configuration files")
    parser.add_argument("--secret", action="append", default=[], metavar="USER=SECRET", help="default: as in those")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recordings")
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fake_asterisk.replay", description=__doc__.partition("\n")[0])
    parser.add_argument("--captures", type=Path, required=True, help="folder of NAME.json and NAME.ami")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this scenario; repeatable")
    parser.add_argument("--host", help="replay against a server that runs there, instead of the fake")
    parser.add_argument("--port", type=int, default=5038)
    parser.add_argument(
        "--conf", type=Path, metavar="DIR", help="configuration of that server (default: lab/conf beside the captures)"
    )
    parser.add_argument("--secret", action="append", default=[], metavar="USER=SECRET", help="default: as in those")
    parser.add_argument("--real-time", action="store_true", help="the fake over TCP in real time, not in virtual time")
    parser.add_argument("--jobs", type=int, default=8, help="scenarios at a time with --real-time")
    parser.add_argument("-v", "--verbose", action="store_true", help="all differences, not the first few")
    return parser
