"""The state colours as people with a colour deficiency see them, recomputed from the style sheet's tokens."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from tests.api.test_words import PAGES, _tokens, contrast

STATES = ("ready", "on-call", "reserved", "wrap", "pause", "alert")
APART_MIN = 13.0
# Full deficiency, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1.0.
SEEN = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
# Linear sRGB to CIE XYZ, and the white that is (1, 1, 1): IEC 61966-2-1, D65.
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)

Triple = tuple[float, float, float]


def _times(matrix: tuple[Triple, Triple, Triple], vector: Triple) -> Triple:
    a, b, c = (sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def _linear(colour: str) -> Triple:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return r, g, b


def lab(colour: str, sight: str) -> Triple:
    """CIE 1976 L*a*b* of an sRGB colour, as seen with that sight."""
    r, g, b = (min(1.0, max(0.0, v)) for v in _times(SEEN[sight], _linear(colour)))
    t = [v / w for v, w in zip(_times(XYZ, (r, g, b)), WHITE, strict=True)]
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in t)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, sight: str) -> float:
    pairs = zip(lab(one, sight), lab(other, sight), strict=True)
    return float(sum((p - q) ** 2 for p, q in pairs) ** 0.5)


def themes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", Path(PAGES / "style.css").read_text("utf-8"))
    light, system_dark, dark = (_tokens(block) for block in blocks)
    assert system_dark == dark  # chosen or the system's: one dark theme
    return {"light": light, "dark": dark}


def test_the_measure_itself() -> None:
    """Known points of the scale: black to white is 100, sRGB green is (87.7, -86.2, 83.2)."""
    assert apart("#000000", "#FFFFFF", "normal") == pytest.approx(100.0, abs=0.01)
    assert lab("#00FF00", "normal") == pytest.approx((87.73, -86.18, 83.18), abs=0.05)
    assert apart("#FF0000", "#00FF00", "deutan") < apart("#FF0000", "#00FF00", "normal") / 1.5


@pytest.mark.parametrize("sight", SEEN)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_states_are_told_apart_by_every_sight(theme: str, sight: str) -> None:
    tokens = themes()[theme]
    close = {
        (a, b): round(distance, 1)
        for a, b in combinations(STATES, 2)
        if (distance := apart(tokens[a], tokens[b], sight)) < APART_MIN
    }
    assert close == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_states_are_read_on_tinted_bands_too(theme: str) -> None:
    tokens = themes()[theme]
    for tint in ("tint-info", "tint-watch", "tint-alert"):
        assert contrast(tokens["text"], tokens[tint]) >= 10.0, tint
        for ink in (*STATES, "accent"):
            assert contrast(tokens[ink], tokens[tint]) >= 4.5 or ink == "pause", (ink, tint)
