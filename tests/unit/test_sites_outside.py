"""What the settings name outside themselves: one line with the key, never a traceback, and before anything runs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from daemon.ari.client import AriClient, AriOptions
from daemon.clock import SystemClock
from daemon.drivers import pbx_driver
from daemon.errors import SettingsError
from daemon.settings_file import parse


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"http": {"allow": ["192.0.2.0/99"]}}, "http.allow"),
        ({"http": {"trusted_proxies": ["proxy.example"]}}, "http.trusted_proxies"),
        ({"outgoing": {"allow_networks": ["10.0.0.0/33"]}}, "outgoing.allow_networks"),
    ],
)
def test_networks_are_looked_at_with_the_settings(tables: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(tables)
    assert refused.value.key == key


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("site", [{"tls": True}, {"driver": "ari", "ari": {"url": "https://pbx.example"}}])
def test_an_authority_that_cannot_be_used(site: dict[str, Any], content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = parse({"sites": [{"id": "main", "tls_ca_file": str(file), **site}]})
    with pytest.raises(SettingsError) as refused:
        pbx_driver(settings.sites[0], SystemClock(), random.Random(1))
    assert (refused.value.key, refused.value.value) == ("sites.main.tls_ca_file", str(file))


@pytest.mark.parametrize(
    ("ari", "key"),
    [({"url": "http://pbx.example:99999"}, "sites.main.ari.url"), ({"username": "a:b"}, "sites.main.ari.username")],
)
def test_ari_s_address_and_user(ari: dict[str, str], key: str) -> None:
    settings = parse({"sites": [{"id": "main", "driver": "ari", "ari": ari}]})
    with pytest.raises(SettingsError) as refused:
        pbx_driver(settings.sites[0], SystemClock(), random.Random(1))
    assert refused.value.key == key


def test_an_ipv6_address_is_one_in_a_url() -> None:
    options = AriOptions(host="::1", username="u", password=lambda: "p", app="a")
    client = AriClient(options, rng=random.Random(1), on_event=lambda _: None, on_down=lambda *_: None)
    assert client._root == "http://[::1]:8088/ari"
