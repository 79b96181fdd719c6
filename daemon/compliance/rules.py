"""Rule sets: the law of a country and our own policy as dated data, one TOML file each in `config/rules`.

Every section names its clause, its source and how sure we are of it (`mark`). Rates are 0..1; times of day are the
called person's; days are ISO weekdays by name. An unknown or impossible key is refused at start with a SettingsError.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daemon.errors import SettingsError

RULES_DIRECTORY = Path(__file__).parents[1] / "config" / "rules"
"""Where the shipped rule sets are."""


class Mark(StrEnum):
    """How a figure is known: read in the law or the authority's text; read in a secondary source; general knowledge not
    yet checked; or our own policy where the law is silent."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GENERAL = "general"
    OWN = "own"


class Audience(StrEnum):
    """Whom a rule set is about."""

    CONSUMER = "consumer"
    BUSINESS = "business"
    ANY = "any"


class Day(StrEnum):
    """Weekdays, in ISO order."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


DAYS = tuple(Day)


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Sourced(_Strict, frozen=True, kw_only=True):
    """What every section says of itself: the clause shown to people, where it was read, and how surely."""

    clause: str
    source: str
    mark: Mark


class Window(_Strict, frozen=True, kw_only=True):
    """A weekly opening, "HH:MM" to "HH:MM" (end not included; "24:00" allowed), never over midnight."""

    days: tuple[Day, ...]
    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")

    def __post_init__(self) -> None:
        if minutes(self.start) >= minutes(self.end):
            raise ValueError(f"a window must end after it begins: {self.start} to {self.end}")


class HoursRule(Sourced, frozen=True, kw_only=True):
    """When calls may be placed. `holidays`: ISO country whose public holidays are closed, "" for none.

    `wider_than_law`: usable only for business campaigns or for people who agreed to it (features D3).
    """

    windows: tuple[Window, ...]
    holidays: str = ""
    wider_than_law: bool = False


class AttemptsRule(Sourced, frozen=True, kw_only=True):
    """At most `max` attempts in `days` days, by one client to one number (features D32, D34)."""

    max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    days: Annotated[int, msgspec.Meta(ge=1, le=366)]


class RefusalRule(Sourced, frozen=True, kw_only=True):
    """Silence for `days` whole calendar days after the day of a refusal."""

    days: Annotated[int, msgspec.Meta(ge=1, le=3660)]


class ConsentRule(Sourced, frozen=True, kw_only=True):
    """Whether the person must have agreed before; for how long that holds, and how long its proof is kept."""

    required: bool
    valid_days: Annotated[int, msgspec.Meta(ge=0, le=3660)] = 0
    proof_years: Annotated[int, msgspec.Meta(ge=0, le=30)] = 0
    contract_exception: bool = False
    business_exempt: bool = False


class AbandonmentRule(Sourced, frozen=True, kw_only=True):
    """The ceiling on abandoned calls and what counts as one.

    `windows`: every period whose own rate must stay at or under `rate_max`: hour, day, 24h, 30d, calendar_month.
    `clock_start`: the instant from which `connect_deadline_s` runs. `redial_h`: for so long after an abandoned call
    only an agent kept for that call may ring the person; 0 for none.
    """

    rate_max: Annotated[float, msgspec.Meta(ge=0, le=1)]
    windows: tuple[Literal["hour", "day", "24h", "30d", "calendar_month"], ...]
    connect_deadline_s: Annotated[float, msgspec.Meta(gt=0, le=10)]
    clock_start: Literal["answer", "greeting_end", "verdict"]
    ring_time_s_min: Annotated[float, msgspec.Meta(ge=0, le=60)]
    message_required: bool = True
    redial_h: Annotated[float, msgspec.Meta(ge=0, le=8760)] = 0


class CallerIdPrefix(_Strict, frozen=True, kw_only=True):
    """An E.164 prefix and the days it is in force (`to` not included; absent: until further notice)."""

    prefix: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{0,14}$")]
    since: date = msgspec.field(name="from")
    until: date | None = msgspec.field(name="to", default=None)

    def matches(self, e164: str, on: date) -> bool:
        """Whether the number falls under this prefix on that day."""
        return e164.startswith(self.prefix) and self.since <= on and (self.until is None or on < self.until)


class CallerIdRule(Sourced, frozen=True, kw_only=True):
    """Which numbers may be shown. `deny` wins; an empty `allow` allows every owned number that is not denied."""

    allow: tuple[CallerIdPrefix, ...] = ()
    deny: tuple[CallerIdPrefix, ...] = ()


class AutomatedMessageRule(Sourced, frozen=True, kw_only=True):
    """Messages played by a machine to a person or to their answering machine (features D25)."""

    policy: Literal["consent", "forbidden", "allowed"]


class TechnicalRule(Sourced, frozen=True, kw_only=True):
    """At most `max` attempts that failed on our own side in `hours` hours: no law counts them, the PBX does."""

    max: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    hours: Annotated[float, msgspec.Meta(gt=0, le=720)]


class RuleSet(_Strict, frozen=True, kw_only=True):
    """One file of `config/rules`. `valid_to` is the last day in force."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{1,39}$")]
    title: str
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
    audience: Audience
    valid_from: date
    valid_to: date | None = None
    hours: HoursRule
    attempts: AttemptsRule | None = None
    refusal: RefusalRule | None = None
    consent: ConsentRule
    abandonment: AbandonmentRule
    caller_id: CallerIdRule
    automated_message: AutomatedMessageRule
    technical: TechnicalRule
    notes: tuple[str, ...] = ()


