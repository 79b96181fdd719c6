"""Is this run the same as the recording, by the rules that two runs of one real server keep?

In: two `Run`s (the bytes of each and its roles). Out: `Difference`s, none if they are equal. Rules, by number:
 1 greeting and framing          2 responses, in order          3 lists, each as a bag, its end last
 4 header names of every event   5 how many events of each type a channel has
 6, 7 order and values within a channel's life, dialling, AGI, bridges and each other type
 8 variables, device states, who is in a bridge                 9 laws that hold in any run (`laws`)
Between those sequences the order is free: other threads of the server publish them.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

from fake_asterisk.replay.laws import breaches, channel_ids
from fake_asterisk.replay.normalise import left_out, normalise
from fake_asterisk.replay.roles import Roles
from fake_asterisk.replay.wire import Message, parse_stream

SNAPSHOT = re.compile(
    r"(?:[A-Z][A-Za-z]*)?(?:ChannelState|CallerID|ConnectedLine)[A-Za-z]*"
    r"|(?:[A-Z][A-Za-z]*)?(?:Language|AccountCode|Context|Exten|Priority)"
)
SNAPSHOT_TYPES = frozenset({"Newchannel", "NewCallerid", "NewConnectedLine", "Newexten", "Newstate", "Hangup"})
LIFE = SNAPSHOT_TYPES | {"HangupRequest", "SoftHangupRequest", "Hold", "Unhold"}
DIAL = frozenset({"DialBegin", "DialState", "DialEnd"})
# Transfers are a sequence of their own: a real server tells one before, between or after the BridgeLeaves it causes; in
# a third of the runs it was otherwise than recorded.
MEMBERSHIP = frozenset({"BridgeEnter", "BridgeLeave"})
NAMED_BY = ("Peer", "Exten", "Mailbox", "BridgeUniqueid")  # what an event without channel is about


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not equal: the rule broken, where, and what each side has (None: nothing)."""

    rule: int
    where: str
    recorded: str | None = None
    replayed: str | None = None

    def __str__(self) -> str:
        lines = [f"rule {self.rule}: {self.where}"]
        if self.recorded is not None or self.replayed is not None:
            lines += [f"    recorded: {self.recorded or 'nothing'}", f"    replayed: {self.replayed or 'nothing'}"]
        return "\n".join(lines)


class Run:
    """A received stream as it is compared: what is left out is out, ids are roles."""

    def __init__(self, data: bytes, roles: Roles, *, booted: bool = False) -> None:
        """`roles` learns from the messages here, once; `booted`: the scenario starts the server."""
        stream = parse_stream(data)
        for message in stream.messages:
            roles.observe(message)
        kept = [message for message in stream.messages if not left_out(message, roles, booted=booted)]
        messages = [normalise(message, roles) for message in _without_foreign_bridges(stream.messages, kept, roles)]
        self.greeting, self.faults = stream.greeting, stream.faults
        self.responses = [message for message in messages if message.event is None]
        events = [message for message in messages if message.event is not None]
        list_ids = {message.get("ActionID") for message in self.responses if message.get("EventList") == "start"} - {
            None
        }
        self.lists: dict[str, list[Message]] = {str(identity): [] for identity in sorted(list_ids, key=str)}
        self.all_events = events
        self.events: list[Message] = []
        for event in events:
            identity = event.get("ActionID")
            if identity in self.lists and event.event != "OriginateResponse":
                self.lists[identity].append(event)
            else:
                self.events.append(event)


def compare(recorded: Run, replayed: Run) -> list[Difference]:
    """All differences of the two runs, by rule; empty if they are equal."""
    return [
        *_framing(recorded, replayed),
        *_responses(recorded, replayed),
        *_lists(recorded, replayed),
        *_header_names(recorded, replayed),
        *_event_counts(recorded, replayed),
        *_sequences(recorded, replayed),
        *_variables(recorded, replayed),
        *_membership(recorded, replayed),
        *(Difference(9, breach) for breach in breaches(replayed.events)),
    ]


def _without_foreign_bridges(everything: Sequence[Message], kept: Sequence[Message], roles: Roles) -> list[Message]:
    """Events of a bridge that only channels of somebody else entered are somebody else's too."""
    entered = [(m.get("BridgeUniqueid"), m.get("Uniqueid") or "") for m in everything if m.event == "BridgeEnter"]
    ours = {bridge for bridge, channel in entered if roles.role(channel) is not None}
    foreign = {bridge for bridge, _ in entered} - ours
    return [m for m in kept if m.event is None or m.get("BridgeUniqueid") not in foreign or m.get("ActionID")]


