"""Alerts reach people by log, webhooks, and mail through a server that speaks SMTP; once while nothing is new."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socketserver
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import structlog

from daemon.crm.alerts import Alerts, closing, smtp_sender
from daemon.errors import SettingsError
from daemon.settings import AlertsTable
from daemon.settings_file import parse


class HandClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def utcnow(self) -> datetime:
        return datetime(2026, 11, 24, 13, 32, 7, tzinfo=UTC)


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 has it; `busy`: how many connections are first turned away with 421."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[EmailMessage] = []
        self.signed_in: list[str] = []
        self.busy = 0


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        if self.server.busy:
            self.server.busy -= 1
            self.say("421 busy")
            return
        self.say("220 mail.example")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                self.say("250-mail.example")
                self.say("250 AUTH PLAIN")
            elif verb == "AUTH":
                self.server.signed_in.append(base64.b64decode(line.split(" ")[2]).decode())
                self.say("235 in")
            elif verb == "DATA":
                self.say("354 go on")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += self.rfile.readline()
                self.server.mails.append(message_from_bytes(text[:-5], _class=EmailMessage, policy=policy.default))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def table(mail: MailServer, **fields: Any) -> AlertsTable:
    values = {"mail_to": ["chef@exemple.fr", "astreinte@exemple.fr"], "mail_from": "cadran@exemple.fr"}
    host = {"smtp_host": "127.0.0.1", "smtp_port": mail.server_address[1], "smtp_security": "none"}
    return AlertsTable(**{**values, **host, "smtp_user": "cadran", "smtp_timeout_s": 30.0, **fields})  # type: ignore[arg-type]


async def delivered(alerts: Alerts, mail: MailServer, count: int) -> None:
    """Let it work until so many mails are in."""
    working = asyncio.create_task(alerts.run())
    try:
        for _ in range(3000):
            if len(mail.mails) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(mail.mails)} mails of {count}")
    finally:
        await closing(working)


QUOTA = {"group": "OUEST", "used": 9, "limit": 10}


@pytest.mark.feature("C2C-12", clause="sinks: e-mail, log and webhook")
async def test_an_alert_goes_to_log_webhooks_and_mail(mail: MailServer) -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []

    async def tell(topic: str, details: Mapping[str, Any]) -> None:
        told.append((topic, details))

    alerts = Alerts(table(mail), HandClock(), tell, smtp_sender(table(mail), lambda: "geheim"))
    with structlog.testing.capture_logs() as logged:
        alerts.notify("click2call.quota", QUOTA)
        await delivered(alerts, mail, 1)
    assert told == [("click2call.quota", QUOTA)]
    assert [(line["topic"], line["details"]) for line in logged] == [("click2call.quota", QUOTA)]
    assert mail.signed_in == ["\0cadran\0geheim"]
    message = mail.mails[0]
    assert message["Subject"] == "Cadran : quota click-to-call utilisé à plus de 80 % (OUEST)"
    assert message["To"] == "chef@exemple.fr, astreinte@exemple.fr" and message["From"] == "cadran@exemple.fr"
    assert "used: 9" in message.get_content() and "limit: 10" in message.get_content()


@pytest.mark.feature("C2C-12", clause="once per window: repetitions are held back and counted")
async def test_repetitions_are_held_back(mail: MailServer) -> None:
    async def tell(topic: str, details: Mapping[str, Any]) -> None:
        return

    clock = HandClock()
    alerts = Alerts(table(mail, language="en"), clock, tell, smtp_sender(table(mail), lambda: "geheim"))
    for used in (9, 10, 11):
        alerts.notify("click2call.quota", {**QUOTA, "used": used})
    alerts.notify("click2call.quota", {**QUOTA, "group": "EST"})
    await delivered(alerts, mail, 2)
    clock.at = 3600.0
    alerts.notify("click2call.quota", {**QUOTA, "used": 12})
    await delivered(alerts, mail, 3)
    contents = [message.get_content() for message in mail.mails]
    assert [text.count("held_back") for text in contents] == [0, 0, 1]
    assert "used: 12" in contents[2] and "held_back: 2" in contents[2]
    assert mail.mails[1]["Subject"] == "Cadran: click-to-call quota used by more than 80 % (EST)"


async def test_a_mail_server_that_is_away_is_tried_again(mail: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(topic: str, details: Mapping[str, Any]) -> None:
        return

    monkeypatch.setattr("daemon.crm.alerts.RETRY_FIRST_S", 0.01)
    mail.busy = 2
    alerts = Alerts(table(mail), HandClock(), tell, smtp_sender(table(mail), lambda: "geheim"))
    with structlog.testing.capture_logs() as logged:
        alerts.notify("line.minutes", {"line": "TR-1", "used": 81})
        await delivered(alerts, mail, 1)
    assert [line["event"] for line in logged].count("alert not mailed") == 2 and "geheim" not in str(logged)


async def test_no_group_name_becomes_a_header(mail: MailServer) -> None:
    alerts = Alerts(table(mail), HandClock(), lambda *_: asyncio.sleep(0), None)
    message = alerts.mail_of("click2call.quota", {"group": "A\r\nBcc: x@y.example"})
    assert message["Bcc"] is None and "\n" not in message["Subject"]


def test_a_password_is_not_sent_in_the_clear(mail: MailServer) -> None:
    with pytest.raises(smtplib.SMTPException):  # the server offers no STARTTLS: nothing is sent
        send = smtp_sender(table(mail, smtp_security="starttls"), lambda: "geheim")
        assert send is not None
        send(EmailMessage())
    assert not mail.signed_in
    alerts = {"smtp_host": "mail.example", "smtp_user": "u", "smtp_security": "none", "mail_to": ["a@b.example"]}
    with pytest.raises(SettingsError, match="smtp_security"):
        parse({"alerts": {**alerts, "mail_from": "a@b.example"}})
    for key, value in (("mail_to", []), ("mail_from", "nobody"), ("mail_to", ["a@b\r\nBcc: x@y.example"])):
        with pytest.raises(SettingsError, match=key):
            parse({"alerts": {**alerts, "smtp_user": "", "mail_from": "a@b.example", key: value}})


@pytest.mark.feature("TELC-02", clause="the second alarm of a line's quota is not held back for the first")
async def test_a_quota_that_is_used_up_soon_after_its_warning_is_told(mail: MailServer) -> None:
    async def tell(topic: str, details: Mapping[str, Any]) -> None:
        return

    alerts = Alerts(table(mail), HandClock(), tell, smtp_sender(table(mail), lambda: "geheim"))
    for share in (0.8, 1.0, 1.0):
        alerts.notify(
            "line.minutes", {"group": "OUEST", "line": "TR-1", "used": 100 * share, "limit": 100, "share": share}
        )
    assert [details["share"] for _, _, details in alerts.told] == [0.8, 1.0]
