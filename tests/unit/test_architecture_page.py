"""docs/architecture.md: the diagram of a call is the table the daemon runs on, and the files named there exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def test_the_diagram_is_drawn_from_the_table() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "diagram.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_named_exists() -> None:
    named = sorted(set(re.findall(r"`([a-z_/]+\.(?:py|md))`", PAGE.read_text("utf-8"))))
    folders = (ROOT, ROOT / "daemon", ROOT / "tests" / "simulation")
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert named and missing == []
