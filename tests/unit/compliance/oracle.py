"""A slow second opinion on who may be called when, written from the law and from nothing else of the project.

It shares no code with the daemon: it reads the raw TOML tables, works out Easter itself, walks the minutes of each
local day on the wall clock, and asks every rule at once instead of one after the other. Times are whole minutes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
PRECEDENCE = (
    "rule_set", "dnc", "number", "zone", "consent", "out_of_hours", "attempts", "refusal", "campaign_limit", "recall",
    "min_gap", "holiday", "hours", "campaign_hours", "technical", "callback", "lead",
)  # fmt: skip
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# The telephone numbers the tests use, and where their owners may be: (zone, area).
WHEREABOUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "+33612345678": (("Europe/Paris", ""),),
    "+33388123456": (("Europe/Paris", "alsace"),),
    "+596696123456": (("America/Martinique", "972"),),
    "+590690123456": (
        ("America/Guadeloupe", "971"),
        ("America/Marigot", "978"),
        ("America/St_Barthelemy", "977"),
    ),
    "+594694123456": (("America/Cayenne", "973"),),
    "+262692123456": (("Indian/Reunion", "974"),),
    "+262639123456": (("Indian/Mayotte", "976"),),
    "+12125551234": (("America/New_York", ""),),
    "+14155552671": (("America/Los_Angeles", ""),),
    "+442079460958": (("Europe/London", ""),),
    "+33800123456": (("Europe/Paris", ""),),
    "+33899123456": (("Europe/Paris", ""),),
}
SPECIAL, PREMIUM = {"+33800123456"}, {"+33899123456"}


def easter(year: int) -> date:
    """Easter Sunday by Gauss, in Lichtenberg's correction."""
    k = year // 100
    m = 15 + (3 * k + 3) // 4 - (8 * k + 13) // 25
    s = 2 - (3 * k + 3) // 4
    a = year % 19
    d = (19 * a + m) % 30
    r = (d + a // 11) // 29
    og = 21 + d - r
    sz = 7 - (year + year // 4 + s) % 7
    oe = 7 - (og - sz) % 7
    return date(year, 3, 1) + timedelta(days=og + oe - 1)


@lru_cache(maxsize=200)
def french_holidays(year: int, area: str) -> frozenset[date]:
    """L3133-1 C. trav.; Good Friday and 26 December in Alsace-Moselle; the commemorations overseas."""
    sunday = easter(year)
    days = {date(year, m, d) for m, d in ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25))}
    days |= {sunday + timedelta(days=n) for n in (1, 39, 50)}
    good_friday = sunday - timedelta(days=2)
    mid_lent = sunday - timedelta(days=24)
    schoelcher = date(year, 7, 21)
    local: dict[str, set[date]] = {
        "alsace": {good_friday, date(year, 12, 26)},
        "971": {good_friday, mid_lent, date(year, 5, 27), schoelcher},
        "972": {date(year, 5, 22), schoelcher},
        "973": {date(year, 6, 10)},
        "974": {date(year, 12, 20)},
        "976": {date(year, 4, 27)},
        "977": {date(year, 10, 9)},
        "978": {date(year, 5, 28), schoelcher},
    }
    return frozenset(days | local.get(area, set()))


@lru_cache(maxsize=50)
def british_holidays(year: int) -> frozenset[date]:
    """Banking and Financial Dealings Act 1971, schedule 1, and the proclaimed New Year's and May days, of all parts of
    the kingdom; one that falls on a weekend is kept on the next weekday that is none itself, and stays closed too."""
    sunday = easter(year)

    def monday(month: int, *, last: bool) -> date:
        days = [date(year, month, n) for n in (range(25, 32) if last else range(1, 8))]
        return next(day for day in days if day.weekday() == 0)

    days = {sunday - timedelta(days=2), sunday + timedelta(days=1)}
    days |= {monday(5, last=False), monday(5, last=True), monday(8, last=False), monday(8, last=True)}
    for together in (((1, 1), (1, 2)), ((3, 17),), ((7, 12),), ((11, 30),), ((12, 25), (12, 26))):
        fixed = [date(year, month, day) for month, day in together]
        days |= set(fixed)
        for day in fixed:
            kept = day
            while day.weekday() > 4 and (kept.weekday() > 4 or kept in days):
                kept += timedelta(days=1)
            days.add(kept)
    return frozenset(days | {day for day in (date(2026, 6, 15),) if day.year == year})  # proclaimed in Scotland


@lru_cache(maxsize=20_000)
def open_minutes(zone: str, day: date, windows: tuple[tuple[int, int], ...]) -> frozenset[datetime]:
    """The UTC minutes of a local day inside a window, walking the wall clock from the day's first minute to its last.

    With a wall that goes back, a window opens the last time its beginning is shown and is over the first time its end
    is; a beginning that is jumped over counts as shown at the jump.
    """
    where = ZoneInfo(zone)
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    walk: list[tuple[datetime, int]] = []
    for _ in range(54 * 60):
        wall = at.astimezone(where)
        if wall.date() == day:
            walk.append((at, wall.hour * 60 + wall.minute))
        at += MINUTE
    found: set[datetime] = set()
    for start, end in windows:
        shown = [instant for instant, wall_minute in walk if wall_minute == start]
        beyond = [instant for instant, wall_minute in walk if wall_minute > start]
        over = [instant for instant, wall_minute in walk if wall_minute >= end]
        opens = shown[-1] if shown else beyond[0]
        found |= {instant for instant, _ in walk if opens <= instant and not (over and over[0] <= instant)}
    return frozenset(found)


