"""`python -m benchmarks`: each benchmark in turn, each in a process of its own; the last lines together at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NEEDS_ASTERISK = {"connect_asterisk", "modes"}


def names() -> list[str]:
    """Every module and package of this folder that is a benchmark."""
    folder = Path(__file__).parent
    files = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
    packages = [path.parent.name for path in folder.glob("*/__main__.py")]
    return sorted({*files, *packages} - NEEDS_ASTERISK)


def main() -> int:
    """Run all; 1 if one failed."""
    lines, failed = [], []
    for name in names():
        print(f"== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False
        )
        print(done.stdout, end="", flush=True)
        lines.append((done.stdout.strip().splitlines() or [f"{name}: no output"])[-1])
        if done.returncode:
            failed.append(name)
    print("\n".join(["", *lines]))
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
