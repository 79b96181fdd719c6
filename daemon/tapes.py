"""What becomes of recordings' files: taken from the PBX's folder into our own, encoded, opened by links, deleted.

A recording that can't be taken in (disk full, folder gone) stays where it is and is tried again; calls never wait for
it. Files are readable by the daemon's user alone. Encoders are programs of the machine (lame, else ffmpeg), if any.
Of several daemons on one database each takes in the recordings of the sites that it leads, and deletes what it keeps.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from daemon.clock import Clock
from daemon.disk import sync
from daemon.errors import CommandError, StoreError
from daemon.ports import TapeStore
from daemon.settings import RecordingsTable

log = structlog.get_logger(__name__)

LOOK_S: Final = 5.0
SETTLED_S: Final = 1.0
"""A file that has not grown for so long is whole."""
MISSING_AFTER: Final = timedelta(minutes=10)
LATE_AFTER: Final = timedelta(seconds=30)
"""A file is there within a second of its call's end; one that is not is looked for less often."""
ENDLESS: Final = timedelta(hours=5)
"""A recording whose end nobody told is over: no conversation is longer (its leg's time on the PBX is bounded)."""
BATCH: Final = 50
PUT_OFF_S: Final = 60.0
"""A recording that could not be taken in is tried again after that; those behind it are not kept waiting."""
PUT_OFF_MAX: Final = 2000
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
SOUGHT_AGAIN_MAX: Final = 1000
"""So many that were given up for missing are looked for again each hour: their folder may have been away."""
_DAY: Final = re.compile(r"\d{4}/\d{2}/\d{2}")
STUCK_MAX: Final = 1000
KEY_FILE: Final = "recording-links-key"
KEY_BYTES: Final = 32
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
        leads: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """`leads`: the sites that this daemon leads now; all of `folders` by default."""
        self._store, self._settings, self._clock, self._key = store, settings, clock, key
        self._folders = {site: Path(folder) for site, folder in folders.items() if folder}
        self._home = home / "recordings"
        self._notify, self._alert = notify, alert
        self._leads = leads or (lambda: self._folders)
        self._full = False
        self._put_off: dict[int, tuple[float, bool]] = {}
        """Rows that could not be taken in → when to try again, and whether something was wrong."""
        self._purged_on = ""
        self._stuck: dict[int, str] = {}
        """Recordings of erased people that could not be deleted, and the hour of the last try."""

    # ---- links -------------------------------------------------------------------------------------------------------

    def link(self, id: int, lasts_s: float = 0.0) -> tuple[str, datetime]:
        """A path that opens this recording without a token, and until when (0: as the settings say)."""
        until = self._clock.utcnow() + timedelta(seconds=lasts_s or self._settings.link_s)
        stamp = int(until.timestamp())
        return f"/api/v1/recordings/{id}/audio?expires={stamp}&signature={self._sign(id, stamp)}", until

    def check(self, id: int, expires: int, signature: str) -> None:
        """Raises CommandError link_invalid for one that we never made, link_expired (410) for one that is over."""
        if not hmac.compare_digest(self._sign(id, expires).encode(), signature.encode()):
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
        now, at = self._clock.utcnow(), self._clock.now()
        self._put_off = {row: put_off for row, put_off in self._put_off.items() if put_off[0] > at}
        limit, (sites, away) = BATCH + len(self._put_off), await self._reached()
        rows = await self._store.recordings_in(("waiting",), now, limit, sites)
        rows += await self._store.recordings_in(("recording",), now - ENDLESS, limit, sites)
        lacking = await self._store.recordings_in(("waiting",), now, 1, away) if away else []
        for row in lacking:
            self._trouble(row, FileNotFoundError(2, "No such folder", str(self._folders[row["site"]])))
        done, trouble = 0, bool(lacking)
        for row in rows:
            if row["id"] in self._put_off:
                trouble |= self._put_off[row["id"]][1]
                continue
            if row["purged_at"] is not None:
                await self._forget(row)
                continue
            try:
                kept = await asyncio.to_thread(self._take, row)
            except (DiskFull, OSError, subprocess.SubprocessError) as error:
                trouble = True
                self._trouble(row, error)
                if isinstance(error, DiskFull) or getattr(error, "errno", None) in NO_ROOM:
                    break
                self._later(row["id"], at, trouble=True)
                continue
            late = now - row["started_at"] - timedelta(seconds=row["duration_s"] or 0.0)
            if kept is not None:
                done += await self._keep(row["id"], kept)
            elif late > MISSING_AFTER:
                await self._store.set_recording(row["id"], {"state": "missing"})
            elif late > LATE_AFTER:
                self._later(row["id"], at, trouble=False)
        if not trouble:
            self._well()
        return done

    def _later(self, row_id: int, at: float, *, trouble: bool) -> None:
        """Not again before PUT_OFF_S, so that those behind it have their turn."""
        if len(self._put_off) < PUT_OFF_MAX:
            self._put_off[row_id] = at + PUT_OFF_S, trouble

    async def seek_again(self) -> int:
        """What was given up for missing, should its folder have been empty for a while (not mounted); how many were
        found, and taken in."""
        now, done = self._clock.utcnow(), 0
        sites, _ = await self._reached()
        for row in await self._store.recordings_in(("missing",), now, SOUGHT_AGAIN_MAX, sites):
            if row["purged_at"] is not None:
                await self._forget(row)
                continue
            try:
                kept = await asyncio.to_thread(self._take, row)
            except (DiskFull, OSError, subprocess.SubprocessError) as error:
                log.info("recordings.not_found_again", file=row["file"], error=str(error))
                continue
            if kept is not None:
                done += await self._keep(row["id"], kept)
        return done

    async def _keep(self, row_id: int, kept: Mapping[str, Any]) -> bool:
        """It is taken in; unless its person was erased meanwhile."""
        await self._store.set_recording(row_id, kept)
        row = await self._store.recording(row_id)
        if row is None or row["purged_at"] is None:
            return True
        await self._forget(row)
        return False

    async def _forget(self, row: Mapping[str, Any]) -> None:
        """Delete what there is of a recording whose person was erased, here and on the PBX; the row then says so. What
        can't be deleted is tried again in an hour."""
        hour = f"{self._clock.utcnow():%Y%m%d%H}"
        if self._stuck.get(row["id"]) == hour:
            return
        left = self._folders[row["site"]] / Path(row["file"]).name if row["file"] else None
        try:
            for file in filter(None, (left, row["path"] and Path(row["path"]))):
                await asyncio.to_thread(file.unlink, missing_ok=True)
        except OSError as error:
            if len(self._stuck) >= STUCK_MAX:
                self._stuck.clear()
            self._stuck[row["id"]] = hour
            log.warning("recordings.not_deleted", recording_id=row["id"], error=error.strerror)
            return
        self._stuck.pop(row["id"], None)
        await self._store.set_recording(row["id"], {"state": "purged", "path": ""})

    async def _reached(self) -> tuple[list[str], list[str]]:
        """The sites that record and that we lead: those whose folder is there, and those whose is away, which says
        nothing of its files."""
        leads = self._leads()
        there: list[str] = []
        away: list[str] = []
        for site, folder in self._folders.items():
            if site in leads:
                (there if await asyncio.to_thread(folder.is_dir) else away).append(site)
        return there, away

    def _trouble(self, row: Mapping[str, Any], error: Exception) -> None:
        if not self._full or not isinstance(error, FileNotFoundError):
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
        day: datetime = row["started_at"]
        folder = self._home / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"
        if not source.is_file():
            return self._taken_before(folder, name)
        before = source.stat()
        if self._clock.utcnow().timestamp() - before.st_mtime < SETTLED_S:
            return None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(folder).free - before.st_size < self._settings.free_bytes_min:
            raise DiskFull(f"less than {self._settings.free_bytes_min} bytes would be left in {folder}")
        target = self._encoded(source, folder) if self._settings.mp3 else None
        if target is None:
            target = folder / name
            _copy(source, target)
        kept = _kept(target)
        try:
            source.unlink()
        except OSError as error:
            log.info("recordings.left_on_pbx", file=name, error=str(error))
        return kept

    def _taken_before(self, folder: Path, name: str) -> dict[str, Any] | None:
        """The file is ours already: the database, or this process, was gone before it could be told."""
        for target in (folder / f"{Path(name).stem}.mp3", folder / name):
            if target.is_file():
                return _kept(target)
        return None

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
        _put(fresh, target)
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
        swept = await asyncio.to_thread(self._sweep, before - timedelta(days=1))
        if swept:
            log.info("recordings.swept", files=swept)
        await self.seek_again()
        self._purged_on = f"{now:%Y%m%d%H}"
        return count

    def _sweep(self, before: datetime) -> int:
        """Delete files of days before that, whatever their rows say: another daemon on the same database may have said
        `purged` of what this machine keeps. How many; runs in a thread."""
        count = 0
        for folder in sorted(self._home.glob("*/*/*")):
            day = str(folder.relative_to(self._home))
            if not _DAY.fullmatch(day) or day >= f"{before:%Y/%m/%d}":
                continue
            for file in list(folder.iterdir()):
                try:
                    file.unlink()
                    count += 1
                except OSError as error:
                    log.warning("recordings.not_swept", file=file.name, error=error.strerror)
            if not any(folder.iterdir()):
                folder.rmdir()
        return count


def _kept(target: Path) -> dict[str, Any]:
    """What a row says of its file."""
    return {"path": str(target), "bytes": target.stat().st_size, "state": "kept"}


def _copy(source: Path, target: Path) -> None:
    """A copy for our eyes only, whole or not there."""
    fresh = target.with_suffix(target.suffix + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out, source.open("rb") as data:
        shutil.copyfileobj(data, out, 1 << 20)
    _put(fresh, target)


def _put(fresh: Path, target: Path) -> None:
    """Under its name for good: the PBX's own file is deleted next, so this one must survive the machine's death."""
    sync(fresh)
    fresh.replace(target)
    sync(target.parent)


def load_or_make_links_key(folder: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The key that signs links, made at first start, readable by the daemon's user alone."""
    path = folder / KEY_FILE
    if path.is_file() and len(found := path.read_bytes()) == KEY_BYTES:
        return found  # one cut short, as by a full disk, would sign what anybody can sign
    folder.mkdir(parents=True, exist_ok=True)
    key, fresh = random_bytes(KEY_BYTES), path.with_name(f"{KEY_FILE}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    _put(fresh, path)
    return key
