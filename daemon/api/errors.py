"""The one table of error codes: HTTP status, words in two languages, and what the CLICSIPx doors say instead.

In: CommandError(code, details) from the engine or a handler. Out: application/problem+json (RFC 9457) or the documented
CLICSIPx body. docs/api-errors.md is generated from this table (`python -m daemon.api.errors`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.errors import CommandError

PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:cadran:error:"
"""RFC 9457 wants a URI; a URN needs no host and stays true wherever the daemon runs."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One code. `fr` and `en` are templates over the details; `clicsipx` is the documented body's text, if one is."""

    status: int
    fr: str
    en: str
    clicsipx: str = ""
    clicsipx_status: int = 0


E = ErrorRow
ERRORS: Mapping[str, ErrorRow] = {
    # -- who asks ---------------------------------------------------------------------------------------------------
    "token_missing": E(
        401,
        "Cette adresse demande un jeton. Connectez-vous, ou envoyez Authorization: Bearer.",
        "This address needs a token. Sign in, or send Authorization: Bearer.",
        "API Token invalide",
    ),
    "token_invalid": E(
        401,
        "Jeton inconnu, expiré ou désactivé. Demandez-en un autre à votre administrateur.",
        "Token unknown, expired or disabled. Ask your administrator for another.",
        "API Token invalide",
    ),
    "forbidden": E(
        403,
        "Votre rôle ({role}) ne permet pas cette action (droit nécessaire : {permission}).",
        "Your role ({role}) does not allow this action (right needed: {permission}).",
        "Action non autorisée",
    ),
    "group_forbidden": E(
        403,
        "Ce jeton n'ouvre pas le groupe {group}.",
        "This token does not open group {group}.",
        "Groupe non autorisé",
    ),
    "address_not_allowed": E(
        403,
        "Votre adresse {address} n'est pas dans la liste des réseaux permis (http.allow).",
        "Your address {address} is not among the allowed networks (http.allow).",
        "Adresse non autorisée",
    ),
    "csrf_missing": E(
        403,
        "Écriture refusée : l'en-tête X-CSRF-Token manque ou ne correspond pas. Rechargez la page.",
        "Write refused: the X-CSRF-Token header is missing or wrong. Reload the page.",
    ),
    "origin_forbidden": E(
        403,
        "Le domaine {origin} n'est pas autorisé pour ce groupe.",
        "The domain {origin} is not allowed for this group.",
        "Domaine non autorisé",
    ),
    # -- what is asked ----------------------------------------------------------------------------------------------
    "not_found": E(404, "Introuvable : {what}.", "Not found: {what}.", "Ressource introuvable"),
    "method_not_allowed": E(
        405, "Méthode {method} impossible ici ; permises : {allowed}.", "No {method} here; allowed: {allowed}."
    ),
    "content_type": E(
        415,
        "Type de contenu {value} refusé ; attendu : {allowed}.",
        "Content type {value} refused; expected: {allowed}.",
        "Content-Type doit être application/json",
    ),
    "json_invalid": E(
        400, "Le corps n'est pas du JSON : {reason}.", "The body is not JSON: {reason}.", "JSON invalide"
    ),
    "field_invalid": E(
        400,
        "Champ {field} = {value} : {allowed}.",
        "Field {field} = {value}: {allowed}.",
        "Champ invalide : {field}",
    ),
    "field_missing": E(
        400, "Le champ {field} manque.", "The field {field} is missing.", "Champ obligatoire manquant : {field}"
    ),
    "number_invalid": E(
        400,
        "Numéro {value} refusé : {reason}. Exemples admis : 0612345678, +33612345678.",
        "Number {value} refused: {reason}. Accepted: 0612345678, +33612345678.",
        "Numéro invalide : {value}",
    ),
    "body_too_large": E(
        413, "Corps trop grand : {allowed} octets au plus.", "Body too large: {allowed} bytes at most."
    ),
    "precondition_required": E(
        428,
        "Envoyez If-Match avec l'ETag lu : sans lui, deux personnes pourraient s'écraser.",
        "Send If-Match with the ETag you read: without it two people could overwrite each other.",
    ),
    "changed_meanwhile": E(
        412,
        "Quelqu'un a modifié ceci entre-temps. Rien n'est écrasé : comparez et choisissez.",
        "Someone changed this meanwhile. Nothing is overwritten: compare and choose.",
    ),
    "speed_moved": E(
        409,
        "La vitesse a changé entre-temps. Rien n'est modifié : regardez, puis décidez.",
        "The speed moved meanwhile. Nothing is changed: look, then decide.",
    ),
    "conflict": E(409, "{field} : déjà pris ({value}).", "{field}: already taken ({value})."),
    "in_use": E(
        409,
        "Suppression impossible, encore utilisé par : {used_by}.",
        "Can't delete, still used by: {used_by}.",
    ),
    "attempts_over_legal": E(
        400,
        "LimiteNum {value} dépasse la loi : {legal_max} tentatives en {days} jours ({rule_set}). "
        "Rien n'est enregistré : mettez {legal_max} au plus.",
        "LimiteNum {value} is over the law: {legal_max} attempts in {days} days ({rule_set}). "
        "Nothing is saved: set {legal_max} or fewer.",
    ),
    "extension_unknown": E(
        400,
        "Le poste {value} n'existe pas sur ce PBX. Postes connus : {allowed}. Ou donnez « extension » à part.",
        'Extension {value} does not exist on this PBX. Known: {allowed}. Or give "extension" explicitly.',
    ),
    # -- calls and agents -------------------------------------------------------------------------------------------
    "campaign_unknown": E(404, "Campagne inconnue.", "Unknown campaign.", "Campagne inconnue"),
    "agent_unknown": E(404, "Agent inconnu.", "Unknown agent."),
    "agent_disabled": E(409, "Cet agent est désactivé.", "This agent is disabled."),
    "site_unknown": E(404, "Site {site} inconnu ; connus : {allowed}.", "Unknown site {site}; known: {allowed}."),
    "rule_set_unknown": E(
        400,
        "Jeu de règles {rule_set} inconnu ; connus : {allowed}.",
        "Unknown rule set {rule_set}; known: {allowed}.",
    ),
    "command_unknown": E(400, "Commande {command} inconnue.", "Unknown command {command}."),
    "no_lead_due": E(409, "Aucune fiche due pour cet agent.", "No lead is due for this agent."),
    "preview_gone": E(409, "Aucune fiche en aperçu.", "No lead is under preview."),
    "no_more_time": E(
        409,
        "Ce délai ne peut plus être prolongé : la campagne le permet une fois, ou pas du tout.",
        "This time cannot be extended any more: the campaign allows it once, or not at all.",
    ),
    "pbx_right_missing": E(
        503,
        "Droit AMI « originate » manquant : rien ne peut être composé. Ajoutez-le à l'utilisateur du PBX.",
        'AMI right "originate" is missing: nothing can be dialled. Add it to the user on the PBX.',
    ),
    "pbx_read_missing": E(
        503,
        "Le PBX ne dit rien des appels à Cadran : rien ne peut être composé. Complétez la ligne read de manager.conf.",
        "The PBX tells Cadran nothing of its calls: nothing can be dialled. Complete the line read of manager.conf.",
    ),
    "attempts_above_law": E(
        409,
        "{text}. La campagne reste arrêtée : abaissez LimiteNum.",
        "{text}. The campaign stays stopped: lower its limit of attempts.",
    ),
    "hours_wider_than_law": E(409, "{text}. La campagne reste arrêtée.", "{text}. The campaign stays stopped."),
    "rule_set_not_in_force": E(409, "{text}. La campagne reste arrêtée.", "{text}. The campaign stays stopped."),
    "line_unknown": E(404, "Ligne inconnue.", "Unknown line.", "Ligne non disponible ou non autorisée", 400),
    "status_unknown": E(400, "Statut inconnu dans cette campagne.", "Unknown status in this campaign."),
    "call_gone": E(
        409,
        "Cet appel s'est terminé avant votre action. Rien n'a été fait ; choisissez son issue.",
        "This call ended before your action. Nothing was done; choose its outcome.",
    ),
    "person_in_call": E(
        409,
        "Un appel avec cette personne est en cours : rien n'est encore effacé, elle ne sera plus rappelée. Réessayez "
        "après l'appel.",
        "A call with this person is in progress: nothing is erased yet, they won't be called again. Retry after it.",
    ),
    "callback_required": E(400, "Ce statut demande la date du rappel.", "This status needs the time of the callback."),
    "agent_not_in_call": E(409, "L'agent n'est pas en appel.", "The agent is not in a call."),
    "not_possible_here": E(
        409,
        "Impossible avec ces droits sur le PBX (mode {mode}) : {capability}.",
        "Not possible with these rights on the PBX (mode {mode}): {capability}.",
    ),
    "third_not_there": E(
        409, "Le correspondant demandé n'est pas encore en ligne.", "The party asked for is not on the line yet."
    ),
    "third_there_already": E(
        409, "Un correspondant est déjà demandé pour cet appel.", "Somebody is being asked for this call already."
    ),
    "recording_off": E(
        409,
        "Cette conversation n'est pas enregistrée, ou ce site n'enregistre pas.",
        "This conversation is not recorded, or this site does not record.",
    ),
    "recording_gone": E(
        410,
        "L'enregistrement n'est plus conservé, ou son fichier n'est pas encore là.",
        "The recording is no longer kept, or its file is not there yet.",
    ),
    "link_invalid": E(403, "Ce lien n'est pas valide.", "This link is not valid."),
    "link_expired": E(410, "Ce lien a expiré.", "This link has expired."),
    "agent_signed_out": E(409, "L'agent est hors ligne : connectez-le d'abord.", "The agent is signed out: sign in."),
    "agent_busy": E(409, "L'agent est déjà occupé.", "The agent is already busy."),
    "disposition_required": E(
        409, "Choisissez d'abord l'issue du dernier appel.", "Choose the outcome of the last call first."
    ),
    "extension_unregistered": E(
        409,
        "Le poste {extension} n'est pas enregistré : aucun appel ne peut l'atteindre. Relancez le téléphone.",
        "Phone {extension} is not registered: no call can reach it. Restart the phone.",
        "Ligne non disponible ou non autorisée",
        400,
    ),
    "extension_busy": E(409, "Le poste est occupé.", "The extension is busy.", "Aucune ligne disponible", 503),
    "pause_code_required": E(
        400,
        "Cette campagne exige un code de pause : choisissez un code.",
        "This campaign requires a pause code: choose a code.",
    ),
    "pause_code_refused": E(
        400, "Les codes de pause sont désactivés dans cette campagne.", "Pause codes are off in this campaign."
    ),
    "pause_code_unknown": E(400, "Code de pause inconnu.", "Unknown pause code."),
    "caller_id_forbidden": E(
        409,
        "Ce numéro présenté n'est pas permis à un automate. La campagne reste arrêtée : choisissez-en un autre.",
        "This caller ID may not be shown by an automatic dialler. The campaign stays stopped: choose another.",
    ),
    "mode_impossible": E(
        409,
        "Ce mode est impossible ici : {missing}.",
        "This mode is impossible here: {missing}.",
    ),
    "message_missing": E(
        409,
        "Le jeu de règles {rule_set} exige un message pour qui est abandonné : safe_message de la campagne ou de "
        "[dialer] dans la configuration.",
        "The rule set {rule_set} requires a message for people who are abandoned: safe_message of the campaign, or of "
        "[dialer] in the settings.",
    ),
    "call_forbidden": E(
        403,
        "Appel interdit : {rule}.",
        "Call forbidden: {rule}.",
        "Appel interdit : {rule}",
    ),
    "fraud_cap": E(
        403,
        "Plafond de sécurité atteint pour cette destination ({rule}).",
        "Safety cap reached for this destination ({rule}).",
        "Appel interdit : {rule}",
    ),
    # -- limits -----------------------------------------------------------------------------------------------------
    "rate_limit": E(
        429,
        "Quota de {limit} appels par heure atteint ; remise à zéro à {reset_at}.",
        "Quota of {limit} calls an hour reached; reset at {reset_at}.",
        "Rate limit dépassé",
    ),
    "key_used": E(
        409,
        "Cet Idempotency-Key ({value}) a déjà servi pour un autre numéro. Rien n'est composé : une clé par appel.",
        "This Idempotency-Key ({value}) was used for another number. Nothing is dialled: one key a call.",
        "Idempotency-Key déjà utilisé pour un autre numéro",
    ),
    "broken_off": E(
        499,
        "Le programme appelant n'a pas attendu la réponse.",
        "The calling program did not wait for its answer.",
        "Requête interrompue",
    ),
    "bad_requests": E(
        429,
        "Trop de requêtes refusées depuis votre adresse. Réessayez dans une minute.",
        "Too many refused requests from your address. Try again in a minute.",
        "Trop de requêtes invalides",
    ),
    "too_busy": E(
        503, "Trop de requêtes en cours ; réessayez.", "Too many requests in progress; retry.", "Service occupé"
    ),
    # -- what is broken ---------------------------------------------------------------------------------------------
    "line_unavailable": E(503, "Aucune ligne disponible.", "No line available.", "Aucune ligne disponible"),
    "line_refused": E(
        400,
        "Ligne {value} absente du pool ou désactivée.",
        "Line {value} is not in the pool, or off.",
        "Ligne non disponible ou non autorisée",
    ),
    "timeout": E(504, "Le PBX n'a pas répondu à temps.", "The PBX did not answer in time.", "Connection timeout"),
    "pbx_unreachable": E(
        503,
        "Le PBX ne répond pas. Aucun nouvel appel ; les conversations continuent.",
        "The PBX does not answer. No new calls; conversations go on.",
        "Connection timeout",
        504,
    ),
    "engine_busy": E(504, "Commande non appliquée à temps.", "Command not applied in time.", "Connection timeout"),
    "standby": E(
        503,
        "Cette instance est en veille : une autre tient ce site.",
        "This instance stands by: another holds it.",
    ),
    "database_older": E(
        503,
        "La base est plus ancienne que le journal : aucun appel avant réconciliation.",
        "The database is older than the journal: no calls until it is reconciled.",
    ),
    "draining": E(503, "Cadran s'arrête : aucun nouvel appel.", "Cadran is stopping: no new calls."),
    "journal_full": E(
        503, "Le journal local est plein : aucun nouvel appel.", "The local journal is full: no new calls."
    ),
    "store_unavailable": E(
        503,
        "La base ne répond pas. Aucun nouvel appel ; les faits sont gardés sur disque et rejoués au retour.",
        "The database does not answer. No new calls; facts are kept on disk and replayed on its return.",
        "Service momentanément indisponible",
    ),
    "not_available": E(501, "Non disponible dans cette installation : {what}.", "Not available here: {what}."),
    "crm_template_refused": E(
        422,
        "Modèle refusé : {reason}. Rien n'est changé.",
        "Template refused: {reason}. Nothing is changed.",
    ),
    "crm_logo_refused": E(422, "Logo refusé : {reason}.", "Logo refused: {reason}."),
    "crm_templates_full": E(
        409,
        "Déjà {allowed} modèles dans ce groupe : supprimez-en un d'abord.",
        "The group has {allowed} templates already: delete one first.",
    ),
    "crm_failed": E(502, "Le CRM n'a pas fait ce qui était demandé : {reason}.", "The CRM did not do it: {reason}."),
    "zadarma_address": E(
        403,
        "{address} n'est pas parmi les adresses de Zadarma de ce lien.",
        "{address} is not among this link's addresses of Zadarma.",
    ),
    "zadarma_signature": E(403, "Signature absente ou fausse.", "The signature is missing or wrong."),
    "zadarma_failed": E(502, "Zadarma n'a pas répondu à la demande : {reason}.", "Zadarma did not do it: {reason}."),
    "zadarma_blocked": E(
        409,
        "{number} ne doit pas être appelé (liste noire ou refus). Rien n'est composé.",
        "{number} is not to be called (blacklist or refusal). Nothing is dialled.",
    ),
    "import_no_phone": E(
        400,
        "Aucune colonne de téléphone dans « {file} ». Désignez-la ; rien n'a été importé.",
        'No phone column in "{file}". Point it out; nothing was imported.',
    ),
    "import_failed": E(400, "Import impossible : {reason}.", "Import impossible: {reason}."),
    "internal": E(
        500,
        "Erreur interne, consignée sous {request_id}. Les appels continuent.",
        "Internal error, logged as {request_id}. Calls go on.",
        "Erreur interne",
    ),
}
FALLBACK = E(409, "Refusé : {code}.", "Refused: {code}.", "Requête refusée")
"""For a code that a newer engine may raise: the code still reaches the client unchanged."""


