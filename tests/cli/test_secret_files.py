"""Secrets come from files that the settings name: what is typed into the settings instead is refused, and not shown."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli.main import main
from tests.cli.test_bad_input import _config

Check = Callable[[Path], tuple[object, str]]
SECRET = "hunter2-hunter2"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`cadran check` with a settings file: its exit code, and all that it said."""

    def run(config: Path) -> tuple[object, str]:
        monkeypatch.setattr("sys.argv", ["cadran", "check", "--config", str(config)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out + said.err

    return run


@pytest.mark.feature("RGPD-02", clause="a secret typed into the settings is refused, and not shown")
@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("sites[0].secret", f'secret = "{SECRET}"'),
        ("sites[0].password", f'password = "{SECRET}"'),
        ("sites[0].api_token", f'api_token = "{SECRET}"'),
    ],
)
def test_a_secret_in_the_settings(tmp_path: Path, check: Check, key: str, line: str) -> None:
    code, said = check(_config(tmp_path, secret_file=line))
    assert code == 3 and f"{key} = " in said and "secrets come from files" in said
    assert SECRET not in said


@pytest.mark.feature("RGPD-02", clause="a secret in a table that nobody asked for is not shown either")
@pytest.mark.parametrize(
    ("key", "lines"),
    [
        ("sites[0].amy", f'amy = {{password = "{SECRET}"}}'),
        ("sites[0].links", f'links = [{{password = "{SECRET}"}}]'),
        ("sites[0].secret_file", f'secret_file = {{value = "{SECRET}"}}'),
    ],
)
def test_a_secret_in_a_table_of_the_settings(tmp_path: Path, check: Check, key: str, lines: str) -> None:
    code, said = check(_config(tmp_path, secret_file=lines))
    assert code == 3 and f"{key} = " in said
    assert SECRET not in said


@pytest.mark.feature("RGPD-02", clause="secrets come from files; one of no use is named by its key, not shown")
@pytest.mark.parametrize(
    ("content", "said"),
    [(f"{SECRET}é\n".encode("latin-1"), "is not UTF-8 text"), (b"\n", "is empty"), (None, "can't be read")],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, check: Check, content: bytes | None, said: str) -> None:
    config = _config(tmp_path)
    assert check(config)[0] in (0, None)
    (tmp_path / "secret").unlink()
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    code, told = check(config)
    assert code == 3 and "sites.main.secret_file" in told and said in told
    assert SECRET not in told


@pytest.mark.feature("RGPD-02", clause="the service gets its secrets as systemd credentials, where its settings look")
def test_the_units_credentials() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string((ROOT / "systemd" / "cadran.service").read_text("utf-8"))
    name, _, source = unit["Service"]["LoadCredential"].partition(":")
    assert source.startswith("/etc/cadran/secrets/")
    advised = f"/run/credentials/cadran.service/{name}"
    assert advised in (ROOT / "docs" / "installation.md").read_text("utf-8")
    assert unit["Service"]["UMask"] == "0077" and unit["Service"]["User"] == "cadran"
