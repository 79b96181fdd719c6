"""driver = "ari" in the settings: what is refused, what is built, and what the doctor sees, disturbing nobody."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from daemon.ami.driver import AmiDriver
from daemon.ari.driver import AriDriver
from daemon.cli.doctor import _site
from daemon.clock import SystemClock
from daemon.drivers import address_of, pbx_driver
from daemon.errors import SettingsError
from daemon.settings_file import parse
from fake_asterisk import FakeAsterisk, people
from fake_asterisk.config import AriUser


def test_the_driver_is_the_one_the_settings_name() -> None:
    settings = parse({"sites": [{"id": "a"}, {"id": "b", "driver": "ari", "ari": {"url": "https://pbx.example/pre"}}]})
    ami, ari = (pbx_driver(site, SystemClock(), random.Random(1)) for site in settings.sites)
    assert isinstance(ami, AmiDriver) and isinstance(ari, AriDriver)
    assert (ari.site, ari.status().driver, ari.status().up) == ("b", "ari", False)
    assert address_of(settings.sites[1]) == "https://pbx.example/pre as cadran"


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"driver": "sip"}, "sites[0].driver"),
        ({"ari": {"url": "127.0.0.1:8088"}}, "sites[0].ari.url"),
        ({"ari": {"url": "http://user@host"}}, "sites[0].ari.url"),
        ({"ari": {"app": "a,b"}}, "sites[0].ari.app"),
        ({"ari": {"password": "x"}}, "sites[0].ari.password"),
    ],
)
def test_what_cannot_be_is_refused_by_key(table: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({"sites": [{"id": "a", **table}]})
    assert refused.value.key == key


@pytest.mark.feature("PBX-05", clause="doctor looks at an ARI site, and takes no events from the daemon at work there")
async def test_the_doctor_disturbs_nobody(tmp_path: Path) -> None:
    config = people.config(agents=2)
    config.ari_users["cadran"] = AriUser("p")
    config.sounds["cadran-safe-harbour"], config.other_sounds_s = 1.0, None
    fake = FakeAsterisk(config, rng=random.Random(1))
    port = await fake.listen_ari(0)
    told: list[dict[str, Any]] = []
    fake.ari.connected("cadran-main", told.append)
    secret = tmp_path / "password"
    secret.write_text("p")
    ari = {"url": f"http://127.0.0.1:{port}", "password_file": str(secret)}
    settings = parse({"sites": [{"id": "main", "driver": "ari", "ari": ari}]})
    try:
        found = {finding.what: finding for finding in await _site(settings.sites[0], settings, SystemClock())}
        assert found["site main"].fine and "mode ari" in found["site main"].text
        assert found["site main rights"].fine
        assert found["site main sound"].fine
        assert told == []
        secret.write_text("wrong")
        (refused,) = await _site(settings.sites[0], settings, SystemClock())
        assert not refused.fine and "refused" in refused.text
    finally:
        await fake.close()
