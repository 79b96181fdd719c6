"""Which PBX driver a site's settings name, and with what it is built. Used by `app` alone, on its floor."""

from __future__ import annotations

import random
import ssl
from urllib.parse import urlsplit

from daemon.ami.client import EVENT_MASK, AmiOptions
from daemon.ami.driver import AmiDriver, DriverOptions
from daemon.ari.client import AriOptions
from daemon.ari.driver import AriDriver, AriDriverOptions
from daemon.calls.dialling import SiteTemplates
from daemon.clock import Clock
from daemon.errors import SettingsError
from daemon.ports import Pbx
from daemon.settings import SiteTable
from daemon.settings_file import read_secret


def pbx_driver(site: SiteTable, clock: Clock, rng: random.Random, *, beside: bool = False) -> Pbx:
    """The driver that the site's settings name. Secrets are read at each login, so that a mended file heals the link.

    `beside`: for a look while the daemon may be connected: an ARI application is then not taken over from it.
    """
    return ari_driver(site, clock, rng, beside=beside) if site.driver == "ari" else ami_driver(site, clock, rng)


def secret_of(site: SiteTable) -> tuple[str, str]:
    """Key and path of the secret that the site's driver reads."""
    if site.driver == "ari":
        return f"sites.{site.id}.ari.password_file", site.ari.password_file
    return f"sites.{site.id}.secret_file", site.secret_file


def address_of(site: SiteTable) -> str:
    """Where and as whom the driver connects, for people."""
    if site.driver == "ari":
        return f"{site.ari.url} as {site.ari.username}"
    return f"{site.host}:{site.tcp_port} as {site.username}, mode {site.mode}"


def templates_of(site: SiteTable) -> SiteTemplates:
    return SiteTemplates(
        agent_channel=site.agent_channel,
        customer_channel=site.customer_channel,
        customer_context=site.customer_context,
        agent_context=site.agent_context,
    )


def _trusting(site: SiteTable) -> ssl.SSLContext:
    """Trusts the authorities of the site's settings. Raises SettingsError."""
    try:
        return ssl.create_default_context(cafile=site.tls_ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        reason = "holds no certificate" if isinstance(error, ssl.SSLError) else f"can't be read: {error.strerror}"
        raise SettingsError(f"sites.{site.id}.tls_ca_file", site.tls_ca_file, reason) from error


def ari_driver(site: SiteTable, clock: Clock, rng: random.Random, *, beside: bool = False) -> Pbx:
    """The ARI driver of a site."""
    app = site.ari.app or f"cadran-{site.id}"
    url = urlsplit(site.ari.url)
    tls = _trusting(site) if url.scheme == "https" else None
    try:
        port = url.port
    except ValueError as error:
        raise SettingsError(f"sites.{site.id}.ari.url", site.ari.url, "a port of 1 to 65535") from error
    if ":" in site.ari.username:
        raise SettingsError(
            f"sites.{site.id}.ari.username", site.ari.username, "no colon: HTTP would take it for an end"
        )
    options = AriOptions(
        host=url.hostname or "",
        tcp_port=port or (443 if tls else 80),
        prefix=url.path.rstrip("/"),
        tls=tls,
        username=site.ari.username,
        password=lambda: read_secret(*secret_of(site)),
        app=f"{app}-beside" if beside else app,
        connect_deadline_s=site.connect_timeout_s,
        request_deadline_s=site.action_deadline_s,
        ping_interval_s=site.ping_interval_s,
        retry_first_s=site.backoff_min_s,
        retry_max_s=site.backoff_max_s,
    )
    driver = AriDriverOptions(
        site=site.id, ari=options, templates=templates_of(site), device=site.device, extensions=site.extensions
    )
    return AriDriver(driver, clock=clock, rng=rng)


def ami_driver(site: SiteTable, clock: Clock, rng: random.Random) -> Pbx:
    """The AMI driver of a site."""
    tls = _trusting(site) if site.tls else None
    options = AmiOptions(
        host=site.host,
        tcp_port=site.tcp_port,
        username=site.username,
        secret=lambda: read_secret(*secret_of(site)),
        auth="plain" if site.auth == "plain" else "md5",
        tls=tls,
        connect_deadline_s=site.connect_timeout_s,
        action_deadline_s=site.action_deadline_s,
        ping_interval_s=site.ping_interval_s,
        ping_deadline_s=site.ping_deadline_s,
        retry_first_s=site.backoff_min_s,
        retry_max_s=site.backoff_max_s,
        event_mask=(*EVENT_MASK, "reporting") if site.rtcp else EVENT_MASK,
    )
    driver = DriverOptions(
        site=site.id,
        ami=options,
        templates=templates_of(site),
        wanted_mode=site.mode,
        device=site.device,
        extensions=site.extensions,
    )
    return AmiDriver(driver, clock=clock, rng=rng)
