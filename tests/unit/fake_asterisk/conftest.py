"""A fake PBX on a clock that only moves when told, and clients that are connected to it in memory."""

import asyncio
import heapq
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_asterisk import FakeAsterisk, FakeConfig, lab

EPOCH = 1_800_000_000.0
INCLUDE = Path(__file__).parents[3] / "config" / "asterisk" / "extensions-cadran.conf"


def site() -> FakeConfig:
    """The lab with the include that this project ships."""
    config = lab.config()
    config.dialplan += INCLUDE.read_text("utf-8")
    return config


class Handle:
    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.call, self.arguments, self.cancelled = call, arguments, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """The part of an event loop that the fake uses, in virtual time."""

    def __init__(self) -> None:
        self._time = 1000.0
        self._heap: list[tuple[float, int, Handle]] = []
        self._count = 0

    def time(self) -> float:
        return self._time

    def call_at(self, when: float, call: Callable[..., Any], *arguments: Any) -> Handle:
        handle = Handle(call, arguments)
        self._count += 1
        heapq.heappush(self._heap, (max(when, self._time), self._count, handle))
        return handle

    def call_later(self, delay: float, call: Callable[..., Any], *arguments: Any) -> Handle:
        return self.call_at(self._time + delay, call, *arguments)

    def call_soon(self, call: Callable[..., Any], *arguments: Any) -> Handle:
        return self.call_at(self._time, call, *arguments)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self._time + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, handle = heapq.heappop(self._heap)
            self._time = max(self._time, when)
            if not handle.cancelled:
                handle.call(*handle.arguments)
        self._time = end


class Pipe(asyncio.Transport):
    """The server's transport: what it writes ends up in the client."""

    def __init__(self, client: "Client", address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.client = client
        self.state = "open"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.state == "open"
        self.client.raw += bytes(data)
        self.client.pieces.append(bytes(data))

    def close(self) -> None:
        if self.state == "open":
            self.state = "closed"
            self.client.protocol.connection_lost(None)

    def abort(self) -> None:
        if self.state == "open":
            self.state = "reset"
            self.client.protocol.connection_lost(ConnectionResetError())

    def is_closing(self) -> bool:
        return self.state != "open"


class Client:
    """An AMI client: sends headers, collects messages as lists of (name, value)."""

    def __init__(self, loop: Loop, fake: FakeAsterisk, address: str = "127.0.0.1") -> None:
        self.loop, self.fake = loop, fake
        self.raw = b""
        self.pieces: list[bytes] = []
        self.protocol: Any = fake.protocol_factory()
        self.transport = Pipe(self, address)
        self.protocol.connection_made(self.transport)
        self._actions = 0
        loop.run(0)

    def send_raw(self, data: bytes) -> None:
        self.protocol.data_received(data)
        self.loop.run(0)

    def send(self, action: str, *headers: tuple[str, str], wait: float = 0.0, **more: str) -> str:
        """Send an action; its ActionID."""
        self._actions += 1
        action_id = more.pop("ActionID", f"a{self._actions}")
        lines = [f"Action: {action}", f"ActionID: {action_id}"]
        lines += [f"{name}: {value}" for name, value in (*headers, *more.items())]
        self.send_raw(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.loop.run(wait)
        return action_id

    @property
    def messages(self) -> list[list[tuple[str, str]]]:
        text = self.raw.decode("utf-8", "surrogateescape")
        _, _, rest = text.partition("\r\n")
        found = []
        for block in rest.split("\r\n\r\n")[:-1]:
            lines = [line.partition(":") for line in block.split("\r\n")]
            found.append([(name, value[1:] if value.startswith(" ") else value) for name, _, value in lines])
        return found

    def response(self, action_id: str) -> dict[str, str]:
        """The response to an action, first header of a name first."""
        for message in self.messages:
            if message[0][0] == "Response" and ("ActionID", action_id) in message:
                return dict(reversed(message))
        raise AssertionError(f"no response to {action_id}")

    def ask(self, action: str, *headers: tuple[str, str], **more: Any) -> dict[str, str]:
        """Send, and return the response."""
        return self.response(self.send(action, *headers, **more))

    def events(self, name: str = "", **wanted: str) -> list[dict[str, str]]:
        """Events of a name whose headers have these values (`_` in a key stands for `-`)."""
        found = []
        for message in self.messages:
            headers = dict(reversed(message))
            if message[0][0] != "Event" or (name and message[0][1] != name):
                continue
            if all(headers.get(key.replace("_", "-")) == value for key, value in wanted.items()):
                found.append(headers)
        return found

    def names(self, uniqueid: str) -> list[str]:
        """Names of the events that carry this Uniqueid (or DestUniqueid), in order."""
        return [e["Event"] for e in self.events() if uniqueid in (e.get("Uniqueid"), e.get("DestUniqueid"))]

    def list(self, action: str, **more: Any) -> list[dict[str, str]]:
        """Items of a list action."""
        action_id = self.send(action, **more)
        return [e for e in self.events() if e.get("ActionID") == action_id and "EventList" not in e]

    def forget(self) -> None:
        """Look only at what comes from here on."""
        self.raw = b"\r\n"


class Rig:
    """A clock, a fake, and as many clients as wanted."""

    def __init__(self, config: FakeConfig | None = None, seed: int = 1) -> None:
        self.loop = Loop()
        self.fake = FakeAsterisk(
            config or site(),
            loop=self.loop,  # type: ignore[arg-type]
            rng=random.Random(seed),
            wall=lambda: EPOCH + self.loop.time(),
        )

    def connect(self, address: str = "127.0.0.1") -> Client:
        return Client(self.loop, self.fake, address)

    def login(self, user: str = "dialer", **more: str) -> Client:
        """A client that is logged in."""
        client = self.connect()
        assert client.ask("Login", Username=user, Secret=lab.SECRET, **more)["Response"] == "Success"
        return client

    def run(self, seconds: float) -> None:
        self.loop.run(seconds)

    def originate(self, client: Client, uniqueid: str, channel: str, *headers: tuple[str, str], **more: Any) -> None:
        """An asynchronous originate into AsyncAGI unless told otherwise; nothing is waited for."""
        if "Application" not in more and "Context" not in more:
            more |= {"Application": "AGI", "Data": "agi:async"}
        more.setdefault("CallerID", '"Campaign 1" <5551000>')
        client.send("Originate", *headers, Channel=channel, Async="true", ChannelId=uniqueid, **more)

    def parked(self, client: Client, uniqueid: str, channel: str, **more: str) -> None:
        """A leg that is answered and parked in AsyncAGI."""
        self.originate(client, uniqueid, channel, **more)
        self.run(1.0)
        assert client.events("AsyncAGIStart", Uniqueid=uniqueid)

    def agi(self, client: Client, uniqueid: str, command: str, command_id: str = "k", wait: float = 0.3) -> str:
        """Queue an AGI command, wait, and return its decoded result, or nothing yet."""
        from urllib.parse import unquote

        client.send("AGI", Channel=uniqueid, Command=command, CommandID=command_id)
        self.run(wait)
        done = client.events("AsyncAGIExec", Uniqueid=uniqueid, CommandId=command_id)
        return unquote(done[-1]["Result"]).strip() if done else ""


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    for session in list(rig.fake.sessions):
        session.abort()


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    return Rig
