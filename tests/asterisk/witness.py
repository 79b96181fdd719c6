"""What Asterisk itself wrote about each call (channel event logging), read without any help from the daemon.

For an attempt X, whose channel id the daemon chose: made = CHAN_START of X, answered = ANSWER, ended and cause =
HANGUP, talked = the time X shared a bridge with a channel of one of our agents. An originate that made no channel has
no row at all. The file is not in order of time and is read whole, after the calls.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AGENT_LEG = re.compile(r"[a-z][a-z0-9]*-ag-(\d+)-[0-9a-f]+")
CUSTOMER_LEG = re.compile(r"[a-z][a-z0-9]*-[0-9a-f]{32}")


@dataclass(frozen=True)
class Row:
    """One row of conf/cel_custom.conf's mapping; `at` in epoch seconds."""

    event: str
    at: float
    uniqueid: str
    linkedid: str
    channel: str
    userfield: str
    application: str
    data: str
    extra: dict[str, Any]


@dataclass
class Conversation:
    """A customer and an agent in one bridge."""

    agent_leg: str
    began: float
    ended: float | None = None

    @property
    def agent_id(self) -> int:
        match = AGENT_LEG.fullmatch(self.agent_leg)
        assert match is not None
        return int(match[1])

    @property
    def seconds(self) -> float:
        return (self.ended or self.began) - self.began


@dataclass
class CallSeen:
    """What Asterisk saw of one channel of ours. `number` is the user field the daemon sent with its Originate;
    `line` the endpoint's name, out of the channel's name."""

    uniqueid: str
    line: str = ""
    number: str = ""
    made: float | None = None
    answered: float | None = None
    ended: float | None = None
    cause: int | None = None
    applications: list[str] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def talked_s(self) -> float:
        return sum(conversation.seconds for conversation in self.conversations)


def rows(file: Path) -> list[Row]:
    """All rows by time. A last row that is cut short, by a kill or since it is being written now, is left out."""
    if not file.exists():
        return []
    whole, end, _ = file.read_text("utf-8", "replace").rpartition("\n")
    return sorted(_parsed(csv.reader(io.StringIO(whole + end, newline=""))), key=lambda row: row.at)


def rows_when_over(
    file: Path,
    *uniqueids: str,
    killed_at: Iterable[float] = (),
    told_of: Collection[str] = (),
    within_s: float = 40.0,
) -> list[Row]:
    """All rows by time, once the end of `uniqueids` is among them; of every channel, where none is named, `told_of`
    included even if nothing is written of those yet.

    Asterisk writes these rows on a thread of their own: AMI tells of a hangup before its row is in the file. What
    was open at an instant of `killed_at` has no end and is not waited for. After `within_s` what is there is returned:
    it is for the test to say what is missing.
    """
    deadline, last_kill = time.monotonic() + within_s, max(killed_at, default=0.0)
    while True:
        found = rows(file)
        over = {row.uniqueid for row in found if row.event == "HANGUP"}
        began = {row.uniqueid: row.at for row in found if row.event == "CHAN_START"}
        made = {uniqueid for uniqueid, at in began.items() if at > last_kill}
        if (over.issuperset(uniqueids or made) and began.keys() >= set(told_of)) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _parsed(reader: Iterable[list[str]]) -> Iterator[Row]:
    for fields in reader:
        if len(fields) != 9:
            continue
        event, at, uniqueid, linkedid, channel, userfield, application, data, extra = fields
        more = json.loads(extra) if extra else {}
        yield Row(event, float(at), uniqueid, linkedid, channel, userfield, application, data, more)


def calls(seen: list[Row], site: str = "", killed_at: Iterable[float] = ()) -> dict[str, CallSeen]:
    """Every channel of ours (of `site`, or of any) by its id: customers and agents.

    `killed_at`: instants (epoch seconds) at which Asterisk was killed. It could not write the end of what was open
    then, so such a call or conversation ended at that instant.
    """
    found: dict[str, CallSeen] = {}
    for row in seen:
        if not _is_ours(row.uniqueid, site):
            continue
        call = found.setdefault(row.uniqueid, CallSeen(row.uniqueid))
        call.number = row.userfield or call.number
        if row.event == "CHAN_START":
            call.made, call.line = row.at, row.channel.rpartition("-")[0].removeprefix("PJSIP/")
        elif row.event == "ANSWER":
            call.answered = row.at
        elif row.event == "APP_START":
            call.applications.append(row.application)
        elif row.event == "HANGUP":
            call.ended, call.cause = row.at, row.extra.get("hangupcause")
    _add_conversations(seen, found)
    for instant in sorted(killed_at):
        _end_all(found.values(), instant)
    return found


def _end_all(found: Iterable[CallSeen], at: float) -> None:
    for call in found:
        if call.made is not None and call.made < at and call.ended is None:
            call.ended = at
        for conversation in call.conversations:
            if conversation.began < at and conversation.ended is None:
                conversation.ended = at


def _is_ours(uniqueid: str, site: str) -> bool:
    ours = AGENT_LEG.fullmatch(uniqueid) or CUSTOMER_LEG.fullmatch(uniqueid)
    return ours is not None and uniqueid.startswith(f"{site}-" if site else "")


def _add_conversations(seen: list[Row], found: dict[str, CallSeen]) -> None:
    """Fill in who shared a bridge with whom. The first agent to be in a bridge with the customer is its agent."""
    inside: dict[str, dict[str, None]] = defaultdict(dict)
    for row in seen:
        bridge = row.extra.get("bridge_id", "")
        if row.event == "BRIDGE_ENTER":
            inside[bridge][row.uniqueid] = None
            _begin(inside[bridge], row.at, found)
        elif row.event == "BRIDGE_EXIT":
            inside[bridge].pop(row.uniqueid, None)
            _end(row.uniqueid, row.at, found)


def _begin(members: Iterable[str], at: float, found: dict[str, CallSeen]) -> None:
    agents = [leg for leg in members if AGENT_LEG.fullmatch(leg)]
    customers = [found[leg] for leg in members if CUSTOMER_LEG.fullmatch(leg) and leg in found]
    for customer in customers if agents else []:
        if all(one.ended is not None for one in customer.conversations):
            customer.conversations.append(Conversation(agents[0], at))


def _end(leaver: str, at: float, found: dict[str, CallSeen]) -> None:
    for call in found.values():
        for conversation in call.conversations:
            if conversation.ended is None and leaver in (call.uniqueid, conversation.agent_leg):
                conversation.ended = at


def most_at_once(customers: Iterable[CallSeen], line: str) -> int:
    """The greatest number of customers' channels that existed on `line` at the same instant."""
    edges = []
    for call in customers:
        if call.line == line and call.made is not None:
            edges.append((call.made, 1))
            edges.append((call.ended if call.ended is not None else float("inf"), -1))
    now = most = 0
    for _, step in sorted(edges):  # at equal times ends (-1) come first
        now += step
        most = max(most, now)
    return most
