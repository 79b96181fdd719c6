"""Telephone numbers: whatever a file, a CRM or a person wrote becomes E.164, or is refused with a reason.

In: a cell's text or number. Out: `Number`. Called by the leads import, the APIs, the agent's keypad. The French
overseas numbers come first, by our own table: the public metadata takes several of them for numbers of the mainland,
which would dial another person and judge the call by the wrong clock (features D37).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from functools import cache, lru_cache

import msgspec
import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType


class NumberKind(StrEnum):
    """What a number is, as far as rules and prices care. OVERSEAS and FOREIGN do not say mobile or fixed."""

    MOBILE = "mobile"
    FIXED = "fixed"
    SPECIAL = "special"
    PREMIUM = "premium"
    SHORT = "short"
    EMERGENCY = "emergency"
    OVERSEAS = "overseas"
    FOREIGN = "foreign"


class NumberRefusal(StrEnum):
    """Why a text is no number we would dial; stable codes for reports and APIs."""

    EMPTY = "empty"
    NOT_A_NUMBER = "not_a_number"
    FOREIGN_DIGITS = "foreign_digits"
    ROUNDED = "rounded"
    INVALID = "invalid"
    DOUBTFUL = "doubtful"
    SPECIAL = "special"
    PREMIUM = "premium"
    SHORT = "short"
    EMERGENCY = "emergency"


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A normalised number. `e164` is "" exactly when `refused` says why.

    `cleaned`: separators were taken away or a lost leading zero was put back (features D7). `kind` may be known even
    when refused (premium, short, …).
    """

    e164: str = ""
    kind: NumberKind | None = None
    cleaned: bool = False
    refused: NumberRefusal | None = None

    @property
    def doubtful(self) -> bool:
        """Two people could be meant, and nothing says which: a person must look (features D37)."""
        return self.refused is NumberRefusal.DOUBTFUL


NEVER_DIALLED = frozenset({NumberKind.PREMIUM, NumberKind.SHORT, NumberKind.EMERGENCY})
"""Kinds no campaign and no click may ever reach."""

EMERGENCY = frozenset({
    "15", "17", "18", "110", "111", "112", "113", "114", "115", "116", "117", "118", "119", "120", "122", "190", "191",
    "192", "193", "196", "197", "000", "911", "933", "988", "995", "999", "116000", "116006", "116111", "116117",
    "116123",
})  # fmt: skip
"""Emergency and help lines of France and of the countries its callers know; all are also too short for a number."""

SHORT_DIGITS_MAX = 6
"""118 218 and 116 000 have six digits; no full national number of the countries we serve is that short, but those of
Saint-Pierre (+508 and six digits), which therefore need their country code or 0508."""

FRENCH_REGIONS = frozenset({"FR", "GP", "GF", "MQ", "RE", "YT", "PM", "BL", "MF"})

# National prefix (after the 0) → country codes it may belong to; the longest prefix wins. ARCEP's numbering plan as
# summarised in features D37; several are "valid" mainland numbers for the metadata, so this table is asked first.
OVERSEAS_PREFIXES: dict[str, tuple[str, ...]] = {
    "590": ("590",), "690": ("590",), "691": ("590",), "5987": ("590",), "9475": ("590",),
    "594": ("594",), "694": ("594",), "5988": ("594",), "9476": ("594",),
    "596": ("596",), "696": ("596",), "697": ("596",), "5989": ("596",), "9477": ("596",),
    "262": ("262",), "263": ("262",), "692": ("262",), "693": ("262",), "2688": ("262",), "2689": ("262",),
    "269": ("262",), "639": ("262",), "9478": ("262",), "9479": ("262",),
    "7090": ("590", "596", "594", "262"), "7091": ("590", "596", "594", "262"),
    "7092": ("590", "596", "594", "262"), "7093": ("590", "596", "594", "262"),
    "976": ("590", "596", "594", "262"),
    "508": ("508",),
}  # fmt: skip

OVERSEAS_CODES = frozenset({"262", "508", "590", "594", "596", "681", "687", "689"})
_NINE_DIGIT_CODES = ("262", "590", "594", "596")
_REGIONS_OF_CODE = {"590": "GP", "594": "GF", "596": "MQ", "262": "RE", "508": "PM"}
_CODE_OF_POSTAL = {"971": "590", "977": "590", "978": "590", "972": "596", "973": "594", "974": "262", "976": "262",
                   "975": "508"}  # fmt: skip
_CODE_OF_REGION = {"GP": "590", "BL": "590", "MF": "590", "MQ": "596", "GF": "594", "RE": "262", "YT": "262",
                   "PM": "508"}  # fmt: skip

# Networks of no country: satellite, international premium, personal. Dearer than any sale is worth.
_WORLD_PREMIUM = frozenset({870, 878, 881, 882, 883, 979})
_WORLD_SPECIAL = frozenset({800, 808, 888})

