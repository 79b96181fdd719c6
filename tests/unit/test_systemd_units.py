"""The shipped units: what an installation relies on, and how tightly systemd itself says they are shut in."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE_MAX = 2.0


def settings_of(unit: str) -> dict[str, list[str]]:
    """All values of each setting, sections merged (no name occurs in two sections here)."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / unit).read_text("utf-8").splitlines():
        if line and line[0] not in "#;[":
            name, separator, value = line.partition("=")
            assert separator, f"{unit}: {line!r} is no setting"
            found[name].append(value)
    return found


def test_the_daemon_reports_readiness_and_is_watched() -> None:
    daemon = settings_of("cadran.service")
    assert daemon["Type"] == ["notify"]
    assert 1 <= int(daemon["WatchdogSec"][0]) <= 30
    assert daemon["Restart"] == ["always"]
    assert daemon["ExecStart"] == ["/opt/cadran/venv/bin/cadran run --config /etc/cadran/cadran.toml"]


def test_secrets_come_as_credentials() -> None:
    daemon = settings_of("cadran.service")
    assert daemon["LoadCredential"] == ["ami-secret:/etc/cadran/secrets/ami-secret"]
    assert not daemon["Environment"]
    assert not daemon["EnvironmentFile"]


def test_the_database_outlives_the_daemon() -> None:
    """Neither unit's end may end the other, and the database starts first."""
    for unit in ("cadran.service", "cadran-postgres.service"):
        tied = {"BindsTo", "PartOf", "Requires", "PropagatesStopTo", "Conflicts"}
        assert not tied & settings_of(unit).keys()
    assert "cadran-postgres.service" in settings_of("cadran.service")["After"][0]
    assert settings_of("cadran-postgres.service")["ExecStart"][0].endswith(
        "cadran db run --config /etc/cadran/cadran.toml"
    )


@pytest.mark.parametrize("unit", ["cadran.service", "cadran-postgres.service"])
def test_systemd_rates_the_unit_well_shut_in(unit: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (the package systemd)")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / unit)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert rating, done.stdout + done.stderr
    assert float(rating[1]) <= EXPOSURE_MAX
