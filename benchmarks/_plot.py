"""A line of points as an SVG of its own: figures on logarithmic axes, legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 44, 52
_STYLE = (
    "text{font:13px sans-serif;fill:#333}.grid{stroke:#bbb;stroke-width:.6}.line{fill:none;stroke:#0b63ce;"
    "stroke-width:2}.dot{fill:#0b63ce}rect{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#1b1e23}"
    ".grid{stroke:#555}.line{stroke:#6fb1ff}.dot{fill:#6fb1ff}}"
)


def _ticks(values: Sequence[float]) -> list[float]:
    """1, 2, 5 and their tens around the values; two at least."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
    low = max([step for step in steps if step <= min(values)], default=steps[0])
    high = min(step for step in steps if step >= max(values) and step > low)
    return [step for step in steps if low <= step <= high]


def log_log(title: str, x_name: str, y_name: str, points: Sequence[tuple[float, float]]) -> str:
    """SVG text of `points` (x, y > 0), each with its value beside it."""
    xs, ys = _ticks([x for x, _ in points]), _ticks([y for _, y in points])

    def at_x(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / xs[0]) / math.log(xs[-1] / xs[0])

    def at_y(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / ys[0]) / math.log(ys[-1] / ys[0])

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for x in xs:
        out.append(f'<path class="grid" d="M{at_x(x):.1f} {TOP}V{bottom}"/>')
        out.append(f'<text x="{at_x(x):.1f}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>')
    for y in ys:
        out.append(f'<path class="grid" d="M{LEFT} {at_y(y):.1f}H{right}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at_y(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    line = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
    out.append(f'<polyline class="line" points="{line}"/>')
    for x, y in points:
        anchor = "end" if at_x(x) > right - 40 else "start"
        away = -8 if anchor == "end" else 8
        out.append(f'<circle class="dot" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="4"/>')
        out.append(f'<text x="{at_x(x) + away:.1f}" y="{at_y(y) - 8:.1f}" text-anchor="{anchor}">{y:g}</text>')
    out.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>')
    out.append(f'<text x="{LEFT}" y="{TOP - 4}">{escape(y_name)}</text></svg>\n')
    return "\n".join(out)
