"""The recordings there are: those shipped beside these tests, and the shared ones where this checkout has them."""

from pathlib import Path

import pytest

from fake_asterisk import lab
from fake_asterisk.replay.folder import Recording, read_folder

ROOT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).resolve().parent
SHARED = ROOT.parent / "shared" / "asterisk" / "captures"


def all_recordings() -> tuple[list[Recording], list[str]]:
    """Every recording, the shared ones first, and what is wrong with others. Says which folder it misses."""
    found: list[Recording] = []
    errors: list[str] = []
    for folder in (SHARED, OWN):
        if folder.is_dir():
            recordings, _, wrong = read_folder(folder)
            found += recordings
            errors += wrong
        else:
            print(f"no recordings in {folder}")
    return found, errors


RECORDINGS, WRONG = all_recordings()
BY_NAME = {recording.scenario.name: recording for recording in RECORDINGS}


def need_recordings() -> None:
    if not RECORDINGS:
        pytest.skip(f"no recordings: neither in {SHARED} nor in {OWN}")
    if lab.recorded() is None:
        pytest.skip("no configuration of the recorded server: its recordings name contexts that only it has")
