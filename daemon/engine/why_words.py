"""A cause in one sentence: what holds the campaign back, how many, until when. The page, the API and the command line
show this one sentence; nobody words it anew. Counts by reason and state use the words of the pages' catalogues.
"""

from __future__ import annotations

from daemon.engine.views import CauseView

REASONS = {
    "attempts": ("attempts used up (law)", "tentatives épuisées (loi)"),
    "callback": ("callback due later", "rappel prévu"),
    "campaign_hours": ("outside campaign hours", "hors heures de la campagne"),
    "campaign_limit": ("attempt limit reached", "LimiteNum atteinte"),
    "consent": ("no consent", "sans consentement"),
    "dnc": ("red list", "liste rouge"),
    "done": ("done, no follow-up", "terminées sans suite"),
    "erased": ("erased (GDPR)", "effacées (RGPD)"),
    "final": ("closed", "terminées"),
    "holiday": ("holiday", "jour férié"),
    "hours": ("outside legal hours", "hors heures légales"),
    "in_progress": ("call in progress or claimed", "appel en cours ou réservée"),
    "list_off": ("list off", "liste désactivée"),
    "min_gap": ("gap between attempts", "espacement des tentatives"),
    "number": ("invalid number", "n° invalide"),
    "out_of_hours": ("out of hours", "hors heures"),
    "recall": ("recall kept for the agent", "rappel réservé à l'agent"),
    "recycled_out": ("recycling used up", "recyclages épuisés"),
    "recycling": ("recycling", "recyclage"),
    "refusal": ("recent refusal", "refus récent"),
    "technical": ("technical failures", "échecs techniques"),
    "technical_limit": ("repeated technical failures", "échecs techniques répétés"),
    "waiting": ("waiting", "en attente"),
    "zone": ("zone unknown", "zone inconnue"),
}
"""What holds leads back, as `blocked.…` of the pages' words says it (English, French); others show their code."""

STATES = {
    "on_call": ("On call", "En appel"),
    "on_hold": ("On hold", "En garde"),
    "ringing": ("Ringing", "Sonnerie"),
    "reserved": ("Reserved", "Réservé"),
    "wrap_up": ("Wrap-up (ACW)", "Post-appel"),
    "paused": ("Paused", "En pause"),
    "unreachable": ("Phone unreachable", "Poste injoignable"),
}
"""Agents' states, as `state.…` of the pages' words says them, in the order told."""

HELD_SHOWN = 3
"""Reasons named in the sentence, the greatest first; the page lists them all."""

_WORDS = {
    ("links", "link"): (
        "Not dialling: the PBX {site} does not answer",
        "Ne compose pas : le PBX {site} ne répond pas",
    ),
    ("links", "resync"): (
        "Not dialling: checking calls with the PBX",
        "Ne compose pas : vérification des appels du PBX",
    ),
    ("links", "pbx_stopping"): ("Not dialling: the PBX is stopping", "Ne compose pas : le PBX s’arrête"),
    ("links", "right_missing"): (
        "Not dialling: the PBX user lacks the right originate",
        "Ne compose pas : le droit originate manque sur le PBX",
    ),
    ("links", "read_missing"): (
        "Not dialling: the PBX tells Cadran nothing of its calls; add {class} to read in manager.conf",
        "Ne compose pas : le PBX ne dit rien des appels à Cadran ; ajoutez {class} à read dans manager.conf",
    ),
    ("links", "store"): ("Not dialling: the database does not answer", "Ne compose pas : la base ne répond pas"),
    ("links", "journal_full"): ("Not dialling: the journal is full", "Ne compose pas : le journal est plein"),
    ("links", "lease"): (
        "Not dialling: another daemon leads this site",
        "Ne compose pas : une autre instance dirige ce site",
    ),
    ("links", "database_older"): (
        "Not dialling: the database lacks calls that were in it; say so once it is reconciled",
        "Ne compose pas : la base a perdu des appels qu’elle contenait ; confirmez quand elle est réconciliée",
    ),
    ("links", "draining"): ("Not dialling: the daemon is stopping", "Ne compose pas : Cadran s’arrête"),
    ("campaign", "suspended"): ("Suspended by Cadran: {reason}", "Suspendue par Cadran : {reason}"),
    ("campaign", "paused"): ("Paused", "Suspendue"),
    ("campaign", "stopped"): ("Stopped", "Arrêtée"),
    ("campaign", "manual"): ("Manual: agents dial", "MANUEL : les agents composent"),
    ("campaign", "inbound"): ("Inbound only", "RÉCEPTION : aucun appel sortant"),
    ("campaign", "hours"): (
        "Not dialling: outside the hours of {rule_set} where the people are; {due} due leads wait{until}",
        "Ne compose pas : hors heures de {rule_set} chez les appelés ; fiches dues en attente {due}{until}",
    ),
    ("agents", "none"): ("Not dialling: no agent is signed in", "Ne compose pas : aucun agent connecté"),
    ("agents", "inbound_waiting"): (
        "Not dialling: callers are waiting for these agents",
        "Ne compose pas : des appelants attendent ces agents",
    ),
    ("agents", "none_ready"): ("No agent is ready{who}", "Aucun agent prêt{who}"),
    ("leads", "none_due"): (
        "Not dialling: 0 leads due of {total}{held}; {next}",
        "Ne compose pas : 0 fiche due sur {total}{held} ; {next}",
    ),
    ("leads", "empty"): (
        "Not dialling: the campaign has no lead",
        "Ne compose pas : la campagne n’a aucune fiche",
    ),
    ("leads", "zones_closed"): (
        "Not dialling: the leads due ({due}) are where calling is not allowed now{until}",
        "Ne compose pas : les fiches dues ({due}) sont là où l’on ne peut appeler maintenant{until}",
    ),
    ("lines", "none"): ("Not dialling: the campaign has no line", "Ne compose pas : la campagne n’a aucune ligne"),
    ("lines", "lines"): (
        "No line is free: {in_use} of {capacity} in use, {resting} resting{until}",
        "Aucune ligne libre : {in_use} sur {capacity} occupées, {resting} au repos{until}",
    ),
    ("lines", "caller_ids"): ("No caller ID is left today", "Plus de numéro à présenter aujourd’hui"),
    ("pacing", "cps"): ("As fast as the call rate allows", "Au rythme permis par la limite d’appels par seconde"),
    ("pacing", "risk"): ("Limited by the risk of abandoning a call", "Limitée par le risque d’abandon"),
    ("pacing", "abandonment_room"): ("Limited by the abandonment ceiling", "Limitée par le plafond d’abandon"),
    ("pacing", "cautious_start"): ("Cautious start: one call per agent", "Démarrage prudent : un appel par agent"),
}