_SEPARATORS = re.compile(r"[\s.\-‐‑‒–—―−/()_]+")
_PLAIN = re.compile(r"(?:0|33|\+33|0033)([1-79][0-9]{8})")
"""How nearly every cell of nearly every file looks: worth a short way of its own."""

_TEXT_FLOAT = re.compile(r"(\+?\d+)[.,]0+")
_SCIENTIFIC = re.compile(r"(\d)(?:[.,](\d+))?[eE]\+?(\d{1,2})")
_TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")


def normalise(raw: object, *, region: str = "FR", postal_code: str = "", allow_special: bool = False) -> Number:
    """`raw` (text, int or float of a cell) as an E.164 number of `region`, or the reason it is refused.

    Accepts +33…, 0033…, 33…, 0…, a lost leading zero, Excel floats ("6.12345678E8"), and spaces, dots, dashes, slashes
    and parentheses. Digits of other scripts are refused: two scripts can look alike and are not the same number.
    `postal_code` (97x) settles an overseas number that could be two. Toll and toll-free 08 numbers are refused as
    `special` unless `allow_special`; premium, short and emergency numbers always (features D29).
    """
    plain = _PLAIN.fullmatch(raw) if isinstance(raw, str) and region in FRENCH_REGIONS else None
    if plain and not overseas_codes(plain[1]) and _mainland().fullmatch(plain[1]):
        return Number(e164="+33" + plain[1], kind=_french_kind(plain[1]))
    text, cleaned, refused = _digits(raw)
    if refused is not None:
        return Number(refused=refused, cleaned=cleaned)
    digits = text.lstrip("+")
    short = _short_kind(digits)
    if short is not None:
        return Number(kind=short, refused=NumberRefusal(short.value))
    found = _french(text, region, postal_code) if region in FRENCH_REGIONS else _of_region(text, region)
    if isinstance(found, NumberRefusal):
        return Number(refused=found, cleaned=cleaned)
    e164, mended = found
    cleaned = cleaned or mended
    kind = classify(e164, "FR" if region in FRENCH_REGIONS else region)
    if kind in NEVER_DIALLED or (kind is NumberKind.SPECIAL and not allow_special):
        return Number(kind=kind, refused=NumberRefusal(kind.value), cleaned=cleaned)
    return Number(e164=e164, kind=kind, cleaned=cleaned)


def _digits(raw: object) -> tuple[str, bool, NumberRefusal | None]:
    """The cell as digits with an optional leading +; whether anything was taken away; or a refusal."""
    if raw is None or isinstance(raw, bool):
        return "", False, NumberRefusal.EMPTY if raw is None else NumberRefusal.NOT_A_NUMBER
    if isinstance(raw, float):
        if not raw.is_integer() or not 0 <= raw < 1e15:
            return "", False, NumberRefusal.NOT_A_NUMBER
        return str(int(raw)), True, None
    if isinstance(raw, int):
        return str(raw), False, None if raw >= 0 else NumberRefusal.NOT_A_NUMBER
    original = str(raw)
    text = "".join(c for c in original if unicodedata.category(c) != "Cf").strip().lstrip("'").strip()
    text = text.removeprefix("tel:").replace("＋", "+")
    if not text:
        return "", False, NumberRefusal.EMPTY
    if any(c.isdigit() and not c.isascii() for c in text):
        return "", False, NumberRefusal.FOREIGN_DIGITS
    if number := _TEXT_FLOAT.fullmatch(text):
        text = number[1]
    elif number := _SCIENTIFIC.fullmatch(text):
        text = _expanded(number[1] + (number[2] or ""), int(number[3]))
        if not text:
            return "", True, NumberRefusal.ROUNDED
    if text.lstrip().startswith(("+", "00", "33")):
        text = _TRUNK_ZERO.sub("", text)
    text = _SEPARATORS.sub("", text)
    if not re.fullmatch(r"\+?[0-9]+", text):
        return "", False, NumberRefusal.NOT_A_NUMBER
    if len(text.lstrip("+")) > 17:
        return "", False, NumberRefusal.INVALID
    if text.startswith("00"):
        text = "+" + text[2:]
        return text, "00" + text[1:] != original, None
    if text.startswith("+0"):
        text = text[1:]
    return text, text != original, None


def _expanded(mantissa: str, exponent: int) -> str:
    """The digits of a number in scientific notation; "" if the notation has dropped some of them."""
    return mantissa if len(mantissa) == exponent + 1 else ""


