"""Where people are, by number and postal code, and on which calendar."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tzdata

from daemon.compliance.zones import (
    holidays_of,
    instants,
    parse_group,
    places,
    tz_group,
    tzdata_version,
    zone,
    zone_exists,
)
from tests.unit.compliance.oracle import british_holidays, french_holidays


@pytest.mark.parametrize(
    ("e164", "postal_code", "group"),
    [
        ("+33612345678", "", "Europe/Paris"),
        ("+33612345678", "75001", "Europe/Paris"),
        ("+33612345678", "57000", "Europe/Paris+57"),
        ("+33612345678", "67 000", "Europe/Paris+57"),
        ("+33388123456", "", "Europe/Paris+57"),
        ("+33388123456", "75001", "Europe/Paris+57"),
        ("+33612345678", "97400", "Europe/Paris|Indian/Reunion+974"),
        ("+33612345678", "not one", "Europe/Paris"),
        ("+590690123456", "", "America/Guadeloupe+971|America/Marigot+MF|America/St_Barthelemy+BL"),
        ("+590690123456", "97133", "America/St_Barthelemy+BL"),
        ("+590690123456", "97150", "America/Marigot+MF"),
        ("+596696123456", "", "America/Martinique+972"),
        ("+596696123456", "75001", "America/Martinique+972|Europe/Paris"),
        ("+594694123456", "", "America/Cayenne+973"),
        ("+262692123456", "", "Indian/Reunion+974"),
        ("+262639123456", "", "Indian/Mayotte+976"),
        ("+262709352345", "", "Indian/Mayotte+976"),
        ("+262976123456", "", "Indian/Mayotte+976|Indian/Reunion+974"),
        ("+262976123456", "97600", "Indian/Mayotte+976"),
        ("+508411234", "", "America/Miquelon+PM"),
        ("+689 87123456".replace(" ", ""), "98713", "Pacific/Tahiti+PF"),
        ("+212612345678", "", "Africa/Casablanca"),
        ("+212612345678", "20000", "Africa/Casablanca"),
        ("+12125551234", "", "America/New_York"),
        ("+14165551234", "", "America/Toronto"),
        ("+34612345678", "", "Atlantic/Canary|Europe/Madrid"),
        ("+551199999999", "", "?"),
    ],
)
def test_group_of_a_lead(e164: str, postal_code: str, group: str) -> None:
    assert tz_group(e164, postal_code) == group
    assert parse_group(group) == places(e164, postal_code)


def test_an_unknown_area_code_must_be_open_on_every_north_american_clock() -> None:
    group = tz_group("+15551234567")
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= set(group.split("|"))


def test_zones_come_from_the_package_whatever_the_host_has(tmp_path: Path) -> None:
    """A host whose copy of a zone is wrong changes nothing."""
    (tmp_path / "Africa").mkdir()
    paris = resources.files("tzdata.zoneinfo").joinpath("Europe", "Paris").read_bytes()
    (tmp_path / "Africa" / "Casablanca").write_bytes(paris)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    try:
        zone.cache_clear()
        zone("Africa/Casablanca")
    finally:
        zoneinfo.reset_tzpath(to=before)
    november = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert november.astimezone(zone("Africa/Casablanca")).utcoffset() == timedelta(0)
    assert tzdata_version() == tzdata.IANA_VERSION


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "zone.tab"])
def test_names_that_are_no_zone(name: str) -> None:
    assert not zone_exists(name)
    with pytest.raises(KeyError):
        zone(name)


AREAS = {
    "": "",
    "57": "alsace",
    "971": "971",
    "972": "972",
    "973": "973",
    "974": "974",
    "976": "976",
    "BL": "977",
    "MF": "978",
}


@pytest.mark.parametrize("area", sorted(AREAS))
def test_holidays_agree_with_an_easter_of_our_own(area: str) -> None:
    for year in range(2024, 2040):
        assert holidays_of("FR", area, year) == french_holidays(year, AREAS[area]), year
    assert holidays_of("", area, 2026) == frozenset()


def test_british_holidays_are_those_of_all_parts_and_their_substitutes() -> None:
    for year in range(2026, 2036):
        assert holidays_of("GB", "", year) == british_holidays(year), year


def test_wall_readings_on_nights_the_clocks_change() -> None:
    assert instants(date(2026, 6, 1), 600, "Europe/Paris") == (datetime(2026, 6, 1, 8, tzinfo=UTC),) * 2
    back = instants(date(2026, 10, 25), 150, "Europe/Paris")
    assert back == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    forward = instants(date(2027, 3, 28), 150, "Europe/Paris")
    assert forward == (datetime(2027, 3, 28, 1, 0, tzinfo=UTC),) * 2
    midnight = instants(date(2026, 11, 23), 1440, "Europe/Paris")
    assert midnight == (datetime(2026, 11, 23, 23, tzinfo=UTC),) * 2


def test_our_zones_are_those_of_the_standard_library() -> None:
    at = datetime(2026, 7, 1, tzinfo=UTC)
    for name in ("Europe/Paris", "America/Martinique", "Indian/Reunion", "America/New_York"):
        assert at.astimezone(zone(name)).utcoffset() == at.astimezone(ZoneInfo(name)).utcoffset()
