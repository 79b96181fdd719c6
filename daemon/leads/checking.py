"""One row of a file becomes a lead, or a reason why not.

In: cells and the columns' fields. Out: `Checked`: a draft, or refusals; and warnings about what was left out of an
otherwise good lead. Pure; the telephone is normalised by `compliance`, which also says where the person is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.compliance.numbers import Number, normalise
from daemon.compliance.zones import tz_group, zone
from daemon.leads.mapping import CUSTOM, Columns
from daemon.leads.reading import Row

TEXT_CHARS_MAX = 200
COMMENTS_CHARS_MAX = 4000
CUSTOM_CHARS_MAX = 1000

_TEXTS = (
    "first_name", "last_name", "company", "address1", "address2", "address3", "city", "state", "vendor_lead_code",
    "status", "consent_source", "consent_text_version",
)  # fmt: skip
_FLAGS = ("consent_out_of_hours", "consent_automated", "running_contract")
_YES = frozenset({"1", "1.0", "oui", "yes", "true", "vrai", "x", "o", "y"})
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]{2,}")
_DATE = re.compile(
    r"(?:(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})|(?P<D>\d{1,2})[/.](?P<M>\d{1,2})[/.](?P<Y>\d{4}))"
    r"(?:[T ]+(?P<h>\d{1,2})[:h](?P<n>\d{2})(?::(?P<s>\d{2})(?:\.\d+)?)?)?\s*(?P<z>Z|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the operator decided about rows. `region`: home country of numbers; `zone`: of times without an offset."""

    region: str = "FR"
    zone: str = "Europe/Paris"
    allow_special: bool = False


class Checked(msgspec.Struct, frozen=True):
    """`draft` is None exactly when `reasons` is not empty. Reasons and warnings are stable codes; `cleaned`: the number
    had separators or a lost zero (features D7)."""

    draft: LeadDraft | None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    cleaned: bool = False


class Checker:
    """Checks rows of one file. Made once, so that columns are looked up once: a million rows pass here."""

    def __init__(self, columns: Columns, choices: Choices, now: datetime) -> None:
        self._choices, self._now, self._width = choices, now, len(columns.fields)
        at = {field: place for place, field in enumerate(columns.fields) if field}
        self._at = at
        self._texts = [(field, at[field]) for field in _TEXTS if field in at]
        self._flags = [(field, at[field]) for field in _FLAGS if field in at]
        self._custom = [
            (field[len(CUSTOM) :].strip(), place) for field, place in at.items() if field.startswith(CUSTOM)
        ]
        self._rare = [
            (at[field], take)
            for field, take in (
                ("consent_at", self._consent),
                ("email", self._email),
                ("country_code", self._country),
                ("priority", self._priority),
            )
            if field in at
        ]

    def check(self, cells: Row) -> Checked:
        """The lead of one row; see the module's first lines."""
        if len(cells) != self._width:
            if any(cell not in ("", None) for cell in cells[self._width :]):
                return Checked(None, ("too_many_columns",))
            cells = cells[: self._width] + [""] * (self._width - len(cells))
        warnings: list[str] = []
        values: dict[str, Any] = {field: text(cells[place]) for field, place in self._texts}
        values["postal_code"] = postal_code = self._postal_code(cells)
        phone, alt_phone = self._phones(cells, postal_code, warnings)
        reasons = self._reasons(cells, values, phone)
        if reasons:
            return Checked(None, tuple(reasons), tuple(warnings), phone.cleaned)
        if alt_phone:
            values["alt_phone"] = alt_phone
        for field, place in self._flags:
            values[field] = text(cells[place]).lower() in _YES
        for place, take in self._rare:
            if cells[place] not in ("", None):
                take(cells[place], values, warnings)
        draft = LeadDraft(e164=phone.e164, tz_group=tz_group(phone.e164, postal_code), **values)
        return Checked(draft, (), tuple(warnings), phone.cleaned)

    def _reasons(self, cells: Row, values: dict[str, Any], phone: Number) -> list[str]:
        """Why the row is no lead; takes comments and own fields on the way, since they may be too long."""
        reasons = [_phone_reason(phone)] if phone.refused else []
        if "full_name" in self._at and not values.get("last_name"):
            values["last_name"] = text(cells[self._at["full_name"]])
        if not (values.get("last_name") or values.get("first_name") or values.get("company")):
            reasons.append("no_name")
        if max(map(len, values.values())) > TEXT_CHARS_MAX:
            reasons += [f"too_long_{field}" for field, value in values.items() if len(value) > TEXT_CHARS_MAX]
        if "comments" in self._at:
            values["comments"] = comments = text(cells[self._at["comments"]], lines=True)
            if len(comments) > COMMENTS_CHARS_MAX:
                reasons.append("too_long_comments")
        if self._custom:
            custom = {name: text(cells[place], lines=True) for name, place in self._custom}
            reasons += [f"too_long_{name}" for name, value in custom.items() if len(value) > CUSTOM_CHARS_MAX]
            values["fields"] = {name: value for name, value in custom.items() if value}
        return reasons

    def _phones(self, cells: Row, postal_code: str, warnings: list[str]) -> tuple[Number, str]:
        """The number to call and the other one. A good second number stands in for a missing or refused first."""
        main = self._number(cells, "phone", postal_code)
        if "alt_phone" not in self._at:
            return main, ""
        other = self._number(cells, "alt_phone", postal_code)
        if main.refused and other.e164:
            warnings.append("phone_from_alt")
            return other, ""
        if other.refused and other.refused != "empty":
            warnings.append("alt_phone_left_out")
        return main, other.e164

    def _number(self, cells: Row, field: str, postal_code: str) -> Number:
        place, choices = self._at.get(field), self._choices
        cell = "" if place is None else cells[place]
        return normalise(cell, region=choices.region, postal_code=postal_code, allow_special=choices.allow_special)

    def _postal_code(self, cells: Row) -> str:
        """As text; a French one that lost its zero in a spreadsheet gets it back."""
        place = self._at.get("postal_code")
        found = "" if place is None else text(cells[place])
        if len(found) == 4 and found.isascii() and found.isdigit() and self._choices.region == "FR":
            country = text(cells[self._at["country_code"]]).upper() if "country_code" in self._at else ""
            return f"0{found}" if country in ("", "FR", "FRANCE") else found
        return found[:20]

    def _consent(self, cell: object, values: dict[str, Any], warnings: list[str]) -> None:
        found = instant(cell, self._choices.zone)
        if found is None or found > self._now:
            warnings.append("consent_at_left_out")
        else:
            values["consent_at"] = found

    def _email(self, cell: object, values: dict[str, Any], warnings: list[str]) -> None:
        email = text(cell)
        if len(email) <= 254 and _EMAIL.fullmatch(email):
            values["email"] = email
        elif email:
            warnings.append("email_left_out")

    def _country(self, cell: object, values: dict[str, Any], warnings: list[str]) -> None:
        country = text(cell).upper()
        if len(country) == 2 and country.isascii() and country.isalpha():
            values["country_code"] = country
        elif country and country != "FRANCE":
            warnings.append("country_code_left_out")

    def _priority(self, cell: object, values: dict[str, Any], warnings: list[str]) -> None:
        priority = text(cell)
        if priority.isascii() and priority.isdigit() and len(priority) <= 2 and int(priority) <= 10:
            values["priority"] = int(priority)
        elif priority:
            warnings.append("priority_left_out")


