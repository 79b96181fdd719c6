"""Ways to change a received stream: some must be noticed by the comparison, others must not.

A stream is handled as blocks: the greeting line, then one block of header lines (bytes) a message.
"""

import random
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fake_asterisk.replay.compare import SNAPSHOT, SNAPSHOT_TYPES, comparable, sequence_of
from fake_asterisk.replay.folder import Recording
from fake_asterisk.replay.laws import channel_ids
from fake_asterisk.replay.normalise import left_out, normalise
from fake_asterisk.replay.wire import Message, parse_header

Block = list[bytes]


@dataclass
class Blocks:
    """A recording cut into blocks, with what the comparison thinks of each."""

    recording: Recording
    greeting: bytes = b""
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.greeting, _, rest = self.recording.data.partition(b"\r\n")
        self.blocks = [block.split(b"\r\n") for block in rest.split(b"\r\n\r\n") if block]
        self.roles = self.recording.scenario.recorded_roles()
        self.messages = [Message(tuple(parse_header(line) for line in block)) for block in self.blocks]
        for message in self.messages:
            self.roles.observe(message)
        booted = self.recording.scenario.boots
        self.compared = [not left_out(message, self.roles, booted=booted) for message in self.messages]

    def data(self) -> bytes:
        return b"\r\n".join([self.greeting, *(line for block in self.blocks for line in [*block, b""])]) + b"\r\n"

    def kept(self, wanted: Callable[[Message], bool] = lambda message: True) -> list[int]:
        """Numbers of the blocks that are compared and that are `wanted`."""
        pairs = zip(self.messages, self.compared, strict=True)
        return [index for index, (message, compared) in enumerate(pairs) if compared and wanted(message)]

    def value_counts(self, index: int) -> list[int]:
        """Numbers of the lines of a block whose value is compared as it is, not only for its form or presence."""
        message = self.messages[index]
        seen = normalise(message, self.roles)
        if message.event == "VarSet":
            return [n for n, (name, _) in enumerate(message.headers) if name in {"Variable", "Privilege"}]
        lenient = message.event is not None and message.get("EventList") is None and not message.get("ActionID")
        stars = {name for name, value in comparable(seen) if value == "*"} if lenient else set()
        return [
            number
            for number, ((name, value), (_, raw)) in enumerate(zip(seen.headers, message.headers, strict=True))
            if number and raw and not value.startswith("<") and name not in stars and not loose(message, name)
        ]


def loose(message: Message, name: str) -> bool:
    """Header values in a message with an ActionID that is no list event: the snapshot fields of OriginateResponse."""
    return message.event == "OriginateResponse" and SNAPSHOT.fullmatch(name) is not None


Break = Callable[[Blocks, random.Random], bool]
"""Changes the blocks; False if there is nothing to change in this recording."""


def _choose(rng: random.Random, indices: list[int]) -> int | None:
    return rng.choice(indices) if indices else None


def drop_header(blocks: Blocks, rng: random.Random) -> bool:
    index = rng.choice(blocks.kept())
    del blocks.blocks[index][rng.randrange(len(blocks.blocks[index]))]
    return True


def rename_header(blocks: Blocks, rng: random.Random) -> bool:
    block = blocks.blocks[rng.choice(blocks.kept())]
    number = rng.randrange(len(block))
    block[number] = rng.choice([b"X-", b"x"]) + block[number]
    return True


def lower_case_header(blocks: Blocks, rng: random.Random) -> bool:
    block = blocks.blocks[rng.choice(blocks.kept())]
    number = rng.randrange(len(block))
    name, _, value = block[number].partition(b":")
    block[number] = name.lower() + b":" + value
    return name.lower() != name


def lose_the_blank(blocks: Blocks, rng: random.Random) -> bool:
    block = blocks.blocks[rng.choice(blocks.kept())]
    number = rng.randrange(len(block))
    block[number] = block[number].replace(b": ", b":", 1)
    return True


def add_header(blocks: Blocks, rng: random.Random) -> bool:
    block = blocks.blocks[rng.choice(blocks.kept())]
    block.insert(rng.randrange(1, len(block) + 1), rng.choice([b"Extra: 1", block[-1], block[0]]))
    return True


def change_value(blocks: Blocks, rng: random.Random) -> bool:
    index = rng.choice(blocks.kept())
    if not (lines := blocks.value_counts(index)):
        return False
    number = rng.choice(lines)
    blocks.blocks[index][number] += b"x"
    return True