def _framing(recorded: Run, replayed: Run) -> Iterator[Difference]:
    if recorded.greeting != replayed.greeting:
        yield Difference(1, "greeting", recorded.greeting, replayed.greeting)
    for fault, count in (Counter(replayed.faults) - Counter(recorded.faults)).items():
        yield Difference(1, fault if count == 1 else f"{fault} ({count} times)")


def _responses(recorded: Run, replayed: Run) -> Iterator[Difference]:
    yield from _in_order(2, "response", recorded.responses, replayed.responses, lambda message: message.headers)


def _lists(recorded: Run, replayed: Run) -> Iterator[Difference]:
    for identity in recorded.lists.keys() | replayed.lists.keys():
        left, right = recorded.lists.get(identity, []), replayed.lists.get(identity, [])
        missing, surplus = Counter(left) - Counter(right), Counter(right) - Counter(left)
        for one, other in zip_longest(missing.elements(), surplus.elements()):
            yield Difference(3, f"list {identity}", *_pair(one, other, lambda message: message.headers))
        ends = [message.get("EventList") == "Complete" for message in right]
        if left and (not ends or not ends[-1]) and left[-1].get("EventList") == "Complete":
            yield Difference(3, f"list {identity}: the end message is not last")


def _header_names(recorded: Run, replayed: Run) -> Iterator[Difference]:
    def names(run: Run) -> Counter[tuple[str, ...]]:
        return Counter(
            (message.event or "", *sorted(name for name, _ in message.headers)) for message in run.all_events
        )

    left, right = names(recorded), names(replayed)
    missing, surplus = left - right, right - left
    for kind in sorted({shape[0] for shape in (*missing, *surplus)}):
        here = [shape for shape in missing.elements() if shape[0] == kind]
        there = [shape for shape in surplus.elements() if shape[0] == kind]
        for one, other in zip_longest(here, there):
            yield _shape_difference(kind, one, other)


