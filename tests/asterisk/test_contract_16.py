"""The contract of the control modes on Asterisk 16, as Debian 11 has it: AMI 5, and ARI of its day.

Its root is made by `debootstrap --variant=minbase --include=asterisk bullseye <folder>`; CADRAN_ASTERISK16_ROOT names
another one than the folder beside the newer one's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ami.contract import *  # noqa: F403 - the suite is the module
from tests.ami.ground import ALL_MODES, Ground, Site, clean, site  # noqa: F401 - fixtures
from tests.asterisk.conftest import Lab, make_lab
from tests.asterisk.root import DEFAULT_ROOT, AsteriskRoot
from tests.asterisk.test_contract import ground_of

ROOT = Path(os.environ.get("CADRAN_ASTERISK16_ROOT", DEFAULT_ROOT.with_name("asterisk-bullseye")))


@pytest.fixture(scope="module")
def lab(sipp: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if not (ROOT / "usr/sbin/asterisk").exists():
        pytest.skip(f"no Asterisk 16 in {ROOT}")
    if os.geteuid() != 0:
        pytest.skip(f"the Asterisk in {ROOT} can be started by root only (chroot)")
    root = AsteriskRoot(ROOT, "")
    said = subprocess.run(root.command("/usr/sbin/asterisk", "-V"), capture_output=True, text=True, check=True).stdout
    made = make_lab(AsteriskRoot(ROOT, said.strip()), sipp, tmp_path_factory.mktemp("far-ends-16"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(params=list(ALL_MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ground(lab: Lab) -> Ground:
    return ground_of(lab)


@pytest.mark.feature("PBX-03", clause="Asterisk 16: today's dialect, by its greeting")
async def test_it_is_asterisk_16(site: Site, mode: str) -> None:  # noqa: F811 - the fixture
    version = site.driver.status().version
    assert "Asterisk 16." in version if mode == "ari" else version.startswith("Asterisk Call Manager/5.")
