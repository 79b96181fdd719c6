"""`cadran import` and `cadran oppose`: what the terminal says after a real upload."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.progress import Progress

from daemon.cli.leads import check_only, import_file, told
from daemon.cli.remote import Refused, Remote
from tests.leads.test_imports_api import Door, door

__all__ = ["door"]  # the fixture

FILE = "tel;nom;mail\n0612345678;Durand;pas un mail\n112;Secours;\n0612345678;Double;\n"


@pytest.fixture
async def remote(door: Door) -> AsyncIterator[Remote]:
    found = Remote.__new__(Remote)
    found.base = str(door.client.make_url("/"))
    found._session = aiohttp.ClientSession(found.base, headers=door.world.auth("manager"))
    yield found
    await found._session.close()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(content: str) -> Path:
        path = tmp_path / "leads.csv"
        path.write_text(content, "utf-8")
        return path

    return write


async def run(remote: Remote, path: Path, door: Door, **options: Any) -> dict[str, Any]:
    with Progress(disable=True) as progress:
        return await import_file(remote, path, 1, door.list_id, options, progress)


@pytest.mark.feature("IMPT-05", clause="the command line tells what came in and what did not")
async def test_an_import_from_the_terminal(remote: Remote, file: Callable[[str], Path], door: Door) -> None:
    state = await run(remote, file(FILE), door, duplicates="skip")
    assert state["state"] == "done"
    assert told("leads.csv", state["report"]) == [
        "leads.csv: 1 leads made, 0 updated, of 3 rows",
        "  1 duplicates in the file",
        "  1 rejected: phone_emergency",
        "  1 left out: email_left_out",
    ]
    assert len(await door.leads()) == 1
    json.dumps(state)


async def test_a_dry_run_from_the_terminal(remote: Remote, file: Callable[[str], Path], door: Door) -> None:
    state = await check_only(remote, file(FILE), door.list_id, {})
    assert told("leads.csv", state["report"])[0] == "leads.csv: 1 of 3 rows would be imported"
    assert await door.leads() == []


async def test_a_broken_file_is_refused_with_its_row(
    remote: Remote,
    file: Callable[[str], Path],
    door: Door,
) -> None:
    with pytest.raises(Refused, match="row 2"):
        await run(remote, file('tel;nom\n0612345678;"Durand\n'), door)
