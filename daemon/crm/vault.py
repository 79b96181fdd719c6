"""Secrets at rest: AES-256-GCM under a key that is a file beside the data, never in the database.

A copy of the database alone opens nothing; a backup of it needs the file too. Daemons that share a database share it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from daemon import keyfile
from daemon.errors import DaemonError

KEY_FILE = "crm.key"
NONCE_BYTES = 12


class VaultError(DaemonError):
    """What was sealed can't be opened: another key, or changed since."""


class Vault:
    """Seals and opens small documents. `random_bytes`: the OS's generator, seeded in simulations."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._cipher, self._random = AESGCM(key), random_bytes

    def seal(self, content: dict[str, Any], what: str) -> str:
        """The document as text; `what` must be the same at opening, so that one row's can't be put into another."""
        nonce = self._random(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(content), what.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, text: str, what: str) -> dict[str, Any]:
        """The document; {} of "". Raises VaultError."""
        if not text:
            return {}
        try:
            raw = base64.b64decode(text, validate=True)
            plain = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], what.encode())
        except (ValueError, InvalidTag) as error:
            raise VaultError(
                f"the secrets of {what} can't be opened: is {KEY_FILE} the one they were kept with?"
            ) from (error)
        found: dict[str, Any] = msgspec.json.decode(plain)
        return found


def load_or_make_key(folder: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The key in `folder`, made at the first start. Raises SettingsError."""
    return keyfile.load_or_make(folder / KEY_FILE, random_bytes)