def _minute_of_day(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _in_windows(windows: list[dict[str, Any]], zone: str, at: datetime, names: bool) -> bool:
    day = at.astimezone(ZoneInfo(zone)).date()
    today = WEEK[day.weekday()] if names else day.weekday() + 1
    spans = tuple((_minute_of_day(w["from"]), _minute_of_day(w["to"])) for w in windows if today in w["days"])
    return at.replace(second=0, microsecond=0) in open_minutes(zone, day, spans)


def consent_holds(rules: dict[str, Any], facts: Any, at: datetime) -> bool:
    """A year at most, from the instant given; its own end if sooner; a later revocation ends it."""
    if facts.consent_at is None or at < facts.consent_at:
        return False
    if facts.consent_revoked_at is not None and facts.consent_at <= facts.consent_revoked_at <= at:
        return False
    if facts.consent_until is not None and at >= facts.consent_until:
        return False
    days = rules["consent"].get("valid_days", 0)
    return not days or at - facts.consent_at < timedelta(days=days)


def binding(rules: dict[str, Any], wishes: dict[str, Any], facts: Any, at: datetime) -> set[str]:
    """Every rule that forbids a call at this instant."""
    bad: set[str] = set()
    where = WHEREABOUTS.get(facts.e164, ())
    today = {zone: at.astimezone(ZoneInfo(zone)).date() for zone, _ in where}
    campaign_today = at.astimezone(ZoneInfo(wishes["zone"])).date()
    if campaign_today < rules["valid_from"] or campaign_today > rules.get("valid_to", date.max):
        bad.add("rule_set")
    if facts.dnc:
        bad.add("dnc")
    if facts.e164 in PREMIUM or (facts.e164 in SPECIAL and not wishes["special_allowed"]):
        bad.add("number")
    if not where:
        bad.add("zone")
    bad |= _personal(rules, wishes, facts, at)
    if "attempts" in rules:
        limit, days = rules["attempts"]["max"], rules["attempts"]["days"]
        weighing = 0
        for made in facts.attempt_times:
            recent = timedelta(0) <= at - made < timedelta(days=days)
            for zone, _ in where:
                gone = (today[zone] - made.astimezone(ZoneInfo(zone)).date()).days
                recent = recent or (made <= at and gone < days)
            weighing += recent
        if weighing >= limit:
            bad.add("attempts")
    if "refusal" in rules and facts.refused_at is not None and facts.refused_at <= at:
        for zone, _ in where:
            gone = (today[zone] - facts.refused_at.astimezone(ZoneInfo(zone)).date()).days
            if gone <= rules["refusal"]["days"]:
                bad.add("refusal")
    if wishes["attempts_max"] and facts.attempts >= wishes["attempts_max"]:
        bad.add("campaign_limit")
    for zone, area in where:
        if rules["hours"].get("holidays") == "FR" and today[zone] in french_holidays(today[zone].year, area):
            bad.add("holiday")
        if rules["hours"].get("holidays") == "GB" and today[zone] in british_holidays(today[zone].year):
            bad.add("holiday")
        if not _in_windows(rules["hours"]["windows"], zone, at, names=True):
            bad.add("hours")
    if wishes["hours"] and not _in_windows(wishes["hours"], wishes["zone"], at, names=False):
        bad.add("campaign_hours")
    return bad


def _personal(rules: dict[str, Any], wishes: dict[str, Any], facts: Any, at: datetime) -> set[str]:
    bad: set[str] = set()
    holds = consent_holds(rules, facts, at)
    consent = rules["consent"]
    revoked = facts.consent_revoked_at is not None and facts.consent_revoked_at <= at
    given_since = facts.consent_at is not None and revoked and facts.consent_at > facts.consent_revoked_at
    if consent["required"] and not (consent.get("business_exempt") and wishes["business"]):
        contract = consent.get("contract_exception") and facts.running_contract and wishes["running_contract"]
        if (revoked and not given_since) or not (holds or contract):
            bad.add("consent")
    if rules["hours"].get("wider_than_law") and not wishes["business"] and not (holds and facts.consent_out_of_hours):
        bad.add("out_of_hours")
    redial = timedelta(hours=rules["abandonment"].get("redial_h", 0))
    abandoned = facts.abandoned_at
    if abandoned is not None and not wishes["agent_reserved"] and abandoned <= at < abandoned + redial:
        bad.add("recall")
    past = [made for made in facts.attempt_times if made <= at]
    past += [facts.last_attempt_at] if facts.last_attempt_at is not None and facts.last_attempt_at <= at else []
    if past and at - max(past) < timedelta(seconds=wishes["gap_min_s"]):
        asked = facts.callback_at is not None and max(past) < facts.callback_at <= at
        if not asked:
            bad.add("min_gap")
    span = timedelta(hours=rules["technical"]["hours"])
    if sum(made <= at < made + span for made in facts.technical_times) >= rules["technical"]["max"]:
        bad.add("technical")
    if facts.callback_at is not None and at < facts.callback_at:
        bad.add("callback")
    if facts.closed or not facts.list_active or (facts.not_before is not None and at < facts.not_before):
        bad.add("lead")
    return bad


def verdict(rules: dict[str, Any], wishes: dict[str, Any], facts: Any, at: datetime) -> str:
    """The id of the first binding rule in the order of precedence, or "allowed"."""
    found = binding(rules, wishes, facts, at)
    return next((name for name in PRECEDENCE if name in found), "allowed")
