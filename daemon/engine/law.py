"""What the engine needs of the law, as one small port; `compliance` answers it (see daemon.engine.rules)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Why a call may not be made now; `until`: when it may next be asked, None = never."""

    rule: str
    clause: str
    until: datetime | None


class RuleFacts(msgspec.Struct, frozen=True, gc=False):
    """What of a rule set the engine works with. `clock_start`: answer | greeting_end | verdict."""

    name: str
    version: str
    attempts_max: int
    attempts_days: int
    connect_deadline_s: float
    clock_start: str
    ceiling: float
    windows: tuple[tuple[str, int], ...]
    ring_min_s: float
    recall_after_s: float
    message_required: bool


class Law(Protocol):
    """One answer a question; pure, given the instant."""

    def rules(self, name: str, utc: datetime) -> RuleFacts:
        """The rule set in force. Raises CommandError `rule_set_unknown`."""
        ...

    def refuses(self, lead: Lead, campaign: Campaign, utc: datetime) -> Refused | None:
        """None if the lead may be called at this instant."""
        ...

    def refuses_number(self, e164: str, rule_set: str, utc: datetime) -> Refused | None:
        """For calls without a lead (click-to-call, manual): number class always, the rule set if one is named (D26)."""
        ...

    def may_play(self, lead: Lead, campaign: Campaign, utc: datetime) -> bool:
        """Whether a machine may leave a message on this person's answering machine (features D25)."""
        ...

    def open_zones(self, campaign: Campaign, groups: Sequence[str], utc: datetime) -> tuple[Sequence[str], datetime]:
        """Those of the tz groups that may be called now for this campaign, and until when this answer holds."""
        ...

    def calling(
        self, campaign: Campaign, groups: Sequence[str], utc: datetime, until: datetime
    ) -> list[tuple[datetime, datetime]]:
        """When, from `utc` to `until`, any of the tz groups may be called for this campaign: stretches in order."""
        ...

    def problems(self, campaign: Campaign, shown: Sequence[str], owned: Sequence[str], utc: datetime) -> list[Refused]:
        """What makes the campaign unlawful as configured; [] = it may be activated (`rule` is the problem's code)."""
        ...

    def dial_string(self, e164: str) -> str:
        """The number in the site's dial format."""
        ...
