"""What becomes of recordings' files: taken from the PBX's folder into our own, encoded, opened by links, deleted.

A recording that can't be taken in (disk full, folder gone) stays where it is and is tried again; calls never wait for
it. Files are readable by the daemon's user alone. Encoders are programs of the machine (lame, else ffmpeg), if any.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from daemon.clock import Clock
from daemon.errors import CommandError, StoreError
from daemon.ports import TapeStore
from daemon.settings import RecordingsTable

log = structlog.get_logger(__name__)

LOOK_S: Final = 5.0
SETTLED_S: Final = 1.0
"""A file that has not grown for so long is whole."""
MISSING_AFTER: Final = timedelta(minutes=10)
ENDLESS: Final = timedelta(hours=5)
"""A recording whose end nobody told is over: no conversation is longer (its leg's time on the PBX is bounded)."""
BATCH: Final = 50
KEY_FILE: Final = "recording-links-key"
ENCODE_TIMEOUT_S: Final = 300.0


class TapeRowsAndNotes(TapeStore, Protocol):
    """The store as needed here."""

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None: ...


class DiskFull(Exception):
    """Too little is left for another recording."""


class Tapes:
    """See the module's first lines. `folders`: site → where this daemon sees the PBX's recordings."""

    def __init__(
        self,
        store: TapeRowsAndNotes,
        folders: Mapping[str, str],
        settings: RecordingsTable,
        home: Path,
        clock: Clock,
        key: bytes,
        notify: Callable[[str, Mapping[str, Any]], None],
        alert: Callable[[bool], None] = lambda on: None,
    ) -> None:
        self._store, self._settings, self._clock, self._key = store, settings, clock, key
        self._folders = {site: Path(folder) for site, folder in folders.items() if folder}
        self._home = home / "recordings"
        self._notify, self._alert = notify, alert
        self._full = False
        self._purged_on = ""

    # ---- links -------------------------------------------------------------------------------------------------------

    def link(self, id: int, lasts_s: float = 0.0) -> tuple[str, datetime]:
        """A path that opens this recording without a token, and until when (0: as the settings say)."""
        until = self._clock.utcnow() + timedelta(seconds=lasts_s or self._settings.link_s)
        stamp = int(until.timestamp())
        return f"/api/v1/recordings/{id}/audio?expires={stamp}&signature={self._sign(id, stamp)}", until

    def check(self, id: int, expires: int, signature: str) -> None:
        """Raises CommandError link_invalid for one that we never made, link_expired (410) for one that is over."""
        if not hmac.compare_digest(self._sign(id, expires), signature):
            raise CommandError("link_invalid")
        if expires < self._clock.utcnow().timestamp():
            raise CommandError("link_expired")

    async def public_link(self, base: str, attempt_id: UUID, group_id: int, lasts_s: float) -> str:
        """The address at `base` of a call's recording; "" if there is none."""
        rows = (await self._store.search_recordings(group_id, {"attempt_id": attempt_id}, 1, None)).rows
        return f"{base}{self.link(rows[0]['id'], lasts_s)[0]}" if rows else ""

    def _sign(self, id: int, expires: int) -> str:
        return hmac.new(self._key, f"{id}.{expires}".encode(), hashlib.sha256).hexdigest()

    def file_of(self, row: Mapping[str, Any]) -> Path:
        """The file of a kept recording. Raises CommandError recording_gone."""
        path = Path(row["path"]) if row["path"] else None
        if row["state"] != "kept" or path is None or not path.is_file():
            raise CommandError("recording_gone", {"state": row["state"]})
        return path

    # ---- taking in ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take in what is finished, delete what is too old, for ever."""
        while True:
            try:
                await self.take_in()
                await self.purge()
            except StoreError as error:
                log.info("recordings.store_unavailable", error=str(error))
            except OSError as error:
                log.warning("recordings.disk", error=str(error))  # calls go on whatever the disk of recordings does
            await asyncio.sleep(LOOK_S)

    async def take_in(self) -> int:
        """One look at all that waits; how many were taken in."""
        now = self._clock.utcnow()
        rows = await self._store.recordings_in(("waiting",), now, BATCH)
        rows += await self._store.recordings_in(("recording",), now - ENDLESS, BATCH)
        done = 0
        for row in rows:
            if row["site"] not in self._folders:
                continue
            try:
                kept = await asyncio.to_thread(self._take, row)
            except (DiskFull, OSError, subprocess.SubprocessError) as error:
                self._trouble(row, error)
                if isinstance(error, DiskFull):
                    break
                continue
            if kept is not None:
                self._well()
                await self._store.set_recording(row["id"], kept)
                done += 1
            elif now - row["started_at"] - timedelta(seconds=row["duration_s"] or 0.0) > MISSING_AFTER:
                await self._store.set_recording(row["id"], {"state": "missing"})
        return done

    def _trouble(self, row: Mapping[str, Any], error: Exception) -> None:
        log.warning("recordings.not_taken_in", file=row["file"], error=str(error))
        if not self._full:
            self._full = True
            self._alert(True)
            self._notify("recordings.disk_full", {"site": row["site"], "error": str(error)})

    def _well(self) -> None:
        if self._full:
            self._full = False
            self._alert(False)

    def _take(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the row becomes; None if the file is not there or still grows. Runs in a thread."""
        name = Path(row["file"]).name
        source = self._folders[row["site"]] / name
        if not source.is_file():
            return None
        before = source.stat()
        if self._clock.utcnow().timestamp() - before.st_mtime < SETTLED_S:
            return None
        day: datetime = row["started_at"]
        folder = self._home / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(folder).free - before.st_size < self._settings.free_bytes_min:
            raise DiskFull(f"less than {self._settings.free_bytes_min} bytes would be left in {folder}")
        target = self._encoded(source, folder) if self._settings.mp3 else None
        if target is None:
            target = folder / name
            _copy(source, target)
        size = target.stat().st_size
        try:
            source.unlink()
        except OSError as error:
            log.info("recordings.left_on_pbx", file=name, error=str(error))
        return {"path": str(target), "bytes": size, "state": "kept"}

    def _encoded(self, source: Path, folder: Path) -> Path | None:
        """The recording as MP3 of 16 kbit/s; None without an encoder, or if it fails (then the WAV is kept)."""
        target = folder / f"{source.stem}.mp3"
        fresh = target.with_suffix(".new")
        if lame := shutil.which("lame"):
            words = [lame, "--quiet", "-b", "16", "-m", "m", str(source), str(fresh)]
        elif ffmpeg := shutil.which("ffmpeg"):
            words = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(source), "-b:a", "16k", "-f", "mp3", str(fresh)]
        else:
            return None
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600))
        done = subprocess.run(words, capture_output=True, timeout=ENCODE_TIMEOUT_S, check=False)
        if done.returncode != 0 or not fresh.stat().st_size:
            log.warning("recordings.not_encoded", file=source.name, said=done.stderr.decode(errors="replace")[-200:])
            fresh.unlink(missing_ok=True)
            return None
        fresh.chmod(0o600)
        fresh.replace(target)
        return target

    # ---- retention ---------------------------------------------------------------------------------------------------

    async def purge(self) -> int:
        """Delete what is older than the days to keep (RECD-04), at most once an hour; how many. A file that can't be
        deleted (a disk gone read-only) stays as it is, is told in the log, and tried again in an hour."""
        now = self._clock.utcnow()
        if self._purged_on == f"{now:%Y%m%d%H}":
            return 0
        count, left = 0, 0
        before = now - timedelta(days=self._settings.keep_days)
        while not left and (rows := await self._store.recordings_in(("kept", "missing", "failed"), before, BATCH)):
            for row in rows:
                try:
                    if row["path"]:
                        await asyncio.to_thread(Path(row["path"]).unlink, missing_ok=True)
                except OSError as error:
                    left += 1
                    log.warning("recordings.not_deleted", recording_id=row["id"], error=error.strerror)
                    continue
                await self._store.set_recording(row["id"], {"state": "purged", "path": "", "purged_at": now})
                target = str(row["attempt_id"])
                await self._store.note("retention", "recording.purged", target, {"recording_id": row["id"]})
                count += 1
        self._purged_on = f"{now:%Y%m%d%H}"
        return count


def _copy(source: Path, target: Path) -> None:
    """A copy for our eyes only, whole or not there."""
    fresh = target.with_suffix(target.suffix + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out, source.open("rb") as data:
        shutil.copyfileobj(data, out, 1 << 20)
    fresh.replace(target)


def load_or_make_links_key(folder: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The key that signs links, made at first start, readable by the daemon's user alone."""
    path = folder / KEY_FILE
    if path.is_file():
        return path.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    key = random_bytes(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key
