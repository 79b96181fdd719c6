"""Alerts to people (features C2C-12): the log, webhooks with the topic "alert", mail.

In: `notify(topic, details)` from anywhere, at once and without waiting. Out: a log line, outbox rows, a mail. The same
alert (topic and what it is about) is given once in `repeat_s`; how often it came meanwhile is said the next time.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import structlog

from daemon.clock import Clock
from daemon.errors import SettingsError, StoreError
from daemon.settings import AlertsTable

log = structlog.get_logger("cadran.alerts")

QUEUE_MAX = 200
TOLD_MAX = 500
"""Kept in memory for the page; all are in the log."""
TEST = "alert.test"
"""Somebody tries the sinks: never held back."""
SUBJECTS_MAX = 2000
TRIES = 4
RETRY_FIRST_S = 15.0
ABOUT = ("group", "line", "share", "webhook_id", "site", "integration", "code", "about")
"""Details that say what an alert is about; others are figures, and differ each time."""
WORDS: Mapping[str, tuple[str, str]] = {
    "click2call.quota": ("quota click-to-call utilisé à plus de 80 %", "click-to-call quota used by more than 80 %"),
    "click2call.failures": ("plus de 10 % d'échecs click-to-call", "more than 10 % of click-to-call requests fail"),
    "click2call.no_line": ("aucune ligne click-to-call disponible", "no click-to-call line available"),
    "line.minutes": ("quota de minutes d'une ligne", "a line's quota of minutes"),
    TEST: ("essai des alertes", "a test of the alerts"),
    "engine": ("le moteur signale un problème", "the engine reports a problem"),
    "webhook.dead": ("message webhook abandonné", "a webhook message was given up"),
}

Tell = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Send = Callable[[EmailMessage], None]


@dataclass(slots=True)
class _Told:
    """When an alert was last given (monotonic), and how often it was held back since."""

    at: float
    held_back: int = 0


class Alerts:
    """One a daemon. `tell` puts an alert into the webhooks' outbox; `send` hands over a mail, in a thread."""

    def __init__(self, table: AlertsTable, clock: Clock, tell: Tell, send: Send | None) -> None:
        self._table, self._clock, self._tell, self._send = table, clock, tell, send
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(QUEUE_MAX)
        self._told: dict[tuple[str, ...], _Told] = {}
        self.lost = 0
        self.told: deque[tuple[datetime, str, Mapping[str, Any]]] = deque(maxlen=TOLD_MAX)

    def notify(self, topic: str, details: Mapping[str, Any]) -> None:
        """Give an alert; returns at once. Past the queue's bound it is in the log alone, and counted."""
        shown = self._passes(topic, dict(details))
        if shown is None:
            return
        # A detail may be called "event", which is the log's own word for the line.
        log.warning("alert", topic=topic, details=shown)
        self.told.append((self._clock.utcnow(), topic, shown))
        try:
            self._queue.put_nowait((topic, shown))
        except asyncio.QueueFull:
            self.lost += 1

    def _passes(self, topic: str, details: dict[str, Any]) -> dict[str, Any] | None:
        """The details with what was held back, or None if it was given a short while ago."""
        about = (topic, *(str(details.get(name, "")) for name in ABOUT))
        now, told = self._clock.now(), self._told.get(about)
        if topic != TEST and told is not None and now - told.at < self._table.repeat_s:
            told.held_back += 1
            return None
        held = {"held_back": told.held_back} if told is not None and told.held_back else {}
        self._told.pop(about, None)
        self._told[about] = _Told(now)
        while len(self._told) > SUBJECTS_MAX:
            self._told.pop(next(iter(self._told)))
        return {**details, **held}

    async def run(self) -> None:
        """Deliver until cancelled. Webhooks retry by themselves; a mail is tried a few times, then it is in the log."""
        while True:
            topic, details = await self._queue.get()
            try:
                await self._tell(topic, details)
            except StoreError as error:
                log.warning("alert not put out to webhooks", topic=topic, error=type(error).__name__)
            if self._send is not None:
                await self._mail(topic, details)

    async def _mail(self, topic: str, details: Mapping[str, Any]) -> None:
        assert self._send is not None
        message = self.mail_of(topic, details)
        for attempt in range(TRIES):
            try:
                await asyncio.to_thread(self._send, message)
                return
            except (smtplib.SMTPException, OSError, SettingsError) as error:
                # The server's words may quote what we sent; the kind of error is enough to go and look.
                log.warning("alert not mailed", topic=topic, attempt=attempt + 1, error=type(error).__name__)
            await asyncio.sleep(RETRY_FIRST_S * 2**attempt)

    def mail_of(self, topic: str, details: Mapping[str, Any]) -> EmailMessage:
        """The alert as a mail, in the language of the settings."""
        french = self._table.language == "fr"
        words = WORDS.get(topic, (topic, topic))[0 if french else 1]
        group = f" ({details['group']})" if details.get("group") else ""
        message = EmailMessage()
        message["Subject"] = " ".join(f"Cadran{' ' if french else ''}: {words}{group}".split())
        message["From"] = self._table.mail_from
        message["To"] = ", ".join(self._table.mail_to)
        message["Date"] = format_datetime(self._clock.utcnow())
        message["Auto-Submitted"] = "auto-generated"
        lines = [f"{name}: {value}" for name, value in sorted(details.items())]
        message.set_content("\n".join([words, "", *lines, "", topic]) + "\n")
        return message


def smtp_sender(table: AlertsTable, password: Callable[[], str]) -> Send | None:
    """Hands a mail to the server of the settings; blocking, for a thread. None if there is none.

    `password` is asked at each mail, so that a mended file is used at once. Raises SMTPException, OSError.
    """
    if not table.smtp_host:
        return None

    def send(message: EmailMessage) -> None:
        context = ssl.create_default_context(cafile=table.smtp_ca_file or None)
        connect: Callable[[], smtplib.SMTP]
        if table.smtp_security == "tls":
            connect = lambda: smtplib.SMTP_SSL(  # noqa: E731 - one of two ways to connect
                table.smtp_host, table.smtp_port, timeout=table.smtp_timeout_s, context=context
            )
        else:
            connect = lambda: smtplib.SMTP(table.smtp_host, table.smtp_port, timeout=table.smtp_timeout_s)  # noqa: E731
        with connect() as server:
            if table.smtp_security == "starttls":
                server.starttls(context=context)
            if table.smtp_user:
                server.login(table.smtp_user, password())
            server.send_message(message)

    return send


async def closing(task: asyncio.Task[None]) -> None:
    """End a task of ours and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