def _shape_difference(kind: str, one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> Difference:
    if one is None or other is None:
        return Difference(4, f"events {kind}", "one more" if one else None, "one more" if other else None)
    missing, surplus = Counter(one) - Counter(other), Counter(other) - Counter(one)
    return Difference(4, f"headers of {kind}", ", ".join(missing.elements()), ", ".join(surplus.elements()))


def _event_counts(recorded: Run, replayed: Run) -> Iterator[Difference]:
    def counts(run: Run) -> Counter[tuple[str, str]]:
        return Counter((channel, event.event or "") for event in run.all_events for channel in channel_ids(event))

    left, right = counts(recorded), counts(replayed)
    for channel, kind in sorted(left.keys() | right.keys()):
        one, other = left[channel, kind], right[channel, kind]
        if one != other:
            yield Difference(5, f"{channel}: number of {kind}", str(one), str(other))


def _sequences(recorded: Run, replayed: Run) -> Iterator[Difference]:
    left, right = _by_sequence(recorded.events), _by_sequence(replayed.events)
    for key in [*left, *(key for key in right if key not in left)]:
        about, family = key
        where = f"{about} {family}".strip()
        yield from _in_order(6, where, left.get(key, []), right.get(key, []), comparable)


def _by_sequence(events: Sequence[Message]) -> dict[tuple[str, str], list[Message]]:
    sequences: dict[tuple[str, str], list[Message]] = {}
    for event in events:
        if event.event != "VarSet":
            sequences.setdefault(sequence_of(event), []).append(event)
    return sequences


def sequence_of(event: Message) -> tuple[str, str]:
    """(what it is about, family): events with the same key keep their order from run to run."""
    kind = event.event or ""
    if kind in DIAL:
        return event.get("DestUniqueid") or "", "dial"
    if kind == "DeviceStateChange":
        return event.get("Device") or "", kind
    about = event.get("Uniqueid") or next(iter(channel_ids(event)), "")
    if kind in LIFE or kind.startswith(("MusicOnHold", "HangupHandler")):
        return about, "life"
    if kind.startswith(("AsyncAGI", "AGIExec")):
        return about, "agi"
    if kind in MEMBERSHIP:
        return about, "bridge"
    return about or " ".join(event.get(name) or "" for name in NAMED_BY).strip(), kind


def comparable(event: Message) -> tuple[tuple[str, str], ...]:
    """The values of an event that must be equal, by header name; of the rest only the presence counts."""
    kind = event.event or ""
    return tuple(sorted(((name, _comparable(kind, name, value)) for name, value in event.headers), key=_by_name))


@cache
def is_snapshot(name: str) -> bool:
    """A field of the channel's state at the instant of the event, with or without prefix (Dest, LocalOne, ...)."""
    return SNAPSHOT.fullmatch(name) is not None


def _comparable(kind: str, name: str, value: str) -> str:
    if kind not in SNAPSHOT_TYPES and is_snapshot(name):
        return "*"  # a snapshot that another thread may have changed already
    if name.endswith("Linkedid") and kind != "Newchannel":
        return "*"
    if name == "BridgeNumChannels" and kind in MEMBERSHIP:
        return "*"  # compared for the bridge as a whole
    return value


def _by_name(header: tuple[str, str]) -> str:
    return header[0]


def _variables(recorded: Run, replayed: Run) -> Iterator[Difference]:
    left, right = _variables_by_channel(recorded.events), _variables_by_channel(replayed.events)
    for channel in sorted(left.keys() | right.keys()):
        yield from _bags(8, f"{channel or 'global'} variables", left.get(channel, []), right.get(channel, []))


def _variables_by_channel(events: Sequence[Message]) -> dict[str, list[str]]:
    variables: dict[str, list[str]] = {}
    for event in events:
        if event.event == "VarSet":
            text = ", ".join(f"{name}: {value}" for name, value in comparable(event) if value != "*")
            variables.setdefault(event.get("Uniqueid") or "", []).append(text)
    return variables


def _membership(recorded: Run, replayed: Run) -> Iterator[Difference]:
    left, right = _by_bridge(recorded.events), _by_bridge(replayed.events)
    for bridge in sorted(left.keys() | right.keys()):
        where = f"{bridge}: who is inside"
        one, other = (
            [f"{m.event} {m.get('BridgeNumChannels')}" for m in side.get(bridge, []) if m.event in MEMBERSHIP]
            for side in (left, right)
        )
        if one != other:
            yield Difference(8, where, ", ".join(one), ", ".join(other))
        kinds = [message.event for message in right.get(bridge, [])]
        if "BridgeCreate" in kinds[1:]:
            yield Difference(8, f"{bridge}: BridgeCreate is not first")
        if "BridgeDestroy" in kinds[:-1]:
            yield Difference(8, f"{bridge}: BridgeDestroy is not last")


def _by_bridge(events: Sequence[Message]) -> dict[str, list[Message]]:
    bridges: dict[str, list[Message]] = {}
    for event in events:
        if event.event in MEMBERSHIP or event.event in {"BridgeCreate", "BridgeDestroy"}:
            bridges.setdefault(event.get("BridgeUniqueid") or "", []).append(event)
    return bridges


def _in_order(
    rule: int,
    where: str,
    left: Sequence[Message],
    right: Sequence[Message],
    value: Callable[[Message], Sequence[tuple[str, str]]],
) -> Iterator[Difference]:
    """The first place where two sequences part; what comes after it would only repeat it."""
    for index, (one, other) in enumerate(zip_longest(left, right), 1):
        if one is None or other is None or value(one) != value(other):
            yield Difference(rule, f"{where} #{index}", *_pair(one, other, value))
            return


def _pair(
    one: Message | None, other: Message | None, value: Callable[[Message], Sequence[tuple[str, str]]]
) -> tuple[str | None, str | None]:
    """Both sides as text: the whole message if only one is there or the types differ, else the headers that differ."""
    if one is None or other is None or one.headers[0] != other.headers[0]:
        return _brief(one), _brief(other)
    here, there = value(one), value(other)
    kind = one.headers[0][1]
    missing, surplus = Counter(here) - Counter(there), Counter(there) - Counter(here)
    if not missing and not surplus:
        return _brief(one), _brief(other)  # the order of the headers
    return tuple(f"{kind} " + _headers(side) for side in (missing.elements(), surplus.elements()))  # type: ignore[return-value]


def _brief(message: Message | None) -> str | None:
    return None if message is None else _headers(message.headers)


def _headers(headers: object) -> str:
    return ", ".join(f"{name}: {content}" for name, content in headers)  # type: ignore[attr-defined]


def _bags(rule: int, where: str, left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[Difference]:
    missing, surplus = Counter(left) - Counter(right), Counter(right) - Counter(left)
    for one, other in zip_longest(missing.elements(), surplus.elements()):
        yield Difference(rule, where, None if one is None else str(one), None if other is None else str(other))


__all__ = ["Difference", "Run", "compare"]
