"""A pacing decision in one sentence, for people. In: a `Decision`, live or stored; out: English or French text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.dialer.pacing import Decision, Figures

_LIMITS: dict[str, tuple[str, str]] = {
    "risk": ("risk", "risque"),
    "abandonment_room": ("little room left for abandoned calls", "peu de marge d'appels abandonnés"),
    "one_to_one": ("one call per ready agent", "un appel par agent prêt"),
    "cautious_start": ("cautious start, one call per ready agent", "démarrage prudent, un appel par agent prêt"),
    "lines": ("no more lines", "plus de ligne libre"),
    "cps": ("call-rate limit", "limite d'appels par seconde"),
    "leads": ("no more leads to call", "plus de fiche à appeler"),
    "calls_per_agent": ("too many calls at once per agent", "trop d'appels simultanés par agent"),
    "agents": ("no agent", "aucun agent"),
    "mode": ("this mode places no call by itself", "ce mode ne lance pas d'appel"),
}


def _number(value: float, digits: int, french: bool) -> str:
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if french else text


def _of(count: int, noun: str) -> str:
    """French: the plural begins at two."""
    return f"{count} {noun}" if count < 2 else f"{count} {noun}s"


def _hung_up(count: int, french: bool) -> str:
    if not count:
        return ""
    if french:
        calls = f"{count} appel raccroché" if count < 2 else f"{count} appels raccrochés"
        return f", {calls} en sonnerie : plus personne pour les prendre"
    calls = "call" if count == 1 else "calls"
    return f", hung up {count} ringing {calls}: nobody is left for {'it' if count == 1 else 'them'}"


def sentence(decision: Decision, language: str = "en") -> str:
    """`placing 7: 2 ready, 2.3 expected free, 31 % answer, risk 2.1 % ≤ 3.4 %, 18 abandoned of 21 allowed (risk)`.

    `language`: 'fr', anything else is English. Unknown limit codes are shown as they are.
    """
    french = language.startswith("fr")
    figures = decision.figures
    limit = _LIMITS.get(decision.limit, (decision.limit, decision.limit))[french]
    left = _hung_up(figures.hung_up, french)
    if figures.threshold <= 0.0:
        ready = _of(figures.ready, "prêt") if french else f"{figures.ready} ready"
        flying = f"{figures.in_flight} en cours" if french else f"{figures.in_flight} in flight"
        return f"{_placing(decision.count, french)} {ready}, {flying}{left} ({limit})"
    free = _number(figures.expected_free, 1, french)
    rate = _number(100 * figures.answer_rate, 0, french)
    risk = _number(100 * figures.risk, 1, french)
    accepted = _number(100 * figures.threshold, 1, french)
    sign = "≤" if figures.risk <= figures.threshold else ">"
    if french:
        parts = [
            _of(figures.ready, "prêt"),
            f"{free} {'attendu' if figures.expected_free < 2 else 'attendus'}",
            f"réponse {rate} %",
            f"risque {risk} % {sign} {accepted} %",
            f"{_of(figures.abandoned, 'abandon')} sur {figures.allowed} permis",
        ]
    else:
        parts = [
            f"{figures.ready} ready",
            f"{free} expected free",
            f"{rate} % answer",
            f"risk {risk} % {sign} {accepted} %",
            f"{figures.abandoned} abandoned of {figures.allowed} allowed",
        ]
    return f"{_placing(decision.count, french)} {', '.join(parts)}{left} ({limit})"


_FIGURES = tuple((field.name, "" if field.type in (str, "str") else 0) for field in msgspec.structs.fields(Figures))


def sentence_of(count: int, limit: str, figures: Mapping[str, Any], language: str = "en") -> str:
    """The sentence of a stored decision (`pacing_decisions`). Figures it was stored without count as 0."""
    return sentence(Decision(count, limit, Figures(**{name: figures.get(name, empty) for name, empty in _FIGURES})),
                    language)  # fmt: skip


def _placing(count: int, french: bool) -> str:
    if not french:
        return f"placing {count}:"
    return f"{count} appel lancé :" if count < 2 else f"{count} appels lancés :"
