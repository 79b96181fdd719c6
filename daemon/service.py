"""The daemon as a service: systemd's notify socket, and log lines with the daemon's own clock.

`notify` sends one datagram (sd_notify(3)); without a socket in the environment it does nothing.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from daemon.clock import Clock

SECRET_KEYS = frozenset({"secret", "password", "token", "authorization", "key", "dsn"})
"""A value logged under one of these names is replaced: no secret in a log."""


def notify(*assignments: str) -> None:
    """Tell systemd, e.g. `READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=…`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0.1)
            channel.sendto("\n".join(assignments).encode(), address)
    except OSError:
        return  # a service manager that went away must not stop calls


def watchdog_interval_s() -> float | None:
    """Half of the service manager's watchdog time; None if it set none."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    return int(micros) / 2e6 if micros.isdigit() and int(micros) > 0 else None


def tell_crashes() -> None:
    """From now on a crash, and the SIGABRT by which systemd ends a service that its watchdog found standing still,
    leave the stack of every thread on standard error."""
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)


class Unfailing:
    """A stream whose failures end nothing: a full disk under the log, or a pipe that nobody reads any more, loses
    lines, never calls."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # ValueError: closed
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def set_up_logs(level: str, form: str, clock: Clock) -> None:
    """structlog to standard error; times come from the daemon's clock, so that simulated logs tell simulated time."""

    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["at"] = clock.utcnow().isoformat(timespec="milliseconds")
        return event

    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form != "json":
        # Never with the values of local variables, as structlog's own choice would: secrets and people's numbers.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28, exception_formatter=plain)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamp,
            hide_secrets,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values logged under a name that holds secrets."""
    for name in event:
        if name in SECRET_KEYS:
            event[name] = "•••"
    return event
