"""Where the called person lives, as far as clocks and holidays go.

In: an E.164 number and a postal code. Out: a `tz_group`, a short text that the store's index keeps with each lead:
`Europe/Paris`, `Europe/Paris+57` (with the holidays of an area), `Indian/Mayotte+976|Indian/Reunion+974` (could be
either: a call must be legal in both). Zones come with the package `tzdata`: a host's copy may be years old
(features D36), and the French world has its own map, because the public one places +212 in the Canaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import holidays
import tzdata
from phonenumbers import timezone as phone_zones

from daemon.compliance.numbers import parsed_number

NOON_H, EVENING_H = 13, 17
"""Where the parts of a day meet: who is not at home in one may well be in another (features LEGL-02)."""

UNKNOWN_GROUP = "?"
"""The group of a number whose whereabouts nothing tells; never callable (there is no clock to judge by)."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A clock and, where holidays differ inside a country, the area (a subdivision code of the `holidays` package)."""

    zone: str
    area: str = ""

    def __str__(self) -> str:
        return f"{self.zone}+{self.area}" if self.area else self.zone


# French places by the first three digits of a postal code. Saint-Martin and Saint-Barthélemy also use 97150 and 97133.
_POSTAL: dict[str, Place] = {
    "971": Place("America/Guadeloupe", "971"),
    "972": Place("America/Martinique", "972"),
    "973": Place("America/Cayenne", "973"),
    "974": Place("Indian/Reunion", "974"),
    "975": Place("America/Miquelon", "PM"),
    "976": Place("Indian/Mayotte", "976"),
    "977": Place("America/St_Barthelemy", "BL"),
    "978": Place("America/Marigot", "MF"),
    "986": Place("Pacific/Wallis", "WF"),
    "988": Place("Pacific/Noumea", "NC"),
}
_POSTAL_EXACT = {"97150": _POSTAL["978"], "97133": _POSTAL["977"]}
_POLYNESIA = (Place("Pacific/Gambier", "PF"), Place("Pacific/Marquesas", "PF"), Place("Pacific/Tahiti", "PF"))
_PARIS, _ALSACE_MOSELLE = Place("Europe/Paris"), Place("Europe/Paris", "57")
_ALSACE_MOSELLE_POSTAL = ("57", "67", "68")
_ALSACE_MOSELLE_PREFIXES = ("368", "369", "387", "388", "389", "390")
"""Fixed numbers given out in Moselle and Alsace: they may live elsewhere; the stricter calendar costs two days."""

_MAYOTTE, _REUNION = _POSTAL["976"], _POSTAL["974"]
_MAYOTTE_PREFIXES = ("269", "2689", "639", "70935", "70936", "70937", "9398", "9478", "9769")
_REUNION_PREFIXES = ("262", "263", "2688", "692", "693", "7092", "9399", "9479", "9762", "9763")

_BY_CODE: dict[str, tuple[Place, ...]] = {
    "590": (_POSTAL["971"], _POSTAL["978"], _POSTAL["977"]),
    "594": (_POSTAL["973"],),
    "596": (_POSTAL["972"],),
    "508": (_POSTAL["975"],),
    "681": (_POSTAL["986"],),
    "687": (_POSTAL["988"],),
    "689": _POLYNESIA,
    "212": (Place("Africa/Casablanca"),),
    "213": (Place("Africa/Algiers"),),
    "216": (Place("Africa/Tunis"),),
    "352": (Place("Europe/Luxembourg"),),
    "376": (Place("Europe/Andorra"),),
    "377": (Place("Europe/Monaco"),),
    "32": (Place("Europe/Brussels"),),
    "41": (Place("Europe/Zurich"),),
    "44": (Place("Europe/London"),),
}

_NORTH_AMERICA = tuple(
    Place(zone)
    for zone in (
        "America/Anchorage", "America/Chicago", "America/Denver", "America/Halifax", "America/Los_Angeles",
        "America/New_York", "America/Phoenix", "America/Puerto_Rico", "America/Regina", "America/St_Johns",
        "Pacific/Honolulu",
    )
)  # fmt: skip
"""Every clock a +1 number of unknown area code may be under; all of them must be open."""


def tz_group(e164: str, postal_code: str = "") -> str:
    """The group of a lead. Number and postal code may disagree (a mainland mobile kept overseas): both then apply."""
    if e164.startswith(("+336", "+337")):
        return _mainland_mobile_group(postal_code)
    return "|".join(str(place) for place in places(e164, postal_code)) or UNKNOWN_GROUP


@lru_cache(maxsize=65_536)
def _mainland_mobile_group(postal_code: str) -> str:
    """Nine leads of ten in France: their number says no more than "the mainland"."""
    return "|".join(str(place) for place in places("+33600000000", postal_code))


