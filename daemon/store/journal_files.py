"""Where a journal's segments live: a folder of the machine, or memory for simulated time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from daemon.disk import sync
from daemon.errors import SettingsError


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
        sync(self._path)

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
            sync(self._path)
        return self._open[name]


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
