"""Click-to-call in figures (features C2C-11): the last 24 hours in total, by line, and the errors with what to do.

The figures are the log's own (`api_call_logs`), by the named reports; rates are 0..1, times milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from daemon.api import scope
from daemon.api.routes import Ask, Permission, Reply, Routes
from daemon.api.types import Answer, IdOrZero, Query
from daemon.calls.records import Group

routes = Routes("/api/v1/stats", "reports")
ERRORS_MAX = 10
ADVICE: Mapping[str, tuple[str, str]] = {
    "Aucune ligne disponible": (
        "Ajoutez des lignes au pool (trois au moins), ou vérifiez celles qui sont éteintes ou non enregistrées.",
        "Add lines to the pool (three at least), or look at those that are off or not registered.",
    ),
    "Ligne non disponible ou non autorisée": (
        "Vérifiez phone_line_used : la ligne doit être dans le pool, allumée et libre ; ou laissez-le de côté.",
        "Check phone_line_used: the line must be in the pool, on and free; or leave it out.",
    ),
    "Rate limit dépassé": (
        "Relevez le quota horaire du groupe, ou espacez les appels.",
        "Raise the group's hourly quota, or space the calls.",
    ),
    "Connection timeout": (
        "Le PBX ne répond pas à temps : regardez son lien et sa charge (cadran doctor).",
        "The PBX does not answer in time: look at its link and load (cadran doctor).",
    ),
    "Domaine non autorisé": (
        "Ajoutez le domaine du site aux origines du groupe.",
        "Add the web site's domain to the group's origins.",
    ),
    "Champ": (
        "Le corps de la requête n'est pas celui de la documentation : il faut au moins number_to_call.",
        "The request's body is not the documented one: it needs number_to_call at least.",
    ),
    "JSON invalide": (
        "Le corps de la requête doit être du JSON en UTF-8.",
        "The request's body must be JSON in UTF-8.",
    ),
    "Content-Type": (
        "Envoyez l'en-tête Content-Type: application/json.",
        "Send the header Content-Type: application/json.",
    ),
    "API Token invalide": (
        "Le jeton a expiré, a été désactivé ou mal copié : régénérez-le et mettez-le à jour chez l'appelant.",
        "The token has lapsed, was disabled or badly copied: renew it, and put the new one where the calls come from.",
    ),
    "Adresse non autorisée": (
        "Ajoutez l'adresse de l'appelant à [http] allow, si elle doit pouvoir appeler.",
        "Add the caller's address to [http] allow, if it is to be let in.",
    ),
    "Requête interrompue": (
        "Le programme appelant n'a pas attendu la réponse : laissez-lui dix secondes.",
        "The calling program did not wait for its answer: give it ten seconds.",
    ),
    "Numéro invalide": (
        "Envoyez le numéro complet, par exemple 0612345678 ou +33612345678.",
        "Send the whole number, for instance 0612345678 or +33612345678.",
    ),
    "Appel interdit": (
        "Ce numéro n'est pas appelable : urgence, surtaxé, liste rouge, plafond ou règle du groupe.",
        "This number may not be called: emergency, premium, red list, cap or a rule of the group.",
    ),
}
"""By the beginning of the documented message: (français, English)."""


class StatsQuery(Query, kw_only=True):
    """`hours` back from now."""

    hours: Annotated[int, Meta(ge=1, le=744)] = 24
    group_id: IdOrZero = 0


class LineFigures(Answer, kw_only=True):
    """A phone of the pool; "" = none was found. `last_at`: its last request."""

    line: str
    calls: int
    succeeded: int
    success_rate: float | None
    last_at: datetime | None
    response_mean_ms: float | None


class ErrorFigures(Answer, kw_only=True):
    """An error as clients saw it, and what to do about it."""

    error: str
    calls: int
    last_at: datetime | None
    advice_fr: str
    advice_en: str


class HourQuota(Answer, kw_only=True):
    """A group's calls of this clock hour against its quota: `used` are successes and calls under way, failures do not
    count; it starts anew at `reset_at`."""

    group_id: int
    used: int
    limit: int
    reset_at: datetime


class C2CStats(Answer, kw_only=True):
    """`quotas`: of every group the asker sees, by id."""

    start: datetime
    end: datetime
    calls: int
    succeeded: int
    failed: int
    success_rate: float | None
    response_mean_ms: float | None
    lines: list[LineFigures]
    errors: list[ErrorFigures]
    quotas: list[HourQuota]


def advice_of(error: str) -> tuple[str, str]:
    """What to do about an error of the compatible API."""
    return next((advice for begin, advice in ADVICE.items() if error.startswith(begin)), ("", ""))


async def _quota(ask: Ask, group: Group) -> HourQuota:
    hour = await ask.deps.quotas.hour(group.id)
    used, reset_at = hour.succeeded + hour.in_flight, hour.start + timedelta(hours=1)
    return HourQuota(group_id=group.id, used=used, limit=group.c2c_per_hour, reset_at=reset_at)


@routes.get("/click2call", permission=Permission.WATCH, query=StatsQuery, reply=C2CStats)
async def click2call_stats(ask: Ask) -> Reply:
    """Click-to-call of the last hours: totals, by line, the most frequent errors with advice; this hour's quotas."""
    end = ask.deps.clock.utcnow()
    start = end - timedelta(hours=ask.query.hours)
    asked = {"group_id": scope.home_group(ask, ask.query.group_id), "start": start, "end": end}
    report = ask.deps.store.report
    (total,) = await report("api_calls", **asked)
    lines = [
        LineFigures(
            line=row["phone_line_used"],
            calls=row["calls"],
            succeeded=row["succeeded"],
            success_rate=row["succeeded"] / row["calls"] if row["calls"] else None,
            last_at=row["last_at"],
            response_mean_ms=row["response_mean_ms"],
        )
        for row in await report("api_calls_by_line", **asked)
    ]
    errors = [
        ErrorFigures(
            error=row["error"],
            calls=row["calls"],
            last_at=row["last_at"],
            advice_fr=advice_of(row["error"])[0],
            advice_en=advice_of(row["error"])[1],
        )
        for row in (await report("api_errors", **asked))[:ERRORS_MAX]
    ]
    answer = C2CStats(
        start=start,
        end=end,
        calls=total["calls"],
        succeeded=total["succeeded"],
        failed=total["calls"] - total["succeeded"],
        success_rate=total["success_rate"],
        response_mean_ms=total["response_mean_ms"],
        lines=lines,
        errors=errors,
        quotas=[await _quota(ask, group) for group in await scope.all_of(ask, Group)],
    )
    return Reply(answer)
