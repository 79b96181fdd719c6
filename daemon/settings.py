"""Settings: frozen structs that mirror the TOML tables, read once at start (daemon.settings_file).

The commented file with every key is config/cadran.toml (shipped in the wheel). Secrets stand in files that are named
here, never here.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
SiteId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,15}$")]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table."""


class DaemonTable(_Table, frozen=True, kw_only=True):
    data_dir: str = "/var/lib/cadran"
    instance: str = ""
    log_level: Annotated[str, Meta(pattern=r"^(debug|info|warning|error)$")] = "info"
    log_format: Annotated[str, Meta(pattern=r"^(console|json)$")] = "console"
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    rules_dir: str = ""
    rates_file: str = ""


class DatabaseTable(_Table, frozen=True, kw_only=True):
    dsn: str = ""
    password_file: str = ""
    pool_size: Annotated[int, Meta(ge=3, le=100)] = 8
    statement_timeout_s: Seconds = 10.0
    start_timeout_s: Seconds = 60.0


class JournalTable(_Table, frozen=True, kw_only=True):
    bytes_max: Annotated[int, Meta(ge=1_048_576, le=1 << 40)] = 256 << 20
    sync_interval_s: Annotated[float, Meta(gt=0, le=5)] = 0.05


class HttpTable(_Table, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    tcp_port: Annotated[int, Meta(ge=0, le=65_535)] = 8098
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]+)?$")] = ""
    proxy_user_header: str = ""
    allow: list[str] = []
    body_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1 << 20
    upload_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 40)] = 256 << 20
    command_deadline_s: Seconds = 5.0
    requests_max: Annotated[int, Meta(ge=1, le=100_000)] = 256
    bad_requests_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 60
    stream_interval_s: Annotated[float, Meta(ge=0.02, le=5)] = 0.2
    foreign_calls_per_day: Annotated[int, Meta(ge=0, le=1_000_000)] = 50
    foreign_minutes_per_day: Annotated[float, Meta(ge=0, le=1_000_000)] = 240.0
    overseas_calls_per_day: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    overseas_minutes_per_day: Annotated[float, Meta(ge=0, le=1_000_000)] = 480.0


class OutgoingTable(_Table, frozen=True, kw_only=True):
    """Requests that the daemon makes to addresses people typed (daemon.crm.http)."""

    allow_networks: tuple[str, ...] = ()
    plain_http: bool = False
    ca_file: str = ""
    connect_timeout_s: Seconds = 5.0
    timeout_s: Seconds = 10.0
    answer_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1 << 20
    redirects_max: Annotated[int, Meta(ge=0, le=10)] = 3
    connections_max: Annotated[int, Meta(ge=1, le=10_000)] = 50


class WebhooksTable(_Table, frozen=True, kw_only=True):
    poll_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    timeout_s: Seconds = 10.0
    concurrency: Annotated[int, Meta(ge=1, le=100)] = 8
    retry_first_s: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    retry_max_s: Annotated[float, Meta(ge=1, le=43_200)] = 3600.0
    rest_max_s: Annotated[float, Meta(ge=1, le=3600)] = 300.0
    rotation_overlap_s: Seconds = 86_400.0


class AlertsTable(_Table, frozen=True, kw_only=True):
    """Where alerts go besides the log and the webhooks; no `smtp_host` = no mail."""

    mail_to: list[str] = []
    mail_from: str = ""
    smtp_host: str = ""
    smtp_port: Port = 587
    smtp_security: Annotated[str, Meta(pattern=r"^(starttls|tls|none)$")] = "starttls"
    smtp_ca_file: str = ""
    smtp_user: str = ""
    smtp_password_file: str = ""
    smtp_timeout_s: Annotated[float, Meta(ge=1, le=120)] = 20.0
    repeat_s: Seconds = 3600.0
    language: Annotated[str, Meta(pattern=r"^(fr|en)$")] = "fr"


