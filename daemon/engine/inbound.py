"""Calls coming in: which campaign they are for, whether it is open, the wait and its end (CAMP-05, CAMP-12, TELC-05).

A caller is let in only when the attempt is in the store, waits with music for the agent longest ready (most skilled
first, where a skill is asked for), and is never counted as an abandoned call of ours: who leaves, or waits in vain, is
a missed call, and one task for one owner (ZAD-08, ZAD-09).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import phonenumbers

from daemon.calls import events as ev
from daemon.calls.actions import RELEASED_MAX_S, AdoptInbound, Announce, Answer, Hangup, Release
from daemon.calls.causes import Outcome
from daemon.calls.facts import MissedCall
from daemon.calls.ids import customer_leg
from daemon.calls.lead_records import Intent
from daemon.calls.records import MissedOwner
from daemon.calls.states import CallState
from daemon.compliance.zones import zone
from daemon.engine.callflow import CallFlow
from daemon.engine.desks import Desks
from daemon.engine.live import Call, CampaignLive, Desk, Live

BUSY, UNALLOCATED, NO_CIRCUIT = 17, 1, 34
SAFE_HOLD_S = 60.0
"""The PBX itself ends a wait this much later than we would."""


class Inbound:
    """See the module's first lines."""

    def __init__(self, live: Live, calls: CallFlow, desks: Desks) -> None:
        self._live, self._calls, self._desks = live, calls, desks
        self.spare: Callable[[str], None] = lambda leg: None
        """This leg, of which nothing is known any more, is not to be hung up."""

    # ---- arrival -----------------------------------------------------------------------------------------------------

    def arrived(self, event: ev.InboundArrived) -> None:
        """A call stands at our line of the dialplan: its row first, then what becomes of it."""
        live = self._live
        if any(call.channel == event.channel for call in live.calls.values()):
            return  # told once more by a listing, and its row is on the way
        campaign = self.campaign_of(event.did)
        id = live.new_id()
        e164 = to_e164(event.caller, live.site.country)
        call = Call(
            attempt_id=id,
            leg=customer_leg(live.site.id, id),
            kind="inbound",
            group_id=campaign.record.group_id if campaign else next(iter(live.groups), 0),
            client_id=campaign.record.client_id if campaign else 0,
            e164=e164,
            opened_at=live.now,
            opened_utc=live.utc,
            campaign=campaign,
            caller_id=to_e164(event.did, live.site.country) or event.did,
            since_utc=live.utc,
        )
        call.did, call.channel = event.did, event.channel
        call.turned_away = self._turned_away(campaign, e164)
        live.calls[id] = call
        live.legs[call.leg] = call
        live.out.intents.append(
            Intent(
                attempt_id=id,
                site=live.site.id,
                kind="inbound",
                group_id=call.group_id,
                campaign_id=call.campaign_id,
                client_id=call.client_id,
                lead_id=0,
                e164=e164,
                line_id=0,
                caller_id=call.caller_id,
                agent_id=0,
                rule_set="",
                attempts_max=0,
                attempts_days=0,
                at=live.utc,
            )
        )
        if campaign:
            campaign.calls[id] = call
            campaign.callers["arrived"] += 1
        self._calls.enter(call, CallState.INTENDED, first=True)

    def campaign_of(self, did: str) -> CampaignLive | None:
        """The campaign a number dialled belongs to: written as E.164, nationally, or cut by the operator."""
        digits = "".join(c for c in did if c.isdigit()).lstrip("0")
        for campaign in self._live.campaigns.values():
            for own in campaign.record.inbound.dids:
                if len(digits) >= 4 and own.lstrip("+").endswith(digits):
                    return campaign
        return None

    def _turned_away(self, campaign: CampaignLive | None, e164: str) -> str:
        live = self._live
        if campaign is None:
            return "unknown_number"
        if e164 and (campaign.record.group_id, e164) in live.blacklist:
            return "blacklisted"
        if not self._open(campaign):
            return "closed"
        limit = campaign.record.inbound.queue_max
        return "full" if limit and sum(1 for _ in self.waiting(campaign)) >= limit else ""

    def _open(self, campaign: CampaignLive) -> bool:
        hours = campaign.record.inbound.open
        local = self._live.utc.astimezone(zone(campaign.record.zone))
        clock = f"{local:%H:%M}"
        return not hours or any(local.isoweekday() in w.days and w.start <= clock < w.end for w in hours)

    def granted(self, call: Call) -> None:
        """The attempt is in the store: let in, or turned away."""
        live, campaign = self._live, call.campaign
        wait = campaign.record.inbound.wait_max_s if campaign else 0.0
        live.act(AdoptInbound(leg=call.leg, channel=call.channel, hold_s=wait + SAFE_HOLD_S))
        live.event(call, "arrived", did=call.did)
        if call.turned_away:
            self._turn_away(call)
            return
        assert campaign is not None
        settings = campaign.record.inbound
        call.offer_at = live.now + settings.greeting_s
        call.need_at = call.opened_at  # a caller's wait begins with the call
        self._calls.enter(call, CallState.ANSWERED)
        live.act(Answer(leg=call.leg, sound=settings.greeting))
        self._place_told(call)

    def _turn_away(self, call: Call) -> None:
        """Blacklisted: busy. Closed or full: what the campaign says, else busy. A number of nobody's: unallocated."""
        live, why = self._live, call.turned_away
        settings = call.campaign.record.inbound if call.campaign else None
        call.outcome = Outcome.REJECTED if why in ("blacklisted", "unknown_number") else Outcome.MISSED
        call.ended_by = why
        if call.campaign:
            call.campaign.callers[why] += 1
        if settings and why in ("closed", "full") and self._pass_on(call, settings.overflow):
            return
        if settings and why == "closed" and settings.closed_message:
            self._calls.enter(call, CallState.MESSAGE)
            live.act(Answer(leg=call.leg, sound=settings.closed_message))
            live.timers.set(("message", call.attempt_id), live.now + max(1.0, settings.closed_message_s))
            return
        cause = UNALLOCATED if why == "unknown_number" else BUSY
        self._calls.enter(call, CallState.ANSWERED)
        self._calls.hang_up(call, by=why, cause=cause)

    def refused(self, call: Call) -> None:
        """No row could be made for it: the PBX is to do without us."""
        live = self._live
        live.act(AdoptInbound(leg=call.leg, channel=call.channel))
        where = call.campaign.record.inbound.overflow if call.campaign else ""
        if self._pass_on(call, where):
            self.spare(call.leg)
        else:
            live.act(Hangup(leg=call.leg, cause=NO_CIRCUIT))

    def _pass_on(self, call: Call, where: str) -> bool:
        """Give the caller to the PBX's own dialplan (`extension@context`): voicemail, a queue, another office."""
        live = self._live
        extension, at, context = where.partition("@")
        if not (extension and at and context) or "inbound" not in live.link.capabilities:
            return False
        release = Release(leg=call.leg, context=context, extension=extension)
        live.act(release)
        if call.state is not CallState.INTENDED or call.turned_away:
            call.passed_on = release
            self._calls.enter(call, CallState.MESSAGE)
            live.timers.set(("message", call.attempt_id), live.now + RELEASED_MAX_S)
            live.event(call, "passed_on", to=where)
        return True

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def waiting(self, campaign: CampaignLive) -> Iterable[Call]:
        """Callers who wait, longest first (calls are kept in the order of their coming)."""
        if not campaign.stages["waiting"] and not campaign.stages["answered"]:
            return ()
        states = (CallState.WAITING, CallState.ANSWERED)
        return (call for call in campaign.calls.values() if call.kind == "inbound" and call.state in states)

    def suits(self, call: Call, desk: Desk) -> bool:
        """Whether this agent may take this call: callers can ask for a skill."""
        skill = call.campaign.record.inbound.skill if call.campaign and call.kind == "inbound" else ""
        return not skill or desk.record.skills.get(skill, 0) > 0

    def choose(self, call: Call, desks: Iterable[Desk]) -> Desk | None:
        """The most skilled, of these the one ready for longest."""
        skill = call.campaign.record.inbound.skill if call.campaign else ""
        fit = [desk for desk in desks if self.suits(call, desk)]
        return min(fit, key=lambda d: (-d.record.skills.get(skill, 0), d.since_at, d.id), default=None)

    def patience_s(self, call: Call) -> float:
        """How long a caller may wait for an agent."""
        return call.campaign.record.inbound.wait_max_s if call.campaign else 60.0

    def overdue(self, call: Call) -> None:
        """Nobody was free in time: elsewhere, or the end; a missed call either way."""
        live = self._live
        call.outcome, call.ended_by = Outcome.MISSED, "overflow"
        live.event(call, "overflow", waited_s=round(live.now - (call.need_at or live.now), 3))
        if call.campaign:
            call.campaign.callers["overflow"] += 1
        if not self._pass_on(call, call.campaign.record.inbound.overflow if call.campaign else ""):
            self._calls.hang_up(call, by="overflow")

    def _place_told(self, call: Call) -> None:
        every = call.campaign.record.inbound.announce_every_s if call.campaign else 0.0
        if every:
            self._live.timers.set(("place", call.attempt_id), self._live.now + every)

    def on_deadline(self, kind: str, call: Call) -> None:
        """The greeting is over, or the caller is to hear the place in the queue."""
        if call.state is not CallState.WAITING:
            return
        if kind == "greeted":
            self._calls.offer(call)
            return
        campaign = call.campaign
        if campaign is not None:
            place = 1 + sum(1 for other in self.waiting(campaign) if (other.need_at or 0.0) < (call.need_at or 0.0))
            self._live.act(Announce(leg=call.leg, sounds=sounds_for(place)))
            self._live.event(call, "place_told", place=place)
        self._place_told(call)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def over(self, call: Call) -> None:
        """One missed call is one task, with one owner; who hides the number can't be called back."""
        live, campaign = self._live, call.campaign
        if call.kind != "inbound" or campaign is None:
            return
        for kind in ("greeted", "place"):
            live.timers.clear((kind, call.attempt_id))
        if call.connected_at is not None:
            return
        if call.turned_away not in ("", "closed", "full"):
            return
        campaign.callers["missed"] += 1
        if not call.e164:
            return
        settings = campaign.record.inbound
        owner = settings.default_agent_id if settings.missed_call_owner is MissedOwner.DEFAULT_USER else 0
        live.fact(
            MissedCall(
                at=call.utc(live.now),
                site=live.site.id,
                attempt_id=call.attempt_id,
                group_id=call.group_id,
                campaign_id=campaign.id,
                owner_agent_id=owner,
                due_at=live.utc if settings.call_back else None,
            )
        )


def sounds_for(place: int) -> tuple[str, ...]:
    """Asterisk's own prompts for a place in a queue."""
    if place <= 1:
        return ("queue-youarenext",)
    return "queue-thereare", *(f"digits/{digit}" for digit in str(min(place, 99))), "queue-callswaiting"


def to_e164(text: str, country: str) -> str:
    """A number as a trunk shows it, in E.164; empty for one that is withheld, or is none."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
