"""The what-if as one HTML file without any other: a table, and plots as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from simulation.plan import Plan
from simulation.whatif_outcome import COLUMNS, Hour, Outcome, cells

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 14, 30
INKS = ("#1b6ca8", "#c1571b", "#2d7d46", "#8a3ba8", "#a88a00", "#b3244c", "#3c4a57", "#0f8b8d")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
Series = tuple[str, list[tuple[float, float]]]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d2429 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #d5dbe0 }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
.over { color: #a3122f; font-weight: 600 }
figure { margin: 2rem 0 } figcaption { font-weight: 600 }
svg { width: 100%; height: auto } svg text { font-size: 12px; fill: #3c4a57 }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; margin: .3rem 0 0 }
.key svg { width: 26px; height: 8px; vertical-align: middle }
"""


def page(plan: Plan, outcomes: Sequence[Outcome], advice: str) -> str:
    """The whole file."""
    plots = [
        _by_hour("Occupancy of the agents", "%", outcomes, lambda h: _percent(h.occupancy), top=100.0),
        _by_hour("Wait of an agent for each conversation", "s", outcomes, lambda h: h.wait_s),
        _by_hour(
            "Abandoned, share of live answers by hour",
            "%",
            outcomes,
            lambda h: _percent(h.abandonment),
            line=("ceiling", 100.0 * outcomes[0].ceiling),
        ),
        _by_hour("Calls placed for each conversation", "", outcomes, lambda h: h.calls_per_connect),
        _lines(plan, outcomes),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(plan.title)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(plan.title)}</h1>\n<p>{escape(_what(plan))}</p>\n"
        f"<p><strong>{escape(advice)}</strong></p>\n{_table(outcomes)}\n{''.join(plots)}"
        "<p>A simulation: as right as what was typed in. Every variant met the same agents and the same kind of people;"
        " small differences between variants are chance.</p>\n</body></html>\n"
    )


def _what(plan: Plan) -> str:
    team, people, limits = plan.team, plan.people, plan.limits
    rates = sorted({plan.answer_rate(plan.first_hour + n) for n in range(-(-int(plan.shift_s) // 3600))})
    answer = f"{100 * rates[0]:.0f} %" if len(rates) == 1 else f"{100 * rates[0]:.0f} to {100 * rates[-1]:.0f} %"
    return (
        f"{team.agents} agents from {team.start} to {team.end}, {people.leads} leads, {answer} answered, "
        f"{people.talk_s:.0f} s of talk, {team.wrap_s:.0f} s of wrap-up, {limits.lines} lines, "
        f"{limits.calls_per_second:g} calls a second, rules {limits.rules}."
    )


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        mark = "" if outcome.lawful else ' class="over"'
        rows.append(f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(outcome)) + "</tr>")
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _by_hour(
    title: str,
    unit: str,
    outcomes: Sequence[Outcome],
    of: Callable[[Hour], float | None],
    *,
    top: float = 0.0,
    line: tuple[str, float] | None = None,
) -> str:
    labels = [(n + 0.5, hour.label) for n, hour in enumerate(outcomes[0].hours)]
    series: list[Series] = []
    for outcome in outcomes:
        points = [(n + 0.5, value) for n, hour in enumerate(outcome.hours) if (value := of(hour)) is not None]
        series.append((outcome.variant.name, points))
    return _plot(title, unit, series, labels, float(len(labels)), top=top, line=line, dots=True)


def _lines(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    labels = [(n + 0.5, hour.label) for n, hour in enumerate(outcomes[0].hours)]
    step = max(1, len(outcomes[0].samples) // 240)
    series: list[Series] = [
        (o.variant.name, [(at / 3600.0, float(n)) for at, n in o.samples[::step]]) for o in outcomes
    ]
    most = max((n for o in outcomes for _, n in o.samples), default=1)
    line = ("lines there are", float(plan.limits.lines)) if plan.limits.lines <= 2 * most else None
    return _plot("Lines in use", "", series, labels, float(len(labels)), line=line, dots=False)


def _plot(
    title: str,
    unit: str,
    series: Sequence[Series],
    labels: Sequence[tuple[float, str]],
    span: float,
    *,
    top: float = 0.0,
    line: tuple[str, float] | None = None,
    dots: bool,
) -> str:
    """One figure: `series` over 0..span, a horizontal `line` with its name if given, a key below."""
    highest = max([y for _, points in series for _, y in points] + [line[1] if line else 0.0, 1e-9])
    top = max(top, highest) if top else _round_up(1.08 * highest)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: float) -> float:
        return round(LEFT + wide * at / span, 1)

    def y(value: float) -> float:
        return round(TOP + high * (1.0 - value / top), 1)

    parts = []
    for n in range(5):
        value = top * n / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}" stroke="#e3e8ec"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.3g}{" " + unit if unit else ""}</text>'
        )
    parts += [f'<text x="{x(at)}" y="{HEIGHT - 8}" text-anchor="middle">{escape(name)}</text>' for at, name in labels]
    keys = []
    for n, (name, points) in enumerate(series):
        stroke = f'stroke="{INKS[n % len(INKS)]}" stroke-dasharray="{DASHES[n // len(INKS) % len(DASHES)]}"'
        path = " ".join(f"{x(at)},{y(value)}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke-width="2" {stroke}/>')
        if dots:
            parts += [f'<circle cx="{x(at)}" cy="{y(v)}" r="3" fill="{INKS[n % len(INKS)]}"/>' for at, v in points]
        keys.append(
            f'<li><svg viewBox="0 0 26 8"><line x1="0" x2="26" y1="4" y2="4" stroke-width="3" {stroke}/></svg> '
            f"{escape(name)}</li>"
        )
    if line:
        at = y(line[1])
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" stroke="#a3122f" '
            'stroke-dasharray="4 4"/>'
        )
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{at - 4}" text-anchor="end">{escape(line[0])} {line[1]:.3g}</text>')
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg><ul class="key">{"".join(keys)}</ul></figure>\n'
    )


def _round_up(value: float) -> float:
    """The next "round" number: 1, 2, 4, 5 or 8 times a power of ten."""
    scale = 1.0
    while scale * 10 <= value:
        scale *= 10
    while scale > value:
        scale /= 10
    return next(step * scale for step in (1, 2, 4, 5, 8, 10) if step * scale >= value)