def lower_case_value(blocks: Blocks, rng: random.Random) -> bool:
    index = rng.choice(blocks.kept())
    block = blocks.blocks[index]
    lines = [n for n in blocks.value_counts(index) if lower(block[n]) != block[n]]
    if not lines:
        return False
    number = rng.choice(lines)
    block[number] = lower(block[number])
    return True


def lower(line: bytes) -> bytes:
    name, _, value = line.partition(b": ")
    return name + b": " + value.lower()


def spoil_a_form(blocks: Blocks, rng: random.Random) -> bool:
    index = _choose(rng, blocks.kept(lambda message: message.get("Timestamp") is not None))
    if index is None:
        return False
    block = blocks.blocks[index]
    number = next(n for n, line in enumerate(block) if line.startswith(b"Timestamp: "))
    block[number] = block[number][:-1]
    return True


def drop_message(blocks: Blocks, rng: random.Random) -> bool:
    del blocks.blocks[rng.choice(blocks.kept())]
    return True


def double_message(blocks: Blocks, rng: random.Random) -> bool:
    index = rng.choice(blocks.kept())
    blocks.blocks.insert(index, list(blocks.blocks[index]))
    return True


def reorder_in_a_sequence(blocks: Blocks, rng: random.Random) -> bool:
    """Two different messages of one sequence of one channel change places."""
    plain = blocks.kept(lambda m: m.event is not None and m.event != "VarSet" and m.get("ActionID") is None)
    seen = {index: normalise(blocks.messages[index], blocks.roles) for index in plain}
    last: dict[tuple[str, str], int] = {}
    pairs = []
    for index in plain:
        before = last.get(sequence_of(seen[index]))
        if before is not None and comparable(seen[before]) != comparable(seen[index]):
            pairs.append((before, index))
        last[sequence_of(seen[index])] = index
    if not pairs:
        return False
    one, other = rng.choice(pairs)
    blocks.blocks[one], blocks.blocks[other] = blocks.blocks[other], blocks.blocks[one]
    return True


def reorder_responses(blocks: Blocks, rng: random.Random) -> bool:
    responses = blocks.kept(lambda message: message.is_response)
    if len(responses) < 2:
        return False
    number = rng.randrange(len(responses) - 1)
    one, other = responses[number], responses[number + 1]
    if blocks.blocks[one] == blocks.blocks[other]:
        return False
    blocks.blocks[one], blocks.blocks[other] = blocks.blocks[other], blocks.blocks[one]
    return True


def lose_action_id(blocks: Blocks, rng: random.Random) -> bool:
    index = _choose(rng, blocks.kept(lambda message: message.get("ActionID") is not None))
    if index is None:
        return False
    blocks.blocks[index] = [line for line in blocks.blocks[index] if not line.startswith(b"ActionID: ")]
    return True


def wrong_id(blocks: Blocks, rng: random.Random) -> bool:
    """One event says it is about another channel: one that is nobody's, or another of ours."""
    index = _choose(rng, blocks.kept(lambda message: bool(channel_ids(message))))
    if index is None:
        return False
    block = blocks.blocks[index]
    number = rng.choice(
        [n for n, line in enumerate(block) if re.match(rb"\w*Uniqueid: ", line) and b"Bridge" not in line]
    )
    name, _, value = block[number].partition(b": ")
    ours = [identity.encode() for identity in blocks.roles.ids.values() if identity.encode() != value]
    block[number] = name + b": " + rng.choice([*ours, b"1700000000.1"])
    return True


def wrong_bridge(blocks: Blocks, rng: random.Random) -> bool:
    index = _choose(rng, blocks.kept(lambda message: message.event in {"BridgeEnter", "BridgeLeave"}))
    if index is None:
        return False
    blocks.blocks[index] = [
        re.sub(rb"^BridgeUniqueid: .*", b"BridgeUniqueid: 00000000-0000-0000-0000-000000000000", line)
        for line in blocks.blocks[index]
    ]
    return True


def plain_env(blocks: Blocks, rng: random.Random) -> bool:
    """What must be URL-encoded is sent plain."""
    index = _choose(rng, blocks.kept(lambda message: message.event in {"AsyncAGIStart", "AsyncAGIExec"}))
    if index is None:
        return False
    blocks.blocks[index] = [
        urllib.parse.unquote_to_bytes(line).replace(b"\n", b" ") if line.startswith((b"Env: ", b"Result: ")) else line
        for line in blocks.blocks[index]
    ]
    return True


