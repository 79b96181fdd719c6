"""AMI bytes → typed, dispatched events: ours against the stock protocol of panoramisk 1.4.

Both get the same stream in the same 4 kB chunks: routed calls (Local, trunk, AsyncAGI, bridge) in all event classes, as
Asterisk 22 writes them. panoramisk calls one `*` callback per event; ours frames, looks up what matters, keeps the
state of legs and bridges, and delivers msgspec structs. Both handle the same number of messages, which is checked, as
is the number of typed events. Runs are interleaved; the ratio of the medians is the result.

`--captures DIR` takes the streams of recorded sessions (*.ami) instead of the made one; `--eager` also makes ours read
every header of every message, which nobody needs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from pathlib import Path
from typing import Any

from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

from daemon.ami.channels import Channels
from daemon.ami.codec import AmiCodec
from daemon.ami.translate import ModernTranslator
from daemon.calls.devices import Devices

CHUNK = 4096
BANNER = b"Asterisk Call Manager/11.0.0\r\n"
SITE = "par"


def snapshot(channel: str, unique_id: str, linked: str, state: int, prefix: str = "") -> list[tuple[str, str]]:
    """The channel fields that Asterisk puts into nearly each event, in its order."""
    names = "Channel ChannelState ChannelStateDesc CallerIDNum CallerIDName ConnectedLineNum ConnectedLineName Language"
    words = {0: "Down", 4: "Ring", 5: "Ringing", 6: "Up"}
    values = [channel, str(state), words[state], "0123456789", "Campagne Été", "0123456789", "Campagne Été", "fr"]
    fields = [*zip(names.split(), values, strict=True)]
    fields += [("AccountCode", "7"), ("Context", "outbound"), ("Exten", "s"), ("Priority", "1")]
    fields += [("Uniqueid", unique_id), ("Linkedid", linked)]
    return [(prefix + name, value) for name, value in fields]


def event(name: str, privilege: str, *fields: tuple[str, str]) -> bytes:
    """One event block."""
    head = [("Event", name), ("Privilege", f"{privilege},all"), ("Timestamp", "1795294340.053396")]
    return ("\r\n".join(f"{key}: {value}" for key, value in [*head, *fields]) + "\r\n\r\n").encode()


def routed_call(number: int) -> bytes:
    """A customer through a Local route, answered, bridged with an agent, hung up: about 90 messages."""
    leg = f"{SITE}-{number:032x}"
    agent = f"{SITE}-ag-{number % 50}-{number:016x}"
    one, two = (f"Local/01{number:08d}@outbound-{number:08x};{half}" for half in (1, 2))
    trunk, phone = f"PJSIP/trunk-{number:08x}", f"PJSIP/1001-{number:08x}"
    channels = {leg: one, leg + "b": two, f"1795294.{number}": trunk, agent: phone}

    def of(unique_id: str, state: int, prefix: str = "") -> list[tuple[str, str]]:
        return snapshot(channels[unique_id], unique_id, agent if unique_id == agent else leg, state, prefix)

    out = [b"Response: Success\r\nActionID: " + leg.encode() + b"\r\nMessage: Originate successfully queued\r\n\r\n"]
    for unique_id in channels:
        out.append(event("Newchannel", "call", *of(unique_id, 0)))
        out += [
            event("VarSet", "dialplan", *of(unique_id, 0), ("Variable", variable), ("Value", leg))
            for variable in ("DIALER_CALL", "__DIALER_CALL", "DIALEDPEERNUMBER", "SIPCALLID", "MOH", "CADRAN")
        ]
        out.append(event("NewCallerid", "call", *of(unique_id, 0), ("CID-CallingPres", "0 (Presentation Allowed)")))
        out.append(event("NewConnectedLine", "call", *of(unique_id, 0)))
        out.append(event("Newexten", "dialplan", *of(unique_id, 4), ("Extension", "s"), ("Application", "Dial")))
        out.append(event("DialBegin", "call", *of(unique_id, 0, "Dest"), ("DialString", "01@trunk")))
        out.append(event("Newstate", "call", *of(unique_id, 5)))
        out.append(event("DialState", "call", *of(unique_id, 5, "Dest"), ("DialStatus", "RINGING")))
        out.append(event("DeviceStateChange", "call", ("Device", "PJSIP/1001"), ("State", "RINGING")))
        out.append(event("Newstate", "call", *of(unique_id, 6)))
        out.append(event("DialEnd", "call", *of(unique_id, 6, "Dest"), ("DialStatus", "ANSWER")))
        out.append(event("DeviceStateChange", "call", ("Device", "PJSIP/1001"), ("State", "INUSE")))
    for unique_id in (leg, agent):
        response = [("Response", "Success"), ("Channel", channels[unique_id]), ("Reason", "4"), ("Uniqueid", unique_id)]
        out.append(event("OriginateResponse", "call", ("ActionID", unique_id), *response))
        environment = ("Env", "agi_request%3A%20async%0Aagi_channel%3A%20" + "x" * 500)
        out.append(event("AsyncAGIStart", "agi", *of(unique_id, 6), environment))
    bridge = [("BridgeUniqueid", f"f61d1ac6-{number:08x}"), ("BridgeType", "basic"), ("BridgeNumChannels", "2")]
    out.append(event("AGIExecStart", "agi", *of(agent, 6), ("CommandId", "17520"), ("Command", f"EXEC Bridge {leg}")))
    out.append(event("BridgeCreate", "call", *bridge))
    out += [event("BridgeEnter", "call", *bridge, *of(unique_id, 6)) for unique_id in (leg, agent)]
    for unique_id in channels:
        for variable in ("BRIDGEPEER", "BRIDGEPVTCALLID", "RTPAUDIOQOS", "RTPAUDIOQOSJITTER", "RTPAUDIOQOSLOSS"):
            out.append(
                event("VarSet", "dialplan", *of(unique_id, 6), ("Variable", variable), ("Value", "ssrc=17;" * 9))
            )
    out += [event("BridgeLeave", "call", *bridge, *of(unique_id, 6)) for unique_id in (leg, agent)]
    result = [("Result", "200%20result%3D0%0A"), ("CommandId", f"bridge.{leg}.1")]
    out.append(event("AsyncAGIExec", "agi", *of(agent, 6), *result))
    for unique_id in channels:
        out.append(event("Hangup", "call", *of(unique_id, 6), ("Cause", "16"), ("Cause-txt", "Normal Clearing")))
    return b"".join(out)


class _Transport:
    """A transport that swallows."""

    def write(self, data: bytes) -> None:
        del data

    def close(self) -> None: ...


async def run_panoramisk(stream: bytes) -> tuple[float, int]:
    """Seconds of CPU and events delivered (responses nobody asked for are dropped by panoramisk)."""
    manager = Manager()
    manager.loop = asyncio.get_running_loop()
    delivered: list[int] = [0]

    def callback(_: Any, __: Any) -> None:
        delivered[0] += 1

    manager.register_event("*", callback)
    protocol = AMIProtocol()
    protocol.connection_made(_Transport())
    protocol.factory, protocol.encoding = manager, "utf8"
    gc.collect()
    started = time.process_time()
    for at in range(0, len(stream), CHUNK):
        protocol.data_received(stream[at : at + CHUNK])
    return time.process_time() - started, delivered[0]


def run_ours(stream: bytes, *, eager: bool) -> tuple[float, int, int]:
    """Seconds of CPU, events handled, typed events delivered."""
    typed: list[int] = [0]

    def deliver(_: Any) -> None:
        typed[0] += 1

    devices = Devices("PJSIP/{extension}", ())
    translator = ModernTranslator(
        Channels(SITE), deliver=deliver, react=lambda *_: None, device=devices.changed, parks_on_music=False
    )
    codec = AmiCodec()
    gc.collect()
    started = time.process_time()
    for at in range(0, len(stream), CHUNK):
        for message in codec.receive_data(stream[at : at + CHUNK]):
            if eager:
                message.headers()
            if message.event:
                translator.handle(message, 1.0)
    return time.process_time() - started, translator.messages, typed[0]


def _survivable(part: bytes) -> bool:
    """Whole messages only, and none that ends the stock protocol (a Shutdown event, an event name given twice)."""
    names = [block.count(b"Event: ") for block in part.split(b"\r\n\r\n")]
    return part.endswith(b"\r\n\r\n") and max(names) == 1 and b"Event: Shutdown" not in part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--captures", type=Path)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    if options.captures:
        recorded = [path.read_bytes().partition(b"\r\n")[2] for path in sorted(options.captures.glob("*.ami"))]
        stream = BANNER + b"".join(part for part in recorded if _survivable(part)) * 5
    else:
        stream = BANNER + b"".join(routed_call(number) for number in range(options.calls))
    theirs_s, ours_s = [], []
    for run in range(options.runs + 1):
        seconds, their_count = asyncio.run(run_panoramisk(stream))
        mine, our_count, typed = run_ours(stream, eager=options.eager)
        assert our_count == their_count, f"{our_count} events handled, panoramisk delivered {their_count}"
        assert options.captures or typed >= 14 * options.calls, f"only {typed} typed events"
        if run:  # the first warms the caches
            theirs_s.append(seconds)
            ours_s.append(mine)
    per_event = [statistics.median(runs) / our_count * 1e6 for runs in (theirs_s, ours_s)]
    ratio = statistics.median(theirs_s) / statistics.median(ours_s)
    print(f"{our_count} events, {len(stream) / 1e6:.1f} MB, {typed} typed events, {options.runs} interleaved runs")
    print(f"panoramisk 1.4: {per_event[0]:.2f} µs an event; ours: {per_event[1]:.2f} µs an event")
    print(f"spread of the ratio: {min(theirs_s) / max(ours_s):.1f} to {max(theirs_s) / min(ours_s):.1f}")
    print(f"bench-ami: {ratio:.1f} × panoramisk (goal ≥ 5)")


if __name__ == "__main__":
    main()
