"""Reading settings: a TOML file into the tables of daemon.settings, presets filled in, rules that span keys checked.

`load(path)` gives `Settings`; every error names key, value and what is allowed. Whoever needs a secret reads it from
the file named for it (`read_secret`), and doesn't keep it.
"""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec

from daemon.errors import SettingsError
from daemon.settings import AlertsTable, HttpTable, OvhTable, Settings, SiteTable

_MAIL = re.compile(r"[^\s@<>,;]{1,64}@[A-Za-z0-9.-]{1,255}")
YEASTAR_S = {
    "agent_channel": "Local/{extension}@DLPN_DialPlan{extension}/n",
    "customer_channel": "Local/{number}@{trunk}/n",
    "device": "SIP/{extension}",
    "mode": "basic",
}
"""Templates of the Yeastar S family: calls leave through an extension's dial plan context (the trunk field of a line
holds it, e.g. DLPN_DialPlan1001)."""


def _at(tables: Any, path: str) -> object:
    """The value at msgspec's path ("$.sites[0].tcp_port") in the parsed tables; None if there is none."""
    value: Any = tables
    for part in path.removeprefix("$").replace("[", ".[").split("."):
        if not part:
            continue
        try:
            value = value[int(part[1:-1])] if part.startswith("[") else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def _with_presets(tables: dict[str, Any]) -> dict[str, Any]:
    """Fill a site's templates from its preset; what the site states itself wins."""
    sites = tables.get("sites")
    if not isinstance(sites, list):
        return tables
    filled = [{**YEASTAR_S, **s} if isinstance(s, dict) and s.get("preset") == "yeastar-s" else s for s in sites]
    return {**tables, "sites": filled}


SECRETIVE = ("secret", "pass", "token", "key")
"""An unknown key with one of these in its name: its value is shown nowhere."""


def parse(tables: dict[str, Any]) -> Settings:
    """Settings from parsed TOML. Raises SettingsError naming the key, the value and what is allowed."""
    try:
        settings = msgspec.convert(_with_presets(tables), Settings)
    except msgspec.ValidationError as error:
        text = str(error)
        reason, _, path = text.partition(" - at `")
        path = path.rstrip("`")
        if "unknown field" in reason:
            name = reason.rsplit("`", 2)[-2] if "`" in reason else reason
            where = path.removeprefix("$").lstrip(".")
            key = f"{where}.{name}" if where else name
            if any(word in name.lower() for word in SECRETIVE):  # typed here by mistake: it belongs in a file
                raise SettingsError(key, "…", "unknown key; secrets come from files, see config/cadran.toml") from None
            raise SettingsError(key, _at(tables, f"{path}.{name}"), "unknown key; see config/cadran.toml") from error
        key = path.removeprefix("$").lstrip(".") or "settings"
        raise SettingsError(key, _at(tables, path), reason) from error
    _check(settings)
    return settings


def load(path: Path) -> Settings:
    """Settings from a TOML file. Raises SettingsError, also for a file that can't be read or is not TOML."""
    try:
        return parse(tomllib.loads(path.read_bytes().decode("utf-8")))
    except OSError as error:
        raise SettingsError("--config", str(path), f"can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("--config", str(path), f"is not TOML: {error}") from error


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _check_alerts(alerts: AlertsTable) -> None:
    """Mail needs both ends; a password never crosses a wire in the clear."""
    if not alerts.smtp_host:
        return
    if not alerts.mail_to:
        raise SettingsError("alerts.mail_to", [], "at least one address when smtp_host is set")
    for key, addresses in (("mail_to", alerts.mail_to), ("mail_from", [alerts.mail_from])):
        for address in addresses:
            if not _MAIL.fullmatch(address):
                raise SettingsError(f"alerts.{key}", address, "a mail address")
    if alerts.smtp_user and alerts.smtp_security == "none" and alerts.smtp_host not in LOOPBACK:
        raise SettingsError("alerts.smtp_security", "none", "starttls or tls, since smtp_user sends a password")


def _check_ovh(ovh: OvhTable) -> None:
    """Each line once, with a way to its token."""
    services = [line.service for line in ovh.lines]
    for number, line in enumerate(ovh.lines):
        if services.count(line.service) > 1:
            raise SettingsError(f"ovh.lines[{number}].service", line.service, "each line once")
        keys = (line.billing_account, line.application_key, line.application_secret_file, line.consumer_key_file)
        if not line.token_file and not all(keys):
            needs = "token_file, or billing_account with application_key, application_secret_file, consumer_key_file"
            raise SettingsError(f"ovh.lines[{number}].token_file", "", needs)


def _check_sites(sites: list[SiteTable]) -> None:
    """Each site once, with templates that name whom they call."""
    seen: set[str] = set()
    for number, site in enumerate(sites):
        if site.id in seen:
            raise SettingsError(f"sites[{number}].id", site.id, "each site needs its own id")
        seen.add(site.id)
        for key, needs in (("agent_channel", "{extension}"), ("customer_channel", "{number}")):
            value = getattr(site, key)
            if needs not in value or "/" not in value:
                raise SettingsError(f"sites[{number}].{key}", value, f"a channel such as PJSIP/…, with {needs} in it")
        if site.backoff_min_s > site.backoff_max_s:
            raise SettingsError(f"sites[{number}].backoff_min_s", site.backoff_min_s, "at most backoff_max_s")


def _check_http(http: HttpTable) -> None:
    """Beyond this machine only with TLS, here or in front."""
    if bool(http.tls_certificate_file) != bool(http.tls_key_file):
        raise SettingsError("http.tls_key_file", http.tls_key_file, "certificate and key go together")
    if http.host not in LOOPBACK and not http.tls_certificate_file and not http.behind_proxy:
        raise SettingsError("http.host", http.host, "beyond loopback needs tls_certificate_file or behind_proxy = true")


def _check_networks(settings: Settings) -> None:
    """Addresses and networks are written as such."""
    http = settings.http
    named = {"outgoing.allow_networks": settings.outgoing.allow_networks, "http.allow": http.allow}
    for key, networks in {**named, "http.trusted_proxies": http.trusted_proxies}.items():
        for network in networks:
            try:
                ip_network(network, strict=False)
            except ValueError as error:
                raise SettingsError(key, network, 'a network such as "192.0.2.0/24"') from error


def _check(settings: Settings) -> None:
    """Rules that span several keys."""
    _check_sites(settings.sites)
    lease = settings.lease
    if lease.margin_s + lease.renew_s >= lease.ttl_s:
        raise SettingsError("lease.ttl_s", lease.ttl_s, "more than renew_s + margin_s")
    _check_networks(settings)
    _check_alerts(settings.alerts)
    _check_ovh(settings.ovh)
    _check_http(settings.http)


def read_secret(key: str, path: str) -> str:
    """The secret in a file, without its line end. Raises SettingsError naming the key; never shows the content."""
    try:
        secret = Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(key, path, f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(key, path, "is not UTF-8 text") from None  # the error holds what was read
    if not secret:
        raise SettingsError(key, path, "is empty")
    return secret