def minutes(clock: str) -> int:
    """ "HH:MM" as minutes of the day, 0 to 1440. Raises ValueError on anything else."""
    hours, colon, rest = clock.partition(":")
    if not (colon and len(hours) == 2 and len(rest) == 2 and clock.isascii() and (hours + rest).isdigit()):
        raise ValueError(f'not a time of day "HH:MM": {clock!r}')
    total = int(hours) * 60 + int(rest)
    if int(rest) > 59 or total > 1440:
        raise ValueError(f'not a time of day between "00:00" and "24:00": {clock!r}')
    return total


def load_rule_sets(directory: Path = RULES_DIRECTORY) -> Mapping[str, RuleSet]:
    """Every rule set of the directory by id. Raises SettingsError naming file, key, value and what is allowed."""
    found: dict[str, RuleSet] = {}
    for path in sorted(directory.glob("*.toml")):
        rule_set = load_rule_set(path)
        if rule_set.id != path.stem:
            raise SettingsError(f"{path.name}: id", rule_set.id, f'the file\'s own name, "{path.stem}"')
        found[rule_set.id] = rule_set
    if not found:
        raise SettingsError("rules", str(directory), "a directory with at least one rule set (*.toml)")
    return found


def load_rule_set(path: Path) -> RuleSet:
    """One rule set. Raises SettingsError as `load_rule_sets`."""
    try:
        return _read(path.name, path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(path.name, error.strerror or "unreadable", "a readable file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(path.name, str(error), "TOML in UTF-8") from error


@lru_cache(64)
def _read(name: str, text: str) -> RuleSet:
    """The rule set in a file's text; remembered, since engines start anew and simulations by the thousand."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(name, str(error), "TOML in UTF-8") from error
    try:
        return msgspec.convert(raw, RuleSet)
    except msgspec.ValidationError as error:
        raise _explained(name, raw, str(error)) from error


def _explained(file: str, raw: dict[str, Any], message: str) -> SettingsError:
    """The key, value and allowed range behind a validation message of msgspec ("… - at `$.a.b[0]`")."""
    text, _, where = message.partition(" - at `$")
    steps = where.rstrip("`").replace("[", ".[").lstrip(".").split(".") if where else []
    value: Any = raw
    for step in steps:
        try:
            value = value[int(step.strip("[]"))] if step.startswith("[") else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            value = None
    key = ".".join(steps).replace(".[", "[")
    if text.startswith("Object contains unknown field"):
        unknown = text.split("`")[1]
        known = ", ".join(_keys_at(steps))
        return SettingsError(
            f"{file}: {f'{key}.' if key else ''}{unknown}", (value or {}).get(unknown), f"one of {known}"
        )
    if text.startswith("Object missing required field"):
        missing = text.split("`")[1]
        return SettingsError(f"{file}: {f'{key}.' if key else ''}{missing}", None, "required")
    return SettingsError(f"{file}: {key}", value, text)


def _keys_at(steps: list[str]) -> list[str]:
    """The keys allowed at a path of a rule-set file."""
    struct: Any = RuleSet
    for step in steps:
        if step.startswith("["):
            continue
        field = next(f for f in msgspec.structs.fields(struct) if f.encode_name == step)
        struct = next(t for t in _inner_types(field.type) if isinstance(t, type) and issubclass(t, msgspec.Struct))
    return sorted(f.encode_name for f in msgspec.structs.fields(struct))


def _inner_types(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation] + [inner for argument in arguments for inner in _inner_types(argument)]
