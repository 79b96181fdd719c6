"""A tiny AMI server that does what a test tells it: for what no sane PBX does, and for the first bytes of a session."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Mapping

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
COMMANDS = (
    *("Originate", "AGI", "Hangup", "Status", "BridgeList", "AbsoluteTimeout", "MixMonitor"),
    *("Bridge", "Setvar", "Redirect", "Getvar"),
)

Action = dict[str, list[str]]
Answer = Callable[["Session", Action], Awaitable[None]]


class Session:
    """One connection, seen from the PBX."""

    def __init__(self, server: ScriptedAmi, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.actions: list[Action] = []
        self.closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def respond(self, action: Action, response: str = "Success", **headers: str) -> None:
        lines = [f"Response: {response}", f"ActionID: {action['actionid'][0]}"]
        self.write(("\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items())]) + "\r\n\r\n").encode())

    def listing(self, action: Action, event: str, items: list[Mapping[str, str]]) -> None:
        self.respond(action, EventList="start", Message="follows")
        action_id = action["actionid"][0]
        for item in items:
            self.event(event, **item, ActionID=action_id)
        self.event(f"{event}Complete", ActionID=action_id, EventList="Complete", ListItems=str(len(items)))

    def event(self, name: str, /, **headers: str) -> None:
        self.write(("\r\n".join([f"Event: {name}", *(f"{k}: {v}" for k, v in headers.items())]) + "\r\n\r\n").encode())

    def cut(self) -> None:
        """The connection is gone at once, without a goodbye."""
        self.writer.transport.abort()


class ScriptedAmi:
    """`answers[name]` overrides what an action (lower case) gets; others get what a healthy Asterisk says. `cadran` is
    the originate by which the driver asks whether it hears of calls."""

    def __init__(self, secret: str = "s3cret", tls: ssl.SSLContext | None = None) -> None:
        self.secret, self._tls = secret, tls
        self.banner = BANNER
        self.answers: dict[str, Answer] = {}
        self.commands = list(COMMANDS)
        self.sessions: list[Session] = []
        self.connected = asyncio.Queue[Session]()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.tcp_port = 0

    async def __aenter__(self) -> ScriptedAmi:
        await self.listen()
        return self

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.tcp_port, ssl=self._tls)
        self.tcp_port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nothing listens any more, and every connection is cut."""
        assert self._server is not None
        self._server.close()
        for session in self.sessions:
            session.cut()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def actions(self, name: str) -> list[Action]:
        """All actions of this name received, over all sessions, in order."""
        return [a for session in self.sessions for a in session.actions if a["action"][0].lower() == name.lower()]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.sessions.append(session)
        try:
            session.write(self.banner)
            self.connected.put_nowait(session)
            while True:
                action = parse((await reader.readuntil(b"\r\n\r\n")).decode())
                if action.get("channel", [""])[0].startswith("Cadran/"):  # asked at each login, of no interest to tests
                    await self.answers.get("cadran", asked)(session, action)
                    continue
                session.actions.append(action)
                await self.answers.get(action["action"][0].lower(), healthy)(session, action)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            session.closed.set()
            writer.close()


def parse(text: str) -> Action:
    """Header name (lower case) → its values."""
    action: Action = {}
    for line in text.strip().split("\r\n"):
        name, _, value = line.partition(": ")
        action.setdefault(name.lower(), []).append(value)
    return action


async def healthy(session: Session, action: Action) -> None:
    """What a healthy Asterisk answers to the actions of a quiet session."""
    match action["action"][0].lower():
        case "challenge":
            session.respond(action, Challenge="1234567")
        case "login":
            key = hashlib.md5(f"1234567{session.server.secret}".encode()).hexdigest()
            if action.get("key") == [key] or action.get("secret") == [session.server.secret]:
                session.respond(action, Message="Authentication accepted")
                session.event("FullyBooted", Privilege="system,all", Uptime="600", Status="Fully Booted")
            else:
                session.respond(action, "Error", Message="Authentication failed")
                session.writer.close()
        case "events":
            session.respond(action, Events="On")
        case "listcommands":
            session.respond(action, **dict.fromkeys(session.server.commands, "does it (Priv: all)"))
        case "getvar":
            session.respond(action, Variable=action["variable"][0], Value="0")
        case "status" | "bridgelist" | "devicestatelist" as name:
            names = {"status": "Status", "bridgelist": "BridgeListItem", "devicestatelist": "DeviceStateChange"}
            session.listing(action, names[name], [])
        case "ping":
            session.respond(action, Ping="Pong")
        case "originate":
            session.respond(action, Message="Originate successfully queued")
        case _:
            session.respond(action, Message="done")


async def asked(session: Session, action: Action) -> None:
    """An originate by a technology that does not exist comes to nothing, and says so."""
    session.respond(action, Message="Originate successfully queued")
    session.event(
        "OriginateResponse", Privilege="call,all", ActionID=action["actionid"][0], Response="Failure", Reason="0"
    )


async def silent(session: Session, action: Action) -> None:
    """No answer, ever."""
