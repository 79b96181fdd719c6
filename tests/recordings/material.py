"""The recordings there are: those shipped beside these tests, and the shared ones where this checkout has them."""

from pathlib import Path

import pytest

from fake_asterisk.replay.folder import Recording, read_folder

ROOT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).resolve().parent
SHARED = ROOT.parent / "shared" / "asterisk" / "captures"


def all_recordings() -> list[Recording]:
    """Every recording, the shared ones first. Says what it misses; a test without any skips."""
    found: list[Recording] = []
    for folder in (SHARED, OWN):
        if folder.is_dir():
            found += read_folder(folder)[0]
        else:
            print(f"no recordings in {folder}")
    return found


RECORDINGS = all_recordings()
BY_NAME = {recording.scenario.name: recording for recording in RECORDINGS}


def need_recordings() -> None:
    if not RECORDINGS:
        pytest.skip(f"no recordings: neither in {SHARED} nor in {OWN}")
