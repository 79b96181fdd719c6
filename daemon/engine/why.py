"""Why a campaign does not dial: six causes in a fixed order, the first that binds said in one sentence (pages.md 2)."""

from __future__ import annotations

from daemon.agents.states import AgentState
from daemon.calls.records import CampaignMode, CampaignState
from daemon.engine.live import CampaignLive, Live
from daemon.engine.views import CauseView

_LINK_CODES = frozenset(
    {
        "link",
        "resync",
        "pbx_stopping",
        "right_missing",
        "store",
        "journal_full",
        "lease",
        "database_older",
        "draining",
    }
)


def causes(campaign: CampaignLive, live: Live) -> tuple[CauseView, ...]:
    """Links, campaign, agents, leads, lines, pacing; each with its code and figures."""
    return (
        _links(campaign, live),
        _campaign(campaign),
        _agents(campaign),
        _leads(campaign),
        _lines(campaign, live),
        _pacing(campaign),
    )


def _links(campaign: CampaignLive, live: Live) -> CauseView:
    code = ""
    if not live.link.up:
        code = "link"
    elif not live.link.synced:
        code = "resync"
    elif "originate" not in live.link.capabilities:
        code = "right_missing"
    elif not live.store_ok:
        code = "store"
    elif not live.may_act():
        code = "lease"
    elif live.database_older:
        code = "database_older"
    elif campaign.limit in _LINK_CODES:
        code = campaign.limit
    return CauseView(name="links", ok=not code, code=code, figures={"site": live.site.name or live.site.id})


def _campaign(campaign: CampaignLive) -> CauseView:
    if campaign.suspended:
        return CauseView(name="campaign", ok=False, code="suspended", figures={"reason": campaign.suspended})
    if campaign.state is not CampaignState.RUNNING:
        return CauseView(name="campaign", ok=False, code=str(campaign.state))
    if campaign.record.mode in (CampaignMode.MANUAL, CampaignMode.INBOUND):
        return CauseView(name="campaign", ok=False, code=str(campaign.record.mode))
    if campaign.limit == "hours":
        return CauseView(name="campaign", ok=False, code="hours", figures={"rule_set": campaign.record.rule_set})
    return CauseView(name="campaign", ok=True, code="running")


def _agents(campaign: CampaignLive) -> CauseView:
    figures: dict[str, float | int | str | None] = {
        str(state): campaign.agents[state] for state in AgentState if campaign.agents[state] > 0
    }
    if sum(campaign.agents[s] for s in AgentState) <= 0:
        return CauseView(name="agents", ok=False, code="none", figures=figures)
    if campaign.limit in ("agents", "inbound_waiting"):
        code = "none_ready" if campaign.limit == "agents" else campaign.limit
        return CauseView(name="agents", ok=False, code=code, figures=figures)
    return CauseView(name="agents", ok=True, code="ready", figures=figures)


def _leads(campaign: CampaignLive) -> CauseView:
    figures: dict[str, float | int | str | None] = dict(campaign.lead_counts)
    figures["total"] = sum(campaign.lead_counts.values())
    starved = campaign.limit == "leads" and not campaign.hopper and campaign.lead_counts.get("due", 0) == 0
    return CauseView(name="leads", ok=not starved, code="none_due" if starved else "due", figures=figures)


def _lines(campaign: CampaignLive, live: Live) -> CauseView:
    record = campaign.record
    known = [live.pool.lines[id] for id in record.line_ids if id in live.pool.lines]
    figures: dict[str, float | int | str | None] = {
        "free": sum(line.free(live.now) for line in known),
        "in_use": sum(line.in_use for line in known),
        "capacity": sum(line.record.capacity for line in known),
        "resting": sum(1 for line in known if line.state(live.now) == "resting"),
    }
    if not known:
        return CauseView(name="lines", ok=False, code="none", figures=figures)
    if campaign.limit in ("lines", "caller_ids"):
        return CauseView(name="lines", ok=False, code=campaign.limit, figures=figures)
    return CauseView(name="lines", ok=True, code="free", figures=figures)


def _pacing(campaign: CampaignLive) -> CauseView:
    binding = campaign.limit in ("cps", "risk", "abandonment_room", "cautious_start")
    return CauseView(name="pacing", ok=not binding, code=campaign.limit or "one_to_one")


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
        "Not dialling: outside the hours of {rule_set} where the people are",
        "Ne compose pas : hors heures de {rule_set} chez les appelés",
    ),
    ("agents", "none"): ("Not dialling: no agent is signed in", "Ne compose pas : aucun agent connecté"),
    ("agents", "inbound_waiting"): (
        "Not dialling: callers are waiting for these agents",
        "Ne compose pas : des appelants attendent ces agents",
    ),
    ("agents", "none_ready"): ("No agent is ready", "Aucun agent prêt"),
    ("leads", "none_due"): (
        "Not dialling: 0 leads due of {total}",
        "Ne compose pas : 0 fiche due sur {total}",
    ),
    ("lines", "none"): ("Not dialling: the campaign has no line", "Ne compose pas : la campagne n’a aucune ligne"),
    ("lines", "lines"): (
        "No line is free: {in_use} of {capacity} in use, {resting} resting",
        "Aucune ligne libre : {in_use} sur {capacity} occupées, {resting} au repos",
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
    return words[language == "fr"].format(**{"site": "", "total": 0, **cause.figures})
