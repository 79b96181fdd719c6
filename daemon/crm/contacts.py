"""Whose number it is, asked of the CRM once and remembered for a while; a contact made once for an unknown number.

In memory only: names and numbers are kept nowhere else than DESIGN 5 says. After a restart the CRM is asked again.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from typing import Final

from daemon.clock import Clock
from daemon.crm import scenarios
from daemon.crm.caller import Caller
from daemon.crm.options import Options
from daemon.crm.variables import phone_variables, spelled
from daemon.crm.wire import CrmError

KNOWN_MAX: Final = 5000
FOUND_S: Final = 600.0
MISSING_S: Final = 30.0
"""A person not found may be entered while they talk; one found seldom changes."""
DOUBT_S: Final = 600.0
"""After a creation of which no answer came: the CRM's search may not show it at once."""


class Contacts:
    """Look-ups of one integration."""

    def __init__(self, caller: Caller, options: Options, clock: Clock) -> None:
        self._caller, self._options, self._clock = caller, options, clock
        self._known: OrderedDict[str, tuple[float, scenarios.Contact | None]] = OrderedDict()
        self._doubtful: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.hits = self.queries = self.created = 0

    async def of(self, e164: str, *, inbound: bool, create: bool, first: str = "", last: str = "") -> (
        scenarios.Contact | None
    ):  # fmt: skip
        """The contact of a number; a withheld number has none. `create`: make one if there is none and the options say
        so for this direction. Raises CrmError. Two calls of one number ask once."""
        if not re.fullmatch(r"\+[1-9][0-9]{3,14}", e164):
            return None
        lock = self._locks.setdefault(e164, asyncio.Lock())
        try:
            async with lock:
                found = await self._looked_up(e164)
                if found is None and create and self._wanted(inbound) and not self._in_doubt(e164):
                    found = await self._create(e164, first, last)
                return found
        finally:
            if not lock.locked():
                self._locks.pop(e164, None)

    def _wanted(self, inbound: bool) -> bool:
        return self._options.create_contact in ("both", "inbound" if inbound else "outbound")

    def _in_doubt(self, e164: str) -> bool:
        until = self._doubtful.get(e164, 0.0)
        if until and until <= self._clock.now():
            del self._doubtful[e164]
        return until > self._clock.now()

    async def _looked_up(self, e164: str) -> scenarios.Contact | None:
        at, known = self._known.get(e164, (-1e9, None))
        kept_s = FOUND_S if known is not None else MISSING_S
        if self._clock.now() - at < kept_s and not (self._options.always_query and known is not None):
            self.hits += 1
            return known
        self.queries += 1
        types = self._options.sync_types or None
        found = await scenarios.find_contact(self._caller, phone_variables(e164, self._options.number_format), types)
        self._keep(e164, found)
        return found

    def _keep(self, e164: str, contact: scenarios.Contact | None) -> None:
        self._known[e164] = (self._clock.now(), contact)
        self._known.move_to_end(e164)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    async def _create(self, e164: str, first: str, last: str) -> scenarios.Contact | None:
        number = spelled(e164, self._options.number_format)
        known = phone_variables(e164, self._options.number_format)
        try:
            made = await scenarios.create_contact(
                self._caller, self._options.create_type, first, last or number, number, known
            )
        except CrmError as error:
            if error.in_doubt:
                self._doubtful[e164] = self._clock.now() + DOUBT_S
            raise
        if made is not None:
            self.created += 1
            self._keep(e164, made if made.id else None)
            if not made.id:  # the CRM did not say; the next search will
                self._doubtful[e164] = self._clock.now() + DOUBT_S
        return made
