"""`cadran person`: what each word asks of the daemon, and what is refused before anything is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli import people
from daemon.cli.remote import Refused

SETTINGS = object()


class Daemon:
    """Stands for the running daemon: notes what is asked of it."""

    asked: list[tuple[str, str, Any]]
    refusal: Refused | None = None

    def __init__(self, settings: object) -> None:
        assert settings is SETTINGS

    async def __aenter__(self) -> Daemon:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        if self.refusal is not None:
            raise self.refusal
        return {"done": path}


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> type[Daemon]:
    Daemon.asked, Daemon.refusal = [], None
    monkeypatch.setattr(people, "Remote", Daemon)
    monkeypatch.setattr(people, "load", lambda path: SETTINGS)
    return Daemon


@pytest.mark.feature("RGPD-01", clause="each right from the command line")
@pytest.mark.parametrize(
    ("words", "right", "body"),
    [
        (["access", "06 12"], "access", {"number": "06 12", "group_id": 0}),
        (["export", "06 12", "--group", "2"], "export", {"number": "06 12", "group_id": 2}),
        (["rectify", "06 12", "last_name=Du=Val"], "rectify",
         {"number": "06 12", "group_id": 0, "changes": {"last_name": "Du=Val"}}),
        (["erase", "06 12", "--yes", "--reason", "r"], "erase", {"number": "06 12", "group_id": 0, "reason": "r"}),
        (["object", "06 12", "--client", "3"], "object",
         {"number": "06 12", "group_id": 0, "client_id": 3, "reason": ""}),
    ],
)  # fmt: skip
def test_each_right(daemon: type[Daemon], words: list[str], right: str, body: dict[str, Any]) -> None:
    result = CliRunner().invoke(people.app, words)
    assert result.exit_code == 0, result.output
    assert daemon.asked == [("POST", f"/api/v1/people/{right}", body)]
    assert json.loads(result.stdout) == {"done": f"/api/v1/people/{right}"}


def test_an_erasure_is_asked_about_first(daemon: type[Daemon]) -> None:
    result = CliRunner().invoke(people.app, ["erase", "06 12"], input="n\n")
    assert result.exit_code == 1 and daemon.asked == []


def test_what_is_wrong_is_said_in_one_line(daemon: type[Daemon]) -> None:
    result = CliRunner().invoke(people.app, ["rectify", "06 12", "Durand"])
    assert result.exit_code == 2 and "FIELD=VALUE" in result.output and daemon.asked == []
    daemon.refusal = Refused(409, {"detail": "A call with this person is in progress"})
    result = CliRunner().invoke(people.app, ["erase", "06 12", "--yes"])
    assert result.exit_code == 1 and "in progress" in result.output
