"""What a service manager may send to `cadran run`: SIGHUP ends nothing, SIGABRT leaves the stack in the log."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ami.link import until

SETTINGS = """
[daemon]
data_dir = "{folder}/data"
[database]
dsn = "postgresql://nobody@127.0.0.1:1/none"
"""


@pytest.mark.timeout(400)
@pytest.mark.feature(
    "RELY-06", clause="ended by its watchdog, the daemon leaves the stack of what stood still in its log"
)
async def test_a_daemon_that_waits_for_its_database(tmp_path: Path) -> None:
    settings, told = tmp_path / "cadran.toml", tmp_path / "log"
    settings.write_text(SETTINGS.format(folder=tmp_path))
    command = [sys.executable, "-m", "daemon.cli.main", "run", "--config", str(settings)]
    with told.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # noqa: ASYNC220
    try:
        await until(lambda: "store.unavailable_at_start" in told.read_text("utf-8", "replace"), 90.0)
        process.send_signal(signal.SIGHUP)
        await until(lambda: "reload" in told.read_text("utf-8", "replace"), 90.0)
        assert process.poll() is None
        process.send_signal(signal.SIGABRT)
        assert await asyncio.to_thread(process.wait, 90) == -signal.SIGABRT
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    said = told.read_text("utf-8", "replace")
    assert "Fatal Python error: Aborted" in said
    assert "serve.py" in said and os.sep in said
