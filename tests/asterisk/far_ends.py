"""Customers and agents' phones: SIPp programs whose behaviour is chosen by the number dialled, and what they saw.

A customer's number ends in four digits `BBNN`: BB picks a habit of CUSTOMER_HABITS, NN tells people apart. A phone is
picked by its whole extension (PHONE_HABITS). One SIPp process plays all customers of a line, so its log also tells how
many calls that line carried at once. Each process runs in a folder of its own and dies with the test run.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.asterisk import sounds
from tests.asterisk.bed import die_with_parent


@dataclass(frozen=True)
class Habit:
    """What a far end does when called.

    `refuses`: final SIP status instead of answering. `rings_ms`: time of 180 (or 183 with `early_media`) before
    answering or refusing; None = rings until the caller gives up. `talks_ms`: hangs up that long after answering;
    None = stays until the other side hangs up. `voice`: file of sounds.write_voices sent as RTP, or silent; `packets`:
    one of captured packets instead, sent as they were captured.
    `mute`: never replies at all.
    """

    refuses: tuple[int, str] | None = None
    rings_ms: int | None = 400
    early_media: bool = False
    talks_ms: int | None = None
    voice: str = ""
    packets: str = ""
    mute: bool = False


CUSTOMER_HABITS = {
    "10": Habit(talks_ms=3000, voice="talk"),
    "11": Habit(rings_ms=0, talks_ms=2000, voice="talk"),
    "12": Habit(voice="talk"),
    "13": Habit(talks_ms=40),
    "14": Habit(talks_ms=900, voice="hello"),
    "15": Habit(rings_ms=5000, talks_ms=2000, voice="talk"),
    "16": Habit(talks_ms=3000),
    "17": Habit(talks_ms=40_000, voice="talk"),
    "18": Habit(voice="low"),
    "19": Habit(rings_ms=0, packets="bad_line"),
    "42": Habit(rings_ms=100, talks_ms=20_000, voice="fax"),
    "43": Habit(rings_ms=100, talks_ms=20_000, voice="fax_answers"),
    "20": Habit(refuses=(486, "Busy Here"), rings_ms=0),
    "21": Habit(refuses=(404, "Not Found"), rings_ms=0),
    "22": Habit(refuses=(603, "Decline"), rings_ms=0),
    "23": Habit(refuses=(503, "Service Unavailable"), rings_ms=0),
    "24": Habit(refuses=(480, "Temporarily Unavailable"), rings_ms=1000),
    "25": Habit(refuses=(403, "Forbidden"), rings_ms=0),
    "26": Habit(refuses=(484, "Address Incomplete"), rings_ms=0),
    "27": Habit(refuses=(410, "Gone"), rings_ms=0),
    "28": Habit(refuses=(500, "Server Internal Error"), rings_ms=0),
    "29": Habit(refuses=(404, "Not Found"), rings_ms=1500, early_media=True),
    "30": Habit(rings_ms=None),
    "31": Habit(mute=True),
    "32": Habit(early_media=True, talks_ms=2000, voice="talk"),
    "40": Habit(talks_ms=8000, voice="hello"),
    "41": Habit(talks_ms=12_000, voice="machine"),
    **{f"5{n}": Habit(rings_ms=100, talks_ms=9000, voice=f"person{n}") for n in range(5)},
    **{f"6{n}": Habit(rings_ms=100, talks_ms=9000, voice=f"machine{n}") for n in range(5)},
}
"""By the third and fourth digit from the end of the number dialled."""

_TALKER = Habit(rings_ms=250, voice="talk")
PHONE_HABITS = {
    **{str(extension): _TALKER for extension in range(1001, 1006)},
    "1006": Habit(rings_ms=250, voice="high"),
    "1007": Habit(refuses=(603, "Decline"), rings_ms=300),
    "1008": Habit(refuses=(486, "Busy Here"), rings_ms=0),
    "1010": Habit(rings_ms=None),
    "1011": Habit(rings_ms=250, talks_ms=4000, voice="talk"),
    "11[0-9][0-9]": Habit(rings_ms=250),
}
"""By extension: 11xx silent people who answer and stay, 1001-1005 talking ones, 1006 a tone, 1007 declines, 1008 busy,
1010 nobody there, 1011 hangs up."""

_SDP = """v=0
o=far 1 1 IN IP[local_ip_type] [local_ip]
s=call
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [{port}] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20
"""


def _reply(status: int, reason: str, sdp: str = "", retransmitted: bool = False) -> str:
    again = ' retrans="500"' if retransmitted else ""
    kind = "Content-Type: application/sdp\n" if sdp else ""
    return (
        f"<send{again}><![CDATA[\n\nSIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n"
        "[last_To:];tag=far[pid]x[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"Contact: <sip:far@[local_ip]:[local_port]>\n{kind}Content-Length: [len]\n\n{sdp}]]></send>\n"
    )


def _note(what: str) -> str:
    return f'<nop><action><log message="{what}|[timestamp]|[call_id]|[$number]"/></action></nop>\n'


_BYE = """<send retrans="500"><![CDATA[

BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: [$called];tag=far[pid]x[call_number]
To: [$caller]
Call-ID: [call_id]
CSeq: 10 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv request="BYE" optional="true" next="crossed"/>
<recv response="200" timeout="4000" ontimeout="over"/>
<nop next="over"/>
"""


def _go(label: str) -> str:
    return f'<nop next="{label}"/>\n'


def _wait_for(request: str, milliseconds: int | None, then: str) -> str:
    """Wait for the other side's request; after `milliseconds` without it, go to label `then`."""
    if milliseconds is None:
        return f'<recv request="{request}"/>\n'
    return f'<recv request="{request}" timeout="{max(milliseconds, 1)}" ontimeout="{then}"/>\n'


def _branch(name: str, habit: Habit) -> str:
    """The steps of one habit, from label `name` on."""
    steps = f'<label id="{name}"/>\n'
    if habit.mute:
        return steps + _wait_for("CANCEL", 40_000, "over") + _go("over")
    port = "rtpstream_audio_port" if habit.voice else "auto_media_port"
    sdp = _SDP.format(port=port)
    if habit.rings_ms is None or habit.rings_ms > 0:
        steps += _reply(183, "Session Progress", sdp) if habit.early_media else _reply(180, "Ringing")
        steps += _wait_for("CANCEL", habit.rings_ms, f"{name}up") + _go("cancelled")
    steps += f'<label id="{name}up"/>\n'
    if habit.refuses:
        return steps + _reply(*habit.refuses) + '<recv request="ACK"/>\n' + _note("refused") + _go("over")
    steps += _note("lifts") + _reply(200, "OK", sdp, retransmitted=True) + '<recv request="ACK"/>\n' + _note("answered")
    if habit.voice:
        steps += f'<nop><action><exec rtp_stream="{habit.voice}.ulaw,-1,0"/></action></nop>\n'
    if habit.packets:
        steps += f'<nop><action><exec play_pcap_audio="{habit.packets}.pcap"/></action></nop>\n'
    steps += _wait_for("BYE", habit.talks_ms, f"{name}bye") + _go("hungup")
    if habit.talks_ms is not None:
        steps += f'<label id="{name}bye"/>\n' + _note("leaves") + _BYE
    return steps


def scenario(patterns: dict[str, Habit]) -> str:
    """The SIPp scenario for habits by regular expression of the user part of the number dialled; others are busy."""
    names = {f"h{n}": (pattern, habit) for n, (pattern, habit) in enumerate(patterns.items())}
    eregs = "".join(
        f'<ereg regexp="^INVITE sip:{pattern}[@;]" search_in="msg" check_it="false" assign_to="{name}"/>\n'
        for name, (pattern, _) in names.items()
    )
    head = (
        '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="far ends">\n'
        '<recv request="INVITE" rrs="true"><action>\n'
        '<ereg regexp="sip:([^@;]*)" search_in="msg" check_it="false" assign_to="uri,number"/>\n'
        '<ereg regexp=".*" search_in="hdr" header="From:" check_it="false" assign_to="caller"/>\n'
        '<ereg regexp=".*" search_in="hdr" header="To:" check_it="false" assign_to="called"/>\n'
        f"{eregs}"
        '<log message="invited|[timestamp]|[call_id]|[$number]"/>\n</action></recv>\n'
        f'<Reference variables="uri,{",".join(names)}"/>\n'
    )
    choose = "".join(f'<nop next="{name}" test="{name}"/>\n' for name in names)
    unknown = _reply(486, "Busy Here") + '<recv request="ACK"/>\n' + _go("over")
    tail = (
        '<label id="cancelled"/>\n'
        + _reply(200, "OK")
        + "<send><![CDATA[\n\nSIP/2.0 487 Request Terminated\n[last_Via:]\n"
        "[last_From:]\n[last_To:];tag=far[pid]x[call_number]\n[last_Call-ID:]\nCSeq: [cseq] INVITE\n"
        "Content-Length: 0\n\n]]></send>\n"
        '<recv request="ACK" timeout="2000" ontimeout="over"/>\n'
        + _note("cancelled")
        + _go("over")
        + '<label id="crossed"/>\n'
        + _reply(200, "OK")
        + _go("over")
        + '<label id="hungup"/>\n'
        + _reply(200, "OK")
        + _note("hungup")
        + '<label id="over"/>\n'
        + _note("over")
        + "</scenario>\n"
    )
    return head + choose + unknown + "".join(_branch(name, habit) for name, (_, habit) in names.items()) + tail


@dataclass(frozen=True)
class Seen:
    """One line of a far end's log: `what` is invited, lifts, answered, refused, cancelled, leaves, hungup or over.

    `lifts` and `leaves` are noted before the other side is told, the others after they were heard of.
    """

    at: float
    what: str
    call: str
    number: str


_LINE = re.compile(r"(?P<what>[a-z]+)\|(?P<at>[^|]+)\|(?P<call>[^|]+)\|(?P<number>.*)")


def parse(line: str) -> Seen | None:
    """A line of the log; None if the test run ended in the middle of writing it."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    # SIPp's timestamp is date, time and epoch seconds, between tabs.
    return Seen(float(match["at"].split()[-1]), match["what"], match["call"], match["number"])


_given: list[int] = []
"""RTP ports named before: a SIPp still starting has not bound its own yet, so none is named twice in a row."""

START_TRIES = 5
START_TIMEOUT_S = 90.0


def free_rtp_port() -> int:
    """An even port with free ones after it: SIPp takes RTP ports upwards from the one named, and ends if the first is
    taken. Above the range of the bed's own Asterisk, below the one the kernel hands out."""
    for port in range(18_000 + os.getpid() % 7 * 2, 32_000, 700):
        if port in _given[-12:]:
            continue
        try:
            for near in range(port, port + 4):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", near))
        except OSError:
            continue
        _given.append(port)
        return port
    raise RuntimeError("no RTP ports free between 18000 and 32000")


def listens(sipp: subprocess.Popen[bytes], rtp_port: int) -> bool:
    """Wait until SIPp has bound all its ports (RTP's is the last), or has ended: a wrong scenario or a taken port ends
    it. Asked of the kernel: a probing socket of ours could take the port that SIPp is about to bind."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while sipp.poll() is None:
        bound = Path("/proc/net/udp").read_text("ascii").splitlines()[1:]
        if rtp_port in {int(line.split()[1].rpartition(":")[2], 16) for line in bound}:
            return True
        if time.monotonic() > deadline:
            raise TimeoutError(f"SIPp did not listen on RTP port {rtp_port} within {START_TIMEOUT_S:g} s")
        time.sleep(0.02)
    return False


class FarEnd:
    """One SIPp process on `port`, playing `patterns`, writing its log into `folder`."""

    def __init__(self, sipp: str, folder: Path, port: int, patterns: dict[str, Habit]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "scenario.xml").write_text(scenario(patterns), "ascii")
        sounds.write_voices(folder)
        self._log = folder / "calls.log"
        self._words = [
            sipp, "-sf", "scenario.xml", "-i", "127.0.0.1", "-p", str(port), "-mi", "127.0.0.1",
            "-nostdin", "-l", "2000",
            "-trace_logs", "-log_file", "calls.log", "-trace_err", "-error_file", "errors.log",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for last in (False,) * (START_TRIES - 1) + (True,):
            if self._started(last):
                return

    def _started(self, last: bool) -> bool:
        """One try; RuntimeError with SIPp's own words if it was the last."""
        rtp_port = free_rtp_port()
        with (self.folder / "stdout").open("wb") as out:
            self._process = subprocess.Popen(
                [*self._words, "-mp", str(rtp_port)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,
            )
        if listens(self._process, rtp_port):
            return True
        if last:
            said = (self.folder / "stdout").read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"SIPp ended at once with {self._process.returncode}:\n{said}")
        return False

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)  # it would otherwise wait for the calls of a PBX that is gone
        self._process.wait(60)
        self._process = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def seen(self) -> list[Seen]:
        """All it has noted so far, in order."""
        if not self._log.exists():
            return []
        lines = self._log.read_text("ascii", "replace").splitlines()
        return [found for line in lines if (found := parse(line))]

    def invited(self) -> dict[str, int]:
        """How often each number was called here."""
        counts: dict[str, int] = {}
        for line in self.seen():
            if line.what == "invited":
                counts[line.number] = counts.get(line.number, 0) + 1
        return counts

    def most_at_once(self) -> int:
        """The greatest number of calls that were open here at the same instant."""
        open_calls: set[str] = set()
        most = 0
        for line in self.seen():
            if line.what == "invited":
                open_calls.add(line.call)
                most = max(most, len(open_calls))
            elif line.what == "over":
                open_calls.discard(line.call)
        return most
