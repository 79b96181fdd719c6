"""Numbers as people write them, the overseas table, what is never dialled, and how a site is asked to dial."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.compliance.numbers import (
    E164_DIAL_RULES,
    OVERSEAS_PREFIXES,
    NumberKind,
    NumberRefusal,
    classify,
    dial_string,
    normalise,
)
from daemon.compliance.zones import tz_group

MOBILE = "+33612345678"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("+33612345678", False), ("0612345678", False), ("33612345678", False), ("0033612345678", False),
        ("06 12 34 56 78", True), ("06.12.34.56.78", True), ("06-12-34-56-78", True), ("06/12/34/56/78", True),
        ("06\u00a012\u202f34 56 78", True), ("(06) 12 34 56 78", True), ("+33 (0)6 12 34 56 78", True),
        ("+330612345678", True), ("0033 0612345678", True), ("+0612345678", True), ("tel:+33-6-12-34-56-78", True),
        ("'0612345678", True), ("\u202a0612345678\u202c", True), ("612345678", True), (612345678, True),
        (612345678.0, True), (33612345678.0, True), ("612345678.0", True), ("6.12345678E8", True),
        ("6,12345678E+08", True), (33612345678, False), ("\uff0b33612345678", True),
    ],
)  # fmt: skip
def test_every_way_to_write_one_mobile(raw: object, cleaned: bool) -> None:
    number = normalise(raw)
    assert (number.e164, number.kind, number.refused) == (MOBILE, NumberKind.MOBILE, None)
    assert number.cleaned is cleaned


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("0590123456", "+590590123456"), ("0690123456", "+590690123456"), ("0691212345", "+590691212345"),
        ("0594201234", "+594594201234"), ("0694123456", "+594694123456"), ("0596123456", "+596596123456"),
        ("0696123456", "+596696123456"), ("0697123456", "+596697123456"), ("0262123456", "+262262123456"),
        ("0263101234", "+262263101234"), ("0692123456", "+262692123456"), ("0693123456", "+262693123456"),
        ("0269612345", "+262269612345"), ("0639123456", "+262639123456"), ("0268812345", "+262268812345"),
        ("0598712345", "+590598712345"), ("0598812345", "+594598812345"), ("0598912345", "+596598912345"),
        ("0947512345", "+590947512345"), ("0947612345", "+594947612345"), ("0947712345", "+596947712345"),
        ("0947812345", "+262947812345"), ("0947912345", "+262947912345"), ("0709012345", "+590709012345"),
        ("0709112345", "+596709112345"), ("0709212345", "+262709212345"), ("0709312345", "+594709312345"),
        ("0508411234", "+508411234"), ("692123456", "+262692123456"), (696123456.0, "+596696123456"),
        ("06 92 12 34 56", "+262692123456"), ("+262692123456", "+262692123456"), ("262692123456", "+262692123456"),
        ("0033 262 692 123456", None), ("+262 0692 12 34 56", "+262692123456"), ("00262692123456", "+262692123456"),
    ],
)  # fmt: skip
def test_overseas_numbers_are_never_taken_for_the_mainland(raw: object, e164: str | None) -> None:
    number = normalise(raw)
    if e164 is None:
        assert number.refused is NumberRefusal.INVALID
    else:
        assert (number.e164, number.kind) == (e164, NumberKind.OVERSEAS)


@pytest.mark.parametrize(
    "raw", ["+33596123456", "33692123456", "590123456", 596123456, "0976012345", "212612345678", "262692123"]
)
def test_what_could_be_two_numbers_is_reported_not_guessed(raw: object) -> None:
    number = normalise(raw)
    assert number.doubtful and number.e164 == ""


@pytest.mark.parametrize(
    ("raw", "postal_code", "e164"),
    [
        ("590123456", "97110", "+590590123456"),
        ("+33596123456", "97200", "+596596123456"),
        ("0976012345", "97300", "+594976012345"),
    ],
)
def test_a_postal_code_settles_the_doubt(raw: str, postal_code: str, e164: str) -> None:
    assert normalise(raw, postal_code=postal_code).e164 == e164
    assert normalise(raw, postal_code="75001").doubtful


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        (None, "empty"), ("", "empty"), ("  \u200b ", "empty"), ("appelez-moi", "not_a_number"), (True, "not_a_number"),
        (-5, "not_a_number"), (6.5, "not_a_number"), (float("nan"), "not_a_number"), (float("inf"), "not_a_number"),
        ("06 12 34 56 78 poste 3", "not_a_number"), ("1-800-FLOWERS", "not_a_number"),
        ("+33+612345678", "not_a_number"),
        ("٠٦١٢٣٤٥٦٧٨", "foreign_digits"), ("０６１２３４５６７８", "foreign_digits"), ("3.36123E+10", "rounded"),
        ("06123456", "invalid"), ("061234567890", "invalid"), ("0612345678/0143000000", "invalid"),
        ("0" * 40, "invalid"),
        ("112", "emergency"), ("15", "emergency"), (17.0, "emergency"), ("+33112", "emergency"),
        ("0033 17", "emergency"),
        ("0112", "emergency"), ("116 000", "emergency"), ("3949", "short"), ("118 218", "short"), ("10 23", "short"),
        ("0890123456", "premium"), ("+33 899 12 34 56", "premium"), ("0800123456", "special"),
        ("0820123456", "special"),
        ("+881612345678", "premium"), ("+19005551234", "premium"),
    ],
)  # fmt: skip
def test_refusals_name_their_reason(raw: object, refused: str) -> None:
    number = normalise(raw)
    assert (number.refused, number.e164) == (refused, "")


def test_special_numbers_only_when_allowed_and_premium_not_even_then() -> None:
    assert normalise("0800123456", allow_special=True).e164 == "+33800123456"
    assert normalise("0890123456", allow_special=True).refused is NumberRefusal.PREMIUM
    assert normalise("112", allow_special=True).refused is NumberRefusal.EMERGENCY


@pytest.mark.parametrize(
    ("raw", "region", "e164", "kind"),
    [
        ("020 7946 0958", "GB", "+442079460958", "fixed"), ("(212) 555-1234", "US", "+12125551234", "fixed"),
        ("0661234567", "MA", "+212661234567", "mobile"), ("0033612345678", "MA", MOBILE, "foreign"),
        ("596123456", "MQ", "+596596123456", "overseas"),
    ],
)  # fmt: skip
def test_other_home_countries(raw: str, region: str, e164: str, kind: str) -> None:
    number = normalise(raw, region=region)
    if e164 == MOBILE:
        assert number.e164 == MOBILE
    else:
        assert (number.e164, number.kind) == (e164, kind)


@pytest.mark.parametrize("e164", ["+33118712", "+33118000", "+33116004", "+333949", "+331023", "+337001234567890"])
def test_what_stands_behind_33_but_is_no_number_of_nine_digits_is_short(e164: str) -> None:
    """Directory enquiries (118 and three digits), help lines (116), services (3BPQ, 10YT), machines' long numbers."""
    assert classify(e164) == "short"
    with pytest.raises(ValueError, match="never dialled"):
        dial_string(e164)


