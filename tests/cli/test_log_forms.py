"""Both forms of the log: an exception comes with its lines of code, never with the values its functions held."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import structlog

from daemon.clock import SystemClock
from daemon.service import set_up_logs


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.feature("C2C-13", clause="a logged exception shows no value of the functions it went through")
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_logged_exception(form: str, capsys: pytest.CaptureFixture[str], restored: None) -> None:
    set_up_logs("info", form, SystemClock())
    password = "-".join(["hunter", "2"])
    number = "+33" + "612345678"
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("t").exception("request failed", secret=password, who=len(number))
    told = capsys.readouterr().err
    assert "request failed" in told and "ValueError: broken" in told and "test_log_forms.py" in told
    assert password not in told and number not in told


@pytest.mark.feature(
    "RELY-09", clause="a log on a full disk, or that nobody reads any more, loses lines and ends nothing"
)
@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("where", ["full disk", "closed pipe"])
def test_a_log_that_cannot_be_written(where: str, form: str, monkeypatch: pytest.MonkeyPatch, restored: None) -> None:
    if where == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
        stream = os.fdopen(writer, "w", buffering=1)
    else:
        stream = open("/dev/full", "w", buffering=1)  # noqa: SIM115 - closed below, with what it could not write
    monkeypatch.setattr(sys, "stderr", stream)
    set_up_logs("info", form, SystemClock())
    for _ in range(3):
        structlog.get_logger("t").warning("x" * 20_000)
    with suppress(OSError):
        stream.close()