class OvhLineTable(_Table, frozen=True, kw_only=True):
    """A line at OVHcloud whose events open pages (daemon.crm.ovh_lines): a token, or the API keys to make one."""

    service: Annotated[str, Meta(pattern=r"^00[0-9]{6,15}$")]
    group: Annotated[str, Meta(min_length=1, max_length=40)]
    agent: str = ""
    token_file: str = ""
    billing_account: str = ""
    application_key: str = ""
    application_secret_file: str = ""
    consumer_key_file: str = ""
    token_expiration: Annotated[str, Meta(min_length=1, max_length=40)] = "unlimited"
    hook_url: Annotated[str, Meta(max_length=2000)] = ""
    number_format: Annotated[str, Meta(pattern=r"^(00|e164|national)$")] = "00"
    display: Annotated[str, Meta(pattern=r"^(popup|modal|silent)$")] = "popup"


class OvhFeedTable(_Table, frozen=True, kw_only=True):
    """An agent's phone as a line in our own feed of events; whoever has the token reads it."""

    group: Annotated[str, Meta(min_length=1, max_length=40)]
    agent: Annotated[str, Meta(min_length=1, max_length=120)]
    token_file: Annotated[str, Meta(min_length=1)]


class OvhTable(_Table, frozen=True, kw_only=True):
    """Telephony events in OVHcloud's shape, both ways (docs/ovh.md)."""

    events_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")] = "https://events.voip.ovh.net/"
    api_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")] = "https://eu.api.ovh.com/1.0"
    poll_s: Annotated[float, Meta(ge=1, le=600)] = 75.0
    lines: list[OvhLineTable] = []
    feeds: list[OvhFeedTable] = []


class ZadarmaAccountTable(_Table, frozen=True, kw_only=True):
    """Where a group's key and secret at Zadarma are read; they can't be entered on the page then."""

    group: Annotated[str, Meta(min_length=1, max_length=40)]
    key_file: Annotated[str, Meta(min_length=1)]
    secret_file: Annotated[str, Meta(min_length=1)]


class ZadarmaTable(_Table, frozen=True, kw_only=True):
    """A link's other settings are rows, changed on the page (docs/zadarma.md)."""

    accounts: list[ZadarmaAccountTable] = []


class DialerTable(_Table, frozen=True, kw_only=True):
    tick_s: Annotated[float, Meta(ge=0.05, le=1)] = 0.25
    dirty_interval_s: Annotated[float, Meta(ge=0.01, le=1)] = 0.05
    hopper_s: Annotated[float, Meta(ge=0.5, le=60)] = 4.0
    connect_deadline_s: Annotated[float, Meta(ge=0.5, le=2.0)] = 2.0
    bridge_deadline_s: Annotated[float, Meta(ge=0.2, le=5)] = 1.0
    customer_hold_s: Annotated[float, Meta(ge=3, le=120)] = 10.0
    agent_ring_s: Annotated[float, Meta(ge=3, le=120)] = 20.0
    intent_use_s: Annotated[float, Meta(ge=0.1, le=1)] = 0.5
    verdict_grace_s: Annotated[float, Meta(ge=1, le=60)] = 5.0
    wrap_up_default: bool = True
    line_failures_rest: Annotated[int, Meta(ge=1, le=1000)] = 5
    line_rest_s: Seconds = 300.0
    caller_id_calls_min: Annotated[int, Meta(ge=10, le=200)] = 50
    caller_id_ratio_min: Annotated[float, Meta(ge=0, le=1)] = 0.5
    caller_id_rest_s: Annotated[float, Meta(gt=0, le=2_592_000)] = 86_400.0
    safe_message: str = "cadran-safe-harbour"
    amd_false_positive_rate: Annotated[float, Meta(ge=0, le=0.5)] = 0.03


