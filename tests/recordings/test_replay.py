"""The fake against the recordings of a real Asterisk: every scenario comes out equal, and a defect of the fake shows.

The replays run in virtual time, so they are as good on a busy machine as on an idle one.
"""

import secrets
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from fake_asterisk.replay.cli import conf_of, main
from fake_asterisk.replay.compare import Difference
from fake_asterisk.replay.folder import Recording
from fake_asterisk.replay.servers import FakeMaker, Stage, lab_fake, replay_on_fake
from tests.recordings.defects import DEFECTS, Defect
from tests.recordings.material import BY_NAME, RECORDINGS, SHARED, WRONG, need_recordings

CONF = conf_of(SHARED)  # the recorded server's own: recordings name its contexts and steps
KNOWN = Stage(CONF).secrets()
EACH_DEFECT = 2  # recordings it is tried on: the shortest that show it


def shortest_that_show(defect: Defect) -> list[Recording]:
    by_duration = sorted(RECORDINGS, key=lambda recording: (recording.scenario.duration_s, recording.scenario.name))
    found: list[Recording] = []
    for recording in by_duration:
        if len(found) < EACH_DEFECT and defect.shows_in(recording):
            found.append(recording)
    return found


def replayed(recording: Recording, make: FakeMaker = lab_fake) -> list[Difference]:
    outcome = replay_on_fake(recording.scenario, Stage(CONF, make), KNOWN, secrets.token_hex(4))
    return recording.differences(outcome)


@cache
def healthy(name: str) -> list[Difference]:
    return replayed(BY_NAME[name])


@pytest.mark.parametrize("name", list(BY_NAME) or ["none"])
@pytest.mark.feature("PBX-06", clause="recorded conversations replay equal against the fake")
def test_the_fake_says_what_the_real_server_said(name: str) -> None:
    need_recordings()
    assert healthy(name) == [], "\n".join(map(str, healthy(name)[:5]))


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
@pytest.mark.feature("PBX-06", clause="a defect of the fake lowers the number of equal recordings")
def test_a_defect_lowers_the_number_of_equal_recordings(defect: Defect) -> None:
    need_recordings()
    tried = shortest_that_show(defect)
    assert tried, "no recording shows it"
    with_defect = equal_count(replayed(recording, defect.make) for recording in tried)
    assert with_defect < equal_count(healthy(recording.scenario.name) for recording in tried)


def equal_count(results: Iterable[list[Difference]]) -> int:
    return sum(not differences for differences in results)


def test_every_recording_can_be_read() -> None:
    assert WRONG == []


def test_there_are_twenty_defects_and_more() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 20


def test_nothing_to_replay_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ari_call.jsonl").write_text("{}\n")
    assert main(["--captures", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == ["left out: ari_call.jsonl: ARI, not AMI", "replay: 0 of 0 equal"]


def test_the_command_counts_and_shows_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no recordings in {SHARED}")
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
    assert main(["--captures", str(tmp_path), "--only", "permission_denied", "--real-time"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "replay: 1 of 1 equal"
    assert main(["--captures", str(tmp_path), "--only", "nosuch"]) == 2


def test_a_wrong_scenario_is_named_and_counts_as_not_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.ami").write_bytes(b"")
    (tmp_path / "odd.json").write_text('{"name": "odd", "manager_user": "a", "timeline": [{"jump": "main"}]}')
    assert main(["--captures", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "odd.json" in said
    assert "step 0" in said
    assert said.splitlines()[-1] == "replay: 0 of 1 equal"
