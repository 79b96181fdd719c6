"""What stays of a number its owner had erased: an HMAC-SHA256 under a key that is a file, never in the database.

Whoever has only the database, or a copy of it, can't tell whose number a pseudonym was, nor try all numbers: there are
few enough of them to try, so a hash without a key would hide nothing.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from pathlib import Path

from daemon.errors import SettingsError

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
MARK = "~"
"""How a pseudonym begins; no number does."""


class Pseudonyms:
    """Numbers (E.164) to pseudonyms, one way."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, e164: str) -> str:
        """The same number always gives the same 65 characters."""
        return MARK + hmac.digest(self._key, e164.encode(), "sha256").hex()

    @property
    def fingerprint(self) -> str:
        """Tells one key from another without telling anything of it."""
        return self.of("which key")


def load_or_make_key(folder: Path, random_bytes: Callable[[int], bytes]) -> Pseudonyms:
    """The key in `folder`, made at the first start (0600, owned as the folder is). Raises SettingsError.

    Daemons that share a database need the same file; a backup of the database is of use only with it.
    """
    path = folder / KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return Pseudonyms(_read(path))
        key = random_bytes(KEY_BYTES)
        with os.fdopen(handle, "w") as file:
            file.write(f"{key.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = folder.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise SettingsError("daemon.data_dir", str(path), f"can't be read or made: {error.strerror}") from error
    return Pseudonyms(key)


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as error:
        raise SettingsError("daemon.data_dir", str(path), "is not a key: 64 hexadecimal digits") from error
    if len(key) != KEY_BYTES:
        raise SettingsError("daemon.data_dir", str(path), "is not a whole key: 64 hexadecimal digits")
    return key
