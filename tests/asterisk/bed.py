"""A real Asterisk of our own: settings, state, logs and ports used by nobody else, gone at the end.

Everything it writes is in one folder inside the root; several beds can run side by side. It runs in the foreground as
our child, so it needs no service manager and never outlives the test run.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.asterisk import sounds
from tests.asterisk.root import AsteriskRoot

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent.parent / "config" / "asterisk"
SECRET = "bed-secret"
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0
CROWD = tuple(str(extension) for extension in range(1101, 1161))
PHONES = ("1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1010", "1011", *CROWD)
"""Extensions with a phone; what each does is in far_ends.PHONE_HABITS. 1009 exists but never registered."""
_PHONE_CONF = """
[{name}](phone)
aors = {name}
callerid = "Agent {name}" <{name}>
[{name}]
type = aor
contact = sip:{name}@127.0.0.1:@PHONES_PORT@
"""
HUSK = "Surrogate/"
"""What AMI Bridge leaves of a channel it lifts out of the dialplan, for an instant. On a very busy machine Asterisk
22.10 forgets about one in a thousand: no media, no line, and nothing ends it. Seen with a bare AMI client as well."""
PR_SET_PDEATHSIG = 1


_offered = itertools.count(os.getpid() * 97)


def free_ports(count: int, kind: socket.SocketKind) -> list[int]:
    """`count` different ports of 127.0.0.1 nobody has now, each named once. All lie below those the kernel hands out:
    who connects somewhere can't be given one before its owner binds it, or while its owner is started again."""
    found: list[int] = []
    while len(found) < count:
        port = 2_100 + next(_offered) % 7_000
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def die_with_parent() -> None:
    """Run in a child before exec: the kernel kills it should the test run itself be killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(what: str, ready: Callable[[], bool], timeout_s: float, pause_s: float = 0.05) -> None:
    """Return once `ready()`; TimeoutError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)


@dataclass(frozen=True)
class Ports:
    """What listens where on 127.0.0.1. The far ends bind theirs (far_ends.py); nobody binds `dead`."""

    ami: int
    http: int
    sip: int
    line_a: int
    line_b: int
    phones: int
    dead: int
    rtp_start: int

    @classmethod
    def pick(cls) -> Ports:
        ami, http = free_ports(2, socket.SOCK_STREAM)
        sip, line_a, line_b, phones, dead = free_ports(5, socket.SOCK_DGRAM)
        # Below the range the kernel hands out; 800 ports carry 400 legs. Asterisk passes over ports in use.
        return cls(ami, http, sip, line_a, line_b, phones, dead, 10_000 + (os.getpid() % 10) * 800)


