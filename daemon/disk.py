"""What must outlive the machine's sudden death."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """The file's bytes, or the names in the folder, are on the disk. A new or renamed file is there for good only once
    its folder was synced too. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