def _phone_reason(number: Number) -> str:
    return "no_phone" if number.refused == "empty" else f"phone_{number.refused}"


def text(cell: object, *, lines: bool = False) -> str:
    """A cell as trimmed text: whole floats without ".0", dates in ISO, no control characters (line ends if `lines`)."""
    if isinstance(cell, str):
        if cell.isprintable():
            return cell.strip()
        found = cell
    elif cell is None or isinstance(cell, bool):
        return "" if cell is None else ("1" if cell else "0")
    elif isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    else:
        found = cell.isoformat() if isinstance(cell, date) else str(cell)
    keep = "\n" if lines else ""
    found = found.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c.isprintable() or c in keep else " " for c in found).strip()


def instant(cell: object, zone_name: str) -> datetime | None:
    """A date or time as UTC; without an offset it is of `zone_name`. None if it is none. Forms: ISO, and 31/12/2026
    with or without 14:30 (day first, as in France)."""
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=zone(zone_name))).astimezone(UTC)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day, tzinfo=zone(zone_name)).astimezone(UTC)
    found = _DATE.fullmatch(text(cell))
    if found is None:
        return None
    return _instant(found.groupdict(), zone_name)


def _instant(part: dict[str, str | None], zone_name: str) -> datetime | None:
    day = [part["y"] or part["Y"], part["m"] or part["M"], part["d"] or part["D"], part["h"], part["n"], part["s"]]
    try:
        wall = datetime(*(int(value or 0) for value in day), tzinfo=zone(zone_name))  # type: ignore[misc,arg-type]
        if part["z"]:
            offset = "+0000" if part["z"] == "Z" else part["z"].replace(":", "")
            wall = datetime.strptime(f"{wall:%Y-%m-%d %H:%M:%S} {offset}", "%Y-%m-%d %H:%M:%S %z")
        return wall.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=65_536)
def fold(value: str) -> str:
    """For comparison: NFD without combining marks, lower case, runs of blanks as one space."""
    if value.isascii():
        return " ".join(value.lower().split())
    plain = "".join(c for c in unicodedata.normalize("NFD", value) if not unicodedata.combining(c))
    return " ".join(plain.lower().split())


def name_key(draft: LeadDraft) -> str:
    """Last and first name folded; "" unless both are there (a last name alone is many people)."""
    if not (draft.last_name and draft.first_name):
        return ""
    return f"{fold(draft.last_name)} {fold(draft.first_name)}"


def email_key(draft: LeadDraft) -> str:
    """The e-mail for comparison."""
    return draft.email.lower()


def keys_of(draft: LeadDraft, wanted: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(kind, key) by which a draft may be a duplicate, in the order phone, email, name; empty keys are left out."""
    found = []
    if "phone" in wanted:
        found.append(("phone", draft.e164))
    if "email" in wanted and draft.email:
        found.append(("email", email_key(draft)))
    if "name" in wanted and (name := name_key(draft)):
        found.append(("name", name))
    return tuple(found)
