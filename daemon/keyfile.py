"""A key kept as a file beside the data, never in the database: for pseudonyms, webhooks, the secrets of CRMs.

Daemons that share a database need the same files; a backup of the database is of use only with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from daemon.disk import sync
from daemon.errors import SettingsError

KEY_BYTES = 32


def load_or_make(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The key in `path`, made at the first start (0600, owned as its folder is). Raises SettingsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read(path)
        key = random_bytes(KEY_BYTES)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(f"{key.hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            sync(path.parent)  # its name too: what is written with a key that is gone can't be read
        except OSError:
            path.unlink(missing_ok=True)  # a part of a key is none
            raise
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise SettingsError("daemon.data_dir", str(path), f"can't be read or made: {error.strerror}") from error
    return key


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as error:
        raise SettingsError("daemon.data_dir", str(path), "is not a key: 64 hexadecimal digits") from error
    if len(key) != KEY_BYTES:
        raise SettingsError("daemon.data_dir", str(path), "is not a whole key: 64 hexadecimal digits")
    return key
