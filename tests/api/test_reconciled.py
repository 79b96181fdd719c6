"""Confirming that a restored database is reconciled: who may, and how the command line says it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from typer.testing import CliRunner

from daemon.cli import remote, serve
from daemon.cli.main import app  # noqa: F401 - registers the commands
from daemon.engine import commands as c
from tests.api.fakes import World

PATH = "/api/v1/sites/main/reconciled"


@pytest.mark.feature("RELY-05", clause="only whoever administers the whole installation confirms a restored database")
async def test_who_may_confirm(world: World, client: TestClient[Any, Any]) -> None:
    for key in ("agent", "supervisor", "manager", "administrator"):
        async with client.post(PATH, headers=world.auth(key)) as response:
            assert response.status == 403, key
    assert world.door.of(c.DatabaseReconciled) == []
    async with client.post(PATH, headers=world.auth("root")) as response:
        assert response.status == 202
    [command] = world.door.of(c.DatabaseReconciled)
    assert (command.site, command.by) == ("main", "root")


class Daemon:
    """Stands for the running daemon."""

    alerts: tuple[str, ...] = ()
    asked: list[tuple[str, str]]

    def __init__(self, settings: object) -> None: ...

    async def __aenter__(self) -> Daemon:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def ask(self, method: str, path: str) -> Any:
        self.asked.append((method, path))
        return {"system": {"alerts": list(self.alerts)}}


@pytest.mark.feature("RELY-05", clause="cadran db reconciled")
@pytest.mark.parametrize(
    ("words", "alerts", "confirmed"),
    [
        ([], ("database_older: site lille", "line_resting: line 3"), ["/api/v1/sites/lille/reconciled"]),
        ([], (), []),
        (["--site", "lyon"], (), ["/api/v1/sites/lyon/reconciled"]),
    ],
)
def test_the_command(
    monkeypatch: pytest.MonkeyPatch, words: list[str], alerts: tuple[str, ...], confirmed: list[str]
) -> None:
    Daemon.asked, Daemon.alerts = [], alerts
    monkeypatch.setattr(remote, "Remote", Daemon)
    monkeypatch.setattr(remote, "load", lambda path: object())
    result = CliRunner().invoke(serve.db, ["reconciled", *words])
    assert result.exit_code == 0, result.output
    assert [path for method, path in Daemon.asked if method == "POST"] == confirmed
    assert ("dials again" in result.output) == bool(confirmed)
