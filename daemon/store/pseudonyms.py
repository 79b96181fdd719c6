"""What stays of a number its owner had erased: an HMAC-SHA256 under a key that is a file, never in the database.

Whoever has only the database, or a copy of it, can't tell whose number a pseudonym was, nor try all numbers: there are
few enough of them to try, so a hash without a key would hide nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

from daemon import keyfile

KEY_FILE = "pseudonym.key"
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
    """Those of the key in `folder`, made at the first start. Raises SettingsError."""
    return Pseudonyms(keyfile.load_or_make(folder / KEY_FILE, random_bytes))
