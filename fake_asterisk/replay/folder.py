"""A folder of recordings: each scenario beside its bytes, and what else lies there that is not replayed.

In: a folder. Out: `Recording`s in order of name, and a line for every file that is left out, with the reason.
"""

from dataclasses import dataclass
from pathlib import Path

from fake_asterisk.replay.compare import Difference, Run, compare
from fake_asterisk.replay.runner import Outcome
from fake_asterisk.replay.scenario import Scenario, ScenarioError, load


@dataclass(frozen=True, slots=True)
class Recording:
    scenario: Scenario
    data: bytes

    def run(self) -> Run:
        return Run(self.data, self.scenario.recorded_roles(), booted=self.scenario.boots)

    def differences(self, outcome: Outcome) -> list[Difference]:
        """What is not equal in a replay; steps that could not be done come first."""
        replayed = Run(outcome.received, outcome.roles, booted=self.scenario.boots)
        undone = [Difference(0, f"the scenario could not be done: {problem}") for problem in outcome.problems]
        return [*undone, *compare(self.run(), replayed)]


def read_folder(folder: Path) -> tuple[list[Recording], list[str], list[str]]:
    """All recordings in `folder`; why other files are left out; and what is wrong with scenarios that are wrong."""
    recordings, left_out, wrong = [], [], []
    for path in sorted(folder.glob("*.json")):
        stream = path.with_suffix(".ami")
        if not stream.exists():
            left_out.append(f"{path.name}: no {stream.name} beside it")
            continue
        try:
            recordings.append(Recording(load(path), stream.read_bytes()))
        except (OSError, ScenarioError) as error:
            wrong.append(str(error))
    left_out += [f"{path.name}: ARI, not AMI" for path in sorted(folder.glob("*.jsonl"))]
    left_out += [
        f"{path.name}: no {path.stem}.json beside it"
        for path in sorted(folder.glob("*.ami"))
        if not path.with_suffix(".json").exists()
    ]
    return recordings, left_out, wrong
