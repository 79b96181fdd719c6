"""The local journal: every fact is written here before its effect is shown, and trimmed once the store has it.

In: facts of the engine. Out: `pending()`, in order, to the FactWriter. An outage of PostgreSQL is the same path, only
longer. Segments of records `length, CRC-32, MessagePack([fence, n, fact])`; a record cut short by a crash ends its
segment. Bounded: as the journal fills, telemetry is dropped first, then steps of calls; outcomes, dispositions, agents'
states and the ledger have the rest of the room, and `full` tells the engine to place no new calls.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from daemon.calls.facts import AnyFact, CallEventFact, NumberedFact, PacingDecided
from daemon.store.journal_files import Files, Folder
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


class _Segment(msgspec.Struct):
    name: str
    size: int
    last: tuple[int, int]
    spoilt: bool = False
    """Its end may hold a part of a record that could not be cut off: nothing may be written behind that."""
    unread: bool = False
    """The only copy of records that this version does not know: its file stays, for the next start to set aside."""


class Journal:
    """One site's journal. `begin` names the fence new facts get; `append` numbers and writes them.

    Figures for metrics: `dropped` facts not taken for want of room, `torn` bytes cut off at open, `corrupt` segments
    with damage before their end, `unread` whole records that this version does not know (their segments are kept beside
    the journal, as `….unread`), `failed_writes`, `size` in bytes.
    """

    def __init__(
        self, files: Files, site: str, *, bytes_max: int = 256 << 20, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.site = site
        self.fence = self.last_n = 0
        self.dropped = self.torn = self.corrupt = self.unread = self.failed_writes = 0
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
            if not self._segments or not self._open_end(self._segments[-1]):
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

    def _open_end(self, segment: _Segment) -> bool:
        """Whether more may be written behind it."""
        return segment.size < self._segment_bytes and not segment.spoilt

    def _write_failed(self, segment: _Segment, error: OSError) -> None:
        self.failed_writes += 1
        self.error = str(error)
        self.on_unsynced()
        try:  # a part may have got through: it must not stand before the rest
            with contextlib.suppress(KeyError):
                self._files.truncate(segment.name, segment.size)
        except OSError:
            segment.spoilt = True
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
            if len(self._segments) == 1 and self._open_end(self._segments[0]):
                break  # still being written
            self._delete(self._segments.pop(0))

    def _delete(self, segment: _Segment) -> None:
        self._size -= segment.size
        self._dirty.pop(segment.name, None)
        if segment.unread:
            return
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
            good, last, unread = len(_MAGIC) if data.startswith(_MAGIC) else 0, (0, 0), self.unread
            for end, entry in _entries(data):
                good = end
                if entry is None:
                    self.unread += 1
                    continue
                last = (entry.fence, entry.n)
                self._pending.append(NumberedFact(site=self.site, fence=entry.fence, n=entry.n, fact=entry.fact))
            if good < len(data):
                self.torn += len(data) - good
                self.corrupt += position < len(names) - 1
                self._files.truncate(name, good)
            segment = _Segment(name, good, last, unread=self.unread > unread and not self._set_aside(name, data))
            if last != (0, 0):
                self._segments.append(segment)
            elif not segment.unread:
                self._files.delete(name)

    def _set_aside(self, name: str, data: bytes) -> bool:
        """Whether a copy for the version that knows its records is on the disk."""
        try:
            self._files.replace(f"{name}.unread", data)
        except OSError:
            return False
        return True


def _nobody() -> None:
    """Nobody wants to know."""


def _entries(data: bytes) -> Iterator[tuple[int, _Entry | None]]:
    """The whole records of a segment, each with the offset of its end; stops at the first that is not whole. None: one
    that another version wrote and this one can't read, as after a return to the release before; those behind count."""
    if not data.startswith(_MAGIC):
        return
    at = len(_MAGIC)
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + length]
        if not length or len(body) < length or zlib.crc32(body) != checksum:
            return  # zeros are what a machine's death may leave of an end that was never synced
        entry: _Entry | None = None
        with contextlib.suppress(msgspec.DecodeError):
            entry = _decoder.decode(body)
        at += _FRAME.size + length
        yield at, entry
