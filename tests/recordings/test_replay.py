"""The fake against the recordings of a real Asterisk: every scenario comes out equal, and a defect of the fake shows.

All replays run at once, each on a fake of its own, in about the time of the longest scenario.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from fake_asterisk.replay.cli import LAB_SECRET, LAB_USERS, main
from fake_asterisk.replay.compare import Difference
from fake_asterisk.replay.folder import Recording
from fake_asterisk.replay.servers import FakeMaker, lab_fake, replay_on_fake
from tests.recordings.defects import DEFECTS, Defect
from tests.recordings.material import BY_NAME, RECORDINGS, SHARED, need_recordings

KNOWN = dict.fromkeys(LAB_USERS, LAB_SECRET)
AT_ONCE = 24  # more would only make the machine late for the scenarios' rhythm
EACH_DEFECT = 2  # recordings it is tried on: the shortest that show it

Results = dict[tuple[str, str], list[Difference]]
"""(defect or "", recording) to what was different."""


def shortest_that_show(defect: Defect) -> list[Recording]:
    showing = [recording for recording in RECORDINGS if defect.shows_in(recording)]
    return sorted(showing, key=lambda recording: (recording.scenario.duration_s, recording.scenario.name))[:EACH_DEFECT]


async def replay_all(jobs: Sequence[tuple[str, Recording, FakeMaker]]) -> Results:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(defect: str, recording: Recording, make: FakeMaker) -> tuple[tuple[str, str], list[Difference]]:
        async with slots:
            outcome = await replay_on_fake(recording.scenario, KNOWN, secrets.token_hex(4), make)
        return (defect, recording.scenario.name), recording.differences(outcome)

    return dict(await asyncio.gather(*(one(*job) for job in jobs)))


@pytest.fixture(scope="module")
def results() -> Results:
    need_recordings()
    jobs = [("", recording, lab_fake) for recording in RECORDINGS]
    jobs += [(defect.name, recording, defect.make) for defect in DEFECTS for recording in shortest_that_show(defect)]
    jobs.sort(key=lambda job: -job[1].scenario.duration_s)
    return asyncio.run(replay_all(jobs))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", list(BY_NAME) or ["none"])
@pytest.mark.feature("PBX-06", clause="recorded conversations replay equal against the fake")
def test_the_fake_says_what_the_real_server_said(results: Results, name: str) -> None:
    assert results["", name] == [], "\n".join(map(str, results["", name][:5]))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
@pytest.mark.feature("PBX-06", clause="a defect of the fake lowers the number of equal recordings")
def test_a_defect_lowers_the_number_of_equal_recordings(results: Results, defect: Defect) -> None:
    tried = [recording.scenario.name for recording in shortest_that_show(defect)]
    assert tried, "no recording shows it"
    assert equal_count(results, defect.name, tried) < equal_count(results, "", tried)


def equal_count(results: Results, defect: str, names: Iterable[str]) -> int:
    return sum(not results[defect, name] for name in names)


def test_there_are_twenty_defects_and_more() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 20


def test_nothing_to_replay_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ari_call.jsonl").write_text("{}\n")
    assert main(["--captures", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == ["left out: ari_call.jsonl: ARI, not AMI", "replay: 0 of 0 equal"]


def test_the_command_counts_and_shows_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}")
    for name in ("login_failed", "permission_denied"):
        for suffix in (".json", ".ami"):
            data = (SHARED / name).with_suffix(suffix).read_bytes()
            (tmp_path / name).with_suffix(suffix).write_bytes(data.replace(b"Authentication failed", b"Go away"))
    assert main(["--captures", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "DIFFERENT  login_failed" in said
    assert "recorded: Error Message: Go away" in said
    assert said.splitlines()[-1] == "replay: 1 of 2 equal"
    assert main(["--captures", str(tmp_path), "--only", "permission_denied"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "replay: 1 of 1 equal"
    assert main(["--captures", str(tmp_path), "--only", "nosuch"]) == 2


def test_a_wrong_scenario_is_refused_with_its_name_and_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.ami").write_bytes(b"")
    (tmp_path / "odd.json").write_text('{"name": "odd", "manager_user": "a", "timeline": [{"jump": "main"}]}')
    assert main(["--captures", str(tmp_path)]) == 2
    assert "odd.json" in (said := capsys.readouterr().err)
    assert "step 0" in said
