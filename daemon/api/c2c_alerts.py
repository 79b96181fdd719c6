"""When click-to-call needs a person (features C2C-12): quota above 80 %, failures above 10 %, no phone available.

In: the group's hour after each request. Out: `notify(topic, details)`, once a clock hour and topic: a pool that is
empty every other minute is one alert. The sinks (webhook, e-mail, log) belong to whoever gave `notify`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from daemon.api.quota import Hour
from daemon.calls.records import Group

Notify = Callable[[str, Mapping[str, Any]], None]
QUOTA_SHARE = 0.8
FAILURE_SHARE = 0.1
REQUESTS_MIN = 10
"""One failure of three says nothing about the line."""


class C2CAlerts:
    """One an app."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._told: dict[tuple[int, str], datetime] = {}

    def look(self, group: Group, hour: Hour, *, no_line: bool) -> None:
        """Judge the hour as it is after a request. `no_line`: this request found no phone."""
        if group.c2c_per_hour and hour.succeeded > QUOTA_SHARE * group.c2c_per_hour:
            self._once(group, hour, "click2call.quota", {"used": hour.succeeded, "limit": group.c2c_per_hour})
        failed = hour.calls - hour.succeeded
        if hour.calls >= REQUESTS_MIN and failed > FAILURE_SHARE * hour.calls:
            worst = max(hour.errors, key=lambda text: (hour.errors[text], text), default="")
            self._once(group, hour, "click2call.failures", {"failed": failed, "calls": hour.calls, "error": worst})
        if no_line:
            self._once(group, hour, "click2call.no_line", {})

    def _once(self, group: Group, hour: Hour, topic: str, details: dict[str, Any]) -> None:
        key = (group.id, topic)
        if self._told.get(key) != hour.start:
            self._told[key] = hour.start
            self._notify(topic, {"group": group.code, **details})