def _short_kind(digits: str) -> NumberKind | None:
    """EMERGENCY or SHORT for a number that is only that, also behind a French country code or needless zeros."""
    bare = digits.lstrip("0") or digits
    for candidate in (digits, bare, digits.removeprefix("33"), digits.removeprefix("33").lstrip("0")):
        if candidate in EMERGENCY:
            return NumberKind.EMERGENCY
    if len(bare) <= SHORT_DIGITS_MAX or (digits.startswith("33") and len(digits) <= 2 + 4):
        return NumberKind.SHORT
    return None


def overseas_codes(national: str) -> tuple[str, ...]:
    """Country codes a French national number (without its 0) may belong to; () for the mainland."""
    for length in (4, 3):
        if codes := OVERSEAS_PREFIXES.get(national[:length]):
            return codes
    return ()


def _french(text: str, region: str, postal_code: str) -> tuple[str, bool] | NumberRefusal:
    """(E.164, mended) of a text met in France or overseas. `mended`: a lost zero put back or an extra one dropped."""
    context = _CODE_OF_POSTAL.get(postal_code.strip()[:3]) or _CODE_OF_REGION.get(region, "")
    if text.startswith("+33") or (not text.startswith(("+", "0")) and text.startswith("33") and len(text) in (11, 12)):
        return _behind_33(text.lstrip("+")[2:], context)
    if text.startswith("+"):
        return _international(text[1:])
    if text.startswith("0"):
        return _national(text[1:], context, mended=False) if len(text) == 10 else NumberRefusal.INVALID
    if len(text) == 9:
        if text[:3] in OVERSEAS_CODES and overseas_codes(text) and context not in overseas_codes(text):
            return NumberRefusal.DOUBTFUL
        return _national(text, context, mended=True)
    if len(text) == 12 and text.startswith(_NINE_DIGIT_CODES):
        return _international(text)
    if len(text) >= 11 and _valid("+" + text):
        return NumberRefusal.DOUBTFUL
    return NumberRefusal.INVALID


def _behind_33(rest: str, context: str) -> tuple[str, bool] | NumberRefusal:
    """What follows an explicit 33. An overseas number there is somebody's conversion mistake: doubtful."""
    mended = len(rest) == 10 and rest.startswith("0")
    national = rest[1:] if mended else rest
    if len(national) != 9:
        return NumberRefusal.INVALID
    codes = overseas_codes(national)
    if codes and context not in codes:
        return NumberRefusal.DOUBTFUL
    return _national(national, context, mended=mended or bool(codes))


def _national(national: str, context: str, *, mended: bool) -> tuple[str, bool] | NumberRefusal:
    """Nine digits behind the 0 of the French plan."""
    codes = overseas_codes(national)
    if not codes:
        return ("+33" + national, mended) if _mainland().fullmatch(national) else NumberRefusal.INVALID
    if len(codes) > 1:
        codes = (context,) if context in codes else tuple(c for c in codes if _in_regions(c, national))
    if len(codes) != 1:
        return NumberRefusal.DOUBTFUL
    if codes[0] == "508":
        return "+508" + national[3:], mended
    return f"+{codes[0]}{national}", mended


@cache
def _mainland() -> re.Pattern[str]:
    """Every mainland number the metadata knows, as one expression: an import asks it a million times."""
    known = phonenumbers.PhoneMetadata.metadata_for_region("FR")
    kinds = ("fixed_line", "mobile", "voip", "toll_free", "premium_rate", "shared_cost", "uan", "personal_number")
    found = [getattr(known, kind) for kind in kinds]
    return re.compile("|".join(kind.national_number_pattern for kind in found if kind and kind.national_number_pattern))


def _in_regions(code: str, national: str) -> bool:
    regions = phonenumbers.region_codes_for_country_code(int(code))
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national))
    return any(phonenumbers.is_valid_number_for_region(number, region) for region in regions)


def _international(digits: str) -> tuple[str, bool] | NumberRefusal:
    """Digits that begin with a country code other than 33."""
    code, rest = digits[:3], digits[3:]
    if code in _NINE_DIGIT_CODES:
        mended = len(rest) == 10 and rest.startswith("0")
        rest = rest[1:] if mended else rest
        if len(rest) == 9 and code in overseas_codes(rest):
            return f"+{code}{rest}", mended
    e164 = "+" + digits
    parsed = parsed_number(e164)
    if parsed is None or not phonenumbers.is_valid_number(parsed):
        return NumberRefusal.INVALID
    clean = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return clean, clean != e164


def _of_region(text: str, region: str) -> tuple[str, bool] | NumberRefusal:
    """A text met in a country other than France: the public metadata decides."""
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return NumberRefusal.INVALID
    if parsed.country_code == 33 and parsed.national_number is not None:
        return _behind_33(str(parsed.national_number), "")
    if not phonenumbers.is_valid_number(parsed):
        return NumberRefusal.INVALID
    return str(phonenumbers.format_number(parsed, PhoneNumberFormat.E164)), False