@lru_cache(maxsize=4096)  # asked a few times from a lead's claim to its call, seconds later; more is memory for nothing
def places(e164: str, postal_code: str = "") -> tuple[Place, ...]:
    """Every place the person may be in, sorted; () if unknown. A call must be legal in each of them."""
    found = _by_number(e164)
    hint = _by_postal(postal_code) if _is_french(e164) else None
    if hint is None:
        return tuple(sorted(found))
    if hint in found:
        return (hint,)
    if any(place.zone == hint.zone for place in found):  # the mainland twice: its stricter calendar holds
        return (_ALSACE_MOSELLE,)
    return tuple(sorted({*found, hint}))


def day_part(group: str, at: datetime) -> int:
    """The part of the day at the group's first place: 0 before 13:00, 1 before 17:00, 2 after. Unknown places: 0."""
    found = parse_group(group)
    if not found:
        return 0
    hour = at.astimezone(zone(found[0].zone)).hour
    return (hour >= NOON_H) + (hour >= EVENING_H)


def parse_group(group: str) -> tuple[Place, ...]:
    """The places of a group made by `tz_group`; () for the unknown group or a zone this tzdata does not have."""
    if group == UNKNOWN_GROUP:
        return ()
    pairs = [part.partition("+") for part in group.split("|")]
    found = tuple(Place(zone, area) for zone, _, area in pairs)
    return found if all(zone_exists(place.zone) for place in found) else ()


def _is_french(e164: str) -> bool:
    return e164.startswith(("+33", "+262", "+508", "+590", "+594", "+596", "+681", "+687", "+689"))


def _by_number(e164: str) -> tuple[Place, ...]:
    digits = e164[1:]
    if digits.startswith("33"):
        return (_ALSACE_MOSELLE,) if digits[2:].startswith(_ALSACE_MOSELLE_PREFIXES) else (_PARIS,)
    if digits.startswith("262"):
        rest = digits[3:]
        if rest.startswith(_MAYOTTE_PREFIXES):
            return (_MAYOTTE,)
        return (_REUNION,) if rest.startswith(_REUNION_PREFIXES) else (_MAYOTTE, _REUNION)
    for length in (3, 2):
        if known := _BY_CODE.get(digits[:length]):
            return known
    return _by_metadata(e164)


def _by_metadata(e164: str) -> tuple[Place, ...]:
    number = parsed_number(e164)
    names = phone_zones.time_zones_for_number(number) if number is not None else ()
    known = tuple(Place(name) for name in names if zone_exists(name) and name != "Etc/Unknown")
    if not known and e164.startswith("+1"):
        return _NORTH_AMERICA
    return known


def _by_postal(postal_code: str) -> Place | None:
    code = postal_code.replace(" ", "")
    if len(code) != 5 or not code.isascii() or not code.isdigit():
        return None
    if code in _POSTAL_EXACT:
        return _POSTAL_EXACT[code]
    if code.startswith(_ALSACE_MOSELLE_POSTAL):
        return _ALSACE_MOSELLE
    if code.startswith("987"):
        return _POLYNESIA[2]
    if code.startswith(("97", "98")):
        return _POSTAL.get(code[:3])
    return _PARIS


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """A zone from the tzdata package. Raises KeyError if it has none of that name."""
    if not name or name.startswith(("/", ".")) or ".." in name:
        raise KeyError(name)
    try:
        with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError) as error:
        raise KeyError(name) from error


def zone_exists(name: str) -> bool:
    """Whether the tzdata package has a zone of that name."""
    try:
        zone(name)
    except KeyError:
        return False
    return True


def tzdata_version() -> str:
    """IANA version of the zones in use, for the status (features D36)."""
    return str(tzdata.IANA_VERSION)


_PARTS = {"GB": ("ENG", "NIR", "SCT", "WLS")}
"""Countries without a day off for all that would tell when people are at home: Easter Monday is none of Scotland's."""


@lru_cache(maxsize=4096)
def holidays_of(country: str, area: str, year: int) -> frozenset[date]:
    """Public holidays of the country and the area in `year`; empty for country "". Areas count for France only: of the
    United Kingdom it is those of all its parts, since a number does not say for sure where its owner lives."""
    if not country:
        return frozenset()
    parts = _PARTS.get(country) or (area if country == "FR" and area else None,)
    return frozenset(day for part in parts for day in holidays.country_holidays(country, subdiv=part, years=year))


def local_date(at: datetime, zone_name: str) -> date:
    """The date on the wall of `zone_name` at the instant `at`."""
    return at.astimezone(zone(zone_name)).date()


def instants(day: date, minute: int, zone_name: str) -> tuple[datetime, datetime]:
    """(first, last) UTC instant at which the wall reaches `minute` of `day` (0-1440).

    Equal on ordinary days. When clocks go back the wall may reach it twice; when they jump over it, it is reached at
    the jump.
    """
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - a wall reading
    where = zone(zone_name)
    early = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    late = wall.replace(tzinfo=where, fold=1).astimezone(UTC)
    if early <= late:
        return early, late
    jump = _jump(late, early, where)
    return jump, jump


def _jump(low: datetime, high: datetime, where: ZoneInfo) -> datetime:
    """The instant within (low, high] at which the offset of `where` changes, to the second."""
    before = low.astimezone(where).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
        if middle.astimezone(where).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
