"""`cadran import`: a file of leads into a list, through the running daemon, with a progress bar and a report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.cli.config import DEFAULT, AsJson, ConfigPath
from daemon.cli.output import as_json, fail
from daemon.cli.remote import Refused, Remote
from daemon.settings_file import load

CHUNK = 256 * 1024


async def _read(file: Path, progress: Progress, task: Any) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            progress.advance(task, len(chunk))
            yield chunk


async def import_file(
    remote: Remote, file: Path, size: int, list_id: int, options: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Upload, check, import; the final state."""
    upload = progress.add_task("upload", total=max(1, size))
    state = await remote.ask(
        "POST", "/api/v1/imports", data=_read(file, progress, upload), list_id=str(list_id), file_name=file.name
    )
    key = state["id"]
    state = await remote.ask("POST", f"/api/v1/imports/{key}/check", options)
    rows = progress.add_task("import", total=1.0)
    state = await remote.ask("POST", f"/api/v1/imports/{key}/run")
    while state["state"] == "running":
        await asyncio.sleep(0.2)
        state = await remote.ask("GET", f"/api/v1/imports/{key}")
        progress.update(rows, completed=state["part"], description=f"import {state['rows']} rows")
    return dict(state)


def import_leads(
    file: Annotated[Path, typer.Argument(help="CSV, TXT, xlsx or xls; a header names the columns.", exists=True)],
    list_id: Annotated[int, typer.Option("--list", help="Id of the list.")],
    duplicates: Annotated[str, typer.Option(help="skip, replace or merge.")] = "skip",
    dry_run: Annotated[bool, typer.Option(help="Check only; change nothing.")] = False,
    config: ConfigPath = DEFAULT,
    json: AsJson = False,
) -> None:
    """Import leads into a list; prints what came in, and what did not and why."""
    options: dict[str, Any] = {"duplicates": duplicates}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}"), TimeRemainingColumn())

    size = file.stat().st_size

    async def main() -> dict[str, Any]:
        with Progress(*columns, transient=True) as progress:
            async with Remote(load(config)) as remote:
                if dry_run:
                    return dict(await check_only(remote, file, list_id, options))
                return await import_file(remote, file, size, list_id, options, progress)

    try:
        state = asyncio.run(main())
    except Refused as refused:
        fail(f"{file.name}: {refused}", 1)
    if json:
        as_json(state)
        return
    if state["state"] == "failed":
        fail(f"{file.name}: {(state['error'] or {}).get('reason', 'import failed')}; nothing was imported", 1)
    for line in told(file.name, state["report"]):
        typer.echo(line)


def told(name: str, report: dict[str, Any]) -> list[str]:
    """The report as lines for a terminal."""
    if report["dry_run"]:
        first = f"{name}: {report['good']} of {report['rows']} rows would be imported"
    else:
        first = f"{name}: {report['inserted']} leads made, {report['updated']} updated, of {report['rows']} rows"
    counts = [("duplicates in the file", report["duplicates_in_file"]), ("in the base", report["duplicates_in_base"])]
    lines = [first, *(f"  {count} {what}" for what, count in counts if count)]
    lines += [f"  {count} rejected: {reason}" for reason, count in sorted(report["by_reason"].items())]
    return lines + [f"  {count} left out: {what}" for what, count in sorted(report["warnings"].items())]


async def check_only(remote: Remote, file: Path, list_id: int, options: dict[str, Any]) -> Any:
    """Upload and dry run."""
    data = await asyncio.to_thread(file.read_bytes)
    state = await remote.ask("POST", "/api/v1/imports", data=data, list_id=str(list_id), file_name=file.name)
    return await remote.ask("POST", f"/api/v1/imports/{state['id']}/check", options)


def oppose(
    file: Annotated[Path, typer.Argument(help="Numbers that must not be called: CSV, TXT, xlsx or xls.", exists=True)],
    client_id: Annotated[int, typer.Option("--client", help="Id of the client they are held for.")],
    config: ConfigPath = DEFAULT,
    json: AsJson = False,
) -> None:
    """Put a file of numbers on a client's red list."""

    async def main() -> Any:
        with Progress(TextColumn("{task.description}"), BarColumn(), transient=True) as progress:
            upload = progress.add_task("upload", total=max(1, size))
            async with Remote(load(config)) as remote:
                data = _read(file, progress, upload)
                query = {"client_id": str(client_id), "file_name": file.name}
                return await remote.ask("POST", "/api/v1/imports/opposition", data=data, **query)

    size = file.stat().st_size
    try:
        report = asyncio.run(main())
    except Refused as refused:
        fail(f"{file.name}: {refused}", 1)
    if json:
        as_json(report)
        return
    typer.echo(f"{file.name}: {report['numbers']} numbers, {report['added']} new; {report['leads']} leads held")
    for reason, count in sorted(report["by_reason"].items()):
        typer.echo(f"  {count} no number: {reason}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import")(import_leads)
    app.command("oppose")(oppose)
