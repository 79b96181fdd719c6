"""Does the steps of a scenario to a server, in the rhythm of the recording, and returns what `main` received.

In: a scenario, a server (`Server`: where it listens and how it is commanded), secrets. Out: `Outcome`. Every wait has a
bound taken from the recording, so a server that says nothing costs seconds and is reported, not waited for.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_asterisk.replay.roles import Roles
from fake_asterisk.replay.scenario import Scenario, ScenarioError, Step, Unresolved, resolve
from fake_asterisk.replay.session import Session
from fake_asterisk.replay.wire import LINE_END, encode

PATIENCE_S = 6.0  # beyond the recorded distance; the slowest answer seen is the 1 s of a failed login
QUIET_S = 0.8
QUIET_MAX_S = 10.0
BOOT_S = 15.0  # a real server opens its port 0.5 to 1.3 s after its start
CONNECT_S = 2.0


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server(Protocol):
    """What a replay needs of a server: connections, and a console outside AMI."""

    async def connect(self) -> Connection:
        """One more connection. Raises OSError while the server does not listen."""

    async def command(self, text: str) -> None:
        """One of scenario.SERVER_COMMANDS; returns when it is given, not when it has had its effect."""


@dataclass(slots=True)
class Outcome:
    """What main received, the ids of this run, and what could not be done (empty if all steps were)."""

    roles: Roles
    received: bytes = b""
    problems: list[str] = field(default_factory=list)
    done_at: list[float] = field(default_factory=list)
    """Per step done: loop seconds."""


class Replay:
    """One run of one scenario. `token` makes its ids new."""

    def __init__(self, scenario: Scenario, server: Server, secrets: Mapping[str, str], token: str) -> None:
        self._scenario, self._server, self._secrets = scenario, server, secrets
        self._ids = scenario.new_ids(token)
        self._sessions: dict[str, Session] = {}
        self._all_sessions: list[Session] = []
        self._previous_at = 0.0
        self._booting = False

    async def run(self) -> Outcome:
        """Never raises for what the server does: that is in `problems`, and the stream shows the rest."""
        outcome = Outcome(Roles(self._ids))
        self._previous_at = asyncio.get_running_loop().time()
        before = self._scenario.steps[0].at
        limit = self._scenario.duration_s * 2 + BOOT_S + QUIET_MAX_S + PATIENCE_S
        try:
            async with asyncio.timeout(limit):
                for index, step in enumerate(self._scenario.steps):
                    try:
                        await self._do(step, before)
                    except (OSError, TimeoutError, Unresolved, ScenarioError) as error:
                        outcome.problems.append(f"step {index} ({step.kind}): {error or type(error).__name__}")
                        break
                    self._previous_at = asyncio.get_running_loop().time()
                    outcome.done_at.append(self._previous_at)
                    before = step.at
        except TimeoutError:
            outcome.problems.append(f"not done after {limit:.0f} s")
        finally:
            if main := self._main():
                outcome.received = bytes(main.received)
            for session in self._all_sessions:
                with contextlib.suppress(OSError):
                    await session.drop("close")
        return outcome

    def _main(self) -> Session | None:
        return self._sessions.get("main")

    async def _do(self, step: Step, before: float) -> None:
        patience = max(step.at - before, 0.0) + PATIENCE_S
        await self._wait(step, before, patience)
        session = self._sessions.get(step.session)
        if step.kind == "connect":
            await self._connect(step.session)
        elif step.kind == "server":
            self._booting = step.content == "boot"
            await self._server.command(step.content)
        elif session is None:
            raise ScenarioError(f"session {step.session} is not connected")
        elif step.kind == "drop":
            if step.session == "main":
                await self._until_quiet(session)
            await session.drop(step.content)
        else:
            await self._send(session, step, patience)

    async def _wait(self, step: Step, before: float, patience: float) -> None:
        loop = asyncio.get_running_loop()
        start = self._previous_at
        if step.after is not None:
            start = max(start, await self._received(step, patience))
        gap = step.gap
        if gap is None:
            gap = 0.0 if step.kind == "connect" and self._booting else max(step.at - before, 0.0)
        await asyncio.sleep(max(start + gap - loop.time(), 0.0))

    async def _received(self, step: Step, patience: float) -> float:
        """When the message the step goes by was received."""
        session = self._sessions.get(step.session) or self._main()
        if session is None or step.after is None:
            raise ScenarioError(f"session {step.session} is not connected")
        headers = {name: await self._text(value, session, patience) for name, value in step.after.items()}
        give_up_at = asyncio.get_running_loop().time() + patience
        while True:
            if (entry := session.take(headers)) is not None:
                return entry.at
            if session.closed or asyncio.get_running_loop().time() >= give_up_at:
                awaited = ", ".join(f"{name}: {value}" for name, value in headers.items())
                raise TimeoutError(f"never received {awaited}")
            await session.changed(give_up_at)

    async def _text(self, value: Any, session: Session, patience: float) -> str:
        """A value of the scenario as text, as soon as its placeholders have values."""
        give_up_at = asyncio.get_running_loop().time() + patience
        while True:
            others = [other.roles for other in reversed(self._all_sessions) if other is not session]
            try:
                return resolve(value, [session.roles, *others], self._secrets, session.challenge)
            except Unresolved as missing:
                if session.closed or asyncio.get_running_loop().time() >= give_up_at:
                    raise Unresolved(f"never learned {missing}") from None
                await session.changed(give_up_at)

    async def _connect(self, name: str) -> None:
        wait_s = BOOT_S if self._booting else CONNECT_S
        session = await Session.connect(self._server.connect, Roles(self._ids), wait_s)
        self._sessions[name] = session
        self._all_sessions.append(session)

    async def _send(self, session: Session, step: Step, patience: float) -> None:
        if step.kind == "raw_latin1":
            await session.send(step.content.encode("latin-1"))
            return
        headers = [
            (name, one)
            for name, value in step.content.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        lines = [encode(f"{name}: {await self._text(value, session, patience)}") for name, value in headers]
        await session.send(LINE_END.join([*lines, b"", b""]))

    async def _until_quiet(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + QUIET_MAX_S
        while not session.closed and loop.time() < give_up_at:
            silent_until = session.last_byte_at + QUIET_S
            if loop.time() >= silent_until:
                return
            await session.changed(min(silent_until, give_up_at))


async def hang_up_leftovers(server: Server, user: str, secret: str, ids: Iterable[str]) -> None:
    """Ends the channels a scenario left on a server that goes on living, so that the next one finds it idle."""
    session = await Session.connect(server.connect, Roles({}), CONNECT_S)
    try:
        login = {"Action": "Login", "Username": user, "Secret": secret, "Events": "off"}
        actions = [login, *({"Action": "Hangup", "Channel": channel} for channel in ids), {"Action": "Logoff"}]
        for action in actions:
            lines = [encode(f"{name}: {value}") for name, value in action.items()]
            await session.send(LINE_END.join([*lines, b"", b""]))
        until = asyncio.get_running_loop().time() + CONNECT_S
        while not session.closed and asyncio.get_running_loop().time() < until:
            await session.changed(until)
    except ConnectionError:
        pass  # a server that is stopping has no channels left
    finally:
        await session.drop("close")
