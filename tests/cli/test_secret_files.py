"""Secrets come from files that the settings name: what is typed into the settings instead is refused, and not shown."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from tests.cli.test_bad_input import _config, _run

SECRET = "hunter2-hunter2"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.feature("RGPD-02", clause="a secret typed into the settings is refused, and not shown")
@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("sites[0].secret", f'secret = "{SECRET}"'),
        ("sites[0].password", f'password = "{SECRET}"'),
        ("sites[0].api_token", f'api_token = "{SECRET}"'),
    ],
)
def test_a_secret_in_the_settings(tmp_path: Path, key: str, line: str) -> None:
    done = _run("check", config=_config(tmp_path, secret_file=line))
    assert done.returncode == 3 and f"{key} = " in done.stderr and "secrets come from files" in done.stderr
    assert SECRET not in done.stderr + done.stdout and "Traceback" not in done.stderr


@pytest.mark.feature("RGPD-02", clause="secrets come from files; one that can't be used is named by its key, not shown")
@pytest.mark.parametrize(
    ("content", "said"),
    [(f"{SECRET}é\n".encode("latin-1"), "is not UTF-8 text"), (b"\n", "is empty"), (None, "can't be read")],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes | None, said: str) -> None:
    config = _config(tmp_path)
    assert _run("check", config=config).returncode == 0
    (tmp_path / "secret").unlink()
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    done = _run("check", config=config)
    assert done.returncode == 3 and "sites.main.secret_file" in done.stderr and said in done.stderr
    assert SECRET not in done.stderr + done.stdout and "Traceback" not in done.stderr


@pytest.mark.feature(
    "RGPD-02", clause="the service hands its secrets over as systemd credentials, where its settings look"
)
def test_the_units_credentials() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string((ROOT / "systemd" / "cadran.service").read_text("utf-8"))
    name, _, source = unit["Service"]["LoadCredential"].partition(":")
    assert source.startswith("/etc/cadran/secrets/")
    advised = f"/run/credentials/cadran.service/{name}"
    assert advised in (ROOT / "docs" / "installation.md").read_text("utf-8")
    assert unit["Service"]["UMask"] == "0077" and unit["Service"]["User"] == "cadran"
