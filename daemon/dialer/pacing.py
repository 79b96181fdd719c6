"""The pacing policy: how many calls to originate now, and why.

In: `observe(event)` for everything that happens to calls and agents, `decide(snapshot, now)` after events (coalesced)
and at least every 250 ms. Out: a `Decision`. One object per campaign; no I/O, no clock, no random number: the same
events and instants give the same decisions. Called by the engine, by the simulations and by the benchmark.

One more call is placed while the risk that it finds no agent, if answered, stays within a threshold; the threshold is
learned so that the abandoned share tends to what the ledger has room for; the ledger is what keeps the ceiling.
"""

from __future__ import annotations

import math

import msgspec

from daemon.dialer import events as ev
from daemon.dialer.estimates import CALL_BIN_S
from daemon.dialer.forecast import Forecast
from daemon.dialer.ledger import Ledger, LedgerRow, Room
from daemon.dialer.modes import Mode, PacingSettings, target
from daemon.dialer.risk import LearnedThreshold
from daemon.dialer.surplus import surplus
from daemon.dialer.traffic import Traffic

KAPPA, BOOST = 0.95, 1.6
ROOM_POWER = 1.0
ETA = 0.03
PIPELINE = 0.8
"""Calls kept back for those in flight, relative to the answers expected of them: abandoned calls come in clusters."""
"""Reserve kept of the room to come, and how much faster than the target unused room may be spent."""
CALLS_PER_AGENT = 20
"""More at once would mean that hardly anybody answers: a broken trunk or list, not a reason to dial faster."""
STAFF_MARGIN = 1.1
"""Answers to come are counted up to this many times what the agents here can take without a pause: their mean times are
estimates."""
LEAVERS_FELT = 4.0
"""Nothing is borrowed any more once a quarter of those who finish their wrap-ups go instead of coming back."""
SHOWN_S = 10.0
"""How long a decision tells of the calls hung up before it."""
LEFT_S = 60.0
"""After somebody has gone, calls in flight are looked at for so long: whoever rings then has gone unanswered by now."""
CAUTIOUS_CALLS = 25
"""Calls that must have run their course before odds are trusted."""


class Figures(msgspec.Struct, frozen=True, gc=False):
    """The numbers behind a decision: shares 0..1, counts of people and calls."""

    ready: int
    expected_free: float
    in_flight: int
    expected: float
    """Answers expected of the calls in flight within the median horizon."""
    answer_rate: float
    risk: float
    threshold: float
    abandoned: int
    allowed: int
    window: str
    hung_up: int = 0
    """Calls hung up unanswered just before, because nobody is left for them."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Place `count` calls now. `limit`: stable code of what kept it from being more."""

    count: int
    limit: str
    figures: Figures


