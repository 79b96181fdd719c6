"""What whoever sets up an integration chooses; kept in `integrations.options`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

NumberFormat = Literal["e164", "00", "digits", "national"]
Directions = Literal["off", "inbound", "outbound", "both"]
Event = Literal["off", "ringing", "answered", "end", "manual"]
Line = Annotated[str, Meta(max_length=500)]


class Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`default_user`: the CRM's id of whom calls without an agent are booked to, "" = such calls are not told.
    `create_contact`: for which unknown numbers a contact is made. `popup`: at which event a page opens; `popup_calls`:
    the source pops for incoming calls only. `hook_url`: a page by fields *CALLING* … instead of the contact's.
    `texts`: "CallJournal.Subject" and the like."""

    zone: Line = "Europe/Paris"
    number_format: NumberFormat = "e164"
    default_user: Line = ""
    sync_types: tuple[Line, ...] = ()
    create_contact: Directions = "off"
    create_type: Line = ""
    tickets: bool = True
    always_query: bool = False
    play_recordings: bool = False
    popup: Event = "ringing"
    popup_calls: Literal["inbound", "all"] = "inbound"
    display: Literal["popup", "modal", "silent"] = "popup"
    hook_url: Line = ""
    texts: dict[Line, Annotated[str, Meta(max_length=2000)]] = {}

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def read_options(given: Mapping[str, Any]) -> Options:
    """Raises msgspec.ValidationError for what can't be used."""
    options = msgspec.convert(dict(given), Options)
    try:
        options.tz  # noqa: B018 - an unknown zone raises here and not in a call
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise msgspec.ValidationError(f"zone {options.zone!r} is not known") from error
    return options
