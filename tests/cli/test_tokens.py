"""`cadran token`: what can't be is refused before anything is made, and who may what is in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.calls.records import ApiToken, Group
from daemon.cli import tokens
from daemon.ports import Store
from daemon.store.memory import MemoryStore
from tests.api.fakes import HandClock


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs the command on a store in memory: (exit code, what it printed)."""
    store = MemoryStore(HandClock())
    asyncio.run(store.open())

    def on_memory(config: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await work(store)

        return asyncio.run(main())

    monkeypatch.setattr(tokens, "_with_store", on_memory)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(tokens.app, list(arguments))
        return result.exit_code, result.output

    invoke.store = store  # type: ignore[attr-defined]
    return invoke


@pytest.mark.parametrize(
    "wrong",
    [
        ("--group", "Ma société"),
        ("--group", ""),
        ("--all-groups",),
        ("--role", "agent", "--agent", "7"),
        ("--role", "agent"),
    ],
)
def test_a_token_that_could_not_be_used_is_not_made(run: Any, wrong: tuple[str, ...]) -> None:
    code, printed = run("create", "--name", "x", *wrong)
    assert code == 2 and "cadran_" not in printed
    assert asyncio.run(run.store.find(ApiToken)) == []


@pytest.mark.feature("ROLE-03", clause="access audit: tokens made and ended at the command line too")
def test_the_command_line_is_audited(run: Any) -> None:
    code, printed = run("create", "--name", "Anna", "--role", "administrator", "--all-groups")
    (row,) = asyncio.run(run.store.find(ApiToken))
    assert code == 0 and printed.strip().endswith(row.tail) and row.all_groups
    assert [group.code for group in asyncio.run(run.store.find(Group))] == ["MAIN"]
    assert run("revoke", str(row.id))[0] == 0
    noted = [(entry["by"], entry["what"], entry["detail"]["name"]) for entry in run.store.tables.audit]
    assert noted == [("cadran token", "token.created", "Anna"), ("cadran token", "token.revoked", "Anna")]
