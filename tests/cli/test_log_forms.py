"""Both forms of the log: an exception comes with its lines of code, never with the values its functions held."""

from __future__ import annotations

import logging
from collections.abc import Iterator

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
