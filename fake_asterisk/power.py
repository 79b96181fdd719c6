"""The server as a process: its port, boot, FullyBooted, stops of every kind, console commands."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import fake_asterisk.actions.channels
import fake_asterisk.actions.listing
import fake_asterisk.actions.originating
import fake_asterisk.actions.recording
import fake_asterisk.actions.rooms
import fake_asterisk.actions.session
import fake_asterisk.actions.system
import fake_asterisk.apps.agi
import fake_asterisk.apps.basic
import fake_asterisk.apps.bridging
import fake_asterisk.apps.conference
import fake_asterisk.apps.spying
import fake_asterisk.ari.stasis  # noqa: F401 - the modules register themselves
from fake_asterisk import rights
from fake_asterisk.actions.registry import ACTIONS, Action
from fake_asterisk.channel import SOFTHANGUP_SHUTDOWN

if TYPE_CHECKING:
    from fake_asterisk.message import Message
    from fake_asterisk.pbx import FakeAsterisk
    from fake_asterisk.session import Session

_STOP_EVENT_S, _STOP_CLOSE_S = 1.1, 1.2  # from the stop to Event: Shutdown, and to the end of the connection


Factory = Callable[[], asyncio.BaseProtocol]


class Power:
    """Whether the server runs, listens, is fully booted or shutting down."""

    def __init__(self, pbx: "FakeAsterisk", *, booted: bool) -> None:
        self._pbx = pbx
        self.actions: dict[str, Action] = dict(ACTIONS)
        self.running = True
        self.port_open = True
        self.booted = booted
        self.refuses_actions = False
        self._addresses: list[tuple[str, int, Factory]] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_waiter: asyncio.TimerHandle | None = None

        # ---- the port
        self._stopping: list[asyncio.TimerHandle] = []

    async def listen(self, host: str, port: int, factory: Factory | None = None) -> int:
        """Open a port (None: AMI's); the port in use."""
        loop = asyncio.get_running_loop()
        factory = factory or self._pbx.protocol_factory
        server = await loop.create_server(factory, host, port, reuse_address=True)
        self._servers.append(server)
        number = int(server.sockets[0].getsockname()[1])
        self._addresses.append((host, number, factory))
        return number

    async def close(self) -> None:
        """Close the port for good."""
        self._addresses.clear()
        self._close_port()
        for task in list(self._tasks):
            task.cancel()

    def _close_port(self) -> None:
        self.port_open = False
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _reopen(self) -> None:
        addresses, self._addresses = self._addresses, []
        for host, port, factory in addresses:
            await self.listen(host, port, factory)

    def accepts(self, address: str) -> bool:
        """Whether a connection from there gets a greeting."""
        permit = self._pbx.config.permit
        return self.port_open and (not permit or address in permit)

    # ---- boot

    def boot(self) -> None:
        """Start (again): after a moment the port opens, FullyBooted comes later."""
        pbx = self._pbx
        self._forget_stop()
        for session in list(pbx.sessions):
            session.abort()
        pbx.ari.reset()
        pbx.forget_everything()
        self.running, self.booted, self.refuses_actions = True, False, False
        pbx.loop.call_later(pbx.config.boot_port_s, self._open_port)

    def _open_port(self) -> None:
        self.port_open = True
        if self._addresses:
            task = self._pbx.loop.create_task(self._reopen())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._pbx.loop.call_later(self._pbx.config.boot_ready_s, self._ready)

    def _ready(self) -> None:
        pbx = self._pbx
        for mask, name, body in pbx.config.boot_events:
            pbx.emit(mask, name, body)
        self.booted = True
        uptime = max(1, int(pbx.now() - pbx.started_at))
        body = f"Status: Fully Booted\r\nUptime: {uptime}\r\nLastReload: {uptime}\r\n"
        pbx.emit(rights.SYSTEM, "FullyBooted", body)

    def greet(self, session: "Session") -> None:
        """After a login: FullyBooted for those who may read class system, if the boot is over."""
        if not self.booted or not session.read_mask() & rights.SYSTEM:
            return
        uptime = int(self._pbx.now() - self._pbx.started_at)
        text = f"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: {uptime}\r\nLastReload: {uptime}\r\n"
        session.send_event("FullyBooted", f"{text}Status: Fully Booted\r\n\r\n".encode())

    # ---- stops

    def stop_now(self, *, restart: bool = False) -> None:
        """`core stop now`: hang up all, tell, close."""
        pbx = self._pbx
        pbx.hangup_all(SOFTHANGUP_SHUTDOWN)
        self._forget_stop()
        self._stopping = [
            pbx.loop.call_later(_STOP_EVENT_S, self._tell_shutdown, restart),
            pbx.loop.call_later(_STOP_CLOSE_S, self._gone, restart),
        ]

    @property
    def stays(self) -> bool:
        """It runs, and no stop is under way that can't be called off any more."""
        return self.running and not self._stopping

    def _forget_stop(self) -> None:
        """A stop under way is overtaken: by a kill, or by a start."""
        for handle in self._stopping:
            handle.cancel()
        self._stopping = []

    def _tell_shutdown(self, restart: bool) -> None:
        body = f"Shutdown: Cleanly\r\nRestart: {'True' if restart else 'False'}\r\n"
        self._pbx.emit(rights.SYSTEM, "Shutdown", body)

    def _gone(self, restart: bool) -> None:
        self._close_port()
        self.running = False
        for session in list(self._pbx.sessions):
            session.close()
        self._pbx.ari.reset()
        self._pbx.forget_everything()
        if restart:
            self.boot()

    def stop_gracefully(self) -> None:
        """Refuse every action until the last call is over, then stop."""
        self.refuses_actions = True
        self._watch_calls()

    def _watch_calls(self) -> None:
        self._stop_waiter = None
        if not self.refuses_actions:
            return
        if self._pbx.channels:
            self._stop_waiter = self._pbx.loop.call_later(0.5, self._watch_calls)
        else:
            self.stop_now()

    def abort_shutdown(self) -> None:
        """Accept actions again."""
        self.refuses_actions = False
        if self._stop_waiter is not None:
            self._stop_waiter.cancel()
            self._stop_waiter = None

    def kill(self) -> None:
        """As by SIGKILL: every connection is reset, nobody is told anything, all calls are lost."""
        self._forget_stop()
        self._close_port()
        self.running = False
        for session in list(self._pbx.sessions):
            session.abort()
        self._pbx.ari.reset()
        self._pbx.forget_everything()

    def command(self, text: str) -> bool:
        """A command from outside AMI: the four of the scenario files, `core restart now`, `boot`, `dialplan reload`.
        False: unknown."""
        commands = {
            "core stop now": self.stop_now,
            "core stop gracefully": self.stop_gracefully,
            "core abort shutdown": self.abort_shutdown,
            "core restart now": lambda: self.stop_now(restart=True),
            "kill": self.kill,
            "boot": self._boot_fresh,
            "dialplan reload": self._pbx.dialplan.reload,
        }
        call = commands.get(text.strip().lower())
        if call is None:
            return False
        call()
        return True

    def _boot_fresh(self) -> None:
        if self.running:
            self.kill()
        self.boot()

    # ---- console

    def console(self, session: "Session", message: "Message", line: str) -> tuple[bool, list[str]] | None:
        """Whether the command is known, and its output; None if it answers by itself."""
        pbx = self._pbx
        words = " ".join(line.lower().split())
        if words == "core show uptime":
            text = _uptime(int(pbx.now() - pbx.started_at))
            return True, [f"System uptime: {text}", f"Last reload: {text}"]
        if words == "core show version":
            return True, [f"Asterisk {pbx.config.version} built by the maintainers"]
        if words.startswith("core show channels"):
            return True, [f"{len(pbx.channels)} active channels", f"{len(pbx.channels)} active calls"]
        if words in ("core reload", "module reload", "manager reload", "dialplan reload"):
            if words in ("core reload", "module reload", "dialplan reload"):
                pbx.dialplan.reload()
            return True, []
        if words in ("core stop now", "core restart now", "core stop gracefully", "core abort shutdown"):
            self.command(words)
            return True, []
        return False, [f"No such command '{line}' (type 'core show help {line}' for other possible commands)"]


def _uptime(seconds: int) -> str:
    parts: list[str] = []
    for name, size in (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count or (name == "second" and not parts):
            parts.append(f"{count} {name}{'s' if count != 1 else ''}")
    return ", ".join(parts)