def parsed_number(e164: str) -> phonenumbers.PhoneNumber | None:
    """The number as the metadata library knows it; None if it is none."""
    try:
        return phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None


def _valid(e164: str) -> bool:
    parsed = parsed_number(e164)
    return parsed is not None and bool(phonenumbers.is_valid_number(parsed))


@lru_cache(maxsize=4096)  # asked a few times from a lead's claim to its call, seconds later; more is memory for nothing
def classify(e164: str, home: str = "FR") -> NumberKind:
    """The kind of an E.164 number; `home` is the ISO region whose numbers are told apart as mobile and fixed.

    Anything that is not a plausible E.164 number is SHORT: it must never be dialled.
    """
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", e164):
        return NumberKind.EMERGENCY if e164.lstrip("+0") in EMERGENCY else NumberKind.SHORT
    digits = e164[1:]
    short = _short_kind(digits)
    if short is not None and not digits.startswith("508"):
        return short
    if digits.startswith("33"):  # 118 xxx (directory enquiries, dear) or 116 xxx behind a 33 are no number
        return _french_kind(digits[2:]) if re.fullmatch(r"33[1-9][0-9]{8}", digits) else NumberKind.SHORT
    if digits[:3] in OVERSEAS_CODES:
        return _overseas_kind(digits[3:]) if digits[:3] in _REGIONS_OF_CODE else NumberKind.OVERSEAS
    return _foreign_kind(e164, home)


HOME = "home"


def destination(e164: str) -> str:
    """What a number costs, roughly, by where it leads: home, overseas (French territories), foreign. Toll-free and
    shared-cost numbers of other countries are foreign too: from here they are seldom free."""
    if e164.startswith("+33"):
        return HOME
    return "overseas" if e164[1:4] in OVERSEAS_CODES else "foreign"


def _french_kind(national: str) -> NumberKind:
    if national.startswith("8"):
        return NumberKind.PREMIUM if national.startswith(("83", "89")) else NumberKind.SPECIAL
    return NumberKind.MOBILE if national[0] in "67" else NumberKind.FIXED


def _overseas_kind(national: str) -> NumberKind:
    if len(national) == 9 and national.startswith("8"):
        return NumberKind.SPECIAL if national.startswith("80") else NumberKind.PREMIUM
    return NumberKind.OVERSEAS


def _foreign_kind(e164: str, home: str) -> NumberKind:
    parsed = parsed_number(e164)
    if parsed is None:
        return NumberKind.SHORT
    if parsed.country_code in _WORLD_PREMIUM:
        return NumberKind.PREMIUM
    if parsed.country_code in _WORLD_SPECIAL:
        return NumberKind.SPECIAL
    found = phonenumbers.number_type(parsed)
    if found == PhoneNumberType.PREMIUM_RATE:
        return NumberKind.PREMIUM
    if found in (PhoneNumberType.TOLL_FREE, PhoneNumberType.SHARED_COST, PhoneNumberType.UAN, PhoneNumberType.PAGER,
                 PhoneNumberType.VOICEMAIL, PhoneNumberType.PERSONAL_NUMBER):  # fmt: skip
        return NumberKind.SPECIAL
    if phonenumbers.region_code_for_number(parsed) != home:
        return NumberKind.FOREIGN
    return NumberKind.MOBILE if found == PhoneNumberType.MOBILE else NumberKind.FIXED


DialRules = Sequence[tuple[str, str]]
"""(E.164 prefix, what replaces it), for one site. The longest matching prefix wins."""

FRENCH_DIAL_RULES: DialRules = (
    ("+33", "0"), ("+590", "0"), ("+594", "0"), ("+596", "0"), ("+262", "0"), ("+508", "0508"), ("+", "00"),
)  # fmt: skip
"""How a French trunk expects numbers: ten digits for the mainland and the departments overseas, 00 for the rest."""

E164_DIAL_RULES: DialRules = (("+", "+"),)
"""For trunks that take E.164 as it is."""


def dial_string(e164: str, rules: DialRules = FRENCH_DIAL_RULES, *, outside_prefix: str = "") -> str:
    """What the site's PBX is asked to dial for `e164` (S100-08, S100-09); `outside_prefix` goes in front of it all.

    Raises ValueError if no rule matches, or if `e164` is not one of ours to dial (premium, short, emergency): this is
    the last gate before the PBX.
    """
    if classify(e164) in NEVER_DIALLED:
        raise ValueError(f"{classify(e164).value} number: never dialled")
    matching = [(prefix, dial) for prefix, dial in rules if e164.startswith(prefix)]
    if not matching:
        raise ValueError("no dial rule of the site matches this number")
    prefix, dial = max(matching, key=lambda rule: len(rule[0]))
    return outside_prefix + dial + e164[len(prefix) :]