class _Details(dict[str, Any]):
    """Details for str.format_map: a missing one prints as « ? » rather than failing on the way to the client."""

    def __missing__(self, key: str) -> str:
        return "?"


def row_of(code: str) -> ErrorRow:
    """The table's row, or the fallback."""
    return ERRORS.get(code, FALLBACK)


def text_of(error: CommandError, language: str) -> str:
    """The sentence for people, in "fr" or "en"."""
    row = row_of(error.code)
    template = row.fr if language == "fr" else row.en
    return template.format_map(_Details({"code": error.code, **_readable(error.details)}))


def problem(error: CommandError, *, language: str, request_id: str) -> dict[str, Any]:
    """The RFC 9457 body: type, title (stable), status, detail (in `language`), code, request_id and the details."""
    row = row_of(error.code)
    return {
        "type": TYPE_PREFIX + error.code,
        "title": error.code.replace("_", " "),
        "status": row.status,
        "detail": text_of(error, language),
        "code": error.code,
        "request_id": request_id,
        "details": error.details,
    }


def clicsipx(error: CommandError) -> tuple[int, dict[str, Any]]:
    """Status and body for the documented CLICSIPx doors (features C2C-03)."""
    row = row_of(error.code)
    template = row.clicsipx or row.fr
    text = template.format_map(_Details({"code": error.code, **_readable(error.details)}))
    return row.clicsipx_status or row.status, {"success": False, "error": text}


def _readable(details: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as comma-separated words, long values cut: they stand inside a sentence."""
    out: dict[str, Any] = {}
    for key, value in details.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        out[key] = text if len(text) <= 200 else text[:199] + "…"
    return out


def markdown() -> str:
    """docs/api-errors.md, whole."""
    lines = [
        "# Error codes of the API",
        "",
        "Generated from `daemon/api/errors.py` by `python -m daemon.api.errors > docs/api-errors.md`.",
        "Every error is `application/problem+json` with `code`, `details` and a sentence in the language asked for",
        '(`Accept-Language: fr` or `en`); the CLICSIPx-compatible doors answer `{"success": false, "error": …}`.',
        "",
        "| code | HTTP | français | English | CLICSIPx |",
        "|---|---|---|---|---|",
    ]
    for code, row in ERRORS.items():
        compatible = f"{row.clicsipx_status or row.status} {row.clicsipx}" if row.clicsipx else ""
        lines.append(f"| `{code}` | {row.status} | {row.fr} | {row.en} | {compatible} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