def another_greeting(blocks: Blocks, rng: random.Random) -> bool:
    blocks.greeting = blocks.greeting.replace(b"11.0.0", b"10.0.0")
    return True


BREAKS: Mapping[str, Break] = {
    function.__name__: function
    for function in (
        drop_header,
        rename_header,
        lower_case_header,
        lose_the_blank,
        add_header,
        change_value,
        lower_case_value,
        spoil_a_form,
        drop_message,
        double_message,
        reorder_in_a_sequence,
        reorder_responses,
        lose_action_id,
        wrong_id,
        wrong_bridge,
        plain_env,
        another_greeting,
    )
}


def bare_lf(data: bytes, rng: random.Random) -> bytes:
    ends = [match.start() for match in re.finditer(rb"\r\n", data)]
    at = rng.choice(ends)
    return data[:at] + data[at + 1 :]


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: -rng.randrange(1, min(len(data), 400))]


def shuffled(blocks: Blocks, rng: random.Random, swaps: int = 400) -> bytes:
    """Neighbours about different channels, bridges and devices change places, as other threads of the server do it."""
    order = list(range(len(blocks.blocks)))
    about = [_subjects(blocks, index) for index in order]
    for _ in range(swaps):
        at = rng.randrange(len(order) - 1) if len(order) > 1 else 0
        pair = order[at : at + 2]
        if len(pair) == 2 and not about[pair[0]] & about[pair[1]]:
            order[at : at + 2] = reversed(pair)
    blocks.blocks = [blocks.blocks[index] for index in order]
    return blocks.data()


def _subjects(blocks: Blocks, index: int) -> set[str]:
    """What a message is about; two messages without a common subject may come in either order."""
    message = blocks.messages[index]
    if message.event is None or (message.get("ActionID") and message.event != "OriginateResponse"):
        return {"response"}  # responses and lists keep their order
    if message.event in {"FullyBooted", "Shutdown", "UserEvent"}:
        return {"session", *channel_ids(message)}
    named = [
        *channel_ids(message),
        *(message.get(name) or "" for name in ("BridgeUniqueid", "Device", "Peer", "Exten")),
    ]
    if message.event in {"MessageWaiting", "ExtensionStatus", "ConfbridgeStart", "ConfbridgeEnd"}:
        named += [message.get("Mailbox") or "", message.get("Conference") or ""]
    return {name for name in named if name and name != "s"}


def renamed(blocks: Blocks, rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """The stream with other ids, channel counters, bridge ids and times, and the ids the client chose."""
    table: dict[bytes, bytes] = {}
    chosen: dict[str, str] = {}
    entries = blocks.recording.scenario.ids
    client = [role for role, entry in entries.items() if entry["chosen_by"] == "client"]
    fresh = blocks.recording.scenario.new_ids(f"{rng.randrange(16**8):08x}z")
    for role, identity in blocks.roles.ids.items():
        base = role.removesuffix(";2")
        if role in client:
            chosen[role] = fresh[role]
            table[identity.encode()] = fresh[role].encode()
        else:
            made = f"{fresh[base]};2" if base in fresh else f"17{rng.randrange(10**8):08d}.{rng.randrange(10**5)}"
            table[identity.encode()] = made.encode()
    for name in blocks.roles.channels.values():
        counter = re.findall(r"-([0-9a-f]{8})(?:;[12])?$", name)[0].encode()
        table.setdefault(counter, f"{rng.randrange(16**8):08x}".encode())
    for bridge in blocks.roles.bridges.values():
        digits = f"{rng.randrange(16**32):032x}"
        table[bridge.encode()] = "-".join(
            (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        ).encode()
    longest_first = sorted(table, key=lambda key: (-len(key), key))
    data = blocks.data()
    if longest_first:
        pattern = (
            rb"(?:(?<=%[0-9A-F]{2})|(?<![0-9A-Za-z]))(?:"
            + b"|".join(map(re.escape, longest_first))
            + rb")(?![0-9A-Za-z])"
        )
        encoded = {urllib.parse.quote(key.decode()).encode(): value for key, value in table.items()}
        data = re.sub(pattern, lambda match: table[match.group()], data)
        for key, value in encoded.items():
            if key not in table:
                data = data.replace(key, urllib.parse.quote(value.decode()).encode())
    return re.sub(rb"Timestamp: \d{10}", b"Timestamp: 1700000000", data), chosen


__all__ = ["BREAKS", "SNAPSHOT_TYPES", "Blocks", "bare_lf", "cut_short", "renamed", "shuffled"]