def in_words(cause: CauseView, language: str) -> str:
    """One sentence for the page, the API and the command line alike; the code itself if there are no words."""
    words = _WORDS.get((cause.name, cause.code))
    if words is None:
        return f"{cause.name}: {cause.code}"
    french = language == "fr"
    figures = {name: count(value, french) if isinstance(value, int) else value for name, value in cause.figures.items()}
    told = {"site": "", "total": "0", "due": "0", **figures}
    told |= {"until": _until(cause, french), "next": _next(cause, french)}
    told |= {"held": _held(cause, french), "who": _who(cause, french)}
    return words[french].format(**told)


def count(number: int, french: bool) -> str:
    """Digits in threes, as the language writes them."""
    return f"{number:,}".replace(",", "\u202f") if french else f"{number:,}"


def _when(cause: CauseView, french: bool) -> str:
    """The instant told by `until` (HH:MM in the campaign's zone) and, unless it is today, `until_day` (DD/MM)."""
    day, time = cause.figures.get("until_day"), cause.figures.get("until")
    if french:
        return f"le {day} à {time}" if day else f"à {time}"
    return f"on {day} at {time}" if day else f"at {time}"


def _until(cause: CauseView, french: bool) -> str:
    if not cause.figures.get("until"):
        return ""
    when = _when(cause, french)
    if cause.name == "lines":
        return f", la première revient {when}" if french else f", the first is back {when}"
    return f" ; reprise {when}" if french else f"; resumes {when}"


def _next(cause: CauseView, french: bool) -> str:
    if cause.figures.get("until"):
        return f"prochaine fiche due {_when(cause, french)}" if french else f"next lead due {_when(cause, french)}"
    return "aucune ne le deviendra d’elle-même" if french else "none will fall due by itself"


def _held(cause: CauseView, french: bool) -> str:
    held = [(name, n) for name, n in cause.figures.items() if isinstance(n, int) and name not in ("due", "total")]
    held.sort(key=lambda each: (-each[1], each[0]))
    parts = [f"{REASONS.get(name, (name, name))[french]} {count(n, french)}" for name, n in held[:HELD_SHOWN]]
    if len(held) > HELD_SHOWN:
        parts.append("…")
    return "" if not parts else f" ; retenues : {', '.join(parts)}" if french else f"; held: {', '.join(parts)}"


def _who(cause: CauseView, french: bool) -> str:
    figures = cause.figures
    found = [(words[french], n) for state, words in STATES.items() if isinstance(n := figures.get(state), int) and n]
    parts = [f"{name[:1].lower()}{name[1:]} {count(n, french)}" for name, n in found]
    return "" if not parts else f" : {', '.join(parts)}" if french else f": {', '.join(parts)}"