@dataclass
class AsteriskBed:
    """One Asterisk with its settings rendered for `ports`. `start()` before use, `close()` at the end."""

    root: AsteriskRoot
    ports: Ports = field(default_factory=Ports.pick)
    extra_conf: dict[str, str] = field(default_factory=dict)
    killed_at: list[float] = field(default_factory=list)
    """Instants of `kill`, epoch seconds: Asterisk's own event log ends there without a word."""
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        where = self.root.outside("/tmp")
        where.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="cadran-bed-", dir=where))
        self.inside = "/" + str(self.folder.relative_to(self.root.path))
        self._lay_out()
        self._render()

    # -- files ----------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        for name in ("etc", "lib", "data", "spool", "run", "log/cel-custom", "cache", "data/moh", "data/sounds/en"):
            (self.folder / name).mkdir(parents=True)
        for name in ("monitor", "recording", "outgoing", "tmp"):
            (self.folder / "spool" / name).mkdir()
        for entry in self.root.outside("/usr/share/asterisk").iterdir():
            if entry.name not in ("sounds", "moh"):
                (self.folder / "data" / entry.name).symlink_to(f"/usr/share/asterisk/{entry.name}")
        self._link_prompts()
        sounds.write_all(self.folder / "data")

    def _link_prompts(self) -> None:
        """The distribution's English prompts, found through whichever links it uses, under our own sounds folder."""
        shelves = [self.root.outside("/usr/share/asterisk/sounds") / name for name in ("en_US_f_Allison", "en")]
        for shelf in shelves:
            if not shelf.is_dir():
                continue
            inside = f"/usr/share/asterisk/sounds/{shelf.name}"
            for entry in shelf.iterdir():
                (self.folder / "data/sounds/en" / entry.name).symlink_to(f"{inside}/{entry.name}")
            return

    def _render(self) -> None:
        words = {name.upper(): str(getattr(self.ports, name)) for name in ("rtp_start",)}
        words |= {f"{name.upper()}_PORT": str(value) for name, value in vars(self.ports).items() if name != "rtp_start"}
        words |= {"RUN": self.inside, "SECRET": SECRET, "RTP_END": str(self.ports.rtp_start + 799)}
        phones = "".join(_PHONE_CONF.format(name=name) for name in PHONES)
        users = (SHIPPED / "manager-cadran.conf").read_text("utf-8").replace("change-me", SECRET)
        texts = {path.name: path.read_text("utf-8") for path in sorted((HERE / "conf").glob("*.conf"))}
        texts["extensions-cadran.conf"] = (SHIPPED / "extensions-cadran.conf").read_text("utf-8")
        texts["manager-cadran.conf"] = users
        for name, text in {**texts, **self.extra_conf}.items():
            text = text.replace("@PHONES@", phones)
            for word, value in words.items():
                text = text.replace(f"@{word}@", value)
            (self.folder / "etc" / name).write_text(text, "utf-8")

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot and wait until Asterisk says it is fully booted. RuntimeError with its last words if it ends instead."""
        if self.running:
            raise RuntimeError("already started")
        with (self.folder / "log/stdout").open("ab") as out:
            self._process = subprocess.Popen(
                self.root.command("/usr/sbin/asterisk", "-f", "-C", f"{self.inside}/etc/asterisk.conf"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                preexec_fn=die_with_parent,
            )
        wait_until("Asterisk booted", self._booted, START_TIMEOUT_S)

    def _booted(self) -> bool:
        if not self.running:
            raise RuntimeError(f"Asterisk ended while booting:\n{self.last_words()}")
        return (self.folder / "run/asterisk.ctl").exists() and "fully booted" in self.cli("core waitfullybooted")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cli(self, command: str) -> str:
        """What Asterisk's console answers to `command`; empty while it can't be reached."""
        words = self.root.command("/usr/sbin/asterisk", "-C", f"{self.inside}/etc/asterisk.conf", "-rx", command)
        try:
            done = subprocess.run(words, capture_output=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL, as a power cut or a crash would end it; nothing is said to anyone."""
        self._end(signal.SIGKILL)
        self.killed_at.append(time.time())

    def stop(self) -> None:
        """End it as its service manager would (SIGTERM): calls are hung up and `Shutdown` is announced."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def close(self) -> None:
        """Stop, and remove all it wrote."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what can be seen -----------------------------------------------------------------------------------------

    @property
    def cel_file(self) -> Path:
        return self.folder / "log/cel-custom/witness.csv"

    @property
    def sounds_folder(self) -> Path:
        return self.folder / "data/sounds/en"

    def channels(self) -> list[str]:
        """Names of the channels that exist now, as the console lists them; husks left out."""
        return [name for name in self._listed() if not name.startswith(HUSK)]

    def husks(self) -> list[str]:
        """Names of the husks that exist now (see HUSK)."""
        return [name for name in self._listed() if name.startswith(HUSK)]

    def _listed(self) -> list[str]:
        lines = self.cli("core show channels concise").splitlines()
        return [line.split("!", 1)[0] for line in lines if "!" in line]

    def bridges(self) -> list[str]:
        """Ids of the bridges that exist now."""
        lines: Iterable[str] = self.cli("bridge show all").splitlines()[1:]
        return [line.split()[0] for line in lines if line.strip()]

    def last_words(self, lines: int = 20) -> str:
        """The end of Asterisk's own log and output, for the message of a failed test."""
        texts = [
            path.read_text("utf-8", "replace")
            for path in (self.folder / "log/stdout", self.folder / "log/messages")
            if path.exists()
        ]
        return "\n".join("\n".join(text.splitlines()[-lines:]) for text in texts)
