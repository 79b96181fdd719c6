"""Which id, channel name and bridge of a run plays which role of the scenario, and texts written with roles.

In: the ids chosen for the roles, then the messages in order of arrival. Out: `Roles.replace(text)`, in which two runs
of the same scenario read the same. Both the recording and its replay are read with this.
"""

import re
from collections.abc import Mapping
from functools import cache

from fake_asterisk.replay.wire import Message

SERVER_MADE = re.compile(r"^(?:.*-)?\d+\.\d+$")  # epoch.counter, after the system's name and a dash if it has one
CHANNEL_NAME = re.compile(r"(?<=-)[0-9a-f]{8}(?=$|;[12]$)")
ANY_CHANNEL = re.compile(r"\b([A-Z][A-Za-z0-9]*/[^\s,:|&<>\"]*?-)[0-9a-f]{8}(?![0-9a-zA-Z-])")
ANY_BRIDGE = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@cache
def is_channel_id_header(name: str) -> bool:
    """Uniqueid with or without prefix (Dest, LocalOne, Spyer, ...; DestUniqueId is also seen), but not the bridge's."""
    folded = name.lower()
    return folded.endswith("uniqueid") and "bridge" not in folded


class Roles:
    """The cast of one run. `ids` and `channels` map role to value; both grow as messages are observed."""

    def __init__(
        self,
        chosen: Mapping[str, str],
        *,
        made: Mapping[str, str] | None = None,
        bridges: Mapping[str, str] | None = None,
    ) -> None:
        """`chosen`: role to the id the client chose; `made`: roles of server-made ids, where they are known already."""
        self.ids: dict[str, str] = {**chosen, **(made or {})}
        self.channels: dict[str, str] = {}
        self.bridges: dict[str, str] = dict(bridges or {})
        self._role_of_id = {value: role for role, value in self.ids.items()}
        self._known_bridges = set(self.bridges.values())
        self._made_count = sum(role.startswith("made-") for role in self.ids)
        self._pattern: re.Pattern[str] | None = None
        self._table: dict[str, str] = {}

    def observe(self, message: Message) -> None:
        """Learn from the next message: server-made ids in our group, the channel names, the bridges in their order."""
        uniqueid, linkedid = message.get("Uniqueid"), message.get("Linkedid")
        if uniqueid is not None and uniqueid not in self._role_of_id and linkedid in self._role_of_id:
            self._add_made(uniqueid)
        for name, value in message.headers:
            if is_channel_id_header(name) and value in self._role_of_id:
                self._learn_name(self._role_of_id[value], message.get(name[: -len("Uniqueid")] + "Channel"))
            elif name == "BridgeUniqueid" and value and value not in self._known_bridges:
                self.bridges[f"bridge-{len(self.bridges) + 1}"] = value
                self._known_bridges.add(value)
                self._pattern = None

    def role(self, uniqueid: str) -> str | None:
        """The role whose id this is; None for a channel of somebody else."""
        return self._role_of_id.get(uniqueid)

    def replace(self, text: str) -> str:
        """`text` with every id, channel number and bridge id as `<role>`; those of somebody else become `<other>`."""
        if self._pattern is None:
            self._build()
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: self._table[match.group()], text)
        if "-" not in text:
            return text
        return ANY_BRIDGE.sub("<other>", ANY_CHANNEL.sub(r"\1<other>", text))

    def _add_made(self, uniqueid: str) -> None:
        """The other half of a Local channel is `<id>;2`, everything else counts up: made-1, made-2, ..."""
        base = self._role_of_id.get(uniqueid.removesuffix(";2"))
        if base is None:
            if not SERVER_MADE.match(uniqueid):
                return
            self._made_count += 1
        role = f"made-{self._made_count}" if base is None else f"{base};2"
        self.ids[role] = uniqueid
        self._role_of_id[uniqueid] = role
        self._pattern = None

    def _learn_name(self, role: str, channel: str | None) -> None:
        if channel and role not in self.channels and CHANNEL_NAME.search(channel):
            self.channels[role] = channel
            self._pattern = None

    def _build(self) -> None:
        self._table = {value: f"<{role}>" for role, value in self.ids.items() if value}
        for role, name in self.channels.items():
            self._table[name] = CHANNEL_NAME.sub(f"<{role}>", name)
        self._table |= {value: f"<{role}>" for role, value in self.bridges.items()}
        longest_first = sorted(self._table, key=lambda value: (-len(value), value))
        if longest_first:
            alternatives = "|".join(re.escape(value) for value in longest_first)
            self._pattern = re.compile(rf"(?<![0-9A-Za-z])(?:{alternatives})(?![0-9A-Za-z])")