class PacingPolicy:
    """See the module's first lines. `ledger` carries the campaign's windows and may hold rows from before."""

    def __init__(self, settings: PacingSettings, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger("campaign", "site", settings.windows)
        self.traffic = Traffic(settings)
        self.forecast = Forecast(self.traffic)
        self._threshold = LearnedThreshold(target(settings) or 0.03, ETA)
        self._live_weight, self._live_time_s, self._lives = 0.0, 0.0, 0
        self._hour, self._last_at = "", math.nan
        self._room_key: tuple[int, int] | None = None
        self._room = Room(0.0, 0.0, "", 0, 0)
        self._share = self._pipeline = 0.0
        self._hung_up = (-math.inf, 0)
        self.false_positives = 0
        """People taken for machines, as far as told: shown apart, never counted as abandoned."""
        self._last = Decision(0, "agents", Figures(0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, ""))
        self._last_seen: tuple[object, ...] | None = None
        self.configure(settings)

    def configure(self, settings: PacingSettings) -> None:
        """Switch mode, level, speed or limits live; what was learned stays."""
        self.settings = settings
        self.target = target(settings)
        self.ledger.windows = settings.windows
        self.traffic.amd = settings.amd
        self._share = min(self._share, BOOST * self.target) if self._hour else self.target
        self.forecast.stale()
        self._last_seen = self._room_key = None

    def observe(self, event: ev.PacingEvent) -> None:
        """Take note. Unknown ids and repeated events change nothing; order between different ids is free."""
        abandoned = self.traffic.observe(event)
        if abandoned is not None:
            self.ledger.count(self._hour, connected=not abandoned, abandoned=abandoned)
            self._threshold.learn(abandoned, self._share)
            self._live_weight += 1.0
            self._lives += 1
        elif isinstance(event, ev.MachineReported):
            self.ledger.count(self._hour, connected=-1)
        elif isinstance(event, ev.AmdFalsePositive):
            self.false_positives += 1
        elif isinstance(event, ev.CallHungUp):
            again = event.at - self._hung_up[0] <= SHOWN_S
            self._hung_up = (event.at, self._hung_up[1] + 1 if again else 1)

    def strike(self, hour: str) -> None:
        """The clock hour (see `ledger.hour_key`) that live answers are booked under from now on; `decide` says it too,
        but modes that never ask how many to place have a ledger as well."""
        self._hour = hour

    def expected(self, now: float) -> float:
        """Answers expected of the calls in flight, for campaigns that share agents with this one; by the longest
        horizon, since theirs may come first. While odds are not known, every call counts as one."""
        if self.traffic.answer_rate.mature_calls < CAUTIOUS_CALLS:
            return float(self.traffic.in_flight)
        self.forecast.advance(now, self.settings)
        return self.forecast.needed(now) + self.traffic.waiting

    def decide(self, snapshot: ev.PacingSnapshot, now: float) -> Decision:
        """How many calls to originate at `now`. 0 agents never dial; limits of lines, rate and leads are kept here."""
        seen = self._seen(snapshot, now)
        if seen == self._last_seen and self._last.count == 0 and self._last.limit != "cps":
            return self._last
        self._last_seen, self._last = seen, self._decide(snapshot, now)
        return self._last

    def may_have_surplus(self, now: float) -> bool:
        """Whether `surplus` is worth asking: calls are in flight, and somebody went of late."""
        return self.traffic.placed.total > 0 and now - self.traffic.left_at <= LEFT_S

    def surplus(self, snapshot: ev.PacingSnapshot, now: float) -> tuple[str, ...]:
        """Calls in flight to hang up at `now` (ids, newest first), because agents have gone and nobody is left for
        them; () whenever nobody went of late. Whoever drives the policy says `CallHungUp` of each. To be asked as often
        as `decide`, also while the campaign is paused: phones go on ringing."""
        if not self.may_have_surplus(now):
            return ()
        self._roll(snapshot, now)
        waiting = max(self.traffic.waiting, snapshot.waiting)
        free = snapshot.ready - snapshot.reserved - snapshot.inbound_waiting - waiting
        room = self.ledger.earned(snapshot.hour, self.target or self.settings.ceiling)
        return tuple(surplus(self.traffic, self.forecast, now, free, room, self.settings.ring_min_s))

    def _seen(self, snapshot: ev.PacingSnapshot, now: float) -> tuple[object, ...]:
        """All a decision rests on. Ages count by half seconds: not every tick is a new question."""
        s = snapshot
        others = (round(s.others_expected, 2), s.others_in_flight)
        seen_now = (s.ready, s.leads, s.lines_free, s.waiting, s.inbound_waiting, s.reserved, *others, s.hour)
        return (
            self.traffic.calls_version,
            self.traffic.agents_version,
            int(now / CALL_BIN_S),
            int(s.cps_tokens),
            *seen_now,
        )

    def _decide(self, snapshot: ev.PacingSnapshot, now: float) -> Decision:
        self._roll(snapshot, now)
        mode = self.settings.mode
        if mode not in (Mode.PROGRESSIVE, Mode.PREDICTIVE):
            return self._none(snapshot, "mode")
        in_flight = self.traffic.in_flight
        if snapshot.ready + self.traffic.busy == 0:
            return self._none(snapshot, "agents")
        cap, limit = self._cap(snapshot, in_flight)
        if cap <= 0:
            return self._none(snapshot, limit)
        free = snapshot.ready - snapshot.reserved - snapshot.inbound_waiting
        one_to_one = free - in_flight - max(snapshot.others_in_flight, math.ceil(snapshot.others_expected))
        if mode is Mode.PROGRESSIVE or self.target <= 0.0:
            return self._plain(snapshot, one_to_one, cap, limit, "one_to_one")
        if self.traffic.answer_rate.mature_calls < CAUTIOUS_CALLS:
            if free > 0 and in_flight < 1 + self.traffic.staffed // 10:
                one_to_one = max(1, one_to_one)  # beside campaigns that take every agent, it would never learn
            return self._plain(snapshot, one_to_one, cap, limit, "cautious_start")
        return self._predict(snapshot, now, free, one_to_one, cap, limit)

    def _roll(self, snapshot: ev.PacingSnapshot, now: float) -> None:
        """Bring everything to `now`; the live-answer rate remembers about a quarter of an hour."""
        self._hour = snapshot.hour
        passed = 0.0 if math.isnan(self._last_at) else now - self._last_at
        self._last_at = now
        keep = math.exp(-passed / 900.0)
        self._live_weight *= keep
        self._live_time_s = self._live_time_s * keep + passed
        self.forecast.advance(now, self.settings)

    def _cap(self, snapshot: ev.PacingSnapshot, in_flight: int) -> tuple[int, str]:
        """The most that limits other than risk allow, and which one it is."""
        caps = (
            (snapshot.leads, "leads"),
            (min(snapshot.lines_free, self.settings.line_limit - in_flight - self.traffic.talking), "lines"),
            (int(snapshot.cps_tokens), "cps"),
            (CALLS_PER_AGENT * (snapshot.ready + self.traffic.busy) - in_flight, "calls_per_agent"),
        )
        return min(caps)

    def _plain(self, snapshot: ev.PacingSnapshot, count: int, cap: int, limit: str, why: str) -> Decision:
        if count >= cap:
            return Decision(max(0, cap), limit, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))
        return Decision(max(0, count), why, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))

    def nothing(self, snapshot: ev.PacingSnapshot, now: float) -> Decision:
        """What is told when calls were hung up because nobody is left for them."""
        self._last_at = now
        return self._none(snapshot, "agents")

    def _none(self, snapshot: ev.PacingSnapshot, limit: str) -> Decision:
        """Nothing is placed, for that reason."""
        return Decision(0, limit, self._figures(snapshot, 0.0, 0.0, 0.0, 0.0, None))

    def _predict(
        self, snapshot: ev.PacingSnapshot, now: float, free: int, one_to_one: int, cap: int, limit: str
    ) -> Decision:
        room = self._room_now(snapshot, now)
        relative = room.share / self.target
        accepted, why = self._threshold.value * relative**ROOM_POWER, "risk"
        ease = min(1.0, (room.calls - 0.7) / (1.3 + self._pipeline))
        if room.calls < 1.0:
            ease = 0.02
        if ease < 1.0 or relative < 0.35:
            accepted, why = accepted * ease, "abandonment_room"
        waiting = max(self.traffic.waiting, snapshot.waiting)
        risk_model, expected_free, expected = self.forecast.risk(now, free - waiting, snapshot.others_expected)
        count, risk = 0, risk_model.now()
        shown = risk
        while count < cap and (risk <= accepted or count < one_to_one):
            risk_model.add()
            count += 1
            shown, risk = risk, risk_model.now()
        if count >= cap:
            why = limit
        return Decision(count, why, self._figures(snapshot, expected_free, expected, shown, accepted, room))

    def _room_now(self, snapshot: ev.PacingSnapshot, now: float) -> Room:
        """The ledger's room, asked once a second and after each live answer."""
        key = (self._lives, int(now))
        if key != self._room_key:
            self._room_key = key
            left, day_left = snapshot.hour_left_s, snapshot.day_left_s
            rate = self._live_rate()
            flying = rate * self.forecast.horizons_s[2]
            self._pipeline = PIPELINE * min(flying, 2.0 * math.sqrt(flying))
            borrow = max(0.0, 1.0 - LEAVERS_FELT * (1.0 - self._coming_back()))
            to_come = self.traffic.answer_rate.value * (snapshot.leads_left + self.traffic.in_flight)
            self._room = self.ledger.room(
                snapshot.hour, left, day_left, rate, self.target, KAPPA, BOOST, self._pipeline, to_come, borrow
            )
            self._share = self._room.share
        return self._room

    def _live_rate(self) -> float:
        """Live answers per second of late; at the start what the team could take. Never more than those could take who
        are here and have not said that they go: nothing is borrowed from answers that only the others would bring."""
        handling_s = self.traffic.talk.mean_s + self.traffic.wrap.mean_s
        guess = 0.75 * self.traffic.staffed / handling_s
        of_late = (self._live_weight + 200.0 * guess) / (self._live_time_s + 200.0)
        return min(of_late, STAFF_MARGIN * self.traffic.staying * self._coming_back() / handling_s)

    def _coming_back(self) -> float:
        """Of the wrap-ups that usually end in ready, the share that do as people go of late, 0..1."""
        return self.traffic.stay_now(self._last_at) / self.traffic.stay

    def _figures(
        self,
        snapshot: ev.PacingSnapshot,
        expected_free: float,
        expected: float,
        risk: float,
        accepted: float,
        room: Room | None,
    ) -> Figures:
        return Figures(
            snapshot.ready,
            expected_free,
            self.traffic.in_flight,
            expected,
            self.traffic.answer_rate.value,
            risk,
            accepted,
            room.abandoned if room else 0,
            room.allowed if room else 0,
            room.window if room else "",
            self._hung_up[1] if self._last_at - self._hung_up[0] <= SHOWN_S else 0,
        )

    # ---- over restarts

    def ledger_rows(self) -> list[LedgerRow]:
        return self.ledger.rows()

    def ledger_row(self) -> LedgerRow:
        """This hour's."""
        return self.ledger.row(self._hour)
