"""How far the store has confirmed, kept beside the journal: it tells a restored, older database from the one we knew.

The journal moves the mark as facts are applied and saves it now and then (`saving`); whoever compares it with the store
says `found_older` or, once an operator has confirmed, `reconciled`. A mark that lags is safe: it only sees less.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

NAME = "applied.json"


class WholeFiles(Protocol):
    """Small files that are replaced whole."""

    def read(self, name: str) -> bytes: ...
    def replace(self, name: str, data: bytes) -> None:
        """The file holds `data`, durably, or what it held before. Raises OSError."""
        ...


class Older(msgspec.Struct, frozen=True):
    """The store lacks what it had confirmed: it knew only fact `found` of the mark's fence, asked at `at`."""

    found: int
    at: datetime


class Kept(msgspec.Struct, frozen=True):
    """The file's content: the newest fact known as confirmed, its time, and whether the store was found behind it."""

    fence: int = 0
    n: int = 0
    at: datetime | None = None
    older: Older | None = None


def read(files: WholeFiles) -> Kept:
    """The mark as it was saved; an empty one if there is none or it can't be read."""
    try:
        return msgspec.json.decode(files.read(NAME), type=Kept)
    except (OSError, KeyError, msgspec.DecodeError):
        return Kept()


class Mark:
    """One site's mark. While the store is `older`, what is saved stays as it is: a restart finds the same."""

    def __init__(self, files: WholeFiles) -> None:
        self._files = files
        self._saved = read(files)
        self.older = self._saved.older
        """Set from the instant the store was found behind until an operator has confirmed."""
        self.fence, self.n, self.at = self._saved.fence, self._saved.n, self._saved.at

    def advance(self, fence: int, n: int, at: datetime) -> None:
        """The store has confirmed this fact and all before it."""
        if (fence, n) > (self.fence, self.n):
            self.fence, self.n, self.at = fence, n, at

    @property
    def due(self) -> bool:
        """Whether there is something to save."""
        return self.older is None and (self.fence, self.n) != (self._saved.fence, self._saved.n)

    def saving(self) -> Callable[[], None]:
        """A call, good in any thread, that saves what is confirmed now."""
        kept = Kept(self.fence, self.n, self.at)

        def save() -> None:
            self._files.replace(NAME, msgspec.json.encode(kept))
            if self.older is None:
                self._saved = kept

        return save

    def found_older(self, found: int, at: datetime) -> None:
        """The store was found behind. Raises OSError if that can't be saved; it holds for this life all the same."""
        self.older = Older(found, at)
        self._saved = Kept(self.fence, self.n, self.at, self.older)
        self._files.replace(NAME, msgspec.json.encode(self._saved))

    def reconciled(self) -> None:
        """An operator has confirmed. Raises OSError, and then nothing has changed."""
        kept = Kept(self.fence, self.n, self.at)
        self._files.replace(NAME, msgspec.json.encode(kept))
        self._saved, self.older = kept, None
