"""People who call in: one SIPp program, a call each tenth of a second (or as told), each with a number of its own.

Who is let in says `low` of sounds.write_voices over RTP and stays until the PBX ends the call.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.asterisk import far_ends, sounds
from tests.asterisk.bed import die_with_parent, free_ports

_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="callers">
<send retrans="500"><![CDATA[

INVITE sip:@DID@@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=caller[pid]x[call_number]
To: <sip:@DID@@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:[field0]@[local_ip]:[local_port]>
X-Bed: caller
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP[local_ip_type] [local_ip]
s=call
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="183" optional="true"/>
<recv response="486" optional="true" next="refused"/>
<recv response="503" optional="true" next="refused"/>
<recv response="200" rrs="true"/>
<send><![CDATA[

ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[local_ip]:[local_port]>;tag=caller[pid]x[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><log message="answered|[timestamp]|[call_id]|[field0]"/>
<exec rtp_stream="low.ulaw,-1,0"/></action></nop>
<recv request="BYE"/>
<send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:caller@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
<nop next="over"><action><log message="hungup|[timestamp]|[call_id]|[field0]"/></action></nop>
<label id="refused"/>
<send next="over"><![CDATA[

ACK sip:@DID@@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<label id="over"/>
<nop><action><log message="over|[timestamp]|[call_id]|[field0]"/></action></nop>
</scenario>
"""


class Callers:
    """`numbers` call `did` at the Asterisk on `sip_port`, `per_s` of them a second, in this order."""

    def __init__(self, sipp: str, folder: Path, sip_port: int, did: str, numbers: Sequence[str], per_s: float) -> None:
        folder.mkdir(parents=True)
        self._folder, self._log = folder, folder / "calls.log"
        (folder / "scenario.xml").write_text(_SCENARIO.replace("@DID@", did), "ascii")
        (folder / "numbers.csv").write_text("SEQUENTIAL\n" + "".join(f"{number}\n" for number in numbers), "ascii")
        sounds.write_voices(folder)
        (port,) = free_ports(1, socket.SOCK_DGRAM)
        self._words = [
            sipp, f"127.0.0.1:{sip_port}", "-sf", "scenario.xml", "-inf", "numbers.csv", "-i", "127.0.0.1",
            "-p", str(port), "-mi", "127.0.0.1", "-nostdin", "-m", str(len(numbers)), "-l", str(len(numbers)),
            "-r", "1", "-rp", str(round(1000 / per_s)),
            "-trace_logs", "-log_file", "calls.log", "-trace_err", "-error_file", "errors.log",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """RuntimeError with SIPp's own words if it does not run."""
        rtp_port = far_ends.free_rtp_port()
        with (self._folder / "stdout").open("wb") as out:
            self._process = subprocess.Popen(
                [*self._words, "-mp", str(rtp_port)], cwd=self._folder, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, preexec_fn=die_with_parent,
            )  # fmt: skip
        if not far_ends.listens(self._process, rtp_port):
            said = (self._folder / "stdout").read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"SIPp ended at once with {self._process.returncode}:\n{said}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def seen(self) -> list[far_ends.Seen]:
        """What became of each call so far: answered, hungup, over."""
        lines = self._log.read_text("ascii", "replace").splitlines() if self._log.exists() else []
        return [found for line in lines if (found := far_ends.parse(line))]
