"""What the PBX says of itself: the link to it, its phones, its trunks. Called by the core with events of the driver."""

from __future__ import annotations

from datetime import timedelta

from daemon.agents.states import AgentState, LegState
from daemon.calls import events as ev
from daemon.calls.facts import LinkChanged
from daemon.engine.desks import Desks
from daemon.engine.live import Call, Live


class PbxLink:
    """One a site."""

    def __init__(self, live: Live, desks: Desks) -> None:
        self._live, self._desks = live, desks

    def up(self, event: ev.LinkUp) -> None:
        """Connected; what the PBX has is asked for next."""
        live = self._live
        link = live.link
        link.up, link.synced, link.since_utc = True, False, live.utc
        link.code, link.message, link.stopping = "", "", False
        link.next_try_utc = None
        link.mode, link.version = event.mode, event.version
        link.capabilities, link.missing, link.unheard = event.capabilities, event.missing, event.unheard
        link.restarted = event.restarted
        self._alert()
        for desk in live.desks.values():
            self._desks.nails(desk)
        live.fact(LinkChanged(at=live.utc, site=live.site.id, up=True, mode=event.mode))
        live.touch("links", live.site.id)

    def _alert(self) -> None:
        """A PBX that would place calls and tell nothing of them; it lasts until a login shows that it was mended."""
        alerts, key = self._live.alerts, f"PBX {self._live.site.id}"
        if self._live.link.unheard:
            alerts[key] = "read_missing"
        else:
            alerts.pop(key, None)

    def down(self, event: ev.LinkDown) -> None:
        """Not connected; why, as a code of the driver and its words; when it tries again."""
        live = self._live
        link = live.link
        if link.up:
            link.since_utc = live.utc
            # A cut is noticed as it happens; a link that died silently had been dead for as long as a Ping takes.
            silent_s = live.site.ping_interval_s + live.site.ping_deadline_s if event.code == "half_open" else 0.0
            link.lost_at = live.now - silent_s
            live.fact(LinkChanged(at=live.utc, site=live.site.id, up=False, code=event.code, message=event.message))
        link.up = link.synced = False
        link.code, link.message = event.code, event.message
        wait_s = event.next_try_in_s
        link.next_try_utc = None if wait_s is None else live.utc + timedelta(seconds=wait_s)
        live.touch("links", live.site.id)
        self.all_dirty()

    def all_dirty(self) -> None:
        """Something that holds every campaign up, or no longer does: each is looked at again and shown anew."""
        for campaign in self._live.campaigns.values():
            campaign.dirty = True
            self._live.touch("campaigns", campaign.id)

    def phone(self, event: ev.ExtensionChanged) -> None:
        """A nailed-up phone that is back is rung again."""
        live = self._live
        live.phones[event.extension] = event.state
        for desk in live.desks.values():
            if desk.record.extension == event.extension:
                desk.phone = event.state
                live.touch("agents", desk.id)
                back = desk.state is AgentState.UNREACHABLE and event.state is ev.DeviceState.IDLE
                if back and desk.leg_state is LegState.NONE:
                    live.timers.set(("rering", desk.id), live.now + 1.0)

    def trunk(self, event: ev.TrunkChanged) -> None:
        """A trunk that can be reached again, or can't."""
        for line in self._live.pool.lines.values():
            if line.record.endpoint == event.trunk:
                line.reachable = event.state is not ev.DeviceState.UNAVAILABLE
                self._live.touch("lines", line.record.id)


def answered_unheard(live: Live, call: Call, seconds: float) -> float:
    """When a leg that is found answered was so at the earliest: after it rang, and after the last instant at which this
    daemon, or the one before, would have heard of it. `seconds`: since the leg began; a PBX tells no more. It is news,
    for whoever reads the history and the next life of the daemon too, and counted as such."""
    deaf_from_at = live.former_seen_at if call.adopted else live.link.lost_at
    rang_at = deaf_from_at if call.ringing_at is None else call.ringing_at
    live.event(call, "answered")
    if call.campaign and call.kind != "inbound":
        call.campaign.answered += 1
    return min(live.now, max(live.now - seconds, deaf_from_at, rang_at))
