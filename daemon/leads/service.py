"""Imports as jobs of the daemon: a file is uploaded, recognised, mapped, tried, and imported in the background.

Called by the API through its `Importer` port and by the command line. One import at a time: two would only share the
same disk and database. Files wait in a directory of ours (0700) and are deleted when the job is done or forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daemon.calls.ids import uuid7
from daemon.calls.records import LeadList
from daemon.clock import Clock
from daemon.errors import CommandError, DaemonError
from daemon.leads.checking import Choices
from daemon.leads.errors import ImportFailed
from daemon.leads.opposition import Held, add_opposition
from daemon.leads.report import ImportReport
from daemon.leads.running import Plan, loaded, preview, recognise, run_import
from daemon.leads.sniff import Form
from daemon.ports import LeadSink, Store
from daemon.works import Works

JOBS_MAX = 20
"""Finished or waiting jobs kept; the oldest that is not running goes first."""

JOBS_OPEN_MAX = 10
"""Uploads not run yet that may wait at once, so that uploads can't fill the disk."""

SAVED_OPTIONS = ("columns", "duplicates", "duplicate_keys", "delimiter", "encoding", "header", "sheet", "allow_special")

Announce = Callable[[dict[str, Any]], None]
"""Told the job's state when it changes and about once a batch."""

Imported = Callable[[str], Awaitable[object]]
"""Called with who asked for it when leads have been made, so that the dialler looks at once (features LEAD-06)."""


async def _nobody(by: str) -> None:
    """No dialler to tell."""


class Profiles:
    """Saved mappings by name (features IMPT-04), one JSON file in the job directory; written whole, then renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self, group_id: int) -> dict[str, dict[str, Any]]:
        """The group's profiles. A file someone damaged counts as empty."""
        try:
            found: dict[str, dict[str, Any]] = msgspec.json.decode(self._path.read_bytes()).get(str(group_id), {})
        except (OSError, msgspec.DecodeError, AttributeError):
            return {}
        return found

    def save(self, group_id: int, name: str, options: Mapping[str, Any]) -> None:
        """Keep what can be used again of `options` under `name`."""
        try:
            everything = msgspec.json.decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            everything = {}
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = everything.setdefault(str(group_id), {})
        mine[name] = {key: options[key] for key in SAVED_OPTIONS if options.get(key) not in (None, "", {}, [])}
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(everything))
        fresh.replace(self._path)


@dataclass
class _Job:
    id: str
    path: Path
    file_name: str
    list_id: int
    group_id: int
    by: str
    form: Form | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stage: str = "uploaded"
    view: dict[str, Any] = field(default_factory=dict)
    report: ImportReport | None = None
    rows: int = 0
    part: float = 0.0
    error: dict[str, Any] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def report_path(self) -> Path:
        return self.path.with_suffix(".report.csv")