class RecordingsTable(_Table, frozen=True, kw_only=True):
    """What becomes of recordings: kept `keep_days`, as MP3 if `mp3` and an encoder is there, links good `link_s`."""

    keep_days: Annotated[int, Meta(ge=1, le=36_500)] = 90
    mp3: bool = True
    link_s: Annotated[float, Meta(ge=10, le=86_400)] = 300.0
    free_bytes_min: Annotated[int, Meta(ge=0, le=1 << 50)] = 512 << 20


class LeaseTable(_Table, frozen=True, kw_only=True):
    ttl_s: Annotated[float, Meta(ge=2, le=60)] = 4.0
    renew_s: Annotated[float, Meta(ge=0.2, le=30)] = 1.0
    margin_s: Annotated[float, Meta(ge=0.2, le=30)] = 1.0
    standby: bool = False


class AriTable(_Table, frozen=True, kw_only=True):
    """Where and how driver `ari` connects; timing and templates are the site's."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/?#@]+(/[A-Za-z0-9_./-]*)?$")] = "http://127.0.0.1:8088"
    username: str = "cadran"
    password_file: str = "/etc/cadran/ari-password"
    app: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""


class RetentionTable(_Table, frozen=True, kw_only=True):
    people_days: Annotated[int, Meta(ge=0, le=36_500)] = 1095
    steps_days: Annotated[int, Meta(ge=0, le=36_500)] = 400
    hour_utc: Annotated[int, Meta(ge=0, le=23)] = 2


class SiteTable(_Table, frozen=True, kw_only=True):
    id: SiteId
    name: str = ""
    driver: Annotated[str, Meta(pattern=r"^(ami|ari)$")] = "ami"
    ari: AriTable = AriTable()
    host: str = "127.0.0.1"
    tcp_port: Port = 5038
    tls: bool = False
    tls_ca_file: str = ""
    username: str = "cadran"
    secret_file: str = "/etc/cadran/ami-secret"
    auth: Annotated[str, Meta(pattern=r"^(md5|plain)$")] = "md5"
    mode: Annotated[str, Meta(pattern=r"^(auto|asyncagi|dialplan|basic)$")] = "auto"
    preset: Annotated[str, Meta(pattern=r"^(|yeastar-s)$")] = ""
    agent_channel: str = "PJSIP/{extension}"
    customer_channel: str = "PJSIP/{number}@{trunk}"
    number_format: Annotated[str, Meta(pattern=r"^(national|e164|international|digits)$")] = "national"
    number_prefix: Annotated[str, Meta(pattern=r"^[0-9*#]{0,8}$")] = ""
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")] = "FR"
    device: str = "PJSIP/{extension}"
    extensions: list[str] = []
    customer_context: str = "cadran-customer"
    agent_context: str = "cadran-agent"
    rtcp: bool = False
    silent_listening: bool = True
    recordings_dir: str = ""
    recordings_pbx_dir: str = ""
    ping_interval_s: Seconds = 10.0
    ping_deadline_s: Seconds = 5.0
    action_deadline_s: Seconds = 5.0
    connect_timeout_s: Seconds = 5.0
    backoff_min_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.5
    backoff_max_s: Annotated[float, Meta(ge=0.1, le=600)] = 15.0


class Settings(_Table, frozen=True, kw_only=True):
    """All settings. Edges: no sites = the daemon runs, and says that it has nothing to dial with."""

    daemon: DaemonTable = DaemonTable()
    database: DatabaseTable = DatabaseTable()
    journal: JournalTable = JournalTable()
    http: HttpTable = HttpTable()
    dialer: DialerTable = DialerTable()
    lease: LeaseTable = LeaseTable()
    retention: RetentionTable = RetentionTable()
    recordings: RecordingsTable = RecordingsTable()
    outgoing: OutgoingTable = OutgoingTable()
    webhooks: WebhooksTable = WebhooksTable()
    alerts: AlertsTable = AlertsTable()
    ovh: OvhTable = OvhTable()
    zadarma: ZadarmaTable = ZadarmaTable()
    sites: list[SiteTable] = []
