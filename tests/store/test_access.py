"""Who is let into the embedded PostgreSQL by the machine's own word (peer)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from daemon.store.embedded import Account, EmbeddedPostgres


@pytest.mark.feature("RELY-06", clause="root's `cadran token create` and `doctor` reach the database of the service")
def test_root_and_the_service_s_account_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `cadran db run` under systemd, which is not root: nobody but its own account got in then."""
    name = pwd.getpwuid(os.getuid()).pw_name
    server = EmbeddedPostgres(tmp_path)
    server._account = Account("cadran", os.getuid(), os.getgid(), switch=False)
    (tmp_path / "data").mkdir()
    server._write_access()
    lines = (tmp_path / "data" / "pg_ident.conf").read_text().splitlines()
    assert {line.split()[1].strip('"') for line in lines} == {"cadran", name, "root"}
    assert {line.split()[2] for line in lines} == {"cadran"}