class ImportService:
    """See the module's first lines. `directory` is made with the first upload."""

    def __init__(
        self,
        store: Store,
        sink: LeadSink,
        clock: Clock,
        rng: random.Random,
        directory: Path,
        *,
        region: str = "FR",
        zone: str = "Europe/Paris",
        announce: Announce = lambda state: None,
        imported: Imported = _nobody,
        held: Held | None = None,
        works: Works | None = None,
    ) -> None:
        self._store, self._sink, self._clock, self._rng = store, sink, clock, rng
        self._directory, self._region, self._zone, self._announce = directory, region, zone, announce
        self._imported, self._held, self._works = imported, held, works or Works(clock)
        for left in directory.glob("import-*"):  # a daemon before us was stopped in the middle of one
            left.unlink(missing_ok=True)
        self.profiles = Profiles(directory / "profiles.json")
        self._jobs: dict[str, _Job] = {}
        self._one = asyncio.Lock()

    async def start(self, upload: AsyncIterator[bytes], file_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Take a file for the list `options["list_id"]`; the state, with what was recognised.

        Raises ImportFailed (nothing is kept), CommandError("not_found") if there is no such list.
        """
        row = await self._store.get(LeadList, int(options.get("list_id", 0)))
        if row is None:
            raise CommandError("not_found", {"what": "list"})
        self._make_room()
        key = uuid7(self._clock.utcnow(), self._rng).hex
        path = self._directory / f"import-{key}"
        try:
            await self._receive(upload, path)
            job = _Job(key, path, file_name, row.id, row.group_id, str(options.get("by", "")))
            form = await recognise(path, file_name)
            job.form, job.options, job.view = form.unloaded(), dict(options), preview(path, form, {})
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._jobs[key] = job
        self._announce(self._told(job))
        return self._told(job)

    def _make_room(self) -> None:
        waiting = [job for job in self._jobs.values() if job.stage in ("uploaded", "checked")]
        for job in waiting[: max(0, len(waiting) - JOBS_OPEN_MAX + 1)]:
            self._forget(job)
        idle = [job for job in self._jobs.values() if job.task is None]
        for job in idle[: max(0, len(self._jobs) - JOBS_MAX + 1)]:
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        if self._jobs.pop(job.id, None) is not None:
            self._announce({**self._told(job), "state": "forgotten"})
        job.path.unlink(missing_ok=True)
        job.report_path.unlink(missing_ok=True)

    async def configure(self, import_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Set the mapping and the choices, and try the whole file without changing anything (features IMPT-10).

        `options["profile"]`: a saved one is the base of what is told here; with columns told, they are saved under it.
        """
        job = self._job(import_id)
        if job.stage in ("running", "done"):
            raise CommandError("import_failed", {"reason": f"this import is {job.stage}"})
        options = self._with_profile(job, options)
        form = (job.form or await recognise(job.path, job.file_name)).overridden(
            encoding=options.get("encoding", ""),
            delimiter=options.get("delimiter", ""),
            header=options.get("header"),
            sheet=options.get("sheet", ""),
        )
        form = await loaded(job.path, form)
        view = preview(job.path, form, options.get("columns", {}))
        job.form, job.options, job.view = form.unloaded(), {**job.options, **options}, view
        async with self._one:
            job.report = await self._run(job, form, dry_run=True)
        job.stage = "checked"
        self._announce(self._told(job))
        return self._told(job)

    def _with_profile(self, job: _Job, options: Mapping[str, Any]) -> dict[str, Any]:
        name = options.get("profile", "")
        told = dict(options)
        if not name:
            return told
        if told.get("columns"):
            self.profiles.save(job.group_id, name, told)
            return told
        saved = self.profiles.all(job.group_id).get(name)
        if saved is None:
            raise ImportFailed(f'no mapping is saved as "{name}"')
        return {**told, **saved}

    async def run(self, import_id: str) -> dict[str, Any]:
        """Import for good, in the background; the state, to be asked for again or awaited on the stream."""
        job = self._job(import_id)
        if job.stage in ("running", "done"):
            raise CommandError("import_failed", {"reason": f"this import is {job.stage}"})
        self._plan(job).target()
        job.stage, job.error = "running", {}
        job.task = asyncio.create_task(self._works.attempt("import", self._work(job)), name=f"import {job.id}")
        self._announce(self._told(job))
        return self._told(job)

    async def _work(self, job: _Job) -> None:
        try:
            async with self._one:
                assert job.form is not None
                job.report = await self._run(job, job.form, dry_run=False)
            job.stage = "done"
            job.path.unlink(missing_ok=True)
            await self._imported(job.by)
        except DaemonError as error:
            if job.stage != "done":  # an engine that can't be told now looks again by itself
                job.stage, job.error = "failed", _said(error)
        except asyncio.CancelledError:
            if job.stage != "done":
                job.stage, job.error = "failed", {"code": "import_failed", "reason": "the daemon was stopped"}
            raise
        finally:
            if job.stage == "running":
                job.stage, job.error = "failed", {"code": "import_failed", "reason": "an error of ours: the log has it"}
            job.task = None
            self._announce(self._told(job))

    async def _run(self, job: _Job, form: Form, *, dry_run: bool) -> ImportReport:
        def progress(rows: int, part: float) -> None:
            job.rows, job.part = rows, part
            self._announce(self._told(job))

        with _kept():
            return await run_import(
                job.path,
                form,
                self._plan(job),
                self._sink,
                self._clock,
                name=job.file_name,
                dry_run=dry_run,
                report_path=job.report_path,
                progress=progress,
            )

    def _plan(self, job: _Job) -> Plan:
        options = job.options
        keys: Sequence[str] = options.get("duplicate_keys", ("phone",))
        return Plan(
            list_id=job.list_id,
            group_id=job.group_id,
            told=dict(options.get("columns", {})),
            duplicates=options.get("duplicates", "skip"),
            duplicate_keys=tuple(keys),
            scope=options.get("scope", "group"),
            choices=Choices(
                region=self._region, zone=self._zone, allow_special=bool(options.get("allow_special", False))
            ),
        )

    async def oppose(self, upload: AsyncIterator[bytes], file_name: str, client_id: int, by: str) -> dict[str, Any]:
        """Put a file of numbers on a client's red list, at once; the report. Raises as `add_opposition`."""
        path = self._directory / f"import-{uuid7(self._clock.utcnow(), self._rng).hex}"
        try:
            await self._receive(upload, path)
            async with self._one:
                report = await add_opposition(
                    path, self._store, client_id, by=by, source=file_name, region=self._region, held=self._held
                )
        finally:
            path.unlink(missing_ok=True)
        found: dict[str, Any] = msgspec.to_builtins(report)
        return found

    async def _receive(self, upload: AsyncIterator[bytes], path: Path) -> None:
        with _kept():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = path.open("xb")
        try:
            async for piece in upload:
                with _kept():
                    file.write(piece)
        finally:
            with _kept():
                file.close()

    def state(self, import_id: str) -> dict[str, Any] | None:
        """The job's state as JSON-ready values; None if there is no such job."""
        job = self._jobs.get(import_id)
        return self._told(job) if job else None

    def report_file(self, import_id: str) -> Path | None:
        """Where the reasons of every row are; None before the first try."""
        job = self._jobs.get(import_id)
        return job.report_path if job and job.report_path.exists() else None

    def _job(self, import_id: str) -> _Job:
        job = self._jobs.get(import_id)
        if job is None:
            raise CommandError("not_found", {"what": "import"})
        return job

    def _told(self, job: _Job) -> dict[str, Any]:
        return {
            "id": job.id,
            "list_id": job.list_id,
            "group_id": job.group_id,
            "file_name": job.file_name,
            "by": job.by,
            "state": job.stage,
            "rows": job.rows,
            "part": round(job.part, 3),
            "file": job.view,
            "profiles": sorted(self.profiles.all(job.group_id)),
            "report": msgspec.to_builtins(job.report) if job.report else None,
            "error": job.error or None,
        }

    async def close(self) -> None:
        """Stop what runs; nothing of it is left in the store."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in list(self._jobs.values()):
            self._forget(job)


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Works on the files of imports: a full disk, or one that is gone, is told like any other reason."""
    try:
        yield
    except OSError as error:
        raise ImportFailed(f"the daemon's own disk: {error.strerror or error}") from error


def _said(error: DaemonError) -> dict[str, Any]:
    if isinstance(error, CommandError):
        return {"code": error.code, **error.details}
    return {"code": "store_unavailable", "reason": str(error)}