@given(
    st.one_of(st.text(max_size=25), st.floats(), st.integers(), st.from_regex(r"\+?[0-9 .()-]{0,20}", fullmatch=True))
)
def test_any_cell_gives_a_number_to_dial_or_a_reason_never_both(raw: object) -> None:
    number = normalise(raw)
    assert (number.e164 == "") == (number.refused is not None)
    if number.e164:
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number.e164)
        assert normalise(number.e164).e164 == number.e164
        assert classify(number.e164) not in ("premium", "short", "emergency")


@given(st.integers(0, 99_999_999), st.sampled_from("1234567"))
def test_separators_do_not_change_who_is_called(digits: int, lead: str) -> None:
    plain = f"0{lead}{digits:08d}"
    spaced = " ".join(plain[i : i + 2] for i in range(0, 10, 2))
    assert normalise(plain).e164 == normalise(spaced).e164 == normalise("0033 " + plain[1:]).e164 or (
        normalise("0033 " + plain[1:]).doubtful  # an overseas number behind 33
    )


@pytest.mark.parametrize(
    ("e164", "dialled"),
    [
        ("+33143000000", "0143000000"), ("+33612345678", "0612345678"), ("+33948123456", "0948123456"),
        ("+590690123456", "0690123456"), ("+262692123456", "0692123456"), ("+508411234", "0508411234"),
        ("+442079460958", "00442079460958"), ("+12125551234", "0012125551234"), ("+68787123", "0068787123"),
    ],
)  # fmt: skip
def test_a_french_site_dials_nationally(e164: str, dialled: str) -> None:
    assert dial_string(e164) == dialled
    assert dial_string(e164, outside_prefix="9,") == "9," + dialled
    assert dial_string(e164, E164_DIAL_RULES) == e164


@pytest.mark.parametrize("e164", ["+33899123456", "+112", "+3317", "112", "", "+33", "0612345678", "+33612345678;rm"])
def test_the_last_gate_dials_nothing_dear_nor_malformed(e164: str) -> None:
    with pytest.raises(ValueError, match="never dialled"):
        dial_string(e164)


def test_a_site_without_a_matching_rule_refuses() -> None:
    with pytest.raises(ValueError, match="no dial rule"):
        dial_string("+442079460958", (("+33", "0"),))


@pytest.mark.parametrize("prefix", sorted(OVERSEAS_PREFIXES))
def test_no_overseas_prefix_is_judged_by_the_clock_of_paris(prefix: str) -> None:
    for rest in ("12", "35", "50", "67", "88"):
        number = normalise(f"0{prefix}{rest}{'1234567'[: 7 - len(prefix)]}")
        assert number.refused or "Paris" not in tz_group(number.e164)
