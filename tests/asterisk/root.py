"""Where the real Asterisk is: a root made by debootstrap, or the one this system has installed.

`.ci/run` and docs/installation.md say how a root comes to be. CADRAN_ASTERISK_ROOT names another one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/var/cache/cadran/asterisk-sid")
VERSION_MIN = 20
"""Oldest Asterisk the suite knows: cel_custom's channel fields and Originate's ChannelId work from here on."""


@dataclass(frozen=True)
class AsteriskRoot:
    """A file system with an Asterisk in it. `path` is `/` for the system's own."""

    path: Path
    version: str

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` inside this root."""
        return list(words) if self.path == Path("/") else ["chroot", str(self.path), *words]

    def outside(self, inside: str) -> Path:
        """The path, as this process sees it, of a file named from inside the root."""
        return self.path / inside.lstrip("/")


def find_root() -> AsteriskRoot | str:
    """The root to test with, or why there is none (one sentence for the skip line)."""
    named = os.environ.get("CADRAN_ASTERISK_ROOT")
    if named and not (Path(named) / "usr/sbin/asterisk").exists():
        return f"CADRAN_ASTERISK_ROOT={named} holds no usr/sbin/asterisk"
    places = [Path(named)] if named else [DEFAULT_ROOT, Path("/")]
    place = next((place for place in places if (place / "usr/sbin/asterisk").exists()), None)
    if place is None:
        return f"no Asterisk: neither in {DEFAULT_ROOT} nor on this system (.ci/run installs one)"
    if place != Path("/") and os.geteuid() != 0:
        return f"the Asterisk in {place} can be started by root only (chroot)"
    return _checked(AsteriskRoot(place, ""))


def _checked(root: AsteriskRoot) -> AsteriskRoot | str:
    try:
        said = subprocess.run(
            root.command("/usr/sbin/asterisk", "-V"), capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"the Asterisk in {root.path} does not run: {error}"
    match = re.search(r"Asterisk (?:certified/)?(\d+)", said)
    if match is None or int(match[1]) < VERSION_MIN:
        return f"the Asterisk in {root.path} is too old: {said!r}, needed {VERSION_MIN} or newer"
    return AsteriskRoot(root.path, said)


def find_sipp() -> str | None:
    """The SIPp program, which plays customers and phones; None if not installed."""
    return shutil.which("sipp")
