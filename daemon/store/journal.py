"""The local journal: every fact is written here before its effect is shown, and trimmed once the store has it.

In: facts of the engine. Out: `pending()`, in order, to the FactWriter. An outage of PostgreSQL is the same path, only
longer. Segments of records `length, CRC-32, MessagePack([fence, n, fact])`; a record cut short by a crash ends its
segment. Bounded: as the journal fills, telemetry is dropped first, then steps of calls; outcomes, dispositions, agents'
states and the ledger have the rest of the room, and `full` tells the engine to place no new calls.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from daemon.calls.facts import AnyFact, CallEventFact, NumberedFact, PacingDecided
from daemon.errors import SettingsError
from daemon.store.mark import Mark

SEGMENT_BYTES = 4 << 20
_FRAME = struct.Struct(">II")
_MAGIC = b"CDRNJ1\n\0"
_TELEMETRY_UP_TO = 0.7
_STEPS_UP_TO = 0.9
"""Shares of the bound above which pacing decisions, then steps of calls, are no longer taken; the rest is outcomes'."""
MARK_EVERY = 20
"""Syncs from one saving of the mark to the next: about a second's worth of facts may be confirmed beyond it."""


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    fence: int
    n: int
    fact: AnyFact


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Entry)


class Files(Protocol):
    """Where segments live. Raises OSError when the medium fails (full, gone)."""

    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...
    def append(self, name: str, data: bytes) -> None:
        """All of `data`, or an OSError."""
        ...

    def syncing(self, name: str) -> Callable[[], None]:
        """A call, good in any thread, after which what is appended so far survives the machine's death."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """The file holds `data`, durably, or what it held before."""
        ...

    def truncate(self, name: str, size: int) -> None: ...
    def delete(self, name: str) -> None: ...
    def close(self) -> None: ...


class Folder:
    """Segments as files of a folder, 0700. Raises SettingsError if it can't be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, int] = {}
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "not writable")
        except OSError as error:
            raise SettingsError(
                "journal folder", str(path), f"a writable folder is needed ({error.strerror})"
            ) from error

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self._path.iterdir() if entry.suffix == ".seg")

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def append(self, name: str, data: bytes) -> None:
        descriptor = self._descriptor(name)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def syncing(self, name: str) -> Callable[[], None]:
        duplicate = os.dup(self._descriptor(name))  # ours stays usable, and may be closed, meanwhile

        def sync() -> None:
            try:
                os.fdatasync(duplicate)
            finally:
                os.close(duplicate)

        return sync

    def replace(self, name: str, data: bytes) -> None:
        fresh = self._path / f"{name}.new"
        with open(fresh, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path / name)
        self._sync_folder()

    def truncate(self, name: str, size: int) -> None:
        os.ftruncate(self._descriptor(name), size)

    def delete(self, name: str) -> None:
        if (descriptor := self._open.pop(name, None)) is not None:
            os.close(descriptor)
        (self._path / name).unlink(missing_ok=True)

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._open[name] = os.open(self._path / name, flags, 0o600)
            self._sync_folder()
        return self._open[name]

    def _sync_folder(self) -> None:
        """So that a new name survives too."""
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class MemoryFiles:
    """Segments in memory, for simulated time: survives a daemon's death as bytes do. `room` bytes are the disk."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.data: dict[str, bytearray] = {}
        self.whole: dict[str, bytes] = {}
        self.synced: dict[str, int] = {}
        self.room = room

    def names(self) -> list[str]:
        return sorted(self.data)

    def read(self, name: str) -> bytes:
        return self.whole[name] if name in self.whole else bytes(self.data[name])

    def replace(self, name: str, data: bytes) -> None:
        self.whole[name] = data

    def append(self, name: str, data: bytes) -> None:
        if sum(map(len, self.data.values())) + len(data) > self.room:
            raise OSError(28, "no space left")
        if name not in self.data:
            self.data[name] = bytearray()
        self.data[name] += data

    def syncing(self, name: str) -> Callable[[], None]:
        size = len(self.data.get(name, b""))

        def sync() -> None:
            self.synced[name] = size

        return sync

    def truncate(self, name: str, size: int) -> None:
        del self.data[name][size:]

    def delete(self, name: str) -> None:
        self.data.pop(name, None)

    def close(self) -> None:
        return

    def lose_unsynced(self, keep: int = 0) -> None:
        """The machine dies: of what was not synced, `keep` bytes a segment happen to be there."""
        for name, data in self.data.items():
            del data[self.synced.get(name, 0) + keep :]


class _Segment(msgspec.Struct):
    name: str
    size: int
    last: tuple[int, int]


class Journal:
    """One site's journal. `begin` names the fence new facts get; `append` numbers and writes them.

    Figures for metrics: `dropped` facts not taken for want of room, `torn` bytes cut off at open, `corrupt` segments
    with damage before their end, `failed_writes`, `size` in bytes.
    """

    def __init__(
        self, files: Files, site: str, *, bytes_max: int = 256 << 20, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.site = site
        self.fence = self.last_n = 0
        self.dropped = self.torn = self.corrupt = self.failed_writes = 0
        self.error = ""
        self._files, self.bytes_max = files, bytes_max
        self._segment_bytes = max(1024, min(segment_bytes, bytes_max // 8))
        self._segments: list[_Segment] = []
        self._pending: deque[NumberedFact] = deque()
        self._unwritten: deque[tuple[tuple[int, int], bytes]] = deque()
        self._unwritten_bytes = 0
        self._dirty: dict[str, None] = {}
        self.on_unsynced: Callable[[], None] = _nobody
        """Called when there is something to sync (daemon.store.writer.keep_synced)."""
        self._next_name = 1
        self.mark = Mark(files)
        self._syncs = self._size = 0
        self._load()
        self._size = sum(segment.size for segment in self._segments)

    @classmethod
    def open(cls, where: Path | Files, site: str, *, bytes_max: int = 256 << 20) -> Journal:
        """The journal in a folder (made if missing) or in `Files` given; what the last life left is pending."""
        return cls(Folder(where / site) if isinstance(where, Path) else where, site, bytes_max=bytes_max)

    # -- what is there -------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes held, written or waiting to be."""
        return self._size + self._unwritten_bytes

    @property
    def full(self) -> bool:
        """No new calls: the journal is near its bound, or what it took could not be written."""
        return bool(self._unwritten) or self._size + self._unwritten_bytes >= self.bytes_max * _TELEMETRY_UP_TO

    def pending(self, limit: int | None = None) -> Sequence[NumberedFact]:
        """The oldest facts that the store has not confirmed, in order."""
        if limit is None:
            return list(self._pending)
        return list(islice(self._pending, limit))

    @property
    def pending_count(self) -> int:
        """How many facts wait for the store."""
        return len(self._pending)

    @property
    def unwritten_count(self) -> int:
        """How many of them the medium has not taken."""
        return len(self._unwritten)

    # -- writing -------------------------------------------------------------------------------------------------------

    def begin(self, fence: int, last_n: int = 0) -> None:
        """New facts belong to `fence` from now on; `last_n` is the store's mark for it."""
        ours = [fact.n for fact in self._pending if fact.fence == fence]
        self.fence, self.last_n = fence, max([last_n, *ours])

    def append(self, facts: Sequence[AnyFact]) -> list[NumberedFact]:
        """Number and write; they are pending from now on. Never raises: what the medium refuses stays in memory, is
        tried again at each append and sync, and makes the journal `full`."""
        taken = []
        fence, ample = self.fence, self.bytes_max * _TELEMETRY_UP_TO
        for fact in facts:
            if self._size + self._unwritten_bytes >= ample and not self._room_for(fact):
                self.dropped += 1
                continue
            self.last_n = n = self.last_n + 1
            numbered = NumberedFact(site=self.site, fence=fence, n=n, fact=fact)
            body = _encoder.encode((fence, n, fact))  # as _Entry is read
            record = _FRAME.pack(len(body), zlib.crc32(body)) + body
            self._unwritten.append(((fence, n), record))
            self._unwritten_bytes += len(record)
            taken.append(numbered)
        self._pending.extend(taken)
        self._write()
        return taken

    def _room_for(self, fact: AnyFact) -> bool:
        """Whether there is room for it now that there is none to waste."""
        size = self._size + self._unwritten_bytes
        match fact:
            case PacingDecided():
                return False
            case CallEventFact():
                return size < self.bytes_max * _STEPS_UP_TO
            case _:
                return size < self.bytes_max

    def _write(self) -> None:
        while self._unwritten:
            if not self._segments or self._segments[-1].size >= self._segment_bytes:
                self._segments.append(_Segment(f"{self._next_name:08d}.seg", 0, (0, 0)))
                self._next_name += 1
            segment = self._segments[-1]
            data, keys, room = b"" if segment.size else _MAGIC, 0, self._segment_bytes - segment.size
            if self._unwritten_bytes + len(data) <= room:
                keys = len(self._unwritten)
                data += b"".join([record for _, record in self._unwritten])
            else:
                while keys < len(self._unwritten) and len(data) < room:
                    data += self._unwritten[keys][1]
                    keys += 1
            try:
                self._files.append(segment.name, data)
            except OSError as error:
                self._write_failed(segment, error)
                return
            segment.size += len(data)
            self._size += len(data)
            if segment.name not in self._dirty:
                self._dirty[segment.name] = None
                self.on_unsynced()
            if keys == len(self._unwritten):
                segment.last = self._unwritten[-1][0]
                self._unwritten.clear()
                self._unwritten_bytes = 0
            for _ in range(keys if self._unwritten else 0):
                segment.last, record = self._unwritten.popleft()
                self._unwritten_bytes -= len(record)
        self.error = ""

    def _write_failed(self, segment: _Segment, error: OSError) -> None:
        self.failed_writes += 1
        self.error = str(error)
        self.on_unsynced()
        with contextlib.suppress(OSError, KeyError):  # a part may have got through: it must not stand before the rest
            self._files.truncate(segment.name, segment.size)
        if segment.size == 0:
            self._delete(self._segments.pop())

    @property
    def unsynced(self) -> bool:
        """Whether a sync has anything to do: bytes written since the last one, or not yet written."""
        return bool(self._dirty or self._unwritten)

    def sync(self) -> None:
        """Write what is waiting, then make it survive the machine's death (fdatasync)."""
        self.note_sync([self.synced_by(call) for call in self.begin_sync()])

    def begin_sync(self, *, with_mark: bool = False) -> list[Callable[[], None]]:
        """Write what is waiting; then the calls that make it survive, good in any thread. The mark is saved with every
        MARK_EVERY-th sync, or `with_mark`."""
        self._write()
        dirty, self._dirty = self._dirty, {}
        calls = []
        for name in dirty:
            with contextlib.suppress(OSError, KeyError):  # applied and deleted meanwhile
                calls.append(self._files.syncing(name))
        self._syncs += 1
        if self.mark.due and (with_mark or self._syncs % MARK_EVERY == 0):
            calls.append(self.mark.saving())
        return calls

    @staticmethod
    def synced_by(call: Callable[[], None]) -> str:
        """Run a call of `begin_sync`; the error, or nothing."""
        try:
            call()
        except OSError as error:
            return str(error)
        return ""

    def note_sync(self, errors: Sequence[str]) -> None:
        """What became of `begin_sync`'s calls."""
        for error in filter(None, errors):
            self.failed_writes += 1
            self.error = error

    def mark_applied(self, upto: NumberedFact, *, confirmed: bool = True) -> None:
        """Everything up to and with `upto` is settled; segments that hold nothing else are deleted. `confirmed`: the
        store has it (else it was set aside)."""
        mark = (upto.fence, upto.n)
        if confirmed:
            was_due = self.mark.due
            self.mark.advance(upto.fence, upto.n, upto.fact.at)
            if self.mark.due and not was_due:
                self.on_unsynced()
        if self._pending and self._pending[-1] is upto:
            self._pending.clear()
        while self._pending and (self._pending[0].fence, self._pending[0].n) <= mark:
            self._pending.popleft()
        while self._unwritten and self._unwritten[0][0] <= mark:
            self._unwritten_bytes -= len(self._unwritten.popleft()[1])
        while self._segments and self._segments[0].last <= mark:
            if len(self._segments) == 1 and self._segments[0].size < self._segment_bytes:
                break  # still being written
            self._delete(self._segments.pop(0))

    def _delete(self, segment: _Segment) -> None:
        self._size -= segment.size
        self._dirty.pop(segment.name, None)
        with contextlib.suppress(OSError):
            self._files.delete(segment.name)

    def close(self) -> None:
        """Sync and let go of the files; a journal with nothing pending leaves none but its mark."""
        self.sync()
        if self.mark.due:
            self.note_sync([self.synced_by(self.mark.saving())])
        if not self._pending:
            while self._segments:
                self._delete(self._segments.pop())
        self._files.close()

    # -- after a crash -----------------------------------------------------------------------------------------------

    def _load(self) -> None:
        names = self._files.names()
        for position, name in enumerate(names):
            data = self._files.read(name)
            self._next_name = max(self._next_name, int(name.split(".")[0]) + 1)
            good, last = len(_MAGIC) if data.startswith(_MAGIC) else 0, (0, 0)
            for end, entry in _entries(data):
                good, last = end, (entry.fence, entry.n)
                self._pending.append(NumberedFact(site=self.site, fence=entry.fence, n=entry.n, fact=entry.fact))
            if good < len(data):
                self.torn += len(data) - good
                self.corrupt += position < len(names) - 1
                self._files.truncate(name, good)
            if last == (0, 0):
                self._files.delete(name)
            else:
                self._segments.append(_Segment(name, good, last))


def _nobody() -> None:
    """Nobody wants to know."""


def _entries(data: bytes) -> Iterator[tuple[int, _Entry]]:
    """The whole records of a segment, each with the offset of its end; stops at the first that is not whole."""
    if not data.startswith(_MAGIC):
        return
    at = len(_MAGIC)
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        try:
            entry = _decoder.decode(body)
        except msgspec.DecodeError:
            return
        at += _FRAME.size + length
        yield at, entry
