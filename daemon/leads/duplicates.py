"""Which rows of one file are the same person, in sixteen bytes a key rather than a hundred.

An open-addressing table of 64-bit hashes in two arrays: a million telephone numbers take 32 MB, not 130. Two different
keys share a hash once in tens of thousands of imports of a million rows; the row would be reported as a duplicate.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence


class SeenKeys:
    """key → the row that stands for its person. Grows by doubling; half full at most."""

    def __init__(self, capacity: int = 1 << 12) -> None:
        self._digests = array("Q", bytes(8 * capacity))
        self._rows = array("Q", bytes(8 * capacity))
        self._mask, self._count = capacity - 1, 0

    def find(self, keys: Sequence[tuple[str, str]]) -> int:
        """The first row that any of the (kind, key) stands for; 0 if none was seen."""
        found = [self._rows[self._place(_digest(kind, key))] for kind, key in keys]
        return min((row for row in found if row), default=0)

    def add(self, keys: Sequence[tuple[str, str]], row: int) -> None:
        """Let the keys stand for `row` (1 or more), but those that stand for a row already."""
        for kind, key in keys:
            digest = _digest(kind, key)
            place = self._place(digest)
            if not self._digests[place]:
                self._digests[place], self._rows[place] = digest, row
                self._count += 1
                if self._count * 2 > self._mask:
                    self._grow()

    def _place(self, digest: int) -> int:
        digests, mask = self._digests, self._mask
        place = digest & mask
        while digests[place] and digests[place] != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        digests, rows = self._digests, self._rows
        capacity = (self._mask + 1) * 2
        self._digests, self._rows = array("Q", bytes(8 * capacity)), array("Q", bytes(8 * capacity))
        self._mask = capacity - 1
        for digest, row in zip(digests, rows, strict=True):
            if digest:
                place = self._place(digest)
                self._digests[place], self._rows[place] = digest, row


def _digest(kind: str, key: str) -> int:
    return hash((kind, key)) & 0xFFFFFFFFFFFFFFFF or 1
